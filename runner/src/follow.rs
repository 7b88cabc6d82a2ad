// SPDX-License-Identifier: GPL-2.0
//! Follows a file that somebody else is writing, line by line.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Reads whole lines as they appear at the end of a file.
pub struct Follow {
    path: PathBuf,
    file: Option<File>,
    partial: Vec<u8>,
}

impl Follow {
    /// The file need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            file: None,
            partial: Vec::new(),
        }
    }

    /// Lines that were completed since the last call.
    pub fn lines(&mut self) -> Result<Vec<String>> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot open {:?}", self.path));
                }
            }
        }
        if let Some(file) = &mut self.file {
            file.read_to_end(&mut self.partial)
                .with_context(|| format!("cannot read {:?}", self.path))?;
        }
        let Some(end) = self.partial.iter().rposition(|&byte| byte == b'\n') else {
            return Ok(Vec::new());
        };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        let text = String::from_utf8_lossy(&whole);
        Ok(text.lines().map(str::to_string).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_arrive_whole_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut follow = Follow::new(&path);
        assert!(follow.lines().unwrap().is_empty());
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(follow.lines().unwrap(), ["one"]);
        file.write_all(b"o\nthree\n").unwrap();
        assert_eq!(follow.lines().unwrap(), ["two", "three"]);
        assert!(follow.lines().unwrap().is_empty());
    }
}
