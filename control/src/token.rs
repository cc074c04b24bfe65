//! Tokens: who may do what, and how that is proven.
//!
//! In: a ledger, what a caller shows. Out: who that is; tokens made, listed, revoked.
//! Always: a secret is random, shown once, and kept as its SHA-256 only, which is enough for 256
//! random bits; comparing takes as long whatever is wrong; who makes a token cannot give what it
//! has not; a token that was revoked stays so, the first one included.
//! It deliberately does not know HTTP.
//! Clause: docs/operate.md *Tokens*, RFC 6750 §2.1.

mod document;
mod first;
mod secret;

pub(crate) use self::secret::fingerprint;
pub use self::{
    document::{Action, Revoked, TokenDocument},
    first::{FIRST, FirstError, leave_first},
    secret::Secret,
};

use crate::{
    documents,
    ledger::{Document, Expect, Key, Ledger, LedgerError},
};

/// The keys of tokens begin so.
const TOKENS: &str = "tokens/";
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
    /// A document cannot be read.
    #[error("the document of token \"{id}\" cannot be used")]
    Unreadable {
        /// The token's id.
        id: String,
        /// Why.
        source: documents::DocumentError,
    },
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

/// Makes a token; its secret is known to the caller alone.
///
/// # Errors
/// When there is no room, or the ledger does not take it.
pub async fn make(
    ledger: &dyn Ledger,
    document: impl FnOnce(String) -> TokenDocument,
) -> Result<(Secret, TokenDocument), TokenError> {
    make_room(ledger).await?;
    let secret = Secret::random().ok_or(TokenError::Random)?;
    let document = document(secret.hash());
    write(ledger, secret.id(), &document, Expect::Absent).await?;
    Ok((secret, document))
}

/// All tokens, revoked ones included, with their ids.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn list(ledger: &dyn Ledger) -> Result<Vec<(String, TokenDocument)>, TokenError> {
    let documents = ledger.list(TOKENS).await?.documents;
    documents.into_iter().map(|found| Ok((found.key.name().to_owned(), read(&found)?))).collect()
}

/// Revokes a token: from now on it is nobody's. Who revokes it twice changes nothing.
///
/// # Errors
/// When there is none, or the ledger does not take it.
pub async fn revoke(
    ledger: &dyn Ledger,
    id: &str,
    revoked: Revoked,
) -> Result<TokenDocument, TokenError> {
    let none = || TokenError::NoSuchToken(id.to_owned());
    let key = key_of(id).ok_or_else(none)?;
    loop {
        let found = ledger.read(&key).await?.ok_or_else(none)?;
        let document = read(&found)?;
        if document.revoked.is_some() {
            return Ok(document);
        }
        let document =
            TokenDocument { hash: String::new(), revoked: Some(revoked.clone()), ..document };
        match write(ledger, id, &document, Expect::At(found.revision)).await {
            Ok(()) => return Ok(document),
            // Someone else changed it, which only revoking does.
            Err(TokenError::Ledger(LedgerError::Conflict { .. })) => {}
            Err(error) => return Err(error),
        }
    }
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
        if read(found)?.revoked.is_some() {
            ledger.delete(&found.key, found.revision).await?;
            return Ok(());
        }
    }
    Err(TokenError::TooMany)
}

fn key_of(id: &str) -> Option<Key> {
    Key::parse(&format!("{TOKENS}{id}")).filter(|key| key.name() == id)
}

fn read(found: &Document) -> Result<TokenDocument, TokenError> {
    documents::decode(&found.value)
        .map_err(|source| TokenError::Unreadable { id: found.key.name().to_owned(), source })
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
