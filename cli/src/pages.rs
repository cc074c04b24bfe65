//! `nearcast completion SHELL` and `nearcast man`: what shells and `man` read of the command line.
//!
//! In: the command line as it is declared. Out: a script, or pages. Always: both are made of the
//! declaration itself, so no verb or option is missing from them. It knows none of them.

use std::{fs, path::PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;

use crate::{failure::Failure, say::say};

/// The command line of `completion`.
#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// The shell that reads it.
    shell: Shell,
}

/// The command line of `man`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Folder for the pages of the program and of each of its verbs, as nearcast-purge.1; without it
    /// the program's own page is printed.
    folder: Option<PathBuf>,
    /// Prints the names of the pages as JSON.
    #[arg(long, requires = "folder")]
    json: bool,
}

/// Prints what a shell completes command lines by.
pub(crate) fn completion(arguments: &Completion, mut command: Command) -> Result<(), Failure> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    say(String::from_utf8_lossy(&script).trim_end())
}

/// Prints the manual page, or writes those of all verbs.
pub(crate) fn man(arguments: &Man, command: Command) -> Result<(), Failure> {
    let Some(folder) = &arguments.folder else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(command).render(&mut page);
        rendered.map_err(|error| Failure::of(&error))?;
        return say(String::from_utf8_lossy(&page).trim_end());
    };
    let failed = |error| Failure::new(format!("{}: {error}", folder.display()));
    let names = names(&command);
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(failed)?;
    if arguments.json {
        return say(&serde_json::json!({ "folder": folder, "pages": names }).to_string());
    }
    say(&format!("{}: {} pages", folder.display(), names.len()))
}

/// The names of the pages of a command and of all below it.
fn names(command: &Command) -> Vec<String> {
    fn below(command: &Command, prefix: &str, names: &mut Vec<String>) {
        names.push(format!("{prefix}.1"));
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            below(verb, &format!("{prefix}-{}", verb.get_name()), names);
        }
    }
    let mut names = Vec::new();
    below(command, command.get_name(), &mut names);
    names
}
