// SPDX-License-Identifier: GPL-2.0
//! The command line, from which manual pages and completions are made.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vvp_harness::kmod;
use vvp_harness::pci::Address;

const AFTER: &str = "\
Exit status: 0 done; 1 failed; 2 wrong command line; 3 the answer is no (not ready, different, \
faulty stream); 4 the function is in use; 130 interrupted. Errors are one line on standard error.

A function that save, restore, migrate, info --open or check opens is reset by that, as by every \
user of VFIO, and loses its state again when the program ends.";

/// Saves, restores and migrates VFIO devices, reads their migration streams, and says what a host
/// lacks for live migration
#[derive(Debug, Parser)]
#[command(name = "vfmig", version, after_help = AFTER)]
pub struct Options {
    /// Print results as JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List functions that are virtio's, virtual, or VFIO's
    List(List),
    /// Tell what is known of a function
    Info(Info),
    /// Bind a VFIO driver to a function
    Bind(Bind),
    /// Take the driver of a function away
    Unbind(Unbind),
    /// Save the state of a function to a file
    Save(Save),
    /// Load the state of a function from a file
    Restore(Restore),
    /// Move the state of a function to another one
    Migrate(Migrate),
    /// Tell what a migration stream consists of
    Inspect(Inspect),
    /// Tell in which device parts two migration streams differ
    Diff(Diff),
    /// Tell whether this host is ready for live migration
    Check(Check),
    /// Draw a recorded migration
    Report(Report),
}

#[derive(Debug, Args)]
pub struct List {
    /// All PCI functions
    #[arg(long)]
    pub all: bool,
}

/// How a function is opened.
#[derive(Clone, Copy, Debug, Args)]
pub struct Opening {
    /// By its character device with iommufd, or by its group with a type1 container
    #[arg(long, value_enum, default_value_t = AccessChoice::Auto)]
    pub access: AccessChoice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AccessChoice {
    /// The character device if there is one
    Auto,
    /// The character device
    Cdev,
    /// The group
    Group,
}

#[derive(Debug, Args)]
pub struct Info {
    /// The function, for example 0000:01:00.1
    pub function: Address,
    /// Open it and ask it, which resets it
    #[arg(long)]
    pub open: bool,
    #[command(flatten)]
    pub opening: Opening,
}

#[derive(Debug, Args)]
pub struct Bind {
    /// The function, for example 0000:01:00.1
    pub function: Address,
    /// The driver to bind
    #[arg(long, value_name = "NAME", default_value = kmod::OURS)]
    pub driver: String,
    /// Even if its network interface is up or its disk is in use
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Unbind {
    /// The function, for example 0000:01:00.1
    pub function: Address,
    /// Have the kernel bind what it would by itself
    #[arg(long)]
    pub probe: bool,
    /// Even if its network interface is up or its disk is in use
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Save {
    /// The function to save, which runs again afterwards
    pub function: Address,
    /// Where its state goes, - for standard output
    pub file: PathBuf,
    /// Read what can be read while the function runs
    #[arg(long)]
    pub pre_copy: bool,
    #[command(flatten)]
    pub opening: Opening,
}

#[derive(Debug, Args)]
pub struct Restore {
    /// The function to load, which then runs
    pub function: Address,
    /// Where its state is, - for standard input
    pub file: PathBuf,
    /// Save the function again and compare
    #[arg(long)]
    pub verify: bool,
    #[command(flatten)]
    pub opening: Opening,
}

#[derive(Debug, Args)]
pub struct Migrate {
    /// The function to save
    pub source: Address,
    /// The function to load
    pub target: Address,
    /// Stop the source at once
    #[arg(long)]
    pub no_pre_copy: bool,
    /// Rounds of pre-copy at most
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Milliseconds between rounds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub pause: u64,
    /// Let the source reach this much memory, in MiB, and count dirty pages
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub track: Option<u32>,
    /// Save the target and compare before it runs
    #[arg(long)]
    pub verify: bool,
    /// Write a timeline for the report
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    #[command(flatten)]
    pub opening: Opening,
}

#[derive(Debug, Args)]
pub struct Inspect {
    /// The stream, - for standard input
    pub file: PathBuf,
    /// Device parts to list at most
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub parts: usize,
}

#[derive(Debug, Args)]
pub struct Diff {
    /// A stream
    pub first: PathBuf,
    /// Another stream
    pub second: PathBuf,
}

#[derive(Debug, Args)]
pub struct Check {
    /// The function to look at as well; if a VFIO driver has it and nobody uses it, it is opened
    pub function: Option<Address>,
    #[command(flatten)]
    pub opening: Opening,
}

#[derive(Debug, Args)]
pub struct Report {
    /// What migrate --record wrote
    pub timeline: PathBuf,
    /// The page to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn addresses_are_checked() {
        assert!(Options::try_parse_from(["vfmig", "info", "01:00.1"]).is_err());
        assert!(Options::try_parse_from(["vfmig", "info", "0000:01:00.1", "--json"]).is_ok());
    }
}
