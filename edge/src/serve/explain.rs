//! What this node has of a URL, and what a GET for it with given fields would come to now.
//!
//! In: a URL, fields of a request. Out: [`Explained`]. Always holds: it is looked up and judged as a request's would be;
//! nothing is fetched or stored, and nothing is fresh for longer by it, though its entry counts as
//! asked for where room is made, since the index cannot be looked at otherwise. By which fields
//! variants differ is told, with every variant. At most [`STORED_MAX`]
//! are told.
//! It deliberately does not know who asks, nor how it is shown.

use std::{borrow::Cow, sync::Arc};

use edge_core::{
    directives::RequestDirectives,
    freshness::LifetimeSource,
    key::{self, CacheKey, KeyParts, Scheme},
    outcome::{Detail, ForwardReason, Verdict},
    reuse::RequestView,
    site::Host,
    stamps::Cause,
    time::Timestamp,
};
use http::{HeaderMap, Method};

use super::{Hall, look::Judged};
use crate::store::{StoredResponse, Variants};

/// Stored responses that are told of one URL, at most.
pub const STORED_MAX: usize = 100;

/// What a node has of a URL.
#[derive(Debug)]
pub struct Explained {
    /// The site that answers there.
    pub site: String,
    /// The target as the site's rules leave it, which is what is keyed and forwarded.
    pub target: String,
    /// Request fields that the rule adds to the key.
    pub key_fields: Vec<String>,
    /// What such a GET would come to.
    pub verdict: Verdict,
    /// More about that.
    pub detail: Option<Detail>,
    /// The same for people.
    pub why: String,
    /// What is stored, the newest first.
    pub stored: Vec<Held>,
    /// Stored responses beyond those.
    pub more: u64,
}

/// A stored response.
#[derive(Debug)]
pub struct Held {
    /// Its status.
    pub status: u16,
    /// Whether it is fresh.
    pub fresh: bool,
    /// Its age in seconds.
    pub age: u64,
    /// What is left of its lifetime in seconds, less than none once it is stale.
    pub ttl: i64,
    /// Where its lifetime comes from.
    pub lifetime_of: &'static str,
    /// By what it was struck: it answers nobody any more.
    pub dead: Option<Cause>,
    /// Whether it was declared stale before its time.
    pub outdated: bool,
    /// Its content's bytes.
    pub bytes: u64,
    /// Which part it is, if it is only one: the first byte and the last.
    pub part: Option<(u64, u64)>,
    /// Where it is.
    pub tier: &'static str,
    /// The fields by which Vary tells it from others, and what they were.
    pub vary: Vec<(String, Option<String>)>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether it has more of them than are kept, and so is taken by any.
    pub every_tag: bool,
    /// Its ETag as it is sent.
    pub etag: Option<String>,
}

impl Hall {
    /// Explains a URL, as a GET with these fields would meet it; nothing where no site answers for its host. It walks all that is stored where
    /// the site's rule adds fields to the key.
    #[must_use]
    pub fn explain(
        &self,
        scheme: Scheme,
        (host, target): (&str, &str),
        fields: &HeaderMap,
    ) -> Option<Explained> {
        let now = self.room.clock.now();
        let snapshot = self.snapshot.load();
        let host = Host::parse(host)?;
        let site = snapshot.table.find(&host)?;
        let policy = site.policy(target.split('?').next().unwrap_or(target));
        let method = Method::GET;
        let target = key::forward_target(target, &policy.query);
        let mut key = Vec::new();
        let parts = KeyParts {
            scheme,
            site: site.id,
            host: host.as_str(),
            target: &target,
            key_fields: &policy.key_fields,
            fields,
        };
        key::write_key(&mut key, &parts);
        let directives = RequestDirectives::parse(fields);
        let view = RequestView { method: &method, fields, directives: &directives };
        let judged = self.judge(&key, &view, policy, now);
        let is_uncacheable = self.room.is_uncacheable(&CacheKey::from(key.as_slice()));
        let found = if policy.key_fields.is_empty() {
            self.room
                .tier
                .lookup(&key)
                .map(|variants| (key.clone(), variants))
                .into_iter()
                .collect()
        } else {
            self.under(key::uri_part(&key))
        };
        let all: usize = found.iter().map(|(_, variants)| variants.responses.len()).sum();
        let responses = found.iter().flat_map(|(key, variants)| {
            variants.responses.iter().map(move |stored| self.held(key, stored, now))
        });
        let (verdict, detail) = (judged.verdict, detail(&judged, is_uncacheable));
        Some(Explained {
            site: site.name.to_string(),
            key_fields: policy.key_fields.iter().map(|name| name.as_str().to_owned()).collect(),
            verdict,
            detail,
            why: why(&judged, detail, (now, self.room.is_vouched_for(now))),
            stored: responses.take(STORED_MAX).collect(),
            more: all.saturating_sub(STORED_MAX) as u64,
            target: target.into_owned(),
        })
    }

    /// What is stored for a URI, whatever fields a rule adds.
    fn under(&self, uri: &[u8]) -> Vec<(Vec<u8>, Arc<Variants>)> {
        let is_of = |key: &CacheKey| key::uri_part(key.as_bytes()) == uri;
        let all = self.room.tier.entries().filter(|(key, _)| is_of(key));
        all.map(|(key, variants)| (key.as_bytes().to_vec(), variants)).collect()
    }

    fn held(&self, key: &[u8], stored: &StoredResponse, now: Timestamp) -> Held {
        // First, since it is then that a soft purge is noticed.
        let dead = self.room.stamps.death(key, stored);
        let (head, freshness) = (&stored.head, stored.freshness());
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        Held {
            status: head.status.as_u16(),
            fresh: dead.is_none() && freshness.is_fresh(now),
            age: freshness.current_age(now).as_secs(),
            ttl: freshness.ttl(now),
            lifetime_of: lifetime_of(freshness.source),
            dead,
            outdated: matches!(freshness, Cow::Owned(_)),
            bytes: stored.body.length(),
            part: head.range.as_ref().map(|range| (range.first, range.last)),
            tier: "memory",
            vary: head
                .vary
                .nominated()
                .map(|(name, value)| (name.as_str().to_owned(), value.map(text)))
                .collect(),
            tags: head.tags.names().map(str::to_owned).collect(),
            every_tag: head.tags.has_every(),
            etag: head.fields.get(http::header::ETAG).map(|value| text(value.as_bytes())),
        }
    }
}

fn detail(judged: &Judged, is_uncacheable: bool) -> Option<Detail> {
    let goes = matches!(judged.verdict, Verdict::Forward(_));
    judged.gone.or_else(|| (goes && is_uncacheable).then_some(Detail::Uncacheable))
}

/// The verdict for people.
fn why(
    judged: &Judged,
    detail: Option<Detail>,
    (now, is_vouched_for): (Timestamp, bool),
) -> String {
    let stored = judged.selected.as_deref().map(StoredResponse::freshness);
    let staleness = || stored.as_ref().map_or(0, |of| of.staleness(now).as_secs());
    match judged.verdict {
        Verdict::Hit if stored.as_ref().is_some_and(|of| of.is_fresh(now)) => {
            let left = stored.as_ref().map_or(0, |of| of.ttl(now));
            format!("it is stored, and fresh for another {left} s")
        }
        Verdict::Hit => "it is stored, and may be served as it is".to_owned(),
        Verdict::HitStale { refresh } => {
            let meanwhile = if refresh { "while it is validated" } else { "as it is" };
            format!("it is stored, stale for {} s, and may be served {meanwhile}", staleness())
        }
        Verdict::Forward(reason) => match (reason, detail) {
            (ForwardReason::Stale, _) if !is_vouched_for => {
                "it is stored, but purges may have been missed, since the lease on the ledger has \
                 lapsed; its origin is asked first"
                    .to_owned()
            }
            (ForwardReason::Stale, _) if stored.as_ref().is_some_and(|of| of.no_cache) => {
                "it is stored, and its origin wants it validated each time (no-cache)".to_owned()
            }
            (ForwardReason::Stale, _) => {
                format!("it is stored, stale for {} s, and is validated first", staleness())
            }
            (ForwardReason::Bypass, _) => "the rule for this path does not cache".to_owned(),
            (ForwardReason::VaryMiss, _) => {
                "what is stored answers requests with other fields (Vary)".to_owned()
            }
            (ForwardReason::Partial, _) => "a part of it is stored, not the whole".to_owned(),
            (_, Some(Detail::Purged)) => "what was stored has been purged".to_owned(),
            (_, Some(Detail::Invalidated)) => "what was stored has been invalidated".to_owned(),
            (_, Some(Detail::Uncacheable)) => "its last response could not be stored".to_owned(),
            _ => "nothing is stored for this URL".to_owned(),
        },
        Verdict::Refuse(refusal) => format!("it is refused: {}", refusal.as_str()),
    }
}

const fn lifetime_of(source: LifetimeSource) -> &'static str {
    match source {
        LifetimeSource::Targeted => "targeted-field",
        LifetimeSource::SMaxage => "s-maxage",
        LifetimeSource::MaxAge => "max-age",
        LifetimeSource::Expires => "expires",
        LifetimeSource::Rule => "rule",
        LifetimeSource::Heuristic => "heuristic",
        LifetimeSource::None => "none",
    }
}
