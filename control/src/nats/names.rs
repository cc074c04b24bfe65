//! Names in NATS: of streams, subjects and messages.
//!
//! In: keys, logs, names of entries. Out: text for the wire, and keys from it.
//! Always: two keys never share a subject; `/` of a key is the dot that parts a subject's tokens, so
//! that permissions and filters can speak of `nodes.*`, and a dot of a key is `=`, which no key has.
//! It does not know what is sent.
//! Clause: docs/operate.md *The ledger over NATS*.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::ledger::{Key, Log};

/// The names of one ledger.
#[derive(Clone, Debug)]
pub(super) struct Names(Box<str>);

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self(prefix.into())
    }

    /// The stream of the documents: of a key-value bucket that has the prefix as its name.
    pub(super) fn documents(&self) -> String {
        format!("KV_{}", self.0)
    }

    /// The stream of a log.
    pub(super) fn log(&self, log: Log) -> String {
        format!("{}-{}", self.0, word(log))
    }

    /// All streams.
    pub(super) fn streams(&self) -> [String; 3] {
        [self.documents(), self.log(Log::Purges), self.log(Log::Audit)]
    }

    /// What the documents' stream takes.
    pub(super) fn all_documents(&self) -> String {
        format!("$KV.{}.>", self.0)
    }

    /// What a log's stream takes.
    pub(super) fn all_entries(&self, log: Log) -> String {
        format!("{}.{}.>", self.0, word(log))
    }

    /// Where a document is written.
    pub(super) fn document(&self, key: &Key) -> String {
        let token = |letter: char| match letter {
            '/' => '.',
            '.' => '=',
            other => other,
        };
        format!("$KV.{}.{}", self.0, key.as_str().chars().map(token).collect::<String>())
    }

    /// Up to which revision what was taken away is forgotten.
    pub(super) fn forgotten(&self) -> String {
        format!("$KV.{}.=forgotten", self.0)
    }

    /// Where a node tries whether it can write.
    pub(super) fn probe(&self) -> String {
        format!("$KV.{}.=probe", self.0)
    }

    /// The document that is written there, if it is one's place.
    pub(super) fn key(&self, subject: &str) -> Option<Key> {
        let key = subject.strip_prefix("$KV.")?.strip_prefix(&*self.0)?.strip_prefix('.')?;
        if key.contains('/') {
            return None;
        }
        let letter = |token: char| match token {
            '.' => '/',
            '=' => '.',
            other => other,
        };
        Key::parse(&key.chars().map(letter).collect::<String>())
    }

    /// Where an entry is appended: under a subject of its own if it has a name, so that the stream
    /// itself refuses a second one for as long as it keeps the first.
    pub(super) fn entry(&self, log: Log, once: Option<&str>) -> String {
        let (prefix, log) = (&self.0, word(log));
        match once {
            None => format!("{prefix}.{log}.entry"),
            Some(name) => format!("{prefix}.{log}.once.n{}", URL_SAFE_NO_PAD.encode(name)),
        }
    }
}

fn word(log: Log) -> &'static str {
    match log {
        Log::Purges => "purges",
        Log::Audit => "audit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_subject_and_shares_it_with_none() {
        let names = Names::new("cdn");
        let rows = [
            ("nodes/fra-1", "$KV.cdn.nodes.fra-1"),
            ("nodes/fra.1", "$KV.cdn.nodes.fra=1"),
            ("x", "$KV.cdn.x"),
        ];
        for (text, subject) in rows {
            let key = Key::parse(text).unwrap();
            assert_eq!(names.document(&key), subject);
            assert_eq!(names.key(subject), Some(key));
        }
        let strange = ["$KV.cdn2.x", "cdn.x", "$KV.cdn.nodes/fra-1"].map(String::from);
        for none in strange.into_iter().chain([names.forgotten(), names.probe()]) {
            assert_eq!(names.key(&none), None, "{none}");
        }
    }

    #[test]
    fn every_name_of_an_entry_is_one_token() {
        let names = Names::new("cdn");
        assert_eq!(names.entry(Log::Audit, None), "cdn.audit.entry");
        let mut subjects: Vec<String> = ["", "a b", "a.b", "a*", ">", "é", "A", "a"]
            .iter()
            .map(|name| names.entry(Log::Purges, Some(name)))
            .collect();
        for subject in &subjects {
            let token = subject.strip_prefix("cdn.purges.once.").unwrap();
            assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
        }
        subjects.sort();
        subjects.dedup();
        assert_eq!(subjects.len(), 8);
    }
}
