//! The variants under one cache key: the request fields that Vary nominates (RFC 9111 §4.1).
//!
//! In: fields. Out: [`VaryKey`], or [`NoVariant`]. Always holds: two requests that a key matches are
//! the same in every nominated field, after the normalisation that each field's definition allows;
//! a key keeps at most [`NOMINATED_BYTES_MAX`] of values.
//!
//! The values themselves are kept, not a digest: whoever found two values of one digest would be
//! told another's variant, and a secret to prevent that has no place in here. Clients choose them,
//! so they are bounded: what a client sends beyond that is answered, but not stored.

use http::{HeaderMap, HeaderName, header};

use crate::{fields::Fields, forward};

/// The nominated fields and their values in the request that a response was stored for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VaryKey {
    /// Sorted by name, without duplicates.
    nominated: Box<[Nominated]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Nominated {
    name: HeaderName,
    /// Normalised; a field that is absent matches only where it is absent.
    value: Option<Box<[u8]>>,
}

/// What a key keeps of the values of all nominated fields together: more than browsers send of
/// those that any response to be shared varies on.
pub const NOMINATED_BYTES_MAX: usize = 1024;

/// Why a response is no variant that could be found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoVariant {
    /// Its Vary matches no request.
    Unmatched,
    /// The request's values are longer than [`NOMINATED_BYTES_MAX`].
    TooLong,
}

impl VaryKey {
    /// What a response to a request with `request_fields` answers.
    ///
    /// # Errors
    /// For `Vary: *`, which no request matches, for a Vary that does not follow the grammar, and for
    /// one that names what the origin reads there as ours: the client's own field does not tell
    /// these requests apart. And for values that are too long.
    pub fn of(response_fields: &HeaderMap, request_fields: &HeaderMap) -> Result<Self, NoVariant> {
        let mut names = Vec::new();
        for line in response_fields.get_all(header::VARY) {
            for member in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                // "*" is a token as well: it must not pass as a field of that name.
                if member == b"*" {
                    return Err(NoVariant::Unmatched);
                }
                if !member.is_empty() {
                    let name = HeaderName::from_bytes(member).ok();
                    let name = name.filter(|name| !forward::is_of_peer(name));
                    names.push(name.ok_or(NoVariant::Unmatched)?);
                }
            }
        }
        // What these tell apart, the key does already.
        names.retain(|name| !forward::is_of_key(name));
        names.sort_by(|a: &HeaderName, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        Self::nominate(names.into_iter(), request_fields).ok_or(NoVariant::TooLong)
    }

    /// The values of the fields of these names; nothing if they are too long.
    fn nominate(
        names: impl Iterator<Item = HeaderName>,
        request_fields: &HeaderMap,
    ) -> Option<Self> {
        let mut left = NOMINATED_BYTES_MAX;
        let nominated = names.map(|name| {
            let value = match normal(&name, request_fields) {
                None => None,
                Some(octets) => {
                    let value: Box<[u8]> = octets.take(left.saturating_add(1)).collect();
                    left = left.checked_sub(value.len())?;
                    Some(value)
                }
            };
            Some(Nominated { name, value })
        });
        Some(Self { nominated: nominated.collect::<Option<_>>()? })
    }

    /// Whether a request with these fields may be answered.
    #[must_use]
    pub fn matches(&self, request_fields: &impl Fields) -> bool {
        self.nominated.iter().all(|nominated| nominated.matches(request_fields))
    }

    /// The variant that `request_fields` would get if the same fields told responses apart; nothing
    /// if it would be too long to be stored.
    #[must_use]
    pub fn for_request(&self, request_fields: &HeaderMap) -> Option<Self> {
        Self::nominate(self.names().cloned(), request_fields)
    }

    /// Whether both are about the same fields with the same values: one replaces the other.
    #[must_use]
    pub fn same_variant(&self, other: &Self) -> bool {
        self == other
    }

    /// Whether nothing is nominated: every request matches.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.nominated.is_empty()
    }

    /// What it keeps of names and values, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.nominated.iter().fold(0, |sum, nominated| {
            let value = nominated.value.as_ref().map_or(0, |value| value.len());
            sum.saturating_add(nominated.name.as_str().len()).saturating_add(value)
        })
    }

    /// The nominated fields, in order, and what they were in the request; nothing where one was absent.
    pub fn nominated(&self) -> impl Iterator<Item = (&HeaderName, Option<&[u8]>)> {
        self.nominated.iter().map(|nominated| (&nominated.name, nominated.value.as_deref()))
    }

    /// The nominated names, in order.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.nominated.iter().map(|nominated| &nominated.name)
    }
}

impl Nominated {
    fn matches(&self, request_fields: &impl Fields) -> bool {
        let Some(stored) = &self.value else { return !request_fields.has(&self.name) };
        match request_fields.only(&self.name) {
            // What is normal already, as most clients send it, needs no second look.
            Some(only) if only == &**stored => true,
            // One line of a field without members can differ in the white space around it only.
            Some(only) if Form::of(&self.name) != Form::Tokens => only.trim_ascii() == &**stored,
            _ => normal(&self.name, request_fields)
                .is_some_and(|presented| presented.eq(stored.iter().copied())),
        }
    }
}

/// The normalised value of a field, byte by byte; nothing if the field is absent.
///
/// Several lines count as one list (RFC 9110 §5.3), and white space around a line says nothing.
/// Where the field is known to be a list, so does white space around its members and their
/// parameters, and empty members go; where it is known to be case-insensitive, so does case. White
/// space anywhere else makes a value malformed rather than another way to say the same: an origin
/// may answer it otherwise. The order of members stays: clients hardly differ in it, and
/// Accept-Language may mean it.
pub(super) fn normal<'a>(
    name: &'a HeaderName,
    fields: &'a impl Fields,
) -> Option<impl Iterator<Item = u8> + 'a> {
    let form = Form::of(name);
    if !fields.has(name) {
        return None;
    }
    let members = fields.lines(name).flat_map(move |line| form.members(line));
    Some(members.enumerate().flat_map(move |(index, member)| {
        let separator = if index == 0 { b"" } else { form.separator() };
        separator.iter().copied().chain(form.parts(member))
    }))
}

/// What may be changed in a field without changing what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Nothing is known.
    Opaque,
    /// A list of members with parameters but without quoted strings, whose case has no meaning.
    Tokens,
    /// Several lines are one of pairs, forwarded as such (RFC 9113 §8.2.3).
    Cookie,
}

impl Form {
    fn of(name: &HeaderName) -> Self {
        // Content codings, language ranges, charsets and weights: RFC 9110 §12.5.2-§12.5.4.
        match *name {
            header::ACCEPT_ENCODING | header::ACCEPT_LANGUAGE | header::ACCEPT_CHARSET => {
                Self::Tokens
            }
            header::COOKIE => Self::Cookie,
            _ => Self::Opaque,
        }
    }

    /// What stands between two members, or between two lines where members are not known.
    const fn separator(self) -> &'static [u8] {
        match self {
            Self::Opaque | Self::Tokens => b", ",
            Self::Cookie => b"; ",
        }
    }

    fn members(self, line: &[u8]) -> impl Iterator<Item = &[u8]> {
        line.split(move |byte| self == Self::Tokens && *byte == b',')
            .map(<[u8]>::trim_ascii)
            .filter(move |member| self != Self::Tokens || !member.is_empty())
    }

    /// A member without the white space around its semicolons (RFC 9110 §12.4.2).
    fn parts(self, member: &[u8]) -> impl Iterator<Item = u8> {
        let parts = member.split(move |byte| self == Self::Tokens && *byte == b';');
        parts.enumerate().flat_map(move |(index, part)| {
            let separator: &[u8] = if index == 0 { b"" } else { b";" };
            let part = part.trim_ascii().iter().map(move |byte| self.fold(*byte));
            separator.iter().copied().chain(part)
        })
    }

    const fn fold(self, byte: u8) -> u8 {
        match self {
            Self::Opaque | Self::Cookie => byte,
            Self::Tokens => byte.to_ascii_lowercase(),
        }
    }
}
