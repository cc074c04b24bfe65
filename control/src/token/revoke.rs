//! Revoking: a token, and what was made by its leave.
//!
//! In: a ledger, an id, who revokes it. Out: which tokens are good no longer.
//! Always: a token that somebody else has got hold of may have made others, so revoking it revokes
//! these as well, and what they have made; a revoker who only takes a token out of use says so, and
//! they stay. The revoker's own token stays, and what it has made: they are in the hands that are
//! clearing up. What is begun and broken off is ended by revoking it again. Documents of the revoked
//! stay for a while, for people. It deliberately does not know who may revoke.
//! Clause: docs/operate.md *Tokens*.

use std::collections::BTreeSet;

use super::{
    Action, FIRST, Revoked, TOKENS, TokenDocument, TokenError, is_revoked, key_of, list, write,
};
use crate::{
    documents,
    ledger::{Expect, Ledger, LedgerError},
};

/// Revoked tokens that are remembered; the oldest ones give way.
pub const REVOKED_MAX: usize = 100;

/// What revoking came to.
#[derive(Debug)]
pub struct Revocation {
    /// The token as it is now.
    pub document: TokenDocument,
    /// The ids of those that were good before, it among them.
    pub revoked: Vec<String>,
}

/// Revokes a token: from now on it is nobody's. Who revokes it twice changes nothing, but for what
/// the first time was broken off from.
///
/// # Errors
/// When there is none, or the ledger does not take it.
pub async fn revoke(
    ledger: &dyn Ledger,
    id: &str,
    revoked: Revoked,
) -> Result<Revocation, TokenError> {
    let (document, is_new) = one(ledger, id, &revoked).await?;
    let mut all: Vec<String> = is_new.then(|| id.to_owned()).into_iter().collect();
    let keeps = document.revoked.as_ref().is_some_and(|revoked| revoked.keeps_made);
    if !keeps {
        // It makes none any more, and what it was making meanwhile looks again ([`is_good`]).
        for id in goes_with(&list(ledger).await?.tokens, id, &revoked.by) {
            let (_, is_new) = one(ledger, &id, &revoked).await?;
            all.extend(is_new.then_some(id));
        }
    }
    forget_oldest(ledger).await?;
    Ok(Revocation { document, revoked: all })
}

/// Whether what `maker` has just made is good: it may have been revoked meanwhile, by who could not
/// know of that yet.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn is_good(ledger: &dyn Ledger, maker: &str) -> Result<bool, LedgerError> {
    let Some(key) = key_of(maker) else { return Ok(false) };
    let Some(found) = ledger.read(&key).await? else { return Ok(false) };
    let document = documents::decode::<TokenDocument>(&found.value);
    Ok(document.is_ok_and(|found| found.revoked.is_none_or(|revoked| revoked.keeps_made)))
}

/// Revokes one, and says whether that is new.
async fn one(
    ledger: &dyn Ledger,
    id: &str,
    revoked: &Revoked,
) -> Result<(TokenDocument, bool), TokenError> {
    let none = || TokenError::NoSuchToken(id.to_owned());
    let key = key_of(id).ok_or_else(none)?;
    loop {
        let found = ledger.read(&key).await?.ok_or_else(none)?;
        let document = match documents::decode::<TokenDocument>(&found.value) {
            Ok(document) if document.revoked.is_some() => return Ok((document, false)),
            Ok(document) => document,
            // Nobody knows what it may, so it may nothing more.
            Err(error) => unread(&error),
        };
        let revoked = Some(revoked.clone());
        let document = TokenDocument { hash: String::new(), revoked, ..document };
        match write(ledger, id, &document, Expect::At(found.revision)).await {
            Ok(()) => return Ok((document, true)),
            // Someone else changed it, which only revoking does.
            Err(TokenError::Ledger(LedgerError::Conflict { .. })) => {}
            Err(error) => return Err(error),
        }
    }
}

fn unread(error: &documents::DocumentError) -> TokenDocument {
    TokenDocument {
        note: format!("its document could not be read: {error}"),
        hash: String::new(),
        actions: Vec::new(),
        sites: None,
        made_by: String::new(),
        made_at: String::new(),
        revoked: None,
    }
}

/// Whether after `id` is revoked by `revoked` a token is left of `all` with which others can be made
/// for any site: if none is, nobody can ever make one again.
#[must_use]
pub fn leaves_a_maker(all: &[(String, TokenDocument)], id: &str, revoked: &Revoked) -> bool {
    let with_it = if revoked.keeps_made { Vec::new() } else { goes_with(all, id, &revoked.by) };
    let stays = |known: &String| known != id && !with_it.contains(known);
    let is_maker = |document: &TokenDocument| {
        document.revoked.is_none() && document.may_give(&[Action::Tokens], None)
    };
    all.iter().any(|(known, document)| stays(known) && is_maker(document))
}

/// The ids of all that were made by leave of `id`, directly or not. Those that a token has made which
/// was revoked without them stand for themselves, and so do the revoker's own.
fn goes_with(all: &[(String, TokenDocument)], id: &str, revoker: &str) -> Vec<String> {
    let (mut found, mut known) = (Vec::new(), BTreeSet::from([id, revoker]));
    let mut makers = vec![id];
    while let Some(maker) = makers.pop() {
        for (id, document) in all.iter().filter(|(_, document)| document.made_by == maker) {
            let stands = document.revoked.as_ref().is_some_and(|revoked| revoked.keeps_made);
            if known.insert(id) {
                found.push(id.clone());
                makers.extend((!stands).then_some(id.as_str()));
            }
        }
    }
    found
}

/// Takes the oldest of the revoked away, so that they do not stay for ever; the first one never, since
/// its document is what keeps it from being made again.
async fn forget_oldest(ledger: &dyn Ledger) -> Result<(), LedgerError> {
    let all = ledger.list(TOKENS).await?.documents;
    let mut revoked: Vec<_> =
        all.iter().filter(|found| found.key.name() != FIRST && is_revoked(found)).collect();
    revoked.sort_by_key(|found| found.revision);
    let more = revoked.len().saturating_sub(REVOKED_MAX);
    for found in revoked.into_iter().take(more) {
        match ledger.delete(&found.key, found.revision).await {
            // Somebody else was first.
            Ok(_) | Err(LedgerError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
