// SPDX-License-Identifier: GPL-2.0
//! The PCI transport: capabilities, registers, initialization, reset.

use vfio_bench::function::Reset;
use vfio_bench::virtio::machine::Config;

use crate::driver::{Driver, Places, frame};
use crate::parts::without_select;
use crate::rig::Rig;
use crate::wire::*;

#[test]
fn identity_and_capabilities() {
    let rig = Rig::plain(1);
    for function in &rig.functions {
        let identity = function.identity();
        assert_eq!((identity.vendor, identity.device), (0x1af4, 0x1041));
        assert!(identity.revision >= 1);
        assert_eq!(identity.class, 0x02_0000);
        let places = Places::find(function.as_ref());
        assert_eq!(places.common % 4, 0);
        assert_eq!(places.device % 4, 0);
        assert_eq!(places.page_writer, 0x3000);
        assert!(places.notify_multiplier == 0 || places.notify_multiplier.is_power_of_two());
        let capabilities = function.vendor_capabilities();
        let mut kinds: Vec<u8> = capabilities
            .iter()
            .map(|capability| capability[1])
            .collect();
        kinds.sort();
        assert_eq!(
            kinds,
            [
                CAP_COMMON,
                CAP_NOTIFY,
                CAP_ISR,
                CAP_DEVICE,
                CAP_PCI_CFG,
                CAP_VENDOR
            ]
        );
        for capability in capabilities {
            if capability[1] == CAP_VENDOR {
                assert_ne!(
                    capability[2..4],
                    [0xf4, 0x1a],
                    "vendor must not be virtio's"
                );
            }
            let field = |at: usize| {
                u32::from_le_bytes(capability[at..at + 4].try_into().expect("four bytes"))
            };
            let last = u64::from(field(6)) + u64::from(field(10));
            assert!(last <= function.bar_size());
        }
    }
}

#[test]
fn offered_features() {
    let rig = Rig::plain(1);
    let net = F_MAC
        | F_MRG_RXBUF
        | F_STATUS
        | F_CTRL_VQ
        | F_CTRL_RX
        | F_CTRL_VLAN
        | F_CTRL_MAC_ADDR
        | F_INDIRECT_DESC
        | F_EVENT_IDX
        | F_VERSION_1
        | F_ACCESS_PLATFORM;
    assert_eq!(Driver::new(&rig, 0).offered(), net | F_SR_IOV | F_ADMIN_VQ);
    assert_eq!(Driver::new(&rig, 1).offered(), net);
    let config = Config {
        queue_pairs: 4,
        admin_vq: false,
        mrg_rxbuf: false,
        ..Config::default()
    };
    let rig = Rig::new(config, 0);
    let driver = Driver::new(&rig, 0);
    assert_eq!(driver.offered(), net & !F_MRG_RXBUF | F_MQ | F_SR_IOV);
    assert_eq!(driver.r16(NUM_QUEUES), 9);
    assert_eq!(driver.r16(ADMIN_QUEUE_NUM), 0);
    // No feature exists above bit 63.
    driver.w32(DEVICE_FEATURE_SELECT, 2);
    assert_eq!(driver.r32(DEVICE_FEATURE), 0);
}

#[test]
fn registers_after_reset() {
    let rig = Rig::plain(1);
    for index in 0..2 {
        let driver = Driver::new(&rig, index);
        assert_eq!(driver.status(), 0);
        assert_eq!(driver.r16(CONFIG_MSIX_VECTOR), 0xffff);
        assert_eq!(driver.r16(NUM_QUEUES), 3);
        for queue in 0..3 {
            driver.w16(QUEUE_SELECT, queue);
            assert!(driver.r16(QUEUE_SIZE).is_power_of_two());
            assert_eq!(driver.r16(QUEUE_ENABLE), 0);
            assert_eq!(driver.r16(QUEUE_MSIX_VECTOR), 0xffff);
        }
        driver.w16(QUEUE_SELECT, 77);
        assert_eq!(driver.r16(QUEUE_SIZE), 0, "a queue that does not exist");
        driver.w16(QUEUE_ENABLE, 1);
        assert_eq!(driver.r16(QUEUE_ENABLE), 0);
    }
    let owner = Driver::new(&rig, 0);
    let first = owner.r16(ADMIN_QUEUE_INDEX);
    assert!(first >= owner.r16(NUM_QUEUES));
    assert_eq!(owner.r16(ADMIN_QUEUE_NUM), 1);
    owner.w16(QUEUE_SELECT, first);
    assert!(owner.r16(QUEUE_SIZE) > 0);
    assert!(rig.functions[0].msix_vectors() >= first + 2);
}

#[test]
fn registers_keep_what_is_written() {
    let rig = Rig::plain(0);
    let driver = Driver::new(&rig, 0);
    driver.w16(QUEUE_SELECT, 1);
    driver.w16(QUEUE_SIZE, 64);
    driver.w64(QUEUE_DESC, 0x1_2345_6780);
    driver.w64(QUEUE_DRIVER, 0x2_3456_7890);
    // 64-bit accesses are possible, too.
    let device = 0x3_4567_8900_u64;
    driver
        .function
        .write_bar(driver.places.common + QUEUE_DEVICE, &device.to_le_bytes());
    driver.w16(QUEUE_SELECT, 0);
    assert_eq!(driver.r32(QUEUE_DESC), 0);
    driver.w16(QUEUE_SELECT, 1);
    assert_eq!(driver.r16(QUEUE_SIZE), 64);
    assert_eq!(
        driver.read::<8>(driver.places.common + QUEUE_DESC),
        0x1_2345_6780u64.to_le_bytes()
    );
    assert_eq!(
        (driver.r32(QUEUE_DRIVER), driver.r32(QUEUE_DRIVER + 4)),
        (0x3456_7890, 2)
    );
    assert_eq!(
        (driver.r32(QUEUE_DEVICE), driver.r32(QUEUE_DEVICE + 4)),
        (0x4567_8900, 3)
    );
    // Sizes that no ring has are not taken.
    for size in [0, 3, 512] {
        driver.w16(QUEUE_SIZE, size);
        assert_eq!(driver.r16(QUEUE_SIZE), 64);
    }
    // A vector that the device lacks reads back as none.
    driver.w16(QUEUE_MSIX_VECTOR, 2);
    assert_eq!(driver.r16(QUEUE_MSIX_VECTOR), 2);
    driver.w16(QUEUE_MSIX_VECTOR, rig.functions[0].msix_vectors());
    assert_eq!(driver.r16(QUEUE_MSIX_VECTOR), 0xffff);
    driver.w16(CONFIG_MSIX_VECTOR, 1);
    assert_eq!(driver.r16(CONFIG_MSIX_VECTOR), 1);
    // Read-only registers stay.
    driver.w16(NUM_QUEUES, 9);
    assert_eq!(driver.r16(NUM_QUEUES), 3);
}

#[test]
fn accesses_of_odd_size_and_place_do_no_harm() {
    let rig = Rig::plain(1);
    let function = &rig.functions[1];
    let before = rig.parts(1);
    for at in (0..function.bar_size()).step_by(61) {
        for size in [3, 5, 16, 61] {
            let room = function.bar_size() - at;
            let mut data = vec![0; size.min(room as usize)];
            function.read_bar(at, &mut data);
            function.write_bar(at, &vec![0x5a; data.len()]);
        }
    }
    assert_eq!(rig.parts(1), before);
}

#[test]
fn impossible_features_are_refused() {
    let rig = Rig::plain(0);
    let mut driver = Driver::new(&rig, 0);
    let all = driver.offered();
    for refused in [
        0,
        all & !F_VERSION_1,
        all & !F_ACCESS_PLATFORM,
        all & !F_CTRL_VQ,
        all | (1 << 50),
        all | F_MQ,
    ] {
        assert!(!driver.negotiate(refused), "{refused:#x}");
        // Nothing comes up without FEATURES_OK.
        driver.drive();
        assert_eq!(driver.status() & DRIVER_OK, 0);
    }
    assert!(driver.negotiate(all));
    driver.w8(DEVICE_STATUS, 0);
    // A bit above 63.
    driver.w32(DRIVER_FEATURE_SELECT, 2);
    driver.w32(DRIVER_FEATURE, 1);
    driver.w32(DRIVER_FEATURE_SELECT, 0);
    driver.w32(DRIVER_FEATURE, all as u32);
    driver.w32(DRIVER_FEATURE_SELECT, 1);
    driver.w32(DRIVER_FEATURE, (all >> 32) as u32);
    driver.w8(DEVICE_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    assert_eq!(driver.status(), ACKNOWLEDGE | DRIVER);
}

#[test]
fn a_wrong_feature_can_be_taken_back() {
    let rig = Rig::plain(0);
    let mut driver = Driver::new(&rig, 0);
    let all = driver.offered();
    assert!(!driver.negotiate(all | F_MQ));
    driver.w32(DRIVER_FEATURE_SELECT, 0);
    driver.w32(DRIVER_FEATURE, all as u32);
    driver.w8(DEVICE_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    assert_ne!(driver.status() & FEATURES_OK, 0);
}

#[test]
fn features_are_fixed_after_features_ok() {
    let rig = Rig::plain(0);
    let mut driver = Driver::new(&rig, 0);
    let all = driver.offered();
    assert!(driver.negotiate(all));
    driver.w32(DRIVER_FEATURE_SELECT, 0);
    driver.w32(DRIVER_FEATURE, 0);
    assert_eq!(driver.r32(DRIVER_FEATURE), all as u32);
}

#[test]
fn status_bits_are_only_cleared_by_reset() {
    let rig = Rig::plain(0);
    let driver = Driver::up(&rig, 0, 0);
    let up = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
    assert_eq!(driver.status(), up);
    driver.w8(DEVICE_STATUS, ACKNOWLEDGE);
    assert_eq!(driver.status(), up);
    driver.w8(DEVICE_STATUS, up | NEEDS_RESET);
    assert_eq!(driver.status(), up, "NEEDS_RESET is the device's");
    driver.w8(DEVICE_STATUS, 0);
    assert_eq!(driver.status(), 0);
}

#[test]
fn resets_restore_everything() {
    let rig = Rig::plain(1);
    let fresh = rig.parts(1);
    for cause in [
        None,
        Some(Reset::Flr),
        Some(Reset::Bus),
        Some(Reset::VfDisable),
    ] {
        let mut driver = Driver::up(&rig, 1, 0);
        driver.control(CTRL_RX, CTRL_RX_PROMISC, &[1]);
        driver.control(CTRL_MAC, CTRL_MAC_ADDR_SET, &[2, 0, 0, 0, 0, 9]);
        driver.control(CTRL_VLAN, CTRL_VLAN_ADD, &[7, 0]);
        assert_ne!(rig.parts(1), fresh);
        match cause {
            None => driver.w8(DEVICE_STATUS, 0),
            Some(cause) => driver.function.reset(cause),
        }
        assert_eq!(rig.parts(1), fresh, "{cause:?}");
        driver.add(1, &[&[0; NET_HEADER], &frame([2; 6], [4; 6], b"late")], &[]);
        driver.kick(1);
        assert_eq!(driver.used(1), None, "the rings are gone");
    }
}

#[test]
fn enabled_queues_cannot_be_changed() {
    let rig = Rig::plain(1);
    let driver = Driver::up(&rig, 1, 0);
    let before = rig.parts(1);
    driver.w16(QUEUE_SELECT, 1);
    driver.w16(QUEUE_SIZE, 8);
    driver.w64(QUEUE_DESC, 0x7000);
    driver.w16(QUEUE_ENABLE, 0);
    let after = rig.parts(1);
    assert_eq!(without_select(&after), without_select(&before));
}

#[test]
fn the_isr_is_cleared_by_reading() {
    let rig = Rig::plain(1);
    let mut driver = Driver::new(&rig, 1);
    let features = driver.offered();
    assert!(driver.negotiate(features));
    for queue in 0..3 {
        driver.enable_queue(queue, 16);
        driver.w16(QUEUE_MSIX_VECTOR, 0xffff);
    }
    driver.drive();
    driver.send(&frame([2; 6], [4; 6], b"x"));
    assert!(driver.port.take_interrupts().is_empty());
    assert_eq!(driver.read::<1>(driver.places.isr), [1]);
    assert_eq!(driver.read::<1>(driver.places.isr), [0]);
}

#[test]
fn device_configuration() {
    let config = Config {
        queue_pairs: 3,
        ..Config::default()
    };
    let rig = Rig::new(config, 2);
    let mut macs = Vec::new();
    for index in 0..3 {
        let driver = Driver::new(&rig, index);
        let mac = driver.mac();
        assert_eq!(mac[0] & 1, 0);
        macs.push(mac);
        assert_eq!(
            driver.read::<2>(driver.places.device + 6),
            [1, 0],
            "link is up"
        );
        assert_eq!(
            driver.read::<2>(driver.places.device + 8),
            [3, 0],
            "queue pairs"
        );
        // The configuration is read-only without the legacy interface.
        driver
            .function
            .write_bar(driver.places.device, &[2, 2, 2, 2]);
        assert_eq!(driver.mac(), mac);
    }
    macs.dedup();
    assert_eq!(macs.len(), 3);
}

#[test]
fn the_generation_follows_the_configuration() {
    let rig = Rig::plain(1);
    let mut driver = Driver::up(&rig, 1, 0);
    let before = driver.r8(CONFIG_GENERATION);
    assert_eq!(
        driver.control(CTRL_MAC, CTRL_MAC_ADDR_SET, &[2, 1, 1, 1, 1, 1]),
        NET_OK
    );
    assert_ne!(driver.r8(CONFIG_GENERATION), before);
    assert_eq!(driver.mac(), [2, 1, 1, 1, 1, 1]);
}

/// A counter of 8 bits must not come round between two readings.
#[test]
fn the_generation_does_not_wrap_unseen() {
    let rig = Rig::plain(1);
    let mut driver = Driver::up(&rig, 1, 0);
    let before = driver.r8(CONFIG_GENERATION);
    for change in 0..=255 {
        let mac = [2, 1, 1, 1, 1, change];
        assert_eq!(driver.control(CTRL_MAC, CTRL_MAC_ADDR_SET, &mac), NET_OK);
    }
    assert_ne!(driver.r8(CONFIG_GENERATION), before);
    // What changes between the two readings of a driver in the middle of it shows.
    let first = driver.r8(CONFIG_GENERATION);
    let mac = [2, 1, 1, 1, 2, 0];
    assert_eq!(driver.control(CTRL_MAC, CTRL_MAC_ADDR_SET, &mac), NET_OK);
    assert_ne!(driver.r8(CONFIG_GENERATION), first);
}

/// Drivers enable queues before DRIVER_OK, and may do so later.
#[test]
fn a_queue_that_is_enabled_late_works() {
    let rig = Rig::plain(2);
    let mut other = Driver::up(&rig, 2, 0);
    let mut late = Driver::new(&rig, 1);
    assert!(late.negotiate(late.offered()));
    late.enable_queue(0, 16);
    late.drive();
    late.enable_queue(1, 16);
    let offered = other.offer(2048);
    let sent = frame(other.mac(), late.mac(), b"late");
    late.send(&sent);
    assert_eq!(other.take(offered), Some(sent));
}
