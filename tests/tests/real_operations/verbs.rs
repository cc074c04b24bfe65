//! The command line: results on stdout, messages on stderr, exit 0 done, 1 refused, 2 usage.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use nearcast_tests::real::{
    Tested,
    http::Connection,
    process::{Process, Signal},
    program,
};
use serde_json::Value;

fn nearcast(folder: &Path, arguments: &[&str]) -> Tested<Output> {
    Ok(Command::new(program::nearcast()?).args(arguments).current_dir(folder).output()?)
}

fn refused() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/refused")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

#[test]
fn check_names_every_fault_of_a_file_at_once() {
    let output = nearcast(&refused(), &["check", "many.toml"]).unwrap();
    let wanted = fs::read_to_string(refused().join("many.txt")).unwrap();
    assert_eq!(text(&output.stdout).trim_end(), wanted.trim_end());
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), ""));

    let output = nearcast(&refused(), &["check", "--json", "many.toml"]).unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["problems"].as_array().map(Vec::len), Some(15), "{report}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn check_agrees_with_the_examples() {
    let examples = refused().join("../examples");
    for entry in fs::read_dir(&examples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_name().unwrap().to_str().unwrap();
            let output = nearcast(&examples, &["check", name]).unwrap();
            assert_eq!(output.status.code(), Some(0), "{name}: {}", text(&output.stdout));
            assert!(text(&output.stdout).contains("no problems"));
        }
    }
}

#[test]
fn run_refuses_what_check_refuses() {
    let output = nearcast(&refused(), &["run", "--config", "many.toml"]).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("15 problems"), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
}

/// What only building an edge would find is found by `check` as well: the files that are named.
#[test]
fn check_refuses_what_run_would_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let file = |more: &str| {
        format!(
            "[edge]\nlisten = [\"127.0.0.1:0\"]\n{more}\n[[site]]\nname = \"www\"\nhosts = [\"*\"]\n\
             [site.origin]\nservers = [\"https://origin.test\"]\nca = \"ca.pem\"\n"
        )
    };
    write("ca.pem", "junk");
    write("ca.toml", &file(""));
    write("log.toml", &file("[log]\naccess = \"not-there/access.log\""));
    for (name, wanted) in [
        ("ca.toml", " site[0].origin.ca = \"ca.pem\": holds no certificate; allowed: "),
        ("log.toml", " log.access = \"not-there/access.log\": its folder is not there"),
    ] {
        let checked = nearcast(folder.path(), &["check", name]).unwrap();
        assert_eq!(checked.status.code(), Some(1), "{name}: {checked:?}");
        assert!(text(&checked.stdout).contains(wanted), "{}", text(&checked.stdout));
        let run = nearcast(folder.path(), &["run", "--config", name]).unwrap();
        assert_eq!(run.status.code(), Some(1), "{name}: {run:?}");
        assert!(text(&run.stderr).contains(wanted), "{}", text(&run.stderr));
    }
}

#[test]
fn a_missing_file_is_a_refusal_and_a_wrong_command_line_is_usage() {
    const URL: &str = "not an origin URL; allowed: http://host[:port] or https://host[:port], \
        or http+srv://name or https+srv://name";
    let rows: [(&[&str], i32, &str); 9] = [
        (&["check", "not-there.toml"], 1, "not-there.toml"),
        (&["run", "--config", "not-there.toml"], 1, "not-there.toml"),
        (&["up", "--root", "not-there"], 1, "not-there"),
        (&[], 2, "Usage"),
        (&["chekc"], 2, "check"),
        (&["check"], 2, "FILE"),
        (&["run"], 2, "--config"),
        (&["up", "--root", ".", "--origin", "http://127.0.0.1:1"], 2, "--origin"),
        (&["up", "--http-port", "70000"], 2, "--http-port"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (arguments, code, word) in rows {
        let data = folder.path().join("data");
        let data = data.to_str().unwrap();
        let mut arguments = arguments.to_vec();
        if arguments.first() == Some(&"up") {
            arguments.extend(["--data", data]);
        }
        let output = nearcast(folder.path(), &arguments).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        let said = text(&output.stderr) + &text(&output.stdout);
        assert!(said.to_lowercase().contains(&word.to_lowercase()), "{arguments:?}: {said}");
    }
    for (origin, fault) in [
        ("ftp://a.test", URL),
        ("a.test", URL),
        ("http://", URL),
        (
            "http://169.254.1.1",
            "a loopback or link-local address without permission; \
             allowed: one within edge.origin_networks_allowed",
        ),
    ] {
        let data = folder.path().join("data");
        let output =
            nearcast(folder.path(), &["up", "--origin", origin, "--data", data.to_str().unwrap()]);
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2), "{origin}: {output:?}");
        let wanted = format!("nearcast: --origin \"{origin}\": {fault}\n");
        assert_eq!(text(&output.stderr), wanted);
    }
}

/// A verb whose standard output is `stdout`, until it ends.
fn saying_into(stdout: Stdio, arguments: &[&str]) -> Tested<Output> {
    let mut command = Command::new(program::nearcast()?);
    command.args(arguments).current_dir(refused());
    Ok(command.stdout(stdout).stderr(Stdio::piped()).spawn()?.wait_with_output()?)
}

/// `| head -1`: the reader has gone, and what it did not want is nobody's fault.
#[test]
fn a_reader_that_has_gone_changes_no_exit_code() {
    for (file, code) in [("many.toml", 1), ("../examples/minimal.toml", 0)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = saying_into(writer.into(), &["check", file]).unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_eq!(text(&output.stderr), "");
    }
}

/// A result that cannot be written is a failure with a message, and what was started ends well.
#[test]
fn a_full_standard_output_is_a_failure_and_no_panic() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    let rows: [&[&str]; 3] = [
        &["check", "../examples/minimal.toml"],
        &["up", "--http-port", "0", "--dns-port", "0", "--admin-port", "0", "--data", data],
        &["origin-mock", "--listen", "127.0.0.1:0"],
    ];
    for arguments in rows {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = saying_into(full.into(), arguments).unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("nearcast: cannot write to standard output"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// A running origin and the line that says where.
fn origin_mock(arguments: &[&str]) -> Tested<(Process, String)> {
    let mut command = Command::new(program::nearcast()?);
    let command = command.args(["origin-mock", "--listen", "127.0.0.1:0"]).args(arguments);
    let process = Process::start(command)?;
    let line = process.stdout_line(|line| Some(line.to_owned()))?;
    Ok((process, line))
}

#[test]
fn origin_mock_says_where_it_listens_as_json() {
    let (_process, line) = origin_mock(&["--json"]).unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    let address: SocketAddr = said["listen"].as_str().unwrap().parse().unwrap();
    assert_eq!(Connection::open(address).unwrap().get("/").unwrap().status, 200);
}

#[test]
fn origin_mock_ends_with_its_terminal() {
    let (mut process, line) = origin_mock(&[]).unwrap();
    assert!(line.starts_with("http://127.0.0.1:"), "{line}");
    process.signal(Signal::Hangup).unwrap();
    assert_eq!(process.ended().unwrap().code(), Some(0));
}

#[test]
fn the_help_names_values_defaults_and_the_environment() {
    let rows: [(&[&str], &[&str]); 4] = [
        (&["--help"], &["NEARCAST_WORKERS"]),
        (&["up", "--help"], &["--origin <URL>", "--root <DIR>", "--data <DIR>", "XDG_STATE_HOME"]),
        (&["run", "--help"], &["--config <FILE>", "NEARCAST_WORKERS"]),
        (&["origin-mock", "--help"], &["--script <FILE>", "--root <DIR>", "--listen <ADDRESS>"]),
    ];
    for (arguments, words) in rows {
        let output = nearcast(&refused(), arguments).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        let said = text(&output.stdout);
        for word in words {
            assert!(said.contains(word), "{word} is not in {said}");
        }
    }
}

#[test]
fn a_script_that_does_not_parse_is_told_with_its_place_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"{"routes": [{"path": "/a", "steps": 5}]}"#;
    fs::write(folder.path().join("s.json"), script).unwrap();
    for (name, words) in [
        ("s.json", ["s.json: routes[0].steps: ", "misbehaving.json"]),
        ("not-there.json", ["cannot read not-there.json: ", "--script"]),
    ] {
        let output = nearcast(folder.path(), &["origin-mock", "--script", name]).unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = text(&output.stderr);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
}

#[test]
fn workers_that_are_no_number_are_usage() {
    for bad in ["0", "many", "-1", ""] {
        let mut command = Command::new(program::nearcast().unwrap());
        let output =
            command.args(["check", "edge.toml"]).env("NEARCAST_WORKERS", bad).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{bad:?}: {output:?}");
        let said = text(&output.stderr);
        assert!(said.contains("NEARCAST_WORKERS") && said.contains("allowed"), "{bad:?}: {said}");
    }
}

#[test]
fn a_shell_completes_verbs_and_options() {
    let folder = tempfile::tempdir().unwrap();
    let script = nearcast(folder.path(), &["completion", "bash"]).unwrap();
    assert_eq!((script.status.code(), text(&script.stderr).as_str()), (Some(0), ""));
    fs::write(folder.path().join("nearcast.bash"), script.stdout).unwrap();
    let completed = |words: &[&str]| {
        let (last, before) = words.split_last().unwrap();
        let line = format!(
            "source ./nearcast.bash; COMP_WORDS=({}); COMP_CWORD={}; \
             _nearcast nearcast '{last}' '{}'; printf '%s ' \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            before.len(),
            before.last().unwrap(),
        );
        let mut bash = Command::new(program::tool("bash").unwrap());
        let output = bash.args(["-c", &line]).current_dir(folder.path()).output().unwrap();
        assert_eq!(text(&output.stderr), "");
        text(&output.stdout).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(completed(&["nearcast", "pur"]), ["purge"]);
    assert_eq!(completed(&["nearcast", "purge", "--dry"]), ["--dry-run"]);
    for shell in ["zsh", "fish"] {
        let script = nearcast(folder.path(), &["completion", shell]).unwrap();
        assert!(text(&script.stdout).contains("origin-mock"), "{shell}");
    }
    let unknown = nearcast(folder.path(), &["completion", "sh"]).unwrap();
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn each_verb_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let output = nearcast(folder.path(), &["man", "pages", "--json"]).unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut names: Vec<String> = serde_json::from_value(told["pages"].clone()).unwrap();
    let mut written: Vec<String> = fs::read_dir(folder.path().join("pages"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    written.sort();
    assert_eq!(names, written);
    let purge = fs::read_to_string(folder.path().join("pages/nearcast-purge.1")).unwrap();
    assert!(purge.contains(".TH nearcast-purge 1") && purge.contains("soft"), "{purge}");
    assert!(names.contains(&"nearcast-token-revoke.1".to_owned()), "{names:?}");
    let own = nearcast(folder.path(), &["man"]).unwrap();
    assert!(text(&own.stdout).contains(".TH nearcast 1"));
    // A file where the folder would be.
    fs::write(folder.path().join("taken"), "").unwrap();
    let refused = nearcast(folder.path(), &["man", "taken"]).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("taken: "), "{}", text(&refused.stderr));
}
