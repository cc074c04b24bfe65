//! Three servers with three replicas, each of which syncs every write: what durability is claimed for.

use std::sync::Arc;

use nearcast_control::{
    ledger::{Expect, Ledger as _, Log, Revision},
    nats::{Access, Nats, Options},
};

use super::{
    faults::{assert_there, key, soon, text, until, write_on},
    server::{InNats, Server, newest},
};
use crate::contract;

/// Servers of one cluster.
struct Cluster(Vec<Server>);

impl Cluster {
    fn start() -> Self {
        let mut servers: Vec<Server> = Vec::new();
        for number in 0..3 {
            // Each must be told of two, though the first ones start before the others have ports;
            // nobody is at ports 1 and 2.
            let others = servers.iter().filter_map(|server| server.ports.1).chain([1, 2]).take(2);
            let routes: Vec<String> =
                others.map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
            let more = format!(
                "server_name: n{number}\n\
                 cluster {{ name: test, listen: \"127.0.0.1:-1\", routes: [{}] }}",
                routes.join(", ")
            );
            servers.push(Server::syncing(newest(), &more));
        }
        Self(servers)
    }

    fn place(&self, prefix: &str) -> InNats {
        let servers = self.0.iter().map(Server::url).collect();
        let access = Access { servers, ..Access::default() };
        let kept = nearcast_control::embedded::Kept::default();
        InNats(Options { access, prefix: prefix.to_owned(), replicas: 3, kept })
    }

    /// The server that leads a stream.
    async fn leader(&self, place: &InNats, stream: &str) -> &Server {
        let led = async {
            loop {
                let info = place.ask(&format!("STREAM.INFO.{stream}")).await;
                let name = info["cluster"]["leader"].as_str().unwrap_or_default().to_owned();
                let number = name.strip_prefix('n').and_then(|name| name.parse::<usize>().ok());
                if let Some(server) = number.and_then(|number| self.0.get(number)) {
                    return server;
                }
            }
        };
        soon(led).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_keep_the_contract() {
    let cluster = Cluster::start();
    contract::a_write_expects_what_is_there(&cluster.place("a")).await;
    contract::of_racing_writers_one_wins_each_round(&cluster.place("b")).await;
    contract::an_entry_of_one_name_is_appended_once(&cluster.place("c")).await;
    contract::a_watch_brings_what_was_and_what_comes_in_order(&cluster.place("d")).await;
    contract::a_reader_learns_what_was_trimmed(&cluster.place("e")).await;
    contract::history_is_newest_first_and_bounded(&cluster.place("f")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_loses_nothing_acknowledged() {
    let cluster = Cluster::start();
    let place = cluster.place("cdn");
    let ledger = Arc::new(place.nats().await);
    let start = ledger.ends(Log::Purges).await.unwrap().last;
    let mut follow = ledger.follow(Log::Purges, start).await.unwrap();
    let writers: Vec<_> = (0..4)
        .map(|writer| tokio::spawn(write_on(Arc::clone(&ledger), writer, |count| count >= 60)))
        .collect();
    let is_going =
        async { while ledger.ends(Log::Purges).await.unwrap().after(start).unwrap() < 20 {} };
    soon(is_going).await;
    let leader = cluster.leader(&place, "cdn-purges").await;
    leader.kill();
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(soon(writer).await.unwrap());
    }
    assert_there(&ledger, start, &acknowledged).await;
    let seen = until(&mut follow, &"end".into()).await;
    for number in &acknowledged {
        assert!(seen.iter().any(|(_, value)| *value == text(*number)), "{number}");
    }
    // What it comes back to is the same; with it and one other the third is not needed.
    leader.start_again();
    let other = cluster.leader(&place, "KV_cdn").await;
    other.stop();
    let written = async {
        loop {
            if let Ok(revision) = ledger.write(&key("a"), "x".into(), Expect::Anything).await {
                return revision;
            }
        }
    };
    let revision = soon(written).await;
    assert!(revision > Revision::NONE);
    other.go_on();
    // As a process does: whoever is asked may have stood still until now.
    let opened = async {
        loop {
            match Nats::open(&place.0).await {
                Ok(ledger) => return ledger,
                Err(error) => assert!(error.is_away(), "{error}"),
            }
        }
    };
    let again = soon(opened).await;
    assert_eq!(again.read(&key("a")).await.unwrap().unwrap().revision, revision);
    assert_there(&again, start, &acknowledged).await;
}
