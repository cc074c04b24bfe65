//! Acts a scenario out, step by step, in whatever theatre.
//!
//! In: a scenario, and a [`Stage`] that has an edge and an origin on it. Out: agreement, or the line
//! that failed, why, and what had happened until then.
//! Always holds: a step that expects something waits for it until the stage gives up, and a step that
//! sends something is followed by rest, so that under the paused clock every run is the same.
//! It deliberately does not know whether its clock is real.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use edge::Edge;
use origin_mock::origin::Origin;

use crate::client::{BoxedStream, Changes, Client};
use crate::judge::{self, Place};
use crate::message::Answer;
use crate::scenario::{Expectation, Request, Scenario, Step};

/// Where a scenario is played.
pub trait Stage {
    /// Opens a connection to the edge.
    fn connect(&self) -> impl Future<Output = io::Result<BoxedStream>>;
    /// The origin behind the edge.
    fn origin(&self) -> &Origin;
    /// Makes origin servers (all, or the one named) refuse connections, or accept them again.
    fn set_down(&self, server: Option<&str>, down: bool);
    /// The wall time.
    fn now(&self) -> SystemTime;
    /// Seconds that a real clock may run on between cause and comparison.
    fn late_by(&self) -> u64;
    /// Lets everything on the stage go on until it rests, as far as that can be told.
    fn rest(&self) -> impl Future<Output = ()>;
    /// Waits for a change since the `since`th turn of one wait; false when it is time to give up.
    fn turn(&self, since: Turn) -> impl Future<Output = bool>;
    /// Lets time pass.
    fn pass(&self, time: Duration) -> impl Future<Output = ()>;
    /// What wakes the waits of this stage.
    fn changes(&self) -> &Arc<Changes>;
    /// The edge itself, where it is at hand.
    fn edge(&self) -> Option<&Edge>;
}

/// How long a wait has lasted.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Turns so far.
    pub number: usize,
    /// The runtime's time when the wait began.
    pub began: tokio::time::Instant,
}

/// The edge's name in Via and Cache-Status on every stage.
pub const NODE: &str = "edge";

/// A step that did not go as written.
#[derive(Debug, thiserror::Error)]
#[error("{name}.scn:{line}: {what}\n{log}")]
pub struct Failure {
    /// The scenario.
    pub name: String,
    /// The step's line.
    pub line: usize,
    /// What went otherwise.
    pub what: String,
    /// What the origin and the clients had seen.
    pub log: String,
}

/// Plays a scenario.
///
/// # Errors
/// The first step that did not go as written.
pub async fn play(scenario: &Scenario, stage: &impl Stage) -> Result<(), Failure> {
    let mut play = Play { stage, clients: BTreeMap::new(), expected: 0..=0 };
    let mut last = 0;
    for (line, step) in &scenario.steps {
        last = *line;
        if let Err(what) = play.step(step).await {
            return Err(play.failure(scenario, *line, what));
        }
    }
    stage.rest().await;
    let count = play.origin_count();
    if play.expected.contains(&count) {
        Ok(())
    } else {
        let what =
            format!("in the end the origin had got {count} requests, not {:?}", play.expected);
        Err(play.failure(scenario, last, what))
    }
}

struct Play<'a, S> {
    stage: &'a S,
    clients: BTreeMap<String, Client>,
    /// The count of the last `origin got N`.
    expected: RangeInclusive<usize>,
}

impl<S: Stage> Play<'_, S> {
    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Send(client, request) => self.send(client, request).await,
            Step::Got(client, expectation) => self.got(client, expectation).await,
            Step::Nothing(client) => self.nothing(client).await,
            Step::Closed(client) => self.closed(client).await,
            Step::Broken(client) => self.broken(client).await,
            Step::Hints(client, count) => self.hints(client, *count).await,
            Step::More(client, octets) => {
                self.client(client)?.more(octets.clone());
                self.rested().await
            }
            Step::Abort(client) => {
                drop(self.clients.remove(client));
                self.rested().await
            }
            Step::Read(client, octets) => {
                self.client(client)?.may_read(*octets);
                self.rested().await
            }
            Step::Clock(time) => {
                self.stage.rest().await;
                self.stage.pass(*time).await;
                self.rested().await
            }
            Step::Release(path) => {
                self.stage.rest().await;
                if !self.stage.origin().release(Some(path)) {
                    return Err(format!("the origin has no route {path:?}"));
                }
                self.rested().await
            }
            Step::Purge(purge) => {
                self.stage.rest().await;
                self.edge()?.purge(purge);
                Ok(())
            }
            Step::Vouch(time) => {
                self.stage.rest().await;
                self.edge()?.vouch(tokio::time::Instant::now() + *time);
                Ok(())
            }
            Step::Counted(wanted, purge) => {
                self.stage.rest().await;
                same(wanted, &self.edge()?.count(purge), "stored responses that are meant")
            }
            Step::Down(server) => self.set_down(server.as_deref(), true).await,
            Step::Up(server) => self.set_down(server.as_deref(), false).await,
            other => self.origin_step(other).await,
        }
    }

    async fn origin_step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::OriginCount(wanted) => {
                self.expected = wanted.clone();
                self.until(|play| play.origin_count() >= *wanted.start()).await;
                self.stage.rest().await;
                let got = self.origin_count();
                let nearest = got.clamp(*wanted.start(), *wanted.end());
                same(&nearest, &got, "requests at the origin")
            }
            Step::OriginConnections(wanted) => {
                let opened =
                    |play: &Self| play.stage.origin().recorder().stats().connections_opened;
                let wanted = u64::try_from(*wanted).unwrap_or(u64::MAX);
                self.until(|play| opened(play) >= wanted).await;
                same(&wanted, &opened(self), "connections at the origin")
            }
            Step::OriginSaw(nth, expectation) => {
                let index = nth.saturating_sub(1);
                let complete = |play: &Self| {
                    play.stage
                        .origin()
                        .recorder()
                        .requests()
                        .get(index)
                        .is_some_and(|own| own.complete)
                };
                self.until(|play| complete(play)).await;
                let requests = self.stage.origin().recorder().requests();
                let request =
                    requests.get(index).ok_or_else(|| format!("there was no request #{nth}"))?;
                judge::request(request, expectation, self.place())
                    .map_err(|error| format!("the origin's request #{nth}: {error}"))
            }
            other => Err(format!("no step of the origin: {other:?}")),
        }
    }

    fn edge(&self) -> Result<&Edge, String> {
        self.stage.edge().ok_or_else(|| "there is no edge at hand".to_owned())
    }

    fn client(&self, name: &str) -> Result<&Client, String> {
        self.clients.get(name).ok_or_else(|| format!("client {name:?} has no connection"))
    }

    async fn send(&mut self, name: &str, request: &Request) -> Result<(), String> {
        let gone = self.clients.get(name).is_none_or(|client| client.read().closed);
        if gone {
            let io =
                self.stage.connect().await.map_err(|error| format!("no connection: {error}"))?;
            let client = Client::on(io, request.stalls, self.stage.changes());
            self.clients.insert(name.to_owned(), client);
        }
        let mut octets = request.head.clone();
        if let Ok(text) = std::str::from_utf8(&octets)
            && text.contains("{now")
        {
            octets = judge::fill_in(text, self.stage.now())?.into_bytes();
        }
        octets.extend_from_slice(&request.content);
        self.client(name)?.send(&request.method, octets, request.stalls);
        self.rested().await
    }

    async fn got(&mut self, name: &str, wanted: &Expectation) -> Result<(), String> {
        let index = self.client(name)?.used;
        let so_far = wanted.so_far.as_ref().map_or(0, Vec::len);
        let come = |play: &Self| {
            let Some(client) = play.clients.get(name) else { return true };
            let read = client.read();
            let Some(answer) = read.answers.get(index) else {
                return read.closed || read.fault.is_some();
            };
            let enough = wanted.head_only && answer.head.is_some() && answer.body.len() >= so_far;
            enough || answer.ended || read.fault.is_some()
        };
        let came = self.until(come).await;
        self.judge(name, index, wanted)?;
        if !came {
            return Err(format!("client {name:?}: the response does not end"));
        }
        if wanted.closes && !self.until(|play| play.is_closed(name)).await {
            return Err(format!("client {name:?}: the connection stays open"));
        }
        if !wanted.head_only
            && let Some(client) = self.clients.get_mut(name)
        {
            client.used += 1;
        }
        Ok(())
    }

    fn judge(&self, name: &str, index: usize, wanted: &Expectation) -> Result<(), String> {
        let read = self.client(name)?.read();
        if let Some(fault) = &read.fault {
            return Err(format!("client {name:?} cannot read the response: {fault}"));
        }
        let Some(answer) = read.answers.get(index) else {
            let how = if read.closed { "the connection closed without" } else { "there came no" };
            return Err(format!("client {name:?}: {how} response"));
        };
        judge::answer(answer, wanted, self.place())
            .map_err(|error| format!("client {name:?}: {error}"))
    }

    fn is_closed(&self, name: &str) -> bool {
        self.clients.get(name).is_none_or(|client| client.read().closed)
    }

    async fn nothing(&self, name: &str) -> Result<(), String> {
        self.stage.rest().await;
        let client = self.client(name)?;
        let read = client.read();
        match read.answers.get(client.used) {
            Some(answer) => Err(format!("client {name:?} has already got {answer:?}")),
            None => Ok(()),
        }
    }

    async fn broken(&mut self, name: &str) -> Result<(), String> {
        let index = self.client(name)?.used;
        let over = |play: &Self| {
            let Some(client) = play.clients.get(name) else { return true };
            let read = client.read();
            read.fault.is_some() || read.answers.get(index).map_or(read.closed, |own| own.ended)
        };
        if !self.until(over).await {
            return Err(format!("client {name:?}: the response does not end"));
        }
        if let Some(client) = self.clients.get_mut(name) {
            client.used += 1;
        }
        let read = self.client(name)?.read();
        match read.answers.get(index).filter(|answer| !answer.cut && read.fault.is_none()) {
            Some(Answer { head: Some(head), .. }) if head.status < 500 => {
                Err(format!("client {name:?} got a whole response with status {}", head.status))
            }
            _ => Ok(()),
        }
    }

    async fn hints(&self, name: &str, wanted: usize) -> Result<(), String> {
        let index = self.client(name)?.used;
        let come = |play: &Self| {
            let client = play.clients.get(name);
            client.map_or(0, |own| own.read().answers.get(index).map_or(0, |a| a.interim.len()))
        };
        self.until(|play| come(play) >= wanted).await;
        same(&wanted, &come(self), "interim responses").map_err(|e| format!("client {name:?}: {e}"))
    }

    async fn closed(&mut self, name: &str) -> Result<(), String> {
        if !self.until(|play| play.is_closed(name)).await {
            return Err(format!("client {name:?}: the connection stays open"));
        }
        let client = self.client(name)?;
        let read = client.read();
        match read.answers.get(client.used) {
            Some(answer) => Err(format!("client {name:?} got an answer first: {answer:?}")),
            None => Ok(()),
        }
    }

    async fn set_down(&self, server: Option<&str>, down: bool) -> Result<(), String> {
        self.stage.rest().await;
        self.stage.set_down(server, down);
        self.rested().await
    }

    async fn rested(&self) -> Result<(), String> {
        self.stage.rest().await;
        Ok(())
    }

    /// Waits for a state of the stage; whether it came.
    async fn until(&self, reached: impl Fn(&Self) -> bool) -> bool {
        let mut turn = Turn { number: 0, began: tokio::time::Instant::now() };
        loop {
            if reached(self) {
                return true;
            }
            if !self.stage.turn(turn).await {
                return reached(self);
            }
            turn.number += 1;
        }
    }

    fn origin_count(&self) -> usize {
        self.stage.origin().recorder().requests().len()
    }

    fn place(&self) -> Place<'static> {
        Place { node: NODE, now: self.stage.now(), late_by: self.stage.late_by() }
    }

    fn failure(&self, scenario: &Scenario, line: usize, what: String) -> Failure {
        let mut log = format!("  {} ({})\n", scenario.title, scenario.clause);
        for (index, request) in self.stage.origin().recorder().requests().iter().enumerate() {
            let head = request.head.to_text();
            let head = head.trim_end().replace("\r\n", "\n      ");
            log.push_str(&format!("  origin #{}:\n      {head}\n", index + 1));
        }
        for (name, client) in &self.clients {
            let read = client.read();
            for answer in &read.answers {
                log.push_str(&format!("  client {name:?} got:\n"));
                for head in answer.interim.iter().chain(&answer.head) {
                    log.push_str(&format!("      {}\n", head.status));
                    for (name, value) in &head.fields {
                        log.push_str(&format!("      {name}: {value}\n"));
                    }
                }
                log.push_str(&format!("      {}\n", judge::show(&answer.body)));
            }
        }
        Failure { name: scenario.name.clone(), line, what, log }
    }
}

fn same<T: PartialEq + std::fmt::Display>(wanted: &T, got: &T, of: &str) -> Result<(), String> {
    if wanted == got { Ok(()) } else { Err(format!("expected {wanted} {of}, got {got}")) }
}
