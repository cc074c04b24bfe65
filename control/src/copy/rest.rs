//! What comes of an import once its sites are in force: tokens, drains, and that everything is purged.
//!
//! In: a copy whose sites are in force. Out: what was put in.
//! Always: nothing of it is refused, since all was looked at before; what broke off is gone on with by
//! who repeats it, until the catalogue says that it is done to its end, and then never again; tokens
//! whose bringer was revoked meanwhile are revoked at once. It does not know sites.
//! Clause: docs/operate.md *Copies of a ledger*.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::{
    Copied, CopyError, Done, Import, PutIn, WRITTEN_AT_ONCE, drains, encode, put_in_force,
    tokens::Tokens, unread, unreadable,
};
use crate::{
    ledger::{Expect, Key, Ledger, LedgerError, Log, Position},
    node::Retry,
    purge::EverythingEntry,
    site::{self, Author, Catalogue, Imported},
    token::{self, Revoked, TokenError, remember},
};

/// How often what others wrote meanwhile is looked at.
const TRIES_MAX: u32 = 32;
/// How long a ledger that does not answer is asked whether the tokens that were put in may stay.
const ASKED_MAX: Duration = Duration::from_secs(30);

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
        // Whoever revoked who brings them could not see them yet; and nobody else asks.
        if let Some(by) = how.token {
            taken_back = !is_good(ledger, how, by, &tokens).await?;
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

impl PutIn {
    pub(super) fn of(import: &Imported, purge: Position) -> Self {
        let Imported { sites, tokens, tokens_kept, tokens_revoked, drains, revision, .. } = *import;
        Self { sites, tokens, tokens_kept, tokens_revoked, drains, revision, purge }
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

/// Whether who brings tokens still may; if not, they are taken back. A ledger that does not answer is asked
/// again: they are good until it does.
async fn is_good(
    ledger: &dyn Ledger,
    how: &Import<'_>,
    by: &str,
    tokens: &[String],
) -> Result<bool, CopyError> {
    let until = Instant::now() + ASKED_MAX;
    let mut retry = Retry::default();
    loop {
        let judged = async {
            let is_good = token::is_good(ledger, by).await?;
            if !is_good {
                take_back(ledger, how, by, tokens).await?;
            }
            Ok(is_good)
        };
        match judged.await {
            Err(
                CopyError::Ledger(LedgerError::Unavailable(_))
                | CopyError::NotTakenBack(TokenError::Ledger(LedgerError::Unavailable(_))),
            ) if Instant::now() < until => retry.wait().await,
            judged => return judged,
        }
    }
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

/// Says in the purge log, once for an import, that everything goes. Only now: what a node stores until
/// it has what was put in may come from where a site was before.
async fn purge_everything(
    ledger: &dyn Ledger,
    copy: &Copied,
    import: &str,
    author: &Author,
) -> Result<Position, CopyError> {
    let Author { by, from, at, sites: _ } = author.clone();
    let everything = format!("a copy of ledger {} was put into this one", copy.last.epoch);
    let entry = EverythingEntry { everything, by, from, at };
    let once = format!("import.{import}");
    Ok(ledger.append(Log::Purges, encode(&entry)?, Some(&once)).await?.position)
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

/// Takes versions away that nothing names, of this catalogue or of the one that is there; those of an import
/// that was overtaken as far as the catalogue has passed their numbers.
pub(super) async fn tidy(ledger: &dyn Ledger, catalogue: Option<Catalogue>, kept: usize) {
    let tidied = async {
        let catalogue = match catalogue {
            Some(catalogue) => catalogue,
            None => site::former(ledger).await?.0,
        };
        site::tidy_all(ledger, &catalogue, kept).await
    };
    if let Err(error) = tidied.await {
        tracing::debug!(%error, "old versions of sites are there still");
    }
}
