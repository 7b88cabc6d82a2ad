// SPDX-License-Identifier: GPL-2.0
//! Guest memory as it is mapped and unmapped.

use std::os::fd::AsRawFd;

use vfio_user::Client;

use crate::guest::{DATA, Guest, RAM};
use crate::wire::pci;

#[test]
fn unmapped_memory_is_out_of_reach() {
    let mut guest = Guest::new(1);
    assert!(guest.store(0, DATA, 1));
    guest.functions[0].dma_unmap(0, RAM).expect("DMA_UNMAP");
    assert!(!guest.store(0, DATA, 2));
    assert_eq!(guest.read32(DATA), 1);
    let fd = guest.file.as_raw_fd();
    guest.functions[0].dma_map(0, 0, RAM, fd).expect("DMA_MAP");
    assert!(guest.store(0, DATA, 3));
    assert_eq!(guest.read32(DATA), 3);
}

#[test]
fn mappings_have_offsets_of_their_own() {
    let mut guest = Guest::new(1);
    let fd = guest.file.as_raw_fd();
    guest.functions[0]
        .dma_map(DATA, 1 << 32, 0x1000, fd)
        .expect("DMA_MAP");
    assert!(guest.store(0, (1 << 32) + 8, 4));
    assert_eq!(guest.read32(DATA + 8), 4);
    assert!(!guest.store(0, (1 << 32) + 0x1000, 5));
    guest.functions[0]
        .dma_unmap(1 << 32, 0x1000)
        .expect("DMA_UNMAP");
    assert!(!guest.store(0, (1 << 32) + 8, 6));
    assert!(guest.store(0, DATA, 7), "the rest stays");
}

#[test]
fn an_access_across_adjacent_mappings() {
    let mut guest = Guest::new(1);
    let fd = guest.file.as_raw_fd();
    guest.functions[0]
        .dma_map(DATA, RAM, 0x1000, fd)
        .expect("DMA_MAP");
    assert!(guest.store(0, RAM - 2, 0x4433_2211));
    assert_eq!(guest.read32(RAM - 4) >> 16, 0x2211);
    assert_eq!(guest.read32(DATA) & 0xffff, 0x4433);
}

#[test]
fn what_cannot_be_mapped_is_ignored() {
    let mut guest = Guest::new(1);
    let fd = guest.file.as_raw_fd();
    // Beyond the end of the file; overlapping what is there; no size at all.
    guest.functions[0]
        .dma_map(RAM, 1 << 32, 0x1000, fd)
        .expect("reply");
    guest.functions[0]
        .dma_map(0, DATA, 0x1000, fd)
        .expect("reply");
    guest.functions[0]
        .dma_map(0, 1 << 33, 0, fd)
        .expect("reply");
    assert!(!guest.store(0, 1 << 32, 1));
    assert!(guest.store(0, DATA, 1));
    assert_eq!((guest.read32(DATA), guest.read32(0)), (1, 0));
}

#[test]
fn the_word_of_the_pf_counts() {
    let mut guest = Guest::new(1);
    guest.functions[1].dma_unmap(0, RAM).expect("DMA_UNMAP");
    assert!(guest.store(0, DATA, 1));
}

#[test]
fn a_new_guest_can_come_after_an_old_one() {
    let mut guest = Guest::new(1);
    guest.enable_vfs(1);
    assert!(guest.store(0, DATA, 1));
    guest.functions[0].shutdown().expect("shutdown");
    let path = guest.dir.path().join("pf.sock");
    guest.functions[0] = Client::new(&path).expect("connection");
    assert_eq!(guest.config16(0, pci::COMMAND), 0);
    assert_eq!(guest.extended(0)[1].0, pci::EXT_VENDOR, "in disguise again");
    assert_eq!(guest.config16(1, pci::VENDOR_ID), 0xffff);
    guest.set_command(0, pci::MEMORY | pci::BUS_MASTER);
    assert!(!guest.store(0, DATA, 2), "the old one's memory is gone");
    let fd = guest.file.as_raw_fd();
    guest.functions[0].dma_map(0, 0, RAM, fd).expect("DMA_MAP");
    assert!(guest.store(0, DATA, 3));
}
