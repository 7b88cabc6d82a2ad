// SPDX-License-Identifier: GPL-2.0
//! Whether a QEMU can use the bench.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The first QEMU that has what the bench needs of it.
pub const MINIMUM: Release = Release(10, 1);

/// The device by which QEMU attaches the bench's functions.
const DEVICE: &str = "vfio-user-pci";

/// Major and minor number of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u32, pub u32);

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Asks `program` for its version and its devices. The reason why it does not do is one line.
pub fn check(program: &Path) -> Result<Release, String> {
    let name = program.display();
    let words = ask(program, &["--version"])?;
    let release = parse(&words).ok_or_else(|| {
        let line = words.lines().next().unwrap_or_default();
        format!("{name}: says {line:?}, which is no version of QEMU")
    })?;
    if release < MINIMUM {
        return Err(format!(
            "{name}: QEMU {release}; {MINIMUM} or later is needed"
        ));
    }
    let devices = ask(program, &["-device", "help"])?;
    if !devices.contains(&format!("\"{DEVICE}\"")) {
        return Err(format!(
            "{name}: QEMU {release}, built without the device {DEVICE} (configure \
             --enable-vfio-user-client)"
        ));
    }
    Ok(release)
}

fn ask(program: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The release in "QEMU emulator version 11.0.50 (...)".
fn parse(words: &str) -> Option<Release> {
    let (_, version) = words.split_once("QEMU emulator version ")?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next()?.parse().ok();
    Some(Release(number()?, number()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let release = |text: &str| parse(text);
        assert_eq!(
            release("QEMU emulator version 10.1.2 (Debian 1:10.1.2+ds-1)\nCopyright"),
            Some(Release(10, 1))
        );
        assert_eq!(
            release("QEMU emulator version 11.0.50\n"),
            Some(Release(11, 0))
        );
        assert_eq!(release("QEMU emulator version x"), None);
        assert_eq!(release("cloud-hypervisor v50"), None);
        assert!(Release(9, 2) < MINIMUM && Release(11, 0) > MINIMUM);
    }
}
