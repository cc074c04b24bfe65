//! The operations of sites.
//!
//! In: generators of schemas. Out: operations. Always: as the routes in `api/sites.rs` are. It does
//! not know how operations are written down.

use edge_core::settings::SiteSettings;
use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::{
    super::{catalogue, sites},
    Operation, members, plain, schema,
};

const IF_MATCH: (&str, &str) =
    ("If-Match", "The revisions one of which is expected there, in quotes, or *.");
const ONCE: (&str, &str) = ("Idempotency-Key", "A name under which the change is made once.");

/// What is asked of sites.
pub(super) fn operations(read: &mut SchemaGenerator, told: &mut SchemaGenerator) -> Vec<Operation> {
    let site = schema::<sites::WholeSite>(told);
    let written = schema::<sites::WrittenSite>(told);
    let done = json!({ "anyOf": [written, schema::<sites::DryRun>(told)] });
    vec![
        Operation {
            done: vec![(
                200,
                "Those that the caller's token is for.",
                schema::<sites::Sites>(told),
            )],
            ..plain("get", "/v1/sites", "listSites", "The sites", Some("read"))
        },
        Operation {
            fields: &[("If-None-Match", "Revisions that are known already, in quotes.")],
            query: Some(members::<sites::Which>(read)),
            done: vec![
                (200, "The site; ETag is its revision.", site),
                (304, "It is known already.", Value::Null),
            ],
            refused: &[404],
            ..plain("get", "/v1/sites/{name}", "seeSite", "What a site says", Some("read"))
        },
        Operation {
            fields: &[IF_MATCH, ("If-None-Match", "* where no such site is expected there."), ONCE],
            query: Some(members::<sites::How>(read)),
            content: Some(schema::<SiteSettings>(read)),
            text: Some("application/toml"),
            done: vec![
                (200, "It is replaced, or it was a dry run.", done),
                (201, "There was none, and it is made.", written),
            ],
            refused: &[404, 409, 412, 413, 415, 422, 428],
            ..plain(
                "put",
                "/v1/sites/{name}",
                "writeSite",
                "Makes or replaces a site",
                Some("sites"),
            )
        },
        Operation {
            fields: &[IF_MATCH, ONCE],
            query: Some(members::<sites::Until>(read)),
            done: vec![(200, "It is deleted.", schema::<sites::DeletedSite>(told))],
            refused: &[404, 412, 413, 422, 428],
            ..plain("delete", "/v1/sites/{name}", "deleteSite", "Deletes a site", Some("sites"))
        },
        Operation {
            query: Some(members::<catalogue::Look>(read)),
            done: vec![(200, "Each edge.", schema::<catalogue::Seen>(told))],
            ..plain(
                "get",
                "/v1/catalogue",
                "seeCatalogue",
                "How far the edges have come with the sites",
                Some("read"),
            )
        },
        Operation {
            done: vec![(200, "Its versions, newest first.", schema::<sites::History>(told))],
            refused: &[404],
            ..plain(
                "get",
                "/v1/sites/{name}/history",
                "listVersions",
                "The versions of a site",
                Some("read"),
            )
        },
    ]
}
