//! File descriptors: a node takes what the system lets it have.

use std::{fs, path::Path, process::Command, sync::Arc};

use nearcast_tests::real::{
    Tested,
    node::NodeFile,
    process::{Process, Signal},
    program, wait_for,
};

use super::drain::gated;

/// A node with few descriptors, and what it needs.
fn limited(path: &Path, file: &NodeFile) -> Tested<Process> {
    fs::write(path, file.text())?;
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -S -n 300 && ulimit -H -n 900 && exec \"$0\" run --config \"$1\""])
        .arg(program::nearcast()?)
        .arg(path)
        .env("NEARCAST_WORKERS", "1");
    Process::start(&mut shell)
}

#[test]
fn a_reload_that_asks_for_more_than_there_are_is_told() {
    let origin = gated(&Arc::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    let file = NodeFile::pulling(origin.address).limit("connections_per_address_max = 50");
    let mut process = limited(&path, &file.clone().limit("connections_max = 60")).unwrap();
    let told =
        |words: &'static str| move |line: &str| line.contains(words).then(|| line.to_owned());
    process.stderr_line(told("the edge answers")).unwrap();
    let warned = |process: &Process| {
        let lines = process.stderr().into_iter();
        lines.filter(|line| line.contains("fewer file descriptors")).count()
    };
    assert_eq!(warned(&process), 0, "as many as it needs");
    let new = folder.path().join("new");
    fs::write(&new, file.limit("connections_max = 2000").text()).unwrap();
    fs::rename(&new, &path).unwrap();
    process.stderr_line(told("fewer file descriptors")).unwrap();
    // Nothing has changed since.
    process.signal(Signal::Hangup).unwrap();
    wait_for("two reloads", || {
        let lines = process.stderr().into_iter();
        Ok((lines.filter(|line| line.contains("\"reloaded\"")).count() == 2).then_some(()))
    })
    .unwrap();
    assert_eq!(warned(&process), 1, "each time");
    process.signal(Signal::Terminate).unwrap();
    assert_eq!(process.ended().unwrap().code(), Some(0));
}

#[test]
fn a_node_takes_all_descriptors_that_it_may_and_warns_of_too_few() {
    let origin = gated(&Arc::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    let mut process = limited(&path, &NodeFile::pulling(origin.address)).unwrap();
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
