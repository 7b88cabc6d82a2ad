// SPDX-License-Identifier: GPL-2.0
//! What the fuzz targets do with their bytes. Each is a function here, so that the corpus
//! can be run through it without a fuzzer, too (`tests/corpus.rs`).
//!
//! A target fails by a panic: one of the code under test, or of the target itself, which
//! says what must hold whatever the bytes are. See Documentation/fuzzing.rst.

#[cfg(feature = "bench")]
pub mod admin_commands;
#[cfg(feature = "bench")]
pub mod control_socket;
#[cfg(feature = "bench")]
pub mod descriptor_chains;
pub mod device_parts;
#[cfg(feature = "bench")]
pub mod logic_and_bench;
pub mod parts_delta;
#[cfg(feature = "bench")]
pub mod seeds;
pub mod stream_damage;
pub mod stream_loader;
#[cfg(feature = "bench")]
pub mod vfio_user;
#[cfg(feature = "vfmig")]
pub mod vfmig_readers;

mod bytes;
mod loading;
#[cfg(feature = "bench")]
mod machines;
mod streams;

// The driver of the bench's conformance tests, which knows the specification alone.
#[allow(dead_code)]
#[cfg(feature = "bench")]
#[path = "../../bench/tests/virtio_conformance/driver.rs"]
mod driver;
#[allow(dead_code)]
#[cfg(feature = "bench")]
#[path = "../../bench/tests/virtio_conformance/rig.rs"]
mod rig;
#[allow(dead_code)]
#[cfg(feature = "bench")]
#[path = "../../bench/tests/virtio_conformance/wire.rs"]
mod wire;

/// A target.
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// One execution.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($(#[$when:meta])* $name:ident),* $(,)?) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[$($(#[$when])* Target { name: stringify!($name), run: $name::run }),*];
    };
}

targets![
    stream_loader,
    stream_damage,
    device_parts,
    parts_delta,
    #[cfg(feature = "bench")]
    admin_commands,
    #[cfg(feature = "bench")]
    descriptor_chains,
    #[cfg(feature = "bench")]
    control_socket,
    #[cfg(feature = "bench")]
    vfio_user,
    #[cfg(feature = "vfmig")]
    vfmig_readers,
    #[cfg(feature = "bench")]
    logic_and_bench,
];
