// SPDX-License-Identifier: GPL-2.0
//! The cases, by subject. They were written from the text of the rules.

mod arcs;
mod concurrent;
mod data_size;
mod dma_log;
mod ends;
mod features;
mod life;
mod loading;
mod precopy;
mod regions;
mod segments;
mod states;

use crate::trial::Case;

/// All of them.
pub fn all() -> Vec<Case> {
    [
        features::cases,
        states::cases,
        arcs::cases,
        ends::cases,
        precopy::cases,
        data_size::cases,
        segments::cases,
        loading::cases,
        regions::cases,
        concurrent::cases,
        dma_log::cases,
        life::cases,
    ]
    .into_iter()
    .flat_map(|cases| cases())
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_one_case() {
        let cases = all();
        let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| !name.contains([' ', '#'])));
    }

    #[test]
    fn each_rule_has_a_case() {
        let cases = all();
        for rule in crate::rules::ALL {
            assert!(
                cases.iter().any(|case| case.rule.id == rule.id),
                "{}",
                rule.id
            );
        }
    }
}
