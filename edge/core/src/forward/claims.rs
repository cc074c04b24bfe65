//! What a request claims about the client behind its sender: Forwarded, X-Forwarded-*.
//!
//! In: fields, and whether their sender is trusted. Out: the fields as far as they are believed.
//! Always holds: a claim that is not believed, however it is spelt, is not there: it neither tells
//! responses apart nor reaches the origin; a claim on what was asked for reaches it only as far as
//! it is keyed, since balancers pass their clients' on and one client would choose what all get.
//! It deliberately does not know who is trusted.
//!
//! RFC 7239 §8.1. Hot path: [`Believed`] allocates nothing.

use http::{HeaderMap, HeaderName, header};

use super::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, forwarded};
use crate::{fields::Fields, key::Scheme};

/// How the names of most claims begin.
const PREFIX: &[u8] = b"x-forwarded-";

/// Claims on what was asked for, from which origins make links and redirects: all but the scheme,
/// which is keyed and said in our own word.
const OF_TARGET: [HeaderName; 9] = [
    X_FORWARDED_HOST,
    HeaderName::from_static("x-forwarded-path"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-forwarded-uri"),
    // Other words for the scheme, which some origins read before ours.
    HeaderName::from_static("x-forwarded-protocol"),
    HeaderName::from_static("x-forwarded-scheme"),
    HeaderName::from_static("x-forwarded-ssl"),
];

/// The fields of a request, without the claims of a sender who is not trusted.
#[derive(Clone, Copy, Debug)]
pub struct Believed<'a, F> {
    /// All of them.
    pub fields: &'a F,
    /// Whether the sender is trusted.
    pub trusted: bool,
}

impl<F: Fields> Fields for Believed<'_, F> {
    fn lines<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let believed = self.trusted || !is_claim(name);
        self.fields.lines(name).filter(move |_| believed)
    }

    fn count(&self) -> usize {
        self.fields.count()
    }
}

/// The scheme that the client behind a trusted sender used, by that sender's own word: the last
/// member of X-Forwarded-Proto, or else of Forwarded.
#[must_use]
pub fn claimed_scheme<F: Fields>(fields: &F) -> Scheme {
    let claimed = match fields.lines(&X_FORWARDED_PROTO).last() {
        Some(line) => line.rsplit(|octet| *octet == b',').next(),
        None => fields.lines(&header::FORWARDED).last().and_then(forwarded::last_proto),
    };
    match claimed {
        Some(claimed) if claimed.trim_ascii().eq_ignore_ascii_case(b"https") => Scheme::Https,
        Some(_) | None => Scheme::Http,
    }
}

/// Takes away what a sender who is not trusted claims, before anything looks at the fields.
pub fn drop_claims(fields: &mut HeaderMap) {
    drop_where(fields, is_claim);
}

/// Whether a field claims something about the client. CGI and its descendants read `_` as `-`, so
/// the law does as well.
#[must_use]
pub fn is_claim(name: &HeaderName) -> bool {
    *name == header::FORWARDED || prefix(name).is_some()
}

/// Whether what the origin reads in a field depends on more than the key and the request's own
/// field: on who the peer is, or on the connection that it came by. Such a field tells no
/// responses apart: what answers one request would answer others that the origin saw differently.
#[must_use]
pub fn is_of_peer(name: &HeaderName) -> bool {
    [header::FORWARDED, X_FORWARDED_FOR, header::VIA].contains(name)
}

/// Whether what the origin reads in a field follows from the key: it is our own word, or missing, or
/// a part of the key by its rule. Such a field tells nothing apart that the key does not.
#[must_use]
pub fn is_of_key(name: &HeaderName) -> bool {
    *name == X_FORWARDED_PROTO || OF_TARGET.contains(name)
}

/// Takes away the claims on what was asked for, unless the rule adds them to the key.
pub(super) fn drop_unkeyed(fields: &mut HeaderMap, keyed: &[HeaderName]) {
    for name in OF_TARGET.iter().filter(|name| !keyed.contains(name)) {
        fields.remove(name);
    }
}

/// Takes away what only resembles our own fields: no trusted peer writes them so, it merely passes
/// its client's on.
pub(super) fn drop_misspelt(fields: &mut HeaderMap) {
    drop_where(fields, |name| prefix(name).is_some_and(|prefix| prefix.contains(&b'_')));
}

fn drop_where(fields: &mut HeaderMap, barred: impl Fn(&HeaderName) -> bool) {
    let barred: Vec<HeaderName> = fields.keys().filter(|name| barred(name)).cloned().collect();
    for name in barred {
        fields.remove(name);
    }
}

/// The beginning of a name that reads as `X-Forwarded-`; names are in lower case.
fn prefix(name: &HeaderName) -> Option<&[u8]> {
    let prefix = name.as_str().as_bytes().get(..PREFIX.len())?;
    let reads = |(got, wanted): (&u8, &u8)| got == wanted || (*got == b'_' && *wanted == b'-');
    prefix.iter().zip(PREFIX).all(reads).then_some(prefix)
}
