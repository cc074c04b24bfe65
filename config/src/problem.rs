//! What is wrong with a node file, and how that is said.
//!
//! In: faults with the place where they stand. Out: a [`Report`], as text for people (one line per
//! problem, `FILE:LINE:COLUMN key = value: fault; allowed: …; advice`) and as a serde value for
//! `--json`.
//! Always: problems stand in file order, those of a file that a key names where it is named; a value is shown cut to [`SHOWN_CHARACTERS_MAX`], without
//! control characters and without what looks like a password in a URL.
//! Does not know: what is allowed, or who reads the report.
//! Clause: CONTRIBUTING.md *Errors* (what the operator gets).

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

/// Longer values are cut in messages.
pub(crate) const SHOWN_CHARACTERS_MAX: usize = 60;

/// One thing that is wrong with a node file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Problem {
    /// The file that it stands in, where that is not the node file but one that `key` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where it stands; absent when the file could not be read at all.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// The key path, as `site[0].origin.servers[1]`; empty when the file as a whole is meant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// The value as far as it may be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What is wrong.
    pub fault: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// A place in a file, counted from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character of that line; absent where the whole line is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column }) = self.place {
            write!(f, "{line}")?;
            if let Some(column) = column {
                write!(f, ":{column}")?;
            }
            f.write_str(if self.key.is_empty() { ": " } else { " " })?;
        }
        if !self.key.is_empty() {
            f.write_str(&self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.fault)?;
        if let Some(allowed) = &self.allowed {
            write!(f, "; allowed: {allowed}")?;
        }
        if let Some(advice) = &self.advice {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

/// Every problem of one node file; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The file, as it was named.
    pub file: String,
    /// What is wrong, in file order.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            let separator = if problem.place.is_some() { ":" } else { ": " };
            let file = problem.file.as_ref().unwrap_or(&self.file);
            writeln!(f, "{file}{separator}{problem}")?;
        }
        match self.problems.len() {
            1 => write!(f, "1 problem in {}", self.file),
            count => write!(f, "{count} problems in {}", self.file),
        }
    }
}

impl Error for Report {}

/// `text` as a message may show it: quoted, one line, cut, and without credentials.
pub(crate) fn shown_text(text: &str) -> String {
    let mut out = String::from("\"");
    let masked = without_credentials(text);
    for (count, character) in masked.chars().enumerate() {
        if count == SHOWN_CHARACTERS_MAX {
            out.push('…');
            break;
        }
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            c => push_harmless(c, &mut out),
        }
    }
    out.push('"');
    out
}

/// Longer texts of others are cut in messages.
const MESSAGE_CHARACTERS_MAX: usize = 400;

/// A message that may repeat what stands in a file: one line, cut.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars().take(MESSAGE_CHARACTERS_MAX) {
        push_harmless(character, &mut out);
    }
    if text.chars().nth(MESSAGE_CHARACTERS_MAX).is_some() {
        out.push('…');
    }
    out
}

/// Control and bidirectional characters would act on the operator's terminal.
fn push_harmless(character: char, out: &mut String) {
    let acts = matches!(character, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if character.is_control() || acts {
        out.extend(character.escape_unicode());
    } else {
        out.push(character);
    }
}

/// A URL's user and password are nobody's business in a log or on a shared screen.
fn without_credentials(text: &str) -> String {
    let Some((before, after)) = text.rsplit_once('@') else { return text.to_owned() };
    let scheme = match before.split_once("://") {
        Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            format!("{scheme}://")
        }
        _ => String::new(),
    };
    format!("{scheme}…@{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_value_is_one_line_cut_and_without_credentials() {
        for (text, shown) in [
            ("plain", "\"plain\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("a\nb\u{1b}[2J", "\"a\\u{a}b\\u{1b}[2J\""),
            ("left\u{202e}right", "\"left\\u{202e}right\""),
            ("https://me:secret@host/", "\"https://…@host/\""),
            ("htps:/me:secret@host", "\"…@host\""),
            ("me:sec//ret@host", "\"…@host\""),
            ("http://a.example/@x", "\"http://…@x\""),
        ] {
            assert_eq!(shown_text(text), shown);
        }
        let long = shown_text(&"ä".repeat(100));
        assert_eq!(long.chars().count(), SHOWN_CHARACTERS_MAX + 3);
        assert!(long.ends_with("…\""));
    }

    #[test]
    fn a_report_lists_its_problems_and_counts_them() {
        let problem = Problem {
            file: None,
            place: Some(Place { line: 41, column: Some(5) }),
            key: "site[2].hosts[0]".to_owned(),
            value: Some("\"a b\"".to_owned()),
            fault: "not a host".to_owned(),
            allowed: Some("a.example".to_owned()),
            advice: Some("leave out the space".to_owned()),
        };
        let syntax = Problem {
            key: String::new(),
            value: None,
            allowed: None,
            advice: None,
            ..problem.clone()
        };
        let unread = Problem { place: None, ..syntax.clone() };
        let other = Problem {
            file: Some("a.zone".to_owned()),
            place: Some(Place { line: 7, column: None }),
            ..syntax.clone()
        };
        let report = Report { file: "edge.toml".to_owned(), problems: vec![problem, syntax] };
        assert_eq!(
            report.to_string(),
            "edge.toml:41:5 site[2].hosts[0] = \"a b\": not a host; allowed: a.example; leave out \
             the space\nedge.toml:41:5: not a host\n2 problems in edge.toml"
        );
        let report = Report { problems: vec![other], ..report };
        assert_eq!(report.to_string(), "a.zone:7: not a host\n1 problem in edge.toml");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["problems"][0]["file"], "a.zone");
        assert_eq!(json["problems"][0].get("column"), None);
        let report = Report { problems: vec![unread], ..report };
        assert_eq!(report.to_string(), "edge.toml: not a host\n1 problem in edge.toml");
    }
}
