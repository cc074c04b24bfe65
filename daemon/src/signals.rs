//! Signals as a stream of events.
//!
//! In: SIGTERM, SIGINT, SIGHUP, SIGUSR1. Out: what the operator asked for.
//! Always: the first SIGTERM or SIGINT asks for a drain and every later one for an immediate stop;
//! no signal is lost while nobody awaits, though repeats of the same one may arrive as one.
//! Does not know: how to drain, reload, reopen or stop; only `main` acts and exits.
//! Clause: docs/operate.md *Reload*, *Drain and stop*, *Rotation*.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the operator asked for by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// First SIGTERM or SIGINT: finish what is in flight, take nothing new, end.
    Drain,
    /// A further SIGTERM or SIGINT: end now.
    Stop,
    /// SIGHUP: read the settings again, and open the log files again.
    Reload,
    /// SIGUSR1: open the log files again and nothing else, for log rotation.
    ReopenLogs,
}

/// The process's signals. Install it once, before the first thread serves.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
    draining: bool,
}

impl Signals {
    /// Takes over the four signals; must be called inside a runtime with I/O enabled.
    ///
    /// # Errors
    /// When the runtime cannot register a handler.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            draining: false,
        })
    }

    /// The next event. Cancel safe: a dropped wait loses nothing.
    pub async fn next(&mut self) -> Event {
        // Ending comes first: under a storm of SIGHUPs the operator must still get out.
        tokio::select! {
            biased;
            _ = self.terminate.recv() => self.end(),
            _ = self.interrupt.recv() => self.end(),
            _ = self.hangup.recv() => Event::Reload,
            _ = self.user1.recv() => Event::ReopenLogs,
        }
    }

    /// Waits until the process is to end; what else is asked for meanwhile stays for [`Self::next`].
    /// Cancel safe.
    pub async fn ended(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        self.draining = true;
    }

    fn end(&mut self) -> Event {
        if self.draining {
            return Event::Stop;
        }
        self.draining = true;
        Event::Drain
    }
}
