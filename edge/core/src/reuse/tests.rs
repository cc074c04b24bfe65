//! Tables of reuse. Each row cites its clause.
#![expect(clippy::arithmetic_side_effects, reason = "numbers in tables are small and known")]

mod failure;
mod freshness;
mod method;
mod properties;
mod selection;

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use proptest::prelude::*;

use super::{
    Failure, RequestView, Selection, judge, judge_as, may_be_stale, select, stale_after_failure,
    with_content, without_stored,
};
use crate::{
    directives::RequestDirectives,
    outcome::{ForwardReason, Refusal, Verdict},
    site::Policy,
    storable::{self, Exchange, StoredHead},
    time::Timestamp,
};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: u64 = 784_111_777;
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

const HIT: Verdict = Verdict::Hit;
const REFRESH: Verdict = Verdict::HitStale { refresh: true };
const STALE_HIT: Verdict = Verdict::HitStale { refresh: false };
const STALE: Verdict = Verdict::Forward(ForwardReason::Stale);
const REQUEST: Verdict = Verdict::Forward(ForwardReason::Request);
const PARTIAL: Verdict = Verdict::Forward(ForwardReason::Partial);
const REFUSED: Verdict = Verdict::Refuse(Refusal::OnlyIfCached);
const GONE: Failure = Failure::Unreachable;

fn fields(list: &[(&'static str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in list {
        fields.append(*name, HeaderValue::from_str(value).unwrap());
    }
    fields
}

fn exchange<R>(
    status: u16,
    request: &[(&'static str, &str)],
    response: &[(&'static str, &str)],
    policy: &Policy,
    with: impl FnOnce(&Exchange<'_>) -> R,
) -> R {
    with(&Exchange {
        method: &Method::GET,
        target: "http://shop.example/",
        request_fields: &fields(request),
        status: StatusCode::from_u16(status).unwrap(),
        response_fields: &fields(response),
        request_time: Timestamp::from_secs(NOW),
        response_time: Timestamp::from_secs(NOW),
        policy,
    })
}

/// A response that was received at [`NOW`], with a validator.
fn stored_with(status: u16, response: &[(&'static str, &str)], policy: &Policy) -> StoredHead {
    let response: Vec<_> = response.iter().copied().chain([("etag", "\"a\"")]).collect();
    exchange(status, &[], &response, policy, storable::judge).unwrap()
}

fn stored(cache_control: &str) -> StoredHead {
    stored_with(200, &[("date", DATE), ("cache-control", cache_control)], &Policy::default())
}

fn view<R>(
    method: &Method,
    request: &[(&'static str, &str)],
    with: impl FnOnce(&RequestView<'_>) -> R,
) -> R {
    let fields = fields(request);
    let directives = RequestDirectives::parse(&fields);
    with(&RequestView { method, fields: &fields, directives: &directives })
}

fn verdict(
    stored: &StoredHead,
    request: &[(&'static str, &str)],
    policy: &Policy,
    since: u64,
) -> Verdict {
    let now = Timestamp::from_millis(NOW * 1000 + since);
    view(&Method::GET, request, |view| judge(stored, view, policy, now))
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn honouring() -> Policy {
    Policy { honour_client_reload: true, ..Policy::default() }
}

fn part() -> StoredHead {
    let response =
        [("date", DATE), ("cache-control", "max-age=10"), ("content-range", "bytes 10-19/100")];
    stored_with(206, &response, &Policy::default())
}
