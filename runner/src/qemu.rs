// SPDX-License-Identifier: GPL-2.0
//! The virtual machine that is the host under test (L1), as a QEMU command line.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::kernel::Kernel;
use crate::paths;
use supervise::Supervised;

/// What varies from one L1 to another.
pub struct Machine<'a> {
    /// The kernel to boot.
    pub kernel: &'a Kernel,
    /// Size of memory, as QEMU writes it.
    pub memory: &'a str,
    /// The run directory.
    pub dir: &'a Path,
    /// Seconds that the job may take.
    pub job_timeout: u64,
    /// Arguments by which the bench is attached; empty without one.
    pub bench: &'a [String],
    /// More arguments.
    pub more: &'a [String],
}

impl Machine<'_> {
    /// Starts QEMU. The console goes to `console.log`, QEMU's own words to `qemu.log`.
    pub fn start(&self) -> Result<Supervised> {
        let log = self.dir.join("qemu.log");
        let output = File::create(&log).with_context(|| format!("cannot create {log:?}"))?;
        let errors = output.try_clone()?;
        Supervised::spawn(
            "QEMU",
            Command::new("qemu-system-x86_64")
                .args(self.arguments())
                .stdin(Stdio::null())
                .stdout(output)
                .stderr(errors),
        )
    }

    /// TCG always: the machine underneath may have no usable KVM, and the same
    /// emulation everywhere is worth more here than speed.
    fn arguments(&self) -> Vec<String> {
        let dir = self.dir.display();
        // Instructions of several threads cannot be counted.
        let counting = self.more.iter().any(|argument| argument == "-icount");
        let accelerator = if counting {
            "tcg,thread=single"
        } else {
            "tcg,thread=multi"
        };
        let mut arguments: Vec<String> = [
            "-accel",
            accelerator,
            "-cpu",
            "max",
            "-machine",
            "q35,memory-backend=mem",
            "-smp",
            "2",
            "-nodefaults",
            "-display",
            "none",
            "-no-reboot",
        ]
        .map(str::to_string)
        .to_vec();
        let mut add = |option: &str, value: String| {
            arguments.push(option.to_string());
            arguments.push(value);
        };
        add("-m", self.memory.to_string());
        // Shared, because the bench accesses guest memory through this memfd.
        add(
            "-object",
            format!("memory-backend-memfd,id=mem,size={},share=on", self.memory),
        );
        add("-serial", format!("file:{dir}/console.log"));
        add("-kernel", self.kernel.image().display().to_string());
        if let Some(initrd) = self.kernel.initrd() {
            add("-initrd", initrd.display().to_string());
        }
        add("-append", self.command_line());
        add(
            "-virtfs",
            "local,path=/,mount_tag=root,security_model=none,multidevs=remap,readonly=on"
                .to_string(),
        );
        add(
            "-fsdev",
            format!("local,id=run,path={dir},security_model=none"),
        );
        // Far behind the devices whose places are counted.
        add(
            "-device",
            "virtio-9p-pci,fsdev=run,mount_tag=run,addr=0x1c".to_string(),
        );
        if !self.bench.is_empty() {
            // A virtio device of a type that the driver does not bind by default.
            add("-device", "virtio-rng-pci".to_string());
            add("-device", "virtio-serial-pci".to_string());
            add(
                "-chardev",
                format!("socket,id=control,path={dir}/control.sock"),
            );
            add(
                "-device",
                "virtserialport,chardev=control,name=bench.control".to_string(),
            );
        }
        arguments.extend_from_slice(self.bench);
        arguments.extend_from_slice(self.more);
        arguments
    }

    /// The page of 1 GiB is for the tests of dirty tracking. It can only be had at
    /// boot, and where a whole one is free: with 4 GiB of memory.
    fn command_line(&self) -> String {
        let modules = self.kernel.modules().map_or_else(String::new, |modules| {
            format!(" vvp_modules={}", modules.display())
        });
        format!(
            "console=ttyS0 panic=-1 root=root rootfstype=9p \
             rootflags=trans=virtio,version=9p2000.L,msize=262144 ro init={} \
             intremap=off iommu.strict=1 hugepagesz=1G hugepages=1 vvp_run={} vvp_timeout={}{modules}",
            paths::L1_INIT,
            self.dir.display(),
            self.job_timeout
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bench_arguments_are_passed_on() {
        let bench = ["-device".to_string(), "vfio-user-pci,socket=x".to_string()];
        let machine = Machine {
            kernel: &Kernel::new(Path::new("/k")),
            memory: "1G",
            dir: Path::new("/r"),
            job_timeout: 9,
            bench: &bench,
            more: &[],
        };
        let arguments = machine.arguments();
        assert!(arguments.ends_with(&bench));
        assert!(arguments.contains(&"virtserialport,chardev=control,name=bench.control".into()));
        assert!(machine.command_line().contains(" vvp_run=/r vvp_timeout=9"));
    }

    #[test]
    fn without_a_bench_there_is_no_control_port() {
        let machine = Machine {
            kernel: &Kernel::new(Path::new("/k")),
            memory: "1G",
            dir: Path::new("/r"),
            job_timeout: 9,
            bench: &[],
            more: &[],
        };
        assert!(
            !machine
                .arguments()
                .iter()
                .any(|argument| argument.contains("control"))
        );
    }
}
