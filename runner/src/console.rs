// SPDX-License-Identifier: GPL-2.0
//! What a kernel log says that it should not.

/// The lines of a kernel log that report a fault of the kernel.
pub fn alarms(log: &str) -> Vec<&str> {
    kernel_alarms::in_log(log).collect()
}

/// The last `count` lines of a log that say something.
pub fn tail(log: &str, count: usize) -> Vec<&str> {
    let lines: Vec<&str> = log
        .lines()
        .map(|line| line.trim_end_matches('\r'))
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(count)..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_skips_blank_lines() {
        assert_eq!(tail("a\n\nb\r\nc\n \n", 2), ["b", "c"]);
        assert_eq!(tail("a\n", 5), ["a"]);
    }
}
