//! Reloads: one after the other, on a thread that may wait, so that a signal never does.
//!
//! In: that settings are to be read again, because somebody asked, a watched file changed, or the
//! ledger's sites did. Out: what a reload came to.
//! Always holds: one is under way at a time; what is asked for meanwhile is one more after it, which
//! sees all that changed until it began; the files of the last reload are watched.
//! It knows no settings: what is read, and what follows from it, is the reload's.

use std::{sync::Arc, time::Duration};

use geodns::server::Server;
use nearcast_control::site::Known;
use nearcast_daemon::{
    files::{Print, Watcher},
    log::Log,
};
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
};

use crate::{edges::Edges, sites::Sites};

/// What a reload may change.
pub(crate) struct Roles {
    /// The edges.
    pub(crate) edges: Edges,
    /// The GeoDNS server.
    pub(crate) dns: Option<Server>,
    /// The operator's log.
    pub(crate) log: Log,
    /// The sites.
    pub(crate) sites: Sites,
}

/// Why settings are to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Somebody asked, or a file changed.
    Asked,
    /// The ledger's sites changed.
    Sites,
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
pub(crate) type Reload = Arc<dyn Fn(Why) -> Reloaded + Send + Sync>;

/// See the module.
pub(crate) struct Reloads {
    reload: Reload,
    files: Watcher,
    sites: Option<watch::Receiver<Arc<Known>>>,
    under_way: Option<(Why, JoinHandle<Reloaded>)>,
    is_wanted: bool,
}

impl Reloads {
    /// Nothing to do before one of `files` or the ledger's `sites` change.
    pub(crate) fn new(
        reload: Reload,
        files: Watcher,
        sites: Option<watch::Receiver<Arc<Known>>>,
    ) -> Self {
        Self { reload, files, sites, under_way: None, is_wanted: false }
    }

    /// Asks for one.
    pub(crate) const fn ask(&mut self) {
        self.is_wanted = true;
    }

    /// Waits until one has ended, which begins once it is wanted; the drain's new deadline, if it
    /// brought one. Cancel safe: what has begun goes on.
    pub(crate) async fn next(&mut self) -> Option<Duration> {
        loop {
            if let Some((why, under_way)) = &mut self.under_way {
                let (why, ended) = (*why, under_way.await);
                self.under_way = None;
                match ended {
                    Ok(reloaded) => {
                        // Otherwise none was read.
                        if why == Why::Asked {
                            self.files.watch(&reloaded.files);
                        }
                        return reloaded.drain_deadline;
                    }
                    Err(error) => tracing::error!(%error, "a reload broke off"),
                }
            }
            let mut why = Why::Asked;
            if !self.is_wanted {
                tokio::select! {
                    () = self.files.changed() => {}
                    () = changed(&mut self.sites) => why = Why::Sites,
                }
            }
            self.is_wanted = false;
            let reload = Arc::clone(&self.reload);
            self.under_way = Some((why, spawn_blocking(move || reload(why))));
        }
    }
}

/// Waits for a change of the ledger's sites; where nobody follows them there is none.
async fn changed(sites: &mut Option<watch::Receiver<Arc<Known>>>) {
    if let Some(sites) = sites
        && sites.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
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
        let reload = Arc::new(move |why| {
            assert_eq!(why, Why::Asked);
            begins.send(()).unwrap();
            ends.lock().recv_timeout(LONG).unwrap();
            Reloaded { drain_deadline: Some(SHORT), ..Reloaded::default() }
        });
        let mut reloads = Reloads::new(reload, Watcher::new(), None);
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

    #[tokio::test]
    async fn sites_that_change_again_and_again_are_one_more_reload() {
        let (tell, sites) = watch::channel(Arc::new(Known::default()));
        let (begins, begun) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let ends = Mutex::new(ends);
        let reload = Arc::new(move |why| {
            begins.send(why).unwrap();
            ends.lock().recv_timeout(LONG).unwrap();
            Reloaded::default()
        });
        let mut reloads = Reloads::new(reload, Watcher::new(), Some(sites));
        assert!(timeout(SHORT, reloads.next()).await.is_err(), "nothing has changed");
        for _ in 0..2 {
            tell.send_replace(Arc::new(Known { listed: true, ..Known::default() }));
            assert!(timeout(SHORT, reloads.next()).await.is_err(), "it has not ended");
            assert_eq!(begun.recv_timeout(LONG), Ok(Why::Sites));
            for _ in 0..100 {
                tell.send_replace(Arc::new(Known::default()));
            }
            for _ in 0..2 {
                end.send(()).unwrap();
                assert_eq!(timeout(LONG, reloads.next()).await, Ok(None));
            }
            assert_eq!(begun.recv_timeout(LONG), Ok(Why::Sites), "one for all");
            assert!(begun.try_recv().is_err());
        }
        drop(tell);
        reloads.ask();
        assert!(timeout(SHORT, reloads.next()).await.is_err());
        assert_eq!(begun.recv_timeout(LONG), Ok(Why::Asked), "what is asked for goes on");
        end.send(()).unwrap();
        assert_eq!(timeout(LONG, reloads.next()).await, Ok(None));
    }
}
