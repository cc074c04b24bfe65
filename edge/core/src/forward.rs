//! Fields that travel to the origin and back.
//!
//! In: what a client or an origin sent, who the client is, and this node's name. Out: the fields
//! of the forward and of what is passed on, or a refusal to forward at all.
//! Always holds: Connection, what it nominates, and every other field of one connection stop here
//! (RFC 9110 §7.6.1); what is said about the client is our own word unless the peer is trusted;
//! what is said about the target follows from the key, whoever the peer is;
//! a request that has been here before goes no further (RFC 8586 §3).
//! It deliberately does not know the Host that is sent, nor how content is framed.
//!
//! RFC 9110 §6.5, §7.6, §10.1; RFC 7239; RFC 8586.

mod cdn_loop;
mod claims;
mod forwarded;
#[cfg(test)]
mod tests;

pub use self::claims::{Believed, claimed_scheme, drop_claims, is_claim, is_of_key, is_of_peer};

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};

use crate::{fields::Fields, key::Scheme, outcome::Refusal, site::Policy};

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// The address that the connection comes from.
    pub address: IpAddr,
    /// Whether what the peer says about its own clients is believed.
    pub trusted: bool,
    /// The version of the message.
    pub version: Version,
    /// The scheme that the client used, as the peer says if it is trusted.
    pub scheme: Scheme,
    /// The host that is keyed.
    pub host: &'a str,
    /// The request fields that the rule adds to the key.
    pub keyed: &'a [HeaderName],
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
/// Not a field of HTTP: CGI turns it into the environment variable HTTP_PROXY.
const PROXY: HeaderName = HeaderName::from_static("proxy");
const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Fields of one connection or one hop, nominated or not (RFC 9110 §7.6.1, §11.7).
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::PROXY_AUTHENTICATE,
    PROXY_AUTHENTICATION_INFO,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HTTP2_SETTINGS,
];

/// Fields that no nomination takes away: Host, which routes, and what shows a loop. RFC 8586 §2
/// forbids to let CDN-Loop be removed; Via serves the same end (RFC 9110 §7.6.3).
const NEVER_NOMINATED: [HeaderName; 3] = [header::HOST, header::VIA, CDN_LOOP];

/// Whether a request may pass, and how many hops OPTIONS may still make after this one
/// (RFC 8586 §3, RFC 9110 §7.6.2, §9.3, §10.1.1). With none left, this node answers; else the
/// forward says one less.
///
/// # Errors
/// Why it goes no further.
pub fn check(method: &Method, fields: &impl Fields, cdn_id: &str) -> Result<Option<u64>, Refusal> {
    if *method == Method::TRACE || *method == Method::CONNECT {
        return Err(Refusal::MethodNotAllowed);
    }
    if fields.lines(&CDN_LOOP).any(|value| cdn_loop::names(value, cdn_id)) {
        return Err(Refusal::Loop);
    }
    if fields.lines(&header::EXPECT).any(|value| !is_100_continue(value)) {
        return Err(Refusal::ExpectationFailed);
    }
    if *method != Method::OPTIONS {
        // Max-Forwards speaks of TRACE and OPTIONS only.
        return Ok(None);
    }
    Ok(fields.only(&header::MAX_FORWARDS).and_then(number))
}

/// The fields of a forward, with this node's name in Via and its cdn-id in CDN-Loop; the caller
/// sets Host.
#[must_use]
pub fn request_fields(client: &HeaderMap, peer: &Peer<'_>, node: &str, cdn_id: &str) -> HeaderMap {
    let mut fields = end_to_end(client);
    fields.remove(header::HOST);
    fields.remove(PROXY);
    join_cookies(&mut fields);
    // RFC 9110 §10.1.1: an HTTP/1.0 client cannot mean it.
    if peer.version < Version::HTTP_11 {
        fields.remove(header::EXPECT);
    }
    // RFC 9110 §10.1.4: what TE says is for the next hop, so we say it ourselves.
    if members(client, &header::TE).any(|member| member.eq_ignore_ascii_case(b"trailers")) {
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
        fields.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
    append_via(&mut fields, peer.version, node);
    name_client(&mut fields, peer);
    append_member(&mut fields, &CDN_LOOP, &token(cdn_id));
    fields
}

/// The fields of a forward that fills the cache: without the client's own conditions and Range,
/// for what comes back serves other clients as well, and without a promise to pass trailers on.
#[must_use]
pub fn for_filling(fields: HeaderMap) -> HeaderMap {
    let mut fields = for_range_filling(fields);
    fields.remove(header::RANGE);
    fields.remove(header::IF_RANGE);
    fields
}

/// The same for a Range that nothing stored covers: Range and its If-Range go along.
#[must_use]
pub fn for_range_filling(mut fields: HeaderMap) -> HeaderMap {
    const DROPPED: [HeaderName; 9] = [
        header::IF_MATCH,
        // A filling has no content: a length that announces some would have the origin read the
        // next request as that content.
        header::CONTENT_LENGTH,
        header::TRAILER,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        header::EXPECT,
        header::TE,
        header::CONNECTION,
    ];
    for name in DROPPED {
        fields.remove(name);
    }
    fields
}

/// The fields of a response that is passed on or stored. What restricts its reuse is never one
/// connection's, whatever Connection nominates (RFC 9110 §7.6.1 names Cache-Control): a private
/// response would lose its restriction before anybody read it; the policy's targeted fields carry
/// directives beside Cache-Control. What the policy says is for caches alone ends here.
#[must_use]
pub fn response_fields(
    origin: &HeaderMap,
    version: Version,
    node: &str,
    policy: &Policy,
) -> HeaderMap {
    const RESTRICTING: [HeaderName; 5] =
        [header::AGE, header::CACHE_CONTROL, header::DATE, header::EXPIRES, header::VARY];
    let mut fields = end_to_end(origin);
    for name in
        RESTRICTING.iter().chain(&*policy.targeted_fields).filter(|name| !HOP_BY_HOP.contains(name))
    {
        if !fields.contains_key(name) {
            for value in origin.get_all(name) {
                fields.append(name.clone(), value.clone());
            }
        }
    }
    for name in &*policy.withheld_fields {
        fields.remove(name);
    }
    append_via(&mut fields, version, node);
    fields
}

/// The fields of an interim response that is passed on (RFC 9110 §15.2, RFC 8297): it has no
/// content, and says nothing about any.
#[must_use]
pub fn interim_fields(origin: &HeaderMap) -> HeaderMap {
    let mut fields = end_to_end(origin);
    fields.remove(header::CONTENT_LENGTH);
    fields
}

/// The trailer fields that are passed on.
#[must_use]
pub fn trailer_fields(trailers: &HeaderMap) -> HeaderMap {
    let mut fields = end_to_end(trailers);
    let barred: Vec<HeaderName> = fields.keys().filter(|n| !allowed_trailer(n)).cloned().collect();
    for name in barred {
        fields.remove(name);
    }
    fields
}

/// Whether a field may stand in a trailer section: not what frames, routes, modifies,
/// authenticates, or says how to process or cache the content (RFC 9110 §6.5.1), nor what says who
/// the client is, which we say ourselves.
#[must_use]
pub fn allowed_trailer(name: &HeaderName) -> bool {
    const BARRED: [HeaderName; 34] = [
        header::ACCEPT_ENCODING,
        header::ACCEPT_RANGES,
        header::AGE,
        header::AUTHORIZATION,
        header::CACHE_CONTROL,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_LOCATION,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::DATE,
        header::EXPECT,
        header::EXPIRES,
        header::FORWARDED,
        header::HOST,
        header::IF_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_NONE_MATCH,
        header::IF_RANGE,
        header::IF_UNMODIFIED_SINCE,
        header::LAST_MODIFIED,
        header::LOCATION,
        header::MAX_FORWARDS,
        header::PRAGMA,
        header::RANGE,
        header::RETRY_AFTER,
        header::SET_COOKIE,
        header::TRAILER,
        header::VARY,
        header::VIA,
        header::WARNING,
        header::WWW_AUTHENTICATE,
        CDN_LOOP,
    ];
    !BARRED.contains(name) && !HOP_BY_HOP.contains(name) && !is_claim(name)
}

/// Takes away what Connection nominates, before anything looks at the fields: what is not
/// forwarded must not tell responses apart either, or a client could store under one variant what
/// the origin made for another (RFC 9110 §7.6.1).
pub fn drop_nominated(fields: &mut HeaderMap) {
    // What every client nominates says nothing about a response.
    const PLAIN: [&[u8]; 4] = [b"close", b"keep-alive", b"te", b"upgrade"];
    let mut nominated: Vec<HeaderName> = Vec::new();
    for member in members(fields, &header::CONNECTION) {
        if !PLAIN.iter().any(|plain| member.eq_ignore_ascii_case(plain)) {
            nominated.extend(nominated_name(member));
        }
    }
    for name in nominated {
        fields.remove(name);
    }
}

/// RFC 9113 §8.2.3: HTTP/2 may split Cookie, other versions know one line of it only.
fn join_cookies(fields: &mut HeaderMap) {
    if fields.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    // Keyed as it is forwarded: `key::vary` joins the lines in the same way.
    let lines: Vec<&[u8]> =
        fields.get_all(header::COOKIE).iter().map(|line| line.as_bytes().trim_ascii()).collect();
    if let Ok(value) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        fields.insert(header::COOKIE, value);
    }
}

/// A copy without what is for one connection only.
pub(crate) fn end_to_end(received: &HeaderMap) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(received.len().saturating_add(8));
    for (name, value) in received {
        if !HOP_BY_HOP.contains(name) {
            fields.append(name.clone(), value.clone());
        }
    }
    for name in members(received, &header::CONNECTION).filter_map(nominated_name) {
        fields.remove(name);
    }
    fields
}

/// The field that a member of Connection takes away, if it may.
fn nominated_name(member: &[u8]) -> Option<HeaderName> {
    HeaderName::from_bytes(member).ok().filter(|name| !NEVER_NOMINATED.contains(name))
}

/// The members of a list field; empty ones are ignored (RFC 9110 §5.6.1.2). One that is no text
/// must not hide the others.
fn members<'a>(fields: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    fields
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// Via: the version that the message came in, and who received it (RFC 9110 §7.6.3).
fn append_via(fields: &mut HeaderMap, version: Version, node: &str) {
    let protocol = match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        Version::HTTP_3 => "3.0",
        _ => "1.1",
    };
    append_member(fields, &header::VIA, &format!("{protocol} {}", token(node)));
}

/// Forwarded and X-Forwarded-*: replaced by our word, or extended with it for a trusted peer, who is
/// believed on its client, and on what was asked for as far as that is keyed.
fn name_client(fields: &mut HeaderMap, peer: &Peer<'_>) {
    // A field whose quoting is broken would swallow what is added to it.
    let sound = fields.get_all(header::FORWARDED).iter().all(|v| forwarded::is_list(v.as_bytes()));
    if !sound {
        fields.remove(header::FORWARDED);
    }
    if peer.trusted {
        claims::drop_misspelt(fields);
        claims::drop_unkeyed(fields, peer.keyed);
        agree_with_key(fields, peer);
    } else {
        drop_claims(fields);
    }
    let (address, scheme) = (peer.address.to_canonical(), peer.scheme.as_str());
    append_member(fields, &header::FORWARDED, &forwarded::element(address, peer.host, scheme));
    append_member(fields, &X_FORWARDED_FOR, &address.to_string());
    if !fields.contains_key(&X_FORWARDED_HOST)
        && !peer.host.is_empty()
        && let Ok(host) = HeaderValue::from_str(peer.host)
    {
        fields.insert(X_FORWARDED_HOST, host);
    }
    // A trusted peer's claim is read already; said once, nobody can read another scheme in it than
    // the one that is keyed.
    fields.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
}

/// Takes `host` and `proto` out of Forwarded where they say otherwise than the key: neither what is
/// stored nor what is forwarded follows from them.
fn agree_with_key(fields: &mut HeaderMap, peer: &Peer<'_>) {
    let header::Entry::Occupied(mut lines) = fields.entry(header::FORWARDED) else { return };
    for line in lines.iter_mut() {
        let agreeing = forwarded::agreeing(line.as_bytes(), peer.host, peer.scheme.as_str());
        if let Some(agreeing) = agreeing {
            *line = HeaderValue::from_bytes(&agreeing).unwrap_or(HeaderValue::from_static(""));
        }
    }
}

/// Adds a member at the end of a list field, all of it in one line.
fn append_member(fields: &mut HeaderMap, name: &HeaderName, member: &str) {
    let mut line = Vec::new();
    for value in fields.get_all(name) {
        if !value.is_empty() {
            line.extend_from_slice(value.as_bytes());
            line.extend_from_slice(b", ");
        }
    }
    line.extend_from_slice(member.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&line) {
        fields.insert(name, value);
    }
}

/// A name as a token: what a token cannot hold becomes `-` (RFC 9110 §5.6.2).
fn token(name: &str) -> String {
    let tchar = |c: char| u8::try_from(c).is_ok_and(crate::outcome::is_tchar);
    let text: String = name.chars().map(|c| if tchar(c) { c } else { '-' }).collect();
    if text.is_empty() { "-".to_owned() } else { text }
}

fn is_100_continue(value: &[u8]) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(b"100-continue")
}

/// 1*DIGIT; what does not fit is as good as the largest that does.
fn number(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}
