//! Copies that are put in by callers who mean ill, or over a ledger that fails.

use std::{collections::BTreeSet, convert::Infallible};

use bytes::Bytes;
use futures_util::stream;
use nearcast_control::{
    copy::{self, Copied, Import},
    site::{Author, Content, FileSite, Rules, Sound, Unsound},
};
use tokio::sync::oneshot;

use super::super::*;
use super::hostile::{Writes, id, key, node, outcomes};

const FORCED: &str = "/v1/ledger?force=true";
const EVIL: &str = "nct_evil_aabb";

/// A token of a copy, which somebody else has made and whose secret is known.
fn planted(id: &str, secret: &str, actions: &Value, made_by: &str) -> Value {
    let hash = Secret::parse(secret).unwrap().hash();
    json!({ "id": id, "token": {
        "note": "x", "hash": hash, "actions": actions, "sites": null, "made_by": made_by,
        "made_at": "now", "revoked": null,
    } })
}

async fn export(place: &Place) -> Value {
    let (status, copy) = place.ask(&place.first, "GET", "/v1/ledger", None).await;
    assert_eq!(status, 200, "{copy}");
    copy
}

async fn import(place: &Place, token: &str, copy: &Value) -> (StatusCode, Value) {
    place.ask(token, "PUT", FORCED, Some(copy.clone())).await
}

async fn is_good(place: &Place, token: &str) -> bool {
    place.ask(token, "GET", "/v1/ledger", None).await.0 != 401
}

async fn write(place: &Place, name: &str, host: &str, wanted: (&str, &str)) {
    let request = Request::put(format!("/v1/sites/{name}"))
        .header("authorization", format!("Bearer {}", place.first))
        .header("content-type", "application/toml")
        .header(wanted.0, wanted.1);
    let request = request.body(Body::from(format!("{name} {host}"))).unwrap();
    let (status, told) = read(place.send(request).await).await;
    assert!(status.is_success(), "{told}");
}

const NEW: (&str, &str) = ("if-none-match", "*");
const ANY: (&str, &str) = ("if-match", "*");

#[tokio::test]
async fn who_is_revoked_while_their_copy_comes_puts_nothing_in() {
    let place = Place::new().await;
    let stolen = place.made(json!({ "actions": token::Action::ALL })).await;
    let mut copy = export(&place).await;
    copy["tokens"] = json!([planted("evil", EVIL, &json!(["ledger"]), "first")]);
    let (go, wait) = oneshot::channel::<()>();
    let (asked, asks) = oneshot::channel::<()>();
    let content = stream::once(async move {
        asked.send(()).unwrap();
        wait.await.unwrap();
        Ok::<_, Infallible>(Bytes::from(copy.to_string()))
    });
    let request = Request::put(FORCED)
        .header("authorization", format!("Bearer {stolen}"))
        .header("content-type", "application/json");
    let import = place.send(request.body(Body::from_stream(content)).unwrap());
    let revoke = async {
        asks.await.unwrap();
        let path = format!("/v1/tokens/{}", id(&stolen));
        assert_eq!(place.ask(&place.first, "DELETE", &path, None).await.0, 200);
        let before = place.mark().await;
        go.send(()).unwrap();
        before
    };
    let (answer, before) = tokio::join!(import, revoke);
    let (status, problem) = read(answer).await;
    assert_eq!(status, 403, "{problem}");
    assert_eq!(place.mark().await, before, "it was put in");
    assert!(!is_good(&place, EVIL).await);
}

#[tokio::test]
async fn who_is_revoked_while_their_tokens_are_put_in_leaves_none() {
    let (place, frail) = Place::frail().await;
    let stolen = place.made(json!({ "actions": token::Action::ALL })).await;
    let mut copy = export(&place).await;
    copy["tokens"] = json!([planted("evil", EVIL, &json!(["ledger"]), "first")]);
    // Its line, the catalogue.
    *frail.writes.lock().unwrap() = Writes::OneWaitsAfter(2);
    let revoke = async {
        frail.waits.notified().await;
        let path = format!("/v1/tokens/{}", id(&stolen));
        let (status, ended) = place.ask(&place.first, "DELETE", &path, None).await;
        assert_eq!((status, &ended["revoked_with_it"]), (StatusCode::OK, &json!([])));
        frail.go.notify_one();
    };
    let ((status, problem), ()) = tokio::join!(import(&place, &stolen, &copy), revoke);
    assert_eq!(status, 403, "{problem}");
    assert!(!is_good(&place, EVIL).await);
    let entry = &place.audit("what=ledger.import").await["entries"][0]["entry"];
    assert_eq!((&entry["outcome"], &entry["on"]["taken_back"]), (&json!("done"), &json!(true)));
    assert_eq!(entry["on"]["token_ids"], json!(["evil"]));
}

#[tokio::test]
async fn a_ledger_that_is_away_is_asked_again_whether_who_brings_tokens_still_may() {
    let (place, frail) = Place::frail().await;
    let stolen = place.made(json!({ "actions": token::Action::ALL })).await;
    let mut copy = export(&place).await;
    copy["tokens"] = json!([planted("evil", EVIL, &json!(["ledger"]), "first")]);
    *frail.writes.lock().unwrap() = Writes::OneWaitsAfter(2);
    let revoke = async {
        frail.waits.notified().await;
        let path = format!("/v1/tokens/{}", id(&stolen));
        assert_eq!(place.ask(&place.first, "DELETE", &path, None).await.0, 200);
        frail.reads_failing.store(2, Ordering::SeqCst);
        frail.go.notify_one();
    };
    let ((status, problem), ()) = tokio::join!(import(&place, &stolen, &copy), revoke);
    assert_eq!(frail.reads_failing.load(Ordering::SeqCst), 0, "it was asked");
    assert_eq!(status, 403, "{problem}");
    assert!(!is_good(&place, EVIL).await);
}

#[tokio::test]
async fn who_may_not_go_on_with_an_import_that_broke_off_is_told_what_is_in() {
    let (place, frail) = Place::frail().await;
    let mut copy = export(&place).await;
    copy["tokens"] = json!([planted("evil", EVIL, &json!(["ledger"]), "first")]);
    copy["drains"] = json!([{ "node": "fra", "addresses": [], "by": "first", "at": "x" }]);
    // Its line, the catalogue, the token.
    *frail.writes.lock().unwrap() = Writes::OneFailsAfter(3);
    let path = "/v1/ledger";
    let (status, _) = place.ask(&place.first, "PUT", path, Some(copy.clone())).await;
    assert_eq!(status, 503);
    let actions: Vec<_> =
        token::Action::ALL.into_iter().filter(|it| *it != token::Action::Nodes).collect();
    let other = place.made(json!({ "actions": actions })).await;
    let (status, problem) = place.ask(&other, "PUT", path, Some(copy)).await;
    let detail = problem["detail"].as_str().unwrap();
    assert_eq!(status, 403, "{problem}");
    assert!(detail.starts_with("the copy drains node \"fra\""), "{detail}");
    assert!(detail.contains("its sites are in force and 1 of its tokens are there"), "{detail}");
    assert!(!detail.contains("nothing was put in"), "{detail}");
    assert!(is_good(&place, EVIL).await);
}

#[tokio::test]
async fn what_was_put_in_goes_with_who_put_it_in_whoever_it_says_made_it() {
    let place = Place::new().await;
    let stolen = place.made(json!({ "actions": token::Action::ALL })).await;
    let mut copy = export(&place).await;
    copy["tokens"] = json!([planted("evil", EVIL, &json!(token::Action::ALL), "nobody")]);
    assert_eq!(import(&place, &stolen, &copy).await.0, 200);
    let audit = place.audit("what=ledger.import").await;
    assert_eq!(audit["entries"][0]["entry"]["on"]["token_ids"], json!(["evil"]), "{audit}");
    // What it has made is theirs as well.
    let wanted = Some(json!({ "actions": ["ledger"] }));
    let (_, made) = place.ask(EVIL, "POST", "/v1/tokens", wanted).await;
    // Taken along by others it still is.
    let copy = export(&place).await;
    let path = format!("/v1/tokens/{}", id(&stolen));
    let (status, ended) = place.ask(&place.first, "DELETE", &path, None).await;
    assert_eq!((status, ended["revoked_with_it"].as_array().unwrap().len()), (StatusCode::OK, 2));
    assert!(!is_good(&place, EVIL).await);
    assert!(!is_good(&place, made["token"].as_str().unwrap()).await);
    let evil = copy["tokens"].as_array().unwrap().iter().find(|token| token["id"] == "evil");
    assert_eq!(evil.unwrap()["token"]["put_in_by"], json!([id(&stolen)]));
}

#[tokio::test]
async fn an_import_that_is_refused_has_put_nothing_in() {
    // The catalogue, the token, the drain, that it is at its end.
    for taken in [1, 2, 3, 5] {
        let (place, frail) = Place::frail().await;
        let mut copy = export(&place).await;
        copy["tokens"] = json!([planted("evil", EVIL, &json!(["ledger"]), "first")]);
        copy["drains"] = json!([{ "node": "fra", "addresses": [], "by": "first", "at": "x" }]);
        *frail.writes.lock().unwrap() = Writes::OneIsOvertakenAfter(taken);
        let (status, told) = import(&place, &place.first, &copy).await;
        *frail.writes.lock().unwrap() = Writes::AreTaken;
        let newest = place.audit("what=ledger.import&limit=1").await;
        assert_eq!(status == 409, taken == 1, "{taken}: {told}");
        if status == 200 {
            assert_eq!(outcomes(&newest), ["done"]);
            continue;
        }
        assert_eq!((status, outcomes(&newest)), (StatusCode::CONFLICT, vec!["refused"]), "{told}");
        assert!(!is_good(&place, EVIL).await, "after {taken}");
        assert!(place.ledger.read(&key("drains/fra")).await.unwrap().is_none(), "after {taken}");
    }
}

#[tokio::test]
async fn an_import_that_broke_off_anywhere_is_ended_and_told_as_one() {
    for taken in 1..7 {
        let (place, frail) = Place::frail().await;
        let mut copy = export(&place).await;
        copy["tokens"] = json!([planted("evil", EVIL, &json!(["ledger"]), "first")]);
        copy["drains"] = json!([{ "node": "fra", "addresses": [], "by": "first", "at": "x" }]);
        let order = async || send_once(&place, ("PUT", FORCED), "a", Some(copy.clone())).await;
        *frail.writes.lock().unwrap() = Writes::OneFailsAfter(taken);
        let broken = order().await;
        *frail.writes.lock().unwrap() = Writes::AreTaken;
        let (status, told) = order().await;
        assert_eq!((status, &told["tokens"]), (StatusCode::OK, &json!(1)), "{taken}: {told}");
        assert_eq!((&told["tokens_kept"], &told["drains"]), (&json!(0), &json!(1)), "{taken}");
        assert!(is_good(&place, EVIL).await && broken.0 != 409, "{taken}: {broken:?}");
        assert!(place.ledger.read(&key("drains/fra")).await.unwrap().is_some());
        let entry = &place.audit("what=ledger.import").await["entries"][0]["entry"];
        assert_eq!(
            (&entry["outcome"], &entry["on"]["token_ids"]),
            (&json!("done"), &json!(["evil"]))
        );
        // It is at its end, so what was changed since stays.
        assert_eq!(place.ask(&place.first, "DELETE", "/v1/nodes/fra/drain", None).await.0, 200);
        assert_eq!(order().await, (status, told));
        assert!(place.ledger.read(&key("drains/fra")).await.unwrap().is_none(), "{taken}");
    }
}

#[tokio::test]
async fn a_copy_drains_nothing_for_who_may_not_and_leaves_an_edge() {
    let place = Place::new().await;
    let keeper = place.made(json!({ "actions": ["ledger"] })).await;
    place.ledger.write(&key("nodes/fra"), node(), Expect::Anything).await.unwrap();
    let mut copy = export(&place).await;
    copy["tokens"] = json!([]);
    copy["drains"] =
        json!([{ "node": "fra", "addresses": ["192.0.2.1"], "by": "first", "at": "x" }]);
    let before = place.mark().await;
    let (status, problem) = import(&place, &keeper, &copy).await;
    assert_eq!(status, 403, "{problem}");
    let fresh = Place::new().await;
    fresh.ledger.write(&key("nodes/fra"), node(), Expect::Anything).await.unwrap();
    let unforced = fresh.ask(&fresh.first, "PUT", "/v1/ledger", Some(copy.clone())).await;
    assert_eq!(unforced.0, 409, "{unforced:?}");
    assert!(unforced.1["detail"].as_str().unwrap().contains("last edge"), "{unforced:?}");
    assert_eq!(place.mark().await, before);
    assert_eq!(import(&fresh, &fresh.first, &copy).await.0, 200);
    // What is drained already takes nobody's leave.
    let drained = place.ask(&place.first, "PUT", "/v1/nodes/fra/drain?force=true", None).await;
    assert_eq!(drained.0, 200, "{drained:?}");
    assert_eq!(import(&place, &keeper, &copy).await.0, 200);
}

#[tokio::test]
async fn that_a_token_never_comes_back_only_who_may_do_everything_says() {
    let place = Place::new().await;
    let keeper = place.made(json!({ "actions": ["ledger", "tokens"] })).await;
    let mut copy = export(&place).await;
    copy["tokens"] = json!([]);
    for forgotten in [json!({ "ids": [], "more": true }), json!({ "ids": ["a"], "more": false })] {
        copy["forgotten"] = forgotten;
        let (status, problem) = import(&place, &keeper, &copy).await;
        assert_eq!(status, 403, "{problem}");
    }
    // Nor does anybody put in revoked tokens that they could not have made.
    copy["forgotten"] = json!({ "ids": [], "more": false });
    let mut revoked = planted("evil", EVIL, &json!(["purge"]), "first");
    revoked["token"]["revoked"] = json!({ "by": "first", "at": "x", "keeps_made": false });
    copy["tokens"] = json!([revoked]);
    assert_eq!(import(&place, &keeper, &copy).await.0, 403);
    copy["tokens"] = json!([planted("new", EVIL, &json!(["read"]), "first")]);
    let (status, told) = import(&place, &place.first, &copy).await;
    assert_eq!((status, &told["tokens"]), (StatusCode::OK, &json!(1)), "{told}");
    // What the ledger knows already is nothing new.
    copy["forgotten"] = json!({ "ids": ["a"], "more": true });
    assert_eq!(import(&place, &place.first, &copy).await.0, 200);
    copy["tokens"] = json!([]);
    assert_eq!(import(&place, &keeper, &copy).await.0, 200);
}

#[tokio::test]
async fn imports_keep_as_many_versions_as_writes_do() {
    let (place, source) = (Place::new().await, Place::new().await);
    write(&source, "shop", "h.example", NEW).await;
    for number in 0..3 {
        write(&source, "shop", &format!("h{number}.example"), ANY).await;
    }
    let mut copy = export(&source).await;
    let more = copy["sites"][0]["versions"][3].clone();
    for version in copy["sites"][0]["versions"].as_array_mut().unwrap() {
        version["revision"] = json!(version["revision"].as_u64().unwrap() + 9);
    }
    copy["sites"][0]["versions"].as_array_mut().unwrap().push(more);
    // What an import that broke off has left of a site that is none.
    let left = key("sites/left/1-0123456789abcdef");
    place.ledger.write(&left, Bytes::from("{}"), Expect::Absent).await.unwrap();
    for round in 0..4 {
        assert_eq!(import(&place, &place.first, &copy).await.0, 200);
        let documents = place.ledger.list("sites/shop/").await.unwrap().documents;
        assert_eq!(documents.len(), 4, "round {round}");
        let (_, told) = place.ask(&place.first, "GET", "/v1/sites/shop/history", None).await;
        assert_eq!(told["versions"].as_array().map(Vec::len), Some(4), "round {round}");
        assert!(place.ledger.read(&left).await.unwrap().is_none(), "it is there still");
    }
}

#[tokio::test]
async fn a_ledger_takes_its_own_copies_whatever_was_put_into_it() {
    let place = Place::new().await;
    write(&place, "shop", "h.example", NEW).await;
    for round in 0..60 {
        let mut copy = export(&place).await;
        copy["sites"][0]["versions"].as_array_mut().unwrap().truncate(1);
        let (status, told) = import(&place, &place.first, &copy).await;
        assert_eq!(status, 200, "round {round}: {told}");
    }
    // As large as it may be, also in what is made afterwards.
    let mut copy = export(&place).await;
    copy["sites"][0]["versions"].as_array_mut().unwrap().truncate(1);
    copy["sites"][0]["versions"][0]["revision"] = json!(1_u64 << 48);
    assert_eq!(import(&place, &place.first, &copy).await.0, 200);
    write(&place, "news", "n.example", NEW).await;
    write(&place, "shop", "h.example", ANY).await;
    let copy = export(&place).await;
    let newest = copy["sites"][0]["versions"][0]["revision"].as_u64().unwrap();
    assert!(newest > 1 << 48, "{newest}");
    let fresh = Place::new().await;
    for place in [&place, &fresh] {
        let (status, told) = import(place, &place.first, &copy).await;
        assert_eq!((status, &told["sites"]), (StatusCode::OK, &json!(2)), "{told}");
    }
    let (_, copy) = fresh.ask(&fresh.first, "GET", "/v1/ledger", None).await;
    for site in copy["sites"].as_array().unwrap() {
        let numbers = site["versions"].as_array().unwrap().iter();
        let numbers: Vec<u64> = numbers.map(|it| it["revision"].as_u64().unwrap()).collect();
        assert!(numbers.is_sorted_by(|newer, older| newer > older), "{numbers:?}");
    }
}

#[tokio::test]
async fn an_import_is_repeated_without_another_purge_however_old_its_own_is() {
    let folder = tempfile::tempdir().unwrap();
    let bound = nearcast_control::embedded::Bound { entries: 5, bytes: 1 << 20 };
    let kept = Kept { purges: bound, ..Kept::default() };
    let path = folder.path().join("ledger.redb");
    let ledger: Arc<dyn Ledger> = Arc::new(Embedded::open(&path, kept).unwrap());
    let file = folder.path().join("token");
    token::leave_first(&*ledger, &file, "now").await.unwrap();
    let first = std::fs::read_to_string(file).unwrap().trim().to_owned();
    let roster = Roster::begin(Arc::clone(&ledger), AWAY_AFTER);
    let routes = routes(Arc::clone(&ledger), roster.clone(), 1000);
    let place = Place { ledger, roster, routes, first, folder };
    let copy = export(&place).await;
    let order = async || send_once(&place, ("PUT", FORCED), "a", Some(copy.clone())).await;
    let told = order().await;
    let first = place.ledger.ends(Log::Purges).await.unwrap().last;
    while !place.ledger.ends(Log::Purges).await.unwrap().before_first.has_reached(first) {
        let entry = Bytes::from_static(b"{\"schema\":1}");
        place.ledger.append(Log::Purges, entry, None).await.unwrap();
    }
    let before = place.ledger.ends(Log::Purges).await.unwrap();
    assert_eq!(order().await, told);
    assert_eq!(place.ledger.ends(Log::Purges).await.unwrap(), before, "it purged again");
}

#[tokio::test]
async fn a_copy_brings_nothing_that_a_terminal_obeys() {
    let place = Place::new().await;
    let mut sound = export(&place).await;
    sound["tokens"] = json!([planted("evil", EVIL, &json!(["read"]), "first")]);
    sound["drains"] = json!([{ "node": "fra", "addresses": [], "by": "first", "at": "x" }]);
    let version = json!({
        "id": "00000000000000aa-1", "revision": 1, "text": "shop h.example", "hosts": ["h.example"],
        "by": "first", "from": null, "at": "x",
    });
    sound["sites"] = json!([{ "name": "shop", "versions": [version] }]);
    for path in [
        "/at",
        "/tokens/0/token/note",
        "/tokens/0/token/made_by",
        "/tokens/0/token/made_at",
        "/drains/0/by",
        "/drains/0/at",
        "/sites/0/versions/0/by",
        "/sites/0/versions/0/at",
        "/sites/0/versions/0/hosts/0",
    ] {
        for wrong in ["\u{1b}[2J\nx", &"x".repeat(300)] {
            let mut copy = sound.clone();
            *copy.pointer_mut(path).unwrap() = json!(wrong);
            assert_eq!(import(&place, &place.first, &copy).await.0, 422, "{path}");
        }
    }
    assert_eq!(import(&place, &place.first, &sound).await.0, 200);
}

/// How often hosts of sites were looked at.
#[derive(Default)]
struct Looking(AtomicU32);

impl Rules for Looking {
    fn check(&self, content: Content<'_>) -> Result<Sound, Unsound> {
        let Content::Toml(text) = content else { unreachable!("copies have texts") };
        let (name, host) = text.split_once(' ').unwrap();
        let hosts = vec![host.to_owned()];
        Ok(Sound { name: name.to_owned(), hosts, text: text.to_owned() })
    }

    fn of_file(&self) -> Vec<FileSite> {
        Vec::new()
    }

    fn host_of(&self, _name: &str) -> Option<String> {
        self.0.fetch_add(1, Ordering::SeqCst);
        None
    }
}

#[tokio::test]
async fn a_site_of_a_copy_is_looked_at_once_however_many_there_are() {
    let place = Place::new().await;
    let mut copy = export(&place).await;
    let site = |number: u32| {
        let name = format!("s{number}");
        let version = json!({
            "id": format!("00000000000000aa-{}", number + 1), "revision": number + 1,
            "text": format!("{name} {name}.example"), "hosts": [], "by": "x", "from": null,
            "at": "x",
        });
        json!({ "name": name, "versions": [version] })
    };
    copy["sites"] = (0..200).map(site).collect();
    let copied = Arc::new(Copied::read(copy.to_string().as_bytes()).unwrap());
    let author = Author { by: "x".to_owned(), from: None, at: "x".to_owned(), sites: None };
    let rules = Arc::new(Looking::default());
    let how = Import {
        author: &author,
        token: None,
        force: true,
        once: None,
        kept: 4,
        rules: Arc::clone(&rules) as _,
        gives: &|token| Some(token.clone()),
        may_all: true,
        may_drain: true,
        leaves_an_edge: &|_, _| true,
    };
    let done = copy::import(&*place.ledger, &copied, how).await.unwrap();
    assert_eq!(done.put_in.sites, 200);
    assert!(rules.0.load(Ordering::SeqCst) <= 400, "{:?}", rules.0);
    let names: BTreeSet<_> = copied.sites.iter().map(|site| &site.name).collect();
    assert_eq!(names.len(), 200);
}
