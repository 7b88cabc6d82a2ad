// SPDX-License-Identifier: GPL-2.0
//! `vfio-bench`: the bench as a process.

use std::fs;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;
use vfio_bench::assembly::{self, Assembly, Ending};
use vfio_bench::control::Control;
use vfio_bench::options::{Options, Refusal};
use vfio_bench::qemu;
use vfio_bench::virtio::machine::Machine;

/// Exit status for what the command line asks in vain.
const IMPOSSIBLE: u8 = 2;

fn main() -> ExitCode {
    let options = match Options::read(std::env::args_os()) {
        Ok(options) => options,
        Err(Refusal::Information(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(Refusal::Impossible(reason)) => {
            eprintln!("vfio-bench: {reason}");
            return ExitCode::from(IMPOSSIBLE);
        }
    };
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,vfio_user=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vfio-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let (ending, ended) = mpsc::channel();
    let config = options.machine();
    let bench = Assembly::new(
        options.vfs,
        options.bus,
        options.iommu_features(),
        |ports| Machine::new(config, ports).map_err(|error| error.to_string()),
        ending.clone(),
    )?;
    prepare(options)?;
    let control = qemu::socket(&options.dir, "control");
    bench
        .listen(&options.dir)
        .with_context(|| format!("sockets in {}", options.dir.display()))?;
    Control::new(&bench, ending)
        .listen(&control)
        .with_context(|| control.display().to_string())?;
    println!("ready");
    io::stdout().flush().context("standard output")?;
    let ending = ended.recv();
    remove_sockets(options)?;
    match ending {
        Ok(Ending::Fatal(reason)) => anyhow::bail!(reason),
        Ok(Ending::Shutdown) | Err(_) => Ok(()),
    }
}

/// Writes the files for QEMU and clears sockets of an earlier run away.
fn prepare(options: &Options) -> Result<()> {
    remove_sockets(options)?;
    let functions: Vec<String> = (0..=usize::from(options.vfs))
        .map(assembly::function_name)
        .collect();
    let ivrs = options.dir.join("ivrs.bin");
    fs::write(&ivrs, assembly::ivrs(options.bus, options.iommu_features()))
        .with_context(|| ivrs.display().to_string())?;
    let arguments = qemu::arguments(&options.dir, options.pci_slot, &functions, &ivrs);
    let path = options.dir.join("qemu.args");
    fs::write(&path, arguments.join("\n") + "\n").with_context(|| path.display().to_string())
}

fn remove_sockets(options: &Options) -> Result<()> {
    let functions = (0..=usize::from(assembly::MAX_VFS)).map(assembly::function_name);
    for name in functions.chain(["iommu".into(), "control".into()]) {
        let path = qemu::socket(&options.dir, &name);
        remove_socket(&path).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn remove_socket(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "is in the way and not a socket",
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
