//! What an edge says of a URL, in the words of the admin API.
//!
//! In: the edge's own words. Out: the API's. It decides nothing.

use edge::serve::explain::{self, Held};
use edge_core::outcome::{Detail, Verdict};
use nearcast_control::api;

/// What `node` has, as the API tells it.
pub(super) fn told(node: String, explained: explain::Explained) -> api::Explained {
    api::Explained {
        node,
        site: explained.site,
        target: explained.target,
        key_fields: explained.key_fields,
        next: api::NextRequest {
            hit: matches!(explained.verdict, Verdict::Hit | Verdict::HitStale { .. }),
            fwd: match explained.verdict {
                Verdict::Forward(reason) => Some(reason.as_str().to_owned()),
                Verdict::Hit | Verdict::HitStale { .. } | Verdict::Refuse(_) => None,
            },
            detail: explained.detail.map(Detail::as_str).map(str::to_owned),
            why: explained.why,
        },
        stored: explained.stored.into_iter().map(held).collect(),
        more: explained.more,
    }
}

fn held(held: Held) -> api::Held {
    let state = match held.dead {
        Some(cause) if cause.is_purge() => "purged",
        Some(_) => "invalidated",
        None if held.fresh => "fresh",
        None => "stale",
    };
    api::Held {
        status: held.status,
        state: state.to_owned(),
        age: held.age,
        ttl: held.ttl,
        lifetime_of: held.lifetime_of.to_owned(),
        soft_purged: held.outdated,
        bytes: held.bytes,
        part: held.part,
        tier: held.tier.to_owned(),
        vary: held.vary,
        tags: held.tags,
        every_tag: held.every_tag,
        etag: held.etag,
    }
}
