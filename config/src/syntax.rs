//! Problems of a text that is not TOML.
//!
//! In: the parser's errors and what the checker found in the tree that the parser recovered.
//! Out: the faults worth telling.
//! Always: one for each error, but at most one per line; nothing that only follows from an earlier
//! break (an unclosed bracket makes every later line look wrong).
//! Does not know: any setting.
//! Clause: TOML 1.1.

use std::collections::HashSet;

use toml::de::Error;

use crate::{
    check::Fault,
    kind::Complaint,
    tree::{self, Lines},
};

/// What the parser says of a key or section that stands there twice.
const DUPLICATE: &str = "duplicate key";

/// Whether the parser's tree has all that the text says, `errors` or not: of a key that is there
/// twice it keeps the first value, and it merges tables.
pub(crate) fn is_whole(errors: &[Error]) -> bool {
    errors.iter().all(|error| error.message().starts_with(DUPLICATE))
}

/// What to tell of `errors`, and of the checker's `findings` on what could be read beside them.
pub(crate) fn faults(errors: &[Error], findings: Vec<Fault>, lines: &Lines<'_>) -> Vec<Fault> {
    let whole = is_whole(errors);
    let mut errors: Vec<&Error> = errors.iter().collect();
    errors.sort_by_key(|error| tree::start(error.span()));
    let horizon = horizon(&errors);

    let mut broken_lines = HashSet::new();
    let mut faults = Vec::new();
    for error in errors {
        let start = tree::start(error.span());
        if start <= horizon && broken_lines.insert(lines.place(start).line) {
            faults.push(fault(error, start));
        }
    }
    let sound = |finding: &Fault| {
        let line = lines.place(finding.span.start).line;
        (whole || !finding.missing) && finding.span.start < horizon && !broken_lines.contains(&line)
    };
    faults.extend(findings.into_iter().filter(sound));
    faults
}

/// Where the text stops making sense: behind it, errors only follow from an earlier one.
fn horizon(errors: &[&Error]) -> usize {
    let Some(at) = errors.iter().position(|error| !is_local(error)) else { return usize::MAX };
    // A string without its closing quote swallows the bracket that would have closed its list.
    let swallower = at.checked_sub(1).and_then(|before| errors.get(before));
    let cause = swallower.filter(|error| error.message().contains("string, expected"));
    tree::start(cause.or_else(|| errors.get(at)).and_then(|error| error.span()))
}

/// Whether the parser knows for sure where the text goes on being right.
fn is_local(error: &Error) -> bool {
    let message = error.message();
    [DUPLICATE, "string values must be quoted", "key with no value"]
        .iter()
        .any(|start| message.starts_with(start))
        || (message.starts_with("invalid ") && !message.contains("multi-line"))
}

fn fault(error: &Error, start: usize) -> Fault {
    let (message, expected) = match error.message().split_once(", expected ") {
        Some((message, expected)) => (message, expected.replace('`', "")),
        None => (error.message(), String::new()),
    };
    let is_empty = error.span().is_none_or(|span| span.is_empty());
    let not_toml = |what: &str, allowed: &str| Complaint::new(format!("not TOML: {what}"), allowed);
    let complaint = match message {
        "string values must be quoted" if is_empty => not_toml("no value after '='", "KEY = VALUE"),
        "key with no value" => not_toml(message, "KEY = VALUE"),
        "invalid boolean" => not_toml(message, "true or false, in lower case"),
        "string values must be quoted"
        | "invalid float"
        | "invalid integer"
        | "invalid datetime" => not_toml("neither a number nor in quotes", "KEY = \"VALUE\""),
        "invalid basic string" if expected == "\"" => {
            not_toml("a string without its closing quote", "KEY = \"VALUE\"")
        }
        "missing comma between array elements" => {
            not_toml(message, "[\"…\", \"…\"]").advising("is the list above closed with ']'?")
        }
        DUPLICATE => Complaint::new("this key or section is already there", "each once")
            .advising("merge the two; sites and rules are repeated with two brackets, as [[site]]"),
        _ => not_toml(message, &expected),
    };
    let (span, key) = (start..start, String::new());
    Fault { span, key, value: None, complaint, missing: false, elsewhere: None }
}
