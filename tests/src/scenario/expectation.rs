//! The lines under `<` and under `origin got #N`: what must have come.
//!
//! In: blocks. Out: [`Expectation`]s and [`RequestExpectation`]s.
//! Always holds: a line that is not understood is refused, never skipped.

use super::block::{Block, Line};
use super::{Expectation, FieldRule, RequestExpectation, text};

type Fault = (usize, String);

/// Reads what follows `CLIENT<` and the lines under it.
pub(super) fn of_answer(words: &str, block: &Block<'_>) -> Result<Expectation, Fault> {
    let (head_only, status) = match words.strip_prefix("head ") {
        Some(rest) => (true, rest),
        None => (false, words),
    };
    let status = status.split('|').map(|status| text::number(status.trim()));
    let status =
        status.collect::<Result<Vec<_>, _>>().map_err(|error| (block.head.number, error))?;
    let mut expectation = Expectation { status, head_only, ..Expectation::default() };
    for line in &block.details {
        detail(&mut expectation, *line).map_err(|error| (line.number, error))?;
    }
    Ok(expectation)
}

fn detail(expectation: &mut Expectation, line: Line<'_>) -> Result<(), String> {
    let text = line.text;
    if let Some(words) = text.strip_prefix("cache: ") {
        expectation.cache = words.split('|').map(|words| words.trim().to_owned()).collect();
    } else if let Some(octets) = text.strip_prefix("so far ") {
        expectation.so_far = Some(text::quoted(octets)?);
    } else if text == "cut" {
        expectation.cut = true;
    } else if text == "closes" {
        expectation.closes = true;
    } else if text == "no interim" {
        expectation.interim = Some(Vec::new());
    } else if let Some(rest) = text.strip_prefix("interim ") {
        expectation.interim.get_or_insert_default().push(interim(rest)?);
    } else if let Some(rest) = text.strip_prefix("trailer ") {
        expectation.trailers.push(rule(rest)?);
    } else if !text::body_rule(text, &mut expectation.body)? {
        expectation.fields.push(rule(text)?);
    }
    Ok(())
}

fn interim(rest: &str) -> Result<(u16, Vec<FieldRule>), String> {
    let (status, fields) = match rest.split_once(' ') {
        Some((status, field)) => (status, vec![rule(field)?]),
        None => (rest, Vec::new()),
    };
    Ok((text::number(status)?, fields))
}

fn rule(text: &str) -> Result<FieldRule, String> {
    text::field_rule(text)?.ok_or_else(|| format!("an expectation does not know {text:?}"))
}

/// Reads `origin got #N METHOD TARGET` and the lines under it.
pub(super) fn of_request(
    words: &str,
    block: &Block<'_>,
) -> Result<(usize, RequestExpectation), Fault> {
    let at = |error| (block.head.number, error);
    let parts: Vec<&str> = words.split(' ').collect();
    let [nth, method, target] = parts.as_slice() else {
        return Err(at("origin got #N METHOD TARGET".to_owned()));
    };
    let mut expectation = RequestExpectation {
        method: (*method).to_owned(),
        target: (*target).to_owned(),
        ..RequestExpectation::default()
    };
    for line in &block.details {
        let is_body = text::body_rule(line.text, &mut expectation.body);
        if !is_body.map_err(|error| (line.number, error))? {
            expectation.fields.push(rule(line.text).map_err(|error| (line.number, error))?);
        }
    }
    Ok((text::number(nth).map_err(at)?, expectation))
}
