//! The routes of sites, as their callers meet them.

use nearcast_control::site::{
    self, Author, Change, Content, FileSite, Rules, Sound, Unsound, Wanted,
};

use super::super::*;

/// A node that reads `NAME HOST...`, whose file has the site `filed`.
pub(crate) struct Plain;

impl Rules for Plain {
    fn check(&self, content: Content<'_>) -> Result<Sound, Unsound> {
        let text = match content {
            Content::Toml(text) => text.to_owned(),
            Content::Json(value) => {
                let hosts = value["hosts"].as_array().into_iter().flatten();
                let hosts: Vec<&str> = hosts.filter_map(Value::as_str).collect();
                let name = value["name"].as_str().unwrap_or_default();
                format!("{name} {}", hosts.join(" "))
            }
        };
        let mut words = text.split_whitespace().map(str::to_owned);
        match (words.next(), words.collect::<Vec<_>>()) {
            (Some(name), hosts) if !hosts.is_empty() => Ok(Sound { name, hosts, text }),
            _ => Err(Unsound {
                report: "site:1:1 hosts: missing".to_owned(),
                problems: json!([{ "line": 1, "key": "hosts", "fault": "missing" }]),
            }),
        }
    }

    fn of_file(&self) -> Vec<FileSite> {
        vec![FileSite { name: "filed".to_owned(), hosts: vec!["filed.example".to_owned()] }]
    }

    fn host_of(&self, name: &str) -> Option<String> {
        Some(format!("{name}.cdn.test"))
    }
}

/// What was answered: the status, the ETag, what was said.
pub(super) type Answer = (u16, Option<String>, Value);

pub(super) async fn ask(
    place: &Place,
    token: &str,
    (method, path): (&str, &str),
    fields: &[(&str, &str)],
    content: &'static str,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("authorization", format!("Bearer {token}"));
    if !content.is_empty() {
        let kind = if content.starts_with('{') { "application/json" } else { "application/toml" };
        request = request.header("content-type", kind);
    }
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let response = place.send(request.body(Body::from(content)).unwrap()).await;
    let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
    let (status, said) = read(response).await;
    (status.as_u16(), tag, said)
}

pub(super) async fn put(
    place: &Place,
    path: &str,
    condition: (&str, &str),
    content: &'static str,
) -> Answer {
    ask(place, &place.first, ("PUT", path), &[condition], content).await
}

pub(super) const NEW: (&str, &str) = ("if-none-match", "*");

#[tokio::test]
async fn a_site_is_made_read_replaced_and_deleted() {
    let place = Place::new().await;
    let (status, tag, made) = put(&place, "/v1/sites/shop", NEW, "shop shop.example").await;
    assert_eq!((status, tag.as_deref()), (201, Some("\"1\"")), "{made}");
    assert_eq!((&made["revision"], &made["from"]), (&json!(1), &json!("ledger")));
    let get = ("GET", "/v1/sites/shop");
    let (status, tag, read) = ask(&place, &place.first, get, &[], "").await;
    assert_eq!((status, tag.as_deref()), (200, Some("\"1\"")));
    assert_eq!((&read["toml"], &read["by"]), (&json!("shop shop.example"), &json!("first")));

    let json = r#"{ "name": "shop", "hosts": ["shop.example", "b.example"] }"#;
    let (status, tag, _) = put(&place, "/v1/sites/shop", ("if-match", "\"1\""), json).await;
    assert_eq!((status, tag.as_deref()), (200, Some("\"2\"")));
    let (status, _, refused) = put(&place, "/v1/sites/shop", ("if-match", "\"1\""), json).await;
    assert_eq!((status, &refused["revision"]), (412, &json!(2)), "{refused}");
    let list = ask(&place, &place.first, ("GET", "/v1/sites"), &[], "").await.2;
    let rows = json!([
        { "name": "filed", "from": "file", "revision": null, "hosts": ["filed.example"] },
        { "name": "shop", "from": "ledger", "revision": 2, "hosts": ["shop.example", "b.example"] },
    ]);
    assert_eq!(list["sites"], rows);
    let old = ask(&place, &place.first, ("GET", "/v1/sites/shop?revision=1"), &[], "").await.2;
    assert_eq!(old["toml"], "shop shop.example");

    let gone = ("DELETE", "/v1/sites/shop");
    for (fields, wanted) in [(&[][..], 428), (&[("if-match", "\"1\"")], 412), (&[NEW], 400)] {
        assert_eq!(ask(&place, &place.first, gone, fields, "").await.0, wanted, "{fields:?}");
    }
    let (status, _, deleted) = ask(&place, &place.first, gone, &[("if-match", "\"2\"")], "").await;
    assert_eq!((status, &deleted["deleted"]), (200, &json!(true)));
    assert_eq!(ask(&place, &place.first, get, &[], "").await.0, 404);
    assert_eq!(ask(&place, &place.first, gone, &[("if-match", "*")], "").await.0, 404);
    let history = ask(&place, &place.first, ("GET", "/v1/sites/shop/history"), &[], "").await.2;
    let revisions: Vec<&Value> =
        history["versions"].as_array().unwrap().iter().map(|past| &past["revision"]).collect();
    assert_eq!(revisions, [3, 2, 1]);
    let (_, audit) = place.ask(&place.first, "GET", "/v1/audit", None).await;
    let whats: Vec<&Value> =
        audit["entries"].as_array().unwrap().iter().map(|entry| &entry["entry"]["what"]).collect();
    assert_eq!(whats, ["site.delete", "site.write", "site.write"]);
    assert_eq!(audit["entries"][2]["entry"]["on"]["site"], "shop");
}

#[tokio::test]
async fn what_is_wrong_with_a_site_writes_nothing() {
    let place = Place::new().await;
    assert_eq!(put(&place, "/v1/sites/shop", NEW, "shop shop.example").await.0, 201);
    let before = place.mark().await;
    for (path, condition, content, wanted, told) in [
        ("/v1/sites/new", NEW, "new", 422, "hosts: missing"),
        ("/v1/sites/new", NEW, "other o.example", 400, "which the path names"),
        ("/v1/sites/new", ("if-match", "17"), "new n.example", 400, "if-match"),
        ("/v1/sites/shop", ("if-match", "W/\"1\", \"01\""), "shop s.example", 412, "at revision 1"),
        ("/v1/sites/shop?dry_run=true", ("if-match", "\"7\""), "shop s.example", 412, "revision 1"),
        ("/v1/sites/shop?dry_run=true", NEW, "shop s.example", 412, "at revision 1"),
        ("/v1/sites/new", ("x-nothing", "1"), "new n.example", 428, "If-None-Match"),
        ("/v1/sites/new", ("if-match", "*"), "new n.example", 412, "absent"),
        ("/v1/sites/new", NEW, "new Shop.example.", 409, "\"shop\"'s"),
        ("/v1/sites/new", NEW, "new filed.example", 409, "\"filed\"'s"),
        ("/v1/sites/filed", NEW, "filed f.example", 409, "this node's file"),
        ("/v1/sites/shop", NEW, "shop shop.example", 412, "at revision 1"),
        ("/v1/sites/new?dry_run=true", ("x", "1"), "new shop.example", 409, "\"shop\"'s"),
        ("/v1/sites/new?dry_run=true", ("x", "1"), "new", 422, "missing"),
        ("/v1/sites/new?dryrun=true", NEW, "new n.example", 400, "dryrun"),
        ("/v1/sites/a%2Fb", NEW, "a/b n.example", 404, "no site"),
    ] {
        let (status, _, said) = put(&place, path, condition, content).await;
        let detail = said["detail"].as_str().unwrap_or_default();
        assert!(status == wanted && detail.contains(told), "{path} {content}: {status} {said}");
    }
    let (status, _, said) =
        put(&place, "/v1/sites/new?dry_run=true", ("x", "1"), "new n.example").await;
    assert_eq!(
        (status, &said["dry_run"], &said["hosts"]),
        (200, &json!(true), &json!(["n.example"]))
    );
    let problems = put(&place, "/v1/sites/new", NEW, "new").await.2["problems"].clone();
    assert_eq!(problems[0]["key"], "hosts");
    let many: Vec<String> = (0..101).map(|at| format!("{at}.example")).collect();
    let many = format!("new {}", many.join(" ")).leak();
    let (status, _, said) = put(&place, "/v1/sites/new", NEW, many).await;
    assert!(status == 422 && said.to_string().contains("101 hosts; allowed: 100"), "{said}");
    let kind = [NEW, ("content-type", "text/plain")];
    let request = ("PUT", "/v1/sites/new");
    assert_eq!(ask(&place, &place.first, request, &kind, "").await.0, 415);
    assert_eq!(place.mark().await, before);
}

#[tokio::test]
async fn a_token_writes_its_own_sites_and_learns_of_no_other() {
    let place = Place::new().await;
    put(&place, "/v1/sites/shop", NEW, "shop shop.example").await;
    put(&place, "/v1/sites/blog", NEW, "blog blog.example").await;
    let own = place.made(json!({ "actions": ["sites"], "sites": ["shop"] })).await;
    let at = [("if-match", "\"1\"")];
    let shop = ("PUT", "/v1/sites/shop");
    assert_eq!(ask(&place, &own, shop, &at, "shop s.example").await.0, 200);
    let (status, _, said) =
        ask(&place, &own, shop, &[("if-match", "*")], "shop blog.example").await;
    assert_eq!(status, 409);
    assert!(!said.to_string().contains("\"blog\""), "{said}");
    for (method, path, content) in [
        ("PUT", "/v1/sites/blog", "blog b.example"),
        ("DELETE", "/v1/sites/blog", ""),
        ("GET", "/v1/sites/blog", ""),
        ("GET", "/v1/sites/blog/history", ""),
    ] {
        let fields = [("if-match", "*")];
        assert_eq!(ask(&place, &own, (method, path), &fields, content).await.0, 403, "{path}");
    }
    let list = ask(&place, &own, ("GET", "/v1/sites"), &[], "").await.2;
    assert_eq!(list["sites"].as_array().unwrap().len(), 1, "{list}");
    let reads = place.made(json!({ "actions": ["read"] })).await;
    assert_eq!(ask(&place, &reads, ("GET", "/v1/sites/shop"), &[], "").await.0, 200);
    assert_eq!(ask(&place, &reads, shop, &[("if-match", "*")], "shop s.example").await.0, 403);
    let purges = place.made(json!({ "actions": ["purge"] })).await;
    assert_eq!(ask(&place, &purges, ("GET", "/v1/sites"), &[], "").await.0, 403);
}

#[tokio::test]
async fn a_change_under_one_idempotency_key_is_one_change() {
    let place = Place::new().await;
    let key = [NEW, ("idempotency-key", "deploy-1")];
    let shop = ("PUT", "/v1/sites/shop");
    let first = ask(&place, &place.first, shop, &key, "shop shop.example").await;
    let again = ask(&place, &place.first, shop, &key, "shop shop.example").await;
    assert_eq!((first.0, &first), (201, &again));
    let audit = place.ledger.ends(Log::Audit).await.unwrap().last.seq;
    assert_eq!(audit, 2, "that it is begun, and that it is done");
    let other = ask(&place, &place.first, shop, &key, "shop other.example").await;
    assert_eq!(other.0, 422, "{other:?}");
}

#[tokio::test]
async fn a_site_of_the_ledger_is_purged_before_any_edge_has_it() {
    let place = Place::new().await;
    let order = json!({ "site": "news", "selectors": ["all"] });
    assert_eq!(place.order("/v1/purges", order.clone()).await.0, 404);
    put(&place, "/v1/sites/news", NEW, "news news.example").await;
    assert_eq!(place.order("/v1/purges", order).await.0, 202);
    place.made(json!({ "actions": ["purge"], "sites": ["news"] })).await;
}

#[tokio::test]
async fn the_first_token_may_what_came_after_it_was_made() {
    let place = Place::new().await;
    let key = Key::parse("tokens/first").unwrap();
    let found = place.ledger.read(&key).await.unwrap().unwrap();
    let mut document: Value = serde_json::from_slice(&found.value).unwrap();
    document["actions"] = json!(["purge", "read", "tokens"]);
    let bytes = document.to_string().into();
    place.ledger.write(&key, bytes, Expect::At(found.revision)).await.unwrap();
    let write = || put(&place, "/v1/sites/shop", NEW, "shop shop.example");
    assert_eq!(write().await.0, 403);
    let file = place.folder.path().join("token");
    token::leave_first(&*place.ledger, &file, "now").await.unwrap();
    assert_eq!(write().await.0, 201);
    // Taken out of use it stays so.
    let path = "/v1/tokens/first?keep_made=true";
    place.made(json!({ "actions": token::Action::ALL })).await;
    assert_eq!(place.ask(&place.first, "DELETE", path, None).await.0, 200);
    token::leave_first(&*place.ledger, &file, "now").await.unwrap();
    assert_eq!(place.ask(&place.first, "GET", "/v1/tokens", None).await.0, 401);
}

#[tokio::test]
async fn a_token_takes_nothing_within_what_another_site_answers_for() {
    let place = Place::new().await;
    put(&place, "/v1/sites/shop", NEW, "shop *.shop.example").await;
    put(&place, "/v1/sites/blog", NEW, "blog blog.example").await;
    let own = place.made(json!({ "actions": ["sites"], "sites": ["blog"] })).await;
    let any = [("if-match", "*")];
    for (path, content) in [
        ("/v1/sites/blog", "blog a.shop.example"),
        ("/v1/sites/blog", "blog news.cdn.test"),
        ("/v1/sites/blog?dry_run=true", "blog a.shop.example"),
    ] {
        let (status, _, said) = ask(&place, &own, ("PUT", path), &any, content).await;
        let detail = said["detail"].as_str().unwrap_or_default();
        assert!(status == 403 && detail.contains("within what another site"), "{status} {said}");
        assert!(!said.to_string().contains("\"shop\""), "{said}");
    }
    let blog = ("PUT", "/v1/sites/blog");
    assert_eq!(ask(&place, &own, blog, &any, "blog blog.cdn.test new.example").await.0, 200);
    let both = place.made(json!({ "actions": ["sites"], "sites": ["blog", "shop"] })).await;
    assert_eq!(ask(&place, &both, blog, &any, "blog a.shop.example").await.0, 200);
    // It is theirs now.
    assert_eq!(ask(&place, &own, blog, &any, "blog a.shop.example b.example").await.0, 200);
}

#[tokio::test]
async fn what_a_caller_has_already_is_not_sent_again() {
    let place = Place::new().await;
    put(&place, "/v1/sites/shop", NEW, "shop shop.example").await;
    let get = ("GET", "/v1/sites/shop");
    for tags in ["\"1\"", "W/\"1\"", "\"7\", \"1\"", "*"] {
        let known = [("if-none-match", tags)];
        let (status, tag, said) = ask(&place, &place.first, get, &known, "").await;
        assert_eq!((status, tag.as_deref(), said), (304, Some("\"1\""), Value::Null), "{tags}");
    }
    let either = [("if-match", "\"7\", \"1\"")];
    let shop = ("PUT", "/v1/sites/shop");
    assert_eq!(ask(&place, &place.first, shop, &either, "shop s.example").await.0, 200);
    let (status, tag, _) = ask(&place, &place.first, get, &[("if-none-match", "\"1\"")], "").await;
    assert_eq!((status, tag.as_deref()), (200, Some("\"2\"")));
    assert_eq!(ask(&place, &place.first, get, &[("if-none-match", "1")], "").await.0, 400);
}

/// A node without a file.
struct Bare;

impl Rules for Bare {
    fn check(&self, _content: Content<'_>) -> Result<Sound, Unsound> {
        unreachable!("nothing is sent here")
    }

    fn of_file(&self) -> Vec<FileSite> {
        Vec::new()
    }

    fn host_of(&self, _name: &str) -> Option<String> {
        None
    }
}

#[tokio::test]
async fn a_site_of_the_file_is_there_once_its_namesake_in_the_ledger_is_gone() {
    let place = Place::new().await;
    let (by, at) = ("first".to_owned(), "now".to_owned());
    let author = Author { by, from: None, at, sites: None };
    let hosts = vec!["other.example".to_owned()];
    let text = Sound { name: "filed".to_owned(), hosts, text: "text".to_owned() };
    let change = Change {
        name: "filed",
        text: Some(&text),
        wanted: Wanted::Absent,
        author: &author,
        once: None,
        kept: 3,
    };
    // Over a node that has no such site.
    let made = site::write(&*place.ledger, change, &Bare).await.unwrap().version.revision;
    let gone = Change { text: None, wanted: Wanted::At(made), ..change };
    site::write(&*place.ledger, gone, &Bare).await.unwrap();
    let (status, tag, said) = ask(&place, &place.first, ("GET", "/v1/sites/filed"), &[], "").await;
    assert_eq!((status, tag, &said["from"]), (200, None, &json!("file")), "{said}");
    let old = format!("/v1/sites/filed?revision={made}");
    assert_eq!(ask(&place, &place.first, ("GET", &old), &[], "").await.2["toml"], "text");
}

#[tokio::test]
async fn a_text_counts_though_the_list_of_sites_does_not_say_how_long_it_is() {
    let place = Place::new().await;
    put(&place, "/v1/sites/shop", NEW, "shop shop.example").await;
    let key = Key::parse(site::CATALOGUE).unwrap();
    let found = place.ledger.read(&key).await.unwrap().unwrap();
    let mut catalogue: Value = serde_json::from_slice(&found.value).unwrap();
    catalogue["sites"]["shop"].as_object_mut().unwrap().remove("bytes").unwrap();
    let bytes = catalogue.to_string().into();
    place.ledger.write(&key, bytes, Expect::At(found.revision)).await.unwrap();
    assert_eq!(put(&place, "/v1/sites/blog", NEW, "blog blog.example").await.0, 201);
    let found = place.ledger.read(&key).await.unwrap().unwrap();
    let catalogue: Value = serde_json::from_slice(&found.value).unwrap();
    assert_eq!(catalogue["sites"]["shop"]["bytes"], "shop shop.example".len());
}
