//! The command of the crate: `answer COUNT SEED`, `zonefile COUNT SEED`, `send COUNT SEED ADDRESS PID`.
//!
//! Out: one line that says what became of them; exit 1 where anything went wrong.

use std::process::ExitCode;

use fuzz_dns::{Failed, Tally, answer, send, zonefile};

const USAGE: &str =
    "usage: fuzz-dns answer COUNT SEED | zonefile COUNT SEED | send COUNT SEED ADDRESS PID";

fn run() -> Result<Tally, Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["answer", count, seed] => answer::run(count.parse()?, seed.parse()?),
        ["zonefile", count, seed] => zonefile::run(count.parse()?, seed.parse()?),
        ["send", count, seed, address, pid] => {
            send::run(address.parse()?, pid.parse()?, count.parse()?, seed.parse()?)
        }
        _ => Err(USAGE.into()),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(tally) => {
            #[expect(clippy::print_stdout, reason = "the tally is this program's result")]
            {
                println!("{tally}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the one message of a program without a log")]
            {
                eprintln!("fuzz-dns: {error}");
            }
            ExitCode::FAILURE
        }
    }
}
