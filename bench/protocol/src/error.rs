// SPDX-License-Identifier: GPL-2.0
//! Why a request failed.

use std::io;
use std::path::PathBuf;

use crate::version::Version;

/// Why a request failed. One line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no way to the bench.
    #[error("cannot open {0}: {1}")]
    Open(PathBuf, #[source] io::Error),
    /// The connection broke.
    #[error("control connection to the bench: {0}")]
    Io(#[from] io::Error),
    /// The bench ended the connection.
    #[error("the bench has closed the connection")]
    Closed,
    /// The bench does not read, or does not answer.
    #[error("the bench does not {0}")]
    Deaf(&'static str),
    /// The bench speaks a protocol that this client does not know.
    #[error("the bench speaks version {theirs} of the protocol, this client {ours}")]
    Version {
        /// The bench's; 0.0 if it does not even know the question.
        theirs: Version,
        /// This client's.
        ours: Version,
    },
    /// What is at the other end is no bench.
    #[error("{0:?} is at the other end, not a vfio-bench")]
    Stranger(String),
    /// The bench refused the request.
    #[error("the bench refused {request}: {reason}")]
    Refused {
        /// The request as it was sent.
        request: String,
        /// Why.
        reason: String,
    },
    /// The answer is longer than there can be.
    #[error("endless answer from the bench")]
    Endless,
    /// The request is longer than there can be.
    #[error("a request has at most {} bytes", crate::MAX_REQUEST)]
    TooLong,
    /// The answer makes no sense.
    #[error("answer of the bench to {request}: {error}")]
    Garbled {
        /// The request as it was sent.
        request: String,
        /// What is wrong with the answer.
        error: serde_json::Error,
    },
    /// There is no such function.
    #[error("the bench has no function '{0}'")]
    NoFunction(String),
}
