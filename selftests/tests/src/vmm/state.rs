// SPDX-License-Identifier: GPL-2.0
//! Migration states, as rust-vmm's bindings have them.

use vfio_bindings::bindings::vfio;

pub const STOP: u32 = vfio::vfio_device_mig_state_VFIO_DEVICE_STATE_STOP;
pub const RUNNING: u32 = vfio::vfio_device_mig_state_VFIO_DEVICE_STATE_RUNNING;
pub const STOP_COPY: u32 = vfio::vfio_device_mig_state_VFIO_DEVICE_STATE_STOP_COPY;
pub const RESUMING: u32 = vfio::vfio_device_mig_state_VFIO_DEVICE_STATE_RESUMING;
pub const PRE_COPY: u32 = vfio::vfio_device_mig_state_VFIO_DEVICE_STATE_PRE_COPY;
