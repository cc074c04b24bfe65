//! The routes of GeoDNS on the operators' listener: how PoPs stand, orders for them, and why a name
//! is answered as it is.
//!
//! In: a server. Out: axum routes; every error is a problem detail (RFC 9457).
//! Always holds: a node without a ledger has no tokens, so all of it is for this machine alone ([`Local`]); content
//! is JSON or there is none; reading sources for an explanation happens on a thread that may wait,
//! for one at a time.
//! It deliberately does not know what an order comes to.

mod description;

pub use self::description::description;

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::HttpBody as _,
    extract::{
        FromRequest, Query, Request, State,
        rejection::{JsonRejection, QueryRejection},
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use geodns_core::{
    answer::explain::{Inquiry, explain},
    health::operator::Order,
    locate::Map,
    settings::StateWord,
    wire::{kind::RecordType, name::Name},
};
use http::{HeaderMap, StatusCode, header::ACCEPT};
use nearcast_daemon::{http_path::Named, http_problem::Problem, local::Local};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{sync::Semaphore, task::JoinError};

use crate::{
    alone::{Alone, nobody_else},
    probe::{NoSuchPop, status::PopStatus},
    server::{Server, chain},
};

/// The longest end that an order can be given; a longer one is no end.
const LASTING_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// The routes of `server`.
pub fn router(server: Server) -> Router {
    Router::new()
        .route("/v1/route", get(route))
        .route("/v1/pops", get(pops))
        .route("/v1/pops/{name}", get(pop))
        .route("/v1/pops/{name}/drain", post(drain))
        .route("/v1/pops/{name}/undrain", post(undrain))
        .route("/v1/pops/{name}/force", post(force))
        .route("/v1/pops/{name}/unforce", post(unforce))
        .route("/v1/pops/{name}/clear", post(clear))
        .with_state(server)
}

/// What a request says in JSON; one without content leaves everything out.
struct Given<T>(T);

impl<T: DeserializeOwned + Default, S: Sync + Send> FromRequest<S> for Given<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        given(Json::from_request(request, state).await).map(Self)
    }
}

/// `?name=&client=&type=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The name that is asked for; the last dot may be left out.
    #[schemars(length(min = 1))]
    name: String,
    /// The client, or the first address of its network.
    client: IpAddr,
    /// The type of records, A without it.
    #[serde(default, rename = "type")]
    rtype: Option<String>,
}

/// What an order is given with; all of it may be left out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OrderTerms")]
struct Terms {
    /// How long it holds, as `10m`; without it, until the process ends.
    #[serde(default, rename = "for")]
    lasting: Option<String>,
}

/// What `force` is given with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ForceTerms")]
struct Forced {
    /// The state in which it is held.
    state: StateWord,
    /// How long it holds, as `10m`; without it, until the process ends.
    #[serde(default, rename = "for")]
    lasting: Option<String>,
}

/// How a PoP stands that was drained, and who goes there nevertheless.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DrainedPop")]
struct Drained {
    #[serde(flatten)]
    pop: PopStatus,
    /// Where nobody else can take its clients now, so that they stay.
    nobody_else: Vec<Alone>,
}

/// How PoPs stand.
#[derive(Debug, Serialize, JsonSchema)]
struct Pops {
    /// Each of them.
    pops: Vec<PopStatus>,
}

async fn route(
    _local: Local,
    State(server): State<Server>,
    fields: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(asked) = asked.map_err(|rejection| bad(rejection.body_text()))?;
    let name = Name::parse(rooted(&asked.name).as_bytes(), None)
        .map_err(|error| bad(format!("name: {error}")))?;
    let rtype = asked.rtype.as_deref().unwrap_or("A");
    let rtype = RecordType::parse(rtype.to_ascii_uppercase().as_bytes())
        .ok_or_else(|| bad(format!("type: \"{rtype}\" is no type of records")))?;
    let inquiry = Inquiry { name, rtype, client: asked.client, draw: rand::random() };
    let turns = Arc::clone(server.explaining());
    let explained = alone(turns, move || {
        let loaded = server.loaded();
        let view = server.shared().view();
        let find =
            |map: &Map| loaded.find(map.name(), inquiry.client).map_err(|error| chain(&error));
        let explained = explain(view.served(), &inquiry, find);
        server.spare().loaded();
        explained
    });
    let explained = explained.await.map_err(|error| {
        tracing::error!(%error, "an explanation broke off");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR)
    })?;
    // For a terminal; who says nothing gets JSON.
    let as_text = fields.get(ACCEPT).is_some_and(|accept| accept == "text/plain");
    Ok(if as_text {
        explained.to_string().into_response()
    } else {
        Json(explained).into_response()
    })
}

/// Does `work` on a thread that may wait, and nobody else's beside it: its turn lasts as long as the
/// work does, even if the client has gone.
async fn alone<T: Send + 'static>(
    turns: Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    let turn = turns.acquire_owned().await;
    let work = move || {
        let done = work();
        drop(turn);
        done
    };
    tokio::task::spawn_blocking(work).await
}

async fn pops(_local: Local, State(server): State<Server>) -> Json<Pops> {
    Json(Pops { pops: server.prober().status() })
}

async fn pop(
    _local: Local,
    State(server): State<Server>,
    Named(name): Named,
) -> Result<Json<PopStatus>, Problem> {
    status(&server, &name)
}

async fn drain(
    _local: Local,
    State(server): State<Server>,
    Named(name): Named,
    Given(terms): Given<Terms>,
) -> Result<Json<Drained>, Problem> {
    let Json(pop) = order(&server, &name, Order::Drain, terms.lasting.as_deref())?;
    let nobody_else = nobody_else(server.shared().view().served(), &name);
    Ok(Json(Drained { pop, nobody_else }))
}

async fn undrain(
    _local: Local,
    State(server): State<Server>,
    Named(name): Named,
    Given(terms): Given<Terms>,
) -> Result<Json<PopStatus>, Problem> {
    order(&server, &name, Order::Undrain, terms.lasting.as_deref())
}

async fn force(
    _local: Local,
    State(server): State<Server>,
    Named(name): Named,
    forced: Result<Json<Forced>, JsonRejection>,
) -> Result<Json<PopStatus>, Problem> {
    let forced = given(forced)?;
    order(&server, &name, Order::Force(forced.state), forced.lasting.as_deref())
}

async fn unforce(
    _local: Local,
    State(server): State<Server>,
    Named(name): Named,
    Given(terms): Given<Terms>,
) -> Result<Json<PopStatus>, Problem> {
    ending(&server, &name, Order::Unforce, &terms)
}

async fn clear(
    _local: Local,
    State(server): State<Server>,
    Named(name): Named,
    Given(terms): Given<Terms>,
) -> Result<Json<PopStatus>, Problem> {
    ending(&server, &name, Order::Clear, &terms)
}

/// Gives an order that ends others.
fn ending(
    server: &Server,
    name: &str,
    end: Order,
    terms: &Terms,
) -> Result<Json<PopStatus>, Problem> {
    if terms.lasting.is_some() {
        return Err(bad("for: what ends an order has no end itself".to_owned()));
    }
    order(server, name, end, None)
}

/// Gives the order, and says how the PoP stands then.
fn order(
    server: &Server,
    name: &str,
    order: Order,
    lasting: Option<&str>,
) -> Result<Json<PopStatus>, Problem> {
    let lasting = lasting.map(duration).transpose()?;
    server.prober().order(name, order, lasting).map_err(|error| no_such_pop(&error))?;
    status(server, name)
}

fn status(server: &Server, name: &str) -> Result<Json<PopStatus>, Problem> {
    let found = server.prober().status().into_iter().find(|pop| pop.name == name);
    found.map(Json).ok_or_else(|| no_such_pop(&NoSuchPop(name.to_owned())))
}

fn duration(text: &str) -> Result<Duration, Problem> {
    let parsed = humantime::parse_duration(text).ok();
    parsed.filter(|span| !span.is_zero() && *span <= LASTING_MAX).ok_or_else(|| {
        bad(format!("for: \"{text}\" is not a duration such as \"10m\", of a year at most"))
    })
}

fn given<T>(content: Result<Json<T>, JsonRejection>) -> Result<T, Problem> {
    let told =
        |rejection: JsonRejection| Problem::new(rejection.status()).detail(rejection.body_text());
    content.map(|Json(content)| content).map_err(told)
}

fn no_such_pop(error: &NoSuchPop) -> Problem {
    Problem::new(StatusCode::NOT_FOUND).detail(error.to_string())
}

fn bad(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST).detail(detail)
}

/// Operators leave the last dot out.
fn rooted(name: &str) -> String {
    if name.ends_with('.') { name.to_owned() } else { format!("{name}.") }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn who_goes_away_does_not_let_another_begin() {
        let turns = Arc::new(Semaphore::new(1));
        let (began, has_begun) = mpsc::channel();
        let (end, may_end) = mpsc::channel::<()>();
        let first = tokio::spawn(alone(Arc::clone(&turns), move || {
            began.send(()).unwrap();
            may_end.recv().unwrap_or_default();
        }));
        tokio::task::spawn_blocking(move || has_begun.recv()).await.unwrap().unwrap();
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(turns.available_permits(), 0, "its work still goes on");
        drop(end);
        assert_eq!(alone(turns, || 7).await.unwrap(), 7);
    }
}
