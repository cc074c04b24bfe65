//! `nearcast route NAME --client IP`: why a client is answered what it is.

use std::net::{IpAddr, SocketAddr};

use clap::Args;

use crate::{client, failure::Failure, say::say};

/// The command line of `route`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The name that is asked for, such as www.cdn.test.
    name: String,
    /// The client, or its network's first address.
    #[arg(long, value_name = "IP")]
    client: IpAddr,
    /// The type of records.
    #[arg(long = "type", value_name = "TYPE", default_value = "A")]
    rtype: String,
    /// Where the node's admin listener is.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
    /// Says it as JSON.
    #[arg(long)]
    json: bool,
}

/// Asks the node, whose answer it is.
pub(crate) fn route(arguments: &Arguments) -> Result<(), Failure> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("name", &arguments.name)
        .append_pair("client", &arguments.client.to_string())
        .append_pair("type", &arguments.rtype);
    let accept = if arguments.json { "application/json" } else { "text/plain" };
    let told = client::get(arguments.admin, &format!("/v1/route?{}", query.finish()), accept)?;
    say(told.trim_end())
}
