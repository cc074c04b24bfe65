//! Revoking: a token, and what was made by its leave.
//!
//! In: a ledger, an id, who revokes it. Out: which tokens are good no longer.
//! Always: a token that somebody else has got hold of may have made others, so revoking it revokes
//! these as well, what was put in by its leave, and what they have made, also while that goes on ([`is_good`]); a revoker who only
//! takes a token out of use says so, and they stay, until somebody revokes it again without saying
//! so. The revoker's own token stays, and what it has made: they are in the hands that are clearing
//! up. What is begun and broken off is ended by revoking it again. Documents of the revoked stay for
//! a while, for people, and their ids for longer ([`super::forgotten`]). It deliberately does not know who may revoke.
//! Clause: docs/operate.md *Tokens*.

use std::{collections::BTreeSet, slice};

use super::{
    Action, FIRST, NOTE_CHARS_MAX, Revoked, TOKENS, TOKENS_MAX, TokenDocument, TokenError, forget,
    is_revoked, key_of, list, write,
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
    /// Why it is not done to its end; revoking it again is.
    pub broken_off: Option<TokenError>,
}

/// Revokes a token: from now on it is nobody's. Who revokes it twice changes nothing, but for what
/// the first time was broken off from, or had kept.
///
/// # Errors
/// When there is none, or the ledger does not take it; nothing is revoked then.
pub async fn revoke(
    ledger: &dyn Ledger,
    id: &str,
    revoked: Revoked,
) -> Result<Revocation, TokenError> {
    let (document, was_good) = one(ledger, id, &revoked).await?;
    let mut all: Vec<String> = was_good.then(|| id.to_owned()).into_iter().collect();
    let with_it = async {
        if !revoked.keeps_made {
            // What it and they were making meanwhile looks again ([`is_good`]), and finds this one
            // revoked; what was made before that is listed. A pass more costs little.
            while take_with_it(ledger, id, &revoked, &mut all).await? {}
        }
        // Only now: who looks again follows the documents up to this one.
        forget_oldest(ledger).await.map_err(TokenError::from)
    };
    let broken_off = with_it.await.err();
    Ok(Revocation { document, revoked: all, broken_off })
}

/// Revokes what was made by leave of `id`, as far as it is listed; says whether there was any.
async fn take_with_it(
    ledger: &dyn Ledger,
    id: &str,
    revoked: &Revoked,
    all: &mut Vec<String>,
) -> Result<bool, TokenError> {
    let mut found = false;
    let tokens = list(ledger).await?.tokens;
    let is_good = |id: &String| {
        tokens.iter().any(|(known, document)| known == id && document.revoked.is_none())
    };
    let with_it = goes_with(&tokens, id, &revoked.by);
    for id in with_it.into_iter().filter(is_good) {
        match one(ledger, &id, revoked).await {
            Ok((_, was_good)) => {
                found |= was_good;
                all.extend(was_good.then_some(id));
            }
            // Somebody else has revoked it, and it was forgotten since.
            Err(TokenError::NoSuchToken(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Whether what `maker` has just made is good: it, or one by whose leave it was made, may have been
/// revoked meanwhile, by who could not know of that yet.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn is_good(ledger: &dyn Ledger, maker: &str) -> Result<bool, LedgerError> {
    let (mut seen, mut paths) = (BTreeSet::new(), vec![vec![maker.to_owned()]]);
    while let Some(path) = paths.pop() {
        let Some(id) = path.last().filter(|id| seen.insert((*id).clone())) else { continue };
        let Some(document) = known(ledger, id).await? else {
            // Only of one that is long gone, or of no use to anybody, nothing is known; what it has
            // made was revoked with it or stands for itself.
            if path.len() == 1 {
                return Ok(false);
            }
            continue;
        };
        match &document.revoked {
            Some(revoked) if revoked.keeps_made => {}
            // What is in the hands that revoked it stays.
            Some(revoked) if !path.contains(&revoked.by) => return Ok(false),
            // It has revoked itself.
            Some(_) if path.len() == 1 => return Ok(false),
            _ if path.len() >= TOKENS_MAX => {}
            _ => {
                let above = document.leave().filter(|above| !seen.contains(*above));
                paths.extend(above.map(|above| [path.as_slice(), slice::from_ref(above)].concat()));
            }
        }
    }
    Ok(true)
}

/// Whether a token is there and not revoked.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn is_in_use(ledger: &dyn Ledger, id: &str) -> Result<bool, LedgerError> {
    Ok(known(ledger, id).await?.is_some_and(|document| document.revoked.is_none()))
}

async fn known(ledger: &dyn Ledger, id: &str) -> Result<Option<TokenDocument>, LedgerError> {
    let Some(key) = key_of(id) else { return Ok(None) };
    let found = ledger.read(&key).await?;
    Ok(found.and_then(|found| documents::decode(&found.value).ok()))
}

/// Revokes one, and says whether it was good before. One that had kept what it has made loses that
/// word to who revokes it without.
pub(super) async fn one(
    ledger: &dyn Ledger,
    id: &str,
    revoked: &Revoked,
) -> Result<(TokenDocument, bool), TokenError> {
    let none = || TokenError::NoSuchToken(id.to_owned());
    let key = key_of(id).ok_or_else(none)?;
    loop {
        let found = ledger.read(&key).await?.ok_or_else(none)?;
        let document = match documents::decode::<TokenDocument>(&found.value) {
            Ok(document) if is_so_already(&document, revoked) => return Ok((document, false)),
            Ok(document) => document,
            // Nobody knows what it may, so it may nothing more.
            Err(error) => unread(&error),
        };
        let was_good = document.revoked.is_none();
        let revoked = Some(revoked.clone());
        let document = TokenDocument { hash: String::new(), revoked, ..document };
        match write(ledger, id, &document, Expect::At(found.revision)).await {
            Ok(()) => return Ok((document, was_good)),
            // Someone else changed it, which only revoking does.
            Err(TokenError::Ledger(LedgerError::Conflict { .. })) => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_so_already(document: &TokenDocument, revoked: &Revoked) -> bool {
    document.revoked.as_ref().is_some_and(|former| !former.keeps_made || revoked.keeps_made)
}

fn unread(error: &documents::DocumentError) -> TokenDocument {
    let note = format!("its document could not be read: {error}");
    TokenDocument {
        // As every note: a copy with it goes in.
        note: note.chars().filter(|char| !char.is_control()).take(NOTE_CHARS_MAX).collect(),
        hash: String::new(),
        actions: Vec::new(),
        sites: None,
        made_by: String::new(),
        put_in_by: Vec::new(),
        made_at: String::new(),
        revoked: None,
    }
}

/// Whether after `id` is revoked by `revoked` a token is left of `all` with which any other can be
/// made, if there is one now: if none is, nobody can ever make one again.
#[must_use]
pub fn leaves_a_maker(all: &[(String, TokenDocument)], id: &str, revoked: &Revoked) -> bool {
    let with_it = if revoked.keeps_made { Vec::new() } else { goes_with(all, id, &revoked.by) };
    let stays = |known: &String| known != id && !with_it.contains(known);
    let makers = all.iter().filter(|(_, document)| {
        document.revoked.is_none() && document.may_give(&Action::ALL, None)
    });
    let (mut all, mut left) = (0_usize, 0_usize);
    for (known, _) in makers {
        all = all.saturating_add(1);
        left = left.saturating_add(usize::from(stays(known)));
    }
    left > 0 || all == 0
}

/// The ids of those that are good until `id` is revoked by `revoked`, itself among them.
#[must_use]
pub fn with_it(all: &[(String, TokenDocument)], id: &str, revoked: &Revoked) -> Vec<String> {
    let with_it = if revoked.keeps_made { Vec::new() } else { goes_with(all, id, &revoked.by) };
    let is_revoked =
        |id: &String| all.iter().any(|(known, document)| known == id && document.revoked.is_some());
    let both = std::iter::once(id.to_owned()).chain(with_it);
    both.filter(|id| !is_revoked(id)).collect()
}

/// The ids of all that were made by leave of `id`, directly or not. Those that a token has made which
/// was revoked without them stand for themselves, and so do the revoker's own.
fn goes_with(all: &[(String, TokenDocument)], id: &str, revoker: &str) -> Vec<String> {
    let (mut found, mut known) = (Vec::new(), BTreeSet::from([id, revoker]));
    let mut makers = vec![id];
    while let Some(maker) = makers.pop() {
        for (id, document) in
            all.iter().filter(|(_, document)| document.leave().any(|by| by == maker))
        {
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
    revoked.truncate(revoked.len().saturating_sub(REVOKED_MAX));
    if !revoked.is_empty() {
        forget(ledger, &revoked).await?;
    }
    Ok(())
}
