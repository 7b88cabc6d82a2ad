// SPDX-License-Identifier: GPL-2.0
//! A QEMU that runs the guest, or waits for it to arrive.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use harness::pci::Function;
use runner::child::Supervised;
use runner::console;
use serde_json::{Value, json};

use super::qmp::Qmp;
use super::tracking::{Container, EVENTS, Tracking};
use crate::control;

/// How long QEMU may take to end when told to.
const QUIT: Duration = Duration::from_secs(60);

/// What both virtual machines have in common: they must be the same machine.
#[derive(Clone, Debug)]
pub struct Image {
    pub kernel: PathBuf,
    pub initrd: PathBuf,
    /// What the guest's kernel is told beyond the usual.
    pub append: &'static str,
    /// Memory size, in MiB.
    pub memory: u32,
    pub tracking: Tracking,
    /// Where logs go.
    pub logs: PathBuf,
    /// Where sockets go: a file system that can hold them.
    pub sockets: PathBuf,
}

/// A running QEMU. Dropping it ends it.
pub struct Vm {
    name: &'static str,
    process: Supervised,
    qmp: Qmp,
    log: PathBuf,
    console: PathBuf,
    control: PathBuf,
}

impl Vm {
    /// Starts a QEMU whose guest owns `vf`. With `incoming` it waits for a guest.
    pub fn start(name: &'static str, image: &Image, vf: &Function, incoming: bool) -> Result<Self> {
        let log = image.logs.join(format!("l2-{name}.qemu.log"));
        let console = image.logs.join(format!("l2-{name}.console.log"));
        let qmp = image.sockets.join(format!("l2-{name}.qmp"));
        let control = image.sockets.join(format!("l2-{name}.control"));
        for socket in [&qmp, &control] {
            // Of an earlier run: bind refuses an existing name.
            let _ = fs::remove_file(socket);
        }
        let output = File::create(&log).with_context(|| format!("creating {log:?}"))?;
        let errors = output.try_clone()?;
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(arguments(image, vf))
            .args(EVENTS.iter().flat_map(|event| ["-trace", event]))
            .arg("-name")
            .arg(name)
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", qmp.display()))
            .arg("-chardev")
            .arg(format!(
                "socket,id=control,path={},server=on,wait=off",
                control.display()
            ))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        if incoming {
            command.args(["-incoming", "defer"]);
        }
        let mut process = Supervised::spawn("QEMU", &mut command)?;
        let qmp = Qmp::connect(&qmp).map_err(|error| match process.ended() {
            Ok(Some(status)) => error.context(format!(
                "QEMU '{name}' ended ({status}): {}",
                last_words(&log)
            )),
            _ => error.context(format!("QEMU '{name}'")),
        })?;
        Ok(Self {
            name,
            process,
            qmp,
            log,
            console,
            control,
        })
    }

    pub fn qmp(&mut self) -> &mut Qmp {
        &mut self.qmp
    }

    /// The socket of the guest's control port.
    pub fn control(&self) -> &Path {
        &self.control
    }

    /// What the guest printed on its console while it was here.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    /// What QEMU itself printed.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// What QEMU itself printed last.
    pub fn last_words(&self) -> String {
        last_words(&self.log)
    }

    /// QEMU's word for the state of the guest here.
    pub fn run_state(&mut self) -> Result<String> {
        let status = self.qmp.execute("query-status", json!({}))?;
        Ok(status["status"].as_str().unwrap_or("unknown").to_string())
    }

    /// Fails if QEMU has ended.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.process.ended()? {
            bail!(
                "QEMU '{}' ended ({status}): {}",
                self.name,
                self.last_words()
            );
        }
        Ok(())
    }

    /// Has QEMU end, and waits until it has.
    pub fn quit(mut self) -> Result<()> {
        // The connection may close before the answer is read.
        let _ = self.qmp.execute("quit", json!({}));
        match self.process.wait(QUIT)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!(
                "QEMU '{}' ended with {status}: {}",
                self.name,
                self.last_words()
            ),
            None => bail!(
                "QEMU '{}' did not end within {} s",
                self.name,
                QUIT.as_secs()
            ),
        }
    }
}

fn last_words(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    console::tail(&text, 3).join(" | ")
}

/// What both machines must agree on.
fn arguments(image: &Image, vf: &Function) -> Vec<String> {
    let mut vfio: Value = json!({
        "driver": "vfio-pci",
        "id": "vf",
        "host": vf.address().to_string(),
        "enable-migration": image.tracking.migratable(),
        "migration-events": true,
    });
    if image.tracking.container == Container::Iommufd {
        vfio["iommufd"] = json!("iommufd");
    }
    [
        "-accel",
        "kvm",
        "-cpu",
        "host",
        "-machine",
        "q35,usb=off",
        "-smp",
        "1",
        "-m",
        &image.memory.to_string(),
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
        "-kernel",
        &image.kernel.display().to_string(),
        "-initrd",
        &image.initrd.display().to_string(),
        "-append",
        &format!("console=ttyS0 panic=-1 loglevel=5 {}", image.append),
        "-object",
        "iommufd,id=iommufd",
        "-device",
        &vfio.to_string(),
        "-device",
        "virtio-serial-pci",
        "-device",
        &format!("virtserialport,chardev=control,name={}", control::PORT),
    ]
    .map(str::to_string)
    .to_vec()
}
