//! What requests say: JSON content and queries, each with our problem details when it is wrong.
//!
//! In: a request. Out: a value, or a problem. Always: unknown members and parameters are refused by
//! the types that are read. It knows no route.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Query, Request},
};
use http::request::Parts;
use nearcast_daemon::http_problem::Problem;
use serde::de::DeserializeOwned;

use super::bad;

/// JSON content.
pub(super) struct Given<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync + Send> FromRequest<S> for Given<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::from_request(request, state).await {
            Ok(Json(content)) => Ok(Self(content)),
            Err(rejection) => Err(Problem::new(rejection.status()).detail(rejection.body_text())),
        }
    }
}

/// The query.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync + Send> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(bad(rejection.body_text())),
        }
    }
}
