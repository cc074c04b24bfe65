//! The request target's form and the authority that it or Host names.
//!
//! In go octets that the line scan let through, out go a form that its method may use and an authority in one shape,
//! so that the two can be compared. It does not know which hosts are served (RFC 9112 §3.2, RFC 9110 §4.2, §7.2,
//! RFC 3986 §3.2).

use std::net::Ipv6Addr;

use super::{head::target_run, octets::NAME, refusal::Refusal};

/// A target's form (RFC 9112 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `/path?query`, the asterisk, or CONNECT's authority: nothing to compare Host with.
    Other,
    /// An absolute URI.
    Absolute {
        /// Where its authority begins in the target.
        from: usize,
        /// Where it ends.
        to: usize,
        /// Its scheme's port.
        default_port: u16,
    },
}

/// A host and perhaps a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    host: &'a [u8],
    port: Option<u16>,
}

/// The form of `target`, if `method` may use it.
pub(super) fn form(method: &[u8], target: &[u8]) -> Result<Form, Refusal> {
    if method == b"CONNECT" {
        // §3.2.3: the authority-form, with its port; the hallway refuses the method itself.
        let authority = in_target(target).ok_or(Refusal::Target)?;
        return authority.port.map(|_| Form::Other).ok_or(Refusal::Target);
    }
    match target {
        [b'/', ..] => Ok(Form::Other),
        // §3.2.4: the asterisk-form is for OPTIONS alone.
        b"*" if method == b"OPTIONS" => Ok(Form::Other),
        _ => absolute(target),
    }
}

/// Whether `target`, which came in a `:path`, is one that a request line may hold as well
/// (RFC 9113 §8.3.1): what goes to an origin over HTTP/1.1 has to pass its strictest reader. Without
/// a path it is the hallway's to complete.
#[must_use]
pub fn is_path(method: &[u8], target: &[u8]) -> bool {
    let is_formed = target.starts_with(b"?") || matches!(form(method, target), Ok(Form::Other));
    is_formed && target_run(target) == target.len()
}

/// §3.2.2: the absolute-form, of the two schemes that HTTP serves.
fn absolute(target: &[u8]) -> Result<Form, Refusal> {
    let (from, default_port) = if starts_with_ignoring_case(target, b"http://") {
        (7, 80)
    } else if starts_with_ignoring_case(target, b"https://") {
        (8, 443)
    } else {
        return Err(Refusal::Target);
    };
    let rest = target.get(from..).unwrap_or_default();
    let length = rest.iter().position(|octet| matches!(octet, b'/' | b'?')).unwrap_or(rest.len());
    // RFC 9110 §4.2.4: userinfo is an error; `Authority::parse` knows no `@`.
    if in_target(rest.get(..length).unwrap_or_default()).is_none() {
        return Err(Refusal::Target);
    }
    Ok(Form::Absolute { from, to: from + length, default_port })
}

/// An authority that a target may have: no name in DNS needs its octets encoded (RFC 3986 §3.2.2), and hyper, which
/// does not decode them, would refuse the whole message without a word to us.
fn in_target(bytes: &[u8]) -> Option<Authority<'_>> {
    Authority::parse(bytes).filter(|_| !bytes.contains(&b'%'))
}

impl<'a> Authority<'a> {
    /// `uri-host [ ":" port ]` with a host that is not empty (RFC 9110 §4.2.1, §7.2).
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let end = match bytes {
            [b'[', rest @ ..] => {
                let length = rest.iter().position(|octet| *octet == b']')?;
                let address = std::str::from_utf8(rest.get(..length)?).ok()?;
                address.parse::<Ipv6Addr>().ok()?;
                length + 2
            }
            _ => name(bytes)?,
        };
        let (host, rest) = bytes.split_at_checked(end)?;
        let port = match rest {
            // RFC 3986 §3.2.3: a port may be empty, which means the scheme's own.
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(port(digits)?),
            _ => return None,
        };
        (!host.is_empty()).then_some(Self { host, port })
    }

    /// Whether both name the same host and port (RFC 9110 §4.2.3).
    pub(super) fn matches(&self, other: &Self, default_port: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

/// How long the registered name or IPv4 address at the front is.
fn name(bytes: &[u8]) -> Option<usize> {
    let mut end = 0;
    loop {
        let rest = bytes.get(end..)?;
        end += NAME.run(rest);
        match bytes.get(end..)? {
            [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                end += 3;
            }
            [b'%', ..] => return None,
            _ => return Some(end),
        }
    }
}

fn port(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |port, digit| {
        let digit = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
        port.checked_mul(10)?.checked_add(digit)
    })
}

fn starts_with_ignoring_case(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_7_2_authority_is_a_host_and_perhaps_a_port() {
        for good in [
            "a",
            "a.example",
            "A.EXAMPLE.",
            "a.example:",
            "a.example:80",
            "127.0.0.1:8080",
            "[::1]",
            "[2001:db8::1]:443",
            "a_b~c",
            "%41.example",
            "a!$&'()*+,;=b",
        ] {
            assert!(Authority::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a b",
            "a@b",
            "user:pw@a",
            "a/b",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:-1",
            "[::1",
            "::1",
            "[::1]x",
            "[v1.a]",
            "[]",
            "%4",
            "%zz",
            "a\\b",
            "a?b",
            "a#b",
            "\u{e9}",
            "a:80 ",
        ] {
            assert_eq!(Authority::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn rfc9113_8_3_1_a_path_is_what_a_request_line_may_hold() {
        for (method, target, expected) in [
            ("GET", "/", true),
            ("GET", "/a/b?c={d}|", true),
            ("GET", "?x=1", true),
            ("OPTIONS", "*", true),
            ("GET", "*", false),
            ("GET", "", false),
            ("GET", "a", false),
            ("GET", "http://a/", false),
            ("GET", "/{}", false),
            ("GET", "/a\\b", false),
            ("GET", "/\u{e4}", false),
            ("GET", "/c1\u{9b}31m", false),
            ("GET", "/a b", false),
            ("GET", "/a#b", false),
        ] {
            assert_eq!(
                is_path(method.as_bytes(), target.as_bytes()),
                expected,
                "{method} {target}"
            );
        }
    }

    #[test]
    fn rfc9110_4_2_3_default_port_and_case_do_not_tell_authorities_apart() {
        let parse = |text: &'static str| Authority::parse(text.as_bytes()).unwrap();
        for (one, other, same) in [
            ("a.example", "A.Example:80", true),
            ("a.example:", "a.example", true),
            ("a.example", "a.example:81", false),
            ("a.example", "b.example", false),
            ("a.example", "a.example.", false),
        ] {
            assert_eq!(parse(one).matches(&parse(other), 80), same, "{one} {other}");
        }
    }
}
