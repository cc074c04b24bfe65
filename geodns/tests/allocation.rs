//! The allocation budget of a query over UDP: none, and of one over a connection: none but buffers
//! that are kept.
//!
//! In: queries at a desk, as the batch loop offers them. Out: allocations on this thread. Always
//! holds: nothing is allocated between a datagram and its response, counting and pinning included.
#![expect(clippy::unwrap_used, reason = "what is built here is known to be well-formed")]

#[path = "transports/query.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod query;
#[path = "transports/stage.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod stage;

use std::{net::SocketAddr, sync::Arc};

use allocation_counter::measure;
use geodns::{
    clock::Clock,
    record::Recorder,
    serve::Desk,
    state::Shared,
    udp::{Lost, Respond},
};
use nearcast_daemon::access_log::AccessLog;

use self::query::Query;

#[test]
fn a_query_allocates_nothing() {
    let shared = stage::shared(Recorder::new(AccessLog::off(), 1));
    allocates_nothing(&shared);
}

#[test]
fn one_for_which_drains_are_given_up_allocates_nothing() {
    let snapshot = stage::snapshot_of(|fleet| {
        for pop in &mut fleet.pops {
            pop.out = pop.addresses().collect();
        }
    });
    let served = stage::served_from(&snapshot);
    assert!(served.standings().has_out());
    let recorder = Recorder::new(AccessLog::off(), 1);
    allocates_nothing(&Shared::new(served, None, recorder, Clock::system()));
}

fn allocates_nothing(shared: &Arc<Shared>) {
    let mut desk = Desk::new(shared);
    let client = SocketAddr::from(([192, 0, 2, 7], 5353));
    let subnet = ("203.0.113.0".parse().unwrap(), 24);
    let queries = [
        Query::new("www.cdn.test", 1),
        Query::new("www.cdn.test", 65).subnet(subnet.0, subnet.1),
        Query::new("nowhere.cdn.test", 1).option(10, &[7; 8]),
        Query::new("long.cdn.test", 16),
        Query::new("other.test", 1),
    ];
    let mut messages: Vec<_> = queries.iter().map(Query::bytes).collect();
    messages.push(vec![0; 3]);
    let mut out = [0; 1472];
    let mut answered = 0;
    let counted = measure(|| {
        desk.begin();
        for message in &messages {
            answered += usize::from(desk.respond(message, client, &mut out).is_some());
        }
        desk.lost(Lost::NoPort);
        desk.idle();
    });
    assert_eq!(answered, queries.len());
    assert_eq!(counted.count_total, 0);
}
