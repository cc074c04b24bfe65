//! A DNS load over UDP, and two servers for it.
//!
//! In: `echo ADDRESS`, the batch loop with nothing in it: what the kernel and the loop cost;
//! `serve ADDRESS [MMDB]`, the server with twelve PoPs and a thousand sites, one worker, rate limit,
//! cookies and counters on; `load ADDRESS SECONDS OUTSTANDING SOCKETS NAMES SUBNETS [PID]`, where
//! NAMES is a name, or `mix` for the thousand sites by Zipf's law with a tenth of other names, and
//! SUBNETS is `ecs` or `plain`; `pace ADDRESS RATE NAMES SUBNETS`, an open loop that lasts until its
//! standard input ends. Out: `load` and `pace` print one JSON object.
//! What always holds: the load is a closed loop of so many queries outstanding, spread over sockets;
//! one that is not answered in 200 ms counts as lost, and the next one goes out.

mod load;
mod pace;
mod server;

use std::{error::Error, process::ExitCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: bench-dns echo ADDRESS | serve ADDRESS [MMDB] | \
    load ADDRESS SECONDS OUTSTANDING SOCKETS NAME|mix ecs|plain [PID] | \
    pace ADDRESS RATE NAME|mix ecs|plain";

fn run() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["echo", address] => server::echo(address.parse()?),
        ["serve", address] => server::serve(address.parse()?, None),
        ["serve", address, database] => server::serve(address.parse()?, Some(database)),
        ["load", address, seconds, outstanding, sockets, names, subnets, ref pid @ ..] => {
            let load = load::Load {
                address: address.parse()?,
                seconds: seconds.parse()?,
                outstanding: outstanding.parse()?,
                sockets: sockets.parse()?,
                names: names.to_owned(),
                has_subnets: subnets == "ecs",
                pid: pid.first().map(|pid| pid.parse()).transpose()?,
            };
            say(&load::run(&load)?);
            Ok(())
        }
        ["pace", address, rate, names, subnets] => {
            let pace = pace::Pace {
                address: address.parse()?,
                rate: rate.parse()?,
                names: names.to_owned(),
                has_subnets: subnets == "ecs",
            };
            say(&pace::run(&pace)?);
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

#[expect(clippy::print_stdout, reason = "the figures are this program's result")]
fn say(figures: &str) {
    println!("{figures}");
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the one message of a program without a log")]
            {
                eprintln!("bench-dns: {error}");
            }
            ExitCode::FAILURE
        }
    }
}
