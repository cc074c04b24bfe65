//! A file with sites, taken apart: each `[[site]]` is sent by itself.
//!
//! In: a file. Out: its sites' names and texts. Always: a text has as many lines before it as stand
//! before the site in the file, so that a problem's line is the file's; nothing is checked but that
//! it can be taken apart, since whoever is sent the sites knows what is right there.
//! Does not know: any setting but a site's name.

use std::{ops::Range, path::Path};

use toml::de::{DeTable, DeValue};

use crate::{
    problem::Report,
    text,
    tree::{self, Lines, Node},
    unread,
};

/// A site of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its text, where it stands.
    pub text: String,
}

/// Takes the file at `path` apart.
///
/// # Errors
/// When it cannot be read, is not TOML, or a site has no name.
pub fn split(path: &Path) -> Result<Vec<Part>, Report> {
    parts(&text(path)?, &path.display().to_string())
}

fn parts(text: &str, called: &str) -> Result<Vec<Part>, Report> {
    let wrong = |fault: String| unread(called, fault);
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let place = Lines::of(text).place(at);
        wrong(format!("line {}: not TOML: {}", place.line, error.message()))
    })?;
    let table = table.into_inner();
    let sites = table.iter().find(|(key, _)| key.get_ref() == "site").map(|(_, node)| node);
    let sites: &[Node<'_>] = sites.map_or(&[], tree::items);
    if sites.is_empty() {
        return Err(wrong("it has no [[site]]".to_owned()));
    }
    // Where a section of the file begins that is no part of a site.
    let others = table.iter().filter(|(key, _)| key.get_ref() != "site");
    let mut starts: Vec<usize> = others.flat_map(|(key, node)| heads(key.span(), node)).collect();
    starts.extend(sites.iter().map(|site| site.span().start));
    starts.sort_unstable();
    sites
        .iter()
        .map(|site| part(text, site, &starts).ok_or_else(|| wrong(fault(text, site))))
        .collect()
}

/// Where the tables of a key begin.
fn heads(key: Range<usize>, node: &Node<'_>) -> Vec<usize> {
    match node.get_ref() {
        DeValue::Array(items) if !items.is_empty() => {
            items.iter().map(|item| item.span().start).chain([key.start]).collect()
        }
        _ => vec![node.span().start.min(key.start)],
    }
}

fn part(text: &str, site: &Node<'_>, starts: &[usize]) -> Option<Part> {
    let name = tree::find(site, "name").and_then(tree::string)?.to_owned();
    let start = site.span().start;
    // One that stands in braces has no head of its own.
    if !text.get(start..)?.starts_with('[') {
        return None;
    }
    let end = starts.iter().copied().find(|other| *other > start).unwrap_or(text.len());
    let end = text.get(..end)?.rfind('\n').filter(|_| end < text.len()).map_or(end, |at| at + 1);
    let before = text.get(..start)?.matches('\n').count();
    let own = text.get(start..end)?.trim_end();
    Some(Part { name, text: format!("{}{own}\n", "\n".repeat(before)) })
}

fn fault(text: &str, site: &Node<'_>) -> String {
    let line = Lines::of(text).place(site.span().start).line;
    format!("line {line}: allowed: [[site]], with a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# all of it\n[edge]\nlisten = []\n\n[[site]]\nname = \"shop\" # ours\n\
                        [[site.rule]]\npath = \"*\"\n\n[admin]\nlisten = \"x\"\n[[site]]\n\
                        name = \"blog\"\nhosts = [\"b\"]\n[site.origin]\nservers = []\n[log]\n";

    #[test]
    fn each_site_is_a_text_of_its_own_where_it_stands() {
        let parts = parts(FILE, "f").unwrap();
        let shop = "\n\n\n\n[[site]]\nname = \"shop\" # ours\n[[site.rule]]\npath = \"*\"\n";
        assert_eq!(
            parts.first().unwrap(),
            &Part { name: "shop".to_owned(), text: shop.to_owned() }
        );
        let blog = parts.get(1).unwrap();
        assert_eq!(blog.name, "blog");
        let own = "[[site]]\nname = \"blog\"\nhosts = [\"b\"]\n[site.origin]\nservers = []\n";
        assert_eq!(blog.text.trim_start(), own);
        let line = blog.text.lines().position(|line| line == "[[site]]");
        assert_eq!(line, FILE.lines().position(|line| line.contains("blog")).map(|at| at - 1));
        assert_eq!(parts.len(), 2);
    }

    #[test]
    fn what_cannot_be_taken_apart_is_told() {
        for (file, told) in [
            ("", "f: it has no [[site]]"),
            ("site = []", "it has no [[site]]"),
            ("a = ", "line 1: not TOML"),
            ("[[site]]\nhosts = []", "line 1: allowed: [[site]], with a name"),
            ("\nsite = [{ name = \"a\" }]", "line 2: allowed: [[site]], with a name"),
        ] {
            let report = parts(file, "f").unwrap_err().to_string();
            assert!(report.contains(told), "{report}");
        }
    }
}
