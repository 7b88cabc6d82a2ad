// SPDX-License-Identifier: GPL-2.0
//! The control protocol of `vfio-bench`: what a test asks of the emulated hardware, and what
//! it answers.
//!
//! Each request is a JSON object on a line of at most [`MAX_REQUEST`] bytes, and so is each
//! answer, of at most [`MAX_ANSWER`] bytes. Any number of clients may be connected to one bench.
//!
//! - [`request`]: what can be asked for;
//! - [`reply`]: what is answered;
//! - [`client`]: a client over a socket or, in the guest, a virtio-serial port;
//! - [`version`]: which programs understand each other.

pub mod client;
mod error;
mod hex;
pub mod opcode;
pub mod reply;
pub mod request;
pub mod version;

pub use client::Client;
pub use error::Error;
pub use reply::{
    AdminObject, AdminState, Choices, Counters, FunctionState, Hello, IommuState, LinkState, Queue,
    State,
};
pub use request::{Action, Injection, Request};
pub use version::Version;

/// The result of a request.
pub type Result<T> = std::result::Result<T, Error>;

/// Name of the virtio-serial port that leads to the bench's control socket.
pub const PORT: &str = "bench.control";

/// Longest request, with its line break.
pub const MAX_REQUEST: usize = 64 << 10;

/// Longest answer, with its line break: the device parts of a function with as much ballast as
/// there can be, in hexadecimal.
pub const MAX_ANSWER: usize = 640 << 20;

/// The example there compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
