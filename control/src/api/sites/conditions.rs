//! What a caller says is there, or is known to them.
//!
//! In: fields. Out: [`Expected`]; whether a version is known. Always: a site's tag is its revision in
//! quotes, as it was told, and strong, so who expects any other tag expects what never is there. It
//! does not know what is there.
//! Clause: RFC 9110 §8.8.3, §13.1.1, §13.1.2.

use http::{
    HeaderMap, HeaderName,
    header::{IF_MATCH, IF_NONE_MATCH},
};
use nearcast_daemon::http_problem::Problem;

use super::super::bad;
use crate::site::Wanted;

/// The longest line of a condition.
const LINE_BYTES_MAX: usize = 128;

/// What a writer expects of a site.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// That there is none.
    Absent,
    /// That there is one.
    Present,
    /// That it is at one of these revisions.
    OneOf(Vec<u64>),
}

impl Expected {
    pub(super) fn wanted(&self) -> Wanted<'_> {
        match self {
            Self::Absent => Wanted::Absent,
            Self::Present => Wanted::Present,
            Self::OneOf(revisions) => Wanted::OneOf(revisions),
        }
    }
}

/// What the fields of a write expect; nothing where they say nothing.
pub(super) fn expected(fields: &HeaderMap) -> Result<Option<Expected>, Problem> {
    match (tags(fields, &IF_MATCH)?, tags(fields, &IF_NONE_MATCH)?) {
        (None, None) => Ok(None),
        (None, Some(Tags::Any)) => Ok(Some(Expected::Absent)),
        (Some(Tags::Any), None) => Ok(Some(Expected::Present)),
        (Some(Tags::These(tags)), None) => {
            // Weak ones never match here (RFC 9110 §8.8.3.2).
            let strong = tags.into_iter().filter(|tag| !tag.is_weak);
            Ok(Some(Expected::OneOf(strong.filter_map(|tag| tag.revision()).collect())))
        }
        (None, Some(Tags::These(_))) => Err(bad("If-None-Match: allowed in a write: *")),
        (Some(_), Some(_)) => Err(bad("If-Match and If-None-Match: allowed: one of them")),
    }
}

/// What who asks has already.
pub(super) fn known(fields: &HeaderMap) -> Result<Option<Tags>, Problem> {
    tags(fields, &IF_NONE_MATCH)
}

/// Versions by their tags.
pub(super) enum Tags {
    Any,
    These(Vec<Tag>),
}

impl Tags {
    /// Whether one is this revision's, weak or not (RFC 9110 §8.8.3.2).
    pub(super) fn name(&self, revision: u64) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|tag| tag.revision() == Some(revision)),
        }
    }
}

pub(super) struct Tag {
    is_weak: bool,
    opaque: String,
}

impl Tag {
    /// The revision that it is of, if it can be one's.
    fn revision(&self) -> Option<u64> {
        let revision: u64 = self.opaque.parse().ok()?;
        // Tags are compared byte by byte.
        (revision.to_string() == self.opaque).then_some(revision)
    }
}

/// The tags of a field, whose lines are one list.
fn tags(fields: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    let wrong = || {
        bad(format!(
            "{name}: allowed: *, or tags as ETag told them, as \"17\", in {LINE_BYTES_MAX} characters"
        ))
    };
    if fields.get_all(name).iter().any(|line| line.len() > LINE_BYTES_MAX) {
        return Err(wrong());
    }
    let lines = fields.get_all(name).iter().map(|line| line.to_str().map_err(|_opaque| wrong()));
    let lines: Vec<&str> = lines.collect::<Result<_, _>>()?;
    if lines.is_empty() {
        return Ok(None);
    }
    if lines.iter().map(|line| line.trim()).eq(["*"]) {
        return Ok(Some(Tags::Any));
    }
    let mut tags = Vec::new();
    for line in lines {
        tags.extend(list(line).ok_or_else(wrong)?);
    }
    if tags.is_empty() { Err(wrong()) } else { Ok(Some(Tags::These(tags))) }
}

/// The tags of a line; a comma may stand within one.
fn list(line: &str) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    let mut rest = line.trim_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let (is_weak, tag) = match rest.strip_prefix("W/") {
            Some(tag) => (true, tag),
            None => (false, rest),
        };
        let (opaque, after) = tag.strip_prefix('"')?.split_once('"')?;
        if !opaque.bytes().all(|byte| byte == b'!' || (b'#'..=b'~').contains(&byte)) {
            return None;
        }
        tags.push(Tag { is_weak, opaque: opaque.to_owned() });
        let next = after.trim_start_matches([' ', '\t']);
        if !next.is_empty() && !next.starts_with(',') {
            return None;
        }
        rest = next.trim_start_matches([' ', '\t', ',']);
    }
    Some(tags)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(rows: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in rows {
            fields.append(*name, HeaderValue::from_static(value));
        }
        fields
    }

    #[test]
    fn rfc9110_13_1_a_condition_is_tags_or_a_star() {
        let of = |rows: &[(&'static str, &'static str)]| expected(&fields(rows)).ok();
        let at = |revisions: &[u64]| Some(Some(Expected::OneOf(revisions.to_vec())));
        assert_eq!(of(&[]), Some(None));
        assert_eq!(of(&[("if-none-match", "*")]), Some(Some(Expected::Absent)));
        assert_eq!(of(&[("if-match", " * ")]), Some(Some(Expected::Present)));
        for (tags, revisions) in [
            ("\"17\"", &[17][..]),
            ("\"1\", \"2\"", &[1, 2]),
            (", \"1\" ,\t\"2\",", &[1, 2]),
            // They match nothing that is ever told.
            ("W/\"17\"", &[]),
            ("\"017\"", &[]),
            ("\"+1\", \"x,y\", \"\", \"3\"", &[3]),
        ] {
            assert_eq!(of(&[("if-match", tags)]), at(revisions), "{tags}");
        }
        assert_eq!(of(&[("if-match", "\"1\""), ("if-match", "\"2\"")]), at(&[1, 2]));
        for wrong in ["17", "", ",", "\"1", "\"1\" \"2\"", "\"a b\"", "w/\"1\"", "*, \"1\""] {
            assert_eq!(of(&[("if-match", wrong)]), None, "{wrong}");
        }
        let long = format!("\"{}\"", "1".repeat(LINE_BYTES_MAX)).leak();
        assert_eq!(of(&[("if-match", long)]), None);
        assert_eq!(of(&[("if-none-match", "\"17\"")]), None);
        assert_eq!(of(&[("if-match", "*"), ("if-none-match", "*")]), None);
    }

    #[test]
    fn rfc9110_13_1_2_a_version_is_known_by_any_form_of_its_tag() {
        for (tags, wanted) in [
            ("\"17\"", Some(true)),
            ("W/\"17\"", Some(true)),
            ("\"1\", W/\"17\"", Some(true)),
            ("*", Some(true)),
            ("\"1\"", Some(false)),
            ("\"017\"", Some(false)),
            ("17", None),
        ] {
            let found = known(&fields(&[("if-none-match", tags)]));
            let found = found.ok().map(|tags| tags.is_some_and(|tags| tags.name(17)));
            assert_eq!(found, wanted, "{tags}");
        }
        assert!(known(&HeaderMap::new()).is_ok_and(|tags| tags.is_none()));
    }
}
