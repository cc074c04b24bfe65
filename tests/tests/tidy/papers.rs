//! The papers: what the documents claim about the code, and what no file may say.
//!
//! In: the repository's files. Out: one complaint per place. What always holds: a path or a symbol
//! that a document cites in backticks exists, so that a rename cannot leave a document lying.
//! What this deliberately does not know: prose.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::tree::{self, Source};

/// Two screens, generously.
const ARCHITECTURE_LINES_MAX: usize = 250;
/// Where people's own folders begin, spelled so that this file does not find itself.
const HOMES: [&str; 2] = [concat!("/ho", "me/"), concat!("/Us", "ers/")];

/// The documents whose citations are checked: ours, not what is generated or what tells of the past.
fn is_checked(path: &str) -> bool {
    path.ends_with(".md") && path != "CHANGELOG.md" && !path.starts_with("docs/reference")
}

/// What stands between single backticks outside of code blocks.
fn citations(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found
}

/// Whether a citation claims that a file or folder of ours is there.
fn is_path(cited: &str, tops: &BTreeSet<&str>) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if cited.is_empty() || !cited.chars().all(plain) || cited.starts_with(['/', '-']) {
        return false;
    }
    let top = cited.split('/').next().unwrap_or(cited);
    let is_file = [".rs", ".md", ".py", ".scn"].iter().any(|end| cited.ends_with(end));
    is_file || (cited.contains('/') && (tops.contains(top) || cited.ends_with('/')))
}

/// Whether a citation claims that a symbol of ours is there: `CamelCase` or `a::b`.
fn symbol(cited: &str) -> Option<&str> {
    let last = cited.rsplit("::").next().unwrap_or(cited);
    let is_word = |w: &str| !w.is_empty() && w.chars().all(|c| c.is_alphanumeric() || c == '_');
    let mut chars = cited.chars();
    let humps = chars.next().is_some_and(char::is_uppercase)
        && chars.as_str().contains(char::is_lowercase)
        && chars.as_str().contains(char::is_uppercase);
    let path = cited.contains("::") && cited.split("::").all(is_word);
    ((humps && is_word(cited)) || path).then_some(last)
}

/// The words of the code: what a symbol's name may be found among.
fn words(files: &[Source]) -> BTreeSet<&str> {
    let code = files.iter().filter(|f| f.path.ends_with(".rs") || f.path.ends_with(".toml"));
    code.flat_map(|f| f.text.split(|c: char| !(c.is_alphanumeric() || c == '_'))).collect()
}

/// Every way to cite a file or a folder: from the root or by its last parts.
fn places(files: &[Source]) -> BTreeSet<&str> {
    let mut all = BTreeSet::new();
    for file in files {
        let stem = file.path.trim_end_matches(".rs");
        let folders = file.path.match_indices('/').filter_map(|(at, _)| file.path.get(..at));
        for place in folders.chain([file.path.as_str(), stem]) {
            all.insert(place);
            all.extend(place.match_indices('/').filter_map(|(at, _)| place.get(at + 1..)));
        }
    }
    all
}

/// Citations of what is not there.
fn dangling(files: &[Source]) -> Vec<String> {
    let (places, words) = (places(files), words(files));
    let tops = files.iter().filter_map(|f| f.path.split_once('/').map(|(top, _)| top)).collect();
    let mut complaints = Vec::new();
    for file in files.iter().filter(|f| is_checked(&f.path)) {
        for cited in citations(&file.text) {
            if is_path(cited, &tops) && !places.contains(cited.trim_end_matches('/')) {
                complaints.push(format!("{}: `{cited}` is no file or folder here", file.path));
            } else if symbol(cited).is_some_and(|name| !words.contains(name)) {
                complaints.push(format!("{}: `{cited}` is nowhere in the code", file.path));
            }
        }
    }
    complaints
}

/// The folders that mean nothing on another machine: this checkout's, its owner's, anybody's home.
fn machine_folders() -> Vec<String> {
    let own = std::fs::canonicalize(tree::root()).ok();
    let home = std::env::var_os("HOME").map(PathBuf::from);
    // `/` and the folders right below it are on every machine.
    let deep = |path: &PathBuf| path.components().count() > 2;
    let named = own.into_iter().chain(home).filter(deep).map(|path| path.display().to_string());
    named.chain(HOMES.map(str::to_owned)).collect()
}

/// Paths that exist on the machine of whoever wrote the line.
fn machine_paths(files: &[Source], folders: &[String]) -> Vec<String> {
    let lines = files
        .iter()
        .filter(|f| !f.path.ends_with(".lock"))
        .flat_map(|f| f.text.lines().enumerate().map(move |(at, line)| (f, at + 1, line)));
    lines
        .filter(|(_, _, line)| folders.iter().any(|folder| line.contains(folder.as_str())))
        .map(|(f, at, _)| format!("{}:{at}: a path of one machine", f.path))
        .collect()
}

/// An architecture that cannot be read in one sitting.
fn long_architecture(files: &[Source]) -> Option<String> {
    let page = files.iter().find(|f| f.path == "ARCHITECTURE.md");
    let Some(page) = page else { return Some("ARCHITECTURE.md is not there".to_owned()) };
    let lines = page.text.lines().count();
    (lines > ARCHITECTURE_LINES_MAX)
        .then(|| format!("ARCHITECTURE.md: {lines} lines, the limit is {ARCHITECTURE_LINES_MAX}"))
}

mod tests {
    use super::super::tree::{self, list};
    use super::{HOMES, Source, dangling, long_architecture, machine_folders, machine_paths};

    #[test]
    fn citations_resolve() -> std::io::Result<()> {
        let complaints = dangling(&tree::files()?);
        assert!(complaints.is_empty(), "{}", list(&complaints));
        Ok(())
    }

    #[test]
    fn a_citation_of_what_is_not_there_is_red() {
        let cite = |cited: &str| {
            let code =
                Source::sample("edge/src/store/memory.rs", "//! A tier.\nstruct MemoryTier;\n");
            dangling(&[code, Source::sample("docs/a.md", &format!("See `{cited}`.\n"))])
        };
        let gone = ["edge/src/gone.rs", "gone.rs", "edge/gone", "gone/", "MemoryGone", "a::gone"];
        for bad in gone {
            assert_eq!(cite(bad).len(), 1, "{bad}");
        }
        let good = [
            "edge/src/store/memory.rs",
            "memory.rs",
            "store/",
            "edge/src/store",
            "MemoryTier",
            "edge/src/store/memory",
            "tier::MemoryTier",
            "/healthz",
            "Cache-Status",
            "multipart/byteranges",
            "127.0.0.0/8",
            "cargo run",
            "Age",
        ];
        for good in good {
            assert!(cite(good).is_empty(), "{good}: {:?}", cite(good));
        }
        let fenced = Source::sample("docs/a.md", "```\n`gone.rs`\n```\n");
        assert!(dangling(&[fenced]).is_empty(), "a code block is not a citation");
    }

    #[test]
    fn no_file_names_a_machine() -> std::io::Result<()> {
        let folders = machine_folders();
        let complaints = machine_paths(&tree::files()?, &folders);
        assert!(complaints.is_empty(), "{}", list(&complaints));
        assert!(HOMES.iter().all(|home| folders.contains(&(*home).to_owned())), "{folders:?}");
        for folder in &folders {
            let bad = Source::sample("docs/a.md", &format!("cd {folder}/docs\n"));
            assert_eq!(machine_paths(&[bad], &folders).len(), 1, "{folder}");
        }
        let good = Source::sample("a.md", "network/workers in /var/log and /etc\n");
        assert!(machine_paths(&[good], &folders).is_empty());
        Ok(())
    }

    #[test]
    fn the_architecture_fits_two_screens() -> std::io::Result<()> {
        assert_eq!(long_architecture(&tree::files()?), None);
        let long = Source::sample("ARCHITECTURE.md", &"x\n".repeat(251));
        assert!(long_architecture(&[long]).is_some());
        assert!(long_architecture(&[]).is_some(), "and it is there");
        Ok(())
    }
}
