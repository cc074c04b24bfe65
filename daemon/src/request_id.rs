//! The id of a request on the admin listener.
//!
//! In: a request. Out: the same with [`RequestId`] as an extension; its answer with the id as
//! `X-Request-Id`, and in the problem detail if it is one.
//! Always: who asks with a well-formed id gets it back, who does not is given one that nobody else
//! has; what is logged while the request is answered names it. It is a name and no secret: nothing is
//! decided by it. Does not know: routes.
//! Clause: docs/operate.md *Who did what*, RFC 9457 §3.2.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tracing::Instrument as _;

use crate::http_problem::Problem;

/// The field that carries it.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest that is taken from who asks.
const ID_BYTES_MAX: usize = 64;

/// The id of a request: an extension of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub Arc<str>);

/// Names the request, and its answer.
pub async fn named(mut request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(made);
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    // Of the severest level, so that no setting of the log leaves it out.
    let span = tracing::error_span!("request", id = &*id);
    let mut response = next.run(request).instrument(span).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let told = problem.extension("request_id", Value::from(&*id)).into_response();
        *response.body_mut() = told.into_body();
        // It was of the shorter one.
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

/// The one that the request brings: one field of letters, digits, `-`, `_` and `.`.
fn given(fields: &HeaderMap) -> Option<Arc<str>> {
    let mut given = fields.get_all(X_REQUEST_ID).iter();
    let text = given.next().filter(|_| given.next().is_none())?.to_str().ok()?;
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_fine);
    fits.then(|| text.into())
}

/// One that nobody else has: the standard library's keys are random, and the number is counted.
fn made() -> Arc<str> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let half = || {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(count);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(), half()).into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_id_is_taken_from_who_asks_only_if_it_can_steer_nothing() {
        let of = |values: &[&'static str]| {
            let mut fields = HeaderMap::new();
            for value in values {
                fields.append(X_REQUEST_ID, HeaderValue::from_static(value));
            }
            given(&fields).map(|id| id.to_string())
        };
        assert_eq!(of(&["a-B_9."]).as_deref(), Some("a-B_9."));
        let long = "x".repeat(ID_BYTES_MAX + 1);
        let long: &'static str = long.leak();
        for wrong in [&[][..], &[""], &["a b"], &["a\"b"], &["a", "a"], &[long]] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn no_two_that_are_made_are_the_same() {
        let all: HashSet<Arc<str>> = (0..1000).map(|_| made()).collect();
        assert_eq!(all.len(), 1000);
        assert!(all.iter().all(|id| id.len() == 32));
    }
}
