//! Tokens in a copy.
//!
//! In: tokens of a copy, those of a ledger, ids of those that were revoked in it. Out: the documents that
//! are put in. Always: each is one that who puts it in could have given, and has a hash and no secret; one
//! that is there stays as it is, and one that was revoked there, or may have been, is left out; the first
//! one is each ledger's own. It does not know sites.
//! Clause: docs/operate.md *Copies of a ledger*.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Copied, CopyError, encode, is_for_people};
use crate::{
    documents,
    ledger::{Key, Ledger, LedgerError},
    token::{
        FIRST, FORGOTTEN_MAX, Forgotten, ID_BYTES_MAX, NOTE_CHARS_MAX, TOKENS, TOKENS_MAX,
        TokenDocument, key_of,
    },
};

/// Digits of a secret's hash.
const HASH_DIGITS: usize = 64;

/// A token in a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopiedToken {
    /// Its id.
    pub id: String,
    /// What is known of it.
    pub token: TokenDocument,
}

/// What becomes of a copy's tokens.
pub(super) struct Tokens {
    /// Those that are put in.
    pub(super) new: Vec<(Key, Bytes)>,
    /// How many are there.
    pub(super) kept: usize,
    /// How many may have been revoked here.
    pub(super) revoked: usize,
}

impl Tokens {
    pub(super) fn new(
        tokens: BTreeMap<Key, Bytes>,
        known: &BTreeMap<Key, Bytes>,
        revoked: &Forgotten,
    ) -> Result<Self, CopyError> {
        let all = tokens.len();
        let new = tokens.into_iter().filter(|(key, _)| !known.contains_key(key));
        let mut new: Vec<(Key, Bytes)> = new.collect();
        let kept = all.saturating_sub(new.len());
        let keys: Vec<Key> = new.iter().map(|(key, _)| key.clone()).collect();
        let revoked = revoked.among(keys.iter().map(Key::name));
        new.retain(|(key, _)| !revoked.contains(key.name()));
        if known.len().saturating_add(new.len()) > TOKENS_MAX {
            return Err(CopyError::TooManyTokens);
        }
        Ok(Self { new, kept, revoked: revoked.len() })
    }
}

/// The documents of a copy's tokens, by key.
pub(super) fn sound(
    copy: &Copied,
    gives: &(dyn Fn(&TokenDocument) -> Option<TokenDocument> + Sync),
) -> Result<BTreeMap<Key, Bytes>, CopyError> {
    if copy.forgotten.ids.len() > FORGOTTEN_MAX || !copy.forgotten.ids.iter().all(|id| is_id(id)) {
        return Err(CopyError::Broken(
            "forgotten: it has ids that are none, or too many".to_owned(),
        ));
    }
    let (mut tokens, mut ids) = (BTreeMap::new(), BTreeSet::new());
    for CopiedToken { id, token } in &copy.tokens {
        let broken = |fault: &str| CopyError::Broken(format!("token {id:?}: {fault}"));
        let key = key_of(id).filter(|_| is_id(id)).ok_or_else(|| broken("it is no id"))?;
        if !ids.insert(id) {
            return Err(broken("it is there twice"));
        }
        let revoked = token.revoked.iter().flat_map(|revoked| [&revoked.by, &revoked.at]);
        let words = [&token.note, &token.made_by, &token.made_at].into_iter();
        let mut words = words.chain(&token.put_in_by).chain(revoked);
        let is_long = token.note.chars().count() > NOTE_CHARS_MAX;
        if is_long || !words.all(|word| is_for_people(word)) {
            return Err(broken("its note, its time or its maker is none"));
        }
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_hash = token.hash.len() == HASH_DIGITS && token.hash.bytes().all(is_digit);
        if !is_hash && token.revoked.is_none() {
            return Err(broken("its hash is none"));
        }
        let given = gives(token).ok_or_else(|| CopyError::Forbidden(id.clone()))?;
        if id != FIRST {
            tokens.insert(key, encode(&given)?);
        }
    }
    if tokens.len() >= TOKENS_MAX {
        return Err(CopyError::TooManyTokens);
    }
    Ok(tokens)
}

/// The ids of those that are there as they would be put in, whoever has put them in before.
pub(super) fn same(known: &BTreeMap<Key, Bytes>, tokens: &BTreeMap<Key, Bytes>) -> Vec<String> {
    let read = |value: &Bytes| documents::decode::<TokenDocument>(value).ok();
    let of = |value: &Bytes| Some(TokenDocument { put_in_by: Vec::new(), ..read(value)? });
    let is_same = |(key, value): &(&Key, &Bytes)| {
        tokens.get(*key).is_some_and(|own| of(own).is_some_and(|own| Some(own) == of(value)))
    };
    known.iter().filter(is_same).map(|(key, _)| key.name().to_owned()).collect()
}

fn is_id(id: &str) -> bool {
    let fits = (1..=ID_BYTES_MAX).contains(&id.len());
    fits && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

pub(super) async fn known(ledger: &dyn Ledger) -> Result<BTreeMap<Key, Bytes>, LedgerError> {
    let found = ledger.list(TOKENS).await?.documents.into_iter();
    Ok(found.map(|found| (found.key, found.value)).collect())
}
