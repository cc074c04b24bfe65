//! A changed file and SIGHUP: new settings are taken whole, or the old ones stay and the log says why.

use std::sync::Arc;

use nearcast_tests::real::{
    Tested,
    node::{Node, NodeFile, site},
    origin::Origin,
    process::Signal,
    wait_for,
};

use super::drain::{Gate, gated};

fn origin(says: &str) -> Tested<Origin> {
    let length = says.len();
    Origin::answering(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nCache-Control: max-age=60\r\n\r\n{says}"
    ))
}

fn status(node: &Node, host: &str) -> Tested<u16> {
    Ok(node.connect()?.host(host).get("/")?.status)
}

fn answers(node: &Node, host: &str, wanted: u16) -> Tested {
    wait_for(&format!("{host} to answer {wanted}"), || {
        Ok((status(node, host)? == wanted).then_some(()))
    })
}

#[test]
fn a_changed_file_is_taken_and_a_broken_one_is_not() {
    let (one, two) = (origin("one").unwrap(), origin("two").unwrap());
    let site_of_one = site("one", "one.test", one.address);
    let file = NodeFile { sites: site_of_one.clone(), ..NodeFile::pulling(one.address) };
    let mut node = Node::start(&file).unwrap();
    let mut kept = node.connect().unwrap().host("one.test");
    assert_eq!(kept.get("/").unwrap().text(), "one");
    assert_eq!(status(&node, "two.test").unwrap(), 421);

    // A new site answers, and what was stored stays.
    let both =
        NodeFile { sites: site_of_one + &site("two", "two.test", two.address), ..file.clone() };
    node.rewrite(&both.text()).unwrap();
    answers(&node, "two.test", 200).unwrap();
    assert!(kept.get("/").unwrap().is_hit(), "a reload drops neither connection nor content");

    // A broken file changes nothing; its faults are told with line and key.
    let broken = both.limit("conections_max = 100").text().replace("127.0.0.1:0", "nowhere");
    node.rewrite(&broken).unwrap();
    let told = node.logged(&["conections_max", "stay"]).unwrap();
    for words in ["node.toml:", "unknown key", "did you mean connections_max?", "edge.listen[0]"] {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    assert_eq!(status(&node, "two.test").unwrap(), 200);
    assert_eq!(status(&node, "one.test").unwrap(), 200);

    // A site that was removed is nobody's.
    node.rewrite(&file.text()).unwrap();
    answers(&node, "two.test", 421).unwrap();
    assert_eq!(kept.get("/").unwrap().status, 200);
    assert!(node.process.is_running().unwrap());
}

#[test]
fn sighup_reads_the_file_again() {
    let origin = origin("one").unwrap();
    let file = NodeFile::pulling(origin.address);
    let mut node = Node::start(&file).unwrap();
    // The same file: no change to notice, so only the signal can have asked.
    node.process.signal(Signal::Hangup).unwrap();
    node.logged(&["reloaded", "\"sites\":1"]).unwrap();
    let mut larger = file;
    larger.edge.push("memory = \"64 MiB\"".to_owned());
    larger.log.push("access_delay = \"2s\"".to_owned());
    node.rewrite(&larger.text()).unwrap();
    for key in ["edge.memory", "log.access_delay"] {
        node.logged(&["needs a restart", &format!("\"{key}\"")]).unwrap();
    }
    let limit = node.metrics().unwrap().sum("nearcast_edge_memory_limit_bytes", &[]).unwrap();
    // An eighth of so little memory is kept back for what no charge counts.
    assert_eq!(limit, 208.0 * 1024.0 * 1024.0, "the old value stays in force");
}

#[test]
fn a_reload_changes_the_deadline_of_a_drain() {
    let gate = Arc::<Gate>::default();
    let origin = gated(&gate).unwrap();
    let mut file = NodeFile::pulling(origin.address);
    file.node.push("drain_deadline = \"1h\"".to_owned());
    let mut node = Node::start(&file).unwrap();
    file.node = vec!["drain_deadline = \"100ms\"".to_owned()];
    node.rewrite(&file.text()).unwrap();
    node.logged(&["reloaded"]).unwrap();
    let mut stuck = node.connect().unwrap();
    stuck.send_head("GET", "/content", &[]).unwrap();
    assert_eq!(stuck.head().unwrap().status, 200);
    node.process.signal(Signal::Terminate).unwrap();
    assert_eq!(node.process.ended().unwrap().code(), Some(0));
    node.logged(&["ended before everything in flight was done"]).unwrap();
    gate.open();
}

#[test]
fn a_changed_zone_file_is_taken_without_a_signal_and_a_broken_one_is_not() {
    let origin = origin("one").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let zone = folder.path().join("cdn.zone");
    let replace = |text: &str| {
        let new = folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &zone).unwrap();
    };
    let soa = |serial| format!("$TTL 60\n@ SOA ns h {serial} 1h 10m 1d 60\n@ NS ns.other.test.\n");
    replace(&soa(7));
    let geodns = format!(
        "[geodns]\nlisten = [\"127.0.0.1:0\"]\n\
         zone = [{{ name = \"cdn.test\", file = {:?} }}]\n\
         [[pop]]\nname = \"here\"\naddresses = [\"192.0.2.1\"]\n",
        zone.display().to_string()
    );
    let mut file = NodeFile::pulling(origin.address);
    file.sites = file.sites + &geodns;
    let mut node = Node::start(&file).unwrap();
    let serial = |node: &Node| -> Tested<Option<f64>> {
        Ok(node.metrics()?.sum("nearcast_dns_zone_serial", &[]))
    };
    assert_eq!(serial(&node).unwrap(), Some(7.0));

    replace(&format!("{}www A nowhere\n", soa(8)));
    let told = node.logged(&["cdn.zone:4", "stay"]).unwrap();
    assert!(told.contains("nowhere"), "{told}");
    assert_eq!(serial(&node).unwrap(), Some(7.0));
    replace(&format!("{}more A 192.0.2.9\n", soa(9)));
    wait_for("the new zone", || Ok((serial(&node)? == Some(9.0)).then_some(()))).unwrap();
    assert!(node.process.is_running().unwrap());
}
