//! Writes the generated pages: docs/reference/ and config/examples/every-setting.toml.
//!
//! In: the settings types. Out: three files, each replaced whole.
//! Always: what `nearcast_config::reference` says, byte for byte; a test compares them.
//! Does not know: what is on the pages.
//! Clause: CONTRIBUTING.md *Commits and documents* (generated pages).

use std::{fs, io, path::Path};

use nearcast_config::reference;

fn main() -> io::Result<()> {
    let config = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = config.join("../docs/reference");
    fs::create_dir_all(&docs)?;
    fs::write(docs.join("settings.md"), reference::settings_page())?;
    fs::write(docs.join("settings.schema.json"), reference::schema_page())?;
    fs::write(config.join("examples/every-setting.toml"), reference::every_setting())
}
