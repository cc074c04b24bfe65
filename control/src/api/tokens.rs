//! Tokens: made, listed, revoked.
//!
//! In: callers that may. Out: JSON; the secret of a new token once. Always: nobody gives what it
//! has not, and a hash is shown to nobody. It does not know who keeps the secret.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use nearcast_daemon::{http_path::Named, http_problem::Problem};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Shared, audit, bad, caller::Caller, reading::Given, refused};
use crate::token::{self, Action, Revoked, TokenDocument, TokenError};

/// The longest note.
const NOTE_CHARS_MAX: usize = 200;
/// Sites of one token, at most.
const SITES_MAX: usize = 1000;

/// A token that is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    note: String,
    actions: Vec<Action>,
    /// All sites when absent.
    #[serde(default)]
    sites: Option<Vec<String>>,
}

/// `POST /v1/tokens`
pub(super) async fn make(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Given(mut wanted): Given<Wanted>,
) -> Result<Response, Problem> {
    caller.may(Action::Tokens)?;
    check(&mut wanted, &shared)?;
    if !caller.token.may_give(&wanted.actions, wanted.sites.as_deref()) {
        let detail = format!("token \"{}\" cannot give more than it has", caller.id);
        return Err(Problem::new(StatusCode::FORBIDDEN).detail(detail));
    }
    let (made_by, made_at) = (caller.id.clone(), shared.at());
    let document = |hash| TokenDocument {
        note: wanted.note,
        hash,
        actions: wanted.actions,
        sites: wanted.sites,
        made_by,
        made_at,
        revoked: None,
    };
    let made = token::make(&*shared.ledger, document).await;
    let (secret, document) = made.map_err(|error| told(&error))?;
    let mut shown = shown(secret.id(), &document);
    audit::note(&shared, &caller, "token.make", shown.clone()).await;
    if let Some(members) = shown.as_object_mut() {
        members.insert("token".to_owned(), Value::from(secret.reveal()));
    }
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

fn check(wanted: &mut Wanted, shared: &Shared) -> Result<(), Problem> {
    if wanted.note.chars().count() > NOTE_CHARS_MAX || wanted.note.contains(char::is_control) {
        return Err(bad(format!("note: allowed: up to {NOTE_CHARS_MAX} characters, in one line")));
    }
    wanted.actions.sort_unstable();
    wanted.actions.dedup();
    if wanted.actions.is_empty() {
        return Err(bad("actions: allowed: at least one of purge, read, tokens"));
    }
    let Some(sites) = &mut wanted.sites else { return Ok(()) };
    sites.sort_unstable();
    sites.dedup();
    let known = shared.holdings.sites();
    match sites.iter().find(|site| !known.contains(site)) {
        Some(unknown) => Err(bad(format!("sites: there is no site {unknown:?}"))),
        None if sites.is_empty() || sites.len() > SITES_MAX => {
            Err(bad(format!("sites: allowed: 1 to {SITES_MAX} names; without it, all sites")))
        }
        None => Ok(()),
    }
}

/// `GET /v1/tokens`
pub(super) async fn list(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
) -> Result<Json<Value>, Problem> {
    caller.may(Action::Tokens)?;
    let tokens = token::list(&*shared.ledger).await.map_err(|error| told(&error))?;
    // What it could not have given is not its business.
    let is_own = |document: &TokenDocument| {
        caller.token.may_give(&document.actions, document.sites.as_deref())
    };
    let tokens = tokens.iter().filter(|(_, document)| is_own(document));
    let tokens: Vec<Value> = tokens.map(|(id, document)| shown(id, document)).collect();
    Ok(Json(json!({ "tokens": tokens })))
}

/// `DELETE /v1/tokens/{id}`
pub(super) async fn revoke(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
) -> Result<Json<Value>, Problem> {
    caller.may(Action::Tokens)?;
    let all = token::list(&*shared.ledger).await.map_err(|error| told(&error))?;
    let none = || told(&TokenError::NoSuchToken(id.clone()));
    let (_, document) = all.iter().find(|(known, _)| *known == id).ok_or_else(none)?;
    // Who may not give it may not take it either: else a token for one site could end all others.
    if !caller.token.may_give(&document.actions, document.sites.as_deref()) {
        let detail = format!("token \"{}\" may do less than \"{id}\"", caller.id);
        return Err(Problem::new(StatusCode::FORBIDDEN).detail(detail));
    }
    let revoked = Revoked { by: caller.id.clone(), at: shared.at() };
    let document = token::revoke(&*shared.ledger, &id, revoked).await;
    let document = document.map_err(|error| told(&error))?;
    audit::note(&shared, &caller, "token.revoke", json!({ "id": id })).await;
    Ok(Json(shown(&id, &document)))
}

/// What callers see of a token.
fn shown(id: &str, document: &TokenDocument) -> Value {
    json!({
        "id": id,
        "note": document.note,
        "actions": document.actions,
        "sites": document.sites,
        "made_by": document.made_by,
        "made_at": document.made_at,
        "revoked": document.revoked,
    })
}

fn told(error: &TokenError) -> Problem {
    let status = match error {
        TokenError::NoSuchToken(_) => StatusCode::NOT_FOUND,
        TokenError::TooMany => StatusCode::CONFLICT,
        TokenError::Ledger(error) => return refused(error),
        TokenError::Unreadable { .. } | TokenError::Random => return super::internal(error),
    };
    Problem::new(status).detail(error.to_string())
}
