//! Names: hosts, labels, field names, path patterns, and URLs of origins and NATS servers.
//!
//! In: a string. Out: whether it is one; where a common slip is recognised, advice.
//! Always: what the edge's own law accepts is accepted here; the other way round is not promised,
//! `edge_core::site` has the last word.
//! Does not know: what the name is used for.
//! Clause: RFC 1035 §2.3.1 (labels), RFC 9110 §4.2 (URIs), §5.1 (field names), §5.6.2 (tokens).

use std::net::{IpAddr, Ipv6Addr};

use crate::problem::shown_text;

/// A DNS label in lower case.
pub(super) fn label(text: &str) -> Result<(), Option<String>> {
    if is_label(text) {
        return Ok(());
    }
    let folded = text.to_ascii_lowercase().replace(['_', '.', ' '], "-");
    Err(is_label(&folded).then(|| format!("did you mean \"{folded}\"?")))
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether `text` may name a node or a PoP: it stands in Via, in metrics and in file names.
pub(super) fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=64).contains(&text.len())
        && text.bytes().all(inner)
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

/// Whether `text` is a token (RFC 9110 §5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(inner)
}

/// A host: a name, an IPv4 address, or an IPv6 address in brackets.
pub(super) fn host(text: &str) -> Result<(), Option<String>> {
    if is_host(text) {
        return Ok(());
    }
    if !text.is_ascii() {
        return Err(Some("write it in its ASCII form (xn--…)".to_owned()));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let name = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let advice = format!("did you mean \"{name}\", without {scheme}://?");
        return Err(Some(advice).filter(|_| is_host(name)));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(Some(format!("did you mean \"[{text}]\"?")));
    }
    match text.rsplit_once(':') {
        Some((name, port)) if is_host(name) && port.parse::<u16>().is_ok() => {
            Err(Some(format!("did you mean \"{name}\"? Hosts match on every port")))
        }
        _ => Err(None),
    }
}

/// A host, `*.` and a name, or `*`.
pub(super) fn host_pattern(text: &str) -> Result<(), Option<String>> {
    if text == "*" {
        return Ok(());
    }
    let Some(suffix) = text.strip_prefix("*.") else {
        if let Some(name) = text.strip_prefix('.').filter(|name| is_host(name)) {
            return Err(Some(format!("did you mean \"*.{name}\"?")));
        }
        return host(text);
    };
    if is_host(suffix) && suffix.parse::<IpAddr>().is_err() && !suffix.starts_with('[') {
        return Ok(());
    }
    if suffix.contains('*') {
        return Err(Some("one '*' stands for one or more labels".to_owned()));
    }
    Err(None)
}

fn is_host(text: &str) -> bool {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=253).contains(&name.len())
        && name.split('.').all(|label| (1..=63).contains(&label.len()) && label.bytes().all(inner))
}

/// A path from its `/`, or `*`; `*` stands for any run of characters.
pub(super) fn path_pattern(text: &str) -> Result<(), Option<String>> {
    if text.contains(['?', '#']) {
        let advice = "a rule sees the path alone; for the query there is `query`";
        return Err(Some(advice.to_owned()));
    }
    if text.bytes().any(|b| !b.is_ascii_graphic()) {
        return Err(Some("write spaces and letters beyond ASCII as %20 and the like".to_owned()));
    }
    if text.starts_with(['/', '*']) {
        return Ok(());
    }
    if text.is_empty() || text.contains(':') {
        return Err(None);
    }
    Err(Some(format!("did you mean {}?", shown_text(&format!("/{text}")))))
}

/// A path from its `/`, with or without a query.
pub(super) fn uri_path(text: &str) -> Result<(), Option<String>> {
    let is_visible = text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if is_visible && text.starts_with('/') {
        return Ok(());
    }
    let slashed = is_visible && !text.is_empty() && !text.contains(':');
    Err(slashed.then(|| format!("did you mean {}?", shown_text(&format!("/{text}")))))
}

/// `@`, or labels without a dot at the end, of which the first may be `*`.
pub(super) fn relative_name(text: &str) -> Result<(), Option<String>> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(inner);
    let labels = text.strip_prefix("*.").unwrap_or(text);
    if matches!(text, "@" | "*") || (labels.len() <= 250 && labels.split('.').all(is_label)) {
        return Ok(());
    }
    let advice = "leave out the name of the zone: a route answers in each";
    Err(text.ends_with('.').then(|| advice.to_owned()))
}

/// `http://host[:port]` or `https://host[:port]`, or `http+srv://name` or `https+srv://name`; a lone
/// `/` after it says nothing more.
pub(super) fn origin_url(text: &str) -> Result<(), Option<String>> {
    let Some((scheme, rest)) = text.split_once("://") else {
        let advice = format!("did you mean \"https://{text}\"?");
        return Err(Some(advice).filter(|_| is_authority(text)));
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err(Some("credentials do not belong into a URL".to_owned()));
    }
    if !is_authority(authority) {
        return Err(None);
    }
    if let Some(plain) =
        scheme.strip_suffix("+srv").filter(|plain| matches!(*plain, "http" | "https"))
    {
        service(plain, authority)?;
    } else if !matches!(scheme, "http" | "https") {
        let scheme = scheme.to_ascii_lowercase();
        let near = strsim::damerau_levenshtein(&scheme, "https") <= 2;
        let scheme = if scheme.ends_with('s') { "https" } else { "http" };
        return Err(Some(format!("did you mean \"{scheme}://{authority}\"?")).filter(|_| near));
    }
    if !matches!(path, "" | "/") {
        let path = shown_text(path);
        return Err(Some(format!("leave out {path}: the client's path is forwarded as it is")));
    }
    Ok(())
}

/// `nats://host[:port]` or `tls://host[:port]`.
pub(super) fn nats_url(text: &str) -> Result<(), Option<String>> {
    let Some((scheme, authority)) = text.split_once("://") else {
        let advice = format!("did you mean \"nats://{text}\"?");
        return Err(Some(advice).filter(|_| is_authority(text)));
    };
    if authority.contains('@') {
        return Err(Some(
            "a secret does not belong into a URL; name its file as `credentials`".to_owned(),
        ));
    }
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    match (scheme, is_authority(authority)) {
        ("nats" | "tls", true) => Ok(()),
        ("ws" | "wss", true) => {
            Err(Some("connections over WebSocket are not in this version".to_owned()))
        }
        _ => Err(None),
    }
}

/// The name of a service, or of the domain that has it.
fn service(scheme: &str, name: &str) -> Result<(), Option<String>> {
    let is_address = name.rsplit('.').next().is_some_and(|last| last.parse::<u32>().is_ok());
    if name.contains([':', '[']) || is_address {
        let advice = "the port stands in the SRV record; for a host and a port write";
        return Err(Some(format!("{advice} \"{scheme}://{name}\"")));
    }
    let is_of_tcp = name.split('.').nth(1) == Some("_tcp") && name.split('.').nth(2).is_some();
    if name.starts_with('_') && !is_of_tcp {
        return Err(Some("a service is written \"_service._tcp.name\"".to_owned()));
    }
    Ok(())
}

/// A host with or without a port.
pub(super) fn authority(text: &str) -> Result<(), Option<String>> {
    if is_authority(text) { Ok(()) } else { host(text) }
}

fn is_authority(text: &str) -> bool {
    let bracket = text.rfind(']').unwrap_or(0);
    match text.rfind(':').filter(|colon| *colon > bracket) {
        Some(colon) => {
            let (host, port) = text.split_at_checked(colon).unwrap_or((text, ""));
            let port = port.trim_start_matches(':').parse::<u16>();
            is_host(host) && port.is_ok_and(|port| port > 0)
        }
        None => is_host(text),
    }
}
