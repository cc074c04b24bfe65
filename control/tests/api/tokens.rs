//! Who may do what, and how tokens are made and revoked.

use super::super::*;

#[tokio::test]
async fn rfc6750_3_who_shows_no_good_token_is_challenged() {
    let place = Place::new().await;
    let first = place.first.clone();
    let rows = [
        (vec![], "Bearer realm=\"nearcast\""),
        (vec![format!("Basic {first}")], "Bearer realm=\"nearcast\""),
        (vec![format!("Bearer {first}"), format!("Bearer {first}")], "Bearer realm=\"nearcast\""),
        (vec![format!("Bearer {first}0")], "Bearer realm=\"nearcast\", error=\"invalid_token\""),
    ];
    for (fields, challenge) in rows {
        let mut request = Request::get("/v1/nodes");
        for field in &fields {
            request = request.header("authorization", field);
        }
        let response = place.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 401, "{fields:?}");
        assert_eq!(response.headers()["www-authenticate"], challenge);
    }
    let request = Request::get("/v1/nodes").header("authorization", format!("bearer  {first}"));
    assert_eq!(place.send(request.body(Body::empty()).unwrap()).await.status(), 200);
}

#[tokio::test]
async fn a_token_is_good_until_it_is_revoked_and_for_its_site_alone() {
    let place = Place::new().await;
    let wanted = json!({ "actions": ["purge"], "sites": ["shop"], "note": "the shop's robot" });
    let robot = place.made(wanted).await;
    let all = shop(json!(["all"]));
    let (status, answer) = place.ask(&robot, "POST", "/v1/purges", Some(all.clone())).await;
    assert_eq!(status, 202);
    let path = format!("/v1/purges/{}", answer["id"].as_str().unwrap());
    assert_eq!(place.ask(&robot, "GET", &path, None).await.0, 200);
    let blogger = place.made(json!({ "actions": ["purge"], "sites": ["blog"] })).await;
    assert_eq!(place.ask(&blogger, "GET", &path, None).await.0, 403);
    let id = Secret::parse(&robot).unwrap().id().to_owned();
    let (status, revoked) =
        place.ask(&place.first, "DELETE", &format!("/v1/tokens/{id}"), None).await;
    assert_eq!((status, &revoked["revoked"]["by"]), (StatusCode::OK, &json!("first")));
    assert_eq!(place.ask(&robot, "POST", "/v1/purges", Some(all)).await.0, 401);
    let (_, tokens) = place.ask(&place.first, "GET", "/v1/tokens", None).await;
    assert_eq!(tokens["tokens"].as_array().unwrap().len(), 3);
    assert!(!tokens.to_string().contains("hash"), "{tokens}");
}

#[tokio::test]
async fn revoking_takes_what_was_made_and_is_told_once() {
    let place = Place::new().await;
    let maker = place.made(json!({ "actions": ["purge", "tokens"] })).await;
    let wanted = json!({ "actions": ["purge"] });
    let made = async || {
        let (status, made) = place.ask(&maker, "POST", "/v1/tokens", Some(wanted.clone())).await;
        assert_eq!(status, 201, "{made}");
        made["id"].as_str().unwrap().to_owned()
    };
    let id = |token: &str| Secret::parse(token).unwrap().id().to_owned();
    let (one, other) = (made().await, made().await);
    let revoke = async |path: String| {
        place.ask(&place.first, "DELETE", &format!("/v1/tokens/{path}"), None).await
    };
    let (status, _) = revoke(format!("{one}?keep=true")).await;
    assert_eq!(status, 400);
    let (_, told) = revoke(one.clone()).await;
    assert_eq!(told["revoked_with_it"], json!([]));
    let (_, told) = revoke(id(&maker)).await;
    assert_eq!(told["revoked_with_it"], json!([other]));
    let before = place.mark().await;
    let (status, _) = revoke("first".to_owned()).await;
    assert_eq!(status, StatusCode::CONFLICT, "nobody could make a token again");
    let (status, told) = revoke(id(&maker)).await;
    assert_eq!((status, &told["revoked_with_it"]), (StatusCode::OK, &json!([])));
    assert_eq!(place.mark().await, before, "a second time is no news");

    let maker = place.made(json!({ "actions": ["purge", "tokens"] })).await;
    let (_, made) = place.ask(&maker, "POST", "/v1/tokens", Some(wanted.clone())).await;
    revoke(format!("{}?keep_made=true", id(&maker))).await;
    let child = made["token"].as_str().unwrap();
    assert_eq!(place.ask(child, "POST", "/v1/purges", Some(shop(json!(["all"])))).await.0, 202);
    assert_eq!(place.ask(&maker, "GET", "/v1/tokens", None).await.0, 401);
}

#[tokio::test]
async fn a_token_that_cannot_be_read_is_told_to_who_may_all() {
    let place = Place::new().await;
    let key = Key::parse("tokens/strange").unwrap();
    place.ledger.write(&key, "{".into(), Expect::Absent).await.unwrap();
    let some = place.made(json!({ "actions": ["tokens"], "sites": ["shop"] })).await;
    let strange = async |token: &str| {
        let (status, listed) = place.ask(token, "GET", "/v1/tokens", None).await;
        assert_eq!(status, 200);
        let tokens = listed["tokens"].as_array().unwrap();
        tokens.iter().any(|token| token["id"] == "strange" && token["unreadable"].is_string())
    };
    assert!(strange(&place.first).await && !strange(&some).await);
    assert_eq!(place.ask(&some, "DELETE", "/v1/tokens/strange", None).await.0, 403);
    assert_eq!(place.ask(&place.first, "DELETE", "/v1/tokens/strange", None).await.0, 200);
    assert!(!strange(&place.first).await);
}

#[tokio::test]
async fn a_token_that_asks_too_often_is_told_when_to_come_again() {
    let place = Place::with_rate(2).await;
    let ask = async || {
        let request = Request::get("/v1/nodes")
            .header("authorization", format!("Bearer {}", place.first))
            .body(Body::empty());
        place.send(request.unwrap()).await
    };
    assert_eq!(ask().await.status(), 200);
    assert_eq!(ask().await.status(), 200);
    let response = ask().await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "1");
}

#[tokio::test]
async fn a_token_that_is_ordered_twice_under_one_key_is_one_token() {
    let place = Place::new().await;
    let wanted = json!({ "actions": ["purge"], "note": "a robot" });
    let order = async |key: &str, wanted: &Value| {
        send_once(&place, ("POST", "/v1/tokens"), key, Some(wanted.clone())).await
    };
    let (status, first) = order("a", &wanted).await;
    assert_eq!(status, 201, "{first}");
    // Its answer was lost: the same token, and a secret that is good.
    let (status, again) = order("a", &wanted).await;
    assert_eq!((status, &again["id"]), (StatusCode::CREATED, &first["id"]));
    let try_it = async |made: &Value| {
        let secret = made["token"].as_str().unwrap();
        place.ask(secret, "POST", "/v1/purges", Some(shop(json!(["all"])))).await.0.as_u16()
    };
    assert_eq!((try_it(&first).await, try_it(&again).await), (401, 202));
    let (_, tokens) = place.ask(&place.first, "GET", "/v1/tokens", None).await;
    assert_eq!(tokens["tokens"].as_array().unwrap().len(), 2, "{tokens}");
    let (_, audit) = place.ask(&place.first, "GET", "/v1/audit?what=token.make", None).await;
    assert_eq!(audit["entries"].as_array().unwrap().len(), 2, "another secret was made: {audit}");
    let before = place.mark().await;
    let (status, problem) = order("a", &json!({ "actions": ["read"] })).await;
    assert_eq!(status, 422, "{problem}");
    assert_eq!(order(&"x".repeat(129), &wanted).await.0, 400);
    assert_eq!(place.mark().await, before);
    let (status, other) = order("b", &wanted).await;
    assert_eq!(status, 201);
    assert_ne!(other["id"], first["id"]);
    // What was revoked is not made again by who repeats an old order.
    let path = format!("/v1/tokens/{}", first["id"].as_str().unwrap());
    assert_eq!(place.ask(&place.first, "DELETE", &path, None).await.0, 200);
    assert_eq!(order("a", &wanted).await.0, 422);
}
