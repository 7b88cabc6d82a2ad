// SPDX-License-Identifier: GPL-2.0
//! The module's parameters must all be in the table of settings, with their defaults.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Where `module!` has parameters.
const MODULE: &str = "rust/virtio_vfio_pci_rs.rs";
/// The parameter that is made in C.
const IN_C: (&str, &str) = ("dma_logging", "auto");

/// Parameters that `page` has no row for, or another default.
pub fn missing(top: &Path, page: &str) -> Result<Vec<String>> {
    let source = fs::read_to_string(top.join(MODULE)).with_context(|| format!("no {MODULE}"))?;
    let mut parameters = parameters(&source);
    ensure!(!parameters.is_empty(), "no parameter found in {MODULE}");
    parameters.push((IN_C.0.to_string(), IN_C.1.to_string()));
    let rows: Vec<(&str, &str)> = page.lines().filter_map(row).collect();
    Ok(parameters
        .iter()
        .filter(|(name, default)| !rows.contains(&(name, default)))
        .map(|(name, default)| format!("no row for {name} with the default {default}"))
        .collect())
}

/// Name and default of each parameter, the latter as it is written for insmod.
fn parameters(source: &str) -> Vec<(String, String)> {
    let block = source.split_once("@params {").map_or("", |(_, rest)| rest);
    let mut found = Vec::new();
    let mut name = None;
    for line in block.lines().map(str::trim) {
        if let Some((head, _)) = line.strip_suffix('{').and_then(|l| l.split_once(':')) {
            name = Some(head.to_string());
        } else if let Some(default) = line.strip_prefix("default: ") {
            let default = default.trim_end_matches(',').to_string();
            found.extend(name.take().map(|name| (name, default)));
        } else if let Some(flag) = flag(line) {
            found.push(flag);
        }
    }
    found
}

/// Name and default of a parameter that is on or off, in the line that is all there is of it.
fn flag(line: &str) -> Option<(String, String)> {
    let (name, rest) = line.split_once(": ")?;
    let default = match rest.split_once(", \"")?.0 {
        "true" => "1",
        "false" => "0",
        _ => return None,
    };
    Some((name.to_string(), default.to_string()))
}

/// Name and default in a row of the table.
fn row(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("``")?.split_once("``")?;
    Some((name, rest.split_whitespace().next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
    @params {
        interval_ms: u32 {
            default: 1000,
            description: \"a\",
        },
    }
    @flags {
        delta: true, \"b\";
    }
";

    #[test]
    fn parameters_and_rows_are_read() {
        let expected = [("interval_ms", "1000"), ("delta", "1")]
            .map(|(name, default)| (name.to_string(), default.to_string()));
        assert_eq!(parameters(SOURCE), expected);
        assert_eq!(row("``delta``   1   yes  text"), Some(("delta", "1")));
        assert_eq!(row("delta 1"), None);
    }

    #[test]
    fn the_table_of_this_tree_has_all() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let page = fs::read_to_string(top.join("Documentation/administration.rst")).unwrap();
        assert_eq!(missing(&top, &page).unwrap(), Vec::<String>::new());
        assert!(!missing(&top, "").unwrap().is_empty());
    }
}
