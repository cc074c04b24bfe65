//! The control route.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Client, DEADLINE, Response, clock, get, origin_of};
use crate::origin::{Origin, Settings};
use crate::recorder::{Recorded, Stats};
use crate::script::{Hold, Script, Step};

async fn call(origin: &Origin, method: &str, target: &str, content: &str) -> (u16, Value) {
    let length = content.len();
    let request =
        format!("{method} /.mock/{target} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{content}");
    let response: Response = Client::connect(origin).ask(&request).await;
    assert_eq!(response.field("Content-Type"), "application/json");
    (response.status(), serde_json::from_slice(&response.content).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_script_can_be_put_and_a_bad_one_is_refused_with_its_reason() {
    let origin = origin_of([Step::text("old")]);
    let script = json!({"routes": [{"path": "/a", "steps": [{"body": "new"}]}]}).to_string();
    assert_eq!(call(&origin, "PUT", "script", &script).await, (200, json!({"routes": 1})));
    assert_eq!(get(&origin, "/a").await.text(), "new");
    assert_eq!(get(&origin, "/b").await.status(), 404);
    let (status, problem) = call(&origin, "PUT", "script", "{\"rutes\": []}").await;
    assert_eq!(status, 400);
    assert!(problem["error"].as_str().unwrap().contains("unknown field `rutes`"), "{problem}");
    assert_eq!(get(&origin, "/a").await.text(), "new");
}

#[tokio::test(start_paused = true)]
async fn held_requests_can_be_released() {
    let script =
        Script::new().route("/a b", [Step { hold: Some(Hold::Release), ..Step::text("x") }]);
    let script = Script { otherwise: script.routes[0].steps.clone(), ..script };
    let origin = Origin::new(script, clock()).unwrap();
    let mut client = Client::connect(&origin);
    client.send("GET /else HTTP/1.1\r\n\r\n").await;
    origin.recorder().wait_for(1, DEADLINE).await.unwrap();
    assert_eq!(call(&origin, "POST", "release?path=%2Fa%20b", "").await.0, 200);
    assert_eq!(call(&origin, "POST", "release?path=/none", "").await.0, 404);
    assert_eq!(origin.recorder().stats().responses, 0);
    assert_eq!(call(&origin, "POST", "release", "").await.0, 200);
    client.head().await;
}

#[tokio::test(start_paused = true)]
async fn the_record_can_be_read_waited_for_and_cleared() {
    let origin = origin_of([Step::text("x")]);
    get(&origin, "/a?q").await;
    get(&origin, "/b").await;
    let (_, requests) = call(&origin, "GET", "requests", "").await;
    let requests: Vec<Recorded> = serde_json::from_value(requests).unwrap();
    assert_eq!(requests, origin.recorder().requests());
    let (_, only) = call(&origin, "GET", "requests?path=/a", "").await;
    assert_eq!(only.as_array().unwrap().len(), 1);
    let asking = async {
        tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_secs(3)).await;
        get(&origin, "/c").await
    };
    let ((status, all), _) = tokio::join!(call(&origin, "GET", "requests?wait=3", ""), asking);
    assert_eq!((status, all.as_array().unwrap().len()), (200, 3));
    assert_eq!(call(&origin, "GET", "requests?wait=4&within=10ms", "").await.0, 504);
    assert_eq!(call(&origin, "GET", "requests?wait=x", "").await.0, 400);
    assert_eq!(call(&origin, "DELETE", "requests", "").await.0, 200);
    assert_eq!(call(&origin, "GET", "requests", "").await.1, json!([]));
}

#[tokio::test(start_paused = true)]
async fn control_requests_and_their_connections_are_not_counted() {
    let origin = origin_of([Step::text("x")]);
    get(&origin, "/").await;
    call(&origin, "GET", "requests", "").await;
    let (_, stats) = call(&origin, "GET", "stats", "").await;
    let stats: Stats = serde_json::from_value(stats).unwrap();
    assert_eq!((stats.requests, stats.responses, stats.connections_opened), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn unknown_verbs_methods_and_too_much_content_are_refused() {
    let settings = Settings { control_bytes_max: 10, ..Settings::default() };
    let origin = Origin::scripted(Script::new(), clock(), settings).unwrap();
    assert_eq!(call(&origin, "GET", "nothing", "").await.0, 404);
    assert_eq!(call(&origin, "POST", "script", "").await.0, 405);
    assert_eq!(call(&origin, "PUT", "script", &" ".repeat(11)).await.0, 413);
}

#[tokio::test(start_paused = true)]
async fn switched_off_it_is_a_path_like_any_other() {
    let settings = Settings { control: false, ..Settings::default() };
    let script = Script::new().route("/*", [Step::text("scripted")]);
    let origin = Origin::scripted(script, clock(), settings).unwrap();
    assert_eq!(get(&origin, "/.mock/stats").await.text(), "scripted");
    assert_eq!(origin.recorder().stats().requests, 1);
}

/// As common clients do with a script of more than a mebibyte.
#[tokio::test(start_paused = true)]
async fn a_script_can_wait_for_its_100() {
    let origin = origin_of([Step::text("old")]);
    let mut client = Client::connect(&origin);
    let head = "PUT /.mock/script HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    client.send(head).await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("{}").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
}
