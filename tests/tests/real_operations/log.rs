//! The access log: every request has its line, and no line ever holds up a request.

use std::{fs, path::Path, process::Command};

use nearcast_tests::real::{
    Tested,
    http::Connection,
    node::{Node, NodeFile, site},
    origin::Origin,
    process::Signal,
    wait_for,
};
use serde_json::{Value, json};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nCache-Control: max-age=60\r\n\r\nbody";

fn node(origin: &Origin, log: &[String]) -> Tested<Node> {
    let mut file = NodeFile::pulling(origin.address);
    file.sites = site("www", "www.test", origin.address);
    file.sites += &site("dead", "dead.test", "127.0.0.1:1".parse()?);
    file.log = log.to_vec();
    Node::start(&file)
}

/// The log's lines. Two workers write them, each in the order of its own requests and neither in
/// that of the other's, so a line is known by what it says and not by its place.
fn lines(path: &Path) -> Tested<Vec<Value>> {
    let text = fs::read_to_string(path)?;
    let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
    lines.map_err(|error| format!("{error} in:\n{text}").into())
}

/// The only line that says all of `words`.
fn line<'l>(lines: &'l [Value], words: &[(&str, Value)]) -> Tested<&'l Value> {
    let fits = |line: &&Value| words.iter().all(|(name, value)| line[name] == *value);
    match lines.iter().filter(fits).collect::<Vec<_>>().as_slice() {
        [one] => Ok(one),
        found => Err(format!("{} lines with {words:?} in {lines:#?}", found.len()).into()),
    }
}

#[test]
fn each_request_has_a_line_of_json_with_its_facts() {
    let origin = Origin::answering(OK).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let mut node = node(&origin, &[format!("access = {path:?}")]).unwrap();
    let mut www = node.connect().unwrap().host("www.test");
    let strange = "a \"quoted\" \\ name \u{e9}";
    let fields = [("User-Agent", strange), ("Referer", "http://a.test/")];
    www.ask("GET", "/a%20b?c=d&e", &fields).unwrap();
    www.ask("GET", "/a%20b?c=d&e", &fields).unwrap();
    www.ask("HEAD", "/a%20b?c=d&e", &[]).unwrap();
    let dead = node.connect().unwrap().host("dead.test").get("/gone").unwrap();
    node.connect().unwrap().host("other.test").get("/").unwrap();
    node.process.signal(Signal::Terminate).unwrap();
    assert_eq!(node.process.ended().unwrap().code(), Some(0));

    let lines = lines(&path).unwrap();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    let row = |site: &str, method: &str, status: u16, outcome: &str| {
        let words = [("site", json!(site)), ("method", json!(method)), ("outcome", json!(outcome))];
        line(&lines, &[&words[..], &[("status", json!(status))]].concat()).unwrap()
    };
    let miss = row("www", "GET", 200, "uri-miss");
    let hit = row("www", "GET", 200, "hit");
    let head = row("www", "HEAD", 200, "hit");
    let failed = row("dead", "GET", 502, "uri-miss");
    row("-", "GET", 421, "refused");
    for (line, path, bytes) in [
        (miss, "/a%20b", 4),
        (hit, "/a%20b", 4),
        (head, "/a%20b", 0),
        (failed, "/gone", dead.content.len()),
    ] {
        assert_eq!((&line["path"], &line["bytes"]), (&json!(path), &json!(bytes)), "{line}");
    }
    assert_eq!(miss["user_agent"], strange);
    assert_eq!(miss["referer"], "http://a.test/");
    assert_eq!(miss["query"], "c=d&e");
    assert_eq!(miss["host"], "www.test");
    assert_eq!(miss["version"], "HTTP/1.1");
    assert_eq!(miss["stored"], true);
    assert!(hit["ttl"].as_i64().is_some_and(|ttl| (1..=60).contains(&ttl)));
    for line in &lines {
        assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        assert!(line["micros"].as_u64().is_some() && line["time"].as_f64() > Some(1.7e9), "{line}");
    }
    let id = failed["request_id"].as_str().unwrap();
    assert!(dead.text().contains(id), "the page and the line name the same id");
}

/// As logrotate does it: move the file away, then send a signal; either of the two will do.
#[test]
fn after_rotation_lines_go_into_a_new_file() {
    let origin = Origin::answering(OK).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let mut node = node(&origin, &[format!("access = {path:?}")]).unwrap();
    let has = |path: &Path, target: &str| {
        wait_for(&format!("{target} in {}", path.display()), || {
            let text = fs::read_to_string(path).unwrap_or_default();
            Ok(text.contains(&format!("\"path\":\"{target}\"")).then_some(text.lines().count()))
        })
    };
    node.connect().unwrap().host("www.test").get("/0").unwrap();
    assert_eq!(has(&path, "/0").unwrap(), 1);
    for (signal, target) in [(Signal::Hangup, "/1"), (Signal::User1, "/2")] {
        let moved = folder.path().join(format!("{signal:?}"));
        fs::rename(&path, &moved).unwrap();
        node.process.signal(signal).unwrap();
        wait_for("a new file", || Ok(path.exists().then_some(()))).unwrap();
        node.connect().unwrap().host("www.test").get(target).unwrap();
        assert_eq!(has(&path, target).unwrap(), 1, "{signal:?}: the old lines have moved");
        assert_eq!(fs::read_to_string(&moved).unwrap().lines().count(), 1, "{signal:?}");
    }
}

/// How fast requests stay is the bench's to measure, and that no worker waits is shown by the access
/// log's own tests; here every request is answered, and every line that has no reader is counted.
#[test]
fn a_fifo_that_nobody_reads_holds_up_no_request() {
    const REQUESTS: usize = 2000;
    let origin = Origin::answering(OK).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let log = [
        format!("access = {fifo:?}"),
        "access_buffer = \"4 KiB\"".into(),
        "access_queue = \"64 KiB\"".into(),
    ];
    let node = node(&origin, &log).unwrap();
    let mut connection = node.connect().unwrap().host("www.test");
    for _ in 0..REQUESTS {
        assert_eq!(connection.get("/").unwrap().text(), "body");
    }
    let lines = |outcome: &str| {
        let metrics = node.metrics().unwrap();
        metrics.sum("nearcast_access_log_lines_total", &[("outcome", outcome)]).unwrap()
    };
    let dropped = lines("dropped");
    assert!(dropped > 0.0 && dropped <= REQUESTS as f64, "{dropped} dropped lines are counted");
    assert_eq!(lines("written"), 0.0);
}

#[test]
fn a_log_that_cannot_be_opened_is_an_error_before_anything_answers() {
    let origin = Origin::answering(OK).unwrap();
    let failed = node(&origin, &["access = \"/nowhere/at/all/access.log\"".into()]);
    let said = failed.expect_err("it started").to_string();
    assert!(said.contains("/nowhere/at/all/access.log"), "{said}");
}

#[test]
fn messages_to_the_operator_are_json_without_doubled_keys() {
    let origin = Origin::answering(OK).unwrap();
    let node = node(&origin, &[]).unwrap();
    Connection::open(node.edge).unwrap().host("dead.test").get("/gone?q").unwrap();
    let line = node.logged(&["was answered with an error"]).unwrap();
    let mut keys: Vec<&str> =
        line.split("\":").filter_map(|part| part.rsplit('"').next()).collect();
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), count, "one key, one value: {line}");
    for word in ["dead", "/gone?q", "127.0.0.1:1", "502"] {
        assert!(line.contains(word), "{word} is not in {line}");
    }
}
