//! URI references of the same origin, resolved (RFC 3986 §5.2).
//!
//! In: a Location or Content-Location value and the target URI. Out: path and query, when the
//! reference names something on the target's own origin.

use crate::key::Scheme;

/// The path and query that `reference` names, if its origin is the base's.
pub(crate) fn resolve(
    reference: &str,
    scheme: Scheme,
    authority: &str,
    base: &str,
) -> Option<String> {
    let reference = before(reference.trim_matches([' ', '\t']), '#');
    let rest = match split_scheme(reference) {
        Some((name, rest)) if name.eq_ignore_ascii_case(scheme.as_str()) => {
            // Without an authority it names nothing of ours.
            rest.starts_with("//").then_some(rest)?
        }
        Some(_) => return None,
        None => reference,
    };
    if let Some(rest) = rest.strip_prefix("//") {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (other, rest) = rest.split_at_checked(end)?;
        let same = !other.is_empty() && origin(other, scheme) == origin(authority, scheme);
        return same.then(|| normal(rest));
    }
    let base_path = before(base, '?');
    Some(match rest.as_bytes().first() {
        None => normal(base),
        Some(b'?') => normal(&format!("{base_path}{rest}")),
        Some(b'/') => normal(rest),
        Some(_) => {
            let directory = base_path.rsplit_once('/').map_or("", |(directory, _)| directory);
            normal(&format!("{directory}/{rest}"))
        }
    })
}

fn before(text: &str, mark: char) -> &str {
    text.split_once(mark).map_or(text, |(before, _)| before)
}

/// The scheme, if there is one, and what follows its colon (RFC 3986 §3.1).
fn split_scheme(reference: &str) -> Option<(&str, &str)> {
    let (name, rest) = reference.split_once(':')?;
    let is_scheme = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    is_scheme.then_some((name, rest))
}

/// Host and port in a form that can be compared (RFC 9110 §4.2.3): no userinfo, lower case, no
/// trailing dot, the scheme's port where none is given.
fn origin(authority: &str, scheme: Scheme) -> (String, String) {
    let host_port = authority.rsplit_once('@').map_or(authority, |(_, host_port)| host_port);
    let (host, port) = match host_port.rsplit_once(':') {
        // The last colon of an IPv6 address stands inside its brackets.
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (host_port, ""),
    };
    let port = match (port, scheme) {
        ("", Scheme::Http) => "80",
        ("", Scheme::Https) => "443",
        (port, _) => port,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    (host.to_ascii_lowercase(), port.to_owned())
}

/// A path without dot segments (RFC 3986 §5.2.4), with its query.
fn normal(path_and_query: &str) -> String {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_in_slash = false;
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        ends_in_slash = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut result = format!("/{}", segments.join("/"));
    if ends_in_slash && !segments.is_empty() {
        result.push('/');
    }
    if let Some(query) = query {
        result.push('?');
        result.push_str(query);
    }
    result
}
