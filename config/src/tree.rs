//! The parsed file with its places: looking up key paths, and turning parts into plain values.
//!
//! In: the spanned tree that `toml` parses. Out: spans, shown values, and `toml::Value`s without
//! the keys that were found faulty.
//! Always: a key path that leads nowhere is answered with the nearest part of it that exists.
//! Does not know: what is allowed.
//! Clause: docs/operate.md *The settings file*.

use std::{collections::BTreeSet, ops::Range};

use toml::{
    Spanned, Value,
    de::{DeInteger, DeValue},
};

use crate::problem::shown_text;

/// A value and where it stands.
pub(crate) type Node<'i> = Spanned<DeValue<'i>>;

/// Appends `key` to `path`, quoted where TOML would quote it.
pub(crate) fn join(path: &str, key: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let key =
        if !key.is_empty() && key.bytes().all(bare) { key.to_owned() } else { shown_text(key) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// The path of item `index` of the list at `path`.
pub(crate) fn item(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// `path` without its indexes: the name of the setting, wherever it stands.
pub(crate) fn without_indexes(path: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for character in path.chars() {
        match character {
            '[' => inside = true,
            ']' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

/// The value at `path`, if there is one.
pub(crate) fn find<'t, 'i>(root: &'t Node<'i>, path: &str) -> Option<&'t Node<'i>> {
    match walk(root, path) {
        (node, true) => Some(node),
        (_, false) => None,
    }
}

/// The value at `path`, or the nearest part of the path that exists.
pub(crate) fn nearest<'t, 'i>(root: &'t Node<'i>, path: &str) -> &'t Node<'i> {
    walk(root, path).0
}

fn walk<'t, 'i>(root: &'t Node<'i>, path: &str) -> (&'t Node<'i>, bool) {
    let mut node = root;
    for step in steps(path) {
        let next = match (&step, node.get_ref()) {
            (Step::Key(key), DeValue::Table(table)) => table.get(key.as_str()),
            (Step::Item(index), DeValue::Array(items)) => items.get(*index),
            _ => None,
        };
        match next {
            Some(next) => node = next,
            None => return (node, false),
        }
    }
    (node, true)
}

enum Step {
    Key(String),
    Item(usize),
}

/// Splits `a.b[0]."c.d"`; quoted keys keep their dots.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some((index, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            steps.push(Step::Item(index.parse().unwrap_or(usize::MAX)));
            rest = after;
        } else if let Some((key, after)) = rest.strip_prefix('"').and_then(|r| r.split_once('"')) {
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (key, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    steps
}

/// The value as a message shows it; tables and lists are too long for one.
pub(crate) fn shown(node: &Node<'_>) -> Option<String> {
    match node.get_ref() {
        DeValue::String(text) => Some(shown_text(text)),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Array(items) if items.is_empty() => Some("[]".to_owned()),
        DeValue::Array(_) => Some("[…]".to_owned()),
        DeValue::Table(_) => None,
    }
}

/// The items of the list that `node` is, or none.
pub(crate) fn items<'t, 'i>(node: &'t Node<'i>) -> &'t [Node<'i>] {
    node.get_ref().as_array().map_or(&[], |items| &**items)
}

/// The string that `node` is.
pub(crate) fn string<'t>(node: &'t Node<'_>) -> Option<&'t str> {
    node.get_ref().as_str()
}

/// The number that an integer says, whatever its radix.
pub(crate) fn number(integer: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// The number that an integer or a float says.
pub(crate) fn fraction(node: &Node<'_>) -> Option<f64> {
    match node.get_ref() {
        DeValue::Float(float) => float.as_str().parse().ok(),
        // What fits into 32 bits is a fraction without loss; more is out of every range.
        DeValue::Integer(integer) => i32::try_from(number(integer)?).ok().map(f64::from),
        _ => None,
    }
}

/// `node` as a plain value, without what `faulty` names: a faulty key is left out, so that its
/// default stands in for it in the checks that follow; a list with a faulty item is left out whole.
pub(crate) fn plain(node: &Node<'_>, path: &str, faulty: &BTreeSet<String>) -> Option<Value> {
    if faulty.contains(path) {
        return None;
    }
    Some(match node.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(integer) => Value::Integer(i64::try_from(number(integer)?).ok()?),
        DeValue::Float(float) => Value::Float(float.as_str().parse().ok()?),
        DeValue::Boolean(truth) => Value::Boolean(*truth),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(items) => {
            let value = |(index, one)| plain(one, &item(path, index), faulty);
            Value::Array(items.iter().enumerate().map(value).collect::<Option<_>>()?)
        }
        DeValue::Table(table) => {
            let entry = |(key, one): (&Spanned<_>, &Node<'_>)| {
                let key: &str = AsRef::<std::borrow::Cow<'_, str>>::as_ref(key);
                plain(one, &join(path, key), faulty).map(|value| (key.to_owned(), value))
            };
            Value::Table(table.iter().filter_map(entry).collect())
        }
    })
}

/// Turns byte offsets into lines and columns.
pub(crate) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        let after = text.match_indices('\n').map(|(at, _)| at.saturating_add(1));
        Self { text, starts: std::iter::once(0).chain(after).collect() }
    }

    /// Line and column of `offset`, both from 1. An offset at the end belongs to the last line that
    /// holds anything, so that an editor can go there.
    pub(crate) fn place(&self, offset: usize) -> crate::problem::Place {
        let end = self.text.trim_end_matches(['\n', '\r']).len();
        let mut offset = offset.min(end);
        while !self.text.is_char_boundary(offset) {
            offset = offset.saturating_sub(1);
        }
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        let column = before.trim_start_matches('\u{feff}').chars().count().saturating_add(1);
        crate::problem::Place { line, column: Some(column) }
    }
}

/// The first byte of `span`, or the file's end.
pub(crate) fn start(span: Option<Range<usize>>) -> usize {
    span.map_or(usize::MAX, |span| span.start)
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    const FILE: &str = "a = 1\n[b]\nc = ['x', 'y']\n\"d.e\" = 2\n[[f]]\ng = 'ä'\n[[f]]\n";

    fn tree(text: &str) -> Node<'_> {
        let table = DeTable::parse(text).unwrap();
        Spanned::new(table.span(), DeValue::Table(table.into_inner()))
    }

    #[test]
    fn a_path_leads_to_its_value_or_to_the_nearest_part() {
        let tree = tree(FILE);
        for (path, text, exists) in [
            ("a", "1", true),
            ("b", "[b]", true),
            ("b.c[1]", "'y'", true),
            ("b.c[2]", "['x', 'y']", false),
            ("b.\"d.e\"", "2", true),
            ("f[0].g", "'ä'", true),
            ("f[1].g", "[[f]]", false),
            ("nowhere.at.all", "", false),
        ] {
            assert_eq!(FILE.get(nearest(&tree, path).span()).unwrap(), text, "{path}");
            assert_eq!(find(&tree, path).is_some(), exists, "{path}");
        }
        assert_eq!(join(&join("b", "d.e"), "f"), "b.\"d.e\".f");
        assert_eq!(without_indexes("f[0].g[12].h"), "f.g.h");
    }

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        for (text, offset, line, column) in [
            ("", 0, 1, 1),
            ("ab\ncd", 0, 1, 1),
            ("ab\ncd", 4, 2, 2),
            ("ab\r\ncd", 4, 2, 1),
            ("äb\nöd", 2, 1, 2),
            ("ab\n\n", 9, 1, 3),
            ("\u{feff}ab", 4, 1, 2),
        ] {
            let place = Lines::of(text).place(offset);
            assert_eq!((place.line, place.column), (line, Some(column)), "{text:?} {offset}");
        }
    }

    #[test]
    fn what_is_faulty_is_left_out() {
        let tree = tree(FILE);
        let faulty = BTreeSet::from(["b.c[1]".to_owned(), "f[0].g".to_owned()]);
        let value = plain(&tree, "", &faulty).unwrap();
        assert_eq!(value.to_string(), "{ a = 1, b = { \"d.e\" = 2 }, f = [{}, {}] }");
    }
}
