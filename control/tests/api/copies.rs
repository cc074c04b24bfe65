//! The routes of copies, as their callers meet them.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use nearcast_control::copy::COPY_BYTES_MAX;

use super::super::*;

#[tokio::test]
async fn a_copy_is_for_who_may_do_that_and_could_have_given_its_tokens() {
    let place = Place::new().await;
    let purger = place.made(json!({ "actions": ["purge"] })).await;
    let keeper = place.made(json!({ "actions": ["ledger", "purge"] })).await;
    let of_shop = place.made(json!({ "actions": ["ledger"], "sites": ["shop"] })).await;
    let export = async |token: &str| place.ask(token, "GET", "/v1/ledger", None).await;
    for token in [&purger, &of_shop] {
        assert_eq!(export(token).await.0, StatusCode::FORBIDDEN);
        let (status, _) = place.ask(token, "PUT", "/v1/ledger", Some(json!({}))).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
    let (status, copy) = export(&keeper).await;
    assert_eq!((status, &copy["format"]), (StatusCode::OK, &json!(1)), "{copy}");
    assert_eq!(copy["tokens"].as_array().map(Vec::len), Some(3));
    let secret = purger.rsplit('_').next().unwrap();
    assert!(!copy.to_string().contains(secret), "secrets are nobody's to take along");

    let other = Place::new().await;
    let keeper = other.made(json!({ "actions": ["ledger", "purge"] })).await;
    let before = other.mark().await;
    let import = async |token: &str, path: &str, copy: &Value| {
        other.ask(token, "PUT", path, Some(copy.clone())).await
    };
    let (status, problem) = import(&keeper, "/v1/ledger?force=true", &json!({ "format": 2 })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["detail"].as_str().unwrap().contains("format 2"), "{problem}");
    let (status, problem) = import(&other.first, "/v1/ledger", &copy).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    let mut more = copy.clone();
    more["tokens"][0]["token"]["actions"] = json!(["tokens"]);
    let (status, problem) = import(&keeper, "/v1/ledger?force=true", &more).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{problem}");
    let (status, problem) = import(&keeper, "/v1/ledger?forced=true", &copy).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    // It has all that they are for, and makes no tokens.
    let (status, problem) = import(&keeper, "/v1/ledger?force=true", &copy).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{problem}");
    assert_eq!(other.mark().await, before, "what is refused writes nothing");

    let keeper = other.made(json!({ "actions": ["ledger", "purge", "tokens"] })).await;
    let (status, told) = import(&keeper, "/v1/ledger?force=true", &copy).await;
    assert_eq!((status, &told["tokens"]), (StatusCode::OK, &json!(3)), "{told}");
    assert_eq!(other.ask(&purger, "POST", "/v1/purges", Some(shop(json!(["all"])))).await.0, 202);
    let path = "/v1/audit?what=ledger.import";
    let (_, audit) = other.ask(&other.first, "GET", path, None).await;
    let entry = &audit["entries"][0]["entry"];
    assert_eq!((&entry["on"]["of"], &entry["on"]["force"]), (&copy["last"], &json!(true)));
    // The same sites once more, with one token more: that is in the log as well.
    let mut more = copy.clone();
    more["tokens"][0]["id"] = json!("another");
    let (status, again) = import(&other.first, "/v1/ledger?force=true", &more).await;
    assert_eq!((status, &again["tokens"]), (StatusCode::OK, &json!(1)), "{again}");
    let (_, audit) = other.ask(&other.first, "GET", path, None).await;
    assert_eq!(audit["entries"].as_array().map(Vec::len), Some(2), "{audit}");
    // It is no purge of a site.
    let path = format!("/v1/purges/{}", told["purge"].as_str().unwrap());
    assert_eq!(other.ask(&other.first, "GET", &path, None).await.0, StatusCode::NOT_FOUND);
    // What a token has put in goes with it.
    let id = keeper.split('_').nth(1).unwrap();
    let (status, ended) =
        other.ask(&other.first, "DELETE", &format!("/v1/tokens/{id}"), None).await;
    assert_eq!(status, StatusCode::OK, "{ended}");
    assert_eq!(other.ask(&purger, "POST", "/v1/purges", Some(shop(json!(["all"])))).await.0, 401);
}

#[tokio::test]
async fn a_node_purges_everything_when_a_copy_is_put_in() {
    let place = Place::new().await;
    let (_member, told) = place.join("fra").await;
    let (_, copy) = place.ask(&place.first, "GET", "/v1/ledger", None).await;
    let before = told.1.load(Ordering::SeqCst);
    let (status, put_in) = place.ask(&place.first, "PUT", "/v1/ledger", Some(copy)).await;
    assert_eq!(status, 200, "{put_in}");
    let all = async {
        while told.1.load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
}

#[tokio::test]
async fn a_copy_may_be_larger_than_other_content_and_is_bounded() {
    let place = Place::new().await;
    let send = async |bytes: usize, kind: &str| {
        let request = Request::put("/v1/ledger")
            .header("authorization", format!("Bearer {}", place.first))
            .header("content-type", kind);
        let request = request.body(Body::from(vec![b' '; bytes])).unwrap();
        read(place.send(request).await).await.0
    };
    assert_eq!(send(1 << 20, "application/json").await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(send(1 << 20, "text/plain").await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(send(COPY_BYTES_MAX + 1, "application/json").await, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_forced_import_that_is_repeated_under_its_key_is_the_same() {
    let place = Place::new().await;
    let (_, copy) = place.ask(&place.first, "GET", "/v1/ledger", None).await;
    let import = async |key: &str, copy: &Value| {
        send_once(&place, ("PUT", "/v1/ledger?force=true"), key, Some(copy.clone())).await
    };
    let (status, put_in) = import("a", &copy).await;
    assert_eq!(status, 200, "{put_in}");
    let before = place.mark().await;
    assert_eq!(import("a", &copy).await, (status, put_in.clone()));
    let mut other = copy.clone();
    other["at"] = json!("later");
    let (status, problem) = import("a", &other).await;
    assert_eq!(status, 422, "{problem}");
    assert_eq!(import(&"x".repeat(129), &copy).await.0, 400);
    assert_eq!(place.mark().await, before);
    let (status, another) = import("b", &copy).await;
    assert_eq!(status, 200);
    assert_ne!(another["purge"], put_in["purge"]);
}

#[tokio::test]
async fn a_copy_that_comes_slowly_holds_up_no_export_and_is_refused() {
    let place = Place::new().await;
    let import = async || {
        let request = Request::put("/v1/ledger")
            .header("authorization", format!("Bearer {}", place.first))
            .header("content-type", "application/json");
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        read(place.send(request.body(never).unwrap()).await).await.0
    };
    let mut slow = Box::pin(import());
    let begun = tokio::time::timeout(Duration::from_millis(200), slow.as_mut()).await;
    assert!(begun.is_err(), "it was answered");
    assert_eq!(place.ask(&place.first, "GET", "/v1/ledger", None).await.0, 200);
    assert_eq!(import().await, 503, "one comes in at a time");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(21)).await;
    assert_eq!(slow.await, 408);
    let (status, _) = place.ask(&place.first, "PUT", "/v1/ledger", Some(json!({}))).await;
    assert_eq!(status, 422, "the next one has its turn");
}

#[tokio::test]
async fn one_copy_is_in_memory_until_it_is_sent() {
    let place = Place::new().await;
    let export = async || {
        let request = Request::get("/v1/ledger");
        let request = request.header("authorization", format!("Bearer {}", place.first));
        place.send(request.body(Body::empty()).unwrap()).await
    };
    let first = export().await;
    assert_eq!(first.status(), 200);
    assert_eq!(export().await.status(), 503);
    drop(first);
    assert_eq!(read(export().await).await.0, 200);
}
