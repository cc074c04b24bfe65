//! The routes under callers that mean ill, and over a ledger that fails between two writes.

use std::{future::pending, process::Command, sync::mpsc, thread};

use bytes::Bytes;
use futures_util::future::{join_all, select_all};
use nearcast_control::ledger::{
    Answer, Appended, Change, Document, Ends, Follow, Health, LedgerError, Listing, Position, Watch,
};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use super::super::*;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What becomes of writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Writes {
    #[default]
    AreTaken,
    /// This many are, the next one is not, and then all are.
    OneFailsAfter(u32),
    /// This many are, before the next one somebody else was first, and then all are.
    OneIsOvertakenAfter(u32),
    /// This many are, then one is and who ordered it is told that it is not, and then all are.
    OneIsUnsaidAfter(u32),
    /// This many are, then one waits to be let go, and all others are.
    OneWaitsAfter(u32),
    /// Nobody ever hears of them.
    Hang,
}

#[derive(Debug)]
pub(super) struct Frail {
    ledger: Arc<dyn Ledger>,
    pub(super) writes: Mutex<Writes>,
    /// So many reads fail from now on.
    pub(super) reads_failing: AtomicU32,
    /// That one waits.
    pub(super) waits: Notify,
    /// That it goes on.
    pub(super) go: Notify,
}

impl Frail {
    async fn write<T>(&self, write: Answer<'_, T>) -> Result<T, LedgerError> {
        let writes = {
            let mut writes = self.writes.lock().unwrap();
            let now = *writes;
            let next = match now {
                Writes::OneFailsAfter(left) => left.checked_sub(1).map(Writes::OneFailsAfter),
                Writes::OneIsOvertakenAfter(left) => {
                    left.checked_sub(1).map(Writes::OneIsOvertakenAfter)
                }
                Writes::OneIsUnsaidAfter(left) => left.checked_sub(1).map(Writes::OneIsUnsaidAfter),
                Writes::OneWaitsAfter(left) => left.checked_sub(1).map(Writes::OneWaitsAfter),
                other => Some(other),
            };
            *writes = next.unwrap_or_default();
            now
        };
        let failed = || LedgerError::Unavailable("a test says so".to_owned());
        match writes {
            Writes::OneFailsAfter(0) => Err(failed()),
            Writes::OneWaitsAfter(0) => {
                self.waits.notify_one();
                self.go.notified().await;
                write.await
            }
            Writes::OneIsUnsaidAfter(0) => write.await.and_then(|_| Err(failed())),
            Writes::OneIsOvertakenAfter(0) => {
                Err(LedgerError::Conflict { key: key("nodes/iad"), current: None })
            }
            Writes::AreTaken
            | Writes::OneFailsAfter(_)
            | Writes::OneIsOvertakenAfter(_)
            | Writes::OneIsUnsaidAfter(_)
            | Writes::OneWaitsAfter(_) => write.await,
            Writes::Hang => pending().await,
        }
    }
}

impl Ledger for Frail {
    fn health(&self) -> watch::Receiver<Health> {
        self.ledger.health()
    }

    fn read<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Document>> {
        let less = |left: u32| left.checked_sub(1);
        if self.reads_failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            let away = LedgerError::Unavailable("it is away".to_owned());
            return Box::pin(std::future::ready(Err(away)));
        }
        self.ledger.read(key)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        self.ledger.list(prefix)
    }

    fn history<'a>(&'a self, key: &'a Key) -> Answer<'a, Vec<Change>> {
        self.ledger.history(key)
    }

    fn write<'a>(&'a self, key: &'a Key, value: Bytes, expect: Expect) -> Answer<'a, Revision> {
        Box::pin(self.write(self.ledger.write(key, value, expect)))
    }

    fn delete<'a>(&'a self, key: &'a Key, at: Revision) -> Answer<'a, Revision> {
        Box::pin(self.write(self.ledger.delete(key, at)))
    }

    fn watch<'a>(&'a self, prefix: &'a str, after: Revision) -> Answer<'a, Box<dyn Watch>> {
        self.ledger.watch(prefix, after)
    }

    fn append<'a>(&'a self, log: Log, entry: Bytes, once: Option<&'a str>) -> Answer<'a, Appended> {
        Box::pin(self.write(self.ledger.append(log, entry, once)))
    }

    fn entry(&self, log: Log, position: Position) -> Answer<'_, Option<Bytes>> {
        self.ledger.entry(log, position)
    }

    fn ends(&self, log: Log) -> Answer<'_, Ends> {
        self.ledger.ends(log)
    }

    fn follow(&self, log: Log, after: Position) -> Answer<'_, Box<dyn Follow>> {
        self.ledger.follow(log, after)
    }
}

impl Place {
    /// The same over a ledger that can be told to fail.
    pub(super) async fn frail() -> (Self, Arc<Frail>) {
        let place = Self::new().await;
        let writes = Mutex::default();
        let (waits, go) = (Notify::new(), Notify::new());
        let (ledger, reads_failing) = (Arc::clone(&place.ledger), AtomicU32::new(0));
        let frail = Arc::new(Frail { ledger, writes, reads_failing, waits, go });
        let roster = Roster::begin(Arc::clone(&frail) as _, AWAY_AFTER);
        let routes = routes(Arc::clone(&frail) as _, roster, 1000);
        (Self { routes, ..place }, frail)
    }

    pub(super) async fn audit(&self, query: &str) -> Value {
        let (status, told) =
            self.ask(&self.first, "GET", &format!("/v1/audit?{query}"), None).await;
        assert_eq!(status, 200, "{told}");
        told
    }
}

pub(super) fn id(token: &str) -> String {
    Secret::parse(token).unwrap().id().to_owned()
}

pub(super) fn whats(audit: &Value) -> Vec<&str> {
    let entries = audit["entries"].as_array().unwrap();
    entries.iter().map(|told| told["entry"]["what"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn two_that_revoke_each_other_at_once_leave_one() {
    for round in 0..4 {
        let place = Place::new().await;
        let all = json!({ "actions": token::Action::ALL });
        let (one, other) = (place.made(all.clone()).await, place.made(all).await);
        let out = place.ask(&place.first, "DELETE", "/v1/tokens/first?keep_made=true", None).await;
        assert_eq!(out.0, 200);
        let revoke = async |by: &str, of: &str| {
            place.ask(by, "DELETE", &format!("/v1/tokens/{}", id(of)), None).await.0
        };
        let told = tokio::join!(revoke(&one, &other), revoke(&other, &one));
        let done = [told.0, told.1].iter().filter(|status| status.is_success()).count();
        assert_eq!(done, 1, "round {round}: {told:?}");
        let mut good = 0;
        for token in [&one, &other] {
            good += u32::from(place.ask(token, "GET", "/v1/nodes", None).await.0 == 200);
        }
        assert_eq!(good, 1, "round {round}");
    }
}

#[tokio::test]
async fn the_audit_log_can_be_read_back_to_its_beginning() {
    let place = Place::with_rate(100_000).await;
    let robot = place.made(json!({ "actions": ["purge"] })).await;
    for _ in 0..22 {
        let purge = || place.ask(&robot, "POST", "/v1/purges", Some(shop(json!(["all"]))));
        assert!(join_all((0..50).map(|_| purge())).await.iter().all(|(status, _)| *status == 202));
    }
    // What a flood should hide; what came of an order may be on the page before.
    for told in [&place.audit("limit=1").await, &place.audit("limit=7").await] {
        let before = told["before"].as_str().unwrap();
        let rest = place.audit(&format!("limit=1000&before={before}")).await;
        assert!(outcomes(&rest).iter().all(|outcome| *outcome == "done"), "{rest}");
    }
    let newest = place.audit("limit=1000").await;
    assert!(whats(&newest).iter().all(|what| *what == "purge"));
    let before = newest["before"].as_str().unwrap();
    let rest = place.audit(&format!("limit=1000&before={before}")).await;
    assert_eq!((whats(&rest).len(), whats(&rest).last()), (101, Some(&"token.make")));
    assert_eq!(rest["before"], Value::Null, "that is all");
    let made = place.audit("what=token.make").await;
    assert_eq!((whats(&made).len(), &made["before"]), (1, &Value::Null));
    assert_eq!(made["entries"][0]["entry"]["on"]["id"], id(&robot));
    let some = place.audit("what=purge&limit=7").await;
    let before = some["before"].as_str().unwrap();
    let more = place.audit(&format!("what=purge&limit=7&before={before}")).await;
    let seq = |told: &Value| {
        told["position"].as_str().unwrap().rsplit('-').next().unwrap().parse::<u64>().unwrap()
    };
    let both = [some["entries"].as_array().unwrap(), more["entries"].as_array().unwrap()];
    let all: Vec<u64> = both.into_iter().flatten().map(seq).collect();
    assert!(all.len() == 14 && all.is_sorted_by(|one, next| one > next), "{all:?}");
    let foreign = "/v1/audit?before=0000000000000001-5";
    assert_eq!(place.ask(&place.first, "GET", foreign, None).await.0, 400);
}

#[tokio::test]
async fn rfc6750_3_1_who_may_not_is_told_that_the_scope_is_what_lacks() {
    let place = Place::new().await;
    let reader = place.made(json!({ "actions": ["read"] })).await;
    let request = Request::get("/v1/tokens").header("authorization", format!("Bearer {reader}"));
    let response = place.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), 403);
    let challenge = "Bearer realm=\"nearcast\", error=\"insufficient_scope\"";
    assert_eq!(response.headers()["www-authenticate"], challenge);
}

pub(super) fn outcomes(audit: &Value) -> Vec<&str> {
    let entries = audit["entries"].as_array().unwrap();
    entries.iter().map(|told| told["entry"]["outcome"].as_str().unwrap()).collect()
}

/// An order of each kind, with what must be there for it; the place has the node `iad`, whose document
/// nobody writes.
async fn orders(place: &Place) -> Vec<(&'static str, &'static str, String, Value)> {
    place.ledger.write(&key("nodes/iad"), node(), Expect::Anything).await.unwrap();
    place.ledger.write(&key("nodes/fra"), node(), Expect::Anything).await.unwrap();
    let robot = place.made(json!({ "actions": ["purge"] })).await;
    let (_, copy) = place.ask(&place.first, "GET", "/v1/ledger", None).await;
    vec![
        ("purge", "POST", "/v1/purges".to_owned(), shop(json!(["all"]))),
        ("token.make", "POST", "/v1/tokens".to_owned(), json!({ "actions": ["read"] })),
        ("token.revoke", "DELETE", format!("/v1/tokens/{}", id(&robot)), Value::Null),
        ("node.drain", "PUT", "/v1/nodes/iad/drain".to_owned(), Value::Null),
        ("node.undrain", "DELETE", "/v1/nodes/iad/drain".to_owned(), Value::Null),
        ("node.remove", "DELETE", "/v1/nodes/iad?force=true".to_owned(), Value::Null),
        ("ledger.import", "PUT", "/v1/ledger?force=true".to_owned(), copy),
    ]
}

pub(super) fn node() -> Bytes {
    let document = NodeDocument {
        addresses: vec!["192.0.2.1:80".parse().unwrap()],
        ..NodeDocument::default()
    };
    nearcast_control::documents::encode(&document).unwrap()
}

pub(super) fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

#[tokio::test]
async fn nothing_is_done_that_the_audit_log_does_not_have_first() {
    let (place, frail) = Place::frail().await;
    for (what, method, path, content) in orders(&place).await {
        let content = Some(content).filter(|content| !content.is_null());
        let before = place.mark().await;
        *frail.writes.lock().unwrap() = Writes::OneFailsAfter(0);
        let told = place.ask(&place.first, method, &path, content.clone()).await;
        assert_eq!(told.0, 503, "{what}: {}", told.1);
        // The entry of a purge says itself who ordered it.
        if what != "purge" {
            assert_eq!(place.mark().await, before, "{what}: done without a line");
        }
        // The line is there, and what it speaks of may be.
        *frail.writes.lock().unwrap() = Writes::OneFailsAfter(1);
        let told = place.ask(&place.first, method, &path, content.clone()).await;
        assert_eq!(told.0, 503, "{what}: {}", told.1);
        let newest = place.audit("limit=1").await;
        assert_eq!((whats(&newest), outcomes(&newest)), (vec![what], vec!["unknown"]), "{newest}");
        let told = place.ask(&place.first, method, &path, content).await;
        assert!(told.0.is_success(), "{what}: {}", told.1);
        let newest = place.audit("limit=1").await;
        assert_eq!((whats(&newest), outcomes(&newest)), (vec![what], vec!["done"]), "{newest}");
    }
}

#[tokio::test]
async fn what_was_done_without_an_answer_has_its_line_and_its_end_once_it_is_ordered_again() {
    let (place, frail) = Place::frail().await;
    let order = async || {
        let path = "/v1/purges";
        let content = Some(shop(json!(["all"])));
        send_once(&place, ("POST", path), "a", content).await.0
    };
    // It is done, and who ordered it is told that it is not; so its line says that nobody knows.
    *frail.writes.lock().unwrap() = Writes::OneIsUnsaidAfter(0);
    assert_eq!(order().await, 503);
    let told = place.audit("").await;
    assert_eq!((whats(&told), outcomes(&told)), (vec!["purge"], vec!["unknown"]));
    for _ in 0..2 {
        assert_eq!(order().await, 202);
        let told = place.audit("").await;
        assert_eq!((whats(&told), outcomes(&told)), (vec!["purge"], vec!["done"]));
        assert!(told["entries"][0]["entry"]["on"]["purge"].is_string(), "{told}");
    }
    // What came of it is not written, and it is done nevertheless.
    let robot = place.made(json!({ "actions": ["purge"] })).await;
    let path = format!("/v1/tokens/{}", id(&robot));
    let revoke = async || send_once(&place, ("DELETE", &path), "b", None).await.0;
    *frail.writes.lock().unwrap() = Writes::OneFailsAfter(2);
    assert_eq!(revoke().await, 200);
    for wanted in ["unknown", "done"] {
        let told = place.audit("what=token.revoke").await;
        assert_eq!(outcomes(&told), [wanted]);
        assert_eq!(revoke().await, 200);
    }
}

#[tokio::test]
async fn an_order_that_others_came_before_is_refused_in_the_log_as_well() {
    let (place, frail) = Place::frail().await;
    assert_eq!(place.ask(&place.first, "DELETE", "/v1/tokens/none", None).await.0, 404);
    assert!(whats(&place.audit("").await).is_empty(), "it was refused before it was begun");
    place.ledger.write(&key("nodes/iad"), node(), Expect::Anything).await.unwrap();
    let remove =
        async || send_once(&place, ("DELETE", "/v1/nodes/iad?force=true"), "a", None).await.0;
    *frail.writes.lock().unwrap() = Writes::OneIsOvertakenAfter(1);
    assert_eq!(remove().await, 409);
    let told = place.audit("").await;
    assert_eq!((whats(&told), outcomes(&told)), (vec!["node.remove"], vec!["refused"]));
    let why = told["entries"][0]["entry"]["why"].as_str().unwrap();
    assert!(why.contains("is here"), "{why}");
    // Ordered again it is another attempt.
    assert_eq!(remove().await, 200);
    let told = place.audit("").await;
    assert_eq!((whats(&told), outcomes(&told)), (vec!["node.remove"; 2], vec!["done", "refused"]));
    assert!(told["entries"][0]["entry"]["on"]["state"].is_string(), "{told}");
}

#[tokio::test]
async fn a_revocation_that_breaks_off_has_its_line() {
    let (place, frail) = Place::frail().await;
    let maker = place.made(json!({ "actions": ["purge", "tokens"] })).await;
    for _ in 0..2 {
        let wanted = json!({ "actions": ["purge"] });
        assert_eq!(place.ask(&maker, "POST", "/v1/tokens", Some(wanted)).await.0, 201);
    }
    let path = format!("/v1/tokens/{}", id(&maker));
    // Its line, itself and one of the two.
    *frail.writes.lock().unwrap() = Writes::OneFailsAfter(3);
    assert_eq!(place.ask(&place.first, "DELETE", &path, None).await.0, 503);
    let revoked = |lines: &Value| {
        let lines = lines["entries"].as_array().unwrap().iter();
        let all = lines.map(|told| told["entry"]["on"]["revoked"].as_array().unwrap().len());
        all.collect::<Vec<_>>()
    };
    let lines = place.audit("what=token.revoke").await;
    assert_eq!(
        (revoked(&lines), &lines["entries"][0]["entry"]["on"]["whole"]),
        (vec![2], &json!(false))
    );
    let (status, told) = place.ask(&place.first, "DELETE", &path, None).await;
    assert_eq!((status, told["revoked_with_it"].as_array().unwrap().len()), (StatusCode::OK, 1));
    assert_eq!(revoked(&place.audit("what=token.revoke").await), [1, 2]);
}

#[tokio::test]
async fn orders_over_a_ledger_that_hangs_are_as_many_as_there_may_be() {
    let (place, frail) = Place::frail().await;
    *frail.writes.lock().unwrap() = Writes::Hang;
    let order =
        || Box::pin(place.ask(&place.first, "POST", "/v1/purges", Some(shop(json!(["all"])))));
    // 64 wait, whether or not their callers do; who comes then is told.
    let orders: Vec<_> = (0..64).map(|_| order()).collect();
    let waiting = timeout(Duration::from_millis(200), select_all(orders)).await;
    assert!(waiting.is_err(), "one was answered");
    let (status, _) = timeout(PATIENCE, order()).await.expect("there is no bound");
    assert_eq!(status, 503);
    // Reading is no order.
    assert_eq!(place.ask(&place.first, "GET", "/v1/nodes", None).await.0, 200);
}

#[test]
fn a_disk_that_hangs_under_a_position_holds_up_neither_purges_nor_reports() {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let place = Place::new().await;
            // Nobody reads it, so opening it for writing does not return.
            let fifo = place.folder.path().join("ledger.redb.fra.applied.new");
            assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
            let (_node, _) = place.join("fra").await;
            let (status, _) = place.order("/v1/purges?wait=10s", shop(json!(["all"]))).await;
            tell.send(status).unwrap();
        });
    });
    let status = told.recv_timeout(PATIENCE).expect("the control thread hangs");
    assert_eq!(status, 200);
}
