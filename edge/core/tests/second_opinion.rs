//! A second opinion on storing and freshness: `http-cache-semantics` as a shared cache.
//!
//! In: generated exchanges. Always holds: both sides agree on whether a response is stored, how
//! old it is and how long it is still fresh, unless a listed difference applies. Each
//! of those is shown by an example on which the two really differ and nothing else applies, so
//! that none stands there as a blanket excuse.
//! The other crate follows RFC 7234; this cache follows RFC 9111.
#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "what a table holds is known to be well-formed"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edge_core::{
    freshness::LifetimeSource,
    site::Policy,
    storable::{Exchange, judge},
    time::Timestamp,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_cache_semantics::{CacheOptions, CachePolicy};
use proptest::prelude::*;

/// Sun, 06 Nov 1994 08:49:37 GMT: when every response is received.
const NOW: u64 = 784_111_777;
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:47:57 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:51:17 GMT";
const AFTER_RFC850: &str = "Sunday, 06-Nov-94 08:51:17 GMT";
const LONG_BEFORE: &str = "Sun, 06 Nov 1994 08:32:57 GMT";
const A_YEAR_BEFORE: &str = "Sat, 06 Nov 1993 08:49:37 GMT";

type Field = (&'static str, &'static str);

/// An exchange, and how many seconds after its response was received it is looked at.
#[derive(Clone, Debug)]
struct Case {
    method: Method,
    request: Vec<Field>,
    status: u16,
    response: Vec<Field>,
    later: u64,
}

/// What a side says of a response; nothing, if it is not stored.
type Opinion = Option<Facts>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    age: Duration,
    /// Zero when stale, or when it may not be reused without validation.
    ttl: Duration,
}

fn fields(list: &[Field]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in list {
        fields.append(*name, HeaderValue::from_static(value));
    }
    fields
}

impl Case {
    fn get(response: &[Field]) -> Self {
        let response = response.to_vec();
        Self { method: Method::GET, request: Vec::new(), status: 200, response, later: 1 }
    }

    fn ours(&self) -> Opinion {
        let now = Timestamp::from_secs(NOW);
        let head = judge(&Exchange {
            method: &self.method,
            target: "http://shop.example/",
            request_fields: &fields(&self.request),
            status: StatusCode::from_u16(self.status).unwrap(),
            response_fields: &fields(&self.response),
            request_time: now,
            response_time: now,
            policy: &Policy::default(),
        })
        .ok()?;
        let freshness = head.freshness;
        let age = freshness.current_age(Timestamp::from_secs(NOW + self.later));
        let lifetime = match (freshness.no_cache, freshness.source) {
            (true, _) => Duration::ZERO,
            // The other side counts a heuristic in whole seconds.
            (_, LifetimeSource::Heuristic) => Duration::from_secs(freshness.lifetime.as_secs()),
            _ => freshness.lifetime,
        };
        Some(Facts { age, ttl: lifetime.saturating_sub(age) })
    }

    fn theirs(&self) -> Opinion {
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = "http://shop.example/".parse().unwrap();
        *request.headers_mut() = fields(&self.request);
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap();
        *response.headers_mut() = fields(&self.response);
        let at = |seconds| -> SystemTime { UNIX_EPOCH + Duration::from_secs(seconds) };
        let options = CacheOptions {
            shared: true,
            cache_heuristic: 0.1,
            immutable_min_time_to_live: Duration::ZERO,
            ignore_cargo_cult: false,
        };
        let policy = CachePolicy::new_options(&request, &response, at(NOW), options);
        let later = at(NOW + self.later);
        policy
            .is_storable()
            .then(|| Facts { age: policy.age(later), ttl: policy.time_to_live(later) })
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'static str> + 'a {
        self.response.iter().filter(move |field| field.0 == name).map(|field| field.1)
    }

    fn count(&self, name: &str) -> usize {
        self.values(name).count()
    }

    fn has(&self, name: &str, value: &str) -> bool {
        self.values(name).any(|of| of == value)
    }

    /// Whether Cache-Control has this member, written exactly so.
    fn says(&self, member: &str) -> bool {
        self.has("cache-control", member)
    }

    /// The same with a validator.
    fn tagged(&self) -> Self {
        let mut tagged = self.clone();
        tagged.response.push(TAG);
        tagged
    }

    /// Whether a directive stands there twice, and not with the same argument; to the other side
    /// an argument in quotes is never the same.
    fn conflicts(&self) -> bool {
        let name = |member: &'static str| member.split('=').next().map(str::trim);
        let members: Vec<_> = self.values("cache-control").collect();
        members.iter().enumerate().any(|(index, one)| {
            members
                .iter()
                .skip(index + 1)
                .any(|other| name(one) == name(other) && (one != other || one.contains('"')))
        })
    }

    /// Members of Cache-Control that begin so, in whatever case.
    fn said_like(&self, beginning: &str) -> usize {
        let like = |member: &&str| member.to_ascii_lowercase().starts_with(beginning);
        self.values("cache-control").filter(like).count()
    }
}

/// A way in which the two sides differ, and why ours is right.
struct Difference {
    /// The clause, and what we do.
    name: &'static str,
    /// Whether it may explain what the two (ours, theirs) say.
    applies: fn(&Case, Opinion, Opinion) -> bool,
    /// Where it does.
    example: fn() -> Case,
}

const FRESH: Field = ("cache-control", "max-age=100");
const TAG: Field = ("etag", "\"a\"");
const MADE: Field = ("date", DATE);

/// The statuses that the other side knows.
const KNOWN: &[u16] = &[200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501];

const STORING: &[Difference] = &[
    Difference {
        name: "rfc9111_3 any final status may be stored, not only those with a meaning to us",
        applies: |case, ours, theirs| {
            !KNOWN.contains(&case.status) && ours.is_some() && theirs.is_none()
        },
        example: || Case { status: 500, ..Case::get(&[FRESH, TAG]) },
    },
    Difference {
        name: "rfc9111_3 neither explicit freshness, public nor a heuristically cacheable status",
        applies: |case, ours, theirs| {
            [302, 303, 307].contains(&case.status)
                && case.says("public=1")
                && ours.is_none()
                && theirs.is_some()
        },
        example: || Case { status: 302, ..Case::get(&[("cache-control", "public=1"), TAG]) },
    },
    Difference {
        name: "rfc9110_9_3_2 a response to HEAD has no content to store",
        applies: |case, ours, _| case.method == Method::HEAD && ours.is_none(),
        example: || Case { method: Method::HEAD, ..Case::get(&[FRESH, TAG]) },
    },
    Difference {
        name: "rfc9110_9_3_3 POST needs a Content-Location that is the target",
        applies: |case, ours, _| case.method == Method::POST && ours.is_none(),
        example: || Case { method: Method::POST, ..Case::get(&[FRESH, TAG]) },
    },
    Difference {
        name: "rfc9111_3 what could be neither reused nor validated is not worth its room",
        applies: |case, ours, _| {
            // With a validator it is worth it, and all else stays as it is.
            let tagged = case.tagged();
            let (with, theirs) = (tagged.ours(), tagged.theirs());
            case.count("etag") + case.count("last-modified") == 0
                && ours.is_none()
                && with.is_some_and(|facts| facts.ttl.is_zero())
                && (with == theirs || !explanations(&tagged, with, theirs).is_empty())
        },
        example: || Case::get(&[MADE]),
    },
    Difference {
        name: "rfc9111_5_2_2_3 must-understand lifts no-store for a status that is understood",
        applies: |case, _, theirs| {
            case.says("must-understand") && case.said_like("no-store") > 0 && theirs.is_none()
        },
        example: || {
            let both = [("cache-control", "must-understand"), ("cache-control", "no-store")];
            Case::get(&[both[0], both[1], FRESH, TAG])
        },
    },
    Difference {
        name: "rfc9111_5_2_2_7 private of some fields withholds those fields",
        applies: |case, _, theirs| case.says("private=\"x-a\"") && theirs.is_none(),
        example: || Case::get(&[FRESH, TAG, ("cache-control", "private=\"x-a\"")]),
    },
    Difference {
        name: "rfc9111_7_3 Set-Cookie is not stored without explicit freshness",
        applies: |case, ours, _| case.count("set-cookie") > 0 && ours.is_none(),
        example: || Case::get(&[("set-cookie", "a=b"), ("last-modified", LONG_BEFORE), MADE]),
    },
    Difference {
        name: "rfc9111_4_1 Vary: * is never selected, so it is not stored",
        applies: |case, ours, _| case.has("vary", "*") && ours.is_none(),
        example: || Case::get(&[FRESH, TAG, ("vary", "*")]),
    },
    Difference {
        name: "rfc9110_5_6_4 a comma within quotes separates nothing",
        applies: |case, _, theirs| case.says("foo=\"a, no-store, b\"") && theirs.is_none(),
        example: || Case::get(&[FRESH, TAG, ("cache-control", "foo=\"a, no-store, b\"")]),
    },
    Difference {
        name: "rfc9111_5_2_2_9 public has no argument",
        applies: |case, ours, _| {
            case.says("public=1") && !case.request.is_empty() && ours.is_none()
        },
        example: || Case {
            request: vec![("authorization", "Basic x")],
            ..Case::get(&[FRESH, TAG, ("cache-control", "public=1")])
        },
    },
    Difference {
        name: "rfc9111_3_5 conflicting directives are no must-revalidate",
        applies: |case, ours, _| case.conflicts() && !case.request.is_empty() && ours.is_none(),
        example: || Case {
            request: vec![("authorization", "Basic x")],
            ..Case::get(&[FRESH, TAG, ("cache-control", "max-age=5")])
        },
    },
    Difference {
        name: "rfc9111_5_2 names of directives are case-insensitive, for storing",
        applies: |case, ours, theirs| case.says("Max-Age=5") && ours.is_some() && theirs.is_none(),
        example: || Case { status: 302, ..Case::get(&[("cache-control", "Max-Age=5"), TAG]) },
    },
];

/// Whether both store the response, and differ in how long it is fresh.
fn both(ours: Opinion, theirs: Opinion) -> bool {
    ours.is_some() && theirs.is_some()
}

/// Whether we find it less fresh.
fn less_fresh(ours: Opinion, theirs: Opinion) -> bool {
    matches!((ours, theirs), (Some(ours), Some(theirs)) if ours.ttl <= theirs.ttl)
}

/// Whether we find it fresher.
fn fresher(ours: Opinion, theirs: Opinion) -> bool {
    both(ours, theirs) && !less_fresh(ours, theirs)
}

const FRESHNESS: &[Difference] = &[
    Difference {
        name: "rfc9111_5_2_2_4 no-cache of some fields withholds those fields",
        applies: |case, ours, theirs| case.says("no-cache=\"x-a\"") && fresher(ours, theirs),
        example: || Case::get(&[FRESH, TAG, ("cache-control", "no-cache=\"x-a\"")]),
    },
    Difference {
        name: "rfc9111_5_2_2_8 proxy-revalidate forbids stale reuse, not fresh",
        applies: |case, ours, theirs| case.says("proxy-revalidate") && fresher(ours, theirs),
        example: || Case::get(&[FRESH, TAG, ("cache-control", "proxy-revalidate")]),
    },
    Difference {
        name: "rfc9111_7_3 Set-Cookie is fresh for as long as the origin explicitly says",
        applies: |case, ours, theirs| case.count("set-cookie") > 0 && fresher(ours, theirs),
        example: || Case::get(&[FRESH, TAG, ("set-cookie", "a=b")]),
    },
    Difference {
        name: "rfc9111_4_2_1 of several lifetimes the shortest counts",
        applies: |case, ours, theirs| {
            let several = case.said_like("max-age") > 1 || case.said_like("s-maxage") > 1;
            several && less_fresh(ours, theirs)
        },
        example: || Case::get(&[FRESH, TAG, ("cache-control", "max-age=5")]),
    },
    Difference {
        name: "rfc9111_5_2 names of directives are case-insensitive",
        applies: |case, ours, theirs| case.says("Max-Age=5") && both(ours, theirs),
        example: || Case::get(&[("cache-control", "Max-Age=5"), TAG]),
    },
    Difference {
        name: "rfc9111_5_2 no white space around the equals sign",
        applies: |case, ours, theirs| case.says("max-age =5") && less_fresh(ours, theirs),
        example: || Case::get(&[("cache-control", "max-age =5"), TAG]),
    },
    Difference {
        name: "rfc9111_4_2_1 max-age without a number is stale, whatever else there is",
        applies: |case, ours, theirs| case.says("max-age") && less_fresh(ours, theirs),
        example: || Case::get(&[("cache-control", "max-age"), ("expires", AFTER), MADE, TAG]),
    },
    Difference {
        name: "rfc9111_1_2_2 numbers are capped at 2^31",
        applies: |case, ours, theirs| case.says("max-age=99999999999") && less_fresh(ours, theirs),
        example: || Case::get(&[("cache-control", "max-age=99999999999"), TAG]),
    },
    Difference {
        name: "rfc9111_5_4 Pragma says nothing in a response",
        applies: |case, ours, theirs| {
            case.has("pragma", "no-cache")
                && case.count("cache-control") == 0
                && fresher(ours, theirs)
        },
        example: || Case::get(&[("pragma", "no-cache"), ("expires", AFTER), MADE, TAG]),
    },
    Difference {
        name: "rfc9111_4_2_3 a Date in the past is age",
        applies: |case, ours, theirs| case.has("date", BEFORE) && less_fresh(ours, theirs),
        example: || Case::get(&[("cache-control", "max-age=1000"), ("date", BEFORE), TAG]),
    },
    Difference {
        name: "rfc9111_5_1 of an Age list the first member counts",
        applies: |case, ours, theirs| case.has("age", "7, 8") && less_fresh(ours, theirs),
        example: || Case::get(&[FRESH, TAG, ("age", "7, 8")]),
    },
    Difference {
        name: "rfc9110_5_6_7 dates have three forms",
        applies: |case, ours, theirs| case.has("expires", AFTER_RFC850) && fresher(ours, theirs),
        example: || Case::get(&[("expires", AFTER_RFC850), MADE, TAG]),
    },
    Difference {
        name: "rfc9111_4_2_1 several Expires are stale",
        applies: |case, ours, theirs| case.count("expires") > 1 && less_fresh(ours, theirs),
        example: || Case::get(&[("expires", AFTER), ("expires", AFTER), MADE, TAG]),
    },
    Difference {
        name: "rfc9111_4_2_2 a heuristic lifetime is at most a day by default",
        applies: |case, ours, theirs| {
            case.has("last-modified", A_YEAR_BEFORE) && less_fresh(ours, theirs)
        },
        example: || Case::get(&[("last-modified", A_YEAR_BEFORE), MADE]),
    },
];

/// The names of all differences that may explain what the two say.
fn explanations(case: &Case, ours: Opinion, theirs: Opinion) -> Vec<&'static str> {
    let listed = STORING.iter().chain(FRESHNESS);
    let applying = listed.filter(|difference| (difference.applies)(case, ours, theirs));
    applying.map(|difference| difference.name).collect()
}

#[test]
fn each_listed_difference_is_one_by_itself() {
    for difference in STORING.iter().chain(FRESHNESS) {
        let case = (difference.example)();
        let (ours, theirs) = (case.ours(), case.theirs());
        assert_ne!(ours, theirs, "{}", difference.name);
        assert_eq!(explanations(&case, ours, theirs), [difference.name]);
    }
}

/// One of the values or none.
fn maybe(name: &'static str, values: &'static [&'static str]) -> BoxedStrategy<Vec<Field>> {
    proptest::option::weighted(0.4, proptest::sample::select(values))
        .prop_map(move |value| value.map(|value| (name, value)).into_iter().collect())
        .boxed()
}

const MEMBERS: &[&str] = &[
    "max-age=0",
    "max-age=5",
    "max-age=100",
    "max-age=\"100\"",
    "max-age=x",
    "max-age=-1",
    "max-age=10.5",
    "max-age=",
    "max-age",
    "max-age =5",
    "Max-Age=5",
    "max-age=99999999999",
    "s-maxage=0",
    "s-maxage=5",
    "s-maxage=1000",
    "s-maxage=x",
    "public",
    "public=1",
    "private",
    "private=\"x-a\"",
    "no-store",
    "no-cache",
    "no-cache=\"x-a\"",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "immutable",
    "no-transform",
    "stale-while-revalidate=5",
    "foo=\"a, no-store, b\"",
    "foo",
    "foo=bar",
];

const STATUSES: &[u16] = &[
    200, 200, 200, 203, 204, 206, 300, 301, 302, 304, 307, 308, 400, 404, 410, 500, 501, 503, 599,
];

fn any_case() -> impl Strategy<Value = Case> {
    let method = prop_oneof![
        9 => Just(Method::GET),
        1 => Just(Method::HEAD),
        1 => Just(Method::POST),
        1 => Just(Method::PUT),
    ];
    let request = [
        maybe("cache-control", &["no-store", "no-cache", "max-age=0"]),
        maybe("authorization", &["Basic x"]),
    ];
    let response = [
        maybe("expires", &["0", "x", BEFORE, AFTER, DATE, AFTER_RFC850]),
        maybe("expires", &[AFTER]),
        maybe("date", &[DATE, DATE, BEFORE, AFTER]),
        maybe("last-modified", &[LONG_BEFORE, BEFORE, DATE, AFTER, A_YEAR_BEFORE]),
        maybe("age", &["0", "7", "x", "-1", "7, 8"]),
        maybe("vary", &["foo", "foo, bar", "*"]),
        maybe("etag", &["\"a\"", "W/\"a\""]),
        maybe("set-cookie", &["a=b"]),
        maybe("pragma", &["no-cache"]),
    ];
    let members = proptest::collection::vec(proptest::sample::select(MEMBERS), 0..4);
    let status = proptest::sample::select(STATUSES);
    (method, request, status, members, response, 0_u64..300).prop_map(
        |(method, request, status, members, response, later)| {
            let members = members.into_iter().map(|member| ("cache-control", member));
            let response = members.chain(response.into_iter().flatten()).collect();
            Case { method, request: request.concat(), status, response, later }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 8192,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn both_agree_where_no_difference_is_listed(case in any_case()) {
        let (ours, theirs) = (case.ours(), case.theirs());
        let agreed = ours == theirs || !explanations(&case, ours, theirs).is_empty();
        prop_assert!(agreed, "ours {:?}, theirs {:?}", ours, theirs);
    }
}

/// The plain middle of the road, where nothing is excused.
#[test]
fn plain_exchanges_have_one_answer() {
    let validators: &[Field] = &[TAG, ("last-modified", LONG_BEFORE), ("last-modified", DATE)];
    let controls: &[&[Field]] = &[
        &[("cache-control", "max-age=0")],
        &[FRESH],
        &[("cache-control", "max-age=\"100\"")],
        &[("cache-control", "max-age=x")],
        &[("cache-control", "max-age=5, s-maxage=100")],
        &[("cache-control", "max-age=100, s-maxage=5")],
        &[("cache-control", "public, max-age=100")],
        &[("cache-control", "private, max-age=100")],
        &[("cache-control", "no-store")],
        &[("cache-control", "no-cache, max-age=100")],
        &[("cache-control", "must-revalidate, max-age=100")],
        &[("cache-control", "immutable, max-age=100")],
        &[("expires", AFTER)],
        &[("expires", BEFORE)],
        &[("expires", "0")],
        &[("expires", AFTER), ("cache-control", "max-age=5")],
        &[("cache-control", "public")],
        &[],
    ];
    let (mut stored, mut fresh) = (0, 0);
    for control in controls {
        for validator in validators {
            for age in [&[][..], &[("age", "7")]] {
                for request in [&[][..], &[("authorization", "Basic x")]] {
                    for (status, later) in [(200, 0), (200, 60), (302, 1), (404, 99)] {
                        let response = [&[*validator, MADE], *control, age].concat();
                        let request = request.to_vec();
                        let case = Case { request, status, later, ..Case::get(&response) };
                        let ours = case.ours();
                        assert_eq!(ours, case.theirs(), "{case:?}");
                        stored += usize::from(ours.is_some());
                        fresh += usize::from(ours.is_some_and(|facts| !facts.ttl.is_zero()));
                    }
                }
            }
        }
    }
    // Both answers must really occur, or agreement says little.
    assert!(stored > 300 && fresh > 100, "{stored} stored, {fresh} fresh");
}
