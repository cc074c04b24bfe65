//! What a request claims about the client behind its sender: Forwarded, X-Forwarded-*.
//!
//! In: fields, and whether their sender is trusted. Out: the fields as far as they are believed.
//! Always holds: a claim that is not believed does not reach the origin, however it is spelt.
//! It deliberately does not know who is trusted.
//!
//! RFC 7239 §8.1.

use http::{HeaderMap, HeaderName, header};

/// How the names of most claims begin.
const PREFIX: &[u8] = b"x-forwarded-";

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
