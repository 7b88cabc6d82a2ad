// SPDX-License-Identifier: GPL-2.0
//! What a case is, what it is given, and what it can come to.

use std::cell::{Cell, OnceCell, RefCell};

use anyhow::{Context, Result};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::data::Data;
use crate::device::Device;
use crate::fsm::State;
use crate::rules::Rule;
use crate::space::Way;
use crate::target::Target;
use crate::uapi;

/// A deviation from a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finding {
    /// The rule is broken: users who rely on it fail.
    Error(String),
    /// The rule is a "should", or is not quite followed in a way that users get along with,
    /// or is not written but taken for granted.
    Advice(String),
}

/// Why a case ended before its end.
#[derive(Debug)]
pub enum End {
    /// It does not apply to the device.
    Skip(String),
    /// The device deviates so that nothing more can be said.
    Error(String),
}

impl From<anyhow::Error> for End {
    fn from(error: anyhow::Error) -> Self {
        Self::Error(format!("{error:#}"))
    }
}

/// How a case ends.
pub type Verdict = Result<(), End>;

/// Ends the case with an error unless the condition holds.
#[macro_export]
macro_rules! must {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::trial::End::Error(format!($($message)+)));
        }
    };
}

/// Ends the case, which does not apply to the device.
#[macro_export]
macro_rules! skip {
    ($($message:tt)+) => {
        return Err($crate::trial::End::Skip(format!($($message)+)))
    };
}

/// A test of one rule.
pub struct Case {
    pub name: String,
    pub rule: &'static Rule,
    /// It opens and closes the devices itself; nobody else has them open.
    pub alone: bool,
    pub run: Box<dyn Fn(&Trial<'_>) -> Verdict>,
}

impl Case {
    /// A case on a device that is open, RUNNING, and reset afterwards.
    pub fn new(
        name: impl Into<String>,
        rule: &'static Rule,
        run: impl Fn(&Trial<'_>) -> Verdict + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            rule,
            alone: false,
            run: Box::new(run),
        }
    }

    /// The same on a device that it opens itself.
    pub fn alone(
        name: impl Into<String>,
        rule: &'static Rule,
        run: impl Fn(&Trial<'_>) -> Verdict + 'static,
    ) -> Self {
        Self {
            alone: true,
            ..Self::new(name, rule, run)
        }
    }
}

/// The devices of a run, open or not.
#[derive(Debug)]
pub struct Devices {
    pub target: Target,
    pub peer: Option<Target>,
    pub way: Way,
}

/// What a case has to work with.
pub struct Trial<'a> {
    devices: &'a Devices,
    /// Open by whoever started the case.
    held: Option<&'a Device>,
    held_peer: Option<&'a Device>,
    own: OnceCell<Device>,
    findings: RefCell<Vec<Finding>>,
    errors: Cell<usize>,
}

impl<'a> Trial<'a> {
    pub fn new(
        devices: &'a Devices,
        held: Option<&'a Device>,
        held_peer: Option<&'a Device>,
    ) -> Self {
        Self {
            devices,
            held,
            held_peer,
            own: OnceCell::new(),
            findings: RefCell::default(),
            errors: Cell::new(0),
        }
    }

    /// The device, open; in a case of its own it is opened on first use.
    pub fn device(&self) -> Result<&Device> {
        if let Some(device) = self.held {
            return Ok(device);
        }
        if let Some(device) = self.own.get() {
            return Ok(device);
        }
        let device = self.open()?;
        Ok(self.own.get_or_init(|| device))
    }

    /// The device that the case has opened by [`Self::device`].
    pub fn own(&self) -> Option<&Device> {
        self.own.get()
    }

    /// Opens the device; in cases of their own only.
    pub fn open(&self) -> Result<Device> {
        Device::open(&self.devices.target, self.devices.way).context("opening the device")
    }

    /// What streams are loaded into: the second device, or the first one once more.
    pub fn target(&self) -> Result<&Device> {
        match self.held_peer {
            Some(peer) => Ok(peer),
            None => self.device(),
        }
    }

    /// Notes a deviation and goes on.
    pub fn error(&self, text: impl Into<String>) {
        self.errors.set(self.errors.get() + 1);
        self.findings.borrow_mut().push(Finding::Error(text.into()));
    }

    /// Notes something that could be better.
    pub fn advise(&self, text: impl Into<String>) {
        let advice = Finding::Advice(text.into());
        let mut findings = self.findings.borrow_mut();
        if !findings.contains(&advice) {
            findings.push(advice);
        }
    }

    /// Notes a deviation if the condition does not hold.
    pub fn check(&self, condition: bool, text: impl FnOnce() -> String) {
        if !condition {
            self.error(text());
        }
    }

    /// Notes advice if the condition does not hold.
    pub fn should(&self, condition: bool, text: impl FnOnce() -> String) {
        if !condition {
            self.advise(text());
        }
    }

    /// `answer` must be a refusal, and should be `expected`.
    pub fn refused<T>(&self, what: &str, answer: Result<T, Errno>, expected: Errno) {
        match answer {
            Ok(_) => self.error(format!("{what} succeeds")),
            Err(errno) => self.should(errno == expected, || {
                format!("{what} is refused with {errno:?}, not {expected:?}")
            }),
        }
    }

    /// All that was noted.
    pub fn into_findings(self) -> Vec<Finding> {
        self.findings.into_inner()
    }

    /// The flags that the device announces; without migration the case does not apply.
    pub fn flags(&self) -> Result<u64, End> {
        match self.device()?.migration_flags() {
            Ok(flags) => Ok(flags),
            Err(Errno::ENOTTY) => skip!("the device has no migration"),
            Err(errno) => Err(End::Error(format!("GET of MIGRATION: {errno:?}"))),
        }
    }

    /// The case does not apply without `state`.
    pub fn require(&self, state: State) -> Result<&Device, End> {
        if !state.exists(self.flags()?) {
            skip!("the device does not announce {state}");
        }
        Ok(self.device()?)
    }

    /// The case does not apply without DMA logging.
    pub fn require_log(&self) -> Result<&Device, End> {
        let device = self.device()?;
        match device.probe(uapi::DMA_LOGGING_START) {
            Ok(()) => Ok(device),
            Err(Errno::ENOTTY) => skip!("the device has no DMA logging"),
            Err(errno) => Err(End::Error(format!("PROBE of DMA_LOGGING_START: {errno:?}"))),
        }
    }

    /// The case does not apply without VFIO_DEVICE_RESET, which some have and do not say so.
    pub fn require_reset(&self) -> Result<&Device, End> {
        let device = self.device()?;
        let announced = device.info_flags()? & uapi::DEVICE_FLAGS_RESET != 0;
        match device.reset() {
            Ok(()) if !announced => {
                self.advise("VFIO_DEVICE_RESET works, and VFIO_DEVICE_FLAGS_RESET is not set");
            }
            Ok(()) => {}
            Err(errno) if announced => {
                return Err(End::Error(format!("VFIO_DEVICE_RESET: {errno:?}")));
            }
            Err(_) => skip!("the device cannot be reset (VFIO_DEVICE_FLAGS_RESET)"),
        }
        Ok(device)
    }

    /// Reads the whole state of `device`, which goes to STOP_COPY and then to STOP.
    pub fn save(&self, device: &Device) -> Result<Vec<u8>> {
        let data = device.begin(State::StopCopy)?;
        let stream = data.read_all()?;
        device.go(State::Stop).context("after the whole stream")?;
        anyhow::ensure!(!stream.is_empty(), "the stream is empty");
        Ok(stream)
    }

    /// Loads `stream` into `device`, which ends in STOP.
    pub fn load(&self, device: &Device, stream: &[u8], chunk: usize) -> Result<()> {
        let data = device.begin(State::Resuming)?;
        data.write_all(stream, chunk)
            .context("writing the stream")?;
        device.go(State::Stop).context("after the whole stream")
    }

    /// `stream` must load, and the device run with it. The first device is in any state
    /// that leads to STOP.
    pub fn prove(&self, stream: &[u8]) -> Result<()> {
        let target = self.target()?;
        self.load(target, stream, 1 << 16)?;
        target.go(State::Running).context("with what was loaded")
    }

    /// The device must be fit: save, load and run.
    pub fn prove_device(&self, device: &Device) -> Result<()> {
        let stream = self.save(device).context("saving afterwards")?;
        self.load(device, &stream, 1 << 16)
            .context("loading afterwards")?;
        device.go(State::Running)
    }

    /// Brings the device to `state`. RESUMING has nothing written yet.
    pub fn enter(&self, state: State) -> Result<Option<Data>, End> {
        let device = self.require(state)?;
        if state == State::Running {
            return Ok(None);
        }
        device
            .set(state)
            .map_err(|errno| End::Error(format!("RUNNING to {state}: {errno:?}")))
    }
}

/// Takes any answer: what it is, no rule says.
pub fn ignore<T>(_: T) {}

/// Makes the device RUNNING again, as a case must leave it. True if only opening it anew
/// can do that.
pub fn tidy(device: &Device) -> Result<bool> {
    // What a case has started. That nothing was started is no concern of this.
    let _ = device.stop_log();
    let announced = device.info_flags()? & uapi::DEVICE_FLAGS_RESET != 0;
    // Some have it and do not say so.
    let reset = device.reset();
    if announced || reset.is_ok() {
        reset.context("VFIO_DEVICE_RESET after the case")?;
        let state = device.state()?;
        anyhow::ensure!(
            state == State::Running,
            "after the case and a reset it is in {state}"
        );
        return Ok(false);
    }
    if device.state()? != State::Running && device.set(State::Running).is_err() {
        return Ok(true);
    }
    Ok(false)
}
