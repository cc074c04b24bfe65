//! Purges as the ledger's log has them.
//!
//! In: an operator's order, or an entry. Out: an entry, or what an edge does about it.
//! Always: what cannot be read is taken for the largest purge there is, since it may be one; who
//! ordered it and when stands in it. It deliberately does not know what is stored anywhere.
//! Clause: docs/operate.md *Ordering purges*.

use std::net::IpAddr;

use bytes::Bytes;
use edge_core::purge::{Mode, Purge, Selector, SelectorProblem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::documents;

/// Selectors of one purge, at most.
pub const SELECTORS_MAX: usize = 100;

/// A selector in JSON: `{"tag": "sale"}`, or `"all"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Selector")]
pub enum SelectorText {
    /// One URL.
    Url(String),
    /// The beginning of URLs.
    Prefix(String),
    /// A host.
    Host(String),
    /// A tag.
    Tag(String),
    /// Everything of the site.
    All,
}

impl SelectorText {
    /// Reads the selector.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(&self) -> Result<Selector, SelectorProblem> {
        match self {
            Self::Url(text) => Selector::parse_url(text),
            Self::Prefix(text) => Selector::parse_prefix(text),
            Self::Host(text) => Selector::parse_host(text),
            Self::Tag(text) => Selector::parse_tag(text),
            Self::All => Ok(Selector::Everything),
        }
    }
}

impl From<&Selector> for SelectorText {
    fn from(selector: &Selector) -> Self {
        let text = selector.to_string();
        match selector {
            Selector::Url { .. } => Self::Url(text),
            Selector::Prefix { .. } => Self::Prefix(text),
            Selector::Host(_) => Self::Host(text),
            Selector::Tag(_) => Self::Tag(text),
            Selector::Everything => Self::All,
        }
    }
}

/// What becomes of what a purge speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Mode")]
pub enum ModeWord {
    /// It is as good as not stored.
    #[default]
    Hard,
    /// It is stale.
    Soft,
}

impl From<ModeWord> for Mode {
    fn from(word: ModeWord) -> Self {
        match word {
            ModeWord::Hard => Self::Hard,
            ModeWord::Soft => Self::Soft,
        }
    }
}

/// An entry of the purge log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeEntry {
    /// The site's name.
    pub site: String,
    /// What it speaks of, in normal form.
    pub selectors: Vec<SelectorText>,
    /// What becomes of that.
    pub mode: ModeWord,
    /// The id of the token that ordered it.
    pub by: String,
    /// Where the order came from.
    pub from: Option<IpAddr>,
    /// When it was accepted, for people: nothing is decided by it.
    pub at: String,
}

impl PurgeEntry {
    /// The purge.
    ///
    /// # Errors
    /// Where a selector is none, or there is none.
    pub fn purge(&self) -> Result<Purge, SelectorProblem> {
        let selectors = self.selectors.iter().map(SelectorText::parse).collect::<Result<_, _>>()?;
        Ok(Purge { site: self.site.as_str().into(), selectors, mode: self.mode.into() })
    }
}

/// An entry of the purge log that takes everything of every site. It is none of a purge, so a version
/// that does not know it does the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EverythingEntry {
    /// Why.
    pub everything: String,
    /// The id of the token that ordered it.
    pub by: String,
    /// Where the order came from.
    pub from: Option<IpAddr>,
    /// When it was accepted, for people.
    pub at: String,
}

/// What an edge does about an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// It purges this.
    Purge(Purge),
    /// It purges everything of every site, as it was ordered.
    Ordered {
        /// Why.
        why: String,
    },
    /// It purges everything of every site: the entry says something that this version cannot read.
    Everything {
        /// Why it cannot be read.
        reason: String,
    },
}

/// What an edge does about the entry `bytes`.
#[must_use]
pub fn act(bytes: &Bytes) -> Act {
    if let Ok(EverythingEntry { everything: why, .. }) = documents::decode(bytes) {
        return Act::Ordered { why };
    }
    let entry = documents::decode::<PurgeEntry>(bytes).map_err(|error| error.to_string());
    match entry.and_then(|entry| entry.purge().map_err(|error| error.to_string())) {
        Ok(purge) => Act::Purge(purge),
        Err(reason) => Act::Everything { reason },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry() -> PurgeEntry {
        let selectors = vec![
            SelectorText::Url("https://shop.example/a?b".to_owned()),
            SelectorText::Tag("sale".to_owned()),
            SelectorText::All,
        ];
        PurgeEntry {
            site: "shop".to_owned(),
            selectors,
            mode: ModeWord::Soft,
            by: "first".to_owned(),
            from: None,
            at: "2026-01-01T00:00:00Z".to_owned(),
        }
    }

    #[test]
    fn an_entry_survives_its_bytes() {
        let bytes = documents::encode(&entry()).unwrap();
        let Act::Purge(purge) = act(&bytes) else { panic!("{:?}", act(&bytes)) };
        assert_eq!((&*purge.site, purge.mode), ("shop", Mode::Soft));
        let texts: Vec<SelectorText> = purge.selectors.iter().map(Into::into).collect();
        assert_eq!(texts, entry().selectors);
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let selectors = json!([{ "url": "https://shop.example/a?b" }, { "tag": "sale" }, "all"]);
        assert_eq!(json["selectors"], selectors);
    }

    #[test]
    fn an_entry_that_takes_everything_is_none_that_cannot_be_read() {
        let entry = EverythingEntry {
            everything: "a copy was put in".to_owned(),
            by: "first".to_owned(),
            from: None,
            at: "2026-01-01T00:00:00Z".to_owned(),
        };
        let bytes = documents::encode(&entry).unwrap();
        assert_eq!(act(&bytes), Act::Ordered { why: entry.everything });
        // An older version reads it as a purge, and cannot.
        assert!(documents::decode::<PurgeEntry>(&bytes).is_err());
    }

    #[test]
    fn what_cannot_be_read_purges_everything() {
        let broken =
            PurgeEntry { selectors: vec![SelectorText::Url("no url".to_owned())], ..entry() };
        let rows: [&[u8]; 4] = [
            b"",
            br#"{"schema":9,"site":"shop"}"#,
            br#"{"schema":1,"site":"shop","selectors":[{"owner":"x"}],"mode":"hard","by":"","at":""}"#,
            &documents::encode(&broken).unwrap(),
        ];
        for bytes in rows {
            let act = act(&Bytes::copy_from_slice(bytes));
            assert!(matches!(act, Act::Everything { .. }), "{act:?}");
        }
    }
}
