//! Sites that are waited for: whether every edge serves by them.

use nearcast_control::{
    ledger::{Epoch, Position},
    node::{Rival, Role},
    site::{Refused, Served},
};

use super::{
    super::*,
    sites::{NEW, ask, put},
};

impl Place {
    /// A place in the catalogue of this ledger.
    async fn at(&self, seq: u64) -> Position {
        let epoch = self.ledger.ends(Log::Purges).await.unwrap().last.epoch;
        Position { epoch, seq }
    }

    async fn catalogue(&self, query: &str) -> Value {
        let path = format!("/v1/catalogue{query}");
        let (status, told) = self.ask(&self.first, "GET", &path, None).await;
        assert_eq!(status, 200, "{told}");
        told
    }

    /// Its roster watches, so that who writes is here.
    async fn watching(self) -> Self {
        self.write("probe", &NodeDocument::default()).await;
        let mut seen = self.roster.seen();
        seen.wait_for(|seen| seen.node("probe").is_some()).await.unwrap();
        self.gone("probe").await;
        seen.wait_for(|seen| seen.node("probe").is_none()).await.unwrap();
        drop(seen);
        self
    }

    async fn gone(&self, name: &str) {
        let key = node::key_of(name).unwrap();
        let found = self.ledger.read(&key).await.unwrap().unwrap();
        self.ledger.delete(&key, found.revision).await.unwrap();
    }
}

/// An edge that has taken the catalogue up to there, but for these sites.
fn edge(at: Option<Position>, refused: &[Option<&str>]) -> NodeDocument {
    let refused = refused.iter().map(|site| Refused {
        site: site.map(str::to_owned),
        why: "its origin is not allowed".to_owned(),
    });
    let sites = Served { at, refused: refused.collect(), ..Served::default() };
    NodeDocument { roles: vec![Role::Edge], sites: Some(sites), ..NodeDocument::default() }
}

/// Which nodes have applied it, and which have refused a site.
fn nodes(told: &Value) -> Vec<(String, bool, bool)> {
    let all = told["progress"]["nodes"].as_array().unwrap().iter();
    let node = |node: &Value| {
        let refused = node["refused"].is_array() || node["refused_more"].is_u64();
        (node["node"].as_str().unwrap().to_owned(), node["applied"] == true, refused)
    };
    all.map(node).collect()
}

#[tokio::test]
async fn a_site_that_is_waited_for_is_answered_once_every_edge_serves_it() {
    let place = Place::new().await.watching().await;
    let (before, after) = (place.at(0).await, place.at(1).await);
    place.write("fra-1", &edge(Some(before), &[])).await;
    place.write("fra-2", &edge(Some(after), &[])).await;
    // One that answers DNS alone serves no site.
    let dns = NodeDocument { roles: vec![Role::Geodns], ..NodeDocument::default() };
    place.write("ns-1", &dns).await;
    let path = "/v1/sites/shop?wait=20s";
    let serves = async {
        while site_revision(&place).await != 1 {
            tokio::task::yield_now().await;
        }
        place.write("fra-1", &edge(Some(after), &[])).await;
    };
    let begun = Instant::now();
    let ((status, tag, told), ()) =
        tokio::join!(put(&place, path, NEW, "shop shop.example"), serves);
    assert_eq!((status, tag.as_deref()), (201, Some("\"1\"")), "{told}");
    assert!(begun.elapsed() < Duration::from_secs(15), "it ends when that is so");
    assert_eq!(told["progress"]["state"], "complete", "{told}");
    let all = [("fra-1".to_owned(), true, false), ("fra-2".to_owned(), true, false)];
    assert_eq!(nodes(&told), all);
    // Without a wait nobody looks; later anybody may.
    let (_, _, told) = put(&place, "/v1/sites/blog", NEW, "blog blog.example").await;
    assert_eq!((&told["revision"], &told["progress"]), (&json!(2), &Value::Null));
    let told = place.catalogue("").await;
    assert_eq!((&told["revision"], &told["progress"]["state"]), (&json!(2), &json!("partial")));
    assert_eq!(place.catalogue("?revision=1").await["progress"]["state"], "complete");
}

async fn site_revision(place: &Place) -> u64 {
    let catalogue = nearcast_control::site::catalogue(&*place.ledger).await;
    catalogue.unwrap().revision
}

#[tokio::test]
async fn an_edge_that_refuses_a_site_ends_the_wait_for_it_and_says_why() {
    let place = Place::new().await.watching().await;
    let at = place.at(1).await;
    place.write("fra-1", &edge(Some(at), &[])).await;
    place.write("fra-2", &edge(Some(at), &[Some("shop")])).await;
    let begun = Instant::now();
    let (_, _, told) = put(&place, "/v1/sites/shop?wait=20s", NEW, "shop shop.example").await;
    assert!(begun.elapsed() < Duration::from_secs(15), "nothing more is waited for");
    let progress = &told["progress"];
    assert_eq!((&progress["state"], &progress["settled"]), (&json!("partial"), &json!(true)));
    assert_eq!(progress["nodes"][1]["refused"][0]["why"], "its origin is not allowed", "{told}");
    // Whoever asks for another site is not concerned, unless it speaks of all of them.
    let of_blog = "?revision=1&sites=blog";
    assert_eq!(place.catalogue(of_blog).await["progress"]["state"], "complete");
    assert_eq!(place.catalogue("?revision=1").await["progress"]["state"], "partial");
    place.write("fra-1", &edge(Some(at), &[None])).await;
    let told = place.catalogue(of_blog).await;
    assert_eq!(nodes(&told)[0], ("fra-1".to_owned(), false, true), "{told}");
    // Nor does another site's owner learn its name.
    put(&place, "/v1/sites/blog", NEW, "blog blog.example").await;
    let own = place.made(json!({ "actions": ["read"], "sites": ["blog"] })).await;
    let (status, told) = place.ask(&own, "GET", "/v1/catalogue?revision=1", None).await;
    assert_eq!(status, 200, "{told}");
    assert!(!told.to_string().contains("shop"), "{told}");
    assert_eq!(nodes(&told)[1], ("fra-2".to_owned(), true, false), "{told}");
    // Reasons are of other sites as well, and go to who may know of all.
    let why =
        |told: &Value, node: usize| told["progress"]["nodes"][node]["refused"][0]["why"].clone();
    assert!(why(&told, 0).as_str().unwrap().contains("a token for all sites"), "{told}");
    place.write("fra-2", &edge(Some(at), &[Some("blog")])).await;
    let (_, told) = place.ask(&own, "GET", "/v1/catalogue?revision=1", None).await;
    assert_eq!(nodes(&told)[1], ("fra-2".to_owned(), false, true), "{told}");
    assert!(!told.to_string().contains("origin"), "{told}");
    assert_eq!(why(&place.catalogue("?revision=1").await, 1), "its origin is not allowed");
    for (query, status) in [("?sites=shop", 403), ("?wait=x", 400), ("?more=1", 400)] {
        let path = format!("/v1/catalogue{query}");
        assert_eq!(place.ask(&own, "GET", &path, None).await.0, status, "{query}");
    }
    // Whoever puts in a copy waits for it.
    for (sites, status) in [(Value::Null, 200), (json!(["blog"]), 403)] {
        let ledger = place.made(json!({ "actions": ["ledger"], "sites": sites })).await;
        assert_eq!(place.ask(&ledger, "GET", "/v1/catalogue", None).await.0, status);
    }
    let purges = place.made(json!({ "actions": ["purge"] })).await;
    assert_eq!(place.ask(&purges, "GET", "/v1/catalogue", None).await.0, 403);
}

#[tokio::test]
async fn whose_word_does_not_count_is_waited_for_until_it_leaves() {
    let place = Place::new().await.watching().await;
    let at = place.at(1).await;
    let good = edge(Some(at), &[]);
    place.write("fra-1", &good).await;
    put(&place, "/v1/sites/shop", NEW, "shop shop.example").await;
    let rival = Rival { incarnation: "another".to_owned(), ..Rival::default() };
    let other = Position { epoch: Epoch(at.epoch.0 ^ 1), seq: 9 };
    let older = NodeDocument { applied: Some(at), ..NodeDocument::default() };
    for (what, document) in [
        ("of another ledger", edge(Some(other), &[])),
        ("it has none yet", edge(None, &[])),
        ("it has refused it before", edge(Some(Position { seq: 0, ..at }), &[Some("shop")])),
        ("of an older version", older),
        ("of whose name there are two", NodeDocument { rivals: vec![rival], ..good.clone() }),
    ] {
        place.write("fra-2", &document).await;
        let told = place.catalogue("?revision=1&wait=1ms").await;
        assert_eq!(told["progress"]["state"], "partial", "{what}: {told}");
        assert_eq!(told["progress"]["settled"], Value::Null, "{what}: {told}");
        assert_eq!(nodes(&told)[1], ("fra-2".to_owned(), false, false), "{what}");
    }
    let mut unkept = edge(Some(Position { seq: 0, ..at }), &[]);
    unkept.sites.as_mut().unwrap().unkept = true;
    place.write("fra-2", &unkept).await;
    let told = place.catalogue("?revision=1&wait=1ms").await;
    assert_eq!(told["progress"]["nodes"][1]["unkept"], true, "{told}");
    place.write("fra-2", &NodeDocument { sites: None, ..good.clone() }).await;
    let told = place.catalogue("?revision=1&wait=1ms").await;
    assert_eq!(told["progress"]["nodes"][1]["silent"], true, "{told}");
    let key = node::key_of("fra-2").unwrap();
    let newer = r#"{"schema":9}"#.into();
    place.ledger.write(&key, newer, Expect::Anything).await.unwrap();
    let told = place.catalogue("?revision=1&wait=1ms").await;
    assert!(told["progress"]["nodes"][1]["unreadable"].is_string(), "{told}");
    // One that leaves meanwhile serves nothing any more.
    let waits = place.catalogue("?revision=1&wait=20s");
    let (told, ()) = tokio::join!(waits, place.gone("fra-2"));
    assert_eq!(told["progress"]["state"], "complete", "{told}");
}

#[tokio::test]
async fn what_an_edge_said_before_it_was_heard_of_is_waited_for() {
    let place = Place::new().await.watching().await;
    let good = edge(Some(place.at(0).await), &[]);
    place.write("fra-1", &good).await;
    // A node that starts, and has heard of nobody yet.
    let roster = Roster::begin(Arc::clone(&place.ledger), AWAY_AFTER);
    let is_known = |seen: &Seen| seen.node("fra-1").is_some();
    roster.seen().wait_for(is_known).await.unwrap();
    let routes = routes(Arc::clone(&place.ledger), roster.clone(), 1000);
    let place = Place { roster, routes, ..place };
    let told = place.catalogue("?revision=0").await;
    assert_eq!(told["progress"]["nodes"][0]["state"], "unknown", "{told}");
    assert_eq!(told["progress"]["state"], "partial", "{told}");
    assert_eq!(told["progress"]["settled"], Value::Null, "{told}");
    let waits = place.catalogue("?revision=0&wait=20s");
    let (told, ()) = tokio::join!(waits, place.write("fra-1", &good));
    assert_eq!(told["progress"]["state"], "complete", "{told}");
}

#[tokio::test]
async fn sites_that_are_refused_and_not_named_are_none_that_were_written_later() {
    let place = Place::new().await.watching().await;
    for site in ["shop shop.example", "news news.example"] {
        let path = format!("/v1/sites/{}", site.split(' ').next().unwrap());
        put(&place, &path, NEW, site).await;
    }
    let at = place.at(2).await;
    let mut many = edge(Some(at), &[]);
    let said = many.sites.as_mut().unwrap();
    (said.refused_more, said.more_up_to) = (7, Some(1));
    place.write("fra-1", &many).await;
    let all =
        [("?sites=news", true), ("?sites=shop", false), ("?sites=news,shop", false), ("", false)];
    for (query, applied) in all {
        let waits = if applied { "&wait=20s" } else { "" };
        let told = place.catalogue(&format!("{query}{waits}")).await;
        assert_eq!(nodes(&told), [("fra-1".to_owned(), applied, !applied)], "{query} {told}");
    }
    // One of a version that does not say so.
    many.sites.as_mut().unwrap().more_up_to = None;
    place.write("fra-1", &many).await;
    let mut seen = place.roster.seen();
    let is_taken = |seen: &Seen| {
        let document = &seen.node("fra-1").unwrap().document;
        document.as_ref().is_ok_and(|document| *document == many)
    };
    seen.wait_for(is_taken).await.unwrap();
    drop(seen);
    let told = place.catalogue("?sites=news").await;
    assert_eq!(nodes(&told), [("fra-1".to_owned(), false, true)], "{told}");
}

#[tokio::test]
async fn who_deletes_a_site_is_told_which_tokens_name_it() {
    let place = Place::new().await.watching().await;
    let at = place.at(2).await;
    // What it does not serve of others is no matter.
    place.write("fra-1", &edge(Some(at), &[Some("blog")])).await;
    for site in ["shop shop.example", "news news.example"] {
        let path = format!("/v1/sites/{}", site.split(' ').next().unwrap());
        put(&place, &path, NEW, site).await;
    }
    let mut ids = Vec::new();
    for sites in [json!(["shop"]), json!(["news", "shop"]), json!(["news"]), Value::Null] {
        let wanted = json!({ "actions": ["purge"], "sites": sites });
        let (_, made) = place.order("/v1/tokens", wanted).await;
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    let (_, made) =
        place.order("/v1/tokens", json!({ "actions": ["purge"], "sites": ["shop"] })).await;
    let revoked = format!("/v1/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(place.ask(&place.first, "DELETE", &revoked, None).await.0, 200);
    place.write("fra-1", &edge(Some(place.at(3).await), &[Some("blog")])).await;
    let gone = ("DELETE", "/v1/sites/shop?wait=20s");
    let (status, _, told) = ask(&place, &place.first, gone, &[("if-match", "*")], "").await;
    assert_eq!((status, &told["deleted"]), (200, &json!(true)), "{told}");
    ids.truncate(2);
    ids.sort_unstable();
    assert_eq!(told["tokens"], json!(ids), "{told}");
    assert_eq!(told["progress"]["state"], "complete", "{told}");
    assert_eq!(place.catalogue("?revision=3&sites=").await["progress"]["state"], "complete");
}
