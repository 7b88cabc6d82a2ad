// SPDX-License-Identifier: GPL-2.0
//! What is known of the figures. Others are shown as well, by their names.

/// What a figure is to a reader.
#[derive(Debug)]
pub struct About {
    name: &'static str,
    pub title: &'static str,
    /// Empty if the title says it all.
    pub meaning: &'static str,
}

/// In the order to show them. A name that ends with a space begins the names of
/// several figures that are shown together.
const KNOWN: &[About] = &[
    about(
        "switchover",
        "Switchover",
        "From asking the source to stop until the target runs, its stream read, sent and loaded in between.",
    ),
    about(
        "switchover without checksum",
        "Switchover without a checksum",
        "This driver with stream_checksum=0, for hosts where the transport has a checksum of its own; the in-tree driver has none.",
    ),
    about(
        "source-stop",
        "Stop of the source",
        "Until its stream can be read; a part of the switchover.",
    ),
    about(
        "stop-copy-bytes",
        "Bytes after the stop",
        "What the stream has after the source has stopped.",
    ),
    about(
        "switchover-commands",
        "Admin commands during the switchover",
        "On hardware each is a round trip to firmware.",
    ),
    about("resuming-commands", "Admin commands to enter RESUMING", ""),
    about(
        "qemu-downtime",
        "Downtime of a guest",
        "As QEMU itself states it.",
    ),
    about(
        "functions-at-once",
        "Several functions at once",
        "All are stopped, saved, loaded with their own state and run again.",
    ),
    about(
        "save",
        "Saving",
        "From STOP, until all of the stream is in memory.",
    ),
    about(
        "load",
        "Loading",
        "From asking for RESUMING until the device is loaded and in STOP.",
    ),
    about("save without checksum", "Saving without a checksum", ""),
    about("load without checksum", "Loading without a checksum", ""),
    about("transition ", "State changes", ""),
    about("GET_PRECOPY_INFO", "Asking for pre-copy information", ""),
    about("MIG_DATA_SIZE", "Asking for the size of the data", ""),
    about(
        "cpu-time",
        "Processor time of a switchover",
        "Of both sides, waiting for the device not among it.",
    ),
    about(
        "instructions-save",
        "Instructions to save",
        "For each MiB of context.",
    ),
    about(
        "instructions-load",
        "Instructions to load",
        "For each MiB of context.",
    ),
    about(
        "instructions-save without checksum",
        "Instructions to save without a checksum",
        "",
    ),
    about(
        "instructions-load without checksum",
        "Instructions to load without a checksum",
        "",
    ),
    about(
        "memory-source",
        "Memory on the source",
        "The most that a session has at once, as the memory controller charges it.",
    ),
    about("memory-target", "Memory on the target", "Likewise."),
    about("dirty-report", "Reports of dirty pages", ""),
];

const fn about(name: &'static str, title: &'static str, meaning: &'static str) -> About {
    About {
        name,
        title,
        meaning,
    }
}

impl About {
    fn covers(&self, figure: &str) -> bool {
        figure == self.name || self.name.ends_with(' ') && figure.starts_with(self.name)
    }

    /// What tells `figure` from others that are shown with it.
    pub fn member<'a>(&self, figure: &'a str) -> Option<&'a str> {
        let member = figure.strip_prefix(self.name)?;
        (!member.is_empty()).then_some(member)
    }
}

/// What is known of `figure`.
pub fn find(figure: &str) -> Option<&'static About> {
    KNOWN.get(rank(figure))
}

/// The place of `figure` among all.
pub fn rank(figure: &str) -> usize {
    let place = KNOWN.iter().position(|about| about.covers(figure));
    place.unwrap_or(KNOWN.len())
}

/// Whether two figures are shown together.
pub fn together(one: &str, other: &str) -> bool {
    find(one).is_some() && rank(one) == rank(other)
}

/// What `figure` is called in a text.
pub fn title(figure: &str) -> String {
    match find(figure) {
        Some(about) => match about.member(figure) {
            Some(_) => figure.to_owned(),
            None => about.title.to_owned(),
        },
        None => figure.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        assert_eq!(title("save"), "Saving");
        assert_eq!(title("transition A->B"), "transition A->B");
        assert_eq!(title("saved"), "saved");
        assert!(rank("saved") > rank("dirty-report"));
        let transitions = find("transition A->B").unwrap();
        assert_eq!(transitions.member("transition A->B"), Some("A->B"));
        assert!(find("transition").is_none());
        assert!(together("transition A->B", "transition B->A"));
        assert!(!together("save", "load") && !together("unknown", "obscure"));
    }
}
