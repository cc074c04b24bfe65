//! The operations of copies of the ledger.
//!
//! In: generators of schemas. Out: operations. Always: as the routes in `api/copies.rs` are. It does
//! not know how operations are written down.

use schemars::SchemaGenerator;

use super::{super::copies, ONCE, Operation, members, plain, schema};
use crate::copy::Copied;

/// What is asked of the ledger as a whole.
pub(super) fn operations(read: &mut SchemaGenerator, told: &mut SchemaGenerator) -> Vec<Operation> {
    let action = Some("ledger");
    vec![
        Operation {
            query: Some(members::<copies::Which>(read)),
            done: vec![(200, "Its sites and tokens.", schema::<Copied>(told))],
            refused: &[409],
            ..plain("get", "/v1/ledger", "exportLedger", "A copy of the ledger", action)
        },
        Operation {
            fields: ONCE,
            query: Some(members::<copies::How>(read)),
            content: Some(schema::<Copied>(read)),
            done: vec![(200, "It is put in.", schema::<copies::Came>(told))],
            refused: &[408, 409, 413, 415, 422],
            ..plain("put", "/v1/ledger", "importLedger", "Puts a copy into the ledger", action)
        },
    ]
}
