//! Reloads: one after the other, on a thread that may wait, so that a signal never does.
//!
//! In: that settings are to be read again, because somebody asked or a watched file changed. Out: what
//! a reload came to.
//! Always holds: one is under way at a time; what is asked for meanwhile is one more after it, which
//! sees all that changed until it began; the files of the last reload are watched.
//! It knows no settings: what is read, and what follows from it, is the reload's.

use std::{sync::Arc, time::Duration};

use geodns::server::Server;
use nearcast_daemon::{
    files::{Print, Watcher},
    log::Log,
};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::edges::Edges;

/// What a reload may change.
pub(crate) struct Roles {
    /// The edges.
    pub(crate) edges: Edges,
    /// The GeoDNS server.
    pub(crate) dns: Option<Server>,
    /// The operator's log.
    pub(crate) log: Log,
}

/// What a reload came to.
#[derive(Debug, Default)]
pub(crate) struct Reloaded {
    /// The files that it followed from.
    pub(crate) files: Vec<Print>,
    /// How long a drain may take from now on, if that is known anew.
    pub(crate) drain_deadline: Option<Duration>,
}

/// Reads settings and gives them to whoever goes by them; it may take seconds.
pub(crate) type Reload = Arc<dyn Fn() -> Reloaded + Send + Sync>;

/// See the module.
pub(crate) struct Reloads {
    reload: Reload,
    files: Watcher,
    under_way: Option<JoinHandle<Reloaded>>,
    is_wanted: bool,
}

impl Reloads {
    /// Nothing to do before one of `files` changes.
    pub(crate) fn new(reload: Reload, files: Watcher) -> Self {
        Self { reload, files, under_way: None, is_wanted: false }
    }

    /// Asks for one.
    pub(crate) const fn ask(&mut self) {
        self.is_wanted = true;
    }

    /// Waits until one has ended, which begins once it is wanted; the drain's new deadline, if it
    /// brought one. Cancel safe: what has begun goes on.
    pub(crate) async fn next(&mut self) -> Option<Duration> {
        loop {
            if let Some(under_way) = &mut self.under_way {
                let ended = under_way.await;
                self.under_way = None;
                match ended {
                    Ok(reloaded) => {
                        self.files.watch(&reloaded.files);
                        return reloaded.drain_deadline;
                    }
                    Err(error) => tracing::error!(%error, "a reload broke off"),
                }
            }
            if !self.is_wanted {
                self.files.changed().await;
            }
            self.is_wanted = false;
            let reload = Arc::clone(&self.reload);
            self.under_way = Some(spawn_blocking(move || reload()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use parking_lot::Mutex;
    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_reload_holds_nobody_up_and_one_more_follows_it() {
        let (begins, begun) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let ends = Mutex::new(ends);
        let reload = Arc::new(move || {
            begins.send(()).unwrap();
            ends.lock().recv_timeout(LONG).unwrap();
            Reloaded { drain_deadline: Some(SHORT), ..Reloaded::default() }
        });
        let mut reloads = Reloads::new(reload, Watcher::new());
        assert!(timeout(SHORT, reloads.next()).await.is_err(), "nobody has asked");
        reloads.ask();
        assert!(timeout(SHORT, reloads.next()).await.is_err(), "it has not ended");
        begun.recv_timeout(LONG).unwrap();
        for _ in 0..3 {
            reloads.ask();
        }
        assert!(begun.try_recv().is_err(), "one at a time");
        for _ in 0..2 {
            end.send(()).unwrap();
            assert_eq!(timeout(LONG, reloads.next()).await, Ok(Some(SHORT)));
        }
        begun.recv_timeout(LONG).unwrap();
        assert!(timeout(SHORT, reloads.next()).await.is_err(), "one for all who asked meanwhile");
        assert!(begun.try_recv().is_err());
    }
}
