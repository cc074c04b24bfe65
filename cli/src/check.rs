//! `nearcast check FILE`: every problem of a node file at once.

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;

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
#[expect(clippy::print_stdout, reason = "the report is this verb's result")]
pub(crate) fn check(arguments: &Arguments) -> Result<(), Failure> {
    match (nearcast_config::load(&arguments.file), arguments.json) {
        (Ok(_), false) => {
            println!("{}: no problems", arguments.file.display());
            Ok(())
        }
        (Ok(_), true) => {
            println!("{}", serde_json::json!({ "file": arguments.file, "problems": [] }));
            Ok(())
        }
        (Err(report), false) => {
            println!("{report}");
            Err(Failure::new(""))
        }
        (Err(report), true) => {
            let text =
                serde_json::to_string_pretty(&report).map_err(|error| Failure::of(&error))?;
            println!("{text}");
            Err(Failure::new(""))
        }
    }
}
