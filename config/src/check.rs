//! Walks a parsed file against its shape and collects everything that is wrong.
//!
//! In: a spanned tree and a [`Shape`]. Out: [`Findings`].
//! Always: the walk goes on after a fault, each value gets at most one fault, and what is found
//! faultless deserialises.
//! Does not know: any setting by name, but for those of later versions ([`LATER`]); relations
//! between settings, those are `cross`'s.
//! Clause: docs/operate.md *The settings file*.

use std::{collections::BTreeSet, ops::Range, path::Path};

use nearcast_daemon::files::Print;
use toml::de::{DeTable, DeValue};

use crate::{
    kind::{Complaint, Kind},
    shape::{Entry, Shape, Text, Word},
    tree::{self, Node},
};

/// What the design knows and this version does not.
const LATER: [&str; 2] = ["edge.disk", "edge.tls"];

/// A fault and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) span: Range<usize>,
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) complaint: Complaint,
    /// Whether something is absent, rather than there and wrong.
    pub(crate) missing: bool,
    /// The line of another file that it is about; `span` is then where that file is named.
    pub(crate) elsewhere: Option<Elsewhere>,
}

/// A line of a file that the node file names.
#[derive(Clone, Debug)]
pub(crate) struct Elsewhere {
    pub(crate) file: String,
    pub(crate) line: u32,
}

/// All faults so far, and the key paths that they are about.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) faults: Vec<Fault>,
    pub(crate) keys: BTreeSet<String>,
    /// The files that were read, as they were before.
    pub(crate) files: Vec<Print>,
}

impl Findings {
    /// Notes that a file is about to be read.
    pub(crate) fn reads(&mut self, path: &Path) {
        self.files.push(Print::of(path));
    }

    /// Notes that the value at `key` is wrong, unless that was already said.
    pub(crate) fn wrong(&mut self, key: &str, node: &Node<'_>, complaint: Complaint) {
        let value = tree::shown(node);
        self.note(Fault {
            span: node.span(),
            key: key.to_owned(),
            value,
            complaint,
            missing: false,
            elsewhere: None,
        });
    }

    /// The same of a value that must not be seen.
    pub(crate) fn wrong_hidden(&mut self, key: &str, node: &Node<'_>, complaint: Complaint) {
        let (span, key) = (node.span(), key.to_owned());
        let fault = Fault { span, key, value: None, complaint, missing: false, elsewhere: None };
        self.note(fault);
    }

    /// Notes that a line of the file that is named at `key` is wrong; there may be many.
    pub(crate) fn wrong_elsewhere(
        &mut self,
        key: &str,
        node: &Node<'_>,
        place: Elsewhere,
        complaint: Complaint,
    ) {
        self.keys.insert(key.to_owned());
        self.faults.push(Fault {
            span: node.span(),
            key: key.to_owned(),
            value: None,
            complaint,
            missing: false,
            elsewhere: Some(place),
        });
    }

    /// Notes one more fault of the value at `key`, which may have others.
    pub(crate) fn wrong_again(&mut self, key: &str, node: &Node<'_>, complaint: Complaint) {
        self.keys.remove(key);
        self.wrong(key, node, complaint);
    }

    /// Notes that there should be a value at `key`, below `node`.
    pub(crate) fn missing(&mut self, key: &str, node: &Node<'_>, complaint: Complaint) {
        let (span, key) = (node.span(), key.to_owned());
        self.note(Fault { span, key, value: None, complaint, missing: true, elsewhere: None });
    }

    pub(crate) fn note(&mut self, fault: Fault) {
        if self.keys.insert(fault.key.clone()) {
            self.faults.push(fault);
        }
    }

    /// Whether nothing was found at `key` nor below it.
    pub(crate) fn none_within(&self, key: &str) -> bool {
        let below = |with: &str| {
            let start = format!("{key}{with}");
            let next = self.keys.range(start.clone()..).next();
            next.is_some_and(|other| other.starts_with(&start))
        };
        !self.keys.contains(key) && !below(".") && !below("[")
    }
}

/// Checks `root` against `shape`.
pub(crate) fn check(shape: &Shape, root: &Node<'_>) -> Findings {
    let mut checker = Checker { root: shape, findings: Findings::default() };
    checker.value(shape, root, "");
    checker.findings
}

struct Checker<'s> {
    root: &'s Shape,
    findings: Findings,
}

impl Checker<'_> {
    fn value(&mut self, shape: &Shape, node: &Node<'_>, path: &str) {
        let verdict = match (shape, node.get_ref()) {
            (Shape::Table(entries), DeValue::Table(table)) => {
                self.table(entries, table, node, path);
                Ok(())
            }
            (Shape::Map(text), DeValue::Table(table)) => {
                self.map(text, table, path);
                Ok(())
            }
            (Shape::List { item, min, max }, DeValue::Array(items)) => {
                for (index, one) in items.iter().enumerate() {
                    self.value(item, one, &tree::item(path, index));
                }
                length(items.len(), *min, *max, item)
            }
            (Shape::Text(text) | Shape::Short { text, .. }, DeValue::String(value)) => {
                text.check(value)
            }
            (Shape::Short { table, .. }, DeValue::Table(_)) => {
                return self.value(table, node, path);
            }
            (Shape::Choice(words), DeValue::String(value)) => choice(words, value),
            (Shape::Integer { min, max }, DeValue::Integer(value)) => {
                let inside =
                    tree::number(value).is_some_and(|number| (*min..=*max).contains(&number));
                let wrong = || Complaint::new("out of range", shape.allowed(path));
                if inside { Ok(()) } else { Err(wrong()) }
            }
            (Shape::Number { min, max }, DeValue::Integer(_) | DeValue::Float(_)) => {
                let inside =
                    tree::fraction(node).is_some_and(|number| (*min..=*max).contains(&number));
                let wrong = || Complaint::new("out of range", shape.allowed(path));
                if inside { Ok(()) } else { Err(wrong()) }
            }
            (Shape::Boolean, DeValue::Boolean(_)) => Ok(()),
            _ => Err(wrong_type(shape, node, path)),
        };
        match verdict {
            Ok(()) => {}
            Err(complaint) if shape.hides() => self.findings.wrong_hidden(path, node, complaint),
            Err(complaint) => self.findings.wrong(path, node, complaint),
        }
    }

    fn table(&mut self, entries: &[Entry], table: &DeTable<'_>, node: &Node<'_>, path: &str) {
        for (key, value) in table {
            let name: &str = key.get_ref();
            let key_path = tree::join(path, name);
            match entries.iter().find(|entry| entry.name == name) {
                Some(entry) => self.value(&entry.shape, value, &key_path),
                None => {
                    let complaint = self.unknown(entries, &key_path, name);
                    self.findings.note(Fault {
                        span: key.span(),
                        key: key_path,
                        value: None,
                        complaint,
                        missing: false,
                        elsewhere: None,
                    });
                }
            }
        }
        for entry in entries.iter().filter(|entry| entry.required) {
            if !table.contains_key(entry.name.as_str()) {
                let key = tree::join(path, &entry.name);
                let complaint = Complaint::new("missing", entry.shape.allowed(&key));
                self.findings.missing(&key, node, complaint);
            }
        }
    }

    fn unknown(&self, entries: &[Entry], path: &str, name: &str) -> Complaint {
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        if LATER.contains(&tree::without_indexes(path).as_str()) {
            return Complaint::new("not in this version of nearcast", names.join(", "));
        }
        let complaint = Complaint::new("unknown key", names.join(", "));
        if let Some(near) = did_you_mean(name, names.iter().copied()) {
            return complaint.advising(format!("did you mean {near}?"));
        }
        match elsewhere(self.root, "", name) {
            Some(place) => complaint.advising(format!("did you mean {place}?")),
            None => complaint,
        }
    }

    fn map(&mut self, text: &Text, table: &DeTable<'_>, path: &str) {
        for (key, value) in table {
            let name: &str = key.get_ref();
            let key_path = tree::join(path, name);
            if text.kind == Kind::StatusTtl && !is_status(name) {
                let complaint =
                    Complaint::new("not an error status", "an error status from 400 to 599");
                self.findings.note(Fault {
                    span: key.span(),
                    key: key_path,
                    value: None,
                    complaint,
                    missing: false,
                    elsewhere: None,
                });
                continue;
            }
            self.value(&Shape::Text(text.clone()), value, &key_path);
        }
    }
}

fn is_status(name: &str) -> bool {
    name.len() == 3 && name.parse::<u16>().is_ok_and(|status| (400..=599).contains(&status))
}

fn length(count: usize, min: u64, max: Option<u64>, item: &Shape) -> Result<(), Complaint> {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    let one = item.allowed("");
    if count < min {
        return Err(Complaint::new("too few", format!("at least {min}: {one}")));
    }
    match max {
        Some(max) if count > max => {
            Err(Complaint::new(format!("{count} are too many"), format!("at most {max}")))
        }
        _ => Ok(()),
    }
}

fn choice(words: &[Word], value: &str) -> Result<(), Complaint> {
    if words.iter().any(|word| word.word == value) {
        return Ok(());
    }
    let complaint = Complaint::new("unknown word", listed(words));
    match did_you_mean(value, words.iter().map(|word| word.word.as_str())) {
        Some(near) => Err(complaint.advising(format!("did you mean \"{near}\"?"))),
        None => Err(complaint),
    }
}

fn listed(words: &[Word]) -> String {
    words.iter().map(|word| format!("\"{}\"", word.word)).collect::<Vec<_>>().join(", ")
}

fn wrong_type(shape: &Shape, node: &Node<'_>, path: &str) -> Complaint {
    let complaint = Complaint::new(format!("not {}", shape.noun()), shape.allowed(path));
    match advice_on_type(shape, node.get_ref(), path) {
        Some(advice) => complaint.advising(advice),
        None => complaint,
    }
}

/// The remedy for a value of another type, where one is likely meant.
fn advice_on_type(shape: &Shape, value: &DeValue<'_>, path: &str) -> Option<String> {
    match (shape, value) {
        // Advice repeats the value.
        (Shape::Text(_) | Shape::List { .. }, _) if shape.hides() => None,
        (Shape::Text(text), DeValue::Integer(number)) => match text.kind {
            Kind::Duration | Kind::StatusTtl => Some(format!("for seconds write \"{number}s\"")),
            Kind::Bytes => Some(format!("for bytes write \"{number} B\"")),
            // On loopback: the safe one of the two that are likely meant.
            Kind::SocketAddress => {
                let port = u16::try_from(tree::number(number)?).ok()?;
                Some(format!("for this machine alone write \"127.0.0.1:{port}\""))
            }
            // Advice that is followed must not lead to the next fault.
            _ => {
                let quoted = number.to_string();
                text.check(&quoted).ok().map(|()| format!("write \"{quoted}\", in quotes"))
            }
        },
        (Shape::Integer { .. }, DeValue::String(text)) if text.parse::<i64>().is_ok() => {
            Some(format!("write {text}, without quotes"))
        }
        (Shape::Number { .. }, DeValue::String(text))
            if text.parse::<f64>().is_ok_and(f64::is_finite) =>
        {
            Some(format!("write {}, without quotes", text.trim_start_matches('+')))
        }
        (Shape::Boolean, DeValue::String(text)) if *text == "true" || *text == "false" => {
            Some(format!("write {text}, without quotes"))
        }
        (Shape::List { item, .. }, DeValue::String(text)) if !item.is_section() => {
            Some(format!("write [{}], in brackets", crate::problem::shown_text(text)))
        }
        (Shape::List { item, .. }, DeValue::Table(_)) if item.is_section() => {
            Some(format!("write [[{}]], with two brackets", tree::without_indexes(path)))
        }
        (Shape::Table(_), DeValue::Array(_)) => {
            Some(format!("write [{}], with one bracket", tree::without_indexes(path)))
        }
        _ => None,
    }
}

impl Shape {
    /// What it is called, for "not …".
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Self::Table(_) | Self::Map(_) => "a table",
            Self::List { .. } => "a list",
            Self::Text(text) | Self::Short { text, .. } => text.kind.noun(),
            Self::Choice(_) => "one of its words",
            Self::Integer { .. } => "a whole number",
            Self::Number { .. } => "a number",
            Self::Boolean => "a truth value",
        }
    }

    /// What is allowed at `path`, in words.
    pub(crate) fn allowed(&self, path: &str) -> String {
        let name = tree::without_indexes(path);
        match self {
            Self::Table(_) => format!("a table [{name}] or {{ key = value, … }}"),
            Self::Map(text) if text.kind == Kind::StatusTtl => {
                "{ \"STATUS\" = \"DURATION\", … }".to_owned()
            }
            Self::Map(text) => format!("{{ key = {}, … }}", text.kind.noun()),
            Self::List { item, .. } if item.is_section() => {
                format!("tables, each opened by [[{name}]]")
            }
            Self::List { item, .. } => format!("a list [\"…\", …], each {}", item.allowed(path)),
            Self::Text(text) | Self::Short { text, .. } => text.allowed(),
            Self::Choice(words) => listed(words),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Number { min, max } => format!("a number from {min} to {max}"),
            Self::Boolean => "true or false".to_owned(),
        }
    }
}

/// The candidate that `word` is probably a slip of.
pub(crate) fn did_you_mean<'c>(
    word: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    // Distance is quadratic in the lengths, and nobody misspells a setting by hundreds of letters.
    if word.len() > 64 {
        return None;
    }
    let folded = word.to_ascii_lowercase().replace('-', "_");
    let mut best = None;
    for candidate in candidates {
        let likeness = strsim::normalized_damerau_levenshtein(&folded, candidate);
        let plural = folded.strip_prefix(candidate) == Some("s")
            || candidate.strip_prefix(&*folded) == Some("s");
        let likeness = if plural { 1.0 } else { likeness };
        if likeness >= 0.6 && best.is_none_or(|(most, _)| likeness > most) {
            best = Some((likeness, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Where else a key of exactly this name stands.
fn elsewhere(shape: &Shape, path: &str, name: &str) -> Option<String> {
    let deeper = |entry: &Entry| elsewhere(&entry.shape, &tree::join(path, &entry.name), name);
    let entries = shape.entries();
    let here = entries.iter().find(|entry| entry.name == name && !path.is_empty());
    here.map(|entry| tree::join(path, &entry.name)).or_else(|| entries.iter().find_map(deeper))
}
