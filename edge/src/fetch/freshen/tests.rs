//! What a strike takes that comes while an answer freshens what is stored.

use bytes::Bytes;
use edge_core::{
    key::CacheKey,
    purge::{Mode, Name, TagLimits, Tags},
    settings::EdgeSettings,
    site::Site,
    storable,
};
use http::{HeaderName, HeaderValue, Method};
use parking_lot::Mutex;

use super::*;
use crate::{
    fetch::{
        pool::Pool,
        room::{
            FillLimits,
            tests::{KEY, Moment, SITE, meddled},
        },
        table::{Ticket, Want},
        world::tests::world,
    },
    store::{StoredBody, budget::Charge},
};

const LIMITS: TagLimits = TagLimits { tags_max: 8, tag_bytes_max: 64 };

fn fields(rows: &[(&'static str, &'static str)]) -> HeaderMap {
    let row = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    rows.iter().map(row).collect()
}

/// What was fetched in English, and is stored.
fn store(room: &FillRoom) -> Arc<StoredResponse> {
    let said = fields(&[
        ("cache-control", "max-age=60"),
        ("etag", "\"1\""),
        ("vary", "accept-language"),
        ("surrogate-key", "old"),
    ]);
    let now = room.clock.now();
    let mut head = storable::judge(&storable::Exchange {
        method: &Method::GET,
        target: "http://h/a",
        request_fields: &fields(&[("accept-language", "en")]),
        status: StatusCode::OK,
        response_fields: &said,
        request_time: now,
        response_time: now,
        policy: &Default::default(),
    })
    .unwrap();
    head.tags = Tags::of(&said, LIMITS);
    (head.stamp, head.validated) = (room.stamps.now(), room.stamps.now());
    let body = StoredBody::new(vec![Bytes::from_static(b"x")]);
    let stored = Arc::new(StoredResponse::new(head, body, room.reserve(100).unwrap()));
    room.insert(&CacheKey::from(KEY), &stored);
    stored
}

fn plan(stored: &Arc<StoredResponse>, client_fields: HeaderMap) -> FillPlan {
    let text = "name = \"a\"\nhosts = [\"*\"]\norigin = { servers = [\"http://a\"] }";
    let site = Site::build(&toml::from_str(text).unwrap(), &EdgeSettings::default(), SITE);
    let site = Arc::new(site.unwrap());
    FillPlan {
        pool: Arc::new(Pool::new(&site.origin, world(), None).unwrap()),
        site,
        path: "/a".to_owned(),
        target: "http://h/a".to_owned(),
        client_fields,
        validating: vec![Arc::clone(stored)],
        stale_on_error: false,
        background: false,
        private: Arc::default(),
        limits: FillLimits {
            object_bytes_max: 1000,
            orphan_bytes_max: 0,
            window_bytes: 0,
            uncacheable_remembered: std::time::Duration::ZERO,
            tags: LIMITS,
        },
    }
}

fn lead(room: &FillRoom, fields: &HeaderMap, head: bool) -> Ticket {
    let key = CacheKey::from(KEY);
    let usable = |_: &StoredHead| true;
    let want = Want {
        key: &key,
        fields,
        range: None,
        ahead_max: 0,
        head,
        presumed: None,
        usable: &usable,
    };
    room.table.lead_alone(want, &room.stamps)
}

/// What is stored and answers without its origin.
fn served(room: &FillRoom) -> usize {
    let Some(all) = room.tier.lookup(KEY) else { return 0 };
    let now = room.clock.now();
    let is_served = |one: &&Arc<StoredResponse>| {
        room.stamps.death(KEY, one).is_none() && one.freshness().is_fresh(now)
    };
    all.responses.iter().filter(is_served).count()
}

/// What answers after a strike that came when the answer was read already and not yet put in its
/// place: an answer of other tags to the client's language.
fn struck_between(name: Option<Name>, mode: Mode, head: bool, language: &'static str) -> usize {
    let rest: Arc<Mutex<Option<Charge>>> = Arc::default();
    let held = Arc::clone(&rest);
    let room = meddled(Moment::Wanting, move |room| {
        if let Some(name) = name {
            room.purge(SITE, &[name], mode);
        }
        *held.lock() = None;
    });
    let stored = store(&room);
    // Something was purged before, or its fetch would be newer than all that was.
    room.purge(SITE, &[Name::Tag("before".into())], Mode::Hard);
    let asked = fields(&[("accept-language", language)]);
    let (plan, ticket) = (plan(&stored, asked.clone()), lead(&room, &asked, head));
    let left = room.budget.limit() - room.budget.used();
    *rest.lock() = room.budget.reserve(left);
    let said = fields(&[
        ("cache-control", "max-age=600"),
        ("etag", "\"1\""),
        ("vary", "accept-language"),
        ("surrogate-key", "new"),
    ]);
    let (filling, times) = (ticket.filling(), (room.clock.now(), room.clock.now()));
    if head {
        let answer = (StatusCode::OK, &said, &said);
        assert!(freshen_by_head(&room, filling, &plan, answer, times, true).is_some());
    } else {
        assert!(freshen(&room, filling, &plan, (&said, &said), times).is_ok());
    }
    assert!(rest.lock().is_none(), "it has come between");
    served(&room)
}

#[tokio::test]
async fn what_is_struck_between_the_look_and_the_change_is_not_served_afterwards() {
    let tag = |tag: &str| Some(Name::Tag(tag.into()));
    let rows = [
        ("nothing", None, true),
        ("a tag that it has no more", tag("old"), false),
        ("a tag that it has now", tag("new"), false),
        ("its URL", Some(Name::Url(KEY.into())), false),
        ("everything", Some(Name::Everything), false),
        ("something else", tag("other"), true),
    ];
    for (struck, name, stays) in rows {
        for mode in [Mode::Hard, Mode::Soft] {
            // By HEAD nothing becomes another's variant.
            for (head, language, all) in [(false, "en", 1), (false, "de", 2), (true, "en", 1)] {
                let left = struck_between(name.clone(), mode, head, language);
                let expected = if stays { all } else { 0 };
                assert_eq!(left, expected, "{struck} {mode:?}, head: {head}, {language}");
            }
        }
    }
}
