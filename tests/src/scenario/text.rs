//! The small words of a `.scn` file: quoted octets, lengths, durations, fields, content.
//!
//! In: pieces of lines. Out: values, or what is wrong in a few words.
//! Always holds: every character of the piece is used, or it is refused.

use std::time::Duration;

use origin_mock::pattern;

use super::{BodyRule, FieldRule};

/// Reads `"..."` with `\r \n \t \0 \" \\ \xNN`.
pub(super) fn quoted(text: &str) -> Result<Vec<u8>, String> {
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .ok_or_else(|| format!("octets stand in double quotes, not {text:?}"))?;
    let mut octets = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(letter) = rest.next() {
        if letter == '"' {
            return Err(format!("a quote inside quotes is written \\\" in {text:?}"));
        }
        if letter != '\\' {
            octets.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        octets.push(match rest.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('"') => b'"',
            Some('\\') => b'\\',
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).map_err(|error| format!("\\x{digits}: {error}"))?
            }
            other => return Err(format!("no such escape: \\{other:?}")),
        });
    }
    Ok(octets)
}

/// Reads `10s`, `2m`, `1h30m`, `500ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{text:?} is no duration: {error}"))
}

/// Reads a number.
pub(super) fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().ok().ok_or_else(|| format!("{text:?} is no number"))
}

/// Reads `Name: value`, if the line begins like one.
pub(super) fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let is_token = !name.is_empty()
        && name
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet));
    is_token.then(|| (name, value.trim()))
}

/// Reads `Name: value`, `Name ~ regex` or `!Name`.
pub(super) fn field_rule(line: &str) -> Result<Option<FieldRule>, String> {
    if let Some(name) = line.strip_prefix('!') {
        return Ok(Some(FieldRule::Absent(name.trim().to_owned())));
    }
    if let Some((name, pattern)) = line.split_once(" ~ ")
        && !name.contains([' ', ':'])
    {
        return Ok(Some(FieldRule::Matches(name.to_owned(), regex(pattern)?)));
    }
    Ok(field(line).map(|(name, value)| FieldRule::Is(name.to_owned(), value.to_owned())))
}

/// Compiles a regular expression.
pub(super) fn regex(pattern: &str) -> Result<regex_lite::Regex, String> {
    regex_lite::Regex::new(pattern.trim()).map_err(|error| format!("{pattern:?}: {error}"))
}

/// Reads `"..."`, `body N bytes`, `body A-B of N bytes`: octets known in full. Quoted lines add up.
pub(super) fn octets(line: &str) -> Result<Option<Vec<u8>>, String> {
    if line.starts_with('"') {
        return quoted(line).map(Some);
    }
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["body", count, "bytes"] => Ok(Some(pattern::octets(0, 0, number(count)?))),
        ["body", span, "of", _, "bytes"] => {
            let (first, last) =
                span.split_once('-').ok_or_else(|| format!("{span:?} is no span"))?;
            let (first, last): (u64, u64) = (number(first)?, number(last)?);
            let count = usize::try_from(last + 1 - first).map_err(|error| error.to_string())?;
            Ok(Some(pattern::octets(0, first, count)))
        }
        ["no", "body"] => Ok(Some(Vec::new())),
        _ => Ok(None),
    }
}

/// Reads one line about content into a rule; whether it was one.
pub(super) fn body_rule(line: &str, rule: &mut Option<BodyRule>) -> Result<bool, String> {
    if let Some(pattern) = line.strip_prefix("body ~ ") {
        *rule = Some(BodyRule::Matches(regex(pattern)?));
        return Ok(true);
    }
    if let Some(pattern) = line.strip_prefix("body !~ ") {
        *rule = Some(BodyRule::Without(regex(pattern)?));
        return Ok(true);
    }
    let Some(more) = octets(line)? else { return Ok(false) };
    match rule {
        Some(BodyRule::Is(whole)) => whole.extend(more),
        _ => *rule = Some(BodyRule::Is(more)),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_octets_know_their_escapes_and_refuse_others() {
        assert_eq!(quoted(r#""a\r\n\t\0\"\\\xff""#).unwrap(), b"a\r\n\t\0\"\\\xff");
        for bad in ["a", "\"a", r#""\q""#, r#""\xzz""#, r#""a"b""#] {
            assert!(quoted(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn field_rules_tell_values_patterns_and_absence_apart() {
        assert!(
            matches!(field_rule("Age: 3").unwrap(), Some(FieldRule::Is(n, v)) if n == "Age" && v == "3")
        );
        assert!(matches!(field_rule("ETag: W/\"a ~ b\"").unwrap(), Some(FieldRule::Is(..))));
        assert!(
            matches!(field_rule("Via ~ ^1").unwrap(), Some(FieldRule::Matches(n, _)) if n == "Via")
        );
        assert!(matches!(field_rule("!Age").unwrap(), Some(FieldRule::Absent(n)) if n == "Age"));
        assert!(field_rule("no body").unwrap().is_none());
        assert!(field_rule("Via ~ (").is_err());
    }
}
