//! The program: reads the command line, hands over to the verb, and turns its result into an
//! exit code.
//!
//! Always holds: results go to stdout, messages to stderr; exit 0 done, 1 refused or failed,
//! 2 usage. Each verb that has a result says it as JSON with `--json`; `run` has none, and a script for
//! a shell is none. Only `main` ends the process. What a verb does stands in the verb's own file.

mod check;
mod client;
mod copies;
mod data;
mod described;
mod descriptors;
mod dns;
mod edges;
mod environment;
mod explain;
mod failure;
mod fleet;
mod keys;
mod ledger;
mod node;
mod origin_mock;
mod pages;
mod process;
mod purge;
mod reloads;
mod restart;
mod route;
mod run;
mod say;
mod site;
mod sites;
mod status;
mod theatre;
mod token;
mod up;
mod waits;

use std::{num::NonZeroUsize, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand};

use self::failure::Failure;

/// Many small long-lived allocations of many sizes: the system's allocator fragments under them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A CDN that a team runs itself.
#[derive(Debug, Parser)]
#[command(name = "nearcast", version, about, max_term_width = 100, after_help = environment::HELP)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs the whole CDN on this machine, to try it or to develop against it.
    Up(up::Arguments),
    /// Runs the roles that a node file has.
    Run(run::Arguments),
    /// Purges what edges have stored of a site.
    Purge(purge::Arguments),
    /// Lists, writes and deletes the sites of the ledger, and takes them back to what they were.
    Site(site::Arguments),
    /// Makes, lists and revokes tokens of the admin API.
    Token(token::Arguments),
    /// Copies the ledger to a file, and puts such a file into one.
    Ledger(copies::Arguments),
    /// Lists nodes, drains them, and removes one that is gone for good.
    Node(node::Arguments),
    /// Shows the nodes, and how far each has come with purges.
    Status(status::Arguments),
    /// Explains what nodes have stored of a URL, and what the next request for it comes to.
    Explain(explain::Arguments),
    /// Explains what GeoDNS answers a client, step by step.
    Route(route::Arguments),
    /// Checks a node file and reports every problem in it.
    Check(check::Arguments),
    /// Runs an origin that misbehaves on request.
    OriginMock(origin_mock::Arguments),
    /// Prints what a shell completes command lines by.
    Completion(pages::Completion),
    /// Prints the manual page, or writes those of all verbs.
    Man(pages::Man),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match environment::workers().and_then(|workers| perform(arguments.verb, workers)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            ExitCode::from(failure.code())
        }
    }
}

fn perform(verb: Verb, workers: Option<NonZeroUsize>) -> Result<(), Failure> {
    // One provider for every TLS session; an error means that one is installed already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    match verb {
        Verb::Up(arguments) => up::up(arguments, workers),
        Verb::Run(arguments) => run::run(&arguments, workers),
        Verb::Purge(arguments) => purge::purge(&arguments),
        Verb::Site(arguments) => site::site(&arguments),
        Verb::Token(arguments) => token::token(&arguments),
        Verb::Ledger(arguments) => copies::ledger(&arguments),
        Verb::Node(arguments) => node::node(&arguments),
        Verb::Status(arguments) => status::status(&arguments),
        Verb::Explain(arguments) => explain::explain(&arguments),
        Verb::Route(arguments) => route::route(&arguments),
        Verb::Check(arguments) => check::check(&arguments),
        Verb::OriginMock(arguments) => origin_mock::origin_mock(&arguments),
        Verb::Completion(arguments) => pages::completion(&arguments, Arguments::command()),
        Verb::Man(arguments) => pages::man(&arguments, Arguments::command()),
    }
}
