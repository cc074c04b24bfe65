//! Who may use routes that are for the operator on this machine.
//!
//! In: a request. Out: [`Local`], or a problem detail (403) that says why not.
//! Always: its peer is on loopback, and it is none that a browser makes for a page: the fields `Origin`
//! (Fetch) and `Sec-Fetch-Site` (Fetch Metadata) tell pages of other sites, and `Host` one whose own
//! name was pointed at this machine (DNS rebinding); a name that is no address and not `localhost` is
//! in nobody's hands but its owner's.
//! Does not know: tokens, which these routes do not ask for, nor what a route does.
//! Clause: docs/operate.md *Drain and force*, RFC 9110 §7.2.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, StatusCode};

use crate::admin::Peer;
use crate::http_problem::Problem;

/// What a browser says of where a request comes from.
const SITE: &str = "sec-fetch-site";

/// A request of this machine's own, and of no page in a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local;

impl<S: Sync> FromRequestParts<S> for Local {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        check(parts).map_err(|why| Problem::new(StatusCode::FORBIDDEN).detail(why))
    }
}

fn check(parts: &Parts) -> Result<Local, &'static str> {
    let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.ip().to_canonical());
    if !peer.is_some_and(|ip| ip.is_loopback()) {
        return Err("this is answered on loopback only: ask on the machine itself");
    }
    // Who typed the address into a browser comes from nowhere: `none`.
    let mut sites = parts.headers.get_all(SITE).iter();
    if parts.headers.contains_key(ORIGIN)
        || !sites.all(|site| site == "none" || site == "same-origin")
    {
        return Err("this is not for pages in a browser: use curl");
    }
    if !parts.headers.get_all(HOST).iter().all(is_own) {
        return Err("this is answered under an address or as localhost only");
    }
    Ok(Local)
}

/// Whether the name that was asked for is one that cannot be pointed elsewhere.
fn is_own(host: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let name = authority.host();
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    bare.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn asked(peer: &str, fields: &[(&str, &str)]) -> Result<Local, &'static str> {
        let mut request = Request::get("/v1/route");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        parts.extensions.insert(Peer(peer.parse().unwrap()));
        check(&parts)
    }

    #[test]
    fn what_an_operator_sends_is_local() {
        let rows: [&[(&str, &str)]; 8] = [
            &[("host", "127.0.0.1:9090")],
            &[("host", "[::1]:9090")],
            &[("host", "localhost:9090")],
            &[("host", "LOCALHOST")],
            &[("host", "192.0.2.1")],
            &[],
            // Typed into a browser, and a link on what was shown then.
            &[("host", "localhost"), ("sec-fetch-site", "none")],
            &[("host", "localhost"), ("sec-fetch-site", "same-origin")],
        ];
        for fields in rows {
            for peer in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
                assert_eq!(asked(peer, fields), Ok(Local), "{peer} {fields:?}");
            }
            asked("192.0.2.1:1", fields).unwrap_err();
        }
    }

    #[test]
    fn what_a_page_has_a_browser_send_is_not() {
        let rows: [&[(&str, &str)]; 10] = [
            &[("host", "localhost"), ("origin", "https://evil.example")],
            &[("host", "localhost"), ("origin", "null")],
            // An image, a script, a link: no `Origin`.
            &[("host", "localhost"), ("sec-fetch-site", "cross-site")],
            &[("host", "localhost"), ("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")],
            // A name that leads here for a moment: for its page this is its own site.
            &[("host", "evil.example:9090"), ("sec-fetch-site", "same-origin")],
            &[("host", "evil.example")],
            &[("host", "localhost.evil.example")],
            &[("host", "localhost"), ("host", "evil.example")],
            &[("host", "127.0.0.1.evil.example")],
        ];
        for fields in rows {
            asked("127.0.0.1:1", fields).unwrap_err();
        }
    }
}
