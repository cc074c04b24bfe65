//! An open-loop load: requests fall due at a fixed rate, whatever the server does meanwhile.
//!
//! In: `ADDRESS PATH OBJECTS CONNECTIONS RATE SECONDS`. Each `{}` in the path is replaced by an
//! object's number. Out: one JSON object on stdout.
//! What always holds: a latency counts from when its request was due, not from when a connection
//! was free to send it; so a server that stalls pays for every request it kept waiting, which a
//! closed loop hides. Requests that were due and never answered count as errors and as the slowest.
//! What this deliberately does not do: wait in the kernel. It spins on its core, because a timer's
//! grain would be larger than what is measured; so it must have a core of its own.

mod connection;
mod figures;
mod schedule;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use mio::{Events, Poll, Token};

use crate::connection::{Connection, Progress};
use crate::figures::Figures;
use crate::schedule::Schedule;

/// Latencies of the first moments are not counted: connections open and caches fill.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long an answer may be late at the end before it counts as missing.
const GRACE: Duration = Duration::from_secs(5);

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("usage: bench-load ADDRESS PATH OBJECTS CONNECTIONS RATE SECONDS")]
    Usage,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What is asked for on the command line.
struct Plan {
    address: SocketAddr,
    path: String,
    objects: u64,
    connections: usize,
    rate: f64,
    seconds: f64,
}

impl Plan {
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let plan = Self {
            address: words.next()?.parse().ok()?,
            path: words.next()?,
            objects: words.next()?.parse().ok().filter(|n| *n > 0)?,
            connections: words.next()?.parse().ok().filter(|n| *n > 0)?,
            rate: words.next()?.parse().ok().filter(|r| *r >= 1.0)?,
            seconds: words.next()?.parse().ok().filter(|s| *s > 0.0)?,
        };
        words.next().is_none().then_some(plan)
    }
}

/// Sends what falls due to idle connections until the time is over and the late answers are in.
fn run(plan: &Plan) -> Result<Figures, LoadError> {
    let mut poll = Poll::new()?;
    let mut connections = Vec::with_capacity(plan.connections);
    for token in 0..plan.connections {
        connections.push(Connection::open(plan.address, poll.registry(), Token(token))?);
    }
    let mut idle: Vec<usize> = (0..plan.connections).collect();
    let mut events = Events::with_capacity(plan.connections.max(64));
    let mut schedule = Schedule::start(plan.rate, plan.seconds);
    let mut figures = Figures::default();
    let end = schedule.end() + GRACE;
    loop {
        let now = schedule.now();
        while let Some(at) = idle.last().copied() {
            let Some((number, due)) = schedule.take_due(now) else { break };
            let object = number.wrapping_mul(7) % plan.objects;
            let path = plan.path.replace("{}", &object.to_string());
            let Some(connection) = connections.get_mut(at) else { break };
            idle.pop();
            connection.send(&path, plan.address, due)?;
        }
        poll.poll(&mut events, Some(Duration::ZERO))?;
        let now = schedule.now();
        for event in &events {
            let Some(connection) = connections.get_mut(event.token().0) else { continue };
            match connection.advance() {
                Progress::Waiting => {}
                Progress::Answered { due, good } => {
                    idle.push(event.token().0);
                    if due >= WARM_UP {
                        figures.answered(now.saturating_sub(due), good);
                    }
                }
                Progress::Broken { unanswered } => {
                    connection.reopen(plan.address, poll.registry(), event.token())?;
                    // One that broke while it was idle still stands among the idle.
                    if unanswered {
                        idle.push(event.token().0);
                        figures.missing(1);
                    }
                }
            }
        }
        let done = schedule.is_over() && idle.len() == connections.len();
        if done || now > end {
            let waiting = connections.len() - idle.len();
            figures.missing(schedule.left() + waiting as u64);
            return Ok(figures);
        }
    }
}

fn main() -> ExitCode {
    let plan = Plan::parse(std::env::args().skip(1)).ok_or(LoadError::Usage);
    match plan.and_then(|plan| run(&plan).map(|figures| (figures, plan.seconds))) {
        Ok((figures, seconds)) => {
            #[expect(clippy::print_stdout, reason = "the figures are this program's result")]
            {
                println!("{}", figures.json(seconds - WARM_UP.as_secs_f64()));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the one message of a program without a log")]
            {
                eprintln!("bench-load: {error}");
            }
            ExitCode::FAILURE
        }
    }
}
