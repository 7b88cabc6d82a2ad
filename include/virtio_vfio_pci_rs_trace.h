/* SPDX-License-Identifier: GPL-2.0 */
/* Trace events; Documentation/administration.rst says what they mean. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM virtio_vfio_pci_rs

#if !defined(VVP_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define VVP_TRACE_H

#include <linux/tracepoint.h>
#include <linux/vfio.h>

TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_ERROR);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_STOP);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_RUNNING);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_STOP_COPY);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_RESUMING);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_RUNNING_P2P);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_PRE_COPY);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_PRE_COPY_P2P);

#define vvp_show_state(state)						\
	__print_symbolic(state,						\
		{ VFIO_DEVICE_STATE_ERROR, "ERROR" },			\
		{ VFIO_DEVICE_STATE_STOP, "STOP" },			\
		{ VFIO_DEVICE_STATE_RUNNING, "RUNNING" },		\
		{ VFIO_DEVICE_STATE_STOP_COPY, "STOP_COPY" },		\
		{ VFIO_DEVICE_STATE_RESUMING, "RESUMING" },		\
		{ VFIO_DEVICE_STATE_RUNNING_P2P, "RUNNING_P2P" },	\
		{ VFIO_DEVICE_STATE_PRE_COPY, "PRE_COPY" },		\
		{ VFIO_DEVICE_STATE_PRE_COPY_P2P, "PRE_COPY_P2P" })

TRACE_EVENT(arc,

	TP_PROTO(const char *device, u32 from, u32 to, int error, u64 ns),

	TP_ARGS(device, from, to, error, ns),

	TP_STRUCT__entry(
		__string(device, device)
		__field(u64, ns)
		__field(u32, from)
		__field(u32, to)
		__field(int, error)
	),

	TP_fast_assign(
		__assign_str(device);
		__entry->ns = ns;
		__entry->from = from;
		__entry->to = to;
		__entry->error = error;
	),

	TP_printk("%s from=%s to=%s errno=%d ns=%llu", __get_str(device),
		  vvp_show_state(__entry->from), vvp_show_state(__entry->to),
		  __entry->error, __entry->ns)
);

TRACE_EVENT(record,

	TP_PROTO(const char *device, u8 phase, u32 tag, u32 flags, u64 size),

	TP_ARGS(device, phase, tag, flags, size),

	TP_STRUCT__entry(
		__string(device, device)
		__field(u64, size)
		__field(u32, tag)
		__field(u32, flags)
		__field(u8, phase)
	),

	TP_fast_assign(
		__assign_str(device);
		__entry->size = size;
		__entry->tag = tag;
		__entry->flags = flags;
		__entry->phase = phase;
	),

	/* enum Phase in rust/logic/stats.rs */
	TP_printk("%s phase=%s tag=%u flags=%#x size=%llu", __get_str(device),
		  __print_symbolic(__entry->phase, { 0, "pre_copy" },
				   { 1, "stop_copy" }, { 2, "resuming" }),
		  __entry->tag, __entry->flags, __entry->size)
);

TRACE_EVENT(admin_command,

	TP_PROTO(const char *device, u16 opcode, int error, u64 ns),

	TP_ARGS(device, opcode, error, ns),

	TP_STRUCT__entry(
		__string(device, device)
		__field(u64, ns)
		__field(int, error)
		__field(u16, opcode)
	),

	TP_fast_assign(
		__assign_str(device);
		__entry->ns = ns;
		__entry->error = error;
		__entry->opcode = opcode;
	),

	TP_printk("%s opcode=%#04x errno=%d ns=%llu", __get_str(device),
		  __entry->opcode, __entry->error, __entry->ns)
);

#endif

/* Found along the include path of the one file that defines CREATE_TRACE_POINTS. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE virtio_vfio_pci_rs_trace
#include <trace/define_trace.h>
