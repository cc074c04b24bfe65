//! What is stored of a URL, as the API explains it.

use super::super::*;

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
