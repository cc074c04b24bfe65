//! What the origin says: Cache-Control of a response (RFC 9111 §5.2.2).

use std::time::Duration;

use http::{HeaderMap, HeaderName, header};

use super::{
    Qualified, ResponseDirectives,
    member::{Argument, Member, members},
    targeted,
};

impl ResponseDirectives {
    /// The directives that apply to this cache: those of the first targeted field that is valid
    /// and not empty (RFC 9213 §2.2), else those of Cache-Control.
    #[must_use]
    pub fn parse(fields: &HeaderMap, targeted: &[HeaderName]) -> Self {
        let cache_control = Self::of_cache_control(fields);
        match targeted.iter().find_map(|name| targeted::parse(fields, name)) {
            // What may be done to content is not caching policy: Cache-Control's word on it stays.
            Some(own) => {
                Self { no_transform: own.no_transform || cache_control.no_transform, ..own }
            }
            None => cache_control,
        }
    }

    /// Whether the origin gives a freshness lifetime here (Expires is another place to).
    #[must_use]
    pub const fn has_lifetime(&self) -> bool {
        self.s_maxage.is_some() || self.max_age.is_some()
    }

    fn of_cache_control(fields: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for line in fields.get_all(header::CACHE_CONTROL) {
            for member in members(line.as_bytes()) {
                directives.add(member);
            }
        }
        directives
    }

    /// Takes one more directive into account. A restriction counts with whatever argument, a
    /// permission only as the grammar has it, and of two values the less fresh.
    pub(super) fn add(&mut self, member: Member<'_>) {
        let alone = member.argument == Argument::Absent;
        match member {
            m if m.is("max-age") => shorten(&mut self.max_age, m.argument),
            m if m.is("s-maxage") => shorten(&mut self.s_maxage, m.argument),
            m if m.is("stale-while-revalidate") => {
                shorten(&mut self.stale_while_revalidate, m.argument);
            }
            m if m.is("stale-if-error") => shorten(&mut self.stale_if_error, m.argument),
            m if m.is("no-cache") => self.no_cache.widen(m.argument.qualified()),
            m if m.is("private") => self.private.widen(m.argument.qualified()),
            m if m.is("no-store") => self.no_store = true,
            m if m.is("no-transform") => self.no_transform = true,
            m if m.is("must-revalidate") => self.must_revalidate = true,
            m if m.is("proxy-revalidate") => self.proxy_revalidate = true,
            // It lifts no-store for a status that is understood: a permission.
            m if m.is("must-understand") => self.must_understand |= alone,
            m if m.is("public") => self.public |= alone,
            m if m.is("immutable") => self.immutable |= alone,
            _ => {}
        }
    }
}

impl Qualified {
    /// Whether it speaks of the whole response.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        *self == Self::Whole
    }

    /// The fields that it names.
    #[must_use]
    pub fn fields(&self) -> &[HeaderName] {
        match self {
            Self::Fields(names) => names,
            Self::Absent | Self::Whole => &[],
        }
    }

    /// Both of two: the whole response, or all fields that either names.
    fn widen(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Whole, _) | (_, Self::Absent) => {}
            (Self::Fields(names), Self::Fields(more)) => {
                for name in more {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
            (_, wider) => *self = wider,
        }
    }
}

/// The shorter of two values; a malformed one is as short as any (RFC 9111 §4.2.1).
fn shorten(slot: &mut Option<Duration>, argument: Argument<'_>) {
    let seconds = argument.seconds().unwrap_or_default();
    *slot = Some(slot.map_or(seconds, |other| other.min(seconds)));
}
