//! What operators ask and order over the admin listener.

use std::net::SocketAddr;

use geodns_core::settings::{MapSettings, StateWord};
use http::StatusCode;
use nearcast_daemon::{
    admin::{self, Admin},
    metrics::Metrics,
    settings::AdminSettings,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

use crate::{
    listener::Place,
    probes::fleet,
    stage::{LONG, Stage, plan},
};

/// Asks, and says the status and the content.
async fn ask(admin: SocketAddr, request: &str, more: &str, content: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(admin).await.unwrap();
    let length = content.len();
    let text = format!(
        "{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{more}content-length: {length}\r\n\r\n{content}"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(LONG, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let content = answer.split("\r\n\r\n").nth(1).unwrap();
    (status, serde_json::from_str(content).unwrap_or(Value::Null))
}

/// An admin listener over a server.
fn serve(stage: &Stage) -> (SocketAddr, JoinHandle<()>) {
    let bound = Admin::bind("127.0.0.1:0".parse().unwrap(), &AdminSettings::default()).unwrap();
    let admin = bound.address();
    let metrics = Metrics::new();
    geodns::probe::page::register(stage.server.prober(), &metrics);
    let routes =
        admin::router(&metrics, &stage.readiness, geodns::admin::router(stage.server.clone()));
    let serving = bound.serve(routes, std::future::pending());
    (admin, tokio::spawn(async move { drop(serving.await) }))
}

/// RFC 8305 §4: who has both families prefers IPv6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_tells_for_whom_there_is_nobody_else() {
    let places = Place::some(3, None).await;
    let mut fleet = fleet(&places);
    fleet.pops[0].v6.push(std::net::Ipv6Addr::LOCALHOST);
    fleet.pops[2].v6.push(std::net::Ipv6Addr::LOCALHOST);
    let mut plan = plan(fleet, Vec::new());
    // `p2` is in the map that the fallback has.
    let map = |name: &str, pops: &[&str]| MapSettings {
        name: name.to_owned(),
        pops: pops.iter().map(|pop| (*pop).to_owned()).collect(),
        ..MapSettings::default()
    };
    plan.settings.map = vec![map("near", &["p0", "p1"]), map("far", &["p2"])];
    plan.settings.route[0].map = "near".to_owned();
    let mut far = plan.settings.route[0].clone();
    (far.name, far.map, far.names) = ("far".to_owned(), "far".to_owned(), vec!["far".to_owned()]);
    let name = plan.settings.route[0].name.clone();
    plan.settings.route.push(far);
    let alone = |families: &[&str]| -> Value {
        families.iter().map(|family| json!({ "route": name, "family": family })).collect()
    };
    let stage = Stage::start(plan.clone()).unwrap();
    stage.ready().await;
    let (admin, serving) = serve(&stage);
    let (_, pop) = ask(admin, "POST /v1/pops/p0/drain", "", "").await;
    assert_eq!(pop["nobody_else"], alone(&["ipv6"]), "{pop}");
    let (_, pop) = ask(admin, "POST /v1/pops/p1/drain", "", "").await;
    assert_eq!(pop["nobody_else"], alone(&["ipv4"]), "p0 is drained: {pop}");
    plan.settings.route[0].fallback = Some("far".to_owned());
    stage.server.reload(plan).unwrap();
    let (_, pop) = ask(admin, "POST /v1/pops/p0/drain", "", "").await;
    assert_eq!(pop["nobody_else"], json!([]), "a fallback has somebody");
    serving.abort();
    stage.end().await;
}

const JSON: &str = "content-type: application/json\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_order_and_ask_why() {
    let places = Place::some(2, None).await;
    let stage = Stage::start(plan(fleet(&places), Vec::new())).unwrap();
    stage.ready().await;
    let (admin, serving) = serve(&stage);
    let first = places[0].address.ip();

    let (status, pops) = ask(admin, "GET /v1/pops", "sec-fetch-site: none\r\n", "").await;
    assert_eq!(status, 200);
    assert_eq!(pops["pops"][0]["name"], "p0");
    assert_eq!(pops["pops"][0]["ipv4"], "up");
    assert_eq!(pops["pops"][1]["drained"], false);

    let (status, told) =
        ask(admin, "GET /v1/route?name=www.cdn.test&client=198.51.100.7", "", "").await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["rcode"], "NOERROR");
    assert_eq!(told["route"]["pops"], json!(["p0"]));

    let (status, pop) = ask(admin, "POST /v1/pops/p0/drain", JSON, r#"{"for": "10m"}"#).await;
    assert_eq!((status, &pop["drained"]), (200, &json!(true)), "{pop}");
    assert!(pop["order_ends_in_seconds"].as_u64().unwrap() >= 590);
    assert_eq!(pop["nobody_else"], json!([]), "p1 takes its clients");
    assert_ne!(stage.dig("www.cdn.test").await.1, [first]);
    let (status, pop) = ask(admin, "POST /v1/pops/p0/undrain", JSON, "{}").await;
    assert_eq!((status, &pop["drained"]), (200, &json!(false)), "{pop}");
    assert_eq!(stage.dig("www.cdn.test").await.1, [first]);
    let down = r#"{"state": "down"}"#;
    let (status, pop) = ask(admin, "POST /v1/pops/p0/force", JSON, down).await;
    assert_eq!((status, &pop["forced"], &pop["ipv4"]), (200, &json!("down"), &json!("down")));
    assert_ne!(stage.dig("www.cdn.test").await.1, [first]);
    let (status, _) = ask(admin, "POST /v1/pops/p0/unforce", "", "").await;
    assert_eq!(status, 200);
    assert_eq!(stage.dig("www.cdn.test").await.1, [first]);

    let refused = [
        ("GET /v1/pops/p9", "", "", StatusCode::NOT_FOUND),
        ("GET /v1/pops/%ff", "", "", StatusCode::BAD_REQUEST),
        ("POST /v1/pops/p9/drain", JSON, "{}", StatusCode::NOT_FOUND),
        ("POST /v1/pops/p0/drain", JSON, r#"{"for": "soon"}"#, StatusCode::BAD_REQUEST),
        ("POST /v1/pops/p0/drain", JSON, r#"{"until": "noon"}"#, StatusCode::UNPROCESSABLE_ENTITY),
        // A page in a browser can send neither of these unasked.
        ("POST /v1/pops/p0/drain", "", "{}", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (
            "POST /v1/pops/p0/drain",
            "content-type: application/json\r\norigin: https://evil.example\r\n",
            "{}",
            StatusCode::FORBIDDEN,
        ),
        // A form that a page submits.
        ("POST /v1/pops/p0/drain", "sec-fetch-site: cross-site\r\n", "", StatusCode::FORBIDDEN),
        ("GET /v1/pops", "sec-fetch-site: same-site\r\n", "", StatusCode::FORBIDDEN),
        ("POST /v1/pops/p0/force", "", "", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("POST /v1/pops/p0/clear", JSON, r#"{"for": "1h"}"#, StatusCode::BAD_REQUEST),
        ("POST /v1/pops/p9/clear", "", "", StatusCode::NOT_FOUND),
        // It may have others be asked for, but browsers say so.
        (
            "GET /v1/route?name=www.cdn.test&client=::1",
            "sec-fetch-site: cross-site\r\n",
            "",
            StatusCode::FORBIDDEN,
        ),
        ("GET /v1/pops", "host: evil.example\r\n", "", StatusCode::FORBIDDEN),
        ("GET /v1/route?name=www.cdn.test", "", "", StatusCode::BAD_REQUEST),
        ("GET /v1/route?name=www..test&client=::1", "", "", StatusCode::BAD_REQUEST),
        ("GET /v1/route?name=www.cdn.test&client=::1&type=NO", "", "", StatusCode::BAD_REQUEST),
        ("GET /v1/pops/p0/drain", "", "", StatusCode::METHOD_NOT_ALLOWED),
    ];
    for (request, more, content, expected) in refused {
        let (status, problem) = ask(admin, request, more, content).await;
        assert_eq!(status, expected.as_u16(), "{request}: {problem}");
        assert_eq!(problem["status"], expected.as_u16(), "{request}: {problem}");
    }
    let orders = stage.server.prober().status();
    assert!(orders.iter().all(|pop| !pop.drained && pop.ipv4 == Some(StateWord::Up)));
    serving.abort();
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clearing_ends_every_order_so_that_the_settings_count_again() {
    let places = Place::some(2, None).await;
    let stage = Stage::start(plan(fleet(&places), Vec::new())).unwrap();
    stage.ready().await;
    let (admin, serving) = serve(&stage);
    let first = places[0].address.ip();
    for request in ["POST /v1/pops/p0/drain", "POST /v1/pops/p0/undrain"] {
        assert_eq!(ask(admin, request, "", "").await.0, 200, "{request} without content");
    }
    let (_, pop) = ask(admin, "POST /v1/pops/p0/force", JSON, r#"{"state": "down"}"#).await;
    assert_eq!((&pop["drained"], &pop["forced"]), (&json!(false), &json!("down")));
    let mut drained = fleet(&places);
    drained.pops[0].drained = true;
    stage.server.reload(plan(drained, Vec::new())).unwrap();
    assert_eq!(ask(admin, "GET /v1/pops/p0", "", "").await.1["drained"], json!(false));
    let (status, pop) = ask(admin, "POST /v1/pops/p0/clear", "", "").await;
    assert_eq!((status, &pop["drained"], &pop["ipv4"]), (200, &json!(true), &json!("up")), "{pop}");
    assert_eq!(pop["forced"], Value::Null);
    stage.server.reload(plan(fleet(&places), Vec::new())).unwrap();
    assert_eq!(stage.dig("www.cdn.test").await.1, [first]);
    serving.abort();
    stage.end().await;
}
