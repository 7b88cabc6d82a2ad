// SPDX-License-Identifier: GPL-2.0
//! What the project's scripts say of kernels that the module cannot be built for, or
//! not be loaded into: one line, before any compiler has been called.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The project's directory.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

const RELEASE: &str = "7.3.4+test-amd64";
const RUSTC: &str = "rustc 1.85.1 (test)";
const BINDGEN: &str = "bindgen 0.71.1";

/// A machine with headers as Debian packages them, Rust metadata, and the tools of the
/// kernel. Everything that a check looks at is a file in it.
struct Machine {
    directory: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Machine {
    fn root(&self) -> &Path {
        self.directory.path()
    }

    fn new() -> Self {
        let mut machine = Self {
            directory: tempfile::tempdir().unwrap(),
            environment: Vec::new(),
        };
        machine.tool("rustc", RUSTC);
        machine.tool("bindgen", BINDGEN);
        machine.header("rust/libkernel.rmeta", "");
        machine.kernel(RELEASE);
        machine.header(
            "include/generated/package.h",
            "#define LINUX_PACKAGE_ID \" Debian 7.3.4-1~test\"\n",
        );
        machine.write("sys/kernel/security/lockdown", "[none] integrity\n");
        machine.write("sys/module/module/parameters/sig_enforce", "N\n");
        for (name, path) in [
            ("RUSTC", "rustc"),
            ("BINDGEN", "bindgen"),
            ("VVP_SYSFS", "sys"),
        ] {
            let path = machine.root().join(path).display().to_string();
            machine.environment.push((name, path));
        }
        machine.environment.push(("VVP_RUNNING", RELEASE.into()));
        machine
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A program that says which one it is, and does nothing.
    fn tool(&self, name: &str, version: &str) {
        self.write(name, &format!("#!/bin/sh\necho '{version}'\n"));
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.root().join(name), mode).unwrap();
    }

    fn headers(&self) -> PathBuf {
        self.root()
            .join("usr/src")
            .join(format!("linux-headers-{RELEASE}"))
    }

    fn header(&self, path: &str, text: &str) {
        self.write(&format!("usr/src/linux-headers-{RELEASE}/{path}"), text);
    }

    /// Makes it headers of that kernel.
    fn kernel(&self, release: &str) {
        self.header("include/config/kernel.release", &format!("{release}\n"));
        self.configure(&format!(
            "# Linux/x86 {release} Kernel Configuration\n\
             CONFIG_X86_64=y\n\
             CONFIG_RUST=y\n\
             CONFIG_RUSTC_VERSION_TEXT=\"{RUSTC}\"\n\
             CONFIG_BINDGEN_VERSION_TEXT=\"{BINDGEN}\"\n\
             CONFIG_CC_VERSION_TEXT=\"cc (test) 14\"\n"
        ));
    }

    fn configure(&self, text: &str) {
        self.header(".config", text);
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.headers().join(path)).unwrap();
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.environment.push((name, value.to_string()));
    }

    /// Runs it in an environment without settings of the one who runs this test.
    fn run(&self, command: &mut Command) -> (bool, String) {
        for name in [
            "MAKEFLAGS",
            "SIGN",
            "SIGN_KEY",
            "SIGN_CERT",
            "VVP_KERNEL_SERIES",
        ] {
            command.env_remove(name);
        }
        command
            .env("VVP_CACHE", self.root().join("cache"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.success(), said)
    }

    fn check(&self) -> (bool, String) {
        let script = top().join("scripts/check-kernel.sh");
        self.run(Command::new(script).arg(self.headers()))
    }

    fn metadata(&self) -> (bool, String) {
        let script = top().join("scripts/rust-metadata.sh");
        self.run(
            Command::new(script)
                .args(["--check", "--kernel", RELEASE, "--root"])
                .arg(self.root()),
        )
    }
}

/// One line, which has all of `texts`.
#[track_caller]
fn refused((good, said): (bool, String), texts: &[&str]) {
    assert!(!good, "not refused: {said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    for text in texts {
        assert!(said.contains(text), "{text:?} is not in: {said}");
    }
}

#[track_caller]
fn taken((good, said): (bool, String)) {
    assert!(good, "{said}");
}

#[test]
fn a_kernel_that_is_fit() {
    taken(Machine::new().check());
}

#[test]
fn no_headers() {
    let machine = Machine::new();
    fs::remove_dir_all(machine.headers()).unwrap();
    refused(machine.check(), &["no kernel headers in", "apt install"]);
    refused(
        machine.metadata(),
        &["apt install linux-headers-7.3.4+test-amd64"],
    );
}

#[test]
fn a_source_tree_that_was_not_built() {
    let machine = Machine::new();
    machine.remove("include/config/kernel.release");
    refused(machine.check(), &["has not been built or prepared"]);
}

#[test]
fn no_rust() {
    let machine = Machine::new();
    machine.configure("# CONFIG_RUST is not set\n");
    for answer in [machine.check(), machine.metadata()] {
        refused(answer, &[RELEASE, "without CONFIG_RUST"]);
    }
}

/// Metadata is made for x86-64. A kernel that has it is taken, whatever it is for.
#[test]
fn another_architecture() {
    let machine = Machine::new();
    let path = machine.headers().join(".config");
    let x86 = fs::read_to_string(path).unwrap();
    let arm64 = x86
        .replace("Linux/x86", "Linux/arm64")
        .replace("X86_64", "ARM64");
    machine.configure(&arm64);
    taken(machine.check());
    taken(machine.metadata());
    machine.remove("rust/libkernel.rmeta");
    refused(machine.metadata(), &[RELEASE, "is for arm64", "KDIR"]);
    machine.configure(&arm64.replace("# Linux/", "# "));
    refused(machine.metadata(), &["is for another architecture"]);
}

#[test]
fn a_series_that_nobody_has_tried() {
    let mut machine = Machine::new();
    machine.kernel("99.1.0-amd64");
    for answer in [machine.check(), machine.metadata()] {
        refused(
            answer,
            &["nobody has tried series 99.1", "VVP_KERNEL_SERIES=99.1"],
        );
    }
    machine.set("VVP_KERNEL_SERIES", "99.1");
    taken(machine.check());
}

#[test]
fn no_metadata() {
    let machine = Machine::new();
    machine.remove("rust/libkernel.rmeta");
    refused(
        machine.check(),
        &["no Rust metadata", "scripts/rust-metadata.sh"],
    );
}

#[test]
fn metadata_that_is_there() {
    let (good, said) = Machine::new().metadata();
    assert!(good && said.contains("already"), "{said}");
}

#[test]
fn another_rustc() {
    let machine = Machine::new();
    machine.tool("rustc", "rustc 1.95.0 (other)");
    for answer in [machine.check(), machine.metadata()] {
        refused(answer, &[RUSTC, "rustc 1.95.0 (other)", "RUSTC="]);
    }
}

#[test]
fn no_rustc() {
    let mut machine = Machine::new();
    machine.set("RUSTC", "/nonexistent/rustc");
    for answer in [machine.check(), machine.metadata()] {
        refused(answer, &["no /nonexistent/rustc", RUSTC]);
    }
}

#[test]
fn no_bindgen() {
    let mut machine = Machine::new();
    machine.set("BINDGEN", "/nonexistent/bindgen");
    refused(machine.check(), &["no /nonexistent/bindgen"]);
}

#[test]
fn another_bindgen_makes_other_metadata() {
    let machine = Machine::new();
    machine.remove("rust/libkernel.rmeta");
    machine.tool("bindgen", "bindgen 0.99");
    refused(machine.metadata(), &[BINDGEN, "bindgen 0.99", "BINDGEN="]);
    // It serves for the module.
    machine.header("rust/libkernel.rmeta", "");
    taken(machine.check());
}

/// Up to the source; a compiler of that name is on every machine that builds this.
#[test]
fn no_source_package() {
    let mut machine = Machine::new();
    machine.remove("rust/libkernel.rmeta");
    machine.kernel("99.1.0-amd64");
    machine.set("VVP_KERNEL_SERIES", "99.1");
    let (good, said) = machine.metadata();
    // A machine without the tools is told of these first.
    if !said.contains("missing:") {
        refused(
            (good, said),
            &["apt install linux-source-99.1=7.3.4-1~test"],
        );
    }
}

#[test]
fn a_kernel_of_somebody_else() {
    let machine = Machine::new();
    machine.remove("rust/libkernel.rmeta");
    machine.remove("include/generated/package.h");
    let (good, said) = machine.metadata();
    if !said.contains("missing:") {
        refused((good, said), &["is not Debian's", "KDIR"]);
    }
}

#[test]
fn signatures() {
    let mut machine = Machine::new();
    machine.write(
        "sys/kernel/security/lockdown",
        "none [integrity] confidentiality\n",
    );
    for answer in [machine.check(), machine.metadata()] {
        refused(
            answer,
            &[
                "signed modules only",
                "locked down (integrity)",
                "SIGN_KEY=",
            ],
        );
    }
    machine.write("sys/kernel/security/lockdown", "[none] integrity\n");
    machine.write("sys/module/module/parameters/sig_enforce", "Y\n");
    refused(machine.check(), &["module.sig_enforce", "mokutil"]);
    machine.set("SIGN", "later");
    taken(machine.check());
}

#[test]
fn a_key_needs_a_certificate() {
    let mut machine = Machine::new();
    machine.write("key", "");
    let key = machine.root().join("key").display().to_string();
    machine.set("SIGN_KEY", &key);
    refused(machine.check(), &["SIGN_KEY and SIGN_CERT must both"]);
    machine.set("SIGN_CERT", &key);
    taken(machine.check());
}

/// The running kernel's rules are not those of another.
#[test]
fn enforcement_of_another_kernel() {
    let mut machine = Machine::new();
    machine.write("sys/module/module/parameters/sig_enforce", "Y\n");
    machine.set("VVP_RUNNING", "6.12.0-other");
    taken(machine.check());
}

/// `make` says no more than that before it ends.
#[test]
fn make_stops_at_the_line() {
    let machine = Machine::new();
    machine.remove("rust/libkernel.rmeta");
    let kdir = format!("KDIR={}", machine.headers().display());
    let (good, said) = machine.run(Command::new("make").arg("-C").arg(top()).arg(kdir));
    assert!(!good);
    let line = said.lines().next().unwrap_or_default();
    assert!(line.starts_with("error: no Rust metadata"), "{said}");
    assert!(!said.contains("rustc"), "{said}");
}
