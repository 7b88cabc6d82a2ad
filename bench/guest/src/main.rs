// SPDX-License-Identifier: GPL-2.0
//! `vfio-bench-guest`: the bench's helper inside a virtual machine.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};
use serde_json::{Map, Value};
use vfio_bench_guest::bind::bind;
use vfio_bench_guest::interrupts;
use vfio_bench_guest::pf::{DEVICES, Pf};
use vfio_bench_protocol::{Client, Request};

/// Creates the virtual functions of a vfio-bench that is attached to this machine, and asks the
/// bench.
#[derive(Parser)]
#[command(name = "vfio-bench-guest", version)]
struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create virtual functions, and print the address of each
    VfUp {
        /// How many [default: all that there can be]
        #[arg(long, value_name = "N")]
        count: Option<u32>,
        /// Driver to bind them to, whose module is loaded
        #[arg(long, value_name = "NAME")]
        driver: Option<String>,
        /// The physical function, if there are several benches
        #[arg(long, value_name = "ADDRESS")]
        pf: Option<String>,
        /// Leave allow_unsafe_interrupts of iommufd and vfio_iommu_type1 as it is
        #[arg(long)]
        keep_interrupts_safe: bool,
    },
    /// Remove all virtual functions
    VfDown {
        /// The physical function, if there are several benches
        #[arg(long, value_name = "ADDRESS")]
        pf: Option<String>,
    },
    /// Make a request of the bench's control protocol, and print the answer
    ///
    /// The bench is at the socket that VFIO_BENCH names, or at the virtio-serial port bench.control.
    Ask {
        /// The request, such as {"cmd":"state"}
        request: String,
    },
    /// Print this manual page
    Man,
}

fn main() -> ExitCode {
    match act(Options::parse().action) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vfio-bench-guest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn act(action: Action) -> Result<()> {
    match action {
        Action::VfUp {
            count,
            driver,
            pf,
            keep_interrupts_safe,
        } => {
            let pf = find(pf.as_deref())?;
            let count = count.map_or_else(|| pf.total(), Ok)?;
            let vfs = pf.create(count)?;
            if !keep_interrupts_safe {
                interrupts::allow_unsafe(Path::new("/sys/module"))?;
            }
            for vf in &vfs {
                if let Some(driver) = &driver {
                    bind(vf, driver)?;
                }
                println!("{}", name(vf));
            }
            Ok(())
        }
        Action::VfDown { pf } => find(pf.as_deref())?.remove(),
        Action::Ask { request } => ask(&request),
        Action::Man => man(),
    }
}

fn find(pf: Option<&str>) -> Result<Pf> {
    let devices = Path::new(DEVICES);
    pf.map_or_else(|| Pf::find(devices), |address| Pf::open(devices, address))
}

fn name(dir: &PathBuf) -> String {
    let name = dir.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn ask(request: &str) -> Result<()> {
    let request: Request = serde_json::from_str(request).context("no request")?;
    let client = Client::find()?;
    let mut client = client.context("this machine has no port bench.control; set VFIO_BENCH")?;
    let answer: Map<String, Value> = client.request(&request)?;
    serde_json::to_writer_pretty(io::stdout(), &answer)?;
    println!();
    Ok(())
}

fn man() -> Result<()> {
    let page = clap_mangen::Man::new(Options::command());
    page.render(&mut io::stdout()).context("standard output")
}
