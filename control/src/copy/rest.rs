//! What comes of an import once its sites are in force: tokens, drains, and that everything is purged.
//!
//! In: a copy whose sites are in force. Out: what was put in.
//! Always: nothing of it is refused, since all was looked at before; what broke off is gone on with by
//! who repeats it, until the catalogue says that it is done to its end, and then never again; tokens
//! whose bringer was revoked meanwhile are revoked at once. It does not know sites.
//! Clause: docs/operate.md *Copies of a ledger*.

use bytes::Bytes;
use futures_util::future::join_all;

use super::{
    Copied, CopyError, Done, Import, PutIn, WRITTEN_AT_ONCE, drains, encode, purge_everything,
    put_in_force, tokens::Tokens, unread, unreadable,
};
use crate::{
    ledger::{Expect, Key, Ledger, LedgerError, Position},
    site::{self, Imported},
    token::{self, Revoked, remember},
};

/// How often what others wrote meanwhile is looked at.
const TRIES_MAX: u32 = 32;

/// What is still to be put in.
pub(super) struct Rest {
    pub(super) tokens: Tokens,
    pub(super) drains: Vec<(Key, Bytes)>,
}

impl Rest {
    /// Puts it in; `mine` are the ids of tokens that this import has put in before it broke off.
    pub(super) async fn put_in(
        self,
        ledger: &dyn Ledger,
        (copy, how): (&Copied, &Import<'_>),
        import: &Imported,
        mine: Vec<String>,
    ) -> Result<Done, CopyError> {
        let (mut tokens, mut taken_back) = (mine, false);
        let came = write(ledger, &self.tokens.new, &mut tokens).await;
        // Whoever revoked who brings them could not see them yet.
        if let Some(by) = how.token
            && !token::is_good(ledger, by).await?
        {
            take_back(ledger, how, by, &tokens).await?;
            taken_back = true;
        }
        came?;
        if !taken_back {
            drains::write(ledger, &self.drains).await?;
            remember(ledger, &copy.forgotten).await.map_err(unreadable)?;
        }
        let purge = purge_everything(ledger, copy, &import.id, how.author).await?;
        end(ledger, &import.id, purge).await?;
        Ok(Done { put_in: PutIn::of(import, purge), tokens, taken_back })
    }
}

/// Writes tokens, and names those that it wrote; somebody may write one of them meanwhile.
async fn write(
    ledger: &dyn Ledger,
    new: &[(Key, Bytes)],
    written: &mut Vec<String>,
) -> Result<(), LedgerError> {
    for some in new.chunks(WRITTEN_AT_ONCE) {
        let writes = some.iter().map(|(key, value)| async {
            (key.name(), ledger.write(key, value.clone(), Expect::Absent).await)
        });
        let mut failed = None;
        for (id, came) in join_all(writes).await {
            match came {
                Ok(_) => written.push(id.to_owned()),
                Err(LedgerError::Conflict { .. }) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)?;
    }
    Ok(())
}

async fn take_back(
    ledger: &dyn Ledger,
    how: &Import<'_>,
    by: &str,
    tokens: &[String],
) -> Result<(), CopyError> {
    for id in tokens {
        let at = how.author.at.clone();
        let revoked = Revoked { by: by.to_owned(), at, keeps_made: false };
        token::revoke(ledger, id, revoked).await?.broken_off.map_or(Ok(()), Err)?;
    }
    Ok(())
}

/// Says in the catalogue that an import is done to its end.
async fn end(ledger: &dyn Ledger, import: &str, purge: Position) -> Result<(), CopyError> {
    for _ in 0..TRIES_MAX {
        let (mut catalogue, at) = site::former(ledger).await.map_err(unread)?;
        let found = catalogue.imports.iter_mut().find(|known| known.id == import);
        // Others that came since may have taken its place.
        let Some(found) = found.filter(|found| found.purge != Some(purge)) else { return Ok(()) };
        found.purge = Some(purge);
        match put_in_force(ledger, encode(&catalogue)?, at).await {
            Err(CopyError::Overtaken) => {}
            came => return came,
        }
    }
    let busy = "sites are being written all the time";
    Err(LedgerError::Unavailable(busy.to_owned()).into())
}
