// SPDX-License-Identifier: GPL-2.0
//! A QEMU that runs the guest, or waits for it to arrive.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use supervise::{Supervised, tail};
use vvp_harness::pci::Function;

use super::qmp::{self, Qmp};
use super::{Image, Program, RunState, Vmm};
use crate::control;
use crate::host::migration::{Migration, Moment};
use crate::host::trace;
use crate::host::tracking::{Container, DirtyTracker, EVENTS, dirty_tracker};
use crate::host::virtual_iommu::VirtualIommu;
use crate::host::way::{BANDWIDTH, Route, Transfer};

/// QEMU's object of that type. Called like the property that names it, it could not be
/// found once a device has that property.
const IOMMUFD: &str = "iommufd0";
/// A vendor whose devices no driver of the guest's binds to.
const NOBODY: u16 = 0xabcd;

/// How long QEMU may take to end when told to.
const QUIT: Duration = Duration::from_secs(60);
/// How long it may take to end when it has let go of its connections.
const FAREWELL: Duration = Duration::from_secs(2);

/// QEMU's event of the target's word having arrived at the source.
const ACKNOWLEDGED: &str = "source_return_path_thread_switchover_acked";

/// The program.
#[derive(Clone, Debug)]
pub struct Qemu {
    pub path: PathBuf,
}

impl Default for Qemu {
    fn default() -> Self {
        Self {
            path: PathBuf::from("qemu-system-x86_64"),
        }
    }
}

impl Program for Qemu {
    fn version(&self) -> Result<String> {
        let output = Command::new(&self.path)
            .arg("--version")
            .output()
            .with_context(|| format!("asking {:?} for its version", self.path))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.split_whitespace().nth(3).unwrap_or("unknown");
        Ok(format!("QEMU {version}"))
    }

    fn start(
        &self,
        name: &str,
        image: &Image,
        vfs: &[Function],
        incoming: bool,
    ) -> Result<Box<dyn Vmm>> {
        Ok(Box::new(self.spawn(name, image, vfs, incoming)?))
    }
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

impl Qemu {
    fn spawn(&self, name: &str, image: &Image, vfs: &[Function], incoming: bool) -> Result<Vm> {
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
        let mut command = Command::new(&self.path);
        command
            .args(arguments(image, vfs))
            .args(events(image).flat_map(|event| ["-trace", event]))
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
        Ok(Vm {
            name: name.to_string(),
            process,
            qmp,
            log,
            console,
            control,
        })
    }
}

impl Vm {
    /// What QEMU itself printed.
    fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sets what both sides must agree on.
    fn configure(&mut self, way: &Transfer) -> Result<()> {
        let mut capabilities = vec!["events"];
        let mut parameters = json!({"max-bandwidth": way.bandwidth});
        if way.switchover_ack {
            capabilities.extend(["return-path", "switchover-ack"]);
        }
        if let Some(channels) = way.channels {
            capabilities.push("multifd");
            parameters["multifd-channels"] = json!(channels);
        }
        let capabilities: Vec<Value> = capabilities
            .iter()
            .map(|name| json!({"capability": name, "state": true}))
            .collect();
        let capabilities = json!({"capabilities": capabilities});
        self.qmp.execute("migrate-set-capabilities", capabilities)?;
        self.set(parameters)
    }

    fn set(&mut self, parameters: Value) -> Result<()> {
        self.qmp.execute("migrate-set-parameters", parameters)?;
        Ok(())
    }
}

fn uri(way: &Transfer) -> Value {
    match &way.route {
        Route::Tcp(address) => json!({"uri": format!("tcp:{address}")}),
        Route::File(path) => json!({"uri": format!("file:{path}")}),
    }
}

impl Vmm for Vm {
    fn control(&self) -> &Path {
        &self.control
    }

    fn console(&self) -> &Path {
        &self.console
    }

    fn expect(&mut self, way: &Transfer) -> Result<()> {
        self.configure(way)?;
        self.qmp.execute("migrate-incoming", uri(way))?;
        Ok(())
    }

    fn send(&mut self, way: &Transfer) -> Result<()> {
        self.configure(way)?;
        self.qmp.execute("migrate", uri(way))?;
        Ok(())
    }

    fn migration(&mut self) -> Result<Migration> {
        let answer = self.qmp.execute("query-migrate", json!({}))?;
        Ok(qmp::figures(&answer))
    }

    fn run_state(&mut self) -> Result<RunState> {
        let status = self.qmp.execute("query-status", json!({}))?;
        Ok(match status["status"].as_str() {
            Some("running") => RunState::Running,
            Some("postmigrate") => RunState::Left,
            other => RunState::Other(other.unwrap_or("unknown").to_string()),
        })
    }

    fn moments(&mut self) -> Result<Vec<Moment>> {
        Ok(self
            .qmp
            .events()?
            .iter()
            .filter_map(qmp::describe)
            .collect())
    }

    fn dirty_tracker(&self) -> Result<DirtyTracker> {
        dirty_tracker(&self.output())
    }

    fn check(&mut self) -> Result<()> {
        if let Some(status) = self.process.ended()? {
            bail!("it ended ({status}): {}", last_words(&self.log));
        }
        Ok(())
    }

    /// A connection closes a little earlier than QEMU ends.
    fn last_words(&mut self) -> String {
        let ended = match self.process.wait(FAREWELL) {
            Ok(Some(status)) => format!("it ended ({status}): "),
            _ => String::new(),
        };
        format!("QEMU '{}': {ended}{}", self.name, last_words(&self.log))
    }

    fn quit(mut self: Box<Self>) -> Result<()> {
        // The connection may close before the answer is read.
        let _ = self.qmp.execute("quit", json!({}));
        self.ended()
    }

    fn ended(mut self: Box<Self>) -> Result<()> {
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

    fn limit_downtime(&mut self, limit: u64) -> Result<()> {
        self.set(json!({"downtime-limit": limit}))
    }

    fn hurry(&mut self) -> Result<()> {
        self.set(json!({"max-bandwidth": BANDWIDTH}))
    }

    fn cancel(&mut self) -> Result<()> {
        self.qmp.execute("migrate_cancel", json!({}))?;
        Ok(())
    }

    fn reset(&mut self) -> Result<()> {
        self.qmp.execute("system_reset", json!({}))?;
        Ok(())
    }

    fn switchover_acknowledged(&self) -> Result<bool> {
        let log = self.output();
        trace::ensure_known(&log, &[ACKNOWLEDGED])?;
        Ok(trace::has_event(&log, ACKNOWLEDGED))
    }

    fn virtual_iommu_used(&self, kind: VirtualIommu) -> Result<bool> {
        kind.is_used(&self.output())
    }

    fn blockers(&mut self) -> Result<Vec<String>> {
        let answer = self.qmp.execute("query-migrate", json!({}))?;
        let reasons = answer["blocked-reasons"].as_array();
        Ok(reasons
            .into_iter()
            .flatten()
            .filter_map(|reason| reason.as_str().map(str::to_string))
            .collect())
    }
}

/// Trace events that tell what QEMU's control protocol does not.
fn events(image: &Image) -> impl Iterator<Item = &'static str> {
    EVENTS
        .into_iter()
        .chain([ACKNOWLEDGED])
        .chain(image.virtual_iommu.map(VirtualIommu::event))
}

fn last_words(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    tail(&text, 3).join(" | ")
}

/// The host's processor, but for the end of an interrupt, which the guest must tell.
///
/// An emulated host (QEMU's TCG) may deliver an injected interrupt twice if it is paused
/// before the guest exits. A guest that ends an interrupt by leaving a note in memory
/// does not exit for long; one that tells it exits among its handler's first
/// instructions. See "An injected interrupt is delivered twice" in
/// Documentation/upstream-findings.rst.
const CPU: &str = "host,kvm-pv-eoi=off";

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
        CPU,
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
