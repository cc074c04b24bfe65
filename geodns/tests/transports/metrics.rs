//! What is counted and logged of what was answered.

use std::time::Duration;

use geodns::{limits::StreamLimits, listen::bind, record::Recorder};
use nearcast_daemon::{
    access_log::AccessLog,
    settings::{AccessTarget, LogSettings},
};
use serde_json::Value;

use crate::{
    clients::{ask_tcp, ask_udp, tcp, udp},
    query::Query,
    stage::{DEADLINE, Stage, loopback},
};

#[test]
fn every_answer_is_counted_once_by_what_it_is() {
    let stage = Stage::new();
    let socket = udp(stage.dns());
    let www = Query::new("www.cdn.test", 1).subnet("198.51.100.0".parse().unwrap(), 25);
    for _ in 0..3 {
        ask_udp(&socket, &www.bytes());
    }
    ask_udp(&socket, &Query::new("nowhere.cdn.test", 28).bytes());
    ask_udp(&socket, &Query::new("mail.cdn.test", 28).bytes());
    ask_udp(&socket, &Query::new("other.test", 1).bytes());
    ask_udp(&socket, &Query::new("long.cdn.test", 16).bytes());
    ask_udp(&socket, &www.option(10, &[1; 8]).bytes());
    ask_tcp(&mut tcp(stage.dns()), &Query::new("ns.cdn.test", 1234).bytes());
    let zone = "zone=\"cdn.test.\"";
    for (parts, value) in [
        (&["dns_queries_total", "udp", "type=\"A\""][..], 5),
        (&["dns_queries_total", "udp", "type=\"AAAA\""], 2),
        (&["dns_queries_total", "udp", "type=\"TXT\""], 1),
        (&["dns_queries_total", "tcp", "type=\"other\""], 1),
        (&["dns_responses_total", zone, "NOERROR"], 5),
        (&["dns_responses_total", zone, "NODATA"], 2),
        (&["dns_responses_total", zone, "NXDOMAIN"], 1),
        (&["dns_responses_total", "zone=\"\"", "REFUSED"], 1),
        (&["dns_pop_answers_total", "iad"], 4),
        (&["dns_pop_answers_total", "fra"], 0),
        (&["dns_located_total", "subnet", "map"], 4),
        (&["dns_cookies_total", "client"], 1),
        (&["dns_cookies_total", "none"], 8),
        (&["dns_truncated_total"], 1),
        (&["dns_connections_total", "tcp", "accepted"], 1),
    ] {
        stage.until(parts, value);
        assert_eq!(stage.count(parts), value, "{parts:?}");
    }
    // Not answered, and so counted elsewhere.
    socket.send(&[0; 5]).unwrap();
    socket.send(&[0xff; 20]).unwrap();
    socket.send(&[0; 1473]).unwrap();
    stage.until(&["dns_dropped_total", "too short"], 1);
    stage.until(&["dns_dropped_total", "\"response\""], 1);
    stage.until(&["dns_dropped_total", "too long"], 1);
}

#[test]
fn a_name_is_counted_on_through_reloads() {
    let stage = Stage::new();
    let socket = udp(stage.dns());
    let query = Query::new("www.cdn.test", 1).bytes();
    for _ in 0..10 {
        ask_udp(&socket, &query);
        stage.shared.publish(crate::stage::served(), None);
    }
    stage.until(&["dns_responses_total", "cdn.test.", "NOERROR"], 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_query_in_so_many_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("query.log");
    let settings = LogSettings {
        access: AccessTarget::Path(path.clone()),
        access_delay: Duration::from_millis(250),
        ..LogSettings::default()
    };
    let log = AccessLog::open(&settings).unwrap();
    let recorder = Recorder::new(log.clone(), 3);
    let bound = bind(&loopback(), 1).unwrap();
    let mut stage = Stage::on(StreamLimits::default(), bound, recorder);
    let socket = udp(stage.dns());
    let query = Query::new("wWw.cdn.test", 1).subnet("203.0.113.0".parse().unwrap(), 24);
    for _ in 0..6 {
        ask_udp(&socket, &query.bytes());
    }
    stage.drain();
    tokio::task::block_in_place(|| stage.join());
    log.close(DEADLINE).await;
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    for line in lines {
        for (key, value) in [
            ("client", "127.0.0.1"),
            ("transport", "udp"),
            ("name", "wWw.cdn.test."),
            ("type", "A"),
            ("subnet", "203.0.113.0/24"),
            ("rcode", "NOERROR"),
            ("class", "answer"),
            ("zone", "cdn.test."),
            ("pop", "fra"),
            ("located", "subnet"),
            ("known", "map"),
        ] {
            assert_eq!(line[key], value, "{line}");
        }
        assert_eq!(line["scope"], 24, "{line}");
        assert!(line["time"].as_f64().unwrap() > 1e9, "{line}");
        assert!(line["port"].as_u64().unwrap() > 0 && line["bytes"].as_u64().unwrap() > 40);
    }
}
