//! The routes of the ledger, as their callers meet them.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

mod api {
    mod copies;
    mod drains;
    mod hostile;
    pub(super) mod sites;
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
        Load { connections: 3, memory_bytes: 10, memory_bytes_max: 40 }
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
async fn a_waited_purge_is_complete_when_every_node_has_applied_it() {
    let place = Place::new().await;
    let (_one, told) = place.join("fra").await;
    let (_two, also_told) = place.join("iad").await;
    let order = json!({
        "site": "shop",
        "selectors": [{ "tag": "sale" }, { "url": "https://Shop.example:443/a?b" }, "all"],
        "mode": "soft",
    });
    let (status, answer) = place.order("/v1/purges?wait=10s", order).await;
    assert_eq!((status, &answer["state"]), (StatusCode::OK, &json!("complete")), "{answer}");
    let nodes: Vec<_> = answer["nodes"].as_array().unwrap().iter().collect();
    assert_eq!((&nodes[0]["node"], &nodes[1]["node"]), (&json!("fra"), &json!("iad")));
    assert!(nodes.iter().all(|node| node["applied"] == true && node["delay_ms"].is_u64()));
    // What is told is what the nodes purged, in normal form.
    let url = json!({ "url": "https://shop.example/a?b" });
    assert_eq!(answer["selectors"], json!([{ "tag": "sale" }, url, "all"]));
    for told in [told, also_told] {
        let purges = told.0.lock().unwrap();
        assert_eq!(purges.len(), 1);
        assert_eq!((&*purges[0].site, purges[0].mode), ("shop", Mode::Soft));
        assert_eq!(purges[0].selectors[0], Selector::Tag("sale".into()));
        assert_eq!(purges[0].selectors.len(), 3);
    }
    let id = answer["id"].as_str().unwrap();
    let (status, later) = place.ask(&place.first, "GET", &format!("/v1/purges/{id}"), None).await;
    assert_eq!((status, &later["state"]), (StatusCode::OK, &json!("complete")));
    assert_eq!(later["by"], "first");
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

#[tokio::test]
async fn a_node_that_does_not_report_is_named() {
    let place = Place::new().await;
    let (_one, _told) = place.join("fra").await;
    let (away, _) = place.join("iad").await;
    place.has_kept("iad").await;
    // It follows no longer, and is registered still.
    drop(away);
    let (status, answer) = place.order("/v1/purges?wait=50ms", shop(json!(["all"]))).await;
    assert_eq!((status, &answer["state"]), (StatusCode::ACCEPTED, &json!("partial")), "{answer}");
    assert_eq!(answer["nodes"][1], json!({ "node": "iad", "applied": false }));
    let path = format!("/v1/purges/{}", answer["id"].as_str().unwrap());
    let (_, later) = place.ask(&place.first, "GET", &path, None).await;
    assert_eq!(
        (&later["state"], &later["nodes"][1]["applied"]),
        (&json!("partial"), &json!(false))
    );
    let (_, nodes) = place.ask(&place.first, "GET", "/v1/nodes", None).await;
    assert_eq!(
        (&nodes["nodes"][0]["behind"], &nodes["nodes"][1]["behind"]),
        (&json!(0), &json!(1))
    );
    // It comes back where it was, and has applied it before it has joined.
    let (back, told) = place.join("iad").await;
    assert_eq!((told.0.lock().unwrap().len(), told.1.load(Ordering::SeqCst)), (1, 0));
    let (_, later) = place.ask(&place.first, "GET", &path, None).await;
    assert_eq!(later["state"], "complete");
    // Who leaves is waited for no more.
    assert!(back.leave().await.is_none());
    let (status, answer) = place.order("/v1/purges?wait=10s", shop(json!(["all"]))).await;
    assert_eq!((status, answer["nodes"].as_array().unwrap().len()), (StatusCode::OK, 1));
}

#[tokio::test]
async fn a_node_is_removed_once_it_is_away() {
    let place = Place::new().await;
    let (_here, _) = place.join("fra").await;
    let (gone, _) = place.join("iad").await;
    let remove = async |name: &str, force: &str| {
        place.ask(&place.first, "DELETE", &format!("/v1/nodes/{name}{force}"), None).await
    };
    let states = async || {
        let (_, told) = place.ask(&place.first, "GET", "/v1/nodes", None).await;
        let nodes = told["nodes"].as_array().unwrap().iter();
        nodes.map(|node| node["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let reader = place.made(json!({ "actions": ["read"] })).await;
    let audited = place.mark().await.2;
    let (status, _) = place.ask(&reader, "DELETE", "/v1/nodes/iad?force=true", None).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(remove("none", "").await.0, StatusCode::NOT_FOUND);
    let (status, problem) = remove("iad", "").await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("force"), "{problem}");
    assert_eq!(place.mark().await.2, audited, "what is refused is not in the log");
    drop(gone);
    let mut seen = place.roster.seen();
    let is_away = |seen: &Seen| seen.node("iad").is_some_and(|it| it.presence == Presence::Away);
    let away = seen.wait_for(is_away);
    drop(tokio::time::timeout(Duration::from_secs(20), away).await.unwrap().unwrap());
    let (status, removed) = remove("iad", "").await;
    assert_eq!((status, removed), (StatusCode::OK, json!({ "name": "iad", "state": "away" })));
    let (status, answer) = place.order("/v1/purges?wait=10s", shop(json!(["all"]))).await;
    assert_eq!((status, answer["nodes"].as_array().unwrap().len()), (StatusCode::OK, 1));
    let (_, audit) = place.ask(&place.first, "GET", "/v1/audit?what=node.remove", None).await;
    let entries = audit["entries"].as_array().unwrap();
    assert_eq!((entries.len(), &entries[0]["entry"]["on"]["node"]), (1, &json!("iad")), "{audit}");
    // One that is here, by force.
    assert_eq!(remove("fra", "?force=true").await.0, StatusCode::OK);
    assert!(states().await.is_empty());
}

#[tokio::test]
async fn without_wait_it_is_accepted_and_in_the_log() {
    let place = Place::new().await;
    let (status, answer) = place.order("/v1/purges", shop(json!([{ "host": "a.example" }]))).await;
    assert_eq!((status, &answer["state"]), (StatusCode::ACCEPTED, &json!("accepted")));
    assert_eq!(answer["nodes"], Value::Null);
    assert_eq!(place.mark().await.1, 1);
}

#[tokio::test]
async fn a_dry_run_counts_and_writes_nothing() {
    let place = Place::new().await;
    let before = place.mark().await;
    let order = json!({ "site": "shop", "selectors": ["all", { "tag": "a" }], "dry_run": true });
    let (status, answer) = place.order("/v1/purges", order).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["nodes"], json!([{ "node": "fra", "responses": 2 }]));
    assert_eq!(place.mark().await, before);
}

/// A refused request never writes to the ledger, whatever is wrong with it.
#[tokio::test]
async fn what_is_refused_writes_nothing() {
    let place = Place::new().await;
    let reader = place.made(json!({ "actions": ["read"] })).await;
    let blogger = place.made(json!({ "actions": ["purge", "tokens"], "sites": ["blog"] })).await;
    let first = place.first.clone();
    let forged = format!("nct_first_{}", "0".repeat(64));
    let before = place.mark().await;
    let all = shop(json!(["all"]));
    let many = shop(Value::Array(vec![json!("all"); 101]));
    let long = shop(json!([{ "tag": "x".repeat(300_000) }]));
    let rows: Vec<(&str, &str, &str, Value, u16)> = vec![
        ("", "POST", "/v1/purges", all.clone(), 401),
        ("nonsense", "POST", "/v1/purges", all.clone(), 401),
        (&forged, "POST", "/v1/purges", all.clone(), 401),
        (&reader, "POST", "/v1/purges", all.clone(), 403),
        (&blogger, "POST", "/v1/purges", all.clone(), 403),
        (&first, "POST", "/v1/purges?wait=1h", all.clone(), 400),
        (&first, "POST", "/v1/purges?wait=x", all.clone(), 400),
        (&first, "POST", "/v1/purges?waits=1s", all.clone(), 400),
        (&first, "POST", "/v1/purges", json!({ "site": "none", "selectors": ["all"] }), 404),
        (&first, "POST", "/v1/purges", shop(json!([])), 400),
        (&first, "POST", "/v1/purges", many, 400),
        (&first, "POST", "/v1/purges", long, 413),
        (&first, "POST", "/v1/purges", shop(json!([{ "url": "no url" }])), 400),
        (&first, "POST", "/v1/purges", shop(json!([{ "owner": "x" }])), 422),
        (&first, "POST", "/v1/purges", json!({ "site": "shop" }), 422),
        (
            &first,
            "POST",
            "/v1/purges",
            json!({ "site": "shop", "selectors": ["all"], "x": 1 }),
            422,
        ),
        (&reader, "POST", "/v1/tokens", json!({ "actions": ["read"] }), 403),
        (&blogger, "POST", "/v1/tokens", json!({ "actions": ["read"], "sites": ["blog"] }), 403),
        (&blogger, "POST", "/v1/tokens", json!({ "actions": ["purge"] }), 403),
        (&first, "POST", "/v1/tokens", json!({ "actions": [] }), 400),
        (&first, "POST", "/v1/tokens", json!({ "actions": ["all"] }), 422),
        (&first, "POST", "/v1/tokens", json!({ "actions": ["purge"], "sites": ["none"] }), 400),
        (&first, "POST", "/v1/tokens", json!({ "actions": ["purge"], "sites": [] }), 400),
        (&first, "POST", "/v1/tokens", json!({ "actions": ["purge"], "note": "a\nb" }), 400),
        (&blogger, "DELETE", "/v1/tokens/first", Value::Null, 403),
        (&first, "DELETE", "/v1/tokens/none", Value::Null, 404),
        (&first, "GET", "/v1/purges/none", Value::Null, 404),
        (&first, "GET", "/v1/purges/0000000000000000-1", Value::Null, 404),
        (&blogger, "GET", "/v1/nodes", Value::Null, 403),
        (&reader, "GET", "/v1/tokens", Value::Null, 403),
        (&reader, "GET", "/v1/audit", Value::Null, 403),
        (&blogger, "GET", "/v1/audit", Value::Null, 403),
        ("", "GET", "/v1/nodes", Value::Null, 401),
    ];
    for (token, method, path, content, wanted) in rows {
        let shown: String = content.to_string().chars().take(60).collect();
        let content = (!content.is_null()).then_some(content);
        let (status, problem) = place.ask(token, method, path, content).await;
        assert_eq!(status, wanted, "{method} {path} {shown}: {problem}");
        assert_eq!(problem["status"], wanted);
        assert!(problem["detail"].is_string(), "{problem}");
    }
    assert_eq!(place.mark().await, before);
}

#[tokio::test]
async fn rfc6750_3_who_shows_no_good_token_is_challenged() {
    let place = Place::new().await;
    let first = place.first.clone();
    let rows = [
        (vec![], "Bearer realm=\"nearcast\""),
        (vec![format!("Basic {first}")], "Bearer realm=\"nearcast\""),
        (vec![format!("Bearer {first}"), format!("Bearer {first}")], "Bearer realm=\"nearcast\""),
        (vec![format!("Bearer {first}0")], "Bearer realm=\"nearcast\", error=\"invalid_token\""),
    ];
    for (fields, challenge) in rows {
        let mut request = Request::get("/v1/nodes");
        for field in &fields {
            request = request.header("authorization", field);
        }
        let response = place.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 401, "{fields:?}");
        assert_eq!(response.headers()["www-authenticate"], challenge);
    }
    let request = Request::get("/v1/nodes").header("authorization", format!("bearer  {first}"));
    assert_eq!(place.send(request.body(Body::empty()).unwrap()).await.status(), 200);
}

#[tokio::test]
async fn a_token_is_good_until_it_is_revoked_and_for_its_site_alone() {
    let place = Place::new().await;
    let wanted = json!({ "actions": ["purge"], "sites": ["shop"], "note": "the shop's robot" });
    let robot = place.made(wanted).await;
    let all = shop(json!(["all"]));
    let (status, answer) = place.ask(&robot, "POST", "/v1/purges", Some(all.clone())).await;
    assert_eq!(status, 202);
    let path = format!("/v1/purges/{}", answer["id"].as_str().unwrap());
    assert_eq!(place.ask(&robot, "GET", &path, None).await.0, 200);
    let blogger = place.made(json!({ "actions": ["purge"], "sites": ["blog"] })).await;
    assert_eq!(place.ask(&blogger, "GET", &path, None).await.0, 403);
    let id = Secret::parse(&robot).unwrap().id().to_owned();
    let (status, revoked) =
        place.ask(&place.first, "DELETE", &format!("/v1/tokens/{id}"), None).await;
    assert_eq!((status, &revoked["revoked"]["by"]), (StatusCode::OK, &json!("first")));
    assert_eq!(place.ask(&robot, "POST", "/v1/purges", Some(all)).await.0, 401);
    let (_, tokens) = place.ask(&place.first, "GET", "/v1/tokens", None).await;
    assert_eq!(tokens["tokens"].as_array().unwrap().len(), 3);
    assert!(!tokens.to_string().contains("hash"), "{tokens}");
}

#[tokio::test]
async fn revoking_takes_what_was_made_and_is_told_once() {
    let place = Place::new().await;
    let maker = place.made(json!({ "actions": ["purge", "tokens"] })).await;
    let wanted = json!({ "actions": ["purge"] });
    let made = async || {
        let (status, made) = place.ask(&maker, "POST", "/v1/tokens", Some(wanted.clone())).await;
        assert_eq!(status, 201, "{made}");
        made["id"].as_str().unwrap().to_owned()
    };
    let id = |token: &str| Secret::parse(token).unwrap().id().to_owned();
    let (one, other) = (made().await, made().await);
    let revoke = async |path: String| {
        place.ask(&place.first, "DELETE", &format!("/v1/tokens/{path}"), None).await
    };
    let (status, _) = revoke(format!("{one}?keep=true")).await;
    assert_eq!(status, 400);
    let (_, told) = revoke(one.clone()).await;
    assert_eq!(told["revoked_with_it"], json!([]));
    let (_, told) = revoke(id(&maker)).await;
    assert_eq!(told["revoked_with_it"], json!([other]));
    let before = place.mark().await;
    let (status, _) = revoke("first".to_owned()).await;
    assert_eq!(status, StatusCode::CONFLICT, "nobody could make a token again");
    let (status, told) = revoke(id(&maker)).await;
    assert_eq!((status, &told["revoked_with_it"]), (StatusCode::OK, &json!([])));
    assert_eq!(place.mark().await, before, "a second time is no news");

    let maker = place.made(json!({ "actions": ["purge", "tokens"] })).await;
    let (_, made) = place.ask(&maker, "POST", "/v1/tokens", Some(wanted.clone())).await;
    revoke(format!("{}?keep_made=true", id(&maker))).await;
    let child = made["token"].as_str().unwrap();
    assert_eq!(place.ask(child, "POST", "/v1/purges", Some(shop(json!(["all"])))).await.0, 202);
    assert_eq!(place.ask(&maker, "GET", "/v1/tokens", None).await.0, 401);
}

#[tokio::test]
async fn a_token_that_cannot_be_read_is_told_to_who_may_all() {
    let place = Place::new().await;
    let key = Key::parse("tokens/strange").unwrap();
    place.ledger.write(&key, "{".into(), Expect::Absent).await.unwrap();
    let some = place.made(json!({ "actions": ["tokens"], "sites": ["shop"] })).await;
    let strange = async |token: &str| {
        let (status, listed) = place.ask(token, "GET", "/v1/tokens", None).await;
        assert_eq!(status, 200);
        let tokens = listed["tokens"].as_array().unwrap();
        tokens.iter().any(|token| token["id"] == "strange" && token["unreadable"].is_string())
    };
    assert!(strange(&place.first).await && !strange(&some).await);
    assert_eq!(place.ask(&some, "DELETE", "/v1/tokens/strange", None).await.0, 403);
    assert_eq!(place.ask(&place.first, "DELETE", "/v1/tokens/strange", None).await.0, 200);
    assert!(!strange(&place.first).await);
}

#[tokio::test]
async fn a_url_is_explained_to_who_may_read_its_site() {
    let place = Place::new().await;
    let explain = async |token: &str, url: &str| {
        place.ask(token, "GET", &format!("/v1/explain?url={url}"), None).await
    };
    let (status, told) = explain(&place.first, "HTTP%3A%2F%2FShop.example:80%2Fa%3Fb").await;
    assert_eq!((status, &told["url"]), (StatusCode::OK, &json!("http://shop.example/a?b")));
    let node = &told["nodes"][0];
    assert_eq!((&node["node"], &node["target"]), (&json!("fra"), &json!("/a?b")));
    assert_eq!(node["next"]["fwd"], "uri-miss");
    let blogger = place.made(json!({ "actions": ["read"], "sites": ["blog"] })).await;
    let purger = place.made(json!({ "actions": ["purge"] })).await;
    let first = place.first.clone();
    let rows = [
        (&blogger, "http://blog.example/", 200),
        (&blogger, "http://shop.example/", 403),
        (&purger, "http://shop.example/", 403),
        (&first, "http://nowhere.example/", 404),
        (&first, "nothing", 400),
        (&first, "http://shop.example/&more=1", 400),
    ];
    for (token, url, wanted) in rows {
        let (status, told) = explain(token, url).await;
        assert_eq!(status, wanted, "{url}: {told}");
        assert!(status.is_success() || !told.to_string().contains("\"shop\""), "{told}");
    }
}

#[tokio::test]
async fn an_order_under_one_idempotency_key_is_one_order() {
    let place = Place::new().await;
    let other = place.made(json!({ "actions": ["purge"] })).await;
    let order = async |token: &str, key: &str, content: Value| {
        let request = Request::post("/v1/purges")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(Body::from(content.to_string()));
        read(place.send(request.unwrap()).await).await
    };
    let (status, first) = order(&place.first, "\"a\"", shop(json!(["all"]))).await;
    assert_eq!(status, 202);
    let again = order(&place.first, "\"a\"", shop(json!(["all"]))).await;
    assert_eq!(again, (StatusCode::ACCEPTED, first.clone()));
    let (status, problem) = order(&place.first, "\"a\"", shop(json!([{ "tag": "b" }]))).await;
    assert_eq!((status, &problem["purge"]), (StatusCode::UNPROCESSABLE_ENTITY, &first["id"]));
    // Another token's key is another key.
    let (_, others) = order(&other, "\"a\"", shop(json!(["all"]))).await;
    assert_ne!(others["id"], first["id"]);
    assert_eq!(order(&place.first, "", shop(json!(["all"]))).await.0, 400);
    assert_eq!(place.mark().await.1, 2);
    // One line for each purge, and one for the token.
    assert_eq!(place.mark().await.2, 3);
}

#[tokio::test]
async fn the_audit_log_says_who_did_what_from_where() {
    let place = Place::new().await;
    let robot = place.made(json!({ "actions": ["purge"] })).await;
    let (_, purge) = place.ask(&robot, "POST", "/v1/purges", Some(shop(json!(["all"])))).await;
    let (status, audit) = place.ask(&place.first, "GET", "/v1/audit", None).await;
    assert_eq!(status, 200);
    let entries = audit["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    let newest = &entries[0]["entry"];
    assert_eq!((&newest["what"], &newest["from"]), (&json!("purge"), &json!("192.0.2.7")));
    assert_eq!(newest["who"], Secret::parse(&robot).unwrap().id());
    assert_eq!(
        (&newest["on"]["purge"], &newest["at"]),
        (&purge["id"], &json!("1970-01-01T00:00:00.000Z"))
    );
    assert_eq!(newest["on"].get("selectors"), None, "they stand in the purge log");
    assert_eq!(entries[1]["entry"]["what"], "token.make");
    assert!(!audit.to_string().contains(&robot));
    let (_, one) = place.ask(&place.first, "GET", "/v1/audit?limit=1", None).await;
    assert_eq!(one["entries"].as_array().unwrap().len(), 1);
    assert_eq!(one["entries"][0], entries[0]);
}

#[tokio::test]
async fn a_token_that_asks_too_often_is_told_when_to_come_again() {
    let place = Place::with_rate(2).await;
    let ask = async || {
        let request = Request::get("/v1/nodes")
            .header("authorization", format!("Bearer {}", place.first))
            .body(Body::empty());
        place.send(request.unwrap()).await
    };
    assert_eq!(ask().await.status(), 200);
    assert_eq!(ask().await.status(), 200);
    let response = ask().await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "1");
}

#[tokio::test]
async fn a_node_of_a_foreign_or_trimmed_log_purges_everything_and_goes_on() {
    let place = Place::new().await;
    let (one, told) = place.join("fra").await;
    // It has never been here: what it holds, if anything, is of no known position.
    assert_eq!(told.1.load(Ordering::SeqCst), 1);
    place.order("/v1/purges?wait=10s", shop(json!(["all"]))).await;
    place.has_kept("fra").await;
    drop(one);
    let (two, told) = place.join("fra").await;
    assert_eq!((told.0.lock().unwrap().len(), told.1.load(Ordering::SeqCst)), (0, 0));
    drop(two);
    // Another ledger with more purges than this node has applied of the former one.
    let another = Place::new().await;
    for _ in 0..3 {
        another.order("/v1/purges", shop(json!(["all"]))).await;
    }
    let kept = AppliedFile::beside(&place.folder.path().join("ledger.redb"), "fra").read();
    AppliedFile::beside(&another.folder.path().join("ledger.redb"), "fra")
        .keep(kept.unwrap())
        .unwrap();
    let (_three, told) = another.join("fra").await;
    assert_eq!((told.0.lock().unwrap().len(), told.1.load(Ordering::SeqCst)), (0, 1));
    let (status, _) = another.order("/v1/purges?wait=10s", shop(json!(["all"]))).await;
    assert_eq!(status, 200);
    assert_eq!(told.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn former_nodes_of_this_process_are_forgotten() {
    let place = Place::new().await;
    let (_one, _) = place.join("fra").await;
    let (former, _) = place.join("old").await;
    drop(former);
    node::forget_others(&*place.ledger, &["fra"]).await.unwrap();
    let (status, answer) = place.order("/v1/purges?wait=10s", shop(json!(["all"]))).await;
    assert_eq!((status, answer["nodes"].as_array().unwrap().len()), (StatusCode::OK, 1));
}

#[tokio::test]
async fn a_node_that_may_hold_a_lease_is_not_removed_by_force_either() {
    let place = Place::new().await;
    let key = node::key_of("sin").unwrap();
    let write = async |lease_ms, expect| {
        let document = NodeDocument { lease_ms: Some(lease_ms), ..NodeDocument::default() };
        let document = nearcast_control::documents::encode(&document).unwrap();
        place.ledger.write(&key, document, expect).await.unwrap()
    };
    let path = "/v1/nodes/sin?force=true";
    let remove = || place.ask(&place.first, "DELETE", path, None);
    let first = write(3_600_000, Expect::Absent).await;
    let (status, answer) = remove().await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("lease"), "{answer}");
    // One that has certainly lapsed within moments.
    write(1, Expect::At(first)).await;
    let removed = async {
        while remove().await.0 != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), removed).await.unwrap();
}

/// The checked-in document, the routes and the types are one.
#[tokio::test]
async fn the_openapi_document_is_what_the_routes_are() {
    let document = openapi::document();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/openapi.json");
    let kept: Value = serde_json::from_slice(&std::fs::read(page).unwrap()).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        assert_eq!(&kept["paths"][path], operations, "tests/examples/openapi.rs makes it anew");
    }
    let place = Place::new().await;
    let (status, served) = place.ask("", "GET", openapi::PATH, None).await;
    assert_eq!((status, &served), (StatusCode::OK, &document));
    for (path, operations) in document["paths"].as_object().unwrap() {
        let asked = path.replace("{id}", "none").replace("{name}", "none");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let request = Request::builder().method(method).uri(&asked).body(Body::empty());
            let status = place.send(request.unwrap()).await.status();
            let known = operations.get(method.to_ascii_lowercase());
            // Without a token nothing else is answered, where there is something.
            let wanted = known.map_or(405, |_| 401);
            assert_eq!(status.as_u16(), wanted, "{method} {path}");
        }
    }
    // The members of queries are parameters.
    let of_explain = &document["paths"]["/v1/explain"]["get"]["parameters"][0];
    assert_eq!((&of_explain["name"], &of_explain["required"]), (&json!("url"), &json!(true)));
    let parameters = document["paths"]["/v1/purges"]["post"]["parameters"].as_array().unwrap();
    let names: Vec<_> = parameters.iter().map(|parameter| &parameter["name"]).collect();
    assert_eq!(names, [&json!("Idempotency-Key"), &json!("wait")]);
    // Every reference leads somewhere.
    let text = document.to_string();
    let names = document["components"]["schemas"].as_object().unwrap();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(names.contains_key(name), "{name}");
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

#[tokio::test]
async fn a_token_that_is_ordered_twice_under_one_key_is_one_token() {
    let place = Place::new().await;
    let wanted = json!({ "actions": ["purge"], "note": "a robot" });
    let order = async |key: &str, wanted: &Value| {
        send_once(&place, ("POST", "/v1/tokens"), key, Some(wanted.clone())).await
    };
    let (status, first) = order("a", &wanted).await;
    assert_eq!(status, 201, "{first}");
    // Its answer was lost: the same token, and a secret that is good.
    let (status, again) = order("a", &wanted).await;
    assert_eq!((status, &again["id"]), (StatusCode::CREATED, &first["id"]));
    let try_it = async |made: &Value| {
        let secret = made["token"].as_str().unwrap();
        place.ask(secret, "POST", "/v1/purges", Some(shop(json!(["all"])))).await.0.as_u16()
    };
    assert_eq!((try_it(&first).await, try_it(&again).await), (401, 202));
    let (_, tokens) = place.ask(&place.first, "GET", "/v1/tokens", None).await;
    assert_eq!(tokens["tokens"].as_array().unwrap().len(), 2, "{tokens}");
    let (_, audit) = place.ask(&place.first, "GET", "/v1/audit?what=token.make", None).await;
    assert_eq!(audit["entries"].as_array().unwrap().len(), 1, "{audit}");
    let before = place.mark().await;
    let (status, problem) = order("a", &json!({ "actions": ["read"] })).await;
    assert_eq!(status, 422, "{problem}");
    assert_eq!(order(&"x".repeat(129), &wanted).await.0, 400);
    assert_eq!(place.mark().await, before);
    let (status, other) = order("b", &wanted).await;
    assert_eq!(status, 201);
    assert_ne!(other["id"], first["id"]);
    // What was revoked is not made again by who repeats an old order.
    let path = format!("/v1/tokens/{}", first["id"].as_str().unwrap());
    assert_eq!(place.ask(&place.first, "DELETE", &path, None).await.0, 200);
    assert_eq!(order("a", &wanted).await.0, 422);
}

#[tokio::test]
async fn a_node_is_removed_once_under_one_key() {
    let place = Place::new().await;
    let (member, _) = place.join("fra").await;
    let remove = async |name: &str, key: &str| {
        let path = format!("/v1/nodes/{name}?force=true");
        send_once(&place, ("DELETE", &path), key, None).await
    };
    let (status, removed) = remove("fra", "a").await;
    assert_eq!(status, 200, "{removed}");
    assert_eq!(remove("fra", "a").await, (status, removed.clone()), "its answer was lost");
    assert_eq!(remove("fra", "b").await.0, 404);
    // It is back meanwhile, and stays.
    drop(member);
    let (_member, _) = place.join("fra").await;
    assert_eq!(remove("fra", "a").await, (status, removed));
    let (_, nodes) = place.ask(&place.first, "GET", "/v1/nodes", None).await;
    assert_eq!(nodes["nodes"].as_array().unwrap().len(), 1, "{nodes}");
    assert_eq!(remove("iad", "a").await.0, 422);
}

#[tokio::test]
async fn the_audit_log_names_the_request() {
    let place = Place::new().await;
    let mut request = Request::post("/v1/purges").header("content-type", "application/json");
    request = request.header("authorization", format!("Bearer {}", place.first));
    let mut request = request.body(Body::from(shop(json!(["all"])).to_string())).unwrap();
    request.extensions_mut().insert(RequestId("deploy-7".into()));
    assert_eq!(place.send(request).await.status(), 202);
    let (_, audit) = place.ask(&place.first, "GET", "/v1/audit?what=purge", None).await;
    assert_eq!(audit["entries"][0]["entry"]["request"], "deploy-7", "{audit}");
}

#[tokio::test]
async fn a_url_is_explained_as_a_request_with_given_fields_meets_it() {
    let place = Place::new().await;
    let ask = async |more: &str| {
        let path = format!("/v1/explain?url=http://shop.example/{more}");
        place.ask(&place.first, "GET", &path, None).await
    };
    let (status, told) = ask("&header=Accept-Language:+de&header=accept-language:en").await;
    assert_eq!(status, 200, "{told}");
    let why = told["nodes"][0]["next"]["why"].as_str().unwrap();
    assert_eq!(why, r#"{"accept-language": "de", "accept-language": "en"}"#);
    let many = "&header=A:+b".repeat(65);
    for wrong in [
        "&header=A",
        "&header=A+b:+c",
        "&header=A:%0a",
        "&header=Host:+a",
        "&url=x",
        "&h=A:+b",
        &many,
    ] {
        let (status, problem) = ask(wrong).await;
        assert_eq!(status, 400, "{wrong}: {problem}");
    }
    assert_eq!(place.ask(&place.first, "GET", "/v1/explain", None).await.0, 400);
}

/// What is answered is as the document says.
#[tokio::test]
async fn answers_have_the_members_that_the_openapi_document_tells() {
    let place = Place::new().await;
    let (_node, _) = place.join("fra").await;
    let document = openapi::document();
    let asks: [(&str, &str, &str, Value); 8] = [
        ("POST", "/v1/purges?wait=10s", "/v1/purges", shop(json!(["all"]))),
        (
            "POST",
            "/v1/purges",
            "/v1/purges",
            json!({ "site": "shop", "selectors": ["all"], "dry_run": true }),
        ),
        ("POST", "/v1/tokens", "/v1/tokens", json!({ "actions": ["read"] })),
        ("GET", "/v1/tokens", "/v1/tokens", Value::Null),
        ("GET", "/v1/nodes", "/v1/nodes", Value::Null),
        ("GET", "/v1/audit", "/v1/audit", Value::Null),
        ("GET", "/v1/explain?url=http://shop.example/", "/v1/explain", Value::Null),
        ("GET", "/v1/sites", "/v1/sites", Value::Null),
    ];
    for (method, path, known, content) in asks {
        let content = (!content.is_null()).then_some(content);
        let (status, answer) = place.ask(&place.first, method, path, content).await;
        let operation = &document["paths"][known][method.to_ascii_lowercase()];
        let told = &operation["responses"][status.as_str()];
        assert!(told.is_object(), "{method} {path}: {status} is not told");
        let schema = &told["content"]["application/json"]["schema"];
        assert!(fits(&document, schema, &answer), "{method} {path}: {answer}\n{schema}");
    }
}

/// Whether an object has the members that a schema asks for and no others, and so on inside.
fn fits(document: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        let found = document.pointer(reference.trim_start_matches('#'));
        return fits(document, found.unwrap(), value);
    }
    for several in ["anyOf", "oneOf"] {
        if let Some(several) = schema[several].as_array() {
            return several.iter().any(|one| fits(document, one, value));
        }
    }
    match value {
        Value::Object(members) => {
            let none = serde_json::Map::new();
            let known = schema["properties"].as_object().unwrap_or(&none);
            let required = schema["required"].as_array().into_iter().flatten();
            let mut names = required.filter_map(Value::as_str);
            // What may say anything says nothing of its members.
            schema == &Value::Bool(true)
                || known.is_empty()
                || names.all(|name| members.contains_key(name))
                    && members.iter().all(|(name, value)| {
                        known.get(name).is_some_and(|schema| fits(document, schema, value))
                    })
        }
        Value::Array(items) => {
            schema["items"].is_null()
                || items.iter().all(|item| fits(document, &schema["items"], item))
        }
        _ => true,
    }
}
