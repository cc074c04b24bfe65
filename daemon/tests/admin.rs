//! The admin listener over real sockets on loopback, asked by a client that speaks raw bytes.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail so")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytesize::ByteSize;
use nearcast_daemon::admin::{self, Admin, AdminError};
use nearcast_daemon::http_path::Named;
use nearcast_daemon::metrics::Metrics;
use nearcast_daemon::readiness::{Condition, Readiness};
use nearcast_daemon::settings::AdminSettings;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const DEADLINE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    condition: Condition,
    end: oneshot::Sender<()>,
    served: JoinHandle<Result<(), AdminError>>,
    /// Requests that reached /v1/counted.
    counted: Arc<AtomicUsize>,
    metrics: Metrics,
}

fn start(settings: &AdminSettings) -> Running {
    let readiness = Readiness::new();
    let condition = readiness.condition("edge-listening", "not bound yet");
    let metrics = Metrics::new();
    metrics.register(|scrape| scrape.counter("requests", "Requests.")?.sample(&[], 3));
    let counted = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&counted);
    let more = Router::new()
        .route(
            "/v1/counted",
            get(move || async move {
                count.fetch_add(1, Ordering::Relaxed);
                "counted"
            }),
        )
        .route("/v1/echo", get(|| async { "echo" }))
        .route("/v1/things/{name}", get(|Named(name): Named| async move { name }))
        .route("/v1/never", get(std::future::pending::<&str>))
        .route("/v1/long", get(|| async { vec![b'x'; 64 << 20] }));
    let admin = Admin::bind("127.0.0.1:0".parse().unwrap(), settings).unwrap();
    admin.register(&metrics);
    let address = admin.address();
    let (end, ended) = oneshot::channel();
    let routes = admin::router(&metrics, &readiness, more);
    let served = tokio::spawn(admin.serve(routes, async {
        drop(ended.await);
    }));
    Running { address, condition, end, served, counted, metrics }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn has(&self, field: &str) -> bool {
        self.head.lines().any(|line| line.eq_ignore_ascii_case(field))
    }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("too late: {what}"))
}

/// Sends `bytes` and reads to the end of the connection.
async fn attempt(address: SocketAddr, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    within("an exchange", attempt(address, bytes)).await.unwrap()
}

/// Asks until the answer is 200: under a deadline of milliseconds a machine that is busy for longer
/// cuts a good request as well.
async fn answered(address: SocketAddr, bytes: &[u8]) {
    let good = async {
        let is_ok = |answer: &Vec<u8>| answer.starts_with(b"HTTP/1.1 200");
        while !attempt(address, bytes).await.is_ok_and(|answer| is_ok(&answer)) {}
    };
    within("a good answer", good).await;
}

async fn request(address: SocketAddr, line: &str) -> Answer {
    let head = format!("{line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let answer = String::from_utf8(exchange(address, head.as_bytes()).await).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("no end of head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

#[tokio::test]
async fn health_readiness_metrics_and_mounted_routes_are_answered() {
    let running = start(&AdminSettings::default());
    let health = request(running.address, "GET /healthz").await;
    assert_eq!((health.status, health.json()), (200, json!({"alive": true})));
    assert!(health.has("cache-control: no-store"), "{}", health.head);

    let page = request(running.address, "GET /metrics").await;
    assert_eq!(page.status, 200);
    let media = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(page.has(media), "{}", page.head);
    assert!(page.body.contains("nearcast_requests_total 3\n"), "{}", page.body);
    assert!(page.body.ends_with("# EOF\n"));

    assert_eq!(request(running.address, "GET /v1/echo").await.body, "echo");
    let head = request(running.address, "HEAD /healthz").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn readyz_follows_the_conditions_and_names_what_fails() {
    let running = start(&AdminSettings::default());
    let report = |ready: bool, reason: Option<&str>| {
        let mut condition = json!({"name": "edge-listening", "ready": ready});
        if let Some(reason) = reason {
            condition["reason"] = json!(reason);
        }
        json!({"ready": ready, "conditions": [condition]})
    };
    let not_yet = request(running.address, "GET /readyz").await;
    assert_eq!((not_yet.status, not_yet.json()), (503, report(false, Some("not bound yet"))));
    running.condition.holds();
    let ready = request(running.address, "GET /readyz").await;
    assert_eq!((ready.status, ready.json()), (200, report(true, None)));
    running.condition.fails("draining");
    let draining = request(running.address, "GET /readyz").await;
    assert_eq!((draining.status, draining.json()), (503, report(false, Some("draining"))));
    assert_eq!(request(running.address, "GET /healthz").await.status, 200);
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let running = start(&AdminSettings::default());
    let made = request(running.address, "GET /v1/echo").await;
    let named = made.head.lines().find_map(|line| line.strip_prefix("x-request-id: "));
    assert_eq!(named.map(str::len), Some(32), "{}", made.head);
    for (line, status) in [("GET /v1/echo", 200), ("GET /nothing", 404), ("PUT /healthz", 405)] {
        let line = format!("{line} HTTP/1.1\r\nx-request-id: a-1\r\nx:");
        let answer = request(running.address, &line).await;
        assert_eq!(answer.status, status);
        assert!(answer.has("x-request-id: a-1"), "{}", answer.head);
        // It has the length that it says.
        let length = format!("content-length: {}", answer.body.len());
        assert!(answer.has(&length), "{}", answer.head);
        if status != 200 {
            assert_eq!(answer.json()["request_id"], "a-1");
        }
    }
}

#[tokio::test]
async fn rfc9457_unknown_paths_and_methods_are_problem_details() {
    let running = start(&AdminSettings::default());
    assert_eq!(request(running.address, "GET /v1/things/a%2Fb").await.body, "a/b");
    let rows = [
        ("GET /nothing", 404, "Not Found"),
        ("POST /healthz", 405, "Method Not Allowed"),
        // Octets that are no text.
        ("GET /v1/things/%ff", 400, "Bad Request"),
    ];
    for (line, status, title) in rows {
        let answer = request(running.address, line).await;
        assert_eq!(answer.status, status, "{line}");
        assert!(answer.has("content-type: application/problem+json"), "{}", answer.head);
        let problem = answer.json();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["title"], title);
        assert_eq!(problem["status"], status);
    }
}

#[tokio::test]
async fn an_incomplete_head_is_cut_off_at_the_deadline() {
    let settings =
        AdminSettings { header_deadline: Duration::from_millis(50), ..AdminSettings::default() };
    let running = start(&settings);
    exchange(running.address, b"GET /healthz HTTP/1.1\r\nhost: a\r\n").await;
    // And so is a connection that asks for nothing more.
    answered(running.address, b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
}

#[tokio::test]
async fn an_oversized_head_is_431() {
    let settings = AdminSettings { header_bytes_max: ByteSize::kib(8), ..AdminSettings::default() };
    let running = start(&settings);
    let head = format!("GET /healthz HTTP/1.1\r\nhost: a\r\nlong: {}\r\n", "x".repeat(9_000));
    let answer = exchange(running.address, head.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_503() {
    let settings =
        AdminSettings { request_deadline: Duration::from_millis(50), ..AdminSettings::default() };
    let running = start(&settings);
    let answer = request(running.address, "GET /v1/never").await;
    assert_eq!((answer.status, answer.json()["status"].as_u64()), (503, Some(503)));
}

#[tokio::test]
async fn connections_past_the_cap_wait_for_a_place() {
    let settings = AdminSettings { connections_max: 1, ..AdminSettings::default() };
    let running = start(&settings);
    let mut first = TcpStream::connect(running.address).await.unwrap();
    within("the first answer", ask(&mut first)).await;
    let mut second = TcpStream::connect(running.address).await.unwrap();
    second.write_all(COUNTED).await.unwrap();
    // The second request has come by now; were it let in, it would be counted among these.
    for count in 2..20 {
        within("the next answer", ask(&mut first)).await;
        assert_eq!(running.counted.load(Ordering::Relaxed), count, "one past the cap was served");
    }
    let reached = "nearcast_admin_limits_hit_total{limit=\"connections_max\"} 1\n";
    let page = running.metrics.encode().unwrap();
    assert!(page.contains(reached), "{page}");
    drop(first);
    within("the second answer", second.read_exact(&mut [0])).await.unwrap();
    assert_eq!(running.counted.load(Ordering::Relaxed), 20);
}

const COUNTED: &[u8] = b"GET /v1/counted HTTP/1.1\r\nhost: a\r\n\r\n";

/// Asks for what is counted, and reads the answer as far as its content.
async fn ask(stream: &mut TcpStream) {
    stream.write_all(COUNTED).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"counted") {
        answer.push(stream.read_u8().await.unwrap());
    }
}

#[tokio::test]
async fn a_reader_that_stalls_gives_its_place_back() {
    let settings = AdminSettings {
        connections_max: 1,
        connection_deadline: Duration::from_millis(50),
        ..AdminSettings::default()
    };
    let running = start(&settings);
    let mut stalled = TcpStream::connect(running.address).await.unwrap();
    stalled.write_all(b"GET /v1/long HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let ask = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    answered(running.address, ask).await;
}

#[tokio::test]
async fn the_end_closes_idle_connections_and_the_port() {
    let running = start(&AdminSettings::default());
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 12];
    within("an answer", idle.read_exact(&mut answer)).await.unwrap();
    running.end.send(()).unwrap();
    within("the end", running.served).await.unwrap().unwrap();
    within("the idle connection's end", idle.read_to_end(&mut answer)).await.unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn a_taken_port_is_refused_by_its_address() {
    let settings = AdminSettings::default();
    let first = Admin::bind("127.0.0.1:0".parse().unwrap(), &settings).unwrap();
    let error = Admin::bind(first.address(), &settings).unwrap_err();
    let expected = format!("[admin] listen = \"{}\": cannot listen there", first.address());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_control_runtime_serves_without_a_caller_on_it() {
    let runtime = admin::control_runtime().unwrap();
    let guard = runtime.enter();
    let running = start(&AdminSettings::default());
    drop(guard);
    let answer = runtime.block_on(request(running.address, "GET /healthz"));
    assert_eq!(answer.status, 200);
    runtime.shutdown_background();
}
