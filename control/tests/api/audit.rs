//! Who did what, as the audit log says.

use super::super::*;

#[tokio::test]
async fn the_audit_log_says_who_did_what_from_where() {
    let place = Place::new().await;
    let robot = place.made(json!({ "actions": ["purge"] })).await;
    let (_, purge) = place.ask(&robot, "POST", "/v1/purges", Some(shop(json!(["all"])))).await;
    let (status, audit) = place.ask(&place.first, "GET", "/v1/audit", None).await;
    assert_eq!(status, 200);
    let entries = audit["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    let newest = &entries[0]["entry"];
    assert_eq!((&newest["what"], &newest["from"]), (&json!("purge"), &json!("192.0.2.7")));
    assert_eq!(newest["who"], Secret::parse(&robot).unwrap().id());
    assert_eq!(
        (&newest["on"]["purge"], &newest["at"]),
        (&purge["id"], &json!("1970-01-01T00:00:00.000Z"))
    );
    assert_eq!(newest["on"].get("selectors"), None, "they stand in the purge log");
    assert_eq!(entries[1]["entry"]["what"], "token.make");
    assert!(!audit.to_string().contains(&robot));
    let (_, one) = place.ask(&place.first, "GET", "/v1/audit?limit=1", None).await;
    assert_eq!(one["entries"].as_array().unwrap().len(), 1);
    assert_eq!(one["entries"][0], entries[0]);
}

#[tokio::test]
async fn the_audit_log_names_the_request() {
    let place = Place::new().await;
    let mut request = Request::post("/v1/purges").header("content-type", "application/json");
    request = request.header("authorization", format!("Bearer {}", place.first));
    let mut request = request.body(Body::from(shop(json!(["all"])).to_string())).unwrap();
    request.extensions_mut().insert(RequestId("deploy-7".into()));
    assert_eq!(place.send(request).await.status(), 202);
    let (_, audit) = place.ask(&place.first, "GET", "/v1/audit?what=purge", None).await;
    assert_eq!(audit["entries"][0]["entry"]["request"], "deploy-7", "{audit}");
}
