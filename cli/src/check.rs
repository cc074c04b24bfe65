//! `nearcast check FILE`: every problem of a node file at once.

use std::path::PathBuf;

use clap::Args;
use nearcast_config::{NodeConfig, geodns::GeodnsConfig};

use crate::{failure::Failure, say::say};

/// The command line of `check`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The node file.
    file: PathBuf,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Reports on a node file; a file with problems is a failure.
pub(crate) fn check(arguments: &Arguments) -> Result<(), Failure> {
    match (nearcast_config::load(&arguments.file), arguments.json) {
        (Ok(config), false) => {
            let notes = notes(&config).into_iter().map(|note| format!("\nnote: {note}"));
            let notes: String = notes.collect();
            say(&format!("{}: no problems{notes}", arguments.file.display()))
        }
        (Ok(config), true) => {
            let notes = notes(&config);
            let told =
                serde_json::json!({ "file": arguments.file, "problems": [], "notes": notes });
            say(&told.to_string())
        }
        (Err(report), false) => say(&report.to_string()).and_then(has_problems),
        (Err(report), true) => {
            let text =
                serde_json::to_string_pretty(&report).map_err(|error| Failure::of(&error))?;
            say(&text).and_then(has_problems)
        }
    }
}

/// What is no problem and worth a word.
fn notes(config: &NodeConfig) -> Vec<String> {
    config.geodns.as_ref().map(GeodnsConfig::notes).unwrap_or_default()
}

/// The report has said everything.
fn has_problems((): ()) -> Result<(), Failure> {
    Err(Failure::new(""))
}
