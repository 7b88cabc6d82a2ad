// SPDX-License-Identifier: GPL-2.0
//! `vfmig`: saves, restores and migrates VFIO devices from the command line, reads
//! their streams, and says what a host lacks for all that.

mod access;
mod bind;
mod check;
pub mod cli;
mod diff;
mod exit;
mod facts;
mod file;
mod host;
mod info;
mod inspect;
mod list;
mod output;
pub mod readers;
mod report;
mod stream;
mod timeline;
mod transfer;
mod usage;

use std::process::ExitCode;

use cli::{Action, Options};
pub use exit::Exit;
use exit::Failure;

/// Does what the command line says.
pub fn run(options: &Options) -> ExitCode {
    let json = options.json;
    let done = match &options.action {
        Action::List(arguments) => list::run(arguments, json),
        Action::Info(arguments) => info::run(arguments, json),
        Action::Bind(arguments) => bind::bind(arguments, json),
        Action::Unbind(arguments) => bind::unbind(arguments, json),
        Action::Save(arguments) => transfer::save::run(arguments, json),
        Action::Restore(arguments) => transfer::restore::run(arguments, json),
        Action::Migrate(arguments) => transfer::migrate::run(arguments, json),
        Action::Inspect(arguments) => inspect::run(arguments, json),
        Action::Diff(arguments) => diff::run(arguments, json),
        Action::Check(arguments) => check::run(arguments, json),
        Action::Report(arguments) => report::run(arguments, json),
    };
    let exit = done.unwrap_or_else(|error| {
        // Whoever reads what is printed has seen enough.
        if output::is_closed_pipe(&error) {
            return Exit::Ok;
        }
        eprintln!("vfmig: {}", output::one_line(&error));
        Failure::exit_of(&error)
    });
    exit.into()
}
