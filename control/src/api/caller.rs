//! Who asks.
//!
//! In: a request. Out: [`Caller`], a proven token and where it comes from; else 401, 403 or 429.
//! Always: a token stands in `Authorization` alone, which no browser sends by itself, so a page can
//! do nothing in its reader's name. It does not know what the routes do.
//! Clause: RFC 6750 §2.1, §3; RFC 6585 §4.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse as _, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};
use nearcast_daemon::{admin::Peer, http_problem::Problem, request_id::RequestId};
use tokio::time::Instant;

use super::{Shared, refused};
use crate::token::{Action, Secret, TokenDocument, Unknown, whose};

/// A caller whose token is good.
#[derive(Debug)]
pub(super) struct Caller {
    /// The token's id.
    pub(super) id: String,
    /// What it may.
    pub(super) token: TokenDocument,
    /// Where it comes from.
    pub(super) from: Option<IpAddr>,
    /// The id of its request.
    pub(super) request: Option<String>,
}

impl Caller {
    /// Whether it may do `action` at all.
    pub(super) fn may(&self, action: Action) -> Result<(), Problem> {
        if self.token.may(action) {
            return Ok(());
        }
        let detail = format!("token \"{}\" is not for \"{}\"", self.id, action.as_str());
        Err(Problem::new(StatusCode::FORBIDDEN).detail(detail))
    }

    /// Whether it could have given a token like this one.
    pub(super) fn may_give(&self, document: &TokenDocument) -> bool {
        self.token.may_give(&document.actions, document.sites.as_deref())
    }

    /// Whether it may do everything, for all sites.
    pub(super) fn may_all(&self) -> bool {
        self.token.may_give(&Action::ALL, None)
    }

    /// Whether it speaks for `site`.
    pub(super) fn speaks_for(&self, site: &str) -> Result<(), Problem> {
        if self.token.covers(site) {
            return Ok(());
        }
        let detail = format!("token \"{}\" is not for site \"{site}\"", self.id);
        Err(Problem::new(StatusCode::FORBIDDEN).detail(detail))
    }
}

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        let Some(secret) = shown(parts) else {
            return Err(unauthorized(
                "this asks for a token: Authorization: Bearer TOKEN",
                "Bearer realm=\"nearcast\"",
            ));
        };
        let (id, token) =
            whose(&*shared.ledger, &secret).await.map_err(|unknown| match unknown {
                Unknown::Token => unauthorized(
                    &unknown.to_string(),
                    "Bearer realm=\"nearcast\", error=\"invalid_token\"",
                ),
                Unknown::Ledger(error) => refused(&error).into_response(),
            })?;
        shared.rates.take(&id, Instant::now()).map_err(|wait| too_many(wait.as_secs() + 1))?;
        let from = parts.extensions.get::<Peer>().map(|peer| peer.0.ip().to_canonical());
        let request = parts.extensions.get::<RequestId>().map(|id| id.0.to_string());
        Ok(Self { id, token, from, request })
    }
}

/// The token that a request shows: one field, of the scheme Bearer.
fn shown(parts: &Parts) -> Option<Secret> {
    let mut fields = parts.headers.get_all(AUTHORIZATION).iter();
    let field = fields.next().filter(|_| fields.next().is_none())?;
    let (scheme, secret) = field.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    Secret::parse(secret.trim_start_matches(' '))
}

fn unauthorized(detail: &str, challenge: &'static str) -> Response {
    let mut response = Problem::new(StatusCode::UNAUTHORIZED).detail(detail).into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

fn too_many(seconds: u64) -> Response {
    let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS)
        .detail("this token asks more often than requests_per_second of [control]")
        .into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}
