// SPDX-License-Identifier: GPL-2.0
//! The page writer, and the record of pages that a function wrote.

use crate::driver::{Driver, frame};
use crate::rig::{MEMORY, Rig};
use crate::wire::*;

fn write_page(driver: &Driver, address: u64, sequence: u32) {
    let base = driver.places.page_writer;
    driver.function.write_bar(base, &address.to_le_bytes());
    driver.function.write_bar(base + 8, &sequence.to_le_bytes());
}

fn executed(driver: &Driver) -> u32 {
    u32::from_le_bytes(driver.read(driver.places.page_writer + 12))
}

#[test]
fn writes_a_page_and_says_so() {
    let rig = Rig::plain(1);
    // It needs no driver: the function has nothing else to do.
    let driver = Driver::new(&rig, 1);
    assert_eq!(executed(&driver), 0);
    write_page(&driver, 0x5123, 7);
    assert_eq!(executed(&driver), 7);
    assert_eq!(
        driver.read::<8>(driver.places.page_writer),
        0x5000u64.to_le_bytes()
    );
    let page = rig.read(0x5000, 4096);
    for (i, word) in page.chunks(8).enumerate() {
        let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
        assert_eq!(word, (7 << 32) | i as u64);
    }
    assert_eq!(rig.read(0x4ff8, 8), [0; 8]);
    assert_eq!(rig.read(0x6000, 8), [0; 8]);
    assert_eq!(rig.dma_pages("vf1"), [0x5000]);
    assert!(rig.dma_pages("vf1").is_empty());
    assert_eq!(rig.counter(1, "page_writes"), 1);
    // Halves of the address can be written one by one.
    let base = driver.places.page_writer;
    driver.function.write_bar(base, &0x9000u32.to_le_bytes());
    driver.function.write_bar(base + 4, &1u32.to_le_bytes());
    assert_eq!(driver.read::<8>(base), 0x1_0000_9000u64.to_le_bytes());
    driver.function.write_bar(base + 4, &0u32.to_le_bytes());
    driver.function.write_bar(base + 8, &8u32.to_le_bytes());
    assert_eq!(rig.dma_pages("vf1"), [0x9000]);
}

#[test]
fn what_cannot_be_written_is_not_executed() {
    let rig = Rig::plain(1);
    let driver = Driver::new(&rig, 1);
    write_page(&driver, MEMORY as u64, 3);
    assert_eq!(executed(&driver), 0);
    rig.ports[1].set_bus_master(false);
    write_page(&driver, 0x5000, 4);
    assert_eq!(executed(&driver), 0);
    rig.ports[1].set_bus_master(true);
    assert_eq!(rig.read(0x5000, 8), [0; 8]);
    write_page(&driver, 0x5000, 5);
    assert_eq!(executed(&driver), 5);
    rig.flr(1);
    assert_eq!(executed(&driver), 0);
}

#[test]
fn nothing_while_stopped() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    pf.linux_admin_setup();
    let driver = Driver::new(&rig, 1);
    write_page(&driver, 0x5000, 1);
    let parts = rig.parts(1);
    assert_eq!(pf.set_mode(1, STOPPED), S_OK);
    rig.dma_pages("vf1");
    write_page(&driver, 0x6000, 2);
    assert_eq!(executed(&driver), 1);
    assert!(rig.dma_pages("vf1").is_empty());
    assert_eq!(pf.set_mode(1, 0), S_OK);
    assert_eq!(executed(&driver), 1, "ignored, not postponed");
    write_page(&driver, 0x6000, 2);
    assert_eq!(executed(&driver), 2);
    assert_eq!(rig.parts(1), parts, "not a device part");
}

#[test]
fn the_record_has_every_page_of_the_data_path() {
    let rig = Rig::plain(1);
    let mut pf = Driver::up(&rig, 0, 0);
    let mut vf = Driver::up(&rig, 1, 0);
    rig.dma_pages("vf1");
    let offered = vf.offer(6000);
    assert!(
        rig.dma_pages("vf1").is_empty(),
        "a receive buffer that waits is not touched"
    );
    pf.send(&frame(vf.mac(), pf.mac(), &[1; 5000]));
    let mut expected = vec![vf.queues[0].used & !0xfff, offered.1, offered.1 + 0x1000];
    expected.sort();
    assert_eq!(rig.dma_pages("vf1"), expected);
}
