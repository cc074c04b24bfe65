//! Whether the ledger can be written and followed, and who finds out that it can again.
//!
//! In: failures, as they are met. Out: [`Health`], told once when it begins and once when it is over.
//! Always: it is mended only by a write that was stored. It does not know what failed.

use std::sync::Arc;

use async_nats::HeaderMap;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    link::{Link, PATIENCE, Refusal},
    names::Names,
    pace::Pace,
    streams::Extent,
};
use crate::ledger::Health;

/// See the module.
#[derive(Debug)]
pub(super) struct Standing {
    health: watch::Sender<Health>,
    failing: Mutex<Failing>,
    trouble: Notify,
}

#[derive(Debug, Default)]
struct Failing {
    writing: Option<String>,
    following: Option<String>,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            health: watch::Sender::new(Health::default()),
            failing: Mutex::default(),
            trouble: Notify::new(),
        }
    }
}

impl Standing {
    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// It cannot be written.
    pub(super) fn not_written(&self, reason: &str) {
        self.failing.lock().writing = Some(reason.to_owned());
        self.tell();
        self.trouble.notify_one();
    }

    /// Documents cannot be followed.
    pub(super) fn not_followed(&self, reason: &str) {
        self.failing.lock().following = Some(reason.to_owned());
        self.tell();
    }

    /// Documents are followed.
    pub(super) fn followed(&self) {
        self.failing.lock().following = None;
        self.tell();
    }

    fn written(&self) {
        self.failing.lock().writing = None;
        self.tell();
    }

    fn tell(&self) {
        let reason = {
            let failing = self.failing.lock();
            failing.writing.clone().or_else(|| failing.following.clone())
        };
        self.health.send_if_modified(|health| match (health.failing().is_some(), reason) {
            (false, None) => false,
            (true, None) => {
                tracing::info!("the ledger in NATS takes writes again");
                health.mend();
                true
            }
            (false, Some(reason)) => {
                tracing::warn!(
                    "the ledger in NATS fails: {reason}; nothing can be purged until it is back, \
                     and what is stored goes on being served"
                );
                health.fail(&reason);
                true
            }
            (true, Some(reason)) => {
                let is_new = health.failing() != Some(&*reason);
                health.still(&reason);
                is_new
            }
        });
    }
}

/// Tries again and again whether it can be written, whenever it could not.
pub(super) async fn look_after(standing: Arc<Standing>, link: Link, names: Names) {
    loop {
        standing.trouble.notified().await;
        let mut pace = Pace::default();
        loop {
            pace.wait().await;
            match probe(&link, &names).await {
                Ok(()) => break standing.written(),
                Err(reason) => {
                    standing.failing.lock().writing = Some(reason.to_string());
                    standing.tell();
                }
            }
        }
    }
}

async fn probe(link: &Link, names: &Names) -> Result<(), Refusal> {
    for stream in names.streams() {
        Extent::of(link, &stream).await?;
    }
    let until = Instant::now() + PATIENCE;
    link.publish(&names.probe(), HeaderMap::new(), Bytes::new(), until).await.map(drop)
}
