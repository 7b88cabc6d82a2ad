// SPDX-License-Identifier: GPL-2.0
/*
 * The module's trace events, and functions that Rust can call: the kernel
 * crate's declare_trace!() finds only events of the kernel itself.
 */
#include "helpers.h"

#define CREATE_TRACE_POINTS
#include "virtio_vfio_pci_rs_trace.h"

void vvp_trace_arc(const char *device, u32 from, u32 to, int error, u64 ns)
{
	trace_arc(device, from, to, error, ns);
}

void vvp_trace_record(const char *device, u8 phase, u32 tag, u32 flags, u64 size)
{
	trace_record(device, phase, tag, flags, size);
}

void vvp_trace_admin_command(const char *device, u16 opcode, int error, u64 ns)
{
	trace_admin_command(device, opcode, error, ns);
}
