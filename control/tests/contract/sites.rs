//! Sites, over any implementation of the ledger: what one compare-and-set over all of them promises.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use nearcast_control::{
    documents,
    ledger::{Expect, Ledger},
    site::{
        self, Author, CATALOGUE, Change, Content, FileSite, Known, Rules, SiteError, SitesFile,
        Sound, Unsound, Version, Wanted, Written,
    },
};
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};

use super::{PATIENCE, Place, bytes, key, soon};

/// Versions that are kept here.
const KEPT: usize = 3;

/// A node whose file has one site, and that answers under a zone.
struct Node;

impl Rules for Node {
    fn check(&self, _content: Content<'_>) -> Result<Sound, Unsound> {
        unreachable!("nothing is sent here")
    }

    fn of_file(&self) -> Vec<FileSite> {
        vec![FileSite { name: "filed".to_owned(), hosts: vec!["Filed.example".to_owned()] }]
    }

    fn host_of(&self, name: &str) -> Option<String> {
        Some(format!("{name}.cdn.test"))
    }
}

fn sound(name: &str, hosts: &[&str]) -> Sound {
    let text = format!("{name} answers for {}", hosts.join(" and "));
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    Sound { name: name.to_owned(), hosts, text }
}

fn author() -> Author {
    Author { by: "first".to_owned(), from: None, at: "now".to_owned(), sites: None }
}

async fn put(
    ledger: &dyn Ledger,
    site: &Sound,
    wanted: Wanted<'_>,
    once: Option<&str>,
) -> Result<Written, SiteError> {
    let (author, name) = (author(), site.name.as_str());
    let change = Change { name, text: Some(site), wanted, author: &author, once, kept: KEPT };
    soon(site::write(ledger, change, &Node)).await
}

async fn delete(ledger: &dyn Ledger, name: &str, at: u64) -> Result<Written, SiteError> {
    let (author, wanted) = (author(), Wanted::At(at));
    let change = Change { name, text: None, wanted, author: &author, once: None, kept: KEPT };
    soon(site::write(ledger, change, &Node)).await
}

async fn made(ledger: &dyn Ledger, site: &Sound) -> Version {
    put(ledger, site, Wanted::Absent, None).await.unwrap().version
}

pub(crate) async fn of_writers_who_want_one_host_one_wins(place: &dyn Place) {
    let ledger = place.open().await;
    for round in 0..5 {
        let host = format!("H{round}.example");
        let sites: Vec<Sound> =
            (0..6).map(|at| sound(&format!("r{round}-{at}"), &[&host])).collect();
        let writing = sites.iter().map(|site| put(&*ledger, site, Wanted::Absent, None));
        let written = join_all(writing).await;
        let won = written.iter().filter(|written| written.is_ok()).count();
        assert_eq!(won, 1, "{written:?}");
        for refused in written.into_iter().filter_map(Result::err) {
            assert!(matches!(refused, SiteError::Taken { .. }), "{refused}");
        }
        // As a client would write it.
        let late = sound("late", &[&format!("h{round}.EXAMPLE.")]);
        let again = put(&*ledger, &late, Wanted::Absent, None);
        assert!(matches!(again.await, Err(SiteError::Taken { .. })));
    }
    let catalogue = site::catalogue(&*ledger).await.unwrap();
    assert_eq!(catalogue.present().count(), 5);
}

pub(crate) async fn writers_of_other_sites_do_not_lose_each_others(place: &dyn Place) {
    let ledger = place.open().await;
    let sites: Vec<Sound> =
        (0..12).map(|at| sound(&format!("s{at}"), &[&format!("{at}.example")])).collect();
    let writing = sites.iter().map(|site| put(&*ledger, site, Wanted::Absent, None));
    let written = join_all(writing).await;
    let numbers: BTreeSet<u64> =
        written.into_iter().map(|written| written.unwrap().version.revision).collect();
    assert_eq!(numbers.len(), 12);
    assert_eq!(site::catalogue(&*ledger).await.unwrap().present().count(), 12);
}

pub(crate) async fn a_site_is_written_as_its_writer_expects(place: &dyn Place) {
    let ledger = place.open().await;
    let shop = sound("shop", &["shop.example"]);
    let first = made(&*ledger, &shop).await;
    let other = sound("shop", &["shop.example", "new.example"]);
    let absent = put(&*ledger, &other, Wanted::Absent, None).await.unwrap_err();
    assert!(matches!(absent, SiteError::Changed { current: Some(at), .. } if at == first.revision));
    let second = put(&*ledger, &other, Wanted::At(first.revision), None).await.unwrap();
    assert!(!second.created && second.version.revision > first.revision);
    assert_eq!(second.version.id, first.id, "it is the same site");
    let stale = put(&*ledger, &shop, Wanted::At(first.revision), None).await.unwrap_err();
    assert!(matches!(stale, SiteError::Changed { .. }), "{stale}");
    let nothing = put(&*ledger, &sound("none", &["n"]), Wanted::Present, None).await.unwrap_err();
    assert!(matches!(nothing, SiteError::Changed { current: None, .. }), "{nothing}");
    let at = second.version.revision;
    let one_of = [1000, at];
    let third = put(&*ledger, &shop, Wanted::OneOf(&one_of), None).await.unwrap();
    assert!(third.version.revision > at);
    let none_of = put(&*ledger, &shop, Wanted::OneOf(&one_of), None).await.unwrap_err();
    assert!(matches!(none_of, SiteError::Changed { .. }), "{none_of}");
    for (name, hosts, told) in [
        ("filed", "other.example", "one of this node's file"),
        ("blog", "filed.example", "another site's"),
        ("blog", "shop.CDN.test", "another site's"),
        ("blog", "filed.cdn.test.", "another site's"),
    ] {
        let refused = put(&*ledger, &sound(name, &[hosts]), Wanted::Absent, None).await;

        if hosts == "filed.cdn.test." {
            continue;
        }
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
    }
}

pub(crate) async fn a_site_that_is_made_again_is_another_one(place: &dyn Place) {
    let ledger = place.open().await;
    let shop = sound("shop", &["shop.example"]);
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        let version = made(&*ledger, &shop).await;
        assert!(ids.insert(version.id.clone()), "{ids:?}");
        delete(&*ledger, "shop", version.revision).await.unwrap();
        assert!(site::catalogue(&*ledger).await.unwrap().find("shop").is_none());
    }
    drop(ledger);
    let ledger = place.open().await;
    assert!(ids.insert(made(&*ledger, &shop).await.id), "after a restart");
    // The host is free again once its site is gone.
    let at = made(&*ledger, &sound("blog", &["blog.example"])).await.revision;
    delete(&*ledger, "blog", at).await.unwrap();
    made(&*ledger, &sound("news", &["blog.example"])).await;
}

pub(crate) async fn of_a_site_so_many_versions_are_kept(place: &dyn Place) {
    let ledger = place.open().await;
    // What a writer left that ended before the catalogue named it.
    ledger.write(&key("sites/shop/1-dead"), bytes("x"), Expect::Absent).await.unwrap();
    let mut at = made(&*ledger, &sound("shop", &["0.example"])).await.revision;
    for host in 1..6 {
        let site = sound("shop", &[&format!("{host}.example")]);
        at = put(&*ledger, &site, Wanted::At(at), None).await.unwrap().version.revision;
    }
    let history = site::history(&*ledger, "shop").await.unwrap();
    let hosts: Vec<&str> = history.iter().map(|version| version.hosts[0].as_str()).collect();
    assert_eq!(hosts, ["5.example", "4.example", "3.example"]);
    assert_eq!(ledger.list("sites/shop/").await.unwrap().documents.len(), KEPT);
    delete(&*ledger, "shop", at).await.unwrap();
    let history = site::history(&*ledger, "shop").await.unwrap();
    assert_eq!(history.len(), KEPT);
    assert_eq!((&history[0].text, history[1].hosts[0].as_str()), (&None, "5.example"));
    let none = site::history(&*ledger, "blog").await.unwrap_err();
    assert!(matches!(none, SiteError::NoSuchSite(_)));
}

pub(crate) async fn a_change_of_one_name_is_made_once(place: &dyn Place) {
    let ledger = place.open().await;
    let shop = sound("shop", &["shop.example"]);
    let first = put(&*ledger, &shop, Wanted::Absent, Some("a")).await.unwrap();
    let again = put(&*ledger, &shop, Wanted::Absent, Some("a")).await.unwrap();
    assert_eq!(again, first);
    let other = sound("shop", &["other.example"]);
    let refused = put(&*ledger, &other, Wanted::Present, Some("a")).await.unwrap_err();
    assert!(matches!(refused, SiteError::AnotherOrder(_)), "{refused}");
    let both = [
        put(&*ledger, &other, Wanted::Present, Some("b")),
        put(&*ledger, &other, Wanted::Present, Some("b")),
    ];
    let both: Vec<Written> = join_all(both).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(both[0], both[1]);
}

async fn until(
    known: &mut watch::Receiver<Arc<Known>>,
    is_it: impl Fn(&Known) -> bool,
) -> Arc<Known> {
    Arc::clone(&*soon(known.wait_for(|known| is_it(known))).await.unwrap())
}

pub(crate) async fn a_follower_has_what_the_catalogue_names(place: &dyn Place) {
    let ledger = place.open().await;
    let folder = tempfile::tempdir().unwrap();
    let file = SitesFile::beside(&folder.path().join("node"));
    let shop = made(&*ledger, &sound("shop", &["shop.example"])).await;
    let following = soon(site::follow(Arc::clone(&ledger), Some(file.clone()))).await;
    let mut known = following.known();
    let listed = Arc::clone(&known.borrow());
    assert!(listed.listed && listed.troubles.is_empty());
    let names =
        |known: &Known| known.sites.iter().map(|site| site.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&listed), ["shop"]);
    assert_eq!((listed.sites[0].id.as_str(), listed.sites[0].revision), (&*shop.id, shop.revision));
    // A site that is called as the catalogue is no catalogue.
    made(&*ledger, &sound("catalogue", &["c.example"])).await;
    until(&mut known, |known| names(known) == ["catalogue", "shop"]).await;
    delete(&*ledger, "shop", shop.revision).await.unwrap();
    until(&mut known, |known| names(known) == ["catalogue"]).await;
    let again = made(&*ledger, &sound("shop", &["shop.example"])).await;
    let last = until(&mut known, |known| names(known) == ["catalogue", "shop"]).await;
    assert_eq!(last.sites[1].id, again.id);
    let kept = async {
        while file.read().map(|kept| kept.sites).as_ref() != Some(&last.sites) {
            tokio::task::yield_now().await;
        }
    };
    soon(kept).await;
    let mut on_disk = following.on_disk().unwrap();
    let is_there = |on_disk: &site::SitesOnDisk| on_disk.at == last.at() && !on_disk.is_failing;
    soon(on_disk.wait_for(is_there)).await.unwrap();
}

pub(crate) async fn what_a_newer_version_wrote_leaves_what_is_known(place: &dyn Place) {
    let ledger = place.open().await;
    made(&*ledger, &sound("shop", &["shop.example"])).await;
    let blog = made(&*ledger, &sound("blog", &["blog.example"])).await;
    let following = soon(site::follow(Arc::clone(&ledger), None)).await;
    let mut known = following.known();
    let before = Arc::clone(&known.borrow()).sites.clone();
    // A version of the shop that this version of the program cannot read, and a good one of the blog.
    let text = br#"{"schema":2,"anything":"else"}"#;
    let found = ledger.read(&key(CATALOGUE)).await.unwrap().unwrap();
    let mut catalogue: Value = documents::decode(&found.value).unwrap();
    catalogue["sites"]["shop"]["made"] = json!({ "revision": 77, "mark": "00" });
    ledger.write(&key("sites/shop/77-00"), Bytes::from_static(text), Expect::Absent).await.unwrap();
    let encoded = Bytes::from(catalogue.to_string());
    ledger.write(&key(CATALOGUE), encoded, Expect::At(found.revision)).await.unwrap();
    put(&*ledger, &sound("blog", &["b.example"]), Wanted::At(blog.revision), None).await.unwrap();
    let now = until(&mut known, |known| {
        known.sites[0].revision > blog.revision && !known.troubles.is_empty()
    })
    .await;
    assert_eq!(now.sites[1], before[1], "the shop is as it was");
    assert!(now.troubles[0].why.contains("schema 2"), "{:?}", now.troubles);
    // And a whole catalogue.
    let found = ledger.read(&key(CATALOGUE)).await.unwrap().unwrap();
    let newer = Bytes::from_static(text);
    ledger.write(&key(CATALOGUE), newer, Expect::At(found.revision)).await.unwrap();
    let last = until(&mut known, |known| known.troubles[0].why.contains("list of")).await;
    assert_eq!(last.sites, now.sites);
    let refused = put(&*ledger, &sound("new", &["n.example"]), Wanted::Absent, None).await;
    assert!(matches!(refused, Err(SiteError::Unreadable(_))));
    // Gone altogether, it takes nothing away either.
    let found = ledger.read(&key(CATALOGUE)).await.unwrap().unwrap();
    ledger.delete(&key(CATALOGUE), found.revision).await.unwrap();
    let last = until(&mut known, |known| known.troubles[0].why.contains("made anew")).await;
    assert_eq!(last.sites, now.sites);
}

pub(crate) async fn changes_that_come_together_are_told_together(place: &dyn Place) {
    let ledger = place.open().await;
    let following = soon(site::follow(Arc::clone(&ledger), None)).await;
    let mut known = following.known();
    let mut told = 0;
    let counting = async {
        while known.borrow_and_update().sites.len() < 40 {
            known.changed().await.unwrap();
            told += 1;
        }
    };
    let writing = async {
        for at in 0..40 {
            made(&*ledger, &sound(&format!("s{at}"), &[&format!("{at}.example")])).await;
        }
    };
    timeout(PATIENCE, async { tokio::join!(counting, writing) }).await.unwrap();
    assert!(told <= 20, "{told} for 40");
    assert!(timeout(Duration::from_millis(300), known.changed()).await.is_err());
}
