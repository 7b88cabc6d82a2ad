// SPDX-License-Identifier: GPL-2.0
//! Sources and targets: two functions of the bench for each driver.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use report::Subject;
use vvp_harness::control::Control;
use vvp_harness::pci::{Address, Function};
use vvp_harness::vfio::{Access, Device, Space, State};
use vvp_harness::{bench, kmod, sriov};

use crate::context::Size;

/// Where the bench's PF is.
const PF: &str = "0000:01:00.0";
/// The setting of this driver's devices.
const CHECKSUM: &str = "stream_checksum";

/// The machine's functions, and the bench behind them.
pub struct Bench {
    pub control: Control,
    functions: Vec<Function>,
}

/// A function in use.
pub struct End {
    pub device: Device,
    /// What the bench calls it.
    pub name: String,
    function: Function,
}

/// Two functions of one driver.
pub struct Pair {
    pub subject: Subject,
    pub source: End,
    pub target: End,
}

impl Bench {
    /// Brings all functions up.
    pub fn new() -> Result<Self> {
        let address: Address = PF.parse()?;
        let pf = bench::physical_function(&address)?;
        kmod::load_vfio_stack(true)?;
        kmod::load(kmod::OURS, "")?;
        kmod::load(kmod::REFERENCE, "")?;
        pf.wait_netdev()?;
        let most = pf.attribute("sriov_totalvfs")?;
        let count = most.trim().parse().context("sriov_totalvfs")?;
        Ok(Self {
            control: Control::find()?.context("the bench's control port is missing")?,
            functions: sriov::bring_up_bench(&pf, count)?,
        })
    }

    /// Number of functions.
    pub fn functions(&self) -> usize {
        self.functions.len()
    }

    /// Opens function `index`, from 0, with the driver of `subject`.
    pub fn open(&self, index: usize, subject: Subject) -> Result<End> {
        let function = self.functions.get(index).context("too few functions")?;
        let driver = match subject {
            Subject::Rs => kmod::OURS,
            Subject::C => kmod::REFERENCE,
            _ => anyhow::bail!("{subject} is no driver"),
        };
        function.bind(driver)?;
        let device = Device::open(function, &Arc::new(Space::new(Access::Cdev)?))?;
        device.reset().context("VFIO_DEVICE_RESET")?;
        Ok(End {
            device,
            name: format!("vf{}", function.vf_number()?),
            function: function.clone(),
        })
    }

    /// A pair for each driver, this one first.
    pub fn pairs(&self) -> Result<[Pair; 2]> {
        let pair = |subject, first| -> Result<Pair> {
            Ok(Pair {
                subject,
                source: self.open(first, subject)?,
                target: self.open(first + 1, subject)?,
            })
        };
        Ok([pair(Subject::Rs, 0)?, pair(Subject::C, 2)?])
    }

    /// Gives function `name` a context of this size.
    pub fn resize(&mut self, name: &str, size: Size) -> Result<()> {
        self.control
            .ballast(name, size.ballast() as usize, size.part as usize)?;
        Ok(())
    }

    /// Gives all functions of `pairs` a context of this size, as after a reset.
    pub fn resize_all(&mut self, pairs: &[Pair], size: Size) -> Result<()> {
        for end in pairs.iter().flat_map(|pair| [&pair.source, &pair.target]) {
            end.device.reset().context("VFIO_DEVICE_RESET")?;
            self.resize(&end.name, size)?;
        }
        Ok(())
    }
}

/// How a pair migrates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// As it does by default.
    Default,
    /// Without a checksum of the stream: what that costs depends on the machine.
    NoChecksum,
}

impl Seal {
    /// The figure `name` of migrations like this.
    pub fn figure(self, name: &str) -> String {
        match self {
            Self::Default => name.into(),
            Self::NoChecksum => format!("{name} without checksum"),
        }
    }
}

impl Pair {
    /// Does `measure` with the checksum and without, in this order. The in-tree driver has none
    /// to leave out: what it does counts for both.
    pub fn sealed_or_not<T: Clone>(
        &self,
        mut measure: impl FnMut() -> Result<T>,
    ) -> Result<[T; 2]> {
        let first = measure()?;
        let second = if self.subject == Subject::Rs {
            let function = &self.source.function;
            function.set_attribute(CHECKSUM, "0")?;
            let measured = measure();
            function.set_attribute(CHECKSUM, "1")?;
            measured?
        } else {
            first.clone()
        };
        Ok([first, second])
    }

    /// Both run again, the target as after a reset.
    pub fn settle(&self) -> Result<()> {
        self.source.device.go(State::Running)?;
        self.target.device.reset().context("VFIO_DEVICE_RESET")?;
        ensure!(
            self.target.device.state()? == State::Running,
            "a target that does not run after its reset"
        );
        Ok(())
    }
}

/// The pairs in the order of repetition `number`: who begins takes turns.
pub fn by_turns(pairs: &[Pair; 2], number: usize) -> [&Pair; 2] {
    let [a, b] = pairs;
    if number % 2 == 0 { [a, b] } else { [b, a] }
}
