//! What a hit costs while many purges are live: instructions per cached 1 KiB answer, by callgrind.
//!
//! In: how many hits, how many purges by tag, and whether they come `before` what is stored or
//! `after` it. Out: nothing but what callgrind counts; the cost of a hit is the slope between two
//! runs with different numbers of hits.
//! Always holds: the edge is the real one behind an in-memory pipe, and its log is off.
//!
//! ```sh
//! cargo build --release -p nearcast-tests --example hits_under_purges
//! for hits in 1000 5000; do
//!     valgrind --tool=callgrind --callgrind-out-file=/dev/null \
//!         target/release/examples/hits_under_purges $hits 100000 after
//! done
//! ```
#![expect(clippy::unwrap_used, clippy::panic, reason = "a tool for developers, run by hand")]

use std::sync::Arc;

use edge_core::{
    purge::{Mode, Purge, Selector},
    settings::EdgeSettings,
};
use nearcast_daemon::access_log::AccessLog;
use nearcast_tests::world::{Wires, World, origin, rest_for, site};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const REQUEST: &[u8] = b"GET /kib HTTP/1.1\r\nHost: www.example\r\nUser-Agent: loader/1\r\n\
    Accept: */*\r\n\r\n";

fn world() -> World {
    let wires = Arc::new(Wires::default());
    let handler = |_asked| {
        let head = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
            Content-Type: text/plain\r\nETag: \"x\"\r\nCache-Control: max-age=3600\r\n\
            Surrogate-Key: product-1 page list-7 shop\r\nContent-Length: 1024\r\n\r\n";
        origin::Reply { head: head.into(), content: vec![b'k'; 1024], ..Default::default() }
    };
    wires.put("origin.example:80", origin::server(handler));
    let site =
        site("name = \"www\"\nhosts = [\"*\"]\norigin = { servers = [\"http://origin.example\"] }");
    World::new(&EdgeSettings::default(), &[site.unwrap()], wires, AccessLog::off()).unwrap()
}

/// Reads one answer of unknown length and says how long it was.
async fn length_of_one(io: &mut DuplexStream) -> usize {
    io.write_all(REQUEST).await.unwrap();
    let mut octets = Vec::new();
    let body = loop {
        io.read_buf(&mut octets).await.unwrap();
        if let Some(at) = octets.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    while octets.len() < body + 1024 {
        io.read_buf(&mut octets).await.unwrap();
    }
    octets.len()
}

fn purge(world: &World, count: u64) {
    for number in 0..count {
        let selectors = vec![Selector::parse_tag(&format!("tag-{number}")).unwrap()];
        world.edge.purge(&Purge { site: "www".into(), selectors, mode: Mode::Hard });
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
    let (Some(hits), Some(purges)) = (number(), number()) else {
        panic!("hits_under_purges HITS PURGES before|after");
    };
    let after = arguments.next().as_deref() == Some("after");
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = world();
        if !after {
            purge(&world, purges);
        }
        let mut io = world.connect();
        length_of_one(&mut io).await;
        rest_for(100).await;
        if after {
            purge(&world, purges);
        }
        let mut answer = vec![0; length_of_one(&mut io).await];
        for _ in 0..hits {
            io.write_all(REQUEST).await.unwrap();
            io.read_exact(&mut answer).await.unwrap();
        }
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(text.contains("cache-status: edge; hit"), "{text}");
    });
}
