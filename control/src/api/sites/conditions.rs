//! What a writer says must be there.
//!
//! In: fields. Out: [`Wanted`]. Always: one condition at most; a tag is a revision in quotes, as it
//! was told. It does not know what is there.
//! Clause: RFC 9110 §13.1.1, §13.1.2.

use http::{
    HeaderMap, HeaderName,
    header::{IF_MATCH, IF_NONE_MATCH},
};
use nearcast_daemon::http_problem::Problem;

use super::super::bad;
use crate::site::Wanted;

/// What the fields of a request expect; nothing where they say nothing.
pub(super) fn expected(fields: &HeaderMap) -> Result<Option<Wanted>, Problem> {
    let (matches, none_match) = (one(fields, &IF_MATCH)?, one(fields, &IF_NONE_MATCH)?);
    match (matches, none_match) {
        (None, None) => Ok(None),
        (None, Some("*")) => Ok(Some(Wanted::Absent)),
        (Some("*"), None) => Ok(Some(Wanted::Present)),
        (Some(tag), None) => revision(tag).map(|at| Some(Wanted::At(at))),
        (None, Some(_)) => Err(bad("If-None-Match: allowed: *")),
        (Some(_), Some(_)) => Err(bad("If-Match and If-None-Match: allowed: one of them")),
    }
}

fn one<'f>(fields: &'f HeaderMap, name: &HeaderName) -> Result<Option<&'f str>, Problem> {
    let mut given = fields.get_all(name).iter();
    let Some(first) = given.next() else { return Ok(None) };
    match (first.to_str(), given.next()) {
        (Ok(text), None) => Ok(Some(text.trim())),
        _ => Err(bad(format!("{name}: allowed: once"))),
    }
}

fn revision(tag: &str) -> Result<u64, Problem> {
    let inner = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let digits = inner.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).ok_or_else(|| {
        bad("If-Match: allowed: * or one revision as ETag told it, in quotes, as \"17\"")
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn rfc9110_13_1_a_condition_is_one_tag_or_a_star() {
        let of = |rows: &[(&'static str, &'static str)]| {
            let mut fields = HeaderMap::new();
            for (name, value) in rows {
                fields.append(*name, HeaderValue::from_static(value));
            }
            expected(&fields).ok()
        };
        assert_eq!(of(&[]), Some(None));
        assert_eq!(of(&[("if-none-match", "*")]), Some(Some(Wanted::Absent)));
        assert_eq!(of(&[("if-match", "*")]), Some(Some(Wanted::Present)));
        assert_eq!(of(&[("if-match", "\"17\"")]), Some(Some(Wanted::At(17))));
        for wrong in ["17", "W/\"17\"", "\"\"", "\"1\", \"2\"", "\"+1\"", "\"x\""] {
            assert_eq!(of(&[("if-match", wrong)]), None, "{wrong}");
        }
        assert_eq!(of(&[("if-none-match", "\"17\"")]), None);
        assert_eq!(of(&[("if-match", "*"), ("if-none-match", "*")]), None);
        assert_eq!(of(&[("if-match", "\"1\""), ("if-match", "\"2\"")]), None);
    }
}
