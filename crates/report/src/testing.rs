// SPDX-License-Identifier: GPL-2.0
//! What the tests have in common.

use std::path::Path;
use std::{env, fs};

use crate::{Input, Point, Series, Subject};

/// The example. Its numbers are made up.
pub fn input() -> Input {
    crate::read(&include_bytes!("../tests/synthetic.jsonl")[..]).unwrap()
}

pub fn series(figure: &str, unit: &str, subject: Subject, values: &[f64]) -> Series {
    Series {
        figure: figure.into(),
        unit: unit.into(),
        subject,
        point: Point::default(),
        values: values.to_vec(),
    }
}

/// Compares with a file in `tests`, or replaces it if VVP_BLESS is set.
pub fn compare(text: &str, name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name);
    if env::var_os("VVP_BLESS").is_some() {
        fs::write(&file, text).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap();
    let difference = text
        .lines()
        .zip(expected.lines())
        .enumerate()
        .find(|(_, (is, should_be))| is != should_be);
    assert!(text == expected, "{name} differs, first in {difference:?}");
}
