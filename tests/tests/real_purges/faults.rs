//! One fault a second, which a seed decides.
//!
//! In: a fleet. Out: what was done to it, in words.
//! Always holds: what is stopped or killed goes on within seconds; no two NATS servers are down at
//! once; the log is taken away only while all of them are there, and an edge is started anew then, which
//! makes another one.

use std::time::Duration;

use nearcast_tests::{
    real::{Tested, process::Signal, relay::Way},
    world::dice::Dice,
};
use tokio::time::Instant;

use super::{
    fleet::Fleet,
    watched::{pick, rest},
};

const EACH: Duration = Duration::from_secs(1);
const PURGES: &str = "nearcast-purges";
const EDGES: usize = 3;
/// In seconds.
const HOUR: i64 = 3600;

/// How a fault ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    EdgeGoesOn(usize),
    EdgeStarts(usize),
    EdgeIsReached(usize),
    NatsGoesOn(usize),
    NatsStarts(usize),
}

/// What is wrong now.
pub(super) struct Faults<'f> {
    fleet: &'f mut Fleet,
    dice: Dice,
    pending: Vec<(Instant, End)>,
    /// What was done so far.
    pub(super) done: Vec<String>,
}

impl<'f> Faults<'f> {
    pub(super) fn new(fleet: &'f mut Fleet, dice: Dice) -> Self {
        Self { fleet, dice, pending: Vec::new(), done: Vec::new() }
    }

    /// One a second until it is over; then everything goes on.
    pub(super) fn run(&mut self, mut is_over: impl FnMut() -> bool) -> Tested {
        let mut next = Instant::now() + EACH;
        while !is_over() {
            if Instant::now() >= next {
                next += EACH;
                self.begin()?;
            }
            self.end(false)?;
            rest();
        }
        self.end(true)
    }

    fn begin(&mut self) -> Tested {
        match self.dice.below(9) {
            0 | 1 => self.stop_edge(),
            2 => self.kill_edge(),
            3 => self.kill_leader(),
            4 => self.stop_nats(),
            5 => self.cut_off(Way::ToClients),
            6 => self.cut_off(Way::ToServer),
            7 => self.step_clock(),
            _ => self.take_log_away(),
        }
    }

    /// Ends what is due, or everything.
    fn end(&mut self, all: bool) -> Tested {
        let now = Instant::now();
        let is_due = |(at, _): &(Instant, End)| all || *at <= now;
        let due: Vec<End> =
            self.pending.extract_if(.., |end| is_due(end)).map(|(_, end)| end).collect();
        for end in due {
            self.done.push(format!("{end:?}"));
            match end {
                End::EdgeGoesOn(edge) => self.fleet.signal(edge, Signal::Continue)?,
                End::EdgeStarts(edge) => self.fleet.start_again(edge)?,
                End::EdgeIsReached(edge) => self.fleet.cut(edge, None),
                End::NatsGoesOn(server) => self.fleet.nats.signal(server, Signal::Continue)?,
                End::NatsStarts(server) => self.fleet.nats.start_again(server)?,
            }
        }
        Ok(())
    }

    /// Ends this within so many milliseconds.
    fn later(&mut self, within: u64, end: End) {
        let delay = Duration::from_millis(100 + self.dice.below(within));
        self.pending.push((Instant::now() + delay, end));
    }

    /// An edge to which nothing is done now.
    fn edge(&mut self) -> Option<usize> {
        let is_well = |edge: &usize| {
            let ends = [End::EdgeGoesOn(*edge), End::EdgeStarts(*edge), End::EdgeIsReached(*edge)];
            self.pending.iter().all(|(_, end)| !ends.contains(end))
        };
        let well: Vec<usize> = (0..EDGES).filter(is_well).collect();
        if well.is_empty() { None } else { Some(well[pick(&mut self.dice, well.len())]) }
    }

    fn is_nats_well(&self) -> bool {
        let of_nats = |end: &End| matches!(end, End::NatsGoesOn(_) | End::NatsStarts(_));
        !self.pending.iter().any(|(_, end)| of_nats(end))
    }

    fn stop_edge(&mut self) -> Tested {
        let Some(edge) = self.edge() else { return Ok(()) };
        self.stop(edge)?;
        self.later(3000, End::EdgeGoesOn(edge));
        Ok(())
    }

    fn kill_edge(&mut self) -> Tested {
        let Some(edge) = self.edge() else { return Ok(()) };
        self.done.push(format!("edge {edge} killed"));
        self.fleet.kill(edge)?;
        self.later(1000, End::EdgeStarts(edge));
        Ok(())
    }

    /// The one hears the other, and not the other way round.
    fn cut_off(&mut self, way: Way) -> Tested {
        let Some(edge) = self.edge() else { return Ok(()) };
        self.done.push(format!("edge {edge} and NATS cut, {way:?}"));
        self.fleet.cut(edge, Some(way));
        self.later(3000, End::EdgeIsReached(edge));
        Ok(())
    }

    fn step_clock(&mut self) -> Tested {
        let (edge, hours) = (pick(&mut self.dice, EDGES), self.dice.below(3));
        let seconds = [-HOUR, 0, HOUR][usize::try_from(hours)?];
        self.done.push(format!("the clock of edge {edge} set to {seconds} s"));
        self.fleet.step_clock(edge, seconds)
    }

    fn kill_leader(&mut self) -> Tested {
        if !self.is_nats_well() {
            return Ok(());
        }
        let Some(server) = self.fleet.nats.leader(PURGES) else { return Ok(()) };
        self.done.push(format!("NATS {server} killed, which led"));
        self.fleet.nats.kill(server)?;
        self.later(1500, End::NatsStarts(server));
        Ok(())
    }

    fn stop_nats(&mut self) -> Tested {
        if !self.is_nats_well() {
            return Ok(());
        }
        let server = pick(&mut self.dice, self.fleet.nats.count());
        self.done.push(format!("NATS {server} stopped"));
        self.fleet.nats.signal(server, Signal::Stop)?;
        self.later(1500, End::NatsGoesOn(server));
        Ok(())
    }

    fn take_log_away(&mut self) -> Tested {
        let Some(edge) = self.edge().filter(|_| self.is_nats_well()) else { return Ok(()) };
        // A server that was away a moment ago may be followed by an election.
        self.log_away(edge).or(Ok(()))
    }

    /// An edge stands still, until it is told to go on.
    pub(super) fn stop(&mut self, edge: usize) -> Tested {
        self.done.push(format!("edge {edge} stopped"));
        self.fleet.signal(edge, Signal::Stop)
    }

    /// It goes on.
    pub(super) fn go_on(&mut self, edge: usize) -> Tested {
        self.done.push(format!("edge {edge} goes on"));
        self.fleet.signal(edge, Signal::Continue)
    }

    /// Takes the log away, and starts this edge anew, which makes another.
    pub(super) fn log_away(&mut self, edge: usize) -> Tested {
        self.fleet.nats.ask(&format!("STREAM.DELETE.{PURGES}"))?;
        self.done.push(format!("the log taken away, edge {edge} killed and started"));
        self.fleet.kill(edge)?;
        self.fleet.start_again(edge)
    }

    /// The numbers of the first and of the last entry of the log, while it is there.
    pub(super) fn ends(&self) -> Option<(u64, u64)> {
        let told = self.fleet.nats.ask(&format!("STREAM.INFO.{PURGES}")).ok()?;
        Some((told["state"]["first_seq"].as_u64()?, told["state"]["last_seq"].as_u64()?))
    }
}
