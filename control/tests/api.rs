//! The routes of the ledger, as their callers meet them.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

mod api {
    mod attempts;
    mod audit;
    mod copies;
    mod described;
    mod drains;
    mod explained;
    mod hostile;
    mod imports;
    mod nodes;
    mod purges;
    mod serving;
    pub(super) mod sites;
    mod tokens;
}

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{Router, body::Body};
use edge_core::purge::{Mode, Purge, Selector};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use nearcast_control::{
    api::{self as routes_of, Api, Counted, Explained, Holdings, NextRequest, Url, openapi},
    applied::AppliedFile,
    embedded::{Embedded, Kept},
    ledger::{Expect, Key, Ledger, Log, Revision},
    node::{self, Applies, Incarnation, Joining, Load, Member, NodeDocument, Troubles},
    roster::{Presence, Roster, Seen},
    token::{self, Secret},
};
use nearcast_daemon::{admin::Peer, request_id::RequestId};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;
use tower::ServiceExt as _;

/// So rarely that no test sees one.
const HEARTBEAT: Duration = Duration::from_secs(3600);
const AWAY_AFTER: Duration = Duration::from_secs(2);

/// What a node was told to purge.
#[derive(Default)]
struct Told(Mutex<Vec<Purge>>, AtomicU32);

impl Applies for Told {
    fn apply(&self, purge: &Purge) {
        self.0.lock().unwrap().push(purge.clone());
    }

    fn apply_everything(&self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }

    fn load(&self) -> Load {
        Load { connections: 3, memory_bytes: 10, memory_bytes_max: 40, share_per_mille: None }
    }

    fn vouch(&self, _until: Instant) {}
}

struct TwoSites;

impl Holdings for TwoSites {
    fn sites(&self) -> Vec<String> {
        vec!["blog".to_owned(), "shop".to_owned()]
    }

    fn count(&self, purge: &Purge) -> Vec<Counted> {
        let responses = u64::try_from(purge.selectors.len()).unwrap();
        vec![Counted { node: "fra".to_owned(), responses }]
    }

    fn explain(&self, url: &Url) -> Vec<Explained> {
        let site = match &*url.host {
            "shop.example" => "shop",
            "blog.example" => "blog",
            _ => return Vec::new(),
        };
        let next = NextRequest {
            hit: false,
            fwd: Some("uri-miss".to_owned()),
            detail: None,
            why: String::new(),
        };
        vec![Explained {
            node: "fra".to_owned(),
            site: site.to_owned(),
            target: url.target.to_string(),
            key_fields: Vec::new(),
            next: NextRequest { why: format!("{:?}", url.fields), ..next },
            stored: Vec::new(),
            more: 0,
        }]
    }
}

fn routes(ledger: Arc<dyn Ledger>, roster: Roster, requests_per_second: u32) -> Router {
    routes_of::router(Api {
        ledger,
        roster,
        holdings: Arc::new(TwoSites),
        clock: Arc::new(|| SystemTime::UNIX_EPOCH),
        wait_max: Duration::from_secs(20),
        requests_per_second,
        rules: Arc::new(api::sites::Plain),
        site_versions_kept: 4,
    })
}

struct Place {
    ledger: Arc<dyn Ledger>,
    roster: Roster,
    routes: Router,
    first: String,
    folder: TempDir,
}

impl Place {
    async fn new() -> Self {
        Self::with_rate(1000).await
    }

    async fn with_rate(requests_per_second: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Embedded::open(&folder.path().join("ledger.redb"), Kept::default()).unwrap();
        let ledger: Arc<dyn Ledger> = Arc::new(ledger);
        let file = folder.path().join("token");
        token::leave_first(&*ledger, &file, "now").await.unwrap();
        let first = std::fs::read_to_string(file).unwrap().trim().to_owned();
        let roster = Roster::begin(Arc::clone(&ledger), AWAY_AFTER);
        let routes = routes(Arc::clone(&ledger), roster.clone(), requests_per_second);
        Self { ledger, roster, routes, first, folder }
    }

    /// Waits until the node's position on its disk is the log's end.
    async fn has_kept(&self, name: &str) {
        let last = self.ledger.ends(Log::Purges).await.unwrap().last;
        let file = AppliedFile::beside(&self.folder.path().join("ledger.redb"), name);
        let kept = async {
            while file.read() != Some(last) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), kept).await.unwrap();
    }

    async fn join(&self, name: &str) -> (Member, Arc<Told>) {
        let told = Arc::new(Told::default());
        let joining = Joining {
            key: node::key_of(name).unwrap(),
            document: NodeDocument::default(),
            heartbeat: HEARTBEAT,
            edge: Arc::clone(&told) as _,
            file: AppliedFile::beside(&self.folder.path().join("ledger.redb"), name),
            incarnation: Incarnation::fresh().unwrap(),
            is_shared: false,
            troubles: Troubles::default(),
            answers: None,
            sites: None,
        };
        (node::join(Arc::clone(&self.ledger), joining).await.unwrap(), told)
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        let mut request = request;
        let peer: SocketAddr = "192.0.2.7:1".parse().unwrap();
        request.extensions_mut().insert(Peer(peer));
        self.routes.clone().oneshot(request).await.unwrap()
    }

    async fn ask(
        &self,
        token: &str,
        method: &str,
        path: &str,
        content: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = match content {
            Some(content) => {
                request = request.header("content-type", "application/json");
                Body::from(content.to_string())
            }
            None => Body::empty(),
        };
        read(self.send(request.body(body).unwrap()).await).await
    }

    async fn order(&self, path: &str, order: Value) -> (StatusCode, Value) {
        self.ask(&self.first, "POST", path, Some(order)).await
    }

    /// Everything that a write would change.
    async fn mark(&self) -> (Revision, u64, u64) {
        let revision = self.ledger.list("").await.unwrap().revision;
        let purges = self.ledger.ends(Log::Purges).await.unwrap().last.seq;
        (revision, purges, self.ledger.ends(Log::Audit).await.unwrap().last.seq)
    }

    async fn made(&self, wanted: Value) -> String {
        let (status, made) = self.order("/v1/tokens", wanted).await;
        assert_eq!(status, 201, "{made}");
        made["token"].as_str().unwrap().to_owned()
    }
}

async fn read(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    if status == StatusCode::NOT_MODIFIED {
        return (status, Value::Null);
    }
    if !status.is_success() {
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let json = serde_json::from_slice(&bytes);
    (status, json.unwrap_or_else(|error| panic!("{error}: {bytes:?}")))
}

/// An order for the shop; the selectors are moved into it.
fn shop(selectors: Value) -> Value {
    Value::from_iter([("site", json!("shop")), ("selectors", selectors)])
}

#[tokio::test]
async fn rfc9457_a_path_that_is_no_text_is_a_problem_detail() {
    let place = Place::new().await;
    for (method, path) in [("GET", "/v1/purges/%ff"), ("DELETE", "/v1/tokens/%ff")] {
        let (status, problem) = place.ask(&place.first, method, path, None).await;
        assert_eq!((status, &problem["status"]), (StatusCode::BAD_REQUEST, &json!(400)), "{path}");
        assert!(problem["detail"].as_str().unwrap().contains("UTF-8"), "{problem}");
    }
}

async fn send_once(
    place: &Place,
    (method, path): (&str, &str),
    key: &str,
    content: Option<Value>,
) -> (StatusCode, Value) {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("authorization", format!("Bearer {}", place.first));
    request = request.header("idempotency-key", key);
    request = request.header("content-type", "application/json");
    let content = content.map(|content| content.to_string()).unwrap_or_default();
    read(place.send(request.body(Body::from(content)).unwrap()).await).await
}
