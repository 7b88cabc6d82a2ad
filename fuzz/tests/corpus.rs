// SPDX-License-Identifier: GPL-2.0
//! All of the corpus through all targets, without a fuzzer: `cargo test` in fuzz/.

use std::fs;
use std::path::Path;

#[test]
fn every_target_holds_on_its_corpus() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in vvp_fuzz::TARGETS {
        let files = fs::read_dir(top.join(target.name)).expect("each target has a corpus");
        let mut count = 0;
        for file in files {
            let path = file.expect("a file").path();
            let bytes = fs::read(&path).expect("a file");
            println!("{}", path.display());
            (target.run)(&bytes);
            count += 1;
        }
        assert!(count > 0, "{} has no corpus", target.name);
    }
}

#[test]
fn the_manifest_has_all_targets() {
    let manifest = include_str!("../Cargo.toml");
    for target in vvp_fuzz::TARGETS {
        let line = format!("path = \"fuzz_targets/{}.rs\"", target.name);
        assert!(manifest.contains(&line), "{}", target.name);
    }
    assert_eq!(manifest.matches("[[bin]]").count(), vvp_fuzz::TARGETS.len());
}
