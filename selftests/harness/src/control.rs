// SPDX-License-Identifier: GPL-2.0
//! The bench's control socket, as tests use it.

pub use vfio_bench_protocol::opcode::MIGRATION as MIGRATION_OPCODES;
pub use vfio_bench_protocol::{Action, AdminObject, Client as Control, FunctionState, PORT, State};
