// SPDX-License-Identifier: GPL-2.0
//! Files that are there whole or not at all.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

/// The state of a guest's device is for its owner only.
const OWN: u32 = 0o600;
/// What is about it is for whom the user's mask lets.
const OTHERS: u32 = 0o666;

/// Where output goes until it is complete.
pub enum Output<'a> {
    /// A file of another name beside the one that is wanted.
    File { path: &'a Path, file: NamedTempFile },
    /// Standard output, which nothing takes back.
    Standard,
}

impl<'a> Output<'a> {
    /// For the state of a device: `path`, or standard output if that is `-`.
    pub fn create(path: &'a Path) -> Result<Self> {
        Self::with_mode(path, OWN)
    }

    fn with_mode(path: &'a Path, mode: u32) -> Result<Self> {
        if is_standard(path) {
            return Ok(Self::Standard);
        }
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .prefix(".vfmig-")
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(directory)
            .with_context(|| {
                let directory = directory.display();
                format!("{directory}: cannot make a file there, choose another directory")
            })?;
        Ok(Self::File { path, file })
    }

    /// Gives the file its name, when all of it is on the disk.
    pub fn complete(self) -> Result<()> {
        let Self::File { path, file } = self else {
            return Ok(());
        };
        let shown = path.display();
        file.as_file()
            .sync_all()
            .with_context(|| format!("writing {shown}"))?;
        file.persist(path)
            .map(drop)
            .with_context(|| format!("{shown}: cannot be replaced, choose another name"))
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File { file, .. } => file.write(bytes),
            Self::Standard => io::stdout().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File { file, .. } => file.flush(),
            Self::Standard => io::stdout().flush(),
        }
    }
}

/// Writes all of a file that people read.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let mut output = Output::with_mode(path, OTHERS)?;
    output
        .write_all(text.as_bytes())
        .with_context(|| format!("writing {}", path.display()))?;
    output.complete()
}

/// Opens a file, with an error that names it.
pub fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("{}: give a file that can be read", path.display()))
}

/// Is it `-`?
pub fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_there_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stream");
        fs::write(&path, "old").unwrap();
        let mut output = Output::create(&path).unwrap();
        output.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(output);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);

        write(&path, "new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
