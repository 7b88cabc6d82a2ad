// SPDX-License-Identifier: GPL-2.0
//! Writes the first corpus of each target below the directory that is named.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let top = PathBuf::from(std::env::args_os().nth(1).expect("a directory"));
    for target in vvp_fuzz::TARGETS {
        let dir = top.join(target.name);
        std::fs::create_dir_all(&dir)?;
        for (number, seed) in vvp_fuzz::seeds::of(target.name).iter().enumerate() {
            std::fs::write(dir.join(format!("seed-{number:02}")), seed)?;
        }
    }
    Ok(())
}
