//! Orders of purges, as their callers meet them.

use super::super::*;

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
    // One entry for each purge, and one for the token.
    let (_, audit) = place.ask(&place.first, "GET", "/v1/audit", None).await;
    let outcomes = audit["entries"].as_array().unwrap().iter();
    let outcomes: Vec<&Value> = outcomes.map(|told| &told["entry"]["outcome"]).collect();
    assert_eq!(outcomes, [&json!("done"); 3], "{audit}");
}
