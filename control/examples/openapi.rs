//! Writes docs/reference/openapi.json.
//!
//! In: the routes' types. Out: the file, replaced whole. Always: what [`openapi::document`] says; a
//! test compares them. Does not know: what is in it.
//! Clause: CONTRIBUTING.md *Commits and documents* (generated pages).

use std::{fs, io, path::Path};

use nearcast_control::api::openapi;

fn main() -> io::Result<()> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/openapi.json");
    let text = serde_json::to_string_pretty(&openapi::document())?;
    fs::write(page, text + "\n")
}
