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

use super::{
    Shared, audit, bad,
    caller::Caller,
    reading::{Asked, Given},
    refused,
};
use crate::token::{self, Action, Revocation, Revoked, TokenDocument, TokenError};

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
    // Whoever revoked its maker meanwhile could not see it yet.
    if !token::is_good(&*shared.ledger, &caller.id).await.map_err(|error| refused(&error))? {
        let revoked = Revoked { by: caller.id.clone(), at: shared.at(), keeps_made: false };
        let undone = token::revoke(&*shared.ledger, secret.id(), revoked).await;
        undone.map_err(|error| told(&error))?;
        let detail = "this token was revoked meanwhile, and what it was making with it";
        return Err(Problem::new(StatusCode::FORBIDDEN).detail(detail));
    }
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
    let listed = token::list(&*shared.ledger).await.map_err(|error| refused(&error))?;
    // What it could not have given is not its business.
    let own = listed.tokens.iter().filter(|(_, document)| caller.may_give(document));
    let mut tokens: Vec<Value> = own.map(|(id, document)| shown(id, document)).collect();
    if caller.may_all() {
        tokens.extend(listed.unreadable.iter().map(|(id, error)| {
            tracing::warn!(token = id, %error, "a token's document cannot be read; it opens nothing");
            json!({ "id": id, "unreadable": error.to_string() })
        }));
    }
    Ok(Json(json!({ "tokens": tokens })))
}

/// `?keep_made=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// The tokens that it has made stay good.
    #[serde(default)]
    keep_made: bool,
}

/// `DELETE /v1/tokens/{id}`
pub(super) async fn revoke(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    Asked(query): Asked<Query>,
) -> Result<Json<Value>, Problem> {
    caller.may(Action::Tokens)?;
    let all = token::list(&*shared.ledger).await.map_err(|error| refused(&error))?;
    let known = all.tokens.iter().find(|(known, _)| *known == id);
    // Who may not give it may not take it either: else a token for one site could end all others.
    // What it has made may no more than itself, so that follows.
    let may = match known {
        Some((_, document)) => caller.may_give(document),
        None if all.unreadable.iter().any(|(known, _)| *known == id) => caller.may_all(),
        None => return Err(told(&TokenError::NoSuchToken(id))),
    };
    if !may {
        let detail = format!("token \"{}\" may do less than \"{id}\"", caller.id);
        return Err(Problem::new(StatusCode::FORBIDDEN).detail(detail));
    }
    let revoked = Revoked { by: caller.id.clone(), at: shared.at(), keeps_made: query.keep_made };
    let revocation = token::revoke(&*shared.ledger, &id, revoked).await;
    let Revocation { document, revoked } = revocation.map_err(|error| told(&error))?;
    if !revoked.is_empty() {
        let on = json!({ "id": id, "keep_made": query.keep_made, "revoked": revoked });
        audit::note(&shared, &caller, "token.revoke", on).await;
    }
    let mut shown = shown(&id, &document);
    if let Some(members) = shown.as_object_mut() {
        let with_it: Vec<&String> = revoked.iter().filter(|other| **other != id).collect();
        members.insert("revoked_with_it".to_owned(), json!(with_it));
    }
    Ok(Json(shown))
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
        TokenError::Random => return super::internal(error),
    };
    Problem::new(status).detail(error.to_string())
}
