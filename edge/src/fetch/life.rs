//! Whether the server at the far end of a shared connection is still there.
//!
//! In: what it is asked, what is heard of it. Out: whether a sign of it is overdue, and when the
//! connection is to be given up.
//! Always holds: whatever comes of the server is a sign of life, and a PING is only how to ask for
//! one; a request that brings none within a moment is enough to ask.
//! It knows no stream and no request.
//!
//! RFC 9113 §6.7 (PING).

use std::time::Duration;

use h2::{Ping, PingPong};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// How long after a request the server is asked for a sign, if nothing at all has come.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long after the last sign it is asked for one while requests are under way.
const PAUSE: Duration = Duration::from_secs(15);
/// How long it may take until nothing further is asked of it.
const DOUBT: Duration = Duration::from_secs(1);
/// How long it may take until it is given up.
const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Life {
    marks: Mutex<Marks>,
    changed: Notify,
}

struct Marks {
    heard: Instant,
    /// The first request since.
    asked: Option<Instant>,
    /// A PING without its answer.
    pinged: Option<Instant>,
}

impl Life {
    /// Of a connection that has just been made.
    pub(super) fn new() -> Self {
        let marks = Marks { heard: Instant::now(), asked: None, pinged: None };
        Self { marks: Mutex::new(marks), changed: Notify::new() }
    }

    /// Something is asked of the server.
    pub(super) fn asked(&self) {
        self.marks.lock().asked.get_or_insert_with(Instant::now);
        self.changed.notify_one();
    }

    /// Something has come of it.
    pub(super) fn heard(&self) {
        let mut marks = self.marks.lock();
        marks.heard = Instant::now();
        marks.asked = None;
    }

    /// Whether it should have given a sign by now.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.asked_for_a_sign().is_some_and(|since| since.elapsed() >= DOUBT)
    }

    /// Since when it has been asked for a sign without giving any.
    fn asked_for_a_sign(&self) -> Option<Instant> {
        let marks = self.marks.lock();
        marks.pinged.map(|pinged| pinged.max(marks.heard))
    }

    /// When to ask it for a sign.
    fn due(&self) -> Instant {
        let marks = self.marks.lock();
        let pause = marks.heard + PAUSE;
        marks.asked.map_or(pause, |asked| pause.min(asked + PATIENCE))
    }

    /// Ends when a server of which something `is_awaited` gives no sign of life.
    pub(super) async fn ends(&self, ping: &mut PingPong, is_awaited: impl Fn() -> bool) {
        loop {
            if !is_awaited() {
                self.changed.notified().await;
                continue;
            }
            let due = self.due();
            if due > Instant::now() {
                tokio::select! {
                    () = sleep_until(due) => {}
                    () = self.changed.notified() => {}
                }
                continue;
            }
            self.marks.lock().pinged = Some(Instant::now());
            if !self.answers(ping).await {
                return;
            }
            self.marks.lock().pinged = None;
        }
    }

    /// Whether a PING is answered while signs come.
    async fn answers(&self, ping: &mut PingPong) -> bool {
        let mut pong = std::pin::pin!(ping.ping(Ping::opaque()));
        while let Some(since) = self.asked_for_a_sign() {
            let end = since + PONG_TIMEOUT;
            if end <= Instant::now() {
                return false;
            }
            tokio::select! {
                pong = &mut pong => return pong.is_ok(),
                () = sleep_until(end) => {}
            }
        }
        true
    }
}
