//! `nearcast up` on a terminal: keys 1 to 3 stop and start its edges.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::Command,
};

use nearcast_tests::real::{
    Tested,
    process::{Process, Signal},
    program,
    terminal::Terminal,
    wait_for,
};
use serde_json::Value;
use tempfile::TempDir;

/// How the terminal is set, what runs on it, how that ended, and how the terminal is set then.
const SCRIPT: &str = r#"trap : INT; stty -g; "$@"; echo "ended $?"; stty -g"#;

fn up(data: &TempDir) -> Tested<Command> {
    let mut command = Command::new(program::nearcast()?);
    command.args(["up", "--http-port", "0", "--dns-port", "0", "--admin-port", "0"]);
    command.arg("--data").arg(data.path());
    Ok(command)
}

/// Waits until it is up; what runs where.
fn facts(process: &Process, data: &TempDir) -> Tested<Value> {
    process.stdout_line(|line| line.contains("Ctrl-C").then_some(()))?;
    Ok(serde_json::from_slice(&fs::read(data.path().join("up.json"))?)?)
}

fn edges(facts: &Value) -> Vec<SocketAddr> {
    let edges = facts["edges"].as_array().into_iter().flatten();
    edges.filter_map(|edge| edge["http"][0].as_str()?.parse().ok()).collect()
}

fn answers(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

fn until(address: SocketAddr, up: bool) -> Tested {
    let what = format!("{address}, answering: {up}");
    wait_for(&what, || Ok((answers(address) == up).then_some(())))
}

#[test]
fn keys_stop_and_start_the_edges_and_ctrl_c_leaves_the_terminal_as_it_was() {
    let data = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::open().unwrap();
    assert!(terminal.gives_lines().unwrap());
    let mut shell = terminal.start(SCRIPT, &up(&data).unwrap()).unwrap();
    let edges = edges(&facts(&shell, &data).unwrap());
    let [first, second, third] = edges[..] else { panic!("not three edges: {edges:?}") };
    let told = shell.stdout().join("\n");
    assert!(told.contains("Keys 1, 2 and 3 stop iad, fra and sin"), "{told}");
    assert!(!terminal.gives_lines().unwrap(), "no Enter is needed");

    terminal.keys("3").unwrap();
    until(third, false).unwrap();
    assert!(answers(first) && answers(second));
    // Keys that mean nothing, and several at once.
    terminal.keys("0x4\n12").unwrap();
    until(first, false).unwrap();
    until(second, false).unwrap();
    assert!(!answers(third));
    terminal.keys("2").unwrap();
    until(second, true).unwrap();
    terminal.keys("3").unwrap();
    until(third, true).unwrap();
    assert!(!answers(first));
    shell.stderr_line(|line| line.contains("started").then_some(())).unwrap();

    terminal.keys("\x03").unwrap();
    assert_eq!(shell.ended().unwrap().code(), Some(0));
    let said = shell.stdout();
    assert_eq!(said[said.len() - 2], "ended 0", "{said:?}");
    assert_eq!(said.first(), said.last(), "the terminal is not as it was");
}

/// What a shell with job control does: Ctrl-Z, `fg`, Ctrl-Z, `bg`, `fg`. It says how the terminal is
/// set whenever it has it back, and goes on at a line.
const JOBS: &str = r#"set -m; stty -g; "$@"; echo "first $?"; stty -g; read -r line; fg >/dev/null
    echo "second $?"; stty -g; bg >/dev/null; read -r line; stty -g; echo "said $line"
    fg >/dev/null; echo "ended $?"; stty -g"#;

#[test]
fn after_ctrl_z_the_shell_has_its_terminal_and_after_fg_the_keys_work() {
    let data = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::open().unwrap();
    let mut shell = terminal.start(JOBS, &up(&data).unwrap()).unwrap();
    let facts = facts(&shell, &data).unwrap();
    let [first, second, third] = edges(&facts)[..] else { panic!("not three edges: {facts}") };
    let said = |words: &'static str| {
        shell.stdout_line(move |line| line.starts_with(words).then_some(())).unwrap();
    };
    let by_key = |terminal: &Terminal| {
        wait_for("a terminal that gives keys", || Ok((!terminal.gives_lines()?).then_some(())))
    };
    by_key(&terminal).unwrap();

    terminal.keys("\x1a").unwrap();
    said("first ");
    assert!(terminal.gives_lines().unwrap(), "the shell shows nothing of what is typed");
    terminal.keys("go on\n").unwrap();
    by_key(&terminal).unwrap();
    terminal.keys("1").unwrap();
    until(first, false).unwrap();

    terminal.keys("\x1a").unwrap();
    said("second ");
    // In the background it serves on, and what is typed is the shell's.
    until(second, true).unwrap();
    terminal.keys("2\n").unwrap();
    said("said 2");
    by_key(&terminal).unwrap();
    assert!(answers(second));
    terminal.keys("3").unwrap();
    until(third, false).unwrap();

    terminal.keys("\x03").unwrap();
    shell.ended().unwrap();
    let said = shell.stdout();
    assert_eq!(said[said.len() - 2], "ended 0", "{said:?}");
    let as_found = said.iter().filter(|line| **line == said[0]).count();
    assert_eq!(as_found, 5, "the terminal is not as it was: {said:?}");
}

/// POSIX.1 *Terminal Access Control*: whoever reads from a terminal, or sets it, in the background
/// is stopped by it.
#[test]
fn in_the_background_up_leaves_the_terminal_alone() {
    let data = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::open().unwrap();
    // `timeout` starts what it watches in the background.
    let script = SCRIPT.replace("\"$@\"", "timeout 60 \"$@\"");
    let mut shell = terminal.start(&script, &up(&data).unwrap()).unwrap();
    let facts = facts(&shell, &data).unwrap();
    assert!(!shell.stdout().iter().any(|line| line.starts_with("Keys")), "{:?}", shell.stdout());
    assert!(terminal.gives_lines().unwrap());
    terminal.keys("1\n").unwrap();
    assert!(edges(&facts).into_iter().all(answers));
    let id = facts["process"].to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(shell.ended().unwrap().code(), Some(0));
    let said = shell.stdout();
    assert_eq!(said[said.len() - 2], "ended 0", "{said:?}");
    assert_eq!(said.first(), said.last());
}

/// A terminal of another session, and no terminal at all.
#[test]
fn what_is_not_its_terminal_is_not_read() {
    let terminal = Terminal::open().unwrap();
    for stdin in [terminal.stdin().unwrap(), std::io::pipe().unwrap().0.into()] {
        let data = tempfile::tempdir().unwrap();
        let mut process = Process::start_reading(&mut up(&data).unwrap(), stdin).unwrap();
        facts(&process, &data).unwrap();
        assert!(!process.stdout().iter().any(|line| line.starts_with("Keys")));
        assert!(terminal.gives_lines().unwrap());
        process.signal(Signal::Interrupt).unwrap();
        assert_eq!(process.ended().unwrap().code(), Some(0));
    }
}
