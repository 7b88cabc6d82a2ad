// SPDX-License-Identifier: GPL-2.0
//! A QEMU that runs the guest, or waits for it to arrive.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use vvp_harness::pci::Function;
use vvp_run::child::Supervised;
use vvp_run::console;

use super::qmp::Qmp;
use super::tracking::{Container, Tracking};
use super::virtual_iommu::VirtualIommu;
use crate::control;

/// QEMU's object of that type. Called like the property that names it, it could not be
/// found once a device has that property.
const IOMMUFD: &str = "iommufd0";
/// A vendor whose devices no driver of the guest's binds to.
const NOBODY: u16 = 0xabcd;

/// How long QEMU may take to end when told to.
const QUIT: Duration = Duration::from_secs(60);
/// How long it may take to end when it has let go of its connections.
const FAREWELL: Duration = Duration::from_secs(2);

/// What both virtual machines have in common: they must be the same machine.
#[derive(Clone, Debug)]
pub struct Image {
    pub kernel: PathBuf,
    pub initrd: PathBuf,
    /// What the guest's kernel is told beyond the usual.
    pub append: String,
    /// Show the guest functions that no driver of its knows.
    pub disguised: bool,
    /// Let the guest boot again, instead of ending with it.
    pub reboots: bool,
    /// Trace events of QEMU's to log.
    pub events: Vec<&'static str>,
    /// Memory size, in MiB.
    pub memory: u32,
    pub tracking: Tracking,
    /// The guest's own IOMMU, which its devices are behind.
    pub virtual_iommu: Option<VirtualIommu>,
    /// Where logs go.
    pub logs: PathBuf,
    /// Where sockets go: a file system that can hold them.
    pub sockets: PathBuf,
}

/// A running QEMU. Dropping it ends it.
pub struct Vm {
    name: String,
    process: Supervised,
    qmp: Qmp,
    log: PathBuf,
    console: PathBuf,
    control: PathBuf,
}

impl Vm {
    /// Starts a QEMU whose guest owns `vfs`. With `incoming` it waits for a guest.
    pub fn start(name: &str, image: &Image, vfs: &[Function], incoming: bool) -> Result<Self> {
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
            .args(arguments(image, vfs))
            .args(image.events.iter().flat_map(|event| ["-trace", event]))
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
            name: name.to_string(),
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

    /// The file to which the guest's console goes while it is here.
    pub fn console(&self) -> &Path {
        &self.console
    }

    /// The file to which QEMU's own output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What QEMU itself printed.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// What QEMU itself printed last, and how it ended, if it has: a connection closes
    /// a little earlier than that.
    pub fn last_words(&mut self) -> String {
        let ended = match self.process.wait(FAREWELL) {
            Ok(Some(status)) => format!("it ended ({status}): "),
            _ => String::new(),
        };
        format!("QEMU '{}': {ended}{}", self.name, last_words(&self.log))
    }

    /// QEMU's word for the state of the guest here.
    pub fn run_state(&mut self) -> Result<String> {
        let status = self.qmp.execute("query-status", json!({}))?;
        Ok(status["status"].as_str().unwrap_or("unknown").to_string())
    }

    /// Fails if QEMU has ended.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.process.ended()? {
            bail!("it ended ({status}): {}", last_words(&self.log));
        }
        Ok(())
    }

    /// Has QEMU end, and waits until it has.
    pub fn quit(mut self) -> Result<()> {
        // The connection may close before the answer is read.
        let _ = self.qmp.execute("quit", json!({}));
        self.ended()
    }

    /// Waits until QEMU has ended, which it does when its guest powers off.
    pub fn ended(mut self) -> Result<()> {
        match self.process.wait(QUIT)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("it ended with {status}: {}", last_words(&self.log)),
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
fn arguments(image: &Image, vfs: &[Function]) -> Vec<String> {
    let machine = if image.virtual_iommu.is_some() {
        "q35,usb=off,kernel-irqchip=split"
    } else {
        "q35,usb=off"
    };
    let mut arguments = [
        "-accel",
        "kvm",
        "-cpu",
        "host",
        "-machine",
        machine,
        "-smp",
        "1",
        "-m",
        &image.memory.to_string(),
        "-nodefaults",
        "-display",
        "none",
        "-kernel",
        &image.kernel.display().to_string(),
        "-initrd",
        &image.initrd.display().to_string(),
        "-append",
        &format!("console=ttyS0 panic=-1 loglevel=5 {}", image.append),
    ]
    .map(str::to_string)
    .to_vec();
    if image.tracking.container == Container::Iommufd {
        arguments.extend(["-object".to_string(), format!("iommufd,id={IOMMUFD}")]);
    }
    if !image.reboots {
        arguments.push("-no-reboot".to_string());
    }
    let mut device = |device: String| arguments.extend(["-device".to_string(), device]);
    if image.virtual_iommu.is_some() {
        // Before the devices that are behind it.
        device("intel-iommu,caching-mode=on,intremap=on".to_string());
    }
    for (index, vf) in vfs.iter().enumerate() {
        device(passthrough(image, vf, index).to_string());
    }
    device("virtio-serial-pci".to_string());
    device(format!(
        "virtserialport,chardev=control,name={}",
        control::PORT
    ));
    arguments
}

/// QEMU's device for `vf`, function `index` of the guest.
fn passthrough(image: &Image, vf: &Function, index: usize) -> Value {
    let mut device = json!({
        "driver": "vfio-pci",
        "id": format!("vf{index}"),
        "host": vf.address().to_string(),
        "enable-migration": image.tracking.migratable(),
        "migration-events": true,
    });
    if image.tracking.container == Container::Iommufd {
        device["iommufd"] = json!(IOMMUFD);
    }
    if image.disguised {
        device["x-pci-vendor-id"] = json!(NOBODY);
    }
    device
}
