//! Tables of storability. Each row cites its clause.

mod request;
mod response;
mod rules;
mod stored;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use proptest::prelude::*;

use super::{Exchange, NotStored, StoredHead, is_of_resource, judge};
use crate::{
    freshness::LifetimeSource, range::ContentRange, site::Policy, time::Timestamp,
    validation::Validators,
};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: u64 = 784_111_777;
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:47:57 GMT";
const TARGET: &str = "https://shop.example/a/b?c=d";

type Fields = &'static [(&'static str, &'static str)];

const FRESH: Fields = &[("cache-control", "max-age=9")];
const AUTH: Fields = &[("authorization", "Basic x")];

fn fields(list: &[(&'static str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in list {
        fields.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    fields
}

fn policy() -> Policy {
    let targeted = HeaderName::from_static("cdn-cache-control");
    Policy { targeted_fields: [targeted].into(), ..Policy::default() }
}

fn store(
    method: &Method,
    request: &[(&'static str, &str)],
    status: u16,
    response: &[(&'static str, &str)],
    policy: &Policy,
) -> Result<StoredHead, NotStored> {
    judge(&Exchange {
        method,
        target: TARGET,
        request_fields: &fields(request),
        status: StatusCode::from_u16(status).unwrap(),
        response_fields: &fields(response),
        request_time: Timestamp::from_secs(NOW),
        response_time: Timestamp::from_secs(NOW),
        policy,
    })
}
