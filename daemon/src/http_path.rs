//! What a path names.
//!
//! In: a request whose route has one parameter. Out: its text, decoded, or a problem detail (400).
//! Always: octets that are no UTF-8 name nothing. Does not know: what is named.
//! Clause: RFC 3986 §2.1, RFC 9457.

use axum::extract::{FromRequestParts, Path};
use http::StatusCode;
use http::request::Parts;

use crate::http_problem::Problem;

/// The one parameter of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named(pub String);

impl<S: Sync + Send> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(rejection) => {
                tracing::debug!(%rejection, "a path that names nothing");
                Err(Problem::new(StatusCode::BAD_REQUEST)
                    .detail("what the path names is no UTF-8 once its percent-encoding is undone"))
            }
        }
    }
}
