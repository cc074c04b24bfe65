//! What a request to an origin must be like, and what may be an answer to it.
//!
//! In: messages. Out: messages with one reading. It knows no server's state and no connection.
//!
//! RFC 9110 §8.6, §15.4.5.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as _;

use super::{FetchError, content::ClientContent, response::OriginBody, server::Server};

/// A 304 answers conditions only (RFC 9110 §15.4.5): to a request without any it is no response, and
/// a client that has made none could do nothing with it.
pub(super) fn expected(
    response: Response<OriginBody>,
    conditional: bool,
    server: &Server,
) -> Result<Response<OriginBody>, FetchError> {
    if response.status() != StatusCode::NOT_MODIFIED || conditional {
        return Ok(response);
    }
    Err(FetchError::Broken {
        server: server.address.authority.clone(),
        reason: "a 304 to a request without conditions".to_owned(),
    })
}

/// Keeps to ourselves what a bucket says of a request that it does not serve: it names the key, the
/// bucket and what was signed, and a redirect may carry the signature, which opens the whole bucket.
/// Of what is not there it says nothing that its URL does not.
pub(super) fn withhold(response: &mut Response<OriginBody>) {
    let status = response.status();
    let is_served =
        status.is_success() || matches!(status, StatusCode::NOT_MODIFIED | StatusCode::NOT_FOUND);
    if is_served {
        return;
    }
    tracing::debug!(%status, "a bucket refuses; what it says is withheld");
    let fields = response.headers_mut();
    for name in [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::CONTENT_ENCODING] {
        fields.remove(name);
    }
    let is_signed = |value: &HeaderValue| {
        let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        text.contains("x-amz-") || text.contains("x-goog-")
    };
    for name in [header::LOCATION, header::CONTENT_LOCATION, header::LINK] {
        if fields.get_all(&name).iter().any(is_signed) {
            fields.remove(name);
        }
    }
    response.body_mut().withhold();
}

/// Whether a request asks for a 304 or a 412.
pub(super) fn is_conditional(fields: &HeaderMap) -> bool {
    let conditions = [
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
    ];
    conditions.iter().any(|name| fields.contains_key(name))
}

/// Says the length of the content that is really sent, whatever the client's fields say: a length
/// without its content would have the origin read the next request as that content.
pub(super) fn frame(message: &mut Request<ClientContent>) {
    let exact = message.body().size_hint().exact();
    let empty = message.body().is_end_stream();
    let (method, fields) = (message.method().clone(), message.headers_mut());
    let announced = fields.remove(header::CONTENT_LENGTH).is_some();
    if empty && announced && method != Method::GET && method != Method::HEAD {
        // RFC 9110 §8.6: a method that anticipates content says that there is none.
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    } else if !empty && exact.is_none() {
        // hyper sends GET and HEAD without content unless they are framed by the caller.
        fields.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}
