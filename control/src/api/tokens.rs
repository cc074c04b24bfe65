//! Tokens: made, listed, revoked.
//!
//! In: callers that may. Out: JSON; the secret of a new token once. Always: nobody gives what it
//! has not, and a hash is shown to nobody; one revocation at a time is looked at and done, so that
//! no two leave nobody who can make tokens. It does not know who keeps the secret.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode};
use nearcast_daemon::{http_path::Named, http_problem::Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Shared,
    audit::Order,
    bad,
    caller::Caller,
    internal,
    reading::{Asked, Given, idempotency_key},
    refused,
};
use crate::token::{
    self, Action, NOTE_CHARS_MAX, Revocation, Revoked, TokenDocument, TokenError, fingerprint,
    random_name,
};

/// Sites of one token, at most.
const SITES_MAX: usize = 1000;

/// A token that is asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TokenWanted")]
pub(super) struct Wanted {
    /// Whose it is, for people: up to 200 characters in one line.
    #[serde(default)]
    #[schemars(length(max = 200))]
    note: String,
    /// What it may do: at least one.
    #[schemars(length(min = 1))]
    actions: Vec<Action>,
    /// The sites that it is for, up to 1000; all of them, those to come included, when absent.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    sites: Option<Vec<String>>,
}

/// What callers see of a token.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Token {
    /// Its id, which stands in its secret.
    id: String,
    /// Whose it is, for people.
    note: String,
    /// What it may do.
    actions: Vec<Action>,
    /// The sites that it is for; all of them where null.
    sites: Option<Vec<String>>,
    /// The id of the token that made it.
    made_by: String,
    /// When, for people.
    made_at: String,
    /// Whether it is revoked.
    revoked: Option<Revoked>,
}

/// A token that was just made.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Made {
    #[serde(flatten)]
    shown: Token,
    /// Its secret, which is told this once.
    token: String,
}

/// A token that is revoked.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Ended {
    #[serde(flatten)]
    shown: Token,
    /// The ids of those that were revoked with it, since they were made by its leave.
    revoked_with_it: Vec<String>,
}

/// Tokens.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Tokens {
    /// Those that the caller could have made.
    tokens: Vec<Entry>,
}

/// A token in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "TokenEntry")]
enum Entry {
    /// One that can be read.
    Known(Token),
    /// One that cannot, and so opens nothing here.
    Unreadable {
        /// Its id.
        id: String,
        /// Why its document cannot be read.
        unreadable: String,
    },
}

/// `POST /v1/tokens`
pub(super) async fn make(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    fields: HeaderMap,
    Given(mut wanted): Given<Wanted>,
) -> Result<Response, Problem> {
    caller.may(Action::Tokens)?;
    let once = idempotency_key(&fields)?;
    let once = once.map(|key| format!("token.{}.{}", caller.id, fingerprint(key)));
    check(&mut wanted, &shared).await?;
    if !caller.token.may_give(&wanted.actions, wanted.sites.as_deref()) {
        let detail = format!("token \"{}\" cannot give more than it has", caller.id);
        return Err(Problem::new(StatusCode::FORBIDDEN).detail(detail));
    }
    let (made_by, made_at) = (caller.id.clone(), shared.at());
    let document = |hash| TokenDocument {
        note: wanted.note.clone(),
        hash,
        actions: wanted.actions.clone(),
        sites: wanted.sites.clone(),
        made_by: made_by.clone(),
        put_in_by: Vec::new(),
        made_at: made_at.clone(),
        revoked: None,
    };
    // Its id follows from a name, so that the line says it that comes first.
    let name = once.clone().or_else(random_name);
    let name = name.ok_or_else(|| told(&TokenError::Random))?;
    let on = json!({
        "id": token::id_of(&name), "note": wanted.note, "actions": wanted.actions,
        "sites": wanted.sites,
    });
    let order = Order::new(&shared, &caller, ("token.make", on), once.as_deref());
    let made = token::make_once(&order, &name, document).await;
    let (secret, document) = order.tried(made.map_err(|error| told(&error))).await?;
    // Before anything else can go wrong: it is there.
    order.done(Value::Null).await;
    let shown = shown(secret.id(), document);
    // Whoever revoked its maker meanwhile could not see it yet.
    if !token::is_good(&*shared.ledger, &caller.id).await.map_err(|error| refused(&error))? {
        let revoked = Revoked { by: caller.id.clone(), at: shared.at(), keeps_made: false };
        let of = vec![secret.id().to_owned()];
        revoke_by(&shared, &caller, (secret.id(), revoked, of), None).await?;
        return Err(meanwhile());
    }
    let made = Made { shown, token: secret.reveal().to_owned() };
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

async fn check(wanted: &mut Wanted, shared: &Shared) -> Result<(), Problem> {
    if wanted.note.chars().count() > NOTE_CHARS_MAX || wanted.note.contains(char::is_control) {
        return Err(bad(format!("note: allowed: up to {NOTE_CHARS_MAX} characters, in one line")));
    }
    wanted.actions.sort_unstable();
    wanted.actions.dedup();
    if wanted.actions.is_empty() {
        return Err(bad(
            "actions: allowed: at least one of ledger, nodes, purge, read, sites, tokens",
        ));
    }
    let Some(sites) = &mut wanted.sites else { return Ok(()) };
    sites.sort_unstable();
    sites.dedup();
    let known = shared.sites().await;
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
) -> Result<Json<Tokens>, Problem> {
    caller.may(Action::Tokens)?;
    let listed = token::list(&*shared.ledger).await.map_err(|error| refused(&error))?;
    // What it could not have given is not its business.
    let own = listed.tokens.into_iter().filter(|(_, document)| caller.may_give(document));
    let mut tokens: Vec<Entry> =
        own.map(|(id, document)| Entry::Known(shown(&id, document))).collect();
    if caller.may_all() {
        tokens.extend(listed.unreadable.into_iter().map(|(id, error)| {
            tracing::warn!(token = id, %error, "a token's document cannot be read; it opens nothing");
            Entry::Unreadable { id, unreadable: error.to_string() }
        }));
    }
    Ok(Json(Tokens { tokens }))
}

/// `?keep_made=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// Whether the tokens that it has made stay good.
    #[serde(default)]
    keep_made: bool,
}

/// `DELETE /v1/tokens/{id}`
pub(super) async fn revoke(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    Asked(query): Asked<Query>,
    fields: HeaderMap,
) -> Result<Json<Ended>, Problem> {
    caller.may(Action::Tokens)?;
    // Who revokes it twice changes nothing, under whatever key; only what is missing in the log is
    // found by that.
    let key = idempotency_key(&fields)?;
    // It ends with the process.
    let turn = shared.revoking.acquire().await.map_err(|error| internal(&error))?;
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
    let is_caller = |(known, document): &(String, TokenDocument)| {
        *known == caller.id && document.revoked.is_none()
    };
    if !all.tokens.iter().any(is_caller) {
        return Err(meanwhile());
    }
    let keep_made = query.keep_made;
    let revoked = Revoked { by: caller.id.clone(), at: shared.at(), keeps_made: keep_made };
    if !token::leaves_a_maker(&all.tokens, &id, &revoked) {
        let detail = "no token would be left with which any other can be made, and none could ever \
                      be made again; make one that may do everything for all sites first, or keep \
                      those that this one has made";
        return Err(Problem::new(StatusCode::CONFLICT).detail(detail));
    }
    let of = token::with_it(&all.tokens, &id, &revoked);
    let revocation = revoke_by(&shared, &caller, (&id, revoked, of), key).await?;
    drop(turn);
    let Revocation { document, revoked, broken_off } = revocation;
    if let Some(error) = broken_off {
        return Err(told(&error));
    }
    let revoked_with_it = revoked.into_iter().filter(|other| *other != id).collect();
    Ok(Json(Ended { shown: shown(&id, document), revoked_with_it }))
}

/// Revokes it, of which `of` were good, and notes what is good no longer, also where that was broken off.
async fn revoke_by(
    shared: &Shared,
    caller: &Caller,
    (id, revoked, of): (&str, Revoked, Vec<String>),
    key: Option<&str>,
) -> Result<Revocation, Problem> {
    let on = json!({ "id": id, "keep_made": revoked.keeps_made });
    let order = Order::new(shared, caller, ("token.revoke", on), key);
    // What comes of it may never be said, or only once nothing is left to revoke.
    let order = order.saying(json!({ "revoked": of }));
    let revocation = token::revoke(&order, id, revoked).await.map_err(|error| told(&error));
    let revocation = order.tried(revocation).await?;
    let whole = revocation.broken_off.is_none();
    let on = match order.is_begun() {
        true => json!({ "revoked": revocation.revoked, "whole": whole }),
        false => json!({ "whole": whole }),
    };
    order.done(on).await;
    Ok(revocation)
}

fn meanwhile() -> Problem {
    let detail = "this token was revoked meanwhile, and what it was making with it";
    Problem::new(StatusCode::FORBIDDEN).detail(detail)
}

fn shown(id: &str, document: TokenDocument) -> Token {
    let TokenDocument { note, actions, sites, made_by, made_at, revoked, .. } = document;
    Token { id: id.to_owned(), note, actions, sites, made_by, made_at, revoked }
}

fn told(error: &TokenError) -> Problem {
    let status = match error {
        TokenError::NoSuchToken(_) => StatusCode::NOT_FOUND,
        TokenError::TooMany => StatusCode::CONFLICT,
        TokenError::AnotherOrder => StatusCode::UNPROCESSABLE_ENTITY,
        TokenError::Ledger(error) => return refused(error),
        TokenError::Random => return internal(error),
    };
    Problem::new(status).detail(error.to_string())
}
