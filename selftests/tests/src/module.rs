// SPDX-License-Identifier: GPL-2.0
//! Fixture `module`: loading, unloading, binding.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use vvp_harness::kmsg::Log;
use vvp_harness::ktap::Suite;
use vvp_harness::pci::{self, Function};
use vvp_harness::vfio::Access;
use vvp_harness::{expect, expect_eq, kmod, note, skip};

use crate::config::{Config, Driver};
use crate::rig;

const REPETITIONS: usize = 20;
/// Twenty resets and module loads of an emulated machine.
const LIMIT: Duration = Duration::from_secs(180);

/// Adds the tests.
pub fn add(suite: &mut Suite, config: &Arc<Config>) {
    let with = |test: fn(&Config) -> Result<()>| {
        let config = Arc::clone(config);
        move || test(&config)
    };
    suite.add("module", "rs", "alias", with(alias));
    suite.add_slow(
        "module",
        "rs",
        "load_unload_20_times",
        LIMIT,
        with(load_unload),
    );
    suite.add_slow(
        "module",
        "rs",
        "bind_unbind_20_times",
        LIMIT,
        with(bind_unbind),
    );
    suite.add(
        "module",
        "rs",
        "bound_only_by_override",
        with(override_only),
    );
    suite.add(
        "module",
        "rs",
        "other_types_by_parameter",
        with(other_types),
    );
    for access in [Access::Cdev, Access::Group] {
        let config = Arc::clone(config);
        suite.add(
            "module",
            format!("rs_{access}"),
            "no_unload_while_open",
            move || no_unload_while_open(&config, access),
        );
    }
}

/// The alias is what makes VMMs (libvirt, driverctl) find the driver for a VF.
fn alias(config: &Config) -> Result<()> {
    let name = config.module_name(Driver::Rs);
    let Some(file) = kmod::source(&name) else {
        skip!("no module file was given (VVP_MODULE)");
    };
    let aliases = kmod::aliases(&file)?;
    let wanted = "vfio_pci:v00001AF4d00001041sv*sd*bc*sc*i*";
    expect!(
        aliases.iter().any(|alias| alias == wanted),
        "expected alias {wanted}, found {aliases:?}"
    );
    expect!(
        !aliases.iter().any(|alias| alias.starts_with("pci:")),
        "the module would be loaded for every virtio device: {aliases:?}"
    );
    Ok(())
}

/// Unbinds the functions, if there are any, so that nothing uses the module.
fn release(config: &Config) -> Result<()> {
    for function in [config.vf(), config.vf2()].into_iter().flatten() {
        function.unbind()?;
    }
    Ok(())
}

fn load_unload(config: &Config) -> Result<()> {
    release(config)?;
    let name = config.module_name(Driver::Rs);
    for round in 1..=REPETITIONS {
        config.load(Driver::Rs)?;
        expect!(kmod::loaded(&name), "round {round}: not loaded");
        kmod::unload(&name).with_context(|| format!("round {round}: unloading {name}"))?;
        expect!(!kmod::loaded(&name), "round {round}: still loaded");
    }
    Ok(())
}

fn bind_unbind(config: &Config) -> Result<()> {
    let vf = config.vf()?;
    for round in 1..=REPETITIONS {
        config
            .bind(&vf, Driver::Rs)
            .with_context(|| format!("round {round}"))?;
        // A device that was used leaves more behind than one that was not.
        let device = rig::open(config, &vf, Driver::Rs, config.access)
            .with_context(|| format!("round {round}"))?;
        drop(device);
        vf.unbind().with_context(|| format!("round {round}"))?;
        expect_eq!(vf.driver(), None, "round {round}: driver after unbinding");
    }
    expect_eq!(
        kmod::users(&config.module_name(Driver::Rs))?,
        0,
        "users of the module"
    );
    Ok(())
}

/// Without an override the kernel must give the VF to its native driver.
fn override_only(config: &Config) -> Result<()> {
    let vf = config.vf()?;
    config.bind(&vf, Driver::Rs)?;
    vf.unbind()?;
    pci::write(
        std::path::Path::new("/sys/bus/pci/drivers_probe"),
        &vf.address().to_string(),
    )?;
    let found = vf.driver();
    note!("without an override: {found:?}");
    vf.unbind()?;
    expect!(
        found.as_deref() != Some(config.driver_name(Driver::Rs)),
        "bound without an override"
    );
    config.bind(&vf, Driver::Rs)
}

/// A virtio device that is neither network nor block: an entropy source.
pub fn entropy_source() -> Result<Option<Function>> {
    for entry in std::fs::read_dir("/sys/bus/pci/devices")? {
        let name = entry?.file_name();
        let address = name.to_string_lossy().parse()?;
        let function = Function::open(&address)?;
        if matches!(function.ids()?, (0x1af4, 0x1005 | 0x1044)) {
            return Ok(Some(function));
        }
    }
    Ok(None)
}

fn other_types(config: &Config) -> Result<()> {
    let Some(function) = entropy_source()? else {
        skip!("no virtio device of another type here");
    };
    let native = function.driver();
    release(config)?;
    let name = config.module_name(Driver::Rs);
    let driver = config.driver_name(Driver::Rs);
    config.load(Driver::Rs)?;
    let mut log = Log::follow()?;
    let mut said = |words: &str| -> Result<bool> {
        Ok(log.messages()?.iter().any(|line| line.contains(words)))
    };
    expect!(
        function.bind(driver).is_err(),
        "bound without the parameter"
    );
    expect_eq!(function.driver(), None, "driver without the parameter");
    expect!(said("type 4 is untried")?, "the log does not say why");
    function.unbind()?;
    expect_eq!(kmod::unload(&name), Ok(()), "unloading");

    kmod::load(&name, "any_device_type=1")?;
    // Whether VFIO takes it as well depends on its being behind an IOMMU.
    let bound = function.bind(driver);
    note!("with the parameter: {bound:?}");
    // It has no PF that could migrate it.
    expect!(said("no live migration")?, "the driver did not look at it");
    function.unbind()?;
    expect_eq!(kmod::unload(&name), Ok(()), "unloading");
    if let Some(native) = native {
        function.bind(&native)?;
    }
    config.load(Driver::Rs)
}

fn no_unload_while_open(config: &Config, access: Access) -> Result<()> {
    release(config)?;
    let name = config.module_name(Driver::Rs);
    let device = rig::open(config, &config.vf()?, Driver::Rs, access)?;
    // delete_module(2) with O_NONBLOCK says so of a module in use.
    expect_eq!(
        kmod::unload(&name),
        Err(Errno::EWOULDBLOCK),
        "unloading with a device open"
    );
    drop(device);
    // Bound, but not open, is no use: unloading unbinds.
    expect_eq!(kmod::unload(&name), Ok(()), "unloading with a device bound");
    expect_eq!(config.vf()?.driver(), None, "driver after unloading");
    Ok(())
}
