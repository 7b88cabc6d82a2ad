// SPDX-License-Identifier: GPL-2.0
//! `vfmig list`: the functions that can be migrated, or might be.

use anyhow::Result;
use vvp_harness::pci::Bus;

use crate::cli;
use crate::exit::Exit;
use crate::facts::Facts;
use crate::output;

/// Runs the command.
pub fn run(arguments: &cli::List, json: bool) -> Result<Exit> {
    let functions = Bus::host().functions()?;
    let facts = functions.iter().map(Facts::of);
    let facts: Vec<Facts> = facts
        .filter(|facts| arguments.all || facts.is_candidate())
        .collect();
    if json {
        output::json(&facts)?;
    } else {
        output::text(&table(&facts))?;
    }
    Ok(Exit::Ok)
}

fn table(facts: &[Facts]) -> String {
    if facts.is_empty() {
        return "no virtio, virtual or VFIO function (--all shows the others)\n".to_owned();
    }
    let heading = [
        "FUNCTION",
        "KIND",
        "PF",
        "DRIVER",
        "GROUP",
        "MIGRATION",
        "STATE",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for facts in facts {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        rows.push(vec![
            facts.function.clone(),
            facts.kind.clone(),
            or_dash(&facts.physical_function),
            or_dash(&facts.driver),
            or_dash(&facts.iommu_group.map(|group| group.to_string())),
            if facts.vfio {
                facts.migration.features()
            } else {
                "-".to_owned()
            },
            facts.migration.state().to_owned(),
        ]);
    }
    output::table(&rows)
}
