//! Ids of tokens that were revoked so long ago that their documents are gone.
//!
//! In: ids of documents that are about to go. Out: whether a token that the ledger does not have may
//! have been revoked in it.
//! Always: an id stands here before its document goes; past so many the oldest ids give way, and then
//! every token that the ledger does not have counts as one of them. So no copy makes a token good again
//! that was revoked here. It does not know copies.
//! Clause: docs/operate.md *Copies of a ledger*.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    documents::{self, DocumentError},
    ledger::{Document, Expect, Key, Ledger, LedgerError},
};

/// Where they stand.
pub(crate) const FORGOTTEN: &str = "revoked";
/// Ids that are remembered: with the longest ids they fit into one document.
pub const FORGOTTEN_MAX: usize = 10_000;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TokensForgotten")]
pub struct Forgotten {
    /// The ids, the oldest first.
    #[schemars(length(max = "FORGOTTEN_MAX"))]
    pub ids: Vec<String>,
    /// Whether there were more, whose ids are not known any more.
    pub more: bool,
}

/// Why they are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForgottenError {
    /// A newer version wrote them.
    #[error(transparent)]
    Unreadable(#[from] DocumentError),
    /// The ledger says no.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Forgotten {
    /// Those of a ledger.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) async fn of(ledger: &dyn Ledger) -> Result<Self, ForgottenError> {
        Self::read(ledger.read(&key()?).await?.as_ref())
    }

    /// Those that a document names, if it is there.
    pub(crate) fn read(found: Option<&Document>) -> Result<Self, ForgottenError> {
        let Some(found) = found else { return Ok(Self::default()) };
        Ok(documents::decode(&found.value)?)
    }

    /// Of tokens that the ledger does not have, those that may have been revoked in it.
    pub(crate) fn among<'t>(&self, unknown: impl Iterator<Item = &'t str>) -> BTreeSet<&'t str> {
        let ids: BTreeSet<&str> = self.ids.iter().map(String::as_str).collect();
        unknown.filter(|id| self.more || ids.contains(id)).collect()
    }

    /// Whether `others` say more than is known.
    pub(crate) fn lacks(&self, others: &Self) -> bool {
        let mut next = self.clone();
        next.add(others);
        next != *self
    }

    fn add(&mut self, others: &Self) {
        let known: BTreeSet<&String> = self.ids.iter().collect();
        let new = others.ids.iter().filter(|id| !known.contains(id)).cloned();
        let new: Vec<String> = new.collect();
        self.ids.extend(new);
        let too_many = self.ids.len().saturating_sub(FORGOTTEN_MAX);
        self.ids.drain(..too_many);
        self.more |= others.more || too_many > 0;
    }
}

/// Remembers others as well.
///
/// # Errors
/// When those that are known cannot be read, or the ledger does not take it.
pub(crate) async fn remember(
    ledger: &dyn Ledger,
    others: &Forgotten,
) -> Result<(), ForgottenError> {
    let key = key()?;
    loop {
        let found = ledger.read(&key).await?;
        let former = Forgotten::read(found.as_ref())?;
        let mut next = former.clone();
        next.add(others);
        if next == former {
            return Ok(());
        }
        let bytes = documents::encode(&next);
        let bytes = bytes.map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        let expect = found.map_or(Expect::Absent, |found| Expect::At(found.revision));
        match ledger.write(&key, bytes, expect).await {
            Ok(_) => return Ok(()),
            // Somebody else forgets as well.
            Err(LedgerError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn key() -> Result<Key, LedgerError> {
    Key::parse(FORGOTTEN).ok_or_else(|| LedgerError::Unavailable("no key".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: impl Iterator<Item = usize>, more: bool) -> Forgotten {
        Forgotten { ids: ids.map(|id| format!("{id:032}")).collect(), more }
    }

    #[test]
    fn past_so_many_every_unknown_token_counts_as_revoked() {
        let mut forgotten = of(0..FORGOTTEN_MAX, false);
        forgotten.add(&of(7..9, false));
        assert_eq!(forgotten, of(0..FORGOTTEN_MAX, false), "they are known already");
        let (known, new) = (format!("{:032}", 5), "new".to_owned());
        let among = forgotten.among([known.as_str(), new.as_str()].into_iter());
        assert_eq!(among, BTreeSet::from([known.as_str()]));
        forgotten.add(&of(FORGOTTEN_MAX..=FORGOTTEN_MAX, false));
        assert_eq!(forgotten, of(1..=FORGOTTEN_MAX, true));
        assert_eq!(forgotten.among(["new"].into_iter()), BTreeSet::from(["new"]));
        let bytes = documents::encode(&forgotten).unwrap();
        assert!(bytes.len() < crate::ledger::DOCUMENT_BYTES_MAX, "{}", bytes.len());
    }
}
