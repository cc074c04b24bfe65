//! What the routes of GeoDNS are, as an OpenAPI document of their own, made from the types that they
//! read and write.
//!
//! In: nothing. Out: the document, which stands alone and can be joined to another one. It does not
//! know the routes of other parts.
//! Clause: OpenAPI 3.1.0, JSON Schema 2020-12; docs/decisions/0009-openapi-from-schemas.md.

use geodns_core::answer::explain::Explanation;
use http::StatusCode;
use nearcast_daemon::{
    http_problem::Problem,
    schemas::{generator, schema},
};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{Asked, Drained, Forced, Pops, Terms};
use crate::probe::status::PopStatus;

/// The document.
#[must_use]
pub fn description() -> Value {
    let (mut read, mut told) = (generator(false), generator(true));
    let mut paths = Map::new();
    let explanation = schema::<Explanation>(&mut told);
    let mut route = operation("explainRoute", "Why a client is answered as it is", &explanation);
    route["parameters"] = json!(in_query::<Asked>(&mut read));
    route["responses"]["200"]["content"]["text/plain"] = json!({ "schema": { "type": "string" } });
    paths.insert("/v1/route".to_owned(), json!({ "get": route }));
    let pops = operation("listPops", "How the PoPs stand", &schema::<Pops>(&mut told));
    paths.insert("/v1/pops".to_owned(), json!({ "get": pops }));
    let pop = schema::<PopStatus>(&mut told);
    let one = of_pop(operation("seePop", "How a PoP stands", &pop));
    paths.insert("/v1/pops/{name}".to_owned(), json!({ "get": one }));
    let drained = schema::<Drained>(&mut told);
    let (terms, forced) = (schema::<Terms>(&mut read), schema::<Forced>(&mut read));
    let orders = [
        ("drain", "drainPop", "Takes a PoP out of answers", &terms, &drained),
        ("undrain", "undrainPop", "Ends a drain", &terms, &pop),
        ("force", "forcePop", "Holds a PoP in a state, whatever checks say", &forced, &pop),
        ("unforce", "unforcePop", "Ends that", &terms, &pop),
        ("clear", "clearPop", "Ends all orders for a PoP", &terms, &pop),
    ];
    for (word, id, summary, content, done) in orders {
        let mut order = of_pop(operation(id, summary, done));
        order["requestBody"] = json!({
            "required": word == "force",
            "content": { "application/json": { "schema": content } },
        });
        for status in [413, 415, 422] {
            order["responses"][status.to_string()] = refusal(status);
        }
        paths.insert(format!("/v1/pops/{{name}}/{word}"), json!({ "post": order }));
    }
    let mut schemas = told.take_definitions(true);
    schemas.extend(read.take_definitions(true));
    schemas.insert("Problem".to_owned(), Problem::schema());
    schemas.sort_keys();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Nearcast: the admin API of GeoDNS",
            "description": "What the operator of a node that has [geodns] asks of it, on its own \
                            machine.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

/// One that answers `done` and can be refused as all can.
fn operation(id: &str, summary: &str, done: &Value) -> Value {
    let mut responses = Map::new();
    let content = json!({ "application/json": { "schema": done } });
    responses.insert("200".to_owned(), json!({ "description": "It is so.", "content": content }));
    for status in [400, 403, 500, 503] {
        responses.insert(status.to_string(), refusal(status));
    }
    json!({
        "operationId": id,
        "summary": summary,
        "description": "Answered on loopback only, and without a token.",
        "security": [],
        "responses": responses,
    })
}

/// The same, for the PoP that the path names.
fn of_pop(mut operation: Value) -> Value {
    operation["responses"]["404"] = refusal(404);
    let schema = json!({ "type": "string" });
    operation["parameters"] =
        json!([{ "name": "name", "in": "path", "required": true, "schema": schema }]);
    operation
}

/// The members of a query's type as parameters.
fn in_query<T: JsonSchema>(generator: &mut SchemaGenerator) -> Vec<Value> {
    let schema = T::json_schema(generator).to_value();
    let members = schema["properties"].as_object().cloned().unwrap_or_default();
    let is_required = |name: &str| {
        schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name))
    };
    let parameter = |(name, mut schema): (String, Value)| {
        let members = schema.as_object_mut();
        let description = members.and_then(|members| members.remove("description"));
        json!({
            "name": name, "in": "query", "required": is_required(&name),
            "description": description, "schema": schema,
        })
    };
    members.into_iter().map(parameter).collect()
}

fn refusal(status: u16) -> Value {
    let phrase = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    json!({
        "description": phrase.unwrap_or_default(),
        "content": { "application/problem+json": { "schema": schema } },
    })
}
