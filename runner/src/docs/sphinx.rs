// SPDX-License-Identifier: GPL-2.0
//! What Sphinx says of pages.

/// A warning or an error.
#[derive(Debug, PartialEq, Eq)]
pub struct Warning {
    /// The page that it is about, if it names one.
    pub page: Option<String>,
    /// Line and text.
    pub text: String,
}

/// Reads the file that `sphinx-build -w` writes: `PATH:LINE: WARNING: TEXT` or
/// `WARNING: TEXT`; other lines continue what is before them.
pub fn warnings(text: &str) -> Vec<Warning> {
    text.lines().filter_map(warning).collect()
}

fn warning(line: &str) -> Option<Warning> {
    let marks = ["WARNING: ", "ERROR: ", "SEVERE: ", "CRITICAL: "];
    let at = marks.iter().filter_map(|mark| line.find(mark)).min()?;
    let (place, said) = line.split_at(at);
    let place = place.trim_end_matches([' ', ':']);
    let (page, number) = match place.split_once("Documentation/") {
        Some((_, place)) => {
            let (file, number) = place.split_once(':').unwrap_or((place, ""));
            (file.strip_suffix(".rst").map(str::to_string), number)
        }
        None => (None, ""),
    };
    let text = match (&page, number) {
        (Some(_), "") => said.to_string(),
        (Some(_), number) => format!("line {number}: {said}"),
        (None, _) => line.to_string(),
    };
    Some(Warning { page, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_apart() {
        let text = "\
/src/Documentation/a.rst:12: WARNING: unknown document: 'x' [ref.doc]
/src/Documentation/sub/b.rst: WARNING: document isn't included in any toctree
    continued
WARNING: html theme is odd
";
        let warnings = warnings(text);
        assert_eq!(warnings.len(), 3);
        assert_eq!(warnings[0].page.as_deref(), Some("a"));
        assert!(warnings[0].text.starts_with("line 12: WARNING: unknown"));
        assert_eq!(warnings[1].page.as_deref(), Some("sub/b"));
        assert!(warnings[1].text.starts_with("WARNING: document isn't"));
        assert_eq!(warnings[2].page, None);
    }
}
