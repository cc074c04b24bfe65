//! The operations of drains.
//!
//! In: generators of schemas. Out: operations. Always: as the routes in `api/drains.rs` are. It does
//! not know how operations are written down.

use schemars::SchemaGenerator;

use super::{super::drains, ONCE, Operation, members, plain, schema};

/// Where a drain is.
const PATH: &str = "/v1/nodes/{name}/drain";

/// What is asked of drains.
pub(super) fn operations(read: &mut SchemaGenerator, told: &mut SchemaGenerator) -> Vec<Operation> {
    vec![
        Operation {
            query: Some(members::<drains::Look>(read)),
            done: vec![(200, "How far it has come.", schema::<drains::Draining>(told))],
            refused: &[404],
            ..plain("get", PATH, "seeDrain", "How far a drain has come", None)
        },
        Operation {
            fields: ONCE,
            query: Some(members::<drains::Query>(read)),
            done: vec![(200, "It is drained.", schema::<drains::Draining>(told))],
            refused: &[404, 409],
            ..plain("put", PATH, "drainNode", "Sends clients elsewhere", Some("nodes"))
        },
        Operation {
            fields: ONCE,
            done: vec![(200, "It is drained no more.", schema::<drains::Undrained>(told))],
            refused: &[404, 409],
            ..plain("delete", PATH, "undrainNode", "Sends clients to it again", Some("nodes"))
        },
    ]
}
