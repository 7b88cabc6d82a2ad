// SPDX-License-Identifier: GPL-2.0
//! The target: what it does when the source asks for it, and how the source asks.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use vvp_harness::pci::Function;

use super::alone::{self, Alone};
use super::ground::{Role, prepare};
use super::{Manager, Options, daemons, domain, relay};
use crate::host::bench;
use crate::host::lines::Lines;
use crate::host::patience::say;

/// Port for the source's questions.
const QUESTIONS: u16 = 7200;
/// Port to which the guest's control channel is passed on.
pub const CONTROL: u16 = 7300;
/// How long the target may take to be ready. libvirt looks at QEMU first, which takes
/// minutes where the host itself is emulated and nobody has looked before.
const READY: Duration = Duration::from_secs(480);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(90);
/// The file by which the runner says that it is over.
const OVER: &str = "over";
/// How often it looks whether it is over.
const LOOK: Duration = Duration::from_millis(200);

/// What the source asks for.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Question {
    /// How the function is.
    Device,
    /// Start a QEMU that waits for the guest.
    Expect,
    /// Wait until QEMU has ended.
    Ended,
    /// What the guest's console has shown.
    Console,
}

/// The answer. What was not asked for is empty.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Answer {
    error: Option<String>,
    device: Option<Device>,
    console: Option<String>,
}

/// The virtual function of a host.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Device {
    /// Its driver.
    pub driver: Option<String>,
    /// The device's status, as the guest's driver has set it.
    pub status: u8,
    pub stopped: bool,
    /// Frames that the guest has sent and received with it.
    pub sent: u64,
    pub received: u64,
}

impl Device {
    /// Looks at `vf`, from the host's side and from the bench's.
    pub fn of(vf: &Function) -> Result<Self> {
        let state = bench::state(vf)?;
        Ok(Self {
            driver: vf.driver(),
            status: state.status,
            stopped: state.stopped,
            sent: state.counters.tx_frames,
            received: state.counters.rx_frames,
        })
    }
}

/// Is the target until it is over.
pub fn target(options: &Options) -> Result<()> {
    say("preparing the target");
    let ground = prepare(Role::Target, options)?;
    let vf = ground.vf;
    match options.manager {
        Manager::Libvirt => daemons::start(Role::Target)?,
        Manager::Qemu => alone::bind(&vf)?,
    }
    relay::start(Role::Target.place(CONTROL), domain::CONTROL.as_ref())?;
    let listener =
        TcpListener::bind(Role::Target.place(QUESTIONS)).context("listening for the source")?;
    let over = options.shared.join(OVER);
    let options = options.clone();
    thread::spawn(move || {
        // The source comes once, and stays.
        let answered = listener
            .accept()
            .context("waiting for the source")
            .and_then(|(source, _)| answer_all(source, &options, &vf));
        if let Err(error) = answered {
            println!("# target: {error:#}");
        }
    });
    say("ready");
    while !over.exists() {
        sleep(LOOK);
    }
    Ok(())
}

fn answer_all(source: TcpStream, options: &Options, vf: &Function) -> Result<()> {
    source.set_nodelay(true).context("TCP_NODELAY")?;
    let mut output = source.try_clone().context("second handle")?;
    let mut qemu = None;
    for line in BufReader::new(source).lines() {
        let line = line.context("reading a question")?;
        let question = serde_json::from_str(&line).with_context(|| format!("{line:?}"))?;
        let answer = answer(question, options, vf, &mut qemu).unwrap_or_else(|error| Answer {
            error: Some(format!("{error:#}")),
            ..Answer::default()
        });
        let mut text = serde_json::to_string(&answer).context("encoding an answer")?;
        text.push('\n');
        output.write_all(text.as_bytes()).context("answering")?;
    }
    Ok(())
}

fn answer(
    question: Question,
    options: &Options,
    vf: &Function,
    qemu: &mut Option<Alone>,
) -> Result<Answer> {
    let mut answer = Answer::default();
    match question {
        Question::Device => answer.device = Some(Device::of(vf)?),
        Question::Expect => *qemu = Some(Alone::expect(&options.common, vf)?),
        Question::Ended => qemu.take().context("there is no QEMU")?.ended()?,
        Question::Console => {
            let log = fs::read(domain::CONSOLE).unwrap_or_default();
            answer.console = Some(String::from_utf8_lossy(&log).into_owned());
        }
    }
    Ok(answer)
}

/// The target, as the source sees it.
pub struct Far {
    lines: Lines,
}

impl Far {
    /// Waits for the target to be ready.
    pub fn connect() -> Result<Self> {
        let place = Role::Target.place(QUESTIONS);
        let lines = Lines::connect_to(place, READY).context("waiting for the other host")?;
        Ok(Self { lines })
    }

    /// The function there.
    pub fn device(&mut self) -> Result<Device> {
        self.ask(Question::Device)?.device.context("no device")
    }

    /// Has a QEMU wait for the guest.
    pub fn expect(&mut self) -> Result<()> {
        self.ask(Question::Expect).map(drop)
    }

    /// Waits until that QEMU has ended.
    pub fn wait_until_ended(&mut self) -> Result<()> {
        self.ask(Question::Ended).map(drop)
    }

    /// What the guest's console has shown there.
    pub fn console(&mut self) -> Result<String> {
        self.ask(Question::Console)?.console.context("no console")
    }

    fn ask(&mut self, question: Question) -> Result<Answer> {
        self.lines.send(&serde_json::to_value(question)?)?;
        let answer = self
            .lines
            .receive(Instant::now() + ANSWER)
            .with_context(|| format!("asking the target: {question:?}"))?
            .with_context(|| format!("the target did not answer {question:?}"))?;
        let answer: Answer = serde_json::from_value(answer).context("the target's answer")?;
        if let Some(error) = answer.error {
            bail!("target: {question:?}: {error}");
        }
        Ok(answer)
    }
}
