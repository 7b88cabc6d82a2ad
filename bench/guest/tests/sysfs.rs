// SPDX-License-Identifier: GPL-2.0
//! On a directory that looks like sysfs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use vfio_bench_guest::interrupts;
use vfio_bench_guest::pf::Pf;
use vfio_bench_guest::place::place;

/// Configuration space with these vendor-specific capabilities, each from its third byte on.
fn config(capabilities: &[&[u8]]) -> Vec<u8> {
    let mut space = vec![0; 256];
    let mut link = 0x34;
    for (number, body) in capabilities.iter().enumerate() {
        let at = 0x40 + 0x20 * number;
        space[link] = at as u8;
        space[at] = 9;
        space[at + 2..at + 2 + body.len()].copy_from_slice(body);
        link = at + 1;
    }
    space
}

const COMMON: &[u8] = &[16, 1];
const PAGE_WRITER: &[u8] = &[16, 9, 0x34, 0x12];

fn function(devices: &Path, address: &str, config: &[u8]) {
    let dir = devices.join(address);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("config"), config).unwrap();
    fs::write(dir.join("sriov_totalvfs"), "4\n").unwrap();
}

#[test]
fn only_a_bench_is_found() {
    let devices = tempfile::tempdir().unwrap();
    let devices = devices.path();
    function(devices, "0000:01:00.0", &config(&[COMMON]));
    let nobody = Pf::find(devices).unwrap_err().to_string();
    assert!(nobody.starts_with("no vfio-bench is attached"), "{nobody}");
    assert_eq!(
        Pf::open(devices, "0000:01:00.0").unwrap_err().to_string(),
        "0000:01:00.0: not a function of vfio-bench"
    );

    function(devices, "0000:02:00.0", &config(&[COMMON, PAGE_WRITER]));
    let pf = Pf::find(devices).unwrap();
    assert_eq!(
        (pf.address().as_str(), pf.total().unwrap()),
        ("0000:02:00.0", 4)
    );

    function(devices, "0000:03:00.0", &config(&[PAGE_WRITER]));
    assert_eq!(
        Pf::find(devices).unwrap_err().to_string(),
        "several: choose with --pf one of 0000:02:00.0, 0000:03:00.0"
    );
    assert_eq!(
        Pf::open(devices, "0000:03:00.0").unwrap().address(),
        "0000:03:00.0"
    );
}

#[test]
fn capabilities_in_a_circle_have_an_end() {
    let devices = tempfile::tempdir().unwrap();
    let mut space = config(&[COMMON]);
    space[0x41] = 0x40;
    function(devices.path(), "0000:01:00.0", &space);
    assert!(Pf::find(devices.path()).is_err());
}

#[test]
fn who_is_not_root_is_told() {
    let devices = tempfile::tempdir().unwrap();
    function(
        devices.path(),
        "0000:01:00.0",
        &config(&[PAGE_WRITER])[..64],
    );
    let error = Pf::find(devices.path()).unwrap_err().to_string();
    assert!(error.ends_with("root is needed"), "{error}");
}

#[test]
fn a_pf_without_a_driver_is_left_alone() {
    let devices = tempfile::tempdir().unwrap();
    function(devices.path(), "0000:01:00.0", &config(&[PAGE_WRITER]));
    let error = Pf::find(devices.path()).unwrap().create(1).unwrap_err();
    assert!(error.to_string().contains("has no driver"), "{error}");
}

#[test]
fn vfs_get_a_place_and_probing_is_on_again() {
    let devices = tempfile::tempdir().unwrap();
    let pf = devices.path().join("0000:01:00.0");
    function(devices.path(), "0000:01:00.0", &config(&[PAGE_WRITER]));
    fs::create_dir(devices.path().join("virtio-pci")).unwrap();
    symlink("../virtio-pci", pf.join("driver")).unwrap();
    fs::write(pf.join("sriov_numvfs"), "0\n").unwrap();
    function(devices.path(), "0000:01:00.1", &config(&[]));
    let vf = devices.path().join("0000:01:00.1");
    symlink("../0000:01:00.1", pf.join("virtfn0")).unwrap();
    let line = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
    let bar2 = "0x000000c0fe004000 0x000000c0fe007fff 0x0000000000140204\n";
    fs::write(vf.join("resource"), format!("{line}{line}{bar2}{line}")).unwrap();

    let vfs = Pf::find(devices.path()).unwrap().create(1).unwrap();
    assert_eq!(vfs, [vf.canonicalize().unwrap()]);
    let space = fs::read(vf.join("config")).unwrap();
    assert_eq!(
        space[0x18..0x20],
        0xc0fe004000u64.to_le_bytes(),
        "BAR 2 and 3"
    );
    assert_eq!(space[4..6], [2, 0], "memory space");
    let read = |name| fs::read_to_string(pf.join(name)).unwrap();
    assert_eq!(read("sriov_numvfs"), "1");
    assert_eq!(read("sriov_drivers_autoprobe"), "1");

    // One that cannot be placed.
    fs::write(vf.join("resource"), line).unwrap();
    fs::write(pf.join("sriov_drivers_autoprobe"), "0").unwrap();
    assert!(Pf::find(devices.path()).unwrap().create(1).is_err());
    assert_eq!(read("sriov_drivers_autoprobe"), "1");
    assert!(place(&vf).is_err());
}

#[test]
fn only_the_modules_that_are_there_are_told() {
    let modules = tempfile::tempdir().unwrap();
    assert!(interrupts::allow_unsafe(modules.path()).unwrap().is_empty());
    let parameters = modules.path().join("iommufd/parameters");
    fs::create_dir_all(&parameters).unwrap();
    fs::write(parameters.join("allow_unsafe_interrupts"), "N\n").unwrap();
    assert_eq!(
        interrupts::allow_unsafe(modules.path()).unwrap(),
        ["iommufd"]
    );
    assert_eq!(
        fs::read_to_string(parameters.join("allow_unsafe_interrupts")).unwrap(),
        "Y"
    );
}
