//! The ledger as a copy: taken, put in.
//!
//! In: callers whose token is for that, for all sites. Out: a copy; what was put in.
//! Always: a copy has no token's secret; nobody puts in a token that they could not have given; one
//! copy at a time is taken or put in, and one comes in meanwhile, each of a bounded size; a copy that
//! comes slowly is refused; what is refused writes nothing; one of a name is put in once. It does not
//! know files.
//! Clause: docs/operate.md *Copies of a ledger*.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest as _, Request, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use nearcast_daemon::http_problem::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{sync::OwnedSemaphorePermit, task::spawn_blocking, time::timeout};

use super::{
    Shared,
    audit::Order,
    caller::Caller,
    catalogue::{Patience, waited},
    internal,
    reading::{Asked, idempotency_key},
    refused,
};
use crate::{
    copy::{self, COPY_BYTES_MAX, Copied, CopyError, Done, Import, PutIn},
    drain::Drains,
    roster::Seen,
    site::{Author, CopiedSiteError, progress::Progress},
    token::{Action, TokenDocument, fingerprint},
};

/// `?versions=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExportHow")]
pub(super) struct Which {
    /// Versions of each site, the newest first; all that are kept without it.
    #[serde(default)]
    #[schemars(range(min = 1))]
    versions: Option<std::num::NonZeroU32>,
}

/// `?force=`, `?wait=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ImportHow")]
pub(super) struct How {
    /// Whether it is put in though the ledger has sites or tokens.
    #[serde(default)]
    force: bool,
    /// How long to wait until every edge serves by it or has refused to, as 20s; at most half a second
    /// less than request_deadline of [admin], whatever is asked.
    #[serde(default)]
    wait: Option<String>,
}

/// A copy that was put in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "LedgerImport")]
pub(super) struct Came {
    #[serde(flatten)]
    put_in: PutIn,
    /// How far the edges have come with its sites, and with them with purging all that they had stored;
    /// null where nobody looked.
    progress: Option<Progress>,
}

/// `GET /v1/ledger`
pub(super) async fn export(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Asked(query): Asked<Which>,
) -> Result<Response, Problem> {
    may(&caller)?;
    let turn = Arc::clone(&shared.copying).try_acquire_owned().map_err(|_taken| busy())?;
    let versions = query.versions.and_then(|versions| usize::try_from(versions.get()).ok());
    let copied = copy::export(&*shared.ledger, shared.at(), versions.unwrap_or(usize::MAX)).await;
    let copied = copied.map_err(|error| told(&error))?;
    let bytes = spawn_blocking(move || serde_json::to_vec(&copied)).await;
    let bytes = bytes.map_err(|error| internal(&error))?.map_err(|error| internal(&error))?;
    // The turn ends with the last byte that is sent.
    let bytes = Bytes::from_owner(Held { bytes, _turn: turn });
    if bytes.len() > COPY_BYTES_MAX {
        let detail = format!(
            "the copy has {} bytes, and {COPY_BYTES_MAX} are allowed; ask with versions=1, for the \
             versions that are in force alone",
            bytes.len()
        );
        return Err(Problem::new(StatusCode::CONFLICT).detail(detail));
    }
    let fields = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((fields, bytes).into_response())
}

/// A copy in memory.
struct Held {
    bytes: Vec<u8>,
    _turn: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// `PUT /v1/ledger`
pub(super) async fn import(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Asked(query): Asked<How>,
    request: Request,
) -> Result<Json<Came>, Problem> {
    may(&caller)?;
    let patience = Patience::of(query.wait.as_deref(), shared.wait_max)?;
    let once = idempotency_key(request.headers())?;
    let once = once.map(|key| format!("import.{}.{}", caller.id, fingerprint(key)));
    // One of its own: whoever sends slowly holds up no export.
    let receiving = shared.receiving.try_acquire().map_err(|_taken| busy())?;
    let content = timeout(shared.wait_max, content(request)).await;
    let bytes = content.unwrap_or_else(|_late| Err(late()))?;
    let turn = shared.copying.try_acquire().map_err(|_taken| busy())?;
    let copied = spawn_blocking(move || Copied::read(&bytes)).await;
    let copied = copied.map_err(|error| internal(&error))?.map_err(|error| told(&error))?;
    let copied = Arc::new(copied);
    let author = Author { by: caller.id.clone(), from: caller.from, at: shared.at(), sites: None };
    if !query.force && !copied.drains.is_empty() {
        shared.roster.confirm().await.map_err(|error| refused(&error))?;
    }
    let seen = shared.roster.seen();
    let how = Import {
        author: &author,
        token: Some(&caller.id),
        force: query.force,
        once: once.as_deref(),
        kept: shared.site_versions_kept,
        rules: Arc::clone(&shared.rules),
        gives: &|token| given(&caller, token),
        may_all: caller.may_all(),
        may_drain: caller.token.may(Action::Nodes),
        leaves_an_edge: &|before, after| leaves_an_edge(&seen.borrow(), before, after),
    };
    // It ends with the process.
    let writing = shared.writing.acquire().await.map_err(|error| internal(&error))?;
    let on = json!({ "of": copied.last, "copied_at": copied.at, "force": query.force });
    let order = Order::new(&shared, &caller, ("ledger.import", on), once.as_deref());
    let done = copy::import(&order, &copied, how).await;
    drop((writing, turn, receiving));
    let done = order.tried(done.map_err(|error| told(&error))).await?;
    let Done { put_in, tokens, taken_back } = done;
    let mut came = json!(put_in);
    came["token_ids"] = json!(tokens);
    if taken_back {
        came["taken_back"] = json!(true);
    }
    order.done(came).await;
    if taken_back {
        let detail = "this token was revoked meanwhile: sites of the copy are in force, and tokens that \
                      it brought are revoked";
        return Err(Problem::new(StatusCode::FORBIDDEN).detail(detail));
    }
    let progress = waited(&shared, &caller, (put_in.revision, None), patience).await;
    Ok(Json(Came { put_in, progress }))
}

/// A copy's token as `caller` gives it, who must be one that makes tokens, and has all that it is for. It
/// is as if they had made it, so that it goes with theirs; where they may do everything, it stays whose it
/// is, and goes with theirs as well.
fn given(caller: &Caller, token: &TokenDocument) -> Option<TokenDocument> {
    let may = caller.may(Action::Tokens).is_ok() && caller.may_give(token);
    let made_by = if caller.may_all() { &token.made_by } else { &caller.id };
    let mut given = TokenDocument { made_by: made_by.clone(), ..token.clone() };
    given.put_in(&caller.id);
    may.then_some(given)
}

/// Whether clients who have an edge keep one.
fn leaves_an_edge(seen: &Seen, before: &Drains, after: &Drains) -> bool {
    // No node is called so: it is asked whether any is left.
    !before.leave_an_edge(seen, "") || after.leave_an_edge(seen, "")
}

fn may(caller: &Caller) -> Result<(), Problem> {
    caller.may(Action::Ledger)?;
    if caller.token.sites.is_none() {
        return Ok(());
    }
    let detail = format!("token \"{}\" is for some sites, and a ledger is of all", caller.id);
    Err(Problem::new(StatusCode::FORBIDDEN).detail(detail))
}

/// JSON, as bytes: it is read with its format first.
async fn content(request: Request) -> Result<Bytes, Problem> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let detail = "Content-Type: allowed: application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).detail(detail));
    }
    let bytes = Bytes::from_request(request, &()).await;
    bytes.map_err(|rejection| Problem::new(rejection.status()).detail(rejection.body_text()))
}

fn late() -> Problem {
    let detail = "the copy did not come within request_deadline of [admin]; nothing was put in";
    Problem::new(StatusCode::REQUEST_TIMEOUT).detail(detail)
}

fn busy() -> Problem {
    let detail = "another copy is being taken or put in; try again once it is done";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE).detail(detail)
}

fn told(error: &CopyError) -> Problem {
    let status = match error {
        CopyError::Partly { why, .. } => told(why).status(),
        CopyError::Broken(_)
        | CopyError::Newer(_)
        | CopyError::Site(_)
        | CopyError::AnotherOrder => StatusCode::UNPROCESSABLE_ENTITY,
        CopyError::Forbidden(_)
        | CopyError::MayNotForget
        | CopyError::MayNotDrain(_)
        | CopyError::Revoked => StatusCode::FORBIDDEN,
        CopyError::Occupied(_)
        | CopyError::TooManyTokens
        | CopyError::TooManyDrains
        | CopyError::LastEdge
        | CopyError::Overtaken => StatusCode::CONFLICT,
        CopyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        CopyError::Unreadable(_) | CopyError::NotTakenBack(_) => StatusCode::SERVICE_UNAVAILABLE,
        CopyError::Ledger(error) => return refused(error),
    };
    let problem = Problem::new(status).detail(error.to_string());
    match error {
        CopyError::Site(CopiedSiteError::Unsound { name, unsound }) => {
            problem.extension("site", json!(name)).extension("problems", unsound.problems.clone())
        }
        _ => problem,
    }
}
