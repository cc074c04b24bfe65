//! The routes under callers that mean ill, and over a ledger that fails between two writes.

use std::{future::pending, process::Command, sync::mpsc, thread};

use bytes::Bytes;
use futures_util::future::{join_all, select_all};
use nearcast_control::ledger::{
    Answer, Appended, Change, Document, Ends, Follow, Health, LedgerError, Listing, Position, Watch,
};
use tokio::{sync::watch, time::timeout};

use super::super::*;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What becomes of writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Writes {
    #[default]
    AreTaken,
    /// This many are, the next one is not, and then all are.
    OneFailsAfter(u32),
    /// Each is, and who ordered it is told that it is not.
    AreTakenUnsaid,
    /// Nobody ever hears of them.
    Hang,
}

#[derive(Debug)]
struct Frail {
    ledger: Arc<dyn Ledger>,
    writes: Mutex<Writes>,
}

impl Frail {
    async fn write<T>(&self, write: Answer<'_, T>) -> Result<T, LedgerError> {
        let writes = {
            let mut writes = self.writes.lock().unwrap();
            let now = *writes;
            if let Writes::OneFailsAfter(left) = now {
                let next = left.checked_sub(1).map(Writes::OneFailsAfter);
                *writes = next.unwrap_or_default();
            }
            now
        };
        let failed = || LedgerError::Unavailable("a test says so".to_owned());
        match writes {
            Writes::OneFailsAfter(0) => Err(failed()),
            Writes::AreTaken | Writes::OneFailsAfter(_) => write.await,
            Writes::AreTakenUnsaid => write.await.and_then(|_| Err(failed())),
            Writes::Hang => pending().await,
        }
    }
}

impl Ledger for Frail {
    fn health(&self) -> watch::Receiver<Health> {
        self.ledger.health()
    }

    fn read<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Document>> {
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
    async fn frail() -> (Self, Arc<Frail>) {
        let place = Self::new().await;
        let writes = Mutex::default();
        let frail = Arc::new(Frail { ledger: Arc::clone(&place.ledger), writes });
        let roster = Roster::begin(Arc::clone(&frail) as _, AWAY_AFTER);
        let routes = routes(Arc::clone(&frail) as _, roster, 1000);
        (Self { routes, ..place }, frail)
    }

    async fn audit(&self, query: &str) -> Value {
        let (status, told) =
            self.ask(&self.first, "GET", &format!("/v1/audit?{query}"), None).await;
        assert_eq!(status, 200, "{told}");
        told
    }
}

fn id(token: &str) -> String {
    Secret::parse(token).unwrap().id().to_owned()
}

fn whats(audit: &Value) -> Vec<&str> {
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
    // What a flood should hide.
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
    assert!(all.len() == 14 && all.is_sorted_by(|one, next| *one == next + 1), "{all:?}");
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

#[tokio::test]
async fn what_was_done_without_an_answer_has_its_line_once_it_is_ordered_again() {
    let (place, frail) = Place::frail().await;
    let order = async || {
        let request = Request::post("/v1/purges")
            .header("authorization", format!("Bearer {}", place.first))
            .header("content-type", "application/json")
            .header("idempotency-key", "\"a\"")
            .body(Body::from(shop(json!(["all"])).to_string()));
        read(place.send(request.unwrap()).await).await.0
    };
    *frail.writes.lock().unwrap() = Writes::AreTakenUnsaid;
    assert_eq!(order().await, 503);
    *frail.writes.lock().unwrap() = Writes::AreTaken;
    for _ in 0..2 {
        assert_eq!(order().await, 202);
        assert_eq!(whats(&place.audit("").await), ["purge"]);
    }
    let robot = place.made(json!({ "actions": ["purge"] })).await;
    let path = format!("/v1/tokens/{}", id(&robot));
    *frail.writes.lock().unwrap() = Writes::AreTakenUnsaid;
    assert_eq!(place.ask(&place.first, "DELETE", &path, None).await.0, 503);
    *frail.writes.lock().unwrap() = Writes::AreTaken;
    for _ in 0..2 {
        assert_eq!(place.ask(&place.first, "DELETE", &path, None).await.0, 200);
        assert_eq!(whats(&place.audit("").await), ["token.revoke", "token.make", "purge"]);
    }
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
    // Itself and one of the two.
    *frail.writes.lock().unwrap() = Writes::OneFailsAfter(2);
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
