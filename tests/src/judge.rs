//! What came, held against what was expected.
//!
//! In: an answer or a recorded request, an expectation, the time. Out: agreement, or the first
//! difference in words.
//! Always holds: every rule of an expectation is looked at; nothing is normalised before it is
//! compared but the names of fields.
//! It deliberately waits for nothing: whoever calls has waited.

use std::time::{Duration, SystemTime};

use origin_mock::clock::http_date;
use origin_mock::recorder::Recorded;

use crate::cache_status;
use crate::message::{Answer, Fields, Head, joined};
use crate::scenario::{BodyRule, Expectation, FieldRule, RequestExpectation};

/// What a comparison may know of where and when it takes place.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The edge's name in Cache-Status.
    pub node: &'a str,
    /// The time now.
    pub now: SystemTime,
    /// Seconds by which a real clock may have run on.
    pub late_by: u64,
}

/// Fills in `{now}`, `{now-10s}`, `{now+1h}`.
///
/// # Errors
/// When the braces hold no such thing.
pub fn fill_in(text: &str, now: SystemTime) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once("{now") {
        let (offset, after) = from.split_once('}').ok_or("a template ends with }")?;
        filled.push_str(before);
        filled.push_str(&http_date(now, seconds(offset)?));
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn seconds(offset: &str) -> Result<i64, String> {
    let (sign, time) = match offset.split_at_checked(1) {
        None => return Ok(0),
        Some(("+", time)) => (1, time),
        Some(("-", time)) => (-1, time),
        Some(_) => return Err(format!("{{now{offset}}}: + or - and a duration")),
    };
    let time = humantime::parse_duration(time).map_err(|error| error.to_string())?;
    Ok(sign * i64::try_from(time.as_secs()).map_err(|error| error.to_string())?)
}

/// Compares what a client got with what it should have got.
///
/// # Errors
/// The first difference.
pub fn answer(got: &Answer, wanted: &Expectation, place: Place<'_>) -> Result<(), String> {
    let Some(head) = &got.head else { return Err("no final response head came".to_owned()) };
    if !wanted.status.contains(&head.status) {
        return Err(format!("expected status {:?}, got {}", wanted.status, head.status));
    }
    fields(&head.fields, &wanted.fields, place)?;
    our_cache_status(head, &wanted.cache, place)?;
    interim(&got.interim, wanted, place)?;
    if let Some(so_far) = &wanted.so_far
        && !got.body.starts_with(so_far)
    {
        return Err(format!("expected content to begin {}, got {}", show(so_far), show(&got.body)));
    }
    if wanted.head_only {
        return Ok(());
    }
    if got.cut != wanted.cut {
        let what = if got.cut { "was cut short" } else { "came whole" };
        return Err(format!("the response {what}: {}", show(&got.body)));
    }
    match &wanted.body {
        Some(BodyRule::Is(whole)) if wanted.cut && whole.starts_with(&got.body) => {}
        Some(rule) => body(&got.body, rule)?,
        None => {}
    }
    fields(&got.trailers, &wanted.trailers, place).map_err(|error| format!("trailers: {error}"))
}

fn our_cache_status(head: &Head, wanted: &[String], place: Place<'_>) -> Result<(), String> {
    let value = joined(&head.fields, "cache-status");
    let mut verdicts = wanted
        .iter()
        .map(|words| cache_status::compare(value.as_deref(), place.node, words, place.late_by));
    match verdicts.next() {
        None | Some(Ok(())) => Ok(()),
        Some(Err(_)) if verdicts.any(|verdict| verdict.is_ok()) => Ok(()),
        Some(first) => first,
    }
}

fn interim(got: &[Head], wanted: &Expectation, place: Place<'_>) -> Result<(), String> {
    let Some(wanted) = &wanted.interim else { return Ok(()) };
    let statuses: Vec<u16> = got.iter().map(|head| head.status).collect();
    if !statuses.iter().eq(wanted.iter().map(|(status, _)| status)) {
        return Err(format!("the interim responses were {statuses:?}"));
    }
    for (head, (status, rules)) in got.iter().zip(wanted) {
        fields(&head.fields, rules, place).map_err(|error| format!("interim {status}: {error}"))?;
    }
    Ok(())
}

/// Compares what the origin received with what it should have received.
///
/// # Errors
/// The first difference.
pub fn request(
    got: &Recorded,
    wanted: &RequestExpectation,
    place: Place<'_>,
) -> Result<(), String> {
    if (&got.method, &got.target) != (&wanted.method, &wanted.target) {
        let wanted = format!("{} {}", wanted.method, wanted.target);
        return Err(format!("expected {wanted}, the origin got {} {}", got.method, got.target));
    }
    let lines: Fields =
        got.fields.iter().map(|(name, value)| (name.to_text(), value.to_text())).collect();
    fields(&lines, &wanted.fields, place)?;
    wanted.body.as_ref().map_or(Ok(()), |rule| body(got.content.as_bytes(), rule))
}

fn fields(got: &[(String, String)], rules: &[FieldRule], place: Place<'_>) -> Result<(), String> {
    for rule in rules {
        match rule {
            FieldRule::Absent(name) => {
                if let Some(value) = joined(got, name) {
                    return Err(format!("expected no {name}, got {value:?}"));
                }
            }
            FieldRule::Matches(name, pattern) => {
                let value = joined(got, name).ok_or_else(|| format!("there is no {name}"))?;
                if !pattern.is_match(&value) {
                    return Err(format!("expected {name} ~ {pattern}, got {value:?}"));
                }
            }
            FieldRule::Is(name, wanted) => {
                let value = joined(got, name).ok_or_else(|| format!("there is no {name}"))?;
                if !is(name, &value, wanted, place)? {
                    return Err(format!("expected {name}: {wanted}, got {value:?}"));
                }
            }
        }
    }
    Ok(())
}

/// Whether a value is the wanted one, allowing for a real clock that ran on.
fn is(name: &str, value: &str, wanted: &str, place: Place<'_>) -> Result<bool, String> {
    if name.eq_ignore_ascii_case("age")
        && let (Ok(value), Ok(wanted)) = (value.parse::<u64>(), wanted.parse::<u64>())
    {
        return Ok(value >= wanted && value - wanted <= place.late_by);
    }
    for late in 0..=place.late_by {
        let then = place.now.checked_sub(Duration::from_secs(late)).unwrap_or(place.now);
        if value == fill_in(wanted, then)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn body(got: &[u8], rule: &BodyRule) -> Result<(), String> {
    let text = String::from_utf8_lossy(got);
    let (agree, wanted) = match rule {
        BodyRule::Is(whole) => (got == whole.as_slice(), show(whole)),
        BodyRule::Matches(pattern) => (pattern.is_match(&text), format!("~ {pattern}")),
        BodyRule::Without(pattern) => (!pattern.is_match(&text), format!("!~ {pattern}")),
    };
    if agree { Ok(()) } else { Err(format!("expected content {wanted}, got {}", show(got))) }
}

/// Octets for the eye: their number and the beginning.
#[must_use]
pub fn show(octets: &[u8]) -> String {
    let beginning = octets.get(..400).unwrap_or(octets);
    format!("\"{}\" ({} bytes)", beginning.escape_ascii(), octets.len())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::scenario::{Step, parse::parse};

    const PLACE: Place<'static> = Place { node: "edge", now: UNIX_EPOCH, late_by: 0 };

    fn expectation(lines: &str) -> Expectation {
        let page =
            format!("T\nclause: c\n\norigin got 1\n< 200\n  cache: hit\n{lines}\n< closed\n");
        let scenario = parse("x", &page).unwrap();
        let (_, step) = scenario.steps.into_iter().nth(1).unwrap();
        let Step::Got(_, expectation) = step else { panic!("no expectation") };
        expectation
    }

    fn got() -> Answer {
        let fields = [
            ("Age", "3"),
            ("Cache-Status", "edge; hit"),
            ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ];
        let fields = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Answer {
            head: Some(Head { status: 200, reason: "OK".to_owned(), fields }),
            body: b"hello".to_vec(),
            ended: true,
            ..Answer::default()
        }
    }

    #[test]
    fn each_rule_sees_its_difference() {
        let rows = [
            ("  \"hello\"", true),
            ("  \"hellO\"", false),
            ("  body ~ ^hel", true),
            ("  body ~ ^el", false),
            ("  body !~ ^el", true),
            ("  body !~ ell", false),
            ("  no body", false),
            ("  cut", false),
            ("  Age: 3", true),
            ("  Age: 2", false),
            ("  age ~ ^[0-9]$", true),
            ("  !Age", false),
            ("  !Via", true),
            ("  Via: x", false),
            ("  Date: {now}", true),
            ("  Date: {now-1s}", true),
            ("  Date: {now+1s}", false),
            ("  no interim", true),
            ("  interim 103", false),
            ("  trailer T: v", false),
            ("  so far \"he\"", true),
            ("  so far \"x\"", false),
        ];
        for (lines, agree) in rows {
            let result = answer(&got(), &expectation(lines), PLACE);
            assert_eq!(result.is_ok(), agree, "{lines}: {result:?}");
        }
    }

    #[test]
    fn another_status_or_another_outcome_is_a_difference() {
        let mut other = got();
        other.head.as_mut().unwrap().status = 404;
        assert!(answer(&other, &expectation("  \"hello\""), PLACE).is_err());
        other = got();
        other.head.as_mut().unwrap().fields[1].1 = "edge; fwd=miss".to_owned();
        assert!(answer(&other, &expectation("  \"hello\""), PLACE).is_err());
    }

    #[test]
    fn a_real_clock_may_have_run_on_a_little() {
        let place = Place { late_by: 2, now: UNIX_EPOCH + Duration::from_secs(2), ..PLACE };
        let mut still_filling = got();
        still_filling.head.as_mut().unwrap().fields[1].1 =
            "edge; fwd=uri-miss; collapsed".to_owned();
        let joined = answer(&still_filling, &expectation("  \"hello\""), place);
        assert!(joined.is_err(), "a hit is a hit wherever it is asked for");
        for (lines, agree) in [("  Age: 1", true), ("  Age: 4", false), ("  Date: {now}", true)] {
            assert_eq!(answer(&got(), &expectation(lines), place).is_ok(), agree, "{lines}");
        }
    }
}
