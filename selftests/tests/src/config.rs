// SPDX-License-Identifier: GPL-2.0
//! What is tested, and where: command line, environment, and the drivers to bind.

use std::fmt;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use vvp_harness::control::Control;
use vvp_harness::pci::{Address, Function};
use vvp_harness::vfio::Access;
use vvp_harness::{bench, kmod, skip, sriov};

use crate::disturbance::Disturbance;
use crate::edu;
use crate::torture;

/// Where the bench's PF is.
const BENCH_PF: &str = "0000:01:00.0";
/// How many VFs the tests use.
const BENCH_VFS: u32 = 2;

/// Selftests of virtio_vfio_pci_rs.
///
/// Prints KTAP and exits with 0 (passed), 1 (failed) or 4 (nothing could run).
#[derive(Debug, Parser)]
#[command(name = "vvp-selftests", version)]
pub struct Arguments {
    /// The virtual function to test, for example 0000:01:00.1
    #[arg(long, env = "VVP_VF", value_name = "ADDRESS")]
    vf: Option<Address>,
    /// A second one of the same physical function, to migrate to
    #[arg(long, env = "VVP_VF2", value_name = "ADDRESS")]
    vf2: Option<Address>,
    /// The driver under test; its module is $VVP_MODULE, or modprobe finds it
    #[arg(long, env = "VVP_DRIVER", value_name = "NAME", default_value = kmod::OURS)]
    driver: String,
    /// The driver to compare with and to exchange streams with
    #[arg(long, env = "VVP_REFERENCE_DRIVER", value_name = "NAME", default_value = kmod::REFERENCE)]
    reference_driver: String,
    /// This machine is the bench's: set it up, and use the bench's control socket
    #[arg(long)]
    bench: bool,
    /// The bench's physical function has no admin virtqueue
    #[arg(long, env = "VVP_NO_ADMIN", value_parser = clap::builder::FalseyValueParser::new())]
    no_admin: bool,
    /// Test the sample driver, on two of QEMU's edu devices, and nothing else
    #[arg(long, conflicts_with_all = ["bench", "no_admin"])]
    edu: bool,
    /// Test functions whose state has 60 MiB and more, and nothing else
    #[arg(long, conflicts_with_all = ["no_admin", "edu"])]
    large: bool,
    /// Test the bench's functions that differ from each other, and nothing else
    #[arg(long, requires = "bench", conflicts_with_all = ["no_admin", "edu", "large"])]
    unlike: bool,
    /// The virtual functions are transitional devices
    #[arg(long, env = "VVP_TRANSITIONAL", value_parser = clap::builder::FalseyValueParser::new())]
    transitional: bool,
    /// How tests reach a device that can do without iommufd; 'group' is for kernels that
    /// have none, where the rest is skipped, as is what needs the other driver
    #[arg(long, env = "VVP_ACCESS", value_enum, default_value_t = Access::Cdev)]
    access: Access,
    /// What the functions are
    #[arg(long, env = "VVP_DEVICE", value_enum, default_value_t = DeviceType::Net)]
    device: DeviceType,
    /// The function whose disk, all of it, may be overwritten; not needed on the bench
    #[arg(long, value_name = "ADDRESS")]
    destroy_disk: Vec<Address>,
    #[command(flatten)]
    torture: torture::Options,
    /// Print what the tests would disturb, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print the names of the tests and do nothing
    #[arg(long)]
    pub list: bool,
    /// Run only tests whose name contains this (may be repeated)
    #[arg(long = "filter", value_name = "TEXT")]
    filter: Vec<String>,
    /// The same
    #[arg(value_name = "TEXT")]
    texts: Vec<String>,
}

impl Arguments {
    /// What to run, everything if empty.
    pub fn filters(&self) -> Vec<String> {
        self.filter.iter().chain(&self.texts).cloned().collect()
    }
}

/// The virtio device type of the functions under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceType {
    /// Network
    Net,
    /// Block
    Blk,
}

impl DeviceType {
    /// Its number in the specification (section 5).
    pub fn virtio_type(self) -> u8 {
        match self {
            Self::Net => 1,
            Self::Blk => 2,
        }
    }
}

/// The drivers that tests bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Ours.
    Rs,
    /// The in-tree driver in C: the other end of interoperability, and our
    /// witness that a test and the bench are right.
    C,
    /// Plain vfio-pci.
    Plain,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rs => "rs",
            Self::C => "c",
            Self::Plain => "vfio_pci",
        })
    }
}

/// Everything the tests share.
#[derive(Debug)]
pub struct Config {
    vf: Option<Address>,
    vf2: Option<Address>,
    driver: String,
    reference_driver: String,
    /// On the bench.
    pub bench: bool,
    /// The physical function cannot migrate its VFs.
    pub no_admin: bool,
    /// Only the sample driver.
    pub edu: bool,
    /// Only what is about large contexts.
    pub large: bool,
    /// Only what is about functions that differ.
    pub unlike: bool,
    /// A legacy driver can use the functions.
    pub transitional: bool,
    /// The way to a device for tests that have no reason to prefer one.
    pub access: Access,
    /// What the functions are.
    pub device: DeviceType,
    /// Functions whose disks may be overwritten.
    destroy_disk: Vec<Address>,
    /// How the tests at random are run.
    pub torture: torture::Options,
}

impl Config {
    /// Checks the arguments; changes nothing in the system.
    pub fn new(arguments: Arguments) -> Result<Self> {
        Ok(Self {
            vf: arguments.vf,
            vf2: arguments.vf2,
            driver: arguments.driver,
            reference_driver: arguments.reference_driver,
            bench: arguments.bench,
            no_admin: arguments.no_admin,
            edu: arguments.edu,
            large: arguments.large,
            unlike: arguments.unlike,
            transitional: arguments.transitional,
            access: arguments.access,
            device: arguments.device,
            destroy_disk: arguments.destroy_disk,
            torture: arguments.torture,
        })
    }

    /// What the tests change on a machine that is not made for them; the error is a reason
    /// not to. Looks only.
    pub fn disturbance(&self) -> Result<Option<Disturbance>> {
        if self.bench {
            bench::physical_function(&BENCH_PF.parse()?)?;
            return Ok(None);
        }
        if self.edu {
            let found = edu::devices()?.len();
            ensure!(found >= 2, "--edu is for a machine with two edu devices");
            return Ok(None);
        }
        let functions: Vec<Function> = [&self.vf, &self.vf2]
            .into_iter()
            .flatten()
            .map(Function::open)
            .collect::<Result<_>>()?;
        let found = Disturbance::find(&functions, &self.module_name(Driver::Rs))?;
        found.ensure_harmless(&self.destroy_disk)?;
        Ok(Some(found))
    }

    /// Makes the machine ready: modules, and on the bench the VFs.
    pub fn prepare(&self) -> Result<()> {
        let unsafe_interrupts = self.bench || self.edu;
        match self.access {
            Access::Cdev => kmod::load_vfio_stack(unsafe_interrupts)?,
            Access::Group => kmod::load_container_stack(unsafe_interrupts)?,
        }
        if self.bench {
            let pf = Function::open(&BENCH_PF.parse()?)?;
            // Its driver must be up before it can have VFs.
            self.wait_for_pf(&pf)?;
            sriov::bring_up_bench(&pf, BENCH_VFS)?;
        }
        Ok(())
    }

    /// Waits until the driver of `pf` has made of it what it is.
    pub fn wait_for_pf(&self, pf: &Function) -> Result<()> {
        match self.device {
            DeviceType::Net => pf.wait_netdev(),
            DeviceType::Blk => pf.wait_disk(),
        }
        .map(drop)
    }

    /// The function under test.
    pub fn vf(&self) -> Result<Function> {
        match &self.vf {
            Some(address) => Function::open(address),
            None if self.bench => Function::open(&BENCH_PF.parse()?)?.virtfn(1),
            None => skip!("no virtual function was given (--vf or VVP_VF)"),
        }
    }

    /// The function to migrate to.
    pub fn vf2(&self) -> Result<Function> {
        match &self.vf2 {
            Some(address) => Function::open(address),
            None if self.bench => Function::open(&BENCH_PF.parse()?)?.virtfn(2),
            None => skip!("no second virtual function was given (--vf2 or VVP_VF2)"),
        }
    }

    /// The module and driver name of `driver`.
    pub fn driver_name(&self, driver: Driver) -> &str {
        match driver {
            Driver::Rs => &self.driver,
            Driver::C => &self.reference_driver,
            Driver::Plain => "vfio-pci",
        }
    }

    /// The module of `driver`; its file, if it need not be asked of modprobe.
    pub fn module_name(&self, driver: Driver) -> String {
        self.driver_name(driver).replace('-', "_")
    }

    /// Loads `driver`'s module; a reference that the system does not have is a reason to skip.
    pub fn load(&self, driver: Driver) -> Result<()> {
        let loaded = kmod::load(&self.module_name(driver), "");
        match loaded {
            Err(error) if driver == Driver::C && !(self.bench && self.access == Access::Cdev) => {
                skip!("this system has no {}: {error:#}", self.reference_driver)
            }
            other => other,
        }
    }

    /// Binds `function` to `driver`.
    pub fn bind(&self, function: &Function, driver: Driver) -> Result<()> {
        self.load(driver)?;
        function.bind(self.driver_name(driver))
    }

    /// The bench's control socket.
    pub fn control(&self) -> Result<Control> {
        if !self.bench {
            skip!("needs the bench");
        }
        Control::find()?.context("the bench's control port is missing")
    }

    /// What the bench calls `function`.
    pub fn bench_name(&self, function: &Function) -> Result<String> {
        Ok(format!("vf{}", function.vf_number()?))
    }

    /// A network interface of the physical function, to exchange frames with.
    pub fn pf_interface(&self, vf: &Function) -> Result<String> {
        let pf = vf
            .physfn()
            .context("the function under test is no virtual function")?;
        if self.bench {
            return pf.wait_netdev();
        }
        match pf.netdevs().into_iter().next() {
            Some(interface) => Ok(interface),
            None => skip!(
                "the physical function {} has no network interface",
                pf.address()
            ),
        }
    }

    /// Skips unless `function` is a network function.
    pub fn require_net(&self, function: &Function) -> Result<()> {
        self.require(function, 0x1041, "network")
    }

    /// Skips unless `function` is a block function.
    pub fn require_blk(&self, function: &Function) -> Result<()> {
        self.require(function, 0x1042, "block")
    }

    fn require(&self, function: &Function, id: u16, name: &str) -> Result<()> {
        let (vendor, device) = function.ids()?;
        ensure!(
            vendor == 0x1af4,
            "{} is no virtio function",
            function.address()
        );
        if device != id {
            skip!("{} is no virtio {name} function", function.address());
        }
        Ok(())
    }
}
