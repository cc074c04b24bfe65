//! `nearcast check FILE`: every problem of a node file at once.

use std::path::PathBuf;

use clap::Args;

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
        (Ok(_), false) => say(&format!("{}: no problems", arguments.file.display())),
        (Ok(_), true) => {
            say(&serde_json::json!({ "file": arguments.file, "problems": [] }).to_string())
        }
        (Err(report), false) => say(&report.to_string()).and_then(has_problems),
        (Err(report), true) => {
            let text =
                serde_json::to_string_pretty(&report).map_err(|error| Failure::of(&error))?;
            say(&text).and_then(has_problems)
        }
    }
}

/// The report has said everything.
fn has_problems((): ()) -> Result<(), Failure> {
    Err(Failure::new(""))
}
