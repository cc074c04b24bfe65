//! The in-process theatre: one thread, in-memory pipes, a clock that only the scenario moves.
//!
//! In: an origin, and a function that lets an edge serve a pipe. Out: a stage.
//! Always holds: no wait of a scenario lets the paused clock run on by itself. (The runtime advances
//! a paused clock whenever it has nothing to do but wait for a timer, so a waiting scenario yields
//! instead of sleeping: then the runtime always has something to do.)

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edge::Edge;
use origin_mock::clock;
use origin_mock::origin::{Origin, Settings};
use origin_mock::script::Script;
use tokio::io::{DuplexStream, duplex};

use super::pipes::{PIPE_OCTETS, Pipes};
use crate::client::{BoxedStream, Changes};
use crate::play::{Stage, Turn};

/// Turns of the runtime that let everything come to rest: several times the hops that the longest
/// chain of wake-ups (client, edge, filling, origin and back) takes.
const REST_TURNS: usize = 300;

/// Turns after which what did not come will not come.
const TURNS_MAX: usize = 20_000;

/// Lets an edge serve a client's connection.
pub type Serve = Box<dyn Fn(DuplexStream)>;

/// What stands on a stage.
pub struct Cast {
    /// How it serves a client's connection.
    pub serve: Serve,
    /// The edge itself, if it is one.
    pub edge: Option<Edge>,
}

/// A stage of this theatre.
pub struct PausedStage {
    origin: Origin,
    pipes: Arc<Pipes>,
    cast: Cast,
    start: SystemTime,
    began: tokio::time::Instant,
    changes: Arc<Changes>,
}

/// The wall time at which every play begins: a whole second, so that ages are whole ones.
#[must_use]
pub fn opening() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

impl PausedStage {
    /// A stage with an origin that does as the script says; `edge` is given the way to that origin
    /// and answers how it serves clients.
    ///
    /// # Errors
    /// When the origin refuses the script, or the edge its settings.
    pub fn new(
        script: Script,
        edge: impl FnOnce(Arc<Pipes>) -> Result<Cast, String>,
    ) -> Result<Self, String> {
        let settings = Settings { control: false, ..Settings::default() };
        let origin = Origin::scripted(script, clock::anchored(opening()), settings)
            .map_err(|error| error.to_string())?;
        let pipes = Arc::new(Pipes::to(origin.clone()));
        Ok(Self {
            cast: edge(Arc::clone(&pipes))?,
            origin,
            pipes,
            start: opening(),
            began: tokio::time::Instant::now(),
            changes: Arc::default(),
        })
    }
}

/// Runs a play under the paused clock.
///
/// # Errors
/// When the runtime cannot be built, or the play fails.
pub fn run<T>(play: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build();
    runtime.map_err(|error| error.to_string())?.block_on(play)
}

impl Stage for PausedStage {
    async fn connect(&self) -> io::Result<BoxedStream> {
        let (near, far) = duplex(PIPE_OCTETS);
        (self.cast.serve)(far);
        Ok(Box::new(near))
    }

    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn set_down(&self, server: Option<&str>, down: bool) {
        self.pipes.set_down(server, down);
    }

    fn now(&self) -> SystemTime {
        self.start + self.began.elapsed()
    }

    fn late_by(&self) -> u64 {
        0
    }

    async fn rest(&self) {
        for _ in 0..REST_TURNS {
            tokio::task::yield_now().await;
        }
    }

    async fn turn(&self, since: Turn) -> bool {
        tokio::task::yield_now().await;
        since.number < TURNS_MAX
    }

    async fn pass(&self, time: Duration) {
        tokio::time::advance(time).await;
    }

    fn changes(&self) -> &Arc<Changes> {
        &self.changes
    }

    fn edge(&self) -> Option<&Edge> {
        self.cast.edge.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::play::play;
    use crate::scenario::parse::parse;

    /// An edge that passes octets on and caches nothing.
    fn wire(pipes: Arc<Pipes>) -> Result<Cast, String> {
        let serve: Serve = Box::new(move |mut near| {
            let Some(mut far) = pipes.open("origin.example") else { return };
            tokio::spawn(async move {
                let _ended = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        });
        Ok(Cast { serve, edge: None })
    }

    fn perform(steps: &str) -> Result<(), String> {
        let page = format!(
            "T\nclause: c\n\norigin /a 200\n  A: b\n  \"hello\"\norigin /a 201\n  hold\n\
             origin /slow 200\n  chunked\n  pace 2 every 10s\n  \"abcdef\"\n\n\
             > GET /a\n< 200\n  \"hello\"\n  !Cache-Status\n{steps}\n"
        );
        let scenario = parse("x", &page)?;
        run(async move {
            let stage = PausedStage::new(scenario.script.clone(), wire)?;
            play(&scenario, &stage).await.map_err(|failure| failure.to_string())
        })
    }

    #[test]
    fn a_play_that_goes_as_written_agrees() {
        perform("origin got 1\norigin got #1 GET /a\n  !Cookie").unwrap();
    }

    #[test]
    fn a_step_that_goes_otherwise_is_named_by_its_line() {
        let rows = [
            ("origin got 2", "expected 2 requests"),
            ("origin got 1\n> GET /a\n< head 201", "there came no response"),
            ("origin got 1\n> GET /a\norigin got 1", "expected 1 requests at the origin, got 2"),
            ("origin got 1\n> GET /a\nrelease /a\n< 200", "expected status [200], got 201"),
            ("origin got 1\n> GET /a", "in the end the origin had got 2"),
            ("origin got 1\norigin got #1 GET /b", "expected GET /b"),
            ("origin got 1\n< closed", "stays open"),
            ("origin got 1\npurge all", "no edge at hand"),
        ];
        for (steps, expected) in rows {
            let error = perform(steps).unwrap_err();
            assert!(error.contains(expected), "{steps:?}: {error}");
        }
    }

    #[test]
    fn waiting_moves_no_clock_and_a_clock_step_does() {
        let steps = "slow> GET /slow\nslow< head 200\n  so far \"ab\"\norigin got 2\nclock +10s\n\
            slow< head 200\n  so far \"abcd\"\nclock +20s\nslow< 200\n  \"abcdef\"\norigin got 2\n";
        perform(steps).unwrap();
        let hasty = steps.replace("clock +10s\n", "");
        assert!(perform(&hasty).unwrap_err().contains("expected content to begin"));
    }

    #[test]
    fn a_server_that_is_down_drops_and_refuses() {
        perform("origin down\n< closed\n> GET /a\n< closed\norigin up\n> GET /a\nrelease /a\n< 201\n  no body\norigin got 2").unwrap();
    }

    #[test]
    fn a_stalled_client_reads_when_it_may() {
        perform(
            "s> GET /a\n  stalls\nrelease /a\ns< nothing\ns reads\ns< 201\n  no body\norigin got 2",
        )
        .unwrap();
    }
}
