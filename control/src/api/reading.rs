//! What requests say: JSON content and queries, each with our problem details when it is wrong.
//!
//! In: a request. Out: a value, or a problem. Always: unknown members and parameters are refused by
//! the types that are read. It knows no route.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query, Request},
};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE, request::Parts};
use nearcast_daemon::http_problem::Problem;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::bad;
use crate::site::Content;

/// The field under whose value an order is carried out once.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The longest such value.
const IDEMPOTENCY_KEY_MAX: usize = 128;

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

/// What is sent of a site.
pub(super) enum SiteContent {
    Toml(String),
    Json(Value),
}

impl SiteContent {
    pub(super) fn as_ref(&self) -> Content<'_> {
        match self {
            Self::Toml(text) => Content::Toml(text),
            Self::Json(value) => Content::Json(value),
        }
    }
}

/// Reads a site's content: TOML or JSON, as its Content-Type says.
pub(super) async fn site_content(request: Request) -> Result<SiteContent, Problem> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/toml") {
        if !kind.eq_ignore_ascii_case("application/json") {
            let detail = "Content-Type: allowed: application/toml, application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).detail(detail));
        }
        let Given(value) = Given::from_request(request, &()).await?;
        return Ok(SiteContent::Json(value));
    }
    let bytes = Bytes::from_request(request, &())
        .await
        .map_err(|rejection| Problem::new(rejection.status()).detail(rejection.body_text()))?;
    let text = String::from_utf8(bytes.into());
    text.map(SiteContent::Toml).map_err(|error| bad(format!("not UTF-8: {}", error.utf8_error())))
}

/// How long is waited, if that is asked; as long as can be where that is less.
pub(super) fn wait(text: Option<&str>, max: Duration) -> Result<Option<Duration>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let none = |_| bad(format!("wait: {text:?} is no duration; allowed: one such as \"20s\""));
    let wait = humantime::parse_duration(text).map_err(none)?;
    Ok(Some(wait.min(max)))
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

/// The name under which an order is to be carried out once, if it has one.
pub(super) fn idempotency_key(fields: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut given = fields.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = given.next() else { return Ok(None) };
    let text = key.to_str().ok().filter(|text| (1..=IDEMPOTENCY_KEY_MAX).contains(&text.len()));
    match (text, given.next()) {
        (Some(text), None) => Ok(Some(text)),
        _ => Err(bad(format!(
            "Idempotency-Key: allowed: once, 1 to {IDEMPOTENCY_KEY_MAX} characters of ASCII"
        ))),
    }
}
