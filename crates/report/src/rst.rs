// SPDX-License-Identifier: GPL-2.0
//! reStructuredText.

/// Columns of a line of text.
const WIDTH: usize = 80;

/// Text that must not be taken for markup.
pub fn escape(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut escaped = String::new();
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        let within_word =
            before.is_alphanumeric() && rest.peek().is_some_and(|next| next.is_alphanumeric());
        if matches!(character, '\\' | '*' | '`' | '|') || character == '_' && !within_word {
            escaped.push('\\');
        }
        escaped.push(character);
        before = character;
    }
    if looks_like_a_block(&escaped) {
        escaped.insert(0, '\\');
    }
    escaped
}

/// The beginning of a list, a quotation, a rule or the like.
fn looks_like_a_block(text: &str) -> bool {
    let first = text.split(' ').next().unwrap_or_default();
    let enumerated = first.len() <= 5 && text.len() > first.len() && first.ends_with(['.', ')']);
    enumerated || text.starts_with(|c: char| c.is_ascii_punctuation() && c != '\\')
}

/// A title with a rule above and below.
pub fn title(text: &str) -> String {
    let rule = "=".repeat(text.chars().count());
    format!("{rule}\n{text}\n{rule}\n\n")
}

pub fn section(text: &str) -> String {
    let text = escape(text);
    format!("{text}\n{}\n\n", "=".repeat(text.chars().count()))
}

pub fn subsection(text: &str) -> String {
    let text = escape(text);
    format!("{text}\n{}\n\n", "-".repeat(text.chars().count()))
}

/// Markup in lines that are not too long.
pub fn paragraph(text: &str) -> String {
    fill(text, "", "") + "\n"
}

/// A list of markup.
pub fn list<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let items = items.into_iter().map(|item| fill(item, "- ", "  "));
    items.collect::<String>() + "\n"
}

/// A picture and what it shows, in words.
pub fn picture(file: &str, alt: &str) -> String {
    format!(
        ".. figure:: {file}\n{}\n",
        fill(alt, "   :alt: ", "         ")
    )
}

/// Breaks lines at spaces.
fn fill(text: &str, first: &str, next: &str) -> String {
    let mut lines = String::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines += &line;
            lines.push('\n');
            line = next.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line += word;
        empty = false;
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_markup() {
        let cases = [
            ("RUNNING->PRE_COPY", "RUNNING->PRE_COPY"),
            ("a_ *b* `c` |d| \\", "a\\_ \\*b\\* \\`c\\` \\|d\\| \\\\"),
            ("two\nlines", "two lines"),
            ("7.3 kernel", "7.3 kernel"),
            ("7. kernel", "\\7. kernel"),
            ("- none", "\\- none"),
            ("", ""),
        ];
        for (text, escaped) in cases {
            assert_eq!(escape(text), escaped);
        }
    }

    #[test]
    fn long_lines_are_broken() {
        let text = list(["word ".repeat(30).as_str(), "short"]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("- word") && lines[0].len() <= WIDTH);
        assert!(lines[1].starts_with("  word"));
        assert_eq!(lines[2..], ["- short", ""]);
    }

    #[test]
    fn rules_are_as_long_as_titles() {
        assert_eq!(section("µ*s"), "µ\\*s\n====\n\n");
    }
}
