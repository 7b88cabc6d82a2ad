// SPDX-License-Identifier: GPL-2.0
//! The PCI function of the IOMMU.

use vfio_bench::assembly::Ending;
use vfio_user::Client;

use crate::guest::Guest;
use crate::wire::{irq, pci, region};

fn read<const N: usize>(iommu: &mut Client, offset: u64) -> [u8; N] {
    let mut data = [0; N];
    iommu
        .region_read(region::CONFIG, offset, &mut data)
        .expect("configuration space");
    data
}

fn write(iommu: &mut Client, offset: u64, data: &[u8]) {
    iommu
        .region_write(region::CONFIG, offset, data)
        .expect("configuration space");
}

#[test]
fn it_is_an_iommu() {
    let mut guest = Guest::new(1);
    assert_eq!(
        read(&mut guest.iommu, pci::VENDOR_ID),
        [0x22, 0x10, 0x19, 0x14]
    );
    assert_eq!(read(&mut guest.iommu, pci::CLASS + 1), [0x00, 0x06, 0x08]);
    let [first] = read::<1>(&mut guest.iommu, pci::CAPABILITIES);
    let [id, next, low, high] = read(&mut guest.iommu, u64::from(first));
    assert_eq!(id, pci::CAP_SECURE_DEVICE);
    assert_eq!(low & 7, 3, "capability type: IOMMU");
    assert_eq!(low >> 3, 1, "revision");
    assert_eq!(
        high,
        1 << 3,
        "extended features, no IOTLB, no cache of absent entries"
    );
    let [id, next] = read(&mut guest.iommu, u64::from(next));
    assert_eq!((id, next), (pci::CAP_MSI, 0));
}

#[test]
fn it_has_one_msi_and_what_qemu_asks_for() {
    let mut guest = Guest::new(1);
    let mut count = |index| guest.iommu.get_irq_info(index).expect("IRQ info").count;
    let counts = [irq::INTX, irq::MSI, irq::MSIX, irq::ERR, irq::REQ].map(&mut count);
    assert_eq!(counts, [0, 1, 0, 1, 1]);
}

#[test]
fn bus_mastering_is_hard_wired() {
    let mut guest = Guest::new(1);
    for command in [0_u16, pci::MEMORY] {
        write(&mut guest.iommu, pci::COMMAND, &command.to_le_bytes());
        let now = u16::from_le_bytes(read(&mut guest.iommu, pci::COMMAND));
        assert_eq!(now, command | pci::BUS_MASTER);
    }
}

#[test]
fn its_bar_has_64_mib() {
    let mut guest = Guest::new(1);
    assert_eq!(
        guest.iommu.region(region::BAR0).expect("BAR 0").size,
        64 << 20
    );
    write(&mut guest.iommu, pci::BAR0, &[0xff; 4]);
    assert_eq!(
        u32::from_le_bytes(read(&mut guest.iommu, pci::BAR0)),
        0xfc00_0000
    );
}

#[test]
fn the_place_that_the_ivrs_names_is_accepted() {
    let mut guest = Guest::new(1);
    write(&mut guest.iommu, pci::BAR0, &[0xff; 4]);
    write(&mut guest.iommu, pci::BAR0, &0xf800_0000_u32.to_le_bytes());
    write(&mut guest.iommu, pci::COMMAND, &pci::MEMORY.to_le_bytes());
    // Sizing again, as the kernel does with memory left on.
    write(&mut guest.iommu, pci::BAR0, &[0xff; 4]);
    write(&mut guest.iommu, pci::BAR0, &0xf800_0000_u32.to_le_bytes());
    assert!(guest.endings.try_recv().is_err());
}

#[test]
fn another_place_ends_the_bench() {
    let mut guest = Guest::new(1);
    write(&mut guest.iommu, pci::BAR0, &0xf400_0000_u32.to_le_bytes());
    assert!(guest.endings.try_recv().is_err(), "not enabled yet");
    write(&mut guest.iommu, pci::COMMAND, &pci::MEMORY.to_le_bytes());
    let ending = guest.endings.try_recv().expect("the bench ends");
    assert!(
        matches!(&ending, Ending::Fatal(reason) if reason.contains("0xf4000000")),
        "{ending:?}"
    );
}
