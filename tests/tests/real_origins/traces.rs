//! What many misses leave behind: nothing. `MISSES=100000 tests/run traces` has more of them.

use std::{env, process::Command};

use nearcast_tests::real::{
    Tested,
    nginx::Nginx,
    node::{Node, NodeFile},
    program, wait_for,
};

const MISSES: u32 = 20_000;
const AT_ONCE: u32 = 1_000;
/// Levels of a node, none of which is higher afterwards.
const LEVELS: [&str; 5] = [
    "nearcast_edge_tasks",
    "nearcast_edge_memory_bytes",
    "nearcast_edge_origin_in_flight",
    "nearcast_edge_fillings",
    "nearcast_open_files",
];

#[test]
fn no_connection_task_or_byte_is_left_of_misses() -> Tested {
    let misses = match env::var("MISSES") {
        Ok(misses) => misses.parse()?,
        Err(_unset) => MISSES,
    };
    let files = tempfile::tempdir()?;
    std::fs::write(files.path().join("a.txt"), "here")?;
    let origins =
        [(); 2].map(|()| Nginx::serving(files.path(), "add_header Cache-Control no-store always;"));
    let [one, other] = origins;
    let (one, other) = (one?, other?);
    let node = Node::start(&NodeFile {
        edge: vec!["origin_networks_allowed = [\"127.0.0.0/8\"]".to_owned()],
        limits: vec![
            "connections_per_address_max = 2000".to_owned(),
            "connections_max = 2000".to_owned(),
        ],
        sites: format!(
            "[[site]]\nname = \"www\"\nhosts = [\"*\"]\n[site.origin]\n\
             servers = [\"http://{}\", \"http://{}\"]\nbalance = \"least-loaded\"\n\
             keep_alive = \"5s\"\nqueue_timeout = \"1m\"\n",
            one.address, other.address
        ),
        ..NodeFile::default()
    })?;
    // Whatever is made once is made by the first.
    assert_eq!(node.get("/a.txt")?.status, 200);
    let idle = settled(&node, None)?;
    let output = Command::new(program::tool("h2load")?)
        .args(["--h1", "-n", &misses.to_string(), "-c", &AT_ONCE.to_string()])
        .arg(format!("http://{}/a.txt", node.edge))
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    assert!(said.contains(&format!("{misses} succeeded, 0 failed")), "{said}");
    settled(&node, Some(&idle))?;
    let metrics = node.metrics()?;
    let sum = |name: &str| metrics.sum(name, &[]).unwrap_or_default();
    let requests = sum("nearcast_edge_origin_requests_total");
    let connections = sum("nearcast_edge_origin_connections_total");
    assert!(requests > f64::from(misses), "each was a miss: {requests}");
    // As many as may be open, twice; beyond that 99 of 100 requests find one that is there.
    let most = 2.0 * 2.0 * 256.0 + requests / 100.0;
    assert!(connections < most, "{connections} connections for {requests} requests");
    Ok(())
}

/// The levels once clients and origins' connections have gone: those `wanted`, or what they come to.
fn settled(node: &Node, wanted: Option<&[f64]>) -> Tested<Vec<f64>> {
    let mut last = Vec::new();
    let settled = wait_for("all to be as it was", || {
        let metrics = node.metrics()?;
        let level = |name: &&str| metrics.sum(name, &[]).ok_or_else(|| format!("no {name}"));
        last = LEVELS.iter().map(level).collect::<Result<Vec<f64>, _>>()?;
        let clients = metrics.sum("nearcast_edge_connections", &[]).ok_or("no clients")?;
        // The first look waits for the one connection that was kept to be closed.
        let mut pairs = last.iter().zip(wanted.unwrap_or(&last));
        let is_idle = clients < 0.5 && pairs.all(|(last, wanted)| last <= wanted);
        let origins = metrics.sum("nearcast_edge_origin_connections_open", &[]);
        Ok((is_idle && origins == Some(0.0)).then_some(()))
    });
    settled.map_err(|error| format!("{error}: {LEVELS:?} are {last:?}, were {wanted:?}"))?;
    Ok(last)
}
