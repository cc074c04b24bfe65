//! A request as it leaves for the origin: its fields, its target, and where interim responses go.

use std::sync::Arc;

use edge_core::forward::{self, Peer};
use http::{
    HeaderMap, HeaderValue, StatusCode, Uri, header,
    uri::{Authority, PathAndQuery},
};

use super::{Ask, Hall, Way};
use crate::fetch::pool::OnInterim;

/// What goes to the origin of the client's fields, and our own.
pub(super) fn forwarded_fields(hall: &Hall, ask: &Ask) -> HeaderMap {
    let address = ask.client.ip().to_canonical();
    let trusted = ask.snapshot.edge.trusts(address);
    let (version, scheme) = (ask.head.version, ask.scheme);
    let keyed = &ask.policy().key_fields;
    let peer = Peer { address, trusted, version, scheme, host: &ask.host, keyed };
    let mut fields = forward::request_fields(&ask.head.headers, &peer, &hall.node, &hall.cdn_id);
    if let Some(left) = ask.max_forwards {
        fields.insert(header::MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
    }
    fields
}

/// The authority as the client wrote it, port included: what an origin says of its own URIs is
/// compared with it.
pub(super) fn authority(ask: &Ask) -> &str {
    let host = ask.head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = ask.head.uri.authority().map(Authority::as_str).or(host);
    authority.unwrap_or(&ask.host)
}

/// The effective target URI, after the rule's query plan.
pub(super) fn target_uri(ask: &Ask) -> String {
    format!("{}://{}{}", ask.scheme.as_str(), authority(ask), ask.target)
}

/// An absolute-form target without a path, its query set behind the path that it means
/// (RFC 9110 §4.2.3): what is keyed is what is forwarded.
pub(super) fn with_path(uri: &Uri) -> Option<Uri> {
    let query = uri.path_and_query().map(PathAndQuery::as_str).filter(|of| of.starts_with('?'))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("/{query}")).ok()?);
    Uri::from_parts(parts).ok()
}

/// Passes interim responses on to the leader's client.
pub(super) fn on_interim(ask: &Ask) -> Option<OnInterim> {
    let interim = ask.interim.clone()?;
    Some(Arc::new(move |status, fields: &HeaderMap| {
        // An interim response is advice: one that comes too late is dropped.
        // One that gives leave is our own word (RFC 9110 §10.1.1).
        if matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
            return;
        }
        let fields = forward::interim_fields(fields);
        match &interim {
            Way::Http1(interim) => {
                if let Err(error) = interim.send(status, &fields) {
                    tracing::debug!(%error, "an interim response was not passed on");
                }
            }
            Way::Http2(interim) => interim.send(status, fields),
        }
    }))
}
