//! Clauses: where a rule stands, as comments, scenarios and pages cite it.
//!
//! In: the repository's files. Out: one complaint per citation that leads nowhere. What always
//! holds: a cited section of one of our pages is there under that name, with that number if one is
//! given; papers that are not in the repository are not cited at all. What this deliberately does
//! not know: RFCs, and whether the section says what the citing line claims.

use super::tree::Source;

/// The pages whose sections may be cited.
const PAGES: [&str; 3] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/operate.md"];
/// What begins a citation of a paper that no reader has, spelled so that this file does not find
/// itself.
const STRANGERS: [&str; 5] = [
    concat!("DES", "IGN §"),
    concat!("DES", "IGN.md"),
    concat!("DES", "IGN invariant"),
    concat!("ST", "YLE *"),
    concat!("ST", "YLE.md"),
];
/// A number behind this is one of a tracker that is not here either.
const TRACKER: &str = concat!("iss", "ue ");

fn citing(files: &[Source]) -> impl Iterator<Item = &Source> {
    let ends = [".rs", ".scn", ".md", ".py", ".toml"];
    files.iter().filter(move |f| ends.iter().any(|end| f.path.ends_with(end)))
}

/// Lines that cite what is not in the repository.
fn strangers(files: &[Source]) -> Vec<String> {
    let tracked = |line: &str| {
        let digit = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
        line.to_lowercase().split(TRACKER).skip(1).any(digit)
    };
    citing(files)
        .flat_map(|f| f.text.lines().enumerate().map(move |(at, line)| (f, at + 1, line)))
        .filter(|(_, _, line)| STRANGERS.iter().any(|s| line.contains(s)) || tracked(line))
        .map(|(f, at, _)| format!("{}:{at}: cites what no reader has", f.path))
        .collect()
}

/// Whether `page` has a section `title`, and in its list the item `number`, if one is cited.
fn has(page: &str, title: &str, number: Option<&str>) -> bool {
    let is_title =
        |line: &str| line.starts_with('#') && line.trim_start_matches('#').trim() == title;
    let mut lines = page.lines().skip_while(|line| !is_title(line));
    let there = lines.next().is_some();
    let mut section = lines.take_while(|line| !line.starts_with('#'));
    match number {
        Some(number) => there && section.any(|line| line.starts_with(&format!("{number}. "))),
        None => there,
    }
}

/// The sections cited behind a page's name: `*Title*`, further ones behind commas, a number each.
fn sections(mut rest: &str) -> Vec<(&str, Option<&str>)> {
    let mut found = Vec::new();
    while let Some(after) = rest.strip_prefix(" *").or_else(|| rest.strip_prefix(", *")) {
        let Some((title, after)) = after.split_once('*') else { break };
        let end = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number = after.strip_prefix(' ').map(|text| text.split_at(end(text)));
        let number = number.filter(|(number, _)| !number.is_empty());
        found.push((title, number.map(|(number, _)| number)));
        rest = number.map_or(after, |(_, after)| after);
    }
    found
}

/// Citations of sections that our pages do not have.
fn unresolved(files: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for name in PAGES {
        let page = files.iter().find(|f| f.path == name).map_or("", |f| f.text.as_str());
        for file in citing(files) {
            // A citation may go on in the next line of a comment.
            let text = file.text.replace("\n//! ", " ").replace("\n/// ", " ");
            for (title, number) in text.split(name).skip(1).flat_map(sections) {
                if !has(page, title, number) {
                    let number = number.unwrap_or_default();
                    complaints.push(format!("{}: {name} has no *{title}* {number}", file.path));
                }
            }
        }
    }
    complaints
}

mod tests {
    use super::super::tree::{self, list};
    use super::{PAGES, STRANGERS, Source, TRACKER, strangers, unresolved};

    #[test]
    fn clauses_lead_somewhere() -> std::io::Result<()> {
        let files = tree::files()?;
        let complaints = [strangers(&files), unresolved(&files)].concat();
        assert!(complaints.is_empty(), "{}", list(&complaints));
        Ok(())
    }

    #[test]
    fn a_paper_that_is_not_here_is_red() {
        let cites = |text: &str| strangers(&[Source::sample("edge/src/a.rs", text)]).len();
        for stranger in STRANGERS {
            assert_eq!(cites(&format!("//! Clause: {stranger}3.\n")), 1, "{stranger}");
        }
        assert_eq!(cites(&format!("// {TRACKER}2, freshness\n")), 1);
        for good in ["//! RFC 9111 §4.\n", "const STYLE: &str = \"\";\n", "// an issue of ours\n"]
        {
            assert_eq!(cites(good), 0, "{good}");
        }
    }

    #[test]
    fn a_section_that_is_not_there_is_red() {
        let page = "# Page\n\n### Filling\n\nWords.\n\n## Never\n\n1. One.\n2. Two.\n\n## Last\n\n3. No.\n";
        let cites = |text: &str| {
            // Not spelled out below, so that this file does not find itself.
            let text = text.replace("PAGE", PAGES[0]);
            let page = Source::sample(PAGES[0], page);
            unresolved(&[page, Source::sample("tests/scenarios/a.scn", &text)]).len()
        };
        for good in [
            "clause: PAGE *Filling*",
            "clause: RFC 9111 §4, PAGE *Filling*, *Never* 2",
            "//! Clause: PAGE *Never* 1 (why), *emphasis*.",
            "//! Clause: PAGE\n//! *Never* 2.",
            "`PAGE` tells more.",
        ] {
            assert_eq!(cites(good), 0, "{good}");
        }
        for bad in [
            "clause: PAGE *Fillings*",
            "clause: PAGE *Filling*, *Gone*",
            "clause: PAGE *Never* 3",
            "//! Clause: PAGE\n//! *Gone*.",
        ] {
            assert_eq!(cites(bad), 1, "{bad}");
        }
    }
}
