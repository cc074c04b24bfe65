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
use tokio::time::Instant;

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
};

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
    may_read(&caller)?;
    let longest = wait(longest.as_deref(), shared.wait_max)?.unwrap_or_default();
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
    let progress = reached(&shared, &caller, (revision, sites), longest).await;
    Ok(Json(Seen { revision, progress: progress.map_err(|error| refused(&error))? }))
}

/// How far the edges are with a revision of the catalogue, as far as `sites` are concerned, if that is
/// waited for. What is waited for is written, so that it cannot be seen is no failure of that.
pub(super) async fn waited(
    shared: &Shared,
    caller: &Caller,
    written: (u64, Option<&[String]>),
    wait: Option<Duration>,
) -> Option<Progress> {
    match reached(shared, caller, written, wait?).await {
        Ok(progress) => Some(progress),
        Err(error) => {
            tracing::warn!(%error, "nodes could not be waited for");
            None
        }
    }
}

async fn reached(
    shared: &Shared,
    caller: &Caller,
    (revision, sites): (u64, Option<&[String]>),
    wait: Duration,
) -> Result<Progress, LedgerError> {
    let until = Instant::now() + wait;
    let epoch = shared.ledger.ends(Log::Purges).await?.last.epoch;
    let asked = progress::Asked { sites, known: caller.token.sites.as_deref() };
    progress::wait(&shared.roster, (Position { epoch, seq: revision }, asked), until).await
}
