// SPDX-License-Identifier: GPL-2.0
//! Any bytes are a stream, or refused, and however they come: two bytes that say how, and
//! the stream.

use logic::parts::{self, Parts};

use crate::bytes::Bytes;
use crate::loading::{cuts, load};

pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let seed = bytes.u16();
    let stream = bytes.rest();
    let whole = load(stream, || usize::MAX);
    assert_eq!(load(stream, cuts(seed)), whole);
    for record in &whole.records {
        let checked = parts::check(record).expect("the loader has checked it");
        let found: usize = Parts::new(record).map(|(_, part)| part.len()).sum();
        assert_eq!(found, record.len(), "a record is nothing but parts");
        assert_eq!(checked.count() as usize, Parts::new(record).count());
    }
    if whole.end.is_ok() {
        assert!(!whole.records.is_empty(), "a stream has device data");
    }
}
