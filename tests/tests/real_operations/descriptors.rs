//! File descriptors: a node takes what the system lets it have.

use std::{fs, process::Command, sync::Arc};

use nearcast_tests::real::{
    node::NodeFile,
    process::{Process, Signal},
    program,
};

use super::drain::gated;

#[test]
fn a_node_takes_all_descriptors_that_it_may_and_warns_of_too_few() {
    let origin = gated(&Arc::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    fs::write(&path, NodeFile::pulling(origin.address).text()).unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -S -n 300 && ulimit -H -n 900 && exec \"$0\" run --config \"$1\""])
        .arg(program::nearcast().unwrap())
        .arg(&path)
        .env("NEARCAST_WORKERS", "1");
    let mut process = Process::start(&mut shell).unwrap();
    let told =
        |words: &'static str| move |line: &str| line.contains(words).then(|| line.to_owned());
    let warning = process.stderr_line(told("fewer file descriptors")).unwrap();
    assert!(warning.contains("\"allowed\":900"), "{warning}");
    process.stderr_line(told("the edge answers")).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = files.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers, ["900", "900"]);
    process.signal(Signal::Terminate).unwrap();
    assert_eq!(process.ended().unwrap().code(), Some(0));
}
