//! What a process waits for before it answers, and the signal that ends the wait.
//!
//! In: futures, from the thread that starts the process. Out: what they come to.
//! Always holds: SIGTERM and SIGINT end a process that still starts at once, as they end one that
//! answers: nothing is in flight yet. Other signals are kept for when it runs.
//! It does not know what is waited for.

use nearcast_daemon::signals::Signals;
use tokio::runtime::{Handle, Runtime};

use crate::failure::Failure;

/// See the module.
pub(crate) struct Waits {
    control: Handle,
    signals: Signals,
}

impl Waits {
    /// Takes the process's signals over, and waits inside `control`.
    pub(crate) fn inside(control: &Runtime) -> Result<Self, Failure> {
        let control = control.handle().clone();
        let signals = {
            let _inside = control.enter();
            Signals::install().map_err(|error| Failure::of(&error))?
        };
        Ok(Self { control, signals })
    }

    /// The runtime that is waited in.
    pub(crate) fn control(&self) -> &Handle {
        &self.control
    }

    /// Waits for `work`, which is dropped when a signal ends the process meanwhile.
    pub(crate) fn on<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Failure> {
        self.control.block_on(async {
            tokio::select! {
                biased;
                () = self.signals.ended() => Err(Failure::ended()),
                done = work => Ok(done),
            }
        })
    }

    /// There is nothing more to wait for.
    pub(crate) fn over(self) -> Signals {
        self.signals
    }
}
