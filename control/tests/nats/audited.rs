//! The audit log, read back where many of its lines share a message.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{Router, body::Body};
use edge_core::purge::Purge;
use futures_util::future::join_all;
use http::Request;
use http_body_util::BodyExt as _;
use nearcast_control::{
    api::{self, Api, Counted, Explained, Holdings, Url},
    ledger::{Ledger, Log},
    roster::Roster,
    site::{Content, FileSite, Rules, Sound, Unsound},
    token,
};
use nearcast_daemon::admin::Peer;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::server::Server;

/// Orders, each with two lines: more than one answer looks at.
const ORDERS: usize = 6000;

/// A node that has nothing.
struct Nothing;

impl Holdings for Nothing {
    fn sites(&self) -> Vec<String> {
        Vec::new()
    }

    fn count(&self, _purge: &Purge) -> Vec<Counted> {
        Vec::new()
    }

    fn explain(&self, _url: &Url) -> Vec<Explained> {
        Vec::new()
    }
}

impl Rules for Nothing {
    fn check(&self, _content: Content<'_>) -> Result<Sound, Unsound> {
        Err(Unsound { report: String::new(), problems: Value::Null })
    }

    fn host_of(&self, _text: &str) -> Option<String> {
        None
    }

    fn of_file(&self) -> Vec<FileSite> {
        Vec::new()
    }
}

async fn ask(routes: &Router, token: &str, query: &str) -> Value {
    let request = Request::get(format!("/v1/audit?{query}"));
    let request = request.header("authorization", format!("Bearer {token}"));
    let mut request = request.body(Body::empty()).unwrap();
    let peer: SocketAddr = "192.0.2.7:1".parse().unwrap();
    request.extensions_mut().insert(Peer(peer));
    let response = routes.clone().oneshot(request).await.unwrap();
    let content = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&content).unwrap()
}

#[tokio::test]
async fn lines_that_share_a_message_are_all_read_back_once() {
    let server = Server::alone();
    let place = server.place("cdn");
    let ledger: Arc<dyn Ledger> = Arc::new(place.nats().await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    token::leave_first(&*ledger, &file, "now").await.unwrap();
    let token = std::fs::read_to_string(file).unwrap().trim().to_owned();
    let routes = api::router(Api {
        ledger: Arc::clone(&ledger),
        roster: Roster::begin(Arc::clone(&ledger), Duration::from_secs(2)),
        holdings: Arc::new(Nothing),
        clock: Arc::new(|| SystemTime::UNIX_EPOCH),
        wait_max: Duration::from_secs(20),
        requests_per_second: 100_000,
        rules: Arc::new(Nothing),
        site_versions_kept: 4,
    });
    let note = async |line: Value| {
        ledger.note(Log::Audit, line.to_string().into(), None).await.unwrap();
    };
    let numbers: Vec<usize> = (0..ORDERS).collect();
    for some in numbers.chunks(100) {
        join_all(some.iter().map(async |number| {
            let order = number.to_string();
            note(json!({
                "schema": 1, "order": order, "at": "", "who": "me", "from": null,
                "what": "purge", "on": { "number": number },
            }))
            .await;
            note(json!({ "schema": 1, "of": order, "came": "done" })).await;
        }))
        .await;
    }
    let messages = place.ask("STREAM.INFO.cdn-audit").await["state"]["messages"].as_u64().unwrap();
    assert!(messages < ORDERS as u64 / 10, "they share messages: {messages}");
    for limit in [1000, 333] {
        let (mut found, mut query) = (Vec::new(), format!("limit={limit}"));
        let mut newest = u64::MAX;
        loop {
            let told = ask(&routes, &token, &query).await;
            let entries = told["entries"].as_array().unwrap_or_else(|| panic!("{told}"));
            for entry in entries {
                assert_eq!(entry["entry"]["outcome"], "done", "{entry}");
                let (_, at) = entry["position"].as_str().unwrap().split_once('-').unwrap();
                let before = std::mem::replace(&mut newest, at.parse().unwrap());
                assert!(newest < before, "the newest come first: {entry}");
                found.push(entry["entry"]["on"]["number"].as_u64().unwrap());
            }
            assert!(entries.len() == limit || told["before"].is_null(), "{}", entries.len());
            let Some(before) = told["before"].as_str() else { break };
            query = format!("limit={limit}&before={before}");
        }
        found.sort_unstable();
        assert_eq!(found, (0..ORDERS as u64).collect::<Vec<u64>>(), "limit {limit}");
    }
    // One answer looks at so many lines only, and says where to go on.
    let none = ask(&routes, &token, "what=token.make").await;
    assert_eq!(none["entries"], json!([]));
    let rest = ask(&routes, &token, &format!("before={}", none["before"].as_str().unwrap())).await;
    let oldest = rest["entries"].as_array().unwrap().last().unwrap();
    assert!(oldest["entry"]["on"]["number"].as_u64().unwrap() < 1200, "{oldest}");
}
