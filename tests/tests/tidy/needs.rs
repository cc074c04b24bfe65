//! What the tests start is what `tests/run` installs.
//!
//! In: the Rust files that start programs by name, and the script. Out: one complaint per program
//! that is in no package of the script's list, and per tool that is installed in whatever version.
//! What this deliberately does not know: which package has which program.

use super::tree::Source;

/// Packages that Debian calls essential bring these: no machine lacks them.
const ESSENTIAL: &[&str] = &["mkfifo", "setsid", "sh"];
/// What starts a program by its name, spelled so that this file does not find itself.
const STARTS: [&str; 2] = [concat!("Command::", "new(\""), concat!("tool", "(\"")];

/// The names of programs that a file starts.
fn started(file: &Source) -> Vec<&str> {
    let after = STARTS.iter().flat_map(|start| file.text.split(start).skip(1));
    after.filter_map(|rest| rest.split('"').next()).collect()
}

/// The programs that the script looks for.
fn installed(script: &str) -> Vec<&str> {
    let list = script.split_once("\ntools=(").and_then(|(_, rest)| rest.split_once(')'));
    let entries = list.map_or("", |(list, _)| list).split_whitespace();
    entries.filter_map(|entry| entry.split_once(':')).map(|(program, _)| program).collect()
}

/// Programs that nobody installs.
fn unmet(files: &[Source], script: &str) -> Vec<String> {
    let installed = installed(script);
    let rust = files.iter().filter(|f| f.path.ends_with(".rs"));
    let programs = rust.flat_map(|f| started(f).into_iter().map(move |program| (f, program)));
    programs
        .filter(|(_, program)| !installed.contains(program) && !ESSENTIAL.contains(program))
        .map(|(f, program)| format!("{}: starts {program}, which tests/run lacks", f.path))
        .collect()
}

/// Whether the test runner is the same on every fresh clone.
fn is_pinned(script: &str) -> bool {
    script.contains("\nrunner=cargo-nextest@")
        && script.contains("cargo install --locked \"$runner\"")
}

mod tests {
    use super::super::tree::{self, list};
    use super::{STARTS, Source, installed, is_pinned, unmet};

    fn script(files: &[Source]) -> Result<&str, String> {
        let file = files.iter().find(|f| f.path == "tests/run");
        file.map(|f| f.text.as_str()).ok_or_else(|| "tests/run is not there".to_owned())
    }

    #[test]
    fn what_tests_start_is_installed_in_a_pinned_version() -> Result<(), String> {
        let files = tree::files().map_err(|e| e.to_string())?;
        let script = script(&files)?;
        let complaints = unmet(&files, script);
        assert!(complaints.is_empty(), "{}", list(&complaints));
        assert!(is_pinned(script), "tests/run installs whatever nextest is the newest");
        assert!(script.contains("type -P"), "`command -v` finds what only the shell has");
        Ok(())
    }

    #[test]
    fn a_program_that_nobody_installs_is_red() {
        let script = "\ntools=(\n  curl:curl\n  kill:procps\n)\n";
        assert_eq!(installed(script), ["curl", "kill"]);
        for start in STARTS {
            let starts = |program: &str| {
                let text = format!("{start}{program}\")");
                unmet(&[Source::sample("tests/tests/a.rs", &text)], script).len()
            };
            assert_eq!((starts("curl"), starts("mkfifo"), starts("socat")), (0, 0, 1), "{start}");
        }
        assert!(!is_pinned("\ncargo install --locked cargo-nextest\n"));
    }
}
