//! Our member of Cache-Status, and how an expectation compares with it.
//!
//! In: field values and the words of an expectation. Out: agreement, or what differs.
//! Always holds: `hit`, `fwd`, `stored` and `collapsed` are compared whether the expectation names
//! them or not; `ttl`, `fwd-status`, `key` and `detail` only where it does. `stored` is not compared
//! unnamed where the standard leaves open what it means: for a collapsed or a validated response.
//! It deliberately compares no order: parameters have none (RFC 9211 §2).

use std::collections::BTreeMap;

/// A member: the cache's name and its parameters; a bare parameter has the value `?1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The cache's identifier.
    pub cache: String,
    /// The parameters.
    pub parameters: BTreeMap<String, String>,
}

/// Splits at a delimiter that stands outside of double quotes.
fn split_outside_quotes(text: &str, delimiter: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(|letter| {
        let splits = letter == delimiter && !quoted;
        quoted ^= letter == '"' && !escaped;
        escaped = letter == '\\' && quoted && !escaped;
        splits
    })
    .map(str::trim)
    .collect()
}

/// The members of a combined Cache-Status value, in order.
#[must_use]
pub fn members(value: &str) -> Vec<Member> {
    split_outside_quotes(value, ',')
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(member)
        .collect()
}

fn member(text: &str) -> Member {
    let mut parts = split_outside_quotes(text, ';').into_iter();
    let cache = parts.next().unwrap_or_default().trim_matches('"').to_owned();
    Member { cache, parameters: parameters(parts) }
}

fn parameters<'a>(parts: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    parts
        .map(|part| part.split_once('=').unwrap_or((part, "?1")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Compares the member of the cache `node`, which must be the last one, with `expected`, such as
/// `fwd=stale; fwd-status=304` (without the cache's name).
///
/// # Errors
/// What differs.
pub fn compare(
    value: Option<&str>,
    node: &str,
    expected: &str,
    late_by: u64,
) -> Result<(), String> {
    let value = value.ok_or("there is no Cache-Status")?;
    let members = members(value);
    let ours = members.last().filter(|member| member.cache == node);
    let ours = ours.ok_or_else(|| format!("the last member is not {node}'s: {value:?}"))?;
    let wanted = parameters(split_outside_quotes(expected, ';').into_iter());
    let open =
        wanted.contains_key("collapsed") || wanted.get("fwd-status").is_some_and(|s| s == "304");
    for name in ["hit", "fwd", "stored", "collapsed", "ttl", "fwd-status", "key", "detail"] {
        let decisive = matches!(name, "hit" | "fwd" | "collapsed") || (name == "stored" && !open);
        let (want, have) = (wanted.get(name), ours.parameters.get(name));
        let agree = match (want, have) {
            (Some(want), Some(have)) if name == "ttl" => near(want, have, late_by),
            (None, Some(have)) => !decisive || have == "?0",
            (want, have) => want == have,
        };
        if !agree {
            return Err(format!("{name} differs: expected {expected:?}, got {value:?}"));
        }
    }
    Ok(())
}

/// Whether a lifetime is the expected one, or less by at most `late_by` seconds.
fn near(want: &str, have: &str, late_by: u64) -> bool {
    match (want.parse::<i64>(), have.parse::<i64>()) {
        (Ok(want), Ok(have)) => have <= want && want.saturating_sub(have).unsigned_abs() <= late_by,
        _ => want == have,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_split_outside_of_quotes() {
        let all = members("origin; hit, edge; fwd=stale; detail=\"a,b;c\\\"d\"; stored");
        assert_eq!(all.len(), 2);
        assert_eq!(all[1].cache, "edge");
        assert_eq!(all[1].parameters["detail"], "\"a,b;c\\\"d\"");
        assert_eq!(all[1].parameters["stored"], "?1");
    }

    #[test]
    fn the_decisive_words_are_always_compared() {
        let rows = [
            ("edge; hit; ttl=5", "hit; ttl=5", 0, true),
            ("edge; hit; ttl=5", "hit", 0, true),
            ("edge; hit; ttl=4", "hit; ttl=5", 0, false),
            ("edge; hit; ttl=4", "hit; ttl=5", 1, true),
            ("edge; hit; ttl=6", "hit; ttl=5", 1, false),
            ("edge; fwd=miss; stored", "fwd=miss", 0, false),
            ("edge; fwd=miss; stored=?0", "fwd=miss", 0, true),
            ("edge; fwd=miss; collapsed; stored", "fwd=miss; collapsed", 0, true),
            ("edge; fwd=miss; collapsed", "fwd=miss", 0, false),
            ("edge; fwd=stale; fwd-status=304; stored", "fwd=stale; fwd-status=304", 0, true),
            ("edge; fwd=stale", "fwd=stale; fwd-status=304", 0, false),
            ("edge; stored; fwd=miss", "fwd=miss; stored", 0, true),
            ("edge; hit, other; hit", "hit", 0, false),
            ("edge; hit; fwd=miss", "hit", 0, false),
        ];
        for (value, expected, late_by, agree) in rows {
            let result = compare(Some(value), "edge", expected, late_by);
            assert_eq!(result.is_ok(), agree, "{value} vs {expected}: {result:?}");
        }
        assert!(compare(None, "edge", "hit", 0).is_err());
    }
}
