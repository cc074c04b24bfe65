//! `nearcast token make|list|revoke`: who may do what over the admin API.
//!
//! Out: a new token's secret, once; tables, or JSON. What a token may have the node says.

use std::time::Duration;

use axum::http::Method;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::{client::Api, failure::Failure, say::say};

/// The command line of `token`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Makes a token, and says its secret once.
    Make(Make),
    /// Lists all tokens; secrets are known to nobody but their owners.
    List(Api),
    /// Revokes a token and those that it has made: from then on they open nothing.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct Make {
    /// What it may do.
    #[arg(long = "may", value_name = "ACTION", required = true)]
    actions: Vec<Action>,
    /// A site that it is for; all of them without this.
    #[arg(long = "site", value_name = "NAME")]
    sites: Vec<String>,
    /// Whose it is, for people.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    #[command(flatten)]
    api: Api,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Action {
    /// To purge, and to see what became of purges.
    Purge,
    /// To take nodes out of the ledger.
    Nodes,
    /// To copy the whole ledger, and to put a copy into it.
    Ledger,
    /// To see nodes, purges and sites.
    Read,
    /// To see, write and delete sites.
    Sites,
    /// To make, list and revoke tokens, and to see who did what.
    Tokens,
}

impl Action {
    const fn word(self) -> &'static str {
        match self {
            Self::Purge => "purge",
            Self::Nodes => "nodes",
            Self::Ledger => "ledger",
            Self::Read => "read",
            Self::Sites => "sites",
            Self::Tokens => "tokens",
        }
    }
}

#[derive(Debug, Args)]
struct Revoke {
    /// The token's id, which stands in the middle of its secret.
    id: String,
    /// Leaves those that it has made: it is only taken out of use, and nobody else has had it.
    #[arg(long)]
    keep_made: bool,
    #[command(flatten)]
    api: Api,
}

/// Asks the node, and tells.
pub(crate) fn token(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.verb {
        Verb::Make(arguments) => make(arguments),
        Verb::List(api) => list(api),
        Verb::Revoke(arguments) => revoke(arguments),
    }
}

fn make(arguments: &Make) -> Result<(), Failure> {
    let actions: Vec<&str> = arguments.actions.iter().map(|action| action.word()).collect();
    let sites = (!arguments.sites.is_empty()).then_some(&arguments.sites);
    let wanted = json!({ "actions": actions, "sites": sites, "note": arguments.note });
    let api = &arguments.api;
    let told = api.ask(Method::POST, "/v1/tokens", Some(&wanted), Duration::ZERO)?;
    // The secret alone, so that it can go into a file or a variable.
    say(&if api.json {
        told.to_string()
    } else {
        told["token"].as_str().unwrap_or_default().to_owned()
    })
}

fn list(api: &Api) -> Result<(), Failure> {
    let told = api.ask(Method::GET, "/v1/tokens", None, Duration::ZERO)?;
    if api.json {
        return say(&told.to_string());
    }
    let mut lines =
        vec![format!("{:<14} {:<20} {:<20} {:<10} NOTE", "ID", "MAY", "SITES", "STATE")];
    for token in told["tokens"].as_array().into_iter().flatten() {
        let id = token["id"].as_str().unwrap_or_default();
        if let Some(why) = token["unreadable"].as_str() {
            lines.push(format!("{id:<14} {:<20} {:<20} {:<10} {why}", "", "", "unreadable"));
            continue;
        }
        let sites =
            if token["sites"].is_null() { "all".to_owned() } else { words(&token["sites"]) };
        let state = if token["revoked"].is_null() { "good" } else { "revoked" };
        let note = token["note"].as_str().unwrap_or_default();
        lines.push(format!(
            "{id:<14} {:<20} {sites:<20} {state:<10} {note}",
            words(&token["actions"])
        ));
    }
    say(&lines.join("\n"))
}

fn revoke(arguments: &Revoke) -> Result<(), Failure> {
    let id = &arguments.id;
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Failure::usage(format!(
            "{id:?} is no token's id; `nearcast token list` has them"
        )));
    }
    let api = &arguments.api;
    let keep = if arguments.keep_made { "?keep_made=true" } else { "" };
    let told = api.ask(Method::DELETE, &format!("/v1/tokens/{id}{keep}"), None, Duration::ZERO)?;
    let with_it = words(&told["revoked_with_it"]);
    say(&if api.json {
        told.to_string()
    } else if with_it.is_empty() {
        format!("token {id} is revoked")
    } else {
        format!("token {id} is revoked, and with it what it has made: {with_it}")
    })
}

fn words(list: &Value) -> String {
    let words: Vec<&str> =
        list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    words.join(",")
}
