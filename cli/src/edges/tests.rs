//! What stopping and starting edges comes to, whoever waits for it.

use std::{sync::mpsc, time::Duration};

use edge::{listener, snapshot::Snapshot};
use futures_util::FutureExt as _;
use nearcast_control::settings::ControlSettings;
use nearcast_daemon::settings::{AccessTarget, AdminSettings, LogSettings, NodeSettings};
use tokio::{runtime::Runtime, time::timeout};

use super::*;
use crate::process::Plan;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// One edge with a ledger in `folder`.
fn one(runtime: &Runtime, folder: &std::path::Path) -> Edges {
    let edge = EdgePlan {
        name: "iad".to_owned(),
        cdn_id: "iad".to_owned(),
        pop: None,
        reached_at: Vec::new(),
        settings: EdgeSettings {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            ..EdgeSettings::default()
        },
        sites: Vec::new(),
    };
    let plan = Plan {
        base: nearcast_config::parse("edge.listen = [\"127.0.0.1:0\"]", "test").unwrap(),
        node: NodeSettings::default(),
        admin: AdminSettings::default(),
        control: ControlSettings {
            embedded: Some(folder.join("ledger.redb")),
            ..ControlSettings::default()
        },
        log: LogSettings { access: AccessTarget::Off, ..LogSettings::default() },
        edges: vec![edge],
        dns: None,
        workers: NonZeroUsize::MIN,
        descriptors: 0,
        same_port: true,
        theatre: true,
    };
    let mut waits = Waits::inside(runtime).unwrap();
    let bound = listener::bind(&plan.edges[0].settings.listen, &[], 1).unwrap();
    let ground = Ground {
        fills: runtime.handle().clone(),
        control: runtime.handle().clone(),
        workers: plan.workers,
        access_log: AccessLog::open(&plan.log).unwrap(),
        own: bound.addresses.clone(),
        ledger: Opened::open(&plan, &mut waits).unwrap(),
    };
    Edges::build(plan.edges, vec![bound], ground).unwrap().start(&mut waits).unwrap()
}

#[test]
fn who_does_not_wait_for_a_change_has_not_called_it_off() {
    let (runtime, folder) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
    let edges = one(&runtime, folder.path());
    runtime.block_on(async {
        for _ in 0..2 {
            assert!(edges.stop("iad").now_or_never().is_none(), "it is not done at once");
            let back = async {
                while edges.start("iad").await.unwrap() != Change::Done {
                    tokio::task::yield_now().await;
                }
            };
            timeout(PATIENCE, back).await.expect("the edge is lost between up and down");
            assert!(edges.seen()[0].up);
        }
        assert_eq!(edges.stop("iad").await.unwrap(), Change::Done);
        assert!(edges.start("iad").now_or_never().is_none(), "it is not done at once");
        let up = async {
            while !edges.seen()[0].up {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, up).await.expect("nobody started it");
        assert_eq!(edges.stop("iad").await.unwrap(), Change::Done);
    });
}

/// Else the process would wait for workers that nobody has told to end.
#[test]
fn an_edge_that_comes_up_while_all_drain_ends_with_them() {
    let (runtime, folder) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
    let edges = one(&runtime, folder.path());
    runtime.block_on(async {
        assert_eq!(edges.stop("iad").await.unwrap(), Change::Done);
        let leaving = edges.take_down("iad").unwrap();
        let running = edges.start_again("iad", leaving).await.ok().unwrap();
        assert_eq!(edges.drain(PATIENCE, std::future::pending()).await, 0);
        edges.put("iad", State::Up(running));
    });
    let (done, ended) = mpsc::channel();
    // A thread that nobody waits for: one that hangs shall fail the test, not hold it up.
    let joining = std::thread::spawn(move || {
        edges.join();
        done.send(()).unwrap();
    });
    ended.recv_timeout(PATIENCE).expect("its workers were not told to end");
    joining.join().unwrap();
}

/// Else every purge that is waited for would be partial, for ever.
#[test]
fn an_edge_that_cannot_start_again_goes_on_leaving() {
    let (runtime, folder) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
    let edges = one(&runtime, folder.path());
    runtime.block_on(async {
        assert_eq!(edges.stop("iad").await.unwrap(), Change::Done);
        // As if the ledger had not taken it.
        let leaving = edges.0.ground.ledger.as_ref().unwrap().leave("iad");
        edges.put("iad", State::Down(leaving));
        let taken = std::net::TcpListener::bind(edges.seen()[0].addresses[0]).unwrap();
        assert!(edges.start("iad").await.is_err(), "its address is taken");
        let is_leaving = |slot: &Slot| matches!(&slot.state, State::Down(Some(_)));
        assert!(edges.0.slots.lock().iter().all(is_leaving), "nobody takes it out any more");
        drop(taken);
        assert_eq!(edges.start("iad").await.unwrap(), Change::Done);
        assert_eq!(edges.stop("iad").await.unwrap(), Change::Done);
    });
}

#[test]
fn an_edge_that_is_down_while_sites_change_comes_up_with_them() {
    let (runtime, folder) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
    let edges = one(&runtime, folder.path());
    let site = |name: &str| {
        let text = format!(
            "[[site]]\nname = \"{name}\"\nhosts = [\"{name}.test\"]\n\
             origin = {{ servers = [\"http://192.0.2.1\"] }}\n[edge]\nlisten = [\"127.0.0.1:0\"]"
        );
        nearcast_config::parse(&text, "test").unwrap().sites
    };
    let serves = |edges: &Edges| -> Vec<String> {
        let snapshots = edges.running().into_iter().map(|edge| edge.hall().snapshot.load_full());
        let names = |snapshot: Arc<Snapshot>| -> Vec<String> {
            snapshot.sites.values().map(|entry| entry.site.name.to_string()).collect()
        };
        snapshots.flat_map(names).collect()
    };
    edges.take_sites(&site("shop")).unwrap();
    assert_eq!(serves(&edges), ["shop"]);
    assert_eq!(runtime.block_on(edges.stop("iad")).unwrap(), Change::Done);
    edges.take_sites(&site("blog")).unwrap();
    assert_eq!(edges.sites_planned(), ["blog"]);
    assert_eq!(runtime.block_on(edges.start("iad")).unwrap(), Change::Done);
    assert_eq!(serves(&edges), ["blog"]);
    // What is not taken leaves what is in force, also for one that comes up later.
    let both = [site("a"), site("a")].concat();
    assert!(edges.take_sites(&both).is_err());
    assert_eq!(serves(&edges), ["blog"]);
    runtime.block_on(edges.stop("iad")).unwrap();
    assert_eq!(edges.sites_planned(), ["blog"]);
    edges.join();
}
