//! Tokens: who may do what, and how that is proven.
//!
//! In: a ledger, what a caller shows. Out: who that is; tokens made, listed, revoked.
//! Always: a secret is random, shown once, and kept as its SHA-256 only, which is enough for 256
//! random bits; comparing takes as long whatever is wrong; who makes a token cannot give what it
//! has not; a token that was revoked stays so, the first one included, and unless its revoker says
//! otherwise takes all with it that was made by its leave; a document that nobody can read opens
//! nothing and hinders nothing.
//! It deliberately does not know HTTP.
//! Clause: docs/operate.md *Tokens*, RFC 6750 §2.1.

mod document;
mod first;
mod forgotten;
mod revoke;
mod secret;

pub use self::secret::random_name;
pub use self::{
    document::{Action, Revoked, TokenDocument},
    first::{FIRST, FirstError, leave_first},
    forgotten::{FORGOTTEN_MAX, Forgotten},
    revoke::{REVOKED_MAX, Revocation, is_good, is_in_use, leaves_a_maker, revoke, with_it},
    secret::Secret,
};
pub(crate) use self::{
    forgotten::{FORGOTTEN, ForgottenError, remember},
    secret::fingerprint,
};

use crate::{
    documents,
    ledger::{Document, Expect, Key, Ledger, LedgerError},
};

/// The keys of tokens begin so.
pub(crate) const TOKENS: &str = "tokens/";
/// Digits of an id that follows from a name.
const ID_DIGITS: usize = 12;
/// The longest note of a token, and whatever else is said of it for people.
pub const NOTE_CHARS_MAX: usize = 200;
/// The longest id of a token.
pub const ID_BYTES_MAX: usize = 32;
/// Tokens, at most; the oldest that are revoked make room.
pub const TOKENS_MAX: usize = 1000;

/// Why a caller is not known.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// There is no such token, or no longer.
    #[error("the token is not known here, or was revoked")]
    Token,
    /// Nobody can say.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Why a token cannot be made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is none of this id.
    #[error("there is no token \"{0}\"")]
    NoSuchToken(String),
    /// There are too many.
    #[error("there are {TOKENS_MAX} tokens in use; revoke some first")]
    TooMany,
    /// The key of the order was another one's.
    #[error("this Idempotency-Key was used for another token, or for one that is revoked")]
    AnotherOrder,
    /// The system gives no random numbers.
    #[error("no random numbers can be had")]
    Random,
    /// The ledger says no.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Who shows `secret`: the token's id and what it may.
///
/// # Errors
/// When it is nobody.
pub async fn whose(
    ledger: &dyn Ledger,
    secret: &Secret,
) -> Result<(String, TokenDocument), Unknown> {
    let key = key_of(secret.id()).ok_or(Unknown::Token)?;
    let found = ledger.read(&key).await?;
    let found = found.and_then(|found| documents::decode::<TokenDocument>(&found.value).ok());
    // Compared even if there is none, so that time does not tell which ids there are.
    let hash = found.as_ref().map_or("", |document| document.hash.as_str());
    let is_right = secret.matches(hash);
    match found {
        Some(document) if is_right && document.revoked.is_none() => {
            Ok((secret.id().to_owned(), document))
        }
        _ => Err(Unknown::Token),
    }
}

/// The id of the token that is ordered under the name `once`.
#[must_use]
pub fn id_of(once: &str) -> String {
    let mut id = fingerprint(once);
    id.truncate(ID_DIGITS);
    id
}

/// Makes the token that is ordered under the name `once`. Where that was done already, but its maker
/// was not told, it is the same token, and only the new secret of it is good.
///
/// # Errors
/// When there is no room, it was another order, or the ledger does not take it.
pub async fn make_once(
    ledger: &dyn Ledger,
    once: &str,
    document: impl Fn(String) -> TokenDocument,
) -> Result<(Secret, TokenDocument), TokenError> {
    let id = id_of(once);
    let key = key_of(&id).ok_or_else(|| TokenError::NoSuchToken(id.clone()))?;
    loop {
        let secret = Secret::named(&id).ok_or(TokenError::Random)?;
        let document = document(secret.hash());
        let there = ledger.read(&key).await?;
        let (document, expect) = match &there {
            None => {
                make_room(ledger).await?;
                (document, Expect::Absent)
            }
            Some(found) => {
                let former = documents::decode::<TokenDocument>(&found.value).ok();
                let (hash, at) = (document.hash.clone(), document.made_at.clone());
                let is_it = |former: &TokenDocument| {
                    let former = TokenDocument { hash, made_at: at, ..former.clone() };
                    former == document
                };
                let former = former.filter(is_it).ok_or(TokenError::AnotherOrder)?;
                (TokenDocument { hash: secret.hash(), ..former }, Expect::At(found.revision))
            }
        };
        match write(ledger, &id, &document, expect).await {
            Ok(()) => return Ok((secret, document)),
            // The same order at the same time, or a revocation.
            Err(TokenError::Ledger(LedgerError::Conflict { .. })) => {}
            Err(error) => return Err(error),
        }
    }
}

/// All tokens, revoked ones included, with their ids; and those whose documents cannot be read,
/// which open nothing here.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn list(ledger: &dyn Ledger) -> Result<Listed, LedgerError> {
    let mut listed = Listed::default();
    for found in ledger.list(TOKENS).await?.documents {
        let id = found.key.name().to_owned();
        match documents::decode(&found.value) {
            Ok(document) => listed.tokens.push((id, document)),
            Err(error) => listed.unreadable.push((id, error)),
        }
    }
    Ok(listed)
}

/// What there is of tokens.
#[derive(Debug, Default)]
pub struct Listed {
    /// Those that can be read.
    pub tokens: Vec<(String, TokenDocument)>,
    /// Those that cannot, and why.
    pub unreadable: Vec<(String, documents::DocumentError)>,
}

/// Takes the oldest revoked tokens away when there is no room for one more; the first one never,
/// since its document is what keeps it from being made again.
async fn make_room(ledger: &dyn Ledger) -> Result<(), TokenError> {
    let mut all = ledger.list(TOKENS).await?.documents;
    if all.len() < TOKENS_MAX {
        return Ok(());
    }
    all.sort_by_key(|found| found.revision);
    for found in all.iter().filter(|found| found.key.name() != FIRST) {
        // One that cannot be read may be in use, by a newer version.
        if is_revoked(found) && forget(ledger, &[found]).await? {
            return Ok(());
        }
    }
    Err(TokenError::TooMany)
}

/// Takes documents of revoked tokens away, whose ids are remembered; says whether it did.
async fn forget(ledger: &dyn Ledger, revoked: &[&Document]) -> Result<bool, LedgerError> {
    let ids = revoked.iter().map(|found| found.key.name().to_owned()).collect();
    match remember(ledger, &Forgotten { ids, more: false }).await {
        Ok(()) => {}
        // They would take the place of what a newer version remembers.
        Err(ForgottenError::Unreadable(_)) => return Ok(false),
        Err(ForgottenError::Ledger(error)) => return Err(error),
    }
    for found in revoked {
        match ledger.delete(&found.key, found.revision).await {
            // Somebody else was first.
            Ok(_) | Err(LedgerError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn is_revoked(found: &Document) -> bool {
    let document = documents::decode::<TokenDocument>(&found.value);
    document.is_ok_and(|document| document.revoked.is_some())
}

pub(crate) fn key_of(id: &str) -> Option<Key> {
    Key::parse(&format!("{TOKENS}{id}")).filter(|key| key.name() == id)
}

async fn write(
    ledger: &dyn Ledger,
    id: &str,
    document: &TokenDocument,
    expect: Expect,
) -> Result<(), TokenError> {
    let key = key_of(id).ok_or_else(|| TokenError::NoSuchToken(id.to_owned()))?;
    let bytes = documents::encode(document);
    let bytes = bytes.map_err(|error| LedgerError::Unavailable(error.to_string()))?;
    ledger.write(&key, bytes, expect).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
