//! CDN-Loop: whether a request has been here before (RFC 8586 §2).
//!
//! In: a field value and this node's cdn-id. Out: whether one of its members is that.
//! Always holds: a value that does not follow the grammar cannot hide a name: then every word of
//! it counts, for the cost of a loop is far greater than that of one refused odd request.

/// Whether `value` names `cdn_id`, before any parameters.
pub(super) fn names(value: &[u8], cdn_id: &str) -> bool {
    let ours = super::token(cdn_id);
    let is_ours = |id: &[u8]| id.eq_ignore_ascii_case(ours.as_bytes());
    match ids(value) {
        Some(ids) => ids.into_iter().any(is_ours),
        None => value.split(|byte| b" \t,;\"=\\".contains(byte)).any(is_ours),
    }
}

/// The cdn-ids of a list, if it is one.
fn ids(value: &[u8]) -> Option<Vec<&[u8]>> {
    let mut ids = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|byte| b",; \t\"".contains(byte)).unwrap_or(rest.len());
        let (id, after) = rest.split_at_checked(end)?;
        if !id.is_empty() {
            ids.push(id);
            rest = parameters(after)?;
        } else {
            rest = after;
        }
        match rest.split_first() {
            None => return Some(ids),
            Some((b',', next)) => rest = next,
            Some(_) => return None,
        }
    }
}

/// What follows `*( OWS ";" OWS parameter ) OWS`.
fn parameters(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        rest = rest.trim_ascii_start();
        let Some(after) = rest.strip_prefix(b";") else { return Some(rest) };
        rest = pair(after.trim_ascii_start())?;
    }
}

/// What follows `token "=" ( token / quoted-string )`.
pub(super) fn pair(rest: &[u8]) -> Option<&[u8]> {
    let after_name = after_token(rest)?;
    let value = after_name.strip_prefix(b"=")?;
    match value.strip_prefix(b"\"") {
        Some(quoted) => after_quoted(quoted),
        None => after_token(value),
    }
}

/// What follows a token.
fn after_token(rest: &[u8]) -> Option<&[u8]> {
    let is_end = |byte: &u8| !crate::outcome::is_tchar(*byte);
    let end = rest.iter().position(is_end).unwrap_or(rest.len());
    if end == 0 { None } else { rest.get(end..) }
}

/// What follows the closing quote of a quoted-string (RFC 9110 §5.6.4).
fn after_quoted(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (byte, after) = rest.split_first()?;
        rest = match byte {
            b'"' => return Some(after),
            b'\\' => after.split_first()?.1,
            _ => after,
        };
    }
}
