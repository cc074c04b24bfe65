//! `origin` blocks: what the origin does, as steps of the mock's script.
//!
//! In: `origin [METHOD] PATH STATUS [REASON]` and the lines under it. Out: a route's next step.
//! Always holds: blocks for the same method and path follow each other; the last repeats.

use std::time::Duration;

use origin_mock::raw::Raw;
use origin_mock::script::{
    Body, Expect, Field, Framing, Hold, Interim, Pace, Pattern, RequestContent, Route, Script,
    Seed, Step,
};

use super::block::{Block, Line};
use super::text;

/// Adds an `origin` block to a script.
pub(super) fn add(script: &mut Script, block: &Block<'_>) -> Result<(), (usize, String)> {
    let at = |error| (block.head.number, error);
    let (method, path, mut step) = head(block.head.text).map_err(at)?;
    let mut octets: Option<Vec<u8>> = None;
    for line in &block.details {
        detail(&mut step, &mut octets, *line).map_err(|error| (line.number, error))?;
    }
    if let Some(octets) = octets {
        step.body = Body::Octets(Raw::from(octets));
    }
    if path == "*" {
        script.otherwise.push(step);
        return Ok(());
    }
    match script.routes.iter_mut().find(|route| route.path == path && route.method == method) {
        Some(route) => route.steps.push(step),
        None => script.routes.push(Route { path, method, steps: vec![step] }),
    }
    Ok(())
}

fn head(text: &str) -> Result<(Option<String>, String, Step), String> {
    let words: Vec<&str> = text.split(' ').skip(1).collect();
    let (method, rest) = match words.as_slice() {
        [first, rest @ ..] if !first.starts_with(['/', '*']) => (Some((*first).to_owned()), rest),
        all => (None, all),
    };
    let [path, status, reason @ ..] = rest else {
        return Err("origin [METHOD] PATH STATUS [REASON]".to_owned());
    };
    let mut step = Step::status(text::number(status)?);
    if !reason.is_empty() {
        step.reason = Some(Raw::from(reason.join(" ")));
    }
    Ok((method, (*path).to_owned(), step))
}

fn detail(step: &mut Step, octets: &mut Option<Vec<u8>>, line: Line<'_>) -> Result<(), String> {
    let text = line.text;
    if text.starts_with('"') {
        octets.get_or_insert_default().extend(text::quoted(text)?);
        return Ok(());
    }
    if let Some((name, value)) = text::field(text) {
        step.fields.push(field(name, value)?);
        return Ok(());
    }
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match (word, rest) {
        ("body", rest) => {
            let count = rest.strip_suffix(" bytes").ok_or("body N bytes")?;
            step.body =
                Body::Pattern(Pattern { bytes: text::number(count)?, seed: Seed::Number(0) });
        }
        ("hold", "") => step.hold = Some(Hold::Release),
        ("hold", rest) => step.hold = Some(Hold::Joined(text::number(rest)?)),
        ("delay", rest) => step.head_delay = text::duration(rest)?,
        ("pace", rest) => step.pace = Some(pace(rest)?),
        ("slowly", rest) => step.request_pace = Some(pace(rest)?),
        ("chunked", "") => step.framing = Framing::Chunked,
        ("chunks", rest) => {
            step.framing = Framing::Chunked;
            step.chunk_bytes = text::number(rest)?;
        }
        ("trailer", rest) => {
            let (name, value) = text::field(rest).ok_or("trailer Name: value")?;
            step.trailers.push(field(name, value)?);
        }
        ("interim", rest) => interim(step, rest)?,
        ("no", "Date") => step.no_date = true,
        ("conditional", "") => step.conditional = true,
        ("ranges", "") => step.ranges = true,
        ("close", "") => step.close = true,
        ("content", "anyway") => step.content_anyway = true,
        ("raw", rest) => step.fields.push(Field::Line(Raw::from(text::quoted(rest)?))),
        ("version", rest) => step.version = Some(Raw::from(rest)),
        ("never", "") => step.never = true,
        ("silent", "") => step.expect = Expect::Silent,
        ("early", "") => step.request_content = RequestContent::After,
        ("deaf", "") => step.request_content = RequestContent::Ignored,
        ("gibberish", rest) => step.gibberish = Some(Raw::from(text::quoted(rest)?)),
        _ => return ending(step, text),
    }
    Ok(())
}

/// The ways to end or frame content.
fn ending(step: &mut Step, text: &str) -> Result<(), String> {
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["until", "close"] => step.framing = Framing::Close,
        ["silent", "close"] => step.close_silently = true,
        ["both", "lengths"] => step.framing = Framing::Both,
        ["differing", "lengths"] => step.framing = Framing::DifferingLengths,
        ["wrong", "length", count] => step.framing = Framing::WrongLength(text::number(count)?),
        ["bad", "chunk", size] => {
            step.framing = Framing::BadChunkSize(Raw::from(text::quoted(size)?));
        }
        ["cut", "after", count] => step.truncate_after = Some(text::number(count)?),
        ["reset", "after", count] => step.reset_after = Some(text::number(count)?),
        ["cut", "head", "after", count] => step.cut_head_after = Some(text::number(count)?),
        _ => return Err(format!("the origin does not know {text:?}")),
    }
    Ok(())
}

fn interim(step: &mut Step, rest: &str) -> Result<(), String> {
    let (status, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let mut fields = Vec::new();
    if !rest.is_empty() {
        let (name, value) = text::field(rest).ok_or("interim STATUS [Name: value]")?;
        fields.push(field(name, value)?);
    }
    step.interim.push(Interim { status: text::number(status)?, fields, delay: Duration::ZERO });
    Ok(())
}

fn pace(rest: &str) -> Result<Pace, String> {
    let (bytes, every) = rest.split_once(" every ").ok_or("N every DURATION")?;
    Ok(Pace { bytes: text::number(bytes)?, every: text::duration(every)? })
}

/// A field whose `{now-10s}` becomes the mock's own template.
fn field(name: &str, value: &str) -> Result<Field, String> {
    let mut filled = String::new();
    let mut rest = value;
    while let Some((before, from)) = rest.split_once("{now") {
        filled.push_str(before);
        let (offset, after) = from.split_once('}').ok_or("a template ends with }")?;
        match offset.split_at_checked(1) {
            None => filled.push_str("{date}"),
            Some((sign @ ("+" | "-"), time)) => {
                let seconds = text::duration(time)?.as_secs();
                filled.push_str(&format!("{{date{sign}{seconds}}}"));
            }
            Some(_) => return Err(format!("{{now{offset}}}: + or - and a duration")),
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(Field::Pair(Raw::from(name), Raw::from(filled)))
}
