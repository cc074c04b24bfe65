//! What the routes of the ledger are, as an OpenAPI document: made from the types that they read and
//! write.
//!
//! In: nothing. Out: the document. Always: each schema is that of a type which a route uses; a test
//! asks the routes for every operation in it and for every method that is not. It does not know the
//! routes of other parts: who mounts them joins what they say of themselves.
//! Clause: OpenAPI 3.1.0, JSON Schema 2020-12; docs/decisions/0009-openapi-from-schemas.md.

mod copies;
mod drains;
mod sites;

use std::sync::Arc;

use axum::{Extension, Json};
use nearcast_daemon::{
    http_problem::Problem,
    schemas::{generator, schema},
};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{audit, explain, nodes, purges, tokens};

/// Where the document is answered.
pub const PATH: &str = "/openapi.json";

/// The field of orders that are carried out once.
const ONCE: &[(&str, &str)] =
    &[("Idempotency-Key", "A name under which the order is carried out once.")];

/// What an operation asks for.
struct Operation {
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    /// The action that its token must be for; any token may where there is none.
    action: Option<&'static str>,
    /// Fields of the request beside those of HTTP.
    fields: &'static [(&'static str, &'static str)],
    query: Option<Value>,
    content: Option<Value>,
    /// Another form of the content, which is a text.
    text: Option<&'static str>,
    /// Each status that says it was done; one without a schema has no content.
    done: Vec<(u16, &'static str, Value)>,
    /// Each status that refuses it, beside those of every operation.
    refused: &'static [u16],
}

/// What other parts on the listener say of their routes, each in a document of its own: an extension
/// of requests.
#[derive(Clone, Debug)]
pub struct Others(pub Arc<[Value]>);

/// `GET /openapi.json`
pub(super) async fn page(others: Option<Extension<Others>>) -> Json<Value> {
    let others = others.iter().flat_map(|Extension(Others(others))| others.iter());
    Json(others.fold(document(), joined))
}

/// A document with the paths and schemas of another one as well.
#[must_use]
pub fn joined(mut document: Value, other: &Value) -> Value {
    for place in ["/paths", "/components/schemas"] {
        let theirs = other.pointer(place).and_then(Value::as_object).cloned();
        if let Some(own) = document.pointer_mut(place).and_then(Value::as_object_mut) {
            own.extend(theirs.into_iter().flatten());
            own.sort_keys();
        }
    }
    document
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let (mut read, mut told) = (generator(false), generator(true));
    let mut operations = operations(&mut read, &mut told);
    operations.extend(sites::operations(&mut read, &mut told));
    operations.extend(copies::operations(&mut read, &mut told));
    operations.extend(drains::operations(&mut read, &mut told));
    let mut paths = Map::new();
    for operation in operations {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.to_owned(), described(operation));
        }
    }
    // What is both read and told may lack more when it is read.
    let mut schemas = told.take_definitions(true);
    schemas.extend(read.take_definitions(true));
    schemas.insert("Problem".to_owned(), Problem::schema());
    schemas.sort_keys();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Nearcast: the admin API of the ledger",
            "description": "What operators ask of a node that has [control]: purges, sites, tokens, \
                            nodes, who did what, and what is stored.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas,
        },
    })
}

/// The schema of a query, whose members become parameters.
fn members<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    T::json_schema(generator).to_value()
}

/// One that takes and answers nothing yet.
fn plain(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    action: Option<&'static str>,
) -> Operation {
    Operation {
        method,
        path,
        id,
        summary,
        action,
        fields: &[],
        query: None,
        content: None,
        text: None,
        done: Vec::new(),
        refused: &[],
    }
}

fn operations(read: &mut SchemaGenerator, told: &mut SchemaGenerator) -> Vec<Operation> {
    let purged = schema::<purges::Purged>(told);
    let done = json!({ "anyOf": [purged, schema::<purges::DryRun>(told)] });
    vec![
        Operation {
            fields: &[("Idempotency-Key", "A name under which the purge is ordered once.")],
            query: Some(members::<purges::Query>(read)),
            content: Some(schema::<purges::Wanted>(read)),
            done: vec![
                (200, "Every node has applied it, or it was a dry run.", done),
                (202, "It is in the log.", purged.clone()),
            ],
            refused: &[404, 409, 413, 415, 422],
            ..plain("post", "/v1/purges", "orderPurge", "Orders a purge", Some("purge"))
        },
        Operation {
            done: vec![(200, "How far it has come.", purged)],
            refused: &[404],
            ..plain("get", "/v1/purges/{id}", "seePurge", "How far a purge has come", None)
        },
        Operation {
            done: vec![(
                200,
                "Those that the caller could have made.",
                schema::<tokens::Tokens>(told),
            )],
            ..plain("get", "/v1/tokens", "listTokens", "The tokens", Some("tokens"))
        },
        Operation {
            fields: ONCE,
            content: Some(schema::<tokens::Wanted>(read)),
            done: vec![(201, "It is made.", schema::<tokens::Made>(told))],
            refused: &[409, 413, 415, 422],
            ..plain("post", "/v1/tokens", "makeToken", "Makes a token", Some("tokens"))
        },
        Operation {
            fields: ONCE,
            query: Some(members::<tokens::Query>(read)),
            done: vec![(200, "It is revoked.", schema::<tokens::Ended>(told))],
            refused: &[404, 409],
            ..plain("delete", "/v1/tokens/{id}", "revokeToken", "Revokes a token", Some("tokens"))
        },
        Operation {
            done: vec![(200, "The nodes.", schema::<nodes::Nodes>(told))],
            ..plain("get", "/v1/nodes", "listNodes", "The nodes, and how far each is", Some("read"))
        },
        Operation {
            fields: ONCE,
            query: Some(members::<nodes::Query>(read)),
            done: vec![(200, "It is no node any more.", schema::<nodes::Removed>(told))],
            refused: &[404, 409, 422],
            ..plain("delete", "/v1/nodes/{name}", "removeNode", "Removes a node", Some("nodes"))
        },
        Operation {
            query: Some(members::<audit::Query>(read)),
            done: vec![(200, "The newest entries.", schema::<audit::Entries>(told))],
            ..plain("get", "/v1/audit", "listAudit", "Who did what", Some("tokens"))
        },
        Operation {
            query: Some(members::<explain::Query>(read)),
            done: vec![(200, "What each node has.", schema::<explain::Explanation>(told))],
            refused: &[404],
            ..plain("get", "/v1/explain", "explain", "What is stored of a URL", Some("read"))
        },
    ]
}

fn described(operation: Operation) -> Value {
    let mut parameters = Vec::new();
    let inside = operation.path.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    if let Some((name, _)) = inside {
        let schema = json!({ "type": "string" });
        parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
    }
    for (name, description) in operation.fields {
        // A list may be empty (RFC 9110 §5.6.1.2), a name may not.
        let shortest = i32::from(!name.starts_with("If-"));
        let schema = json!({ "type": "string", "minLength": shortest, "maxLength": 128 });
        parameters.push(json!({
            "name": name, "in": "header", "description": description, "schema": schema,
        }));
    }
    parameters.extend(operation.query.iter().flat_map(in_query));
    let mut responses = Map::new();
    for (status, description, schema) in operation.done {
        let mut told = json!({ "description": description });
        if let Some(members) = told.as_object_mut().filter(|_| !schema.is_null()) {
            let content = json!({ "application/json": { "schema": schema } });
            members.insert("content".to_owned(), content);
        }
        responses.insert(status.to_string(), told);
    }
    // Those of every operation: what is asked is wrong, nobody's, not theirs, too often, or cannot be
    // done now.
    let always = [400, 401, 403, 429, 500, 503];
    let mut refused: Vec<u16> = always.iter().chain(operation.refused).copied().collect();
    refused.sort_unstable();
    for status in refused {
        responses.insert(status.to_string(), refusal(status));
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": responses,
    });
    if let Some(members) = described.as_object_mut() {
        if let Some(action) = operation.action {
            let description = format!("Asks for a token that is for \"{action}\".");
            members.insert("description".to_owned(), json!(description));
        }
        if !parameters.is_empty() {
            members.insert("parameters".to_owned(), json!(parameters));
        }
        if let Some(schema) = operation.content {
            let mut content = json!({ "application/json": { "schema": schema } });
            if let (Some(form), Some(forms)) = (operation.text, content.as_object_mut()) {
                forms.insert(form.to_owned(), json!({ "schema": { "type": "string" } }));
            }
            let body = json!({ "required": true, "content": content });
            members.insert("requestBody".to_owned(), body);
        }
    }
    described
}

/// The members of a query's type as parameters.
fn in_query(schema: &Value) -> Vec<Value> {
    let members = schema["properties"].as_object().cloned().unwrap_or_default();
    let required = |name: &str| {
        schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name))
    };
    let parameter = |(name, mut schema): (String, Value)| {
        let members = schema.as_object_mut();
        let description = members.and_then(|members| members.remove("description"));
        let required = required(&name);
        json!({
            "name": name, "in": "query", "required": required,
            "description": description, "schema": schema,
        })
    };
    members.into_iter().map(parameter).collect()
}

fn refusal(status: u16) -> Value {
    let phrase = http::StatusCode::from_u16(status).ok().and_then(|it| it.canonical_reason());
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    json!({
        "description": phrase.unwrap_or_default(),
        "content": { "application/problem+json": { "schema": schema } },
    })
}
