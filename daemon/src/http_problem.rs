//! Problem details: the one form of an error on the admin listener.
//!
//! In: a status and what the caller may know. Out: an `application/problem+json` response.
//! Always: without a type of its own a problem is `about:blank` and its title is the status phrase;
//! the `status` member equals the response's status; nothing is stored by a cache.
//! Does not know: why the request failed beyond the words given, or any route.
//! Clause: RFC 9457 §3, §4.2.1.

use axum::Extension;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

/// An error as RFC 9457 problem details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    members: Map<String, Value>,
}

impl Problem {
    /// A problem that says no more than its status.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        let mut members = Map::new();
        let title = status.canonical_reason().unwrap_or("Unknown Status");
        members.insert("type".to_owned(), Value::from("about:blank"));
        members.insert("title".to_owned(), Value::from(title));
        members.insert("status".to_owned(), Value::from(status.as_u16()));
        Self { status, members }
    }

    /// Adds what is particular to this occurrence, for a person to read.
    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Self {
        self.with("detail", Value::from(detail.into()))
    }

    /// Names the kind of problem by a URI reference and its short, fixed title.
    #[must_use]
    pub fn kind(self, uri: &str, title: &str) -> Self {
        self.with("type", Value::from(uri)).with("title", Value::from(title))
    }

    /// Adds an extension member (RFC 9457 §3.2); the name `status` is not one and is left alone.
    #[must_use]
    pub fn extension(self, name: &str, value: Value) -> Self {
        if name == "status" {
            return self;
        }
        self.with(name, value)
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is particular to this occurrence.
    #[must_use]
    pub fn told(&self) -> Option<&str> {
        self.members.get("detail").and_then(Value::as_str)
    }

    /// The schema of every problem (RFC 9457 §3.1), for descriptions of routes.
    #[must_use]
    pub fn schema() -> Value {
        json!({
            "type": "object",
            "description": "A problem detail (RFC 9457).",
            "properties": {
                "type": { "type": "string", "format": "uri-reference" },
                "title": { "type": "string" },
                "status": { "type": "integer" },
                "detail": { "type": "string", "description": "What is wrong, for people." },
                "request_id": {
                    "type": "string",
                    "description": "The request's id, which the log and the audit log name.",
                },
            },
            "required": ["type", "title", "status"],
        })
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let fields = [
            (CONTENT_TYPE, HeaderValue::from_static("application/problem+json")),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        let text = Value::Object(self.members.clone()).to_string();
        // So that whoever sends it on may say more in it.
        (self.status, fields, Extension(self), text).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9457_4_2_1_a_blank_problem_carries_the_status_phrase() {
        let problem = Problem::new(StatusCode::NOT_FOUND).detail("no such path");
        let expected = json!({
            "type": "about:blank", "title": "Not Found", "status": 404, "detail": "no such path",
        });
        assert_eq!(Value::Object(problem.members.clone()), expected);
        let response = problem.into_response();
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn rfc9457_3_2_extensions_stand_beside_the_members_and_cannot_move_the_status() {
        let problem = Problem::new(StatusCode::CONFLICT)
            .kind("/problems/host-taken", "Host is taken")
            .extension("site", json!("shop"))
            .extension("status", json!(200));
        let expected = json!({
            "type": "/problems/host-taken", "title": "Host is taken", "status": 409, "site": "shop",
        });
        assert_eq!(Value::Object(problem.members), expected);
    }
}
