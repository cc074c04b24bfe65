//! From a step and a request to the response.
//!
//! In: a [`Step`], the facts of one request. Out: a [`Reply`].
//! Always holds: what the script says is sent verbatim; what it leaves open (`Date`, the framing
//! field, `Connection: close` before a close) is right.
//! Spec: RFC 9110 §13, §14, §15.4.5; RFC 9112 §6.

use bytes::Bytes;

use crate::clock::{http_date, parse_http_date};
use crate::conditional::{self, Validators, Verdict};
use crate::ranges::{self, Asked};
use crate::reply::{
    After, Coding, Cut, CutBy, Head, Part, Reply, Source, Span, append_fields, reason,
};
use crate::script::template::{self, Facts};
use crate::script::{Field, Framing, Interim, RequestContent, Step};

/// The response of a step to a request.
pub(crate) fn reply(step: &Step, facts: &Facts<'_>) -> Reply {
    if let Some(gibberish) = &step.gibberish {
        return gibberish_reply(gibberish.as_bytes(), step);
    }
    let fields = filled(&step.fields, facts);
    let source = step.body.source(facts);
    let chosen = choose(step, &fields, source.bytes(), facts);
    let length = chosen.parts.iter().map(Part::bytes).fold(0, u64::saturating_add);
    let mut head = status_line(step, chosen.status);
    for field in &fields {
        match field {
            Field::Pair(name, value) if chosen.keeps(name.as_bytes()) => {
                head.push(name.as_bytes(), value.as_bytes());
            }
            Field::Pair(..) => {}
            Field::Line(line) => head.push_line(line.as_bytes()),
        }
    }
    for (name, value) in &chosen.extra {
        head.push(name.as_bytes(), value.as_bytes());
    }
    if !step.no_date && !names(&fields, "date") {
        head.push(b"Date", http_date(facts.now, 0).as_bytes());
    }
    let bodiless = matches!(chosen.status, 100..=199 | 204 | 304);
    if !bodiless || step.content_anyway {
        push_framing(&mut head, step, &fields, length);
    }
    let after = after(step, facts);
    if after == After::Close && !step.close_silently && !names(&fields, "connection") {
        head.push(b"Connection", b"close");
    }
    let silent = (bodiless || facts.request.method == "HEAD") && !step.content_anyway;
    Reply {
        head: head.end(),
        source,
        parts: if silent { Vec::new() } else { chosen.parts },
        coding: if silent { Coding::Plain } else { coding(step, facts) },
        pace: step.pace,
        cut: cut(step),
        cut_head_after: step.cut_head_after,
        after,
    }
}

/// A head with a 1xx status.
pub(crate) fn interim(interim: &Interim, facts: &Facts<'_>) -> Vec<u8> {
    let mut head = Head::status(interim.status).into_lines();
    append_fields(&mut head, &filled(&interim.fields, facts));
    head.extend_from_slice(b"\r\n");
    head
}

/// Which response the request's own fields ask for.
struct Chosen {
    status: u16,
    parts: Vec<Part>,
    extra: Vec<(&'static str, String)>,
    drops: Drops,
}

/// Scripted fields that do not fit the response that was chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drops {
    Nothing,
    ContentType,
    /// What describes content that a 304 does not carry.
    ContentFields,
}

impl Chosen {
    fn whole(status: u16, length: u64) -> Self {
        let parts = vec![Part::Span(Span { start: 0, bytes: length })];
        Self { status, parts, extra: Vec::new(), drops: Drops::Nothing }
    }

    fn none(status: u16, drops: Drops) -> Self {
        Self { status, parts: Vec::new(), extra: Vec::new(), drops }
    }

    fn keeps(&self, name: &[u8]) -> bool {
        let lower = name.to_ascii_lowercase();
        match self.drops {
            Drops::Nothing => true,
            Drops::ContentType => lower != b"content-type",
            Drops::ContentFields => !lower.starts_with(b"content-") || lower == b"content-location",
        }
    }
}

fn choose(step: &Step, fields: &[Field], length: u64, facts: &Facts<'_>) -> Chosen {
    let mut whole = Chosen::whole(step.status, length);
    if step.status != 200 {
        return whole;
    }
    let validators = validators(fields);
    if step.conditional {
        match conditional::judge(facts.request, &validators) {
            Verdict::Proceed => {}
            Verdict::NotModified => return Chosen::none(304, Drops::ContentFields),
            Verdict::Failed => return Chosen::none(412, Drops::ContentFields),
        }
    }
    if !step.ranges {
        return whole;
    }
    if !names(fields, "accept-ranges") {
        whole.extra.push(("Accept-Ranges", "bytes".to_owned()));
    }
    if !conditional::range_counts(facts.request, &validators) {
        return whole;
    }
    match ranges::asked(facts.request, length) {
        Asked::Whole => whole,
        Asked::Unsatisfiable => {
            let mut none = Chosen::none(416, Drops::ContentFields);
            none.extra.push(("Content-Range", format!("bytes */{length}")));
            none
        }
        Asked::Spans(spans) => {
            whole.status = 206;
            if let [span] = spans[..] {
                whole.extra.push(("Content-Range", ranges::content_range(span, length)));
                whole.parts = vec![Part::Span(span)];
            } else {
                let boundary = format!("mock-boundary-{:016x}", facts.n);
                let media_type = value(fields, "content-type");
                whole.parts = ranges::multipart(&spans, length, media_type, &boundary);
                let multipart = format!("multipart/byteranges; boundary={boundary}");
                whole.extra.push(("Content-Type", multipart));
                whole.drops = Drops::ContentType;
            }
            whole
        }
    }
}

fn validators(fields: &[Field]) -> Validators {
    Validators {
        etag: value(fields, "etag").map(<[u8]>::to_vec),
        last_modified: value(fields, "last-modified").and_then(parse_http_date),
    }
}

fn filled(fields: &[Field], facts: &Facts<'_>) -> Vec<Field> {
    let fill = |raw: &crate::raw::Raw| template::expand(raw.as_bytes(), facts).into();
    let filled = fields.iter().map(|field| match field {
        Field::Pair(name, value) => Field::Pair(name.clone(), fill(value)),
        Field::Line(line) => Field::Line(fill(line)),
    });
    filled.collect()
}

fn names(fields: &[Field], name: &str) -> bool {
    fields.iter().any(|field| field.is(name))
}

fn value<'a>(fields: &'a [Field], name: &str) -> Option<&'a [u8]> {
    fields.iter().find_map(|field| match field {
        Field::Pair(_, value) if field.is(name) => Some(value.as_bytes()),
        Field::Pair(..) | Field::Line(_) => None,
    })
}

fn status_line(step: &Step, status: u16) -> Head {
    let version = step.version.as_ref().map_or(&b"HTTP/1.1"[..], |version| version.as_bytes());
    let scripted = step.reason.as_ref().filter(|_| status == step.status);
    let reason = scripted.map_or_else(|| reason(status).as_bytes(), |reason| reason.as_bytes());
    Head::status_line(version, status, reason)
}

fn push_framing(head: &mut Head, step: &Step, fields: &[Field], length: u64) {
    let plain = |head: &mut Head, length: u64| {
        head.push(b"Content-Length", length.to_string().as_bytes());
    };
    let chunked = |head: &mut Head| {
        if !names(fields, "transfer-encoding") {
            head.push(b"Transfer-Encoding", b"chunked");
        }
    };
    match &step.framing {
        Framing::ContentLength if names(fields, "content-length") => {}
        Framing::ContentLength => plain(head, length),
        Framing::Chunked | Framing::BadChunkSize(_) => chunked(head),
        Framing::Close => {}
        Framing::WrongLength(wrong) => plain(head, *wrong),
        Framing::Both => {
            plain(head, length);
            chunked(head);
        }
        Framing::DifferingLengths => {
            plain(head, length);
            plain(head, length.saturating_add(1));
        }
    }
}

fn coding(step: &Step, facts: &Facts<'_>) -> Coding {
    let first_size = match &step.framing {
        Framing::Chunked | Framing::Both => None,
        Framing::BadChunkSize(size) => Some(size.clone()),
        Framing::ContentLength
        | Framing::Close
        | Framing::WrongLength(_)
        | Framing::DifferingLengths => return Coding::Plain,
    };
    let mut trailers = Vec::new();
    append_fields(&mut trailers, &filled(&step.trailers, facts));
    Coding::Chunked { chunk_bytes: step.chunk_bytes, first_size, trailers }
}

fn after(step: &Step, facts: &Facts<'_>) -> After {
    let closes = step.close
        || step.close_silently
        || step.framing == Framing::Close
        || step.request_content == RequestContent::Ignored
        || !facts.request.keeps_alive();
    if closes { After::Close } else { After::Keep }
}

fn cut(step: &Step) -> Option<Cut> {
    let reset = step.reset_after.map(|after| Cut { after, by: CutBy::Reset });
    reset.or_else(|| step.truncate_after.map(|after| Cut { after, by: CutBy::Close }))
}

fn gibberish_reply(octets: &[u8], step: &Step) -> Reply {
    Reply {
        head: octets.to_vec(),
        source: Source::Octets(Bytes::new()),
        parts: Vec::new(),
        coding: Coding::Plain,
        pace: None,
        cut: cut(step),
        cut_head_after: None,
        after: After::Close,
    }
}
