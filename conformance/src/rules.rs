// SPDX-License-Identifier: GPL-2.0
//! The rules that cases test: where each is written, and what it says, in other words.
//!
//! `vfio.h` is `include/uapi/linux/vfio.h` of Linux 7.3. What follows it is the definition
//! above which the text stands, and, for the state machine, the arc that it is about.

/// A sentence of the specification.
#[derive(Debug)]
pub struct Rule {
    /// Its name here.
    pub id: &'static str,
    /// Where it is written.
    pub place: &'static str,
    /// What it says.
    pub says: &'static str,
}

macro_rules! rules {
    ($($name:ident = $place:literal: $says:literal;)*) => {
        $(pub static $name: Rule = Rule { id: stringify!($name), place: $place, says: $says };)*

        /// All of them.
        pub static ALL: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    FEATURE_PROBE = "vfio.h, VFIO_DEVICE_FEATURE":
        "PROBE succeeds if the feature and all methods named with it are there, and needs no data";
    FEATURE_EXCLUSIVE = "vfio.h, VFIO_DEVICE_FEATURE":
        "GET and SET exclude each other, but for PROBE; one of them must be asked for";
    FEATURE_METHOD = "vfio.h, VFIO_DEVICE_FEATURE":
        "a feature is read, or written, or both: what it does not have is refused";
    FEATURE_FLAGS = "Documentation/process/botching-up-ioctls.rst, Basics":
        "flags that are not defined are refused";
    FEATURE_ARGSZ = "vfio.h, \"designed for extensibility\", at its top":
        "argsz is the size of the user's structure: too short a one is refused, beyond it nothing is touched";
    FEATURE_MEMORY = "vfio.h, VFIO_DEVICE_FEATURE; ioctl(2), EFAULT":
        "0 means that it was done; memory that cannot be accessed is EFAULT";
    FEATURE_UNKNOWN = "vfio.h, VFIO_DEVICE_FEATURE":
        "a feature that is not supported is refused";
    MIGRATION_FLAGS = "vfio.h, VFIO_DEVICE_FEATURE_MIGRATION":
        "at least STOP_COPY is announced; other flags are for the future";
    STATE_SET = "vfio.h, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE":
        "SET changes the state, fully, before it returns; a session that begins returns its descriptor";
    STATE_GET = "vfio.h, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE":
        "GET returns the present state, and -1 for data_fd";
    STATE_ASYNC = "vfio.h, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE":
        "nothing but SET and VFIO_DEVICE_RESET changes the state";
    STATE_FAILED = "vfio.h, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE":
        "after a failed SET the state is the old one or one on the path; the user may reset or go elsewhere";
    STATE_STREAM = "vfio.h, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE":
        "the stream is opaque, in order, and need not be written in the pieces it was read in";
    FSM_PATH = "vfio.h, enum vfio_device_mig_state, \"The remaining possible transitions\"":
        "the shortest path without saving states in between; see vfio_mig_get_next_state()";
    FSM_OPTIONAL = "vfio.h, enum vfio_device_mig_state, \"The optional states\"":
        "SET does not go to states that the device does not announce";
    FSM_BLOCKED = "vfio.h, enum vfio_device_mig_state, STOP_COPY -> PRE_COPY":
        "not permitted, and an error";
    FSM_ERROR = "vfio.h, enum vfio_device_mig_state, any -> ERROR":
        "ERROR cannot be asked for, and only VFIO_DEVICE_RESET leads out of it, to RUNNING";
    FSM_SAVING = "vfio.h, enum vfio_device_mig_state, RUNNING -> PRE_COPY":
        "PRE_COPY, PRE_COPY_P2P and STOP_COPY share one session; moving between them leaves its descriptor alone";
    FSM_ENDS = "vfio.h, enum vfio_device_mig_state, STOP_COPY -> STOP, PRE_COPY -> RUNNING, RESUMING -> STOP":
        "these arcs end the session";
    FSM_STOPPED = "vfio.h, enum vfio_device_mig_state, RUNNING_P2P -> STOP":
        "a stopped device answers in configuration space and interrupts; access to it harms only the user";
    FSM_LOAD = "vfio.h, enum vfio_device_mig_state, RESUMING -> STOP":
        "incomplete or invalid data makes SET fail; a reset aborts";
    FSM_STOP_COPY_END = "vfio.h, enum vfio_device_mig_state, PRE_COPY_P2P -> STOP_COPY":
        "the end of the stream says that the whole state was transferred";
    FSM_RESUME = "vfio.h, enum vfio_device_mig_state, STOP -> RESUMING":
        "what was read from one descriptor restores a compatible device";
    RESET = "vfio.h, VFIO_DEVICE_RESET and VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE":
        "a reset makes the device RUNNING, from any state";
    CLOSE = "vfio.h, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE (of closing it says nothing; QEMU relies on it)":
        "who opens the device next finds it RUNNING, and nothing is left of the last user's session";
    PRECOPY_STATES = "vfio.h, VFIO_MIG_GET_PRECOPY_INFO":
        "valid in the PRE_COPY states only, EINVAL otherwise, and mandatory with PRE_COPY";
    PRECOPY_ARGSZ = "vfio.h, struct vfio_precopy_info":
        "argsz is the size of the user's structure; too short a one is refused";
    PRECOPY_INITIAL = "vfio.h, VFIO_MIG_GET_PRECOPY_INFO":
        "initial_bytes should not begin at 0, and decreases as data is read";
    PRECOPY_DIRTY = "vfio.h, VFIO_MIG_GET_PRECOPY_INFO":
        "dirty_bytes begins at 0";
    PRECOPY_V2 = "vfio.h, VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2":
        "after the opt-in, flags are output; REINIT is never reported without";
    PRECOPY_END = "vfio.h, VFIO_MIG_GET_PRECOPY_INFO, \"temporary end of stream\"":
        "with no bytes left, a read in PRE_COPY should return ENOMSG, and poll waits for more";
    STOP_COPY_END = "vfio.h, VFIO_MIG_GET_PRECOPY_INFO, \"permanent end of stream\"":
        "in STOP_COPY the end is a read of 0, always, with poll readable; never ENOMSG";
    DATA_SIZE = "vfio.h, VFIO_DEVICE_FEATURE_MIG_DATA_SIZE":
        "an estimate of what is left to read in stop-copy, in each state";
    LOG_ONCE = "vfio.h, VFIO_DEVICE_FEATURE_DMA_LOGGING_START":
        "one start and one stop; no other start in between";
    LOG_PAGE_SIZE = "vfio.h, VFIO_DEVICE_FEATURE_DMA_LOGGING_START":
        "the page size is a hint; the driver chooses, and returns its choice";
    LOG_RANGES = "vfio.h, VFIO_DEVICE_FEATURE_DMA_LOGGING_START":
        "as many ranges as fit into a page are supported";
    LOG_SANE = "drivers/vfio/vfio_main.c, vfio_ioctl_device_feature_logging_start()":
        "no ranges, overlapping, unaligned and wrapping ranges are refused";
    LOG_INDEPENDENT = "vfio.h, VFIO_DEVICE_FEATURE_DMA_LOGGING_START":
        "logging is not connected to the migration state";
    LOG_REPORT = "vfio.h, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT":
        "bits are set and never cleared, one a page, and nothing else is written";
    LOG_REPORT_PAGE = "vfio.h, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT":
        "the page size of a report is any power of two";
    LOG_REPORT_LOST = "vfio.h, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT":
        "success says that nothing was lost; a bitmap that cannot be written is an error";
    LOG_REPORT_OFF = "vfio.h, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT":
        "an error if logging is not enabled";
    STREAM_FILE = "Documentation/filesystems/vfs.rst, struct file_operations; vfio.h, enum vfio_device_mig_state":
        "data flows by read() and write(); a stream has no position to choose";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_one_rule() {
        let mut ids: Vec<_> = ALL.iter().map(|rule| rule.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ALL.len());
    }
}
