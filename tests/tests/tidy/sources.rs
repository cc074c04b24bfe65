//! Rules about Rust files that neither the compiler nor clippy knows.
//!
//! In: the repository's files. Out: one complaint per place. The rules: a module doc on the first
//! line, a length that may shrink but not grow, no test that is ignored, nothing that sleeps, and a
//! `main.rs` that can be read at a glance.

use std::collections::BTreeMap;

use super::tree::Source;

/// From here on a production file needs a line in the ratchet.
const LINES_MAX: usize = 500;
/// A program's entry point is a table of contents.
const MAIN_LINES_MAX: usize = 120;
/// Spelled in two halves, so that this file does not find itself.
const IGNORED: &str = concat!("#[ign", "ore");
const SLEEP: &str = concat!("sle", "ep(");

fn rust(files: &[Source]) -> impl Iterator<Item = &Source> {
    files.iter().filter(|f| f.path.ends_with(".rs"))
}

/// Files that do not say first what they are.
fn undocumented(files: &[Source]) -> Vec<String> {
    rust(files)
        .filter(|f| !f.text.starts_with("//! "))
        .map(|f| format!("{}: the first line must be a `//!` that says what this is", f.path))
        .collect()
}

/// Whether a file is judged by its length: not tables of tests, which grow with what they prove.
fn is_production(path: &str) -> bool {
    let mut folders = path.split('/').skip(1);
    path.ends_with(".rs") && !path.ends_with("/tests.rs") && !folders.any(|part| part == "tests")
}

/// The lines before the test module at the foot of the file, or all.
fn production_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let opens_module = |at: &usize| {
        let after = lines.get(at + 1..).unwrap_or_default();
        let header = after.iter().find(|line| !line.starts_with('#'));
        header.is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
    };
    let foot = lines.iter().rposition(|line| *line == "#[cfg(test)]").filter(opens_module);
    foot.filter(|_| lines.last() == Some(&"}")).unwrap_or(lines.len())
}

/// The ratchet: `path lines` a row, `#` starts a comment.
fn ratchet(text: &str) -> Result<BTreeMap<String, usize>, String> {
    let rows = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    rows.map(|row| {
        let (path, lines) = row.split_once(' ').ok_or_else(|| format!("ratchet row {row:?}"))?;
        Ok((path.to_owned(), lines.trim().parse().map_err(|e| format!("{row:?}: {e}"))?))
    })
    .collect()
}

/// Files that are too long and not listed, or longer than listed, and rows that are out of date.
fn overlong(files: &[Source], ratchet: &BTreeMap<String, usize>) -> Vec<String> {
    let mut complaints = Vec::new();
    let lengths: BTreeMap<&str, usize> = rust(files)
        .filter(|f| is_production(&f.path))
        .map(|f| (f.path.as_str(), production_lines(&f.text)))
        .collect();
    for (path, &lines) in &lengths {
        let row = ratchet.get(*path);
        match row {
            None if lines > LINES_MAX => complaints
                .push(format!("{path}: {lines} lines, the limit is {LINES_MAX}: split it by idea")),
            Some(&listed) if lines > listed => complaints
                .push(format!("{path}: grew from {listed} to {lines} lines; it may only shrink")),
            Some(_) if lines <= LINES_MAX => {
                complaints.push(format!("{path}: {lines} lines now, take it off the ratchet"));
            }
            Some(&listed) if lines < listed => {
                complaints.push(format!("{path}: {lines} lines now, write that into the ratchet"));
            }
            _ => {}
        }
    }
    let gone = ratchet.keys().filter(|path| !lengths.contains_key(path.as_str()));
    complaints.extend(gone.map(|path| format!("{path}: on the ratchet, but not there")));
    complaints
}

/// A line without its comment. (A `//` in a string cuts too much; no rule here minds.)
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// Tests that do not run.
fn ignored(files: &[Source]) -> Vec<String> {
    places(files, |line| code(line).contains(IGNORED), "every test runs, or it is not a test")
}

/// Code that waits for time to pass instead of for something to happen.
fn sleeping(files: &[Source]) -> Vec<String> {
    let sleeps = |line: &str| {
        code(line).match_indices(SLEEP).any(|(at, _)| {
            let before = code(line).get(..at).and_then(|s| s.chars().next_back());
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
    };
    places(files, sleeps, "wait for a state with a deadline, or for an event")
}

fn places(files: &[Source], bad: impl Fn(&str) -> bool, why: &str) -> Vec<String> {
    rust(files)
        .flat_map(|f| f.text.lines().enumerate().map(move |(at, line)| (f, at + 1, line)))
        .filter(|(_, _, line)| bad(line))
        .map(|(f, at, _)| format!("{}:{at}: {why}", f.path))
        .collect()
}

/// Entry points that do more than hand over.
fn long_mains(files: &[Source]) -> Vec<String> {
    rust(files)
        .filter(|f| f.path.ends_with("src/main.rs") && !f.path.starts_with("tests/"))
        .map(|f| (&f.path, f.text.lines().count()))
        .filter(|(_, lines)| *lines > MAIN_LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} lines, the limit is {MAIN_LINES_MAX}"))
        .collect()
}

mod tests {
    use std::collections::BTreeMap;

    use super::super::tree::{self, list};
    use super::{
        Source, ignored, long_mains, overlong, production_lines, ratchet, sleeping, undocumented,
    };

    #[test]
    fn every_file_says_first_what_it_is() -> std::io::Result<()> {
        let complaints = undocumented(&tree::files()?);
        assert!(complaints.is_empty(), "{}", list(&complaints));
        assert_eq!(undocumented(&[Source::sample("edge/src/a.rs", "use std::io;\n")]).len(), 1);
        assert_eq!(undocumented(&[Source::sample("edge/src/a.rs", "//!\nmod b;\n")]).len(), 1);
        assert!(undocumented(&[Source::sample("edge/src/a.rs", "//! A thing.\n")]).is_empty());
        Ok(())
    }

    #[test]
    fn no_file_grows_past_its_limit() -> Result<(), String> {
        let files = tree::files().map_err(|e| e.to_string())?;
        let listed = files.iter().find(|f| f.path == "tests/tidy-ratchet.txt");
        let rows = ratchet(&listed.ok_or("no tests/tidy-ratchet.txt")?.text)?;
        let complaints = overlong(&files, &rows);
        assert!(complaints.is_empty(), "{}", list(&complaints));
        Ok(())
    }

    #[test]
    fn a_long_file_or_a_wrong_ratchet_is_red() -> Result<(), String> {
        let long = |lines: usize| [Source::sample("edge/src/a.rs", &"x\n".repeat(lines))];
        let row = |lines: usize| BTreeMap::from([("edge/src/a.rs".to_owned(), lines)]);
        assert_eq!(overlong(&long(501), &BTreeMap::new()).len(), 1, "long and not listed");
        assert_eq!(overlong(&long(601), &row(600)).len(), 1, "grew");
        assert_eq!(overlong(&long(550), &row(600)).len(), 1, "shrank, unnoticed");
        assert_eq!(overlong(&long(100), &row(600)).len(), 1, "needs its row no more");
        assert_eq!(overlong(&[], &row(600)).len(), 1, "is gone");
        assert!(overlong(&long(600), &row(600)).is_empty());
        assert!(overlong(&long(500), &BTreeMap::new()).is_empty());
        let table = [Source::sample("edge/core/src/range/tests.rs", &"x\n".repeat(900))];
        assert!(overlong(&table, &BTreeMap::new()).is_empty(), "a table of tests may be long");
        assert_eq!(ratchet("# why\na.rs 7\n")?, BTreeMap::from([("a.rs".to_owned(), 7)]));
        assert!(ratchet("a.rs seven").is_err());
        Ok(())
    }

    #[test]
    fn only_a_test_module_at_the_foot_is_not_counted() {
        let foot = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        assert_eq!(production_lines(foot), 2);
        let with_lint = "fn a() {}\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n}\n";
        assert_eq!(production_lines(with_lint), 1);
        let apart = "#[cfg(test)]\nmod tests;\nfn a() {\n}\n";
        assert_eq!(production_lines(apart), 4, "code behind `mod tests;` counts");
        let single = "#[cfg(test)]\nfn only_for_tests() {}\nfn a() {\n}\n";
        assert_eq!(production_lines(single), 4, "an item for tests is no module");
    }

    #[test]
    fn every_test_runs() -> std::io::Result<()> {
        let complaints = ignored(&tree::files()?);
        assert!(complaints.is_empty(), "{}", list(&complaints));
        for bad in [concat!("#[ign", "ore]"), concat!("    #[ign", "ore = \"slow\"]")] {
            assert_eq!(ignored(&[Source::sample("edge/tests/a.rs", bad)]).len(), 1, "{bad}");
        }
        Ok(())
    }

    #[test]
    fn nothing_sleeps() -> std::io::Result<()> {
        let complaints = sleeping(&tree::files()?);
        assert!(complaints.is_empty(), "{}", list(&complaints));
        for bad in [concat!("std::thread::sle", "ep(d);"), concat!("    sle", "ep(d).await;")] {
            assert_eq!(sleeping(&[Source::sample("edge/src/a.rs", bad)]).len(), 1, "{bad}");
        }
        for good in ["sleep_until(t).await", "// no sleep() here", "let asleep = is_asleep();"] {
            assert!(sleeping(&[Source::sample("edge/src/a.rs", good)]).is_empty(), "{good}");
        }
        Ok(())
    }

    #[test]
    fn an_entry_point_is_short() -> std::io::Result<()> {
        let complaints = long_mains(&tree::files()?);
        assert!(complaints.is_empty(), "{}", list(&complaints));
        let long = Source::sample("cli/src/main.rs", &"x\n".repeat(121));
        assert_eq!(long_mains(&[long]).len(), 1);
        Ok(())
    }
}
