//! The theatre of `nearcast up`: its edges can be stopped and started, to watch what users would
//! see of it.
//!
//! In: requests to the admin listener, keys on a terminal. Out: edges that stop and start.
//! Always holds: it exists under `up` alone, whose admin listener is on loopback; a page in a browser
//! of this machine can stop nothing ([`Local`]).

use axum::http::StatusCode;
use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use nearcast_daemon::{http_path::Named, http_problem::Problem, local::Local};
use serde_json::{Value, json};

use crate::{
    edges::{Change, Edges, Seen},
    failure::Failure,
};

/// `GET /up/edges`, `POST /up/edges/{name}/stop` and `/start`.
pub(crate) fn routes(edges: &Edges) -> Router {
    Router::new()
        .route("/up/edges", get(list))
        .route("/up/edges/{name}/stop", post(stop))
        .route("/up/edges/{name}/start", post(start))
        .with_state(edges.clone())
}

async fn list(State(edges): State<Edges>) -> Json<Value> {
    let told = |seen: Seen| json!({ "name": seen.name, "http": seen.addresses, "up": seen.up });
    Json(edges.seen().into_iter().map(told).collect())
}

async fn stop(_local: Local, State(edges): State<Edges>, Named(name): Named) -> Response {
    changed(edges.stop(&name).await, &edges, &name)
}

async fn start(_local: Local, State(edges): State<Edges>, Named(name): Named) -> Response {
    changed(edges.start(&name).await, &edges, &name)
}

fn changed(change: Result<Change, Failure>, edges: &Edges, name: &str) -> Response {
    match change {
        Ok(change) => answer(change, edges, name),
        Err(failure) => Problem::new(StatusCode::SERVICE_UNAVAILABLE)
            .detail(failure.to_string())
            .into_response(),
    }
}

fn answer(change: Change, edges: &Edges, name: &str) -> Response {
    match change {
        Change::Done | Change::Nothing => {
            let up = edges.seen().iter().any(|seen| seen.name == name && seen.up);
            Json(json!({ "name": name, "up": up })).into_response()
        }
        Change::Unknown => {
            let names: Vec<String> = edges.seen().into_iter().map(|seen| seen.name).collect();
            let detail = format!("no edge is called {name:?}; there are {}", names.join(", "));
            Problem::new(StatusCode::NOT_FOUND).detail(detail).into_response()
        }
        Change::Busy => Problem::new(StatusCode::CONFLICT)
            .detail("it is being stopped or started right now; ask again")
            .into_response(),
    }
}
