//! A look into the store, and the law's word on what is there.
//!
//! In: a request whose site is known. Out: its key, in the caller's buffer, and what is stored for
//! it with the verdict.
//! Always holds: what was purged or invalidated is as good as not stored; a part answers only a
//! range that it covers; without a good lease, where there is one, nothing answers before its origin
//! was asked.
//! It changes nothing and sends nothing.
//!
//! Hot path: see [`super`].

use std::{borrow::Cow, sync::Arc};

use edge_core::{
    directives::RequestDirectives,
    fields::Fields,
    freshness::Freshness,
    key::{self, KeyParts},
    outcome::{Detail, ForwardReason, Verdict},
    range::{self, Span},
    reuse::{self, RequestView, Selection},
    site::Policy,
    time::Timestamp,
    validation,
};
use http::Method;

use super::{Arrival, Hall, Head};
use crate::store::{StoredResponse, Variants};

/// What the hallway knows once it has looked into the store; the key stands in the caller's buffer.
pub(super) struct Found<'h> {
    /// The target as it is keyed and forwarded.
    pub(super) target: Cow<'h, str>,
    pub(super) directives: RequestDirectives,
    pub(super) judged: Judged,
}

/// What the store holds for a request, and what the law says to it.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    /// The response that the verdict speaks of.
    pub(super) selected: Option<Arc<StoredResponse>>,
    /// Which part of it answers, if it is itself only a part.
    pub(super) part: Option<Span>,
    /// Every whole response under the key, for a validation to select from.
    pub(super) all: Vec<Arc<StoredResponse>>,
    /// Why one is not selected that would have been before.
    pub(super) gone: Option<Detail>,
}

impl Judged {
    /// The stored response that answers, and whether it is to be refreshed.
    pub(super) fn hit(&self) -> Option<(&Arc<StoredResponse>, bool)> {
        let refresh = match self.verdict {
            Verdict::Hit | Verdict::HitStale { refresh: false } => false,
            Verdict::HitStale { refresh: true } => true,
            Verdict::Forward(_) | Verdict::Refuse(_) => return None,
        };
        self.selected.as_ref().map(|stored| (stored, refresh))
    }

    fn nothing(verdict: Verdict) -> Self {
        Self { verdict, selected: None, part: None, all: Vec::new(), gone: None }
    }
}

impl Hall {
    /// Keys the request, looks into the store, and asks the law.
    pub(super) fn look<'h, F: Fields>(
        &self,
        head: &Head<'h, F>,
        arrival: &Arrival<'_, '_>,
        has_no_content: bool,
        key: &mut Vec<u8>,
        now: Timestamp,
    ) -> Found<'h> {
        let policy = arrival.policy;
        let target = key::forward_target(head.target, &policy.query);
        let directives = RequestDirectives::parse(head.fields);
        key.clear();
        let parts = KeyParts {
            scheme: arrival.scheme,
            site: arrival.entry.site.id,
            host: arrival.host.as_str(),
            target: &target,
            key_fields: &policy.key_fields,
            fields: head.fields,
        };
        key::write_key(key, &parts);
        let view =
            RequestView { method: head.method, fields: head.fields, directives: &directives };
        let judged = if has_no_content {
            self.judge(key, &view, policy, now)
        } else {
            Judged::nothing(reuse::with_content(&view))
        };
        Found { target, directives, judged }
    }

    /// Looks the key up and asks the law.
    pub(super) fn judge<F: Fields>(
        &self,
        key: &[u8],
        request: &RequestView<'_, F>,
        policy: &Policy,
        now: Timestamp,
    ) -> Judged {
        let without = reuse::without_stored(request, policy);
        if matches!(without, Verdict::Forward(ForwardReason::Method | ForwardReason::Bypass)) {
            return Judged::nothing(without);
        }
        let Some(variants) = self.room.tier.lookup(key) else { return Judged::nothing(without) };
        let death = |stored: &StoredResponse| self.room.stamps.death(key, stored);
        let alive = |stored: &&Arc<StoredResponse>| death(stored).is_none();
        let wholes = || variants.responses.iter().filter(alive).filter(|s| s.head.range.is_none());
        let selection = reuse::select(wholes().map(|stored| &stored.head), request.fields);
        if let Selection::Found(head) = selection {
            let is_it = |stored: &&Arc<StoredResponse>| std::ptr::eq(&raw const stored.head, head);
            let selected = wholes().find(is_it);
            let verdict = match selected {
                Some(stored) => self.verdict(stored, request, policy, (key, now)),
                None => without,
            };
            let forwards =
                matches!(verdict, Verdict::Forward(_) | Verdict::HitStale { refresh: true });
            let all = if forwards { wholes().cloned().collect() } else { Vec::new() };
            return Judged { verdict, selected: selected.cloned(), part: None, all, gone: None };
        }
        let mut judged = Judged::nothing(without);
        let dead = variants.responses.iter().filter(|one| one.head.vary.matches(request.fields));
        judged.gone = match dead.filter_map(|stored| death(stored)).next() {
            Some(cause) if cause.is_purge() => Some(Detail::Purged),
            Some(_) => Some(Detail::Invalidated),
            None => variants.invalidated.then_some(Detail::Invalidated),
        };
        let vary_miss = matches!(selection, Selection::VaryMiss);
        if vary_miss && without == Verdict::Forward(ForwardReason::UriMiss) {
            judged.verdict = Verdict::Forward(ForwardReason::VaryMiss);
            judged.all = wholes().cloned().collect();
        }
        self.consider_parts(judged, &variants, key, request, (policy, now))
    }

    /// The law's verdict. A reload that a rule honours, and min-fresh, count at most once a second for
    /// a key: the law goes by when what is stored was last validated, which a failed validation, or
    /// one on behalf of a request that gives no leave to store, does not change.
    fn verdict<F: Fields>(
        &self,
        stored: &StoredResponse,
        request: &RequestView<'_, F>,
        policy: &Policy,
        (key, now): (&[u8], Timestamp),
    ) -> Verdict {
        let freshness = self.freshness(stored, now);
        let verdict = reuse::judge_as(&stored.head, &freshness, request, policy, now);
        let asks = request.directives;
        let reload = policy.honour_client_reload && (asks.no_cache || asks.max_age.is_some());
        let wishes = reload || asks.min_fresh.is_some();
        if !(wishes && matches!(verdict, Verdict::Forward(_)) && self.room.was_asked(key, now)) {
            return verdict;
        }
        let calm =
            RequestDirectives { no_cache: false, max_age: None, min_fresh: None, ..asks.clone() };
        let calm = RequestView { directives: &calm, ..*request };
        reuse::judge_as(&stored.head, &freshness, &calm, policy, now)
    }

    /// How long it is fresh, for a request of `now`.
    pub(super) fn freshness<'s>(
        &self,
        stored: &'s StoredResponse,
        now: Timestamp,
    ) -> Cow<'s, Freshness> {
        let freshness = stored.freshness();
        if self.room.is_vouched_for(now) { freshness } else { Cow::Owned(freshness.unvouched()) }
    }

    /// A stored part answers a range that it covers (RFC 9111 §3.3, RFC 9110 §14.2).
    fn consider_parts<F: Fields>(
        &self,
        mut judged: Judged,
        variants: &Variants,
        key: &[u8],
        request: &RequestView<'_, F>,
        (policy, now): (&Policy, Timestamp),
    ) -> Judged {
        let parts = variants.responses.iter().filter(|stored| {
            stored.head.range.is_some()
                && stored.head.vary.matches(request.fields)
                && self.room.stamps.death(key, stored).is_none()
        });
        for stored in parts {
            let covered = match (&stored.head.range, range::of(request.fields)) {
                (Some(part), Some(wanted)) if *request.method == Method::GET => {
                    range::covers(part, wanted)
                }
                _ => None,
            };
            let applies = validation::range_applies(request.fields, &stored.head.validators);
            let verdict = self.verdict(stored, request, policy, (key, now));
            if let (Some(span), true, Verdict::Hit) = (covered, applies, verdict) {
                let selected = Some(Arc::clone(stored));
                return Judged { selected, part: Some(span), ..Judged::nothing(verdict) };
            }
            if matches!(judged.verdict, Verdict::Forward(_)) {
                judged.verdict = Verdict::Forward(ForwardReason::Partial);
            }
        }
        judged
    }
}
