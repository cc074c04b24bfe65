//! Writes docs/reference/openapi.json.
//!
//! In: the routes' types, of all parts. Out: the file, replaced whole. Always: what the parts say of
//! themselves, joined as a node that has all of them joins it; a test compares them. Does not know:
//! what is in it.
//! Clause: CONTRIBUTING.md *Commits and documents* (generated pages).

use std::{fs, io, path::Path};

use nearcast_control::api::openapi;

fn main() -> io::Result<()> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/openapi.json");
    let document = openapi::joined(openapi::document(), &geodns::admin::description());
    fs::write(page, serde_json::to_string_pretty(&document)? + "\n")
}
