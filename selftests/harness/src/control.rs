// SPDX-License-Identifier: GPL-2.0
//! The bench's control socket, as tests use it.

pub use vfio_bench_protocol::{
    Action, AdminObject, Client as Control, FunctionState, PORT, State, opcode,
};

/// An answer of status EINVAL, qualifier "invalid field".
pub const REFUSE: Action = Action::Status {
    status: 22,
    qualifier: 3,
};
