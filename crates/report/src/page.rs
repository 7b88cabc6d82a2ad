// SPDX-License-Identifier: GPL-2.0
//! The page for the documentation.

mod section;

use crate::plot::Plot;
use crate::table::{Align, Table};
use crate::{Results, rst, summary};

use section::Section;

const INTRODUCTION: &str = "\
What migration costs with this driver, ``virtio_vfio_pci_rs``, and with the in-tree driver, \
``virtio_vfio_pci``. ``vvp-report`` made this page from one run of the benchmark. \
``results.json``, made at the same time, has the same and more for programs.";

const EMULATED: &str = "\
The machine is emulated: its functions are a program beside QEMU (see :doc:`/bench`), every \
access to a register is a message between the two, and QEMU interprets instructions. **Times \
say nothing about hardware; only ratios mean something.**";

const READING: &[&str] = &[
    "Columns named after a driver have its median.",
    "*Ratio* is what this driver needs, divided by what the in-tree driver needs. Below 1.0 this \
     driver is better, except where it says that more is better. For dirty pages it is VFIO's \
     DMA logging divided by iommufd.",
    "The two are measured alternately. Values taken one after the other are a pair. The ratio is \
     the median of the quotients of all pairs, with their lower and upper quartiles in \
     parentheses; if there are none, all quotients are the same. Whatever slows down the machine \
     for a while slows down both values of a pair, so the ratio is not quite the quotient of the \
     medians. If 1.0 is between the quartiles, there is no difference to speak of.",
    "*Context* is the size of the device's state, *part* that of one of the parts that it \
     consists of. *Changed* is the share of the state that changed after pre-copy had read it; \
     *no pre-copy* is a source that was stopped without it.",
    "A blank means: not measured, or no ratio because all is zero.",
];

/// All of the page. `plots` are next to it.
pub fn page(results: &Results, plots: &[Plot]) -> String {
    let mut page = String::from(".. SPDX-License-Identifier: GPL-2.0\n\n");
    page += &rst::title("Performance");
    page += &rst::paragraph(INTRODUCTION);
    page += &rst::section("In short");
    let summary = summary::summary(results);
    let summary: Vec<String> = summary.iter().map(|item| rst::escape(item)).collect();
    page += &rst::list(summary.iter().map(String::as_str));
    page += &rst::section("How to read it");
    page += &rst::paragraph(EMULATED);
    page += &rst::list(READING.iter().copied());
    page += &rst::section("Environment");
    page += &environment(results).to_rst();
    for section in Section::all(results) {
        page.push('\n');
        page += &section.to_rst(plots);
    }
    page
}

fn environment(results: &Results) -> Table {
    let columns = [("what", Align::Left), ("value", Align::Left)];
    let columns = columns.map(|(heading, align)| (heading.to_owned(), align));
    let mut table = Table::new(columns.to_vec());
    for (name, value) in results.environment.rows() {
        table.row(vec![name, value]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn the_page_of_the_example() {
        let results = Results::new(&testing::input());
        let plots = crate::plot::plots(&results).unwrap();
        let page = page(&results, &plots);
        testing::compare(&page, "synthetic.rst");
    }
}
