// SPDX-License-Identifier: GPL-2.0

//! Parameter `dma_logging`.

use crate::{
    abi,
    logic::dma_log::Policy, //
};

/// What the administrator wants.
pub(super) fn policy() -> Policy {
    // SAFETY: The function reads a variable that does not change once the module is loaded.
    let number = unsafe { abi::vvp_dma_logging() };
    // The names in parameter.c are as many as there are policies.
    Policy::from_number(number as usize).unwrap_or(Policy::Off)
}
