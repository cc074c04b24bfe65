//! Copies, over any implementation of the ledger: taken out of one, put into another.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use nearcast_control::{
    copy::{self, Copied, CopyError, Import, PutIn},
    drain,
    embedded::{Embedded, Kept},
    ledger::{Expect, Ledger, Log, Position, Revision},
    purge::{self, Act},
    site::{self, Author, Change, Content, FileSite, Rules, Sound, Unsound, Wanted},
    token::{self, Action, Revoked, Secret, TokenDocument},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Place, bytes, key, soon, value};

/// A node that reads `NAME HOST...`, whose file has the site `filed`.
struct Plain;

impl Rules for Plain {
    fn check(&self, content: Content<'_>) -> Result<Sound, Unsound> {
        let Content::Toml(text) = content else { unreachable!("copies have texts") };
        let mut words = text.split_whitespace().map(str::to_owned);
        match (words.next(), words.collect::<Vec<_>>()) {
            (Some(name), hosts) if !hosts.is_empty() => {
                Ok(Sound { name, hosts, text: text.to_owned() })
            }
            _ => Err(Unsound { report: "hosts: missing".to_owned(), problems: json!([]) }),
        }
    }

    fn of_file(&self) -> Vec<FileSite> {
        vec![FileSite { name: "filed".to_owned(), hosts: vec!["filed.example".to_owned()] }]
    }

    fn host_of(&self, _name: &str) -> Option<String> {
        None
    }
}

fn author() -> Author {
    Author { by: "first".to_owned(), from: None, at: "now".to_owned(), sites: None }
}

async fn site(ledger: &dyn Ledger, name: &str, text: Option<&str>, wanted: Wanted<'_>) -> u64 {
    let (author, sound) = (author(), text.map(|text| Plain.check(Content::Toml(text)).unwrap()));
    let text = sound.as_ref();
    let change = Change { name, text, wanted, author: &author, once: None, kept: 9 };
    soon(site::write(ledger, change, &Plain)).await.unwrap().version.revision
}

async fn made(ledger: &dyn Ledger, action: Action) -> Secret {
    let document = |hash| TokenDocument {
        note: String::new(),
        hash,
        actions: vec![action],
        sites: None,
        made_by: "first".to_owned(),
        put_in_by: Vec::new(),
        made_at: "now".to_owned(),
        revoked: None,
    };
    let once = token::random_name().unwrap();
    token::make_once(ledger, &once, document).await.unwrap().0
}

async fn export(ledger: &dyn Ledger) -> Copied {
    let copied = soon(copy::export(ledger, "now".to_owned(), usize::MAX)).await.unwrap();
    // Through its text, as it travels.
    let text = serde_json::to_vec(&copied).unwrap();
    let read = Copied::read(&text).unwrap();
    assert_eq!(read, copied);
    read
}

async fn import(ledger: &dyn Ledger, copied: &Copied, force: bool) -> Result<PutIn, CopyError> {
    import_as(ledger, copied, force, true).await
}

/// As one does who may do everything.
fn how<'i>(
    author: &'i Author,
    (force, once): (bool, Option<&'i str>),
    rules: Arc<Plain>,
    gives: &'i (dyn Fn(&TokenDocument) -> Option<TokenDocument> + Sync),
) -> Import<'i> {
    Import {
        author,
        token: None,
        force,
        once,
        kept: 9,
        rules,
        gives,
        may_all: true,
        may_drain: true,
        leaves_an_edge: &|_, _| true,
    }
}

async fn import_as(
    ledger: &dyn Ledger,
    copied: &Copied,
    force: bool,
    may_give: bool,
) -> Result<PutIn, CopyError> {
    let (author, rules) = (author(), Arc::new(Plain));
    let gives = |token: &TokenDocument| may_give.then(|| token.clone());
    let how = how(&author, (force, None), rules, &gives);
    Ok(soon(copy::import(ledger, &Arc::new(copied.clone()), how)).await?.put_in)
}

async fn import_once(ledger: &dyn Ledger, copied: &Copied, once: &str) -> Result<PutIn, CopyError> {
    let (author, rules, gives) =
        (author(), Arc::new(Plain), |token: &TokenDocument| Some(token.clone()));
    let how = how(&author, (true, Some(once)), rules, &gives);
    Ok(soon(copy::import(ledger, &Arc::new(copied.clone()), how)).await?.put_in)
}

async fn revoke(ledger: &dyn Ledger, id: &str) {
    let revoked = Revoked { by: "first".to_owned(), at: "now".to_owned(), keeps_made: false };
    let revocation = token::revoke(ledger, id, revoked).await.unwrap();
    assert!(revocation.broken_off.is_none(), "{revocation:?}");
}

/// A ledger of its own.
fn embedded() -> (TempDir, Embedded) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Embedded::open(&folder.path().join("ledger.redb"), Kept::default()).unwrap();
    (folder, ledger)
}

async fn last(ledger: &dyn Ledger) -> Position {
    ledger.ends(Log::Purges).await.unwrap().last
}

/// The texts of a site, newest first.
async fn texts(ledger: &dyn Ledger, name: &str) -> Vec<Option<String>> {
    let history = site::history(ledger, name).await.unwrap();
    history.into_iter().map(|version| version.text).collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub(crate) async fn a_copy_has_what_is_there_and_goes_where_nothing_is(place: &dyn Place) {
    let ledger = place.open().await;
    let folder = tempfile::tempdir().unwrap();
    token::leave_first(&*ledger, &folder.path().join("token"), "now").await.unwrap();
    let at = site(&*ledger, "shop", Some("shop a.example"), Wanted::Absent).await;
    site(&*ledger, "shop", Some("shop b.example"), Wanted::At(at)).await;
    let at = site(&*ledger, "gone", Some("gone g.example"), Wanted::Absent).await;
    site(&*ledger, "gone", None, Wanted::At(at)).await;
    let secret = made(&*ledger, Action::Purge).await;
    ledger.write(&key("nodes/fra"), bytes("{}"), Expect::Absent).await.unwrap();
    ledger.write(&key("tokens/odd"), bytes("{}"), Expect::Absent).await.unwrap();
    let entry = bytes("an entry");
    let purged = ledger.append(Log::Purges, entry, None).await.unwrap().position;
    let copied = export(&*ledger).await;
    assert_eq!(copied.last, purged);
    assert_eq!(copied.left_out.len(), 1, "{:?}", copied.left_out);
    assert!(copied.left_out[0].starts_with("tokens/odd: "), "{:?}", copied.left_out);
    let ids: Vec<&str> = copied.tokens.iter().map(|token| token.id.as_str()).collect();
    assert_eq!(ids, [secret.id()], "neither the first one nor what cannot be read");
    let newest = copy::export(&*ledger, String::new(), 1).await.unwrap();
    assert!(newest.sites.iter().all(|site| site.versions.len() == 1));

    let (_folder, other) = embedded();
    token::leave_first(&other, &folder.path().join("other"), "now").await.unwrap();
    let put_in = import(&other, &copied, false).await.unwrap();
    assert_eq!((put_in.sites, put_in.tokens, put_in.tokens_kept), (1, 1, 0));
    assert_eq!(texts(&other, "shop").await, [some("shop b.example"), some("shop a.example")]);
    assert_eq!(texts(&other, "gone").await, [None, some("gone g.example")]);
    assert_eq!(token::whose(&other, &secret).await.unwrap().0, secret.id());
    assert_eq!(other.list("nodes/").await.unwrap().documents, []);
    let again = export(&other).await;
    assert_eq!((again.sites, again.tokens), (copied.sites.clone(), copied.tokens.clone()));
    // All that was stored is purged, by an entry of this ledger's own log.
    assert_eq!(put_in.purge, last(&other).await);
    let entry = other.entry(Log::Purges, put_in.purge).await.unwrap().unwrap();
    assert!(matches!(purge::act(&entry), Act::Ordered { .. }));
    // Who was not told of it does it again, and it is the same.
    let before = other.list("").await.unwrap().revision;
    let same = import(&other, &copied, false).await.unwrap();
    assert_eq!((same.purge, last(&other).await), (put_in.purge, put_in.purge));
    assert_eq!(other.list("").await.unwrap().revision, before);
    site(&other, "more", Some("more m.example"), Wanted::Absent).await;
    let refused = import(&other, &copied, false).await.unwrap_err();
    assert!(matches!(refused, CopyError::Occupied("sites")), "{refused}");
}

pub(crate) async fn a_copy_that_is_forced_in_takes_nothing_from_history(place: &dyn Place) {
    let ledger = place.open().await;
    site(&*ledger, "shop", Some("shop a.example"), Wanted::Absent).await;
    let (lost, kept) = (made(&*ledger, Action::Purge).await, made(&*ledger, Action::Read).await);
    let copied = export(&*ledger).await;
    let at = site(&*ledger, "shop", Some("shop b.example"), Wanted::Present).await;
    // Its host is free again once the shop is as it was.
    site(&*ledger, "news", Some("news n.example a.example"), Wanted::Absent).await;
    revoke(&*ledger, lost.id()).await;
    let (before, purges) = (ledger.list("").await.unwrap().revision, last(&*ledger).await);
    let refused = import(&*ledger, &copied, false).await.unwrap_err();
    assert!(matches!(refused, CopyError::Occupied("sites")), "{refused}");
    assert_eq!(ledger.list("").await.unwrap().revision, before);

    let put_in = import(&*ledger, &copied, true).await.unwrap();
    assert_eq!((put_in.sites, put_in.tokens, put_in.tokens_kept), (1, 0, 2));
    assert_eq!(put_in.purge, last(&*ledger).await);
    assert!(put_in.purge.seq > purges.seq);
    let history = site::history(&*ledger, "shop").await.unwrap();
    let told: Vec<Option<String>> = history.iter().map(|it| it.text.clone()).collect();
    let (a, b) = (some("shop a.example"), some("shop b.example"));
    assert_eq!(told, [a.clone(), b, a]);
    let numbers: BTreeSet<u64> = history.iter().map(|version| version.revision).collect();
    assert_eq!(numbers.len(), 3, "no number says two things: {history:?}");
    assert!(history[0].revision > at, "{history:?}");
    assert_eq!(texts(&*ledger, "news").await, [None, some("news n.example a.example")]);
    assert!(site::catalogue(&*ledger).await.unwrap().find("news").is_none());
    // What was revoked is not good again.
    assert!(token::whose(&*ledger, &lost).await.is_err());
    assert_eq!(token::whose(&*ledger, &kept).await.unwrap().0, kept.id());
    // And sites are written on.
    let next = site(&*ledger, "shop", Some("shop c.example"), Wanted::Present).await;
    assert!(next > history[0].revision);
}

type Wrong = (&'static str, fn(&mut Value));

/// What is said, and what is wrong with a copy then.
fn wrong() -> Vec<Wrong> {
    vec![
        ("format 2", |copy| copy["format"] = json!(2)),
        ("no copy", |copy| copy["format"] = json!(0)),
        ("no copy", |copy| *copy = json!({ "format": "1" })),
        ("unknown field", |copy| copy["more"] = json!(1)),
        ("missing field", |copy| drop(copy.as_object_mut().unwrap().remove("last"))),
        ("no name of a site", |copy| copy["sites"][0]["name"] = json!("../shop")),
        ("no version", |copy| copy["sites"][0]["versions"] = json!([])),
        ("not in order", |copy| copy["sites"][0]["versions"][0]["revision"] = json!(1)),
        ("too large", |copy| copy["sites"][0]["versions"][0]["revision"] = json!(u64::MAX)),
        ("id that is none", |copy| copy["sites"][0]["versions"][1]["id"] = json!("x")),
        ("is one of site", |copy| {
            let id = copy["sites"][0]["versions"][0]["id"].clone();
            copy["sites"][1]["versions"][0]["id"] = id;
        }),
        ("there twice", |copy| copy["sites"][1] = copy["sites"][0].clone()),
        ("hosts: missing", |copy| copy["sites"][0]["versions"][0]["text"] = json!("shop")),
        ("one of site", |copy| copy["sites"][0]["versions"][0]["text"] = json!("news n")),
        ("another site's", |copy| {
            copy["sites"][1]["versions"][0]["text"] = json!("blog b.example");
        }),
        ("this node's file", |copy| {
            copy["sites"][1]["name"] = json!("filed");
            copy["sites"][1]["versions"][0]["text"] = json!("filed f.example");
        }),
        ("no id", |copy| copy["tokens"][0]["id"] = json!("a/b")),
        ("no id", |copy| copy["tokens"][0]["id"] = json!("a".repeat(33))),
        ("forgotten", |copy| copy["forgotten"] = json!({ "ids": ["a/b"], "more": false })),
        ("none, or too large", |copy| copy["sites"][1]["versions"][0]["revision"] = json!(0)),
        ("id that is none", |copy| {
            copy["sites"][1]["versions"][0]["id"] = json!("00000000000000AA-2");
        }),
        ("id that is none", |copy| {
            copy["sites"][1]["versions"][0]["id"] = json!("00000000000000aa-0");
        }),
        ("hash", |copy| copy["tokens"][0]["token"]["hash"] = json!("")),
        ("a document of", |copy| {
            copy["tokens"][0]["token"]["sites"] = json!(["x".repeat(600_000)]);
        }),
        ("unknown variant", |copy| copy["tokens"][0]["token"]["actions"] = json!(["all"])),
        ("there twice", |copy| {
            let token = copy["tokens"][0].clone();
            copy["tokens"].as_array_mut().unwrap().push(token);
        }),
    ]
}

pub(crate) async fn a_copy_that_is_wrong_anywhere_is_refused_whole(place: &dyn Place) {
    let ledger = place.open().await;
    let copy = sound_copy();
    let mark = async || -> (Revision, Position) {
        (ledger.list("").await.unwrap().revision, last(&*ledger).await)
    };
    let before = mark().await;
    for (told, change) in wrong() {
        let mut changed = copy.clone();
        change(&mut changed);
        let refused = match Copied::read(changed.to_string().as_bytes()) {
            Ok(read) => import(&*ledger, &read, false).await.err(),
            Err(refused) => Some(refused),
        };
        let refused = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(
            refused.contains(told) && refused.contains("nothing was put in"),
            "{told}: {refused}"
        );
    }
    let sound = Copied::read(copy.to_string().as_bytes()).unwrap();
    let refused = import_as(&*ledger, &sound, false, false).await.unwrap_err();
    assert!(matches!(refused, CopyError::Forbidden(_)), "{refused}");
    assert_eq!(mark().await, before);
    let put_in = import(&*ledger, &sound, false).await.unwrap();
    assert_eq!((put_in.sites, put_in.tokens), (2, 1));
    // Beside tokens of its own it has none of its sites taken away, and is not put in either.
    let (_folder, other) = embedded();
    made(&other, Action::Read).await;
    let refused = import(&other, &sound, false).await.unwrap_err();
    assert!(matches!(refused, CopyError::Occupied("tokens")), "{refused}");
}

pub(crate) async fn a_token_that_was_revoked_is_never_good_again(place: &dyn Place) {
    let ledger = place.open().await;
    let (lost, kept) = (made(&*ledger, Action::Purge).await, made(&*ledger, Action::Read).await);
    let copied = export(&*ledger).await;
    revoke(&*ledger, lost.id()).await;
    // Until its document is forgotten.
    for _ in 0..token::REVOKED_MAX {
        let other = made(&*ledger, Action::Read).await;
        revoke(&*ledger, other.id()).await;
    }
    assert_eq!(value(&*ledger, &format!("tokens/{}", lost.id())).await, None);
    let put_in = import(&*ledger, &copied, true).await.unwrap();
    assert_eq!((put_in.tokens, put_in.tokens_kept, put_in.tokens_revoked), (0, 1, 1));
    assert!(token::whose(&*ledger, &lost).await.is_err(), "it is good again");
    token::whose(&*ledger, &kept).await.unwrap();
    // Nor in a ledger that was made of a later copy.
    let (_folder, other) = embedded();
    let later = export(&*ledger).await;
    assert_eq!(later.forgotten.ids, [lost.id()]);
    import(&other, &later, false).await.unwrap();
    let put_in = import(&other, &copied, true).await.unwrap();
    assert_eq!((put_in.tokens, put_in.tokens_revoked), (0, 1));
    assert!(token::whose(&other, &lost).await.is_err(), "it is good again");
}

pub(crate) async fn an_import_of_one_name_is_made_once(place: &dyn Place) {
    let ledger = place.open().await;
    site(&*ledger, "shop", Some("shop a.example"), Wanted::Absent).await;
    let copied = export(&*ledger).await;
    let before = import_once(&*ledger, &copied, "a").await.unwrap();
    let mark = async || (ledger.list("").await.unwrap().revision, last(&*ledger).await);
    let after = mark().await;
    assert_eq!(import_once(&*ledger, &copied, "a").await.unwrap(), before);
    assert_eq!(mark().await, after, "it was put in again");
    let at = site(&*ledger, "shop", Some("shop b.example"), Wanted::Present).await;
    import_once(&*ledger, &copied, "b").await.unwrap();
    site(&*ledger, "shop", Some("shop c.example"), Wanted::Present).await;
    // Also after others, and after what was written since.
    let after = mark().await;
    assert_eq!(import_once(&*ledger, &copied, "a").await.unwrap(), before);
    let other = export(&*ledger).await;
    let refused = import_once(&*ledger, &other, "a").await.unwrap_err();
    assert!(matches!(refused, CopyError::AnotherOrder), "{refused}");
    assert_eq!(mark().await, after);
    let history = site::history(&*ledger, "shop").await.unwrap();
    assert!(history.iter().any(|version| version.revision == at), "{history:?}");
    // Another one begins another time.
    let ids = |catalogue: site::Catalogue| catalogue.imports.into_iter().map(|import| import.id);
    let ids: BTreeSet<String> = ids(site::catalogue(&*ledger).await.unwrap()).collect();
    assert_eq!(ids.len(), 2);
}

pub(crate) async fn an_import_keeps_the_bounds_of_what_it_meets(place: &dyn Place) {
    let ledger = place.open().await;
    site(&*ledger, "left", Some("left l.example"), Wanted::Absent).await;
    site(&*ledger, "first", Some("first f.example"), Wanted::Absent).await;
    let mut copied = Copied::read(sound_copy().to_string().as_bytes()).unwrap();
    let gone = |number: u64| {
        let id = format!("00000000000000aa-{}", 100 + number);
        let version = json!({
            "id": id, "revision": 100 + number, "text": null, "hosts": [], "by": "first",
            "from": null, "at": "then",
        });
        json!({ "name": format!("gone-{number}"), "versions": [version] })
    };
    let all = u64::try_from(site::GONE_MAX).unwrap();
    copied.sites.extend((0..all).map(|number| serde_json::from_value(gone(number)).unwrap()));
    // What the copy could not read of the ledger that it is of is not what was deleted there.
    copied.left_out = vec!["sites/left/1-0123456789abcdef: it is broken".to_owned()];
    import(&*ledger, &copied, true).await.unwrap();
    let catalogue = site::catalogue(&*ledger).await.unwrap();
    assert!(catalogue.find("left").is_some() && catalogue.find("first").is_none());
    let deleted = catalogue.sites.values().filter(|listed| listed.deleted).count();
    assert_eq!(deleted, site::GONE_MAX, "the oldest gives way");
    assert!(!catalogue.sites.contains_key("gone-0") && catalogue.sites.contains_key("first"));
    assert!(ledger.list("sites/gone-0/").await.unwrap().documents.is_empty());
    // A site that is made now has an id that none of the copy's has.
    let epoch = last(&*ledger).await.epoch;
    copied.sites[0].versions[0].id = format!("{epoch}-{}", catalogue.revision + 2_000);
    copied.left_out = Vec::new();
    import(&*ledger, &copied, true).await.unwrap();
    let revision = site::catalogue(&*ledger).await.unwrap().revision;
    assert!(revision >= catalogue.revision + 2_000, "{revision}");
    // Nor has a site of the copy one of another site here.
    let news = site(&*ledger, "news", Some("news n.example"), Wanted::Absent).await;
    copied.sites[0].versions[0].id = format!("{epoch}-{news}");
    let refused = import(&*ledger, &copied, true).await.unwrap_err().to_string();
    assert!(refused.contains("is one of site \"news\""), "{refused}");
}

pub(crate) async fn an_import_purges_once_what_it_brings_is_in_force(place: &dyn Place) {
    let ledger = place.open().await;
    let following = soon(site::follow(Arc::clone(&ledger), None)).await;
    let mut known = following.known();
    assert_eq!(known.borrow().import, None);
    let copied = Copied::read(sound_copy().to_string().as_bytes()).unwrap();
    let mut before = None;
    for _ in 0..2 {
        let mut purges = ledger.follow(Log::Purges, last(&*ledger).await).await.unwrap();
        let purged = async {
            soon(purges.next()).await.unwrap();
            site::catalogue(&*ledger).await.unwrap().imports.last().map(|last| last.id.clone())
        };
        let (put_in, at_purge) = tokio::join!(import(&*ledger, &copied, true), purged);
        put_in.unwrap();
        assert!(at_purge.is_some() && at_purge != before, "what it brings was not in force yet");
        // Who takes the sites up only after the purge is told by this.
        let told = soon(known.wait_for(|known| known.import == at_purge)).await;
        assert_eq!(told.unwrap().sites.len(), 2);
        before = at_purge;
    }
}

pub(crate) async fn a_copy_takes_drains_along_and_takes_none_back(place: &dyn Place) {
    let ledger = place.open().await;
    let said = json!({ "schema": 1, "addresses": ["192.0.2.1"], "by": "first", "at": "then" });
    let drained = async |ledger: &dyn Ledger, node: &str, said: &str| {
        ledger.write(&key(&format!("drains/{node}")), bytes(said), Expect::Absent).await.unwrap();
    };
    drained(&*ledger, "fra-1", &said.to_string()).await;
    // A newer version's is one as well.
    drained(&*ledger, "fra-2", "{\"schema\":9}").await;
    let copied = export(&*ledger).await;
    let (_folder, other) = embedded();
    drained(&other, "fra-2", "{\"schema\":1,\"by\":\"other\"}").await;
    drained(&other, "iad-1", "{\"schema\":1}").await;
    assert_eq!(import(&other, &copied, false).await.unwrap().drains, 1);
    let drains = drain::list(&other).await.unwrap().by_node;
    assert_eq!(drains.keys().collect::<Vec<_>>(), ["fra-1", "fra-2", "iad-1"]);
    assert_eq!(drains["fra-1"].document.addresses, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    assert_eq!((&*drains["fra-1"].document.by, &*drains["fra-2"].document.by), ("first", "other"));
    let mut broken = copied.clone();
    broken.drains[0].node = "a/b".to_owned();
    let refused = import(&other, &broken, true).await.unwrap_err();
    assert!(refused.to_string().contains("no name of a node"), "{refused}");
}

/// A copy as a file has it.
fn sound_copy() -> Value {
    let version = |id: &str, revision: u64, text: &str| {
        json!({
            "id": id, "revision": revision, "text": text, "hosts": ["x"], "by": "first",
            "from": null, "at": "then",
        })
    };
    let token = json!({
        "note": "", "hash": "0".repeat(64), "actions": ["purge"], "sites": null,
        "made_by": "first", "made_at": "then", "revoked": null,
    });
    json!({
        "format": 1, "at": "then", "version": "0", "last": "00000000000000aa-7", "revision": 9,
        "sites": [
            { "name": "shop", "versions": [
                version("00000000000000aa-1", 3, "shop b.example"),
                version("00000000000000aa-1", 1, "shop a.example"),
            ] },
            { "name": "blog", "versions": [version("00000000000000aa-2", 2, "blog c.example")] },
        ],
        "tokens": [{ "id": "5f3a", "token": token }],
    })
}
