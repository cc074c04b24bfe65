//! What a client says: Cache-Control and Pragma of a request (RFC 9111 §5.2.1, §5.4).

use std::time::Duration;

use http::header;

use super::{
    MaxStale, RequestDirectives,
    member::{Argument, Member, members},
};
use crate::fields::Fields;

impl RequestDirectives {
    /// What a request without Cache-Control and Pragma says.
    pub const NONE: Self = Self {
        max_age: None,
        max_stale: None,
        min_fresh: None,
        no_cache: false,
        no_store: false,
        no_transform: false,
        only_if_cached: false,
        stale_if_error: None,
    };

    /// The directives of a request.
    #[must_use]
    pub fn parse(fields: &impl Fields) -> Self {
        let mut directives = Self::NONE;
        if fields.has(&header::CACHE_CONTROL) {
            for line in fields.lines(&header::CACHE_CONTROL) {
                members(line).for_each(|member| directives.add(member));
            }
        } else {
            // Pragma says anything only where Cache-Control is absent (RFC 9111 §5.4).
            directives.no_cache = fields
                .lines(&header::PRAGMA)
                .any(|line| members(line).any(|member| member.is("no-cache")));
        }
        directives
    }

    fn add(&mut self, member: Member<'_>) {
        let seconds = member.argument.seconds();
        match member {
            m if m.is("max-age") => shorten(&mut self.max_age, seconds),
            m if m.is("stale-if-error") => shorten(&mut self.stale_if_error, seconds),
            m if m.is("min-fresh") => {
                // Of no use when malformed: nobody knows how fresh is meant.
                self.min_fresh = self.min_fresh.max(seconds);
            }
            m if m.is("max-stale") => self.add_max_stale(m.argument),
            m if m.is("no-cache") => self.no_cache = true,
            m if m.is("no-store") => self.no_store = true,
            m if m.is("no-transform") => self.no_transform = true,
            m if m.is("only-if-cached") => self.only_if_cached = true,
            _ => {}
        }
    }

    fn add_max_stale(&mut self, argument: Argument<'_>) {
        let allowed = match argument.seconds() {
            Some(seconds) => MaxStale::Within(seconds),
            None if argument == Argument::Absent => MaxStale::Any,
            // A malformed permission permits nothing.
            None => return,
        };
        self.max_stale = Some(match (self.max_stale, allowed) {
            (Some(MaxStale::Within(a)), MaxStale::Within(b)) => MaxStale::Within(a.min(b)),
            (Some(within @ MaxStale::Within(_)), MaxStale::Any) => within,
            (None | Some(MaxStale::Any), other) => other,
        });
    }
}

/// The shorter of two values; a malformed one is as short as any.
fn shorten(slot: &mut Option<Duration>, seconds: Option<Duration>) {
    let seconds = seconds.unwrap_or_default();
    *slot = Some(slot.map_or(seconds, |other| other.min(seconds)));
}
