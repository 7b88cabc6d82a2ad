// SPDX-License-Identifier: GPL-2.0
//! The page for the documentation.

use report::rst;
use report::table::{Align, Table};

use super::claim::{CLAIMS, Host};
use super::evidence::{Evidence, Verdict};
use super::record::Record;

const HEAD: &str = "\
.. SPDX-License-Identifier: GPL-2.0
.. Made by 'make matrix' of records of test runs: do not edit.

";

const INTRODUCTION: &str = "\
What was run, on which kernel, and how it ended. ``make matrix`` makes this page of the records \
that ``make check`` and ``make check-all`` leave: each line stands for a stage of these tests, \
each number in parentheses for the run that says so (see :ref:`matrix-runs`). *Works* is a stage \
in which no test failed, *fails* one in which any did, and *not run* is what no run has tried. \
:doc:`support` explains it, and has what no test can tell.";

const BENCH: &str = "\
Physical function, virtual functions and IOMMU are emulated (:doc:`bench`); **nothing has been \
run on real hardware yet**.";

/// All of it.
pub fn page(evidence: &Evidence) -> String {
    let mut page = HEAD.to_owned();
    page += &rst::title("Support matrix");
    page += &rst::paragraph(INTRODUCTION);
    page += &rst::paragraph(BENCH);
    for (host, title, text) in [
        (
            Host::TestKernel,
            "Kernels with the options of the test kernel",
            "Built from Debian's source of that kernel with the options of \
             ``scripts/config/test-kernel.config``.",
        ),
        (
            Host::StockKernel,
            "Debian's kernels as they are",
            "Installed from Debian's packages, with Rust metadata made for them \
             (:doc:`stock-kernels`). They have no iommufd.",
        ),
    ] {
        page += &rst::section(title);
        page += &rst::paragraph(text);
        page += &table(evidence, host).to_rst();
        page += "\n";
    }
    page += ".. _matrix-runs:\n\n";
    page += &rst::section("Runs");
    for (number, run) in (1..).zip(evidence.runs()) {
        page += &rst::subsection(&format!("Run {number}"));
        page += &of_run(run);
        page += &stages(run).to_rst();
        page += "\n";
    }
    page.truncate(page.trim_end().len());
    page + "\n"
}

fn left(headings: &[&str]) -> Vec<(String, Align)> {
    let headings = headings.iter();
    headings
        .map(|heading| ((*heading).to_owned(), Align::Left))
        .collect()
}

/// What is claimed of kernels of a kind.
fn table(evidence: &Evidence, host: Host) -> Table {
    let kernels = evidence.kernels(host);
    let mut columns = left(&["architecture", "IOMMU", "container", "VMM", "what"]);
    columns.extend(left(&kernels));
    let mut table = Table::new(columns);
    for claim in CLAIMS.iter().filter(|claim| claim.host == host) {
        let mut row = [
            claim.architecture,
            claim.iommu,
            claim.container,
            claim.vmm,
            claim.what,
        ]
        .map(str::to_owned)
        .to_vec();
        for kernel in &kernels {
            row.push(match evidence.verdict(claim.stage, host, kernel) {
                Verdict::NotRun => "not run".to_owned(),
                Verdict::Passed(run) => format!("{} ({run})", claim.success),
                Verdict::Failed(run) => format!("fails ({run})"),
            });
        }
        table.row(row);
    }
    table
}

/// What a run was about.
fn of_run(run: &Record) -> String {
    let qemu = run.qemu.trim_start_matches("QEMU emulator version ");
    let items = [
        format!("{} UTC, on {}", run.date, run.arch),
        format!("revision {}", run.revision),
        format!(
            "kernel {}, and Debian's {}; QEMU {qemu}",
            run.kernel, run.stock_kernel
        ),
        format!("module with SHA-256 {}", run.module_sha256),
    ]
    .map(|item| rst::escape(&item));
    rst::list(items.iter().map(String::as_str))
}

/// How its stages ended.
fn stages(run: &Record) -> Table {
    let numbers = ["passed", "failed", "skipped", "not judged"];
    let numbers = numbers.map(|heading| (heading.to_owned(), Align::Right));
    let mut table = Table::new([left(&["stage"]), numbers.to_vec()].concat());
    for stage in &run.stages {
        let numbers = [stage.passed, stage.failed, stage.skipped, stage.reported];
        let mut row = vec![stage.name.clone()];
        row.extend(numbers.map(|number| number.to_string()));
        table.row(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::evidence::testing::record;
    use super::*;

    #[test]
    fn a_claim_is_as_good_as_its_run() {
        let page = page(&Evidence::new(vec![
            record("2026-01-01", "7.2.12", &[("migration", 1, 1)]),
            record(
                "2026-01-02",
                "7.3.4",
                &[("migration", 2, 0), ("arm64", 2, 0)],
            ),
        ]));
        let row = |what: &str| {
            let row = page.lines().find(|line| line.contains(what));
            row.unwrap_or_else(|| panic!("{what} is not in {page}"))
        };
        let migration = row("live migration, dirty pages from the IOMMU");
        assert!(migration.contains("works (1)"), "{migration}");
        assert!(migration.ends_with("fails (2)"), "{migration}");
        let arm64 = row("arm64 ");
        assert!(arm64.contains("built, not run (1)"), "{arm64}");
        assert!(arm64.ends_with("not run"), "{arm64}");
        assert!(page.contains("Run 2\n-----"), "{page}");
        assert!(page.contains("QEMU 11.1.3"), "{page}");
    }

    #[test]
    fn two_kinds_of_kernels_have_a_table_each() {
        let run = record("2026-01-01", "7.3.4", &[("stock", 1, 0)]);
        let page = page(&Evidence::new(vec![run]));
        assert_eq!(page.matches("architecture").count(), 2);
        assert_eq!(page.matches("works (1)").count(), 1);
    }
}
