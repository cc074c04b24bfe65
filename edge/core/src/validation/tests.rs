//! Validation tables; each row names its clause.
#![expect(clippy::too_many_lines, clippy::type_complexity, reason = "long tables of rows")]

mod asking;
mod entity_tags;
mod freshening;
mod head;
mod preconditions;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use proptest::prelude::*;

use super::{etag::any_in_list, *};
use crate::{
    site::Policy,
    storable::{self, Exchange, NotStored, StoredHead},
    time::Timestamp,
};

const OLD: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const NEXT: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
const MODIFIED_850: &str = "Sunday, 06-Nov-94 08:49:37 GMT";
const LATER: &str = "Sun, 06 Nov 1994 09:00:00 GMT";
const SOON: Duration = Duration::from_secs(100);

fn map(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

fn at(date: &str) -> Timestamp {
    Timestamp::from_http_date(date).unwrap()
}

fn judged(status: u16, asked: &[(&str, &str)], said: &[(&str, &str)]) -> StoredHead {
    storable::judge(&Exchange {
        method: &Method::GET,
        target: "http://a.example/",
        request_fields: &map(asked),
        status: StatusCode::from_u16(status).unwrap(),
        response_fields: &map(said),
        request_time: at(LATER),
        response_time: at(LATER),
        policy: &Policy::default(),
    })
    .unwrap()
}

fn stored(said: &[(&str, &str)]) -> StoredHead {
    judged(200, &[], &[&[("cache-control", "max-age=60"), ("date", LATER)], said].concat())
}

/// A stored variant for requests that say `accept-language: LANGUAGE`.
fn variant(language: &str, said: &[(&str, &str)]) -> StoredHead {
    let all = [&[("cache-control", "max-age=60"), ("vary", "accept-language")], said].concat();
    judged(200, &[("accept-language", language)], &all)
}

fn lines(fields: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    lines.sort();
    lines
}
