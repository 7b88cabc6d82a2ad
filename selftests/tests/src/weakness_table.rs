// SPDX-License-Identifier: GPL-2.0
//! The table in Documentation/weaknesses.rst, which a test holds to what it sees.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

const PAGE: &str = include_str!("../../../Documentation/weaknesses.rst");

/// What the page says of the in-tree driver, by number; empty where it says nothing.
pub fn read() -> Result<BTreeMap<&'static str, &'static str>> {
    parse(PAGE)
}

fn parse(page: &str) -> Result<BTreeMap<&str, &str>> {
    let border = page
        .lines()
        .find(|line| line.starts_with("===  ="))
        .context("no table")?;
    let column = border.rfind(' ').context("one column")? + 1;
    let mut table = BTreeMap::new();
    for line in page.lines() {
        let number = line.split(' ').next().unwrap_or_default();
        let is_number = number.len() == 3
            && number.starts_with('b')
            && number[1..].bytes().all(|byte| byte.is_ascii_digit());
        if is_number {
            let said = line.get(column..).unwrap_or_default().trim();
            ensure!(
                ["", "yes", "no"].contains(&said),
                "{number} has '{said}', which is neither yes nor no"
            );
            ensure!(
                table.insert(number, said).is_none(),
                "{number} is there twice"
            );
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read() {
        let page = "Text\n\n===  =====  ===\nno.  what   saw\n===  =====  ===\n\
                    b01  a\n     more\nb02  b      yes\nb03  c      no\n===  =====  ===\n";
        let table = parse(page).unwrap();
        assert_eq!(table["b01"], "");
        assert_eq!(table["b02"], "yes");
        assert_eq!(table["b03"], "no");
        assert!(parse(&page.replace("yes", "so")).is_err());
        assert!(parse(&page.replace("b03", "b02")).is_err());
    }

    #[test]
    fn the_page_has_the_table() {
        assert_eq!(read().unwrap().len(), 23);
    }
}
