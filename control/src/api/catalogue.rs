//! How far the edges have come with the catalogue: looked at, and waited for.
//!
//! In: callers that may, a revision. Out: each edge with whether it serves by it. Always: of sites that a
//! caller's token is not for nothing is told; a wait ends before its answer must be there. It writes
//! nothing, and does not know what was written.
//! Clause: docs/operate.md *Sites*.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use nearcast_daemon::http_problem::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::{
    Shared,
    caller::Caller,
    reading::{Asked, wait},
    refused,
    sites::may_read,
};
use crate::{
    ledger::{LedgerError, Log, Position},
    site::{
        self,
        progress::{self, Progress},
    },
    token::Action,
};

/// How much later than a wait ends the ledger may tell who is registered.
const LOOK_MAX: Duration = Duration::from_millis(200);

/// `?revision=`, `?sites=`, `?wait=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CatalogueLook")]
pub(super) struct Look {
    /// The revision; that of the newest change of a site without it.
    #[serde(default)]
    revision: Option<u64>,
    /// The sites that are asked for, with a comma between two; all that the token is for without it;
    /// none where it is empty, as for one that was deleted.
    #[serde(default)]
    sites: Option<String>,
    /// How long to wait until every edge serves by it or has refused to, as 20s; at most half a second
    /// less than request_deadline of [admin], whatever is asked.
    #[serde(default)]
    wait: Option<String>,
}

/// How far the edges have come.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Catalogue")]
pub(super) struct Seen {
    /// The revision that was asked for.
    revision: u64,
    progress: Progress,
}

/// `GET /v1/catalogue`
pub(super) async fn look(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Asked(Look { revision, sites, wait: longest }): Asked<Look>,
) -> Result<Json<Seen>, Problem> {
    may_look(&caller)?;
    let patience = Patience::of(longest.as_deref(), shared.wait_max)?;
    let sites: Option<Vec<String>> = sites.map(|sites| {
        let named = sites.split(',').filter(|site| !site.is_empty());
        named.map(str::to_owned).collect()
    });
    for site in sites.iter().flatten() {
        caller.speaks_for(site)?;
    }
    let revision = match revision {
        Some(revision) => revision,
        None => {
            let catalogue = site::catalogue(&*shared.ledger).await;
            catalogue.map_err(|error| super::sites::refusal(&caller, &error))?.revision
        }
    };
    // What other sites come to is not for a token of some.
    let sites = sites.as_deref().or(caller.token.sites.as_deref());
    let progress = reached(&shared, &caller, (revision, sites), patience.until()).await;
    Ok(Json(Seen { revision, progress: progress.map_err(|error| refused(&error))? }))
}

/// How far the edges are with a revision of the catalogue, as far as `sites` are concerned, if that is
/// waited for. What is waited for is written, so that it cannot be seen is no failure of that.
pub(super) async fn waited(
    shared: &Shared,
    caller: &Caller,
    written: (u64, Option<&[String]>),
    patience: Patience,
) -> Option<Progress> {
    let is_asked = patience.longest.is_some();
    let looking = is_asked.then(|| reached(shared, caller, written, patience.until()))?;
    match timeout_at(patience.end + LOOK_MAX, looking).await {
        Ok(Ok(progress)) => Some(progress),
        Ok(Err(error)) => {
            tracing::warn!(%error, "nodes could not be waited for");
            None
        }
        Err(_late) => {
            tracing::warn!("nodes could not be waited for: the ledger has not answered in time");
            None
        }
    }
}

/// How long a request waits, which came when this was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// As long as is asked.
    longest: Option<Duration>,
    /// When its answer must be about to go.
    end: Instant,
}

impl Patience {
    pub(super) fn of(asked: Option<&str>, max: Duration) -> Result<Self, Problem> {
        Ok(Self { longest: wait(asked, max)?, end: Instant::now() + max })
    }

    /// Until when it waits from now on: what it did until now took some of its time.
    fn until(self) -> Instant {
        (Instant::now() + self.longest.unwrap_or_default()).min(self.end)
    }
}

fn may_look(caller: &Caller) -> Result<(), Problem> {
    // Whoever puts in a copy waits for it.
    let is_for_copies = caller.token.may(Action::Ledger) && caller.token.sites.is_none();
    if is_for_copies { Ok(()) } else { may_read(caller) }
}

async fn reached(
    shared: &Shared,
    caller: &Caller,
    (revision, sites): (u64, Option<&[String]>),
    until: Instant,
) -> Result<Progress, LedgerError> {
    let epoch = shared.ledger.ends(Log::Purges).await?.last.epoch;
    let oldest = oldest(shared, sites).await;
    let asked = progress::Asked { sites, oldest, known: caller.token.sites.as_deref() };
    progress::wait(&shared.roster, (Position { epoch, seq: revision }, asked), until).await
}

/// The oldest revision that one of these sites has, where that can be read.
async fn oldest(shared: &Shared, sites: Option<&[String]>) -> Option<u64> {
    let sites = sites?;
    let catalogue = site::catalogue(&*shared.ledger).await.ok()?;
    let asked = catalogue.present().filter(|(name, _)| sites.contains(name));
    asked.map(|(_, listed)| listed.made.revision).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_done_before_takes_from_the_time_of_a_wait() {
        let seconds = Duration::from_secs;
        let begun = Instant::now();
        let patience = Patience::of(Some("20s"), seconds(9)).unwrap();
        let short = Patience::of(Some("2s"), seconds(9)).unwrap();
        tokio::time::advance(seconds(6)).await;
        assert_eq!(patience.until(), begun + seconds(9));
        assert_eq!(short.until(), begun + seconds(8));
        assert_eq!(Patience::of(None, seconds(9)).unwrap().until(), Instant::now());
    }
}
