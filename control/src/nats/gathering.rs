//! Entries that many append to a log, on their way in as few messages as it takes.
//!
//! In: entries, each from who waits for it. Out: the number of each.
//! Always: an entry leaves at once, alone, unless a message is on its way already; what comes meanwhile
//! leaves together, when that is stored or [`SPACING`] after it left. A server that syncs what it stores
//! does so for each message, one after the other: on a slow disk more of them on their way are only more
//! to wait for, and on a long way one alone would leave it idle. So further ones leave no faster than
//! they are stored. Entries leave in the order in which they came; what its sender has given up before
//! it leaves is not sent; each is tried for as long as it was promised, but for a moment. It does not
//! know what entries say.
//! Clause: docs/decisions/0010-the-ledger-over-nats.md.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::{
        mpsc::{self, Receiver, Sender},
        oneshot,
    },
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    packed,
    writing::{Pen, TRIED},
};
use crate::ledger::{ENTRY_BYTES_MAX, LedgerError};

/// From one message that is not stored yet to the next: longer than a slow disk takes to sync, and short
/// beside a long way.
const SPACING: Duration = Duration::from_millis(10);
/// Messages of a log that are on their way at once, on a long way.
const UNDER_WAY: usize = 8;
/// Entries of one message, at most: fewer than have numbers, so that who looks back by messages looks at
/// a bounded number of entries.
const TOGETHER_MAX: usize = 64;
const _: () = assert!(TOGETHER_MAX as u64 <= packed::APART, "each has a number of its own");
/// Those of one message came within so long: it is tried until the first of them gives up.
const APART_MAX: Duration = Duration::from_secs(1);
/// What has less time left is not sent any more: no answer would come, which says nothing of the server.
const LEFT_MIN: Duration = Duration::from_millis(500);
/// Entries that wait, at most; who comes then waits to be let in.
const WAITING_MAX: usize = 4 * TOGETHER_MAX;

/// An entry that is to be appended.
struct Waiting {
    entry: Bytes,
    /// When its sender gives up.
    until: Instant,
    tell: oneshot::Sender<Result<u64, String>>,
}

/// Where entries are handed in; the other end is [`Gathering`].
#[derive(Debug)]
pub(super) struct Gate(Sender<Waiting>);

/// See the module.
pub(super) struct Gathering {
    pen: Pen,
    stream: String,
    subject: String,
    coming: Receiver<Waiting>,
}

impl Gate {
    /// For entries at a subject of a stream.
    pub(super) fn new(pen: Pen, stream: String, subject: String) -> (Self, Gathering) {
        let (gate, coming) = mpsc::channel(WAITING_MAX);
        (Self(gate), Gathering { pen, stream, subject, coming })
    }

    /// Appends an entry; says its number.
    pub(super) async fn append(&self, entry: Bytes) -> Result<u64, LedgerError> {
        let until = Instant::now() + TRIED;
        let over = || LedgerError::Unavailable("it was closed meanwhile".to_owned());
        let Ok(place) = timeout_at(until, self.0.reserve()).await else {
            return Err(LedgerError::Unavailable(LATE.to_owned()));
        };
        let (tell, told) = oneshot::channel();
        place.map_err(|_closed| over())?.send(Waiting { entry, until, tell });
        told.await.map_err(|_gone| over())?.map_err(LedgerError::Unavailable)
    }
}

/// What is told to who waited in vain.
const LATE: &str = "NATS took none of the entries before it in time; it was not sent";

impl Gathering {
    /// Sends what comes, for ever.
    pub(super) async fn run(self) {
        let Self { pen, stream, subject, mut coming } = self;
        let (pen, place) = (&pen, (&*stream, &*subject));
        let mut under_way = FuturesUnordered::new();
        let (mut next, mut pacing) = (None, Pacing::default());
        loop {
            let is_free = under_way.len() < UNDER_WAY;
            let not_before = pacing.not_before(under_way.len());
            let leaving = async {
                if let Some(not_before) = not_before {
                    sleep_until(not_before).await;
                }
                first(&mut next, &mut coming).await
            };
            tokio::select! {
                Some(left) = under_way.next() => pacing.stored(left, Instant::now()),
                first = leaving, if is_free => {
                    // Nobody can append any more.
                    let Some(first) = first else { break };
                    let together = gather(first, &mut next, &mut coming);
                    let left = Instant::now();
                    pacing.left = Some(left);
                    under_way.push(async move {
                        send(pen, place, together).await;
                        left
                    });
                }
            }
        }
        while under_way.next().await.is_some() {}
    }
}

/// When the next message may leave.
#[derive(Debug, Default)]
struct Pacing {
    /// When the newest one left.
    left: Option<Instant>,
    /// When one was stored last.
    stored: Option<Instant>,
    /// From one that was stored to the next, where that was on its way already: what the server takes
    /// for each.
    takes: Duration,
}

impl Pacing {
    fn not_before(&self, under_way: usize) -> Option<Instant> {
        let spacing = match under_way {
            0 => return None,
            1 => SPACING,
            // A little slower than they are stored, so that they grow fewer.
            _ => SPACING.max(self.takes.saturating_mul(5) / 4),
        };
        self.left.map(|left| left + spacing)
    }

    /// One was stored that had left then.
    fn stored(&mut self, left: Instant, now: Instant) {
        if let Some(before) = self.stored
            && left < before
        {
            self.takes = now.saturating_duration_since(before);
        }
        self.stored = Some(now);
    }
}

/// What is to leave first.
async fn first(next: &mut Option<Waiting>, coming: &mut Receiver<Waiting>) -> Option<Waiting> {
    match next.take() {
        Some(next) => Some(next),
        None => coming.recv().await,
    }
}

/// It, and what else is there and fits; what does not fit is `next`.
fn gather(
    first: Waiting,
    next: &mut Option<Waiting>,
    coming: &mut Receiver<Waiting>,
) -> Vec<Waiting> {
    let (mut bytes, until) = (first.entry.len(), first.until + APART_MAX);
    let mut together = vec![first];
    while together.len() < TOGETHER_MAX
        && let Ok(another) = coming.try_recv()
    {
        bytes = bytes.saturating_add(another.entry.len());
        if bytes > ENTRY_BYTES_MAX || another.until > until {
            *next = Some(another);
            break;
        }
        together.push(another);
    }
    together
}

/// Sends them as one message, and tells each its number.
async fn send(pen: &Pen, (stream, subject): (&str, &str), together: Vec<Waiting>) {
    let least = Instant::now() + LEFT_MIN;
    let is_late = |waiting: &Waiting| waiting.until <= least || waiting.tell.is_closed();
    let (late, together): (Vec<Waiting>, Vec<Waiting>) = together.into_iter().partition(is_late);
    for Waiting { tell, .. } in late {
        drop(tell.send(Err(LATE.to_owned())));
    }
    // So long as every one of them waits for it.
    let Some(until) = together.iter().map(|waiting| waiting.until).min() else { return };
    let (entries, waiting): (Vec<Bytes>, Vec<_>) =
        together.into_iter().map(|waiting| (waiting.entry, waiting.tell)).unzip();
    let sent = pen.entries(stream, subject, packed::pack(entries), until).await;
    // Who does not wait any more misses nothing: it is stored all the same.
    match sent {
        Ok(message) => {
            for (seq, tell) in packed::numbers(message, waiting.len()).zip(waiting) {
                drop(tell.send(Ok(seq)));
            }
        }
        Err(error) => {
            let reason = match error {
                LedgerError::Unavailable(reason) => reason,
                other => other.to_string(),
            };
            for tell in waiting {
                drop(tell.send(Err(reason.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    type Told = oneshot::Receiver<Result<u64, String>>;

    fn waiting(bytes: usize) -> (Waiting, Told) {
        let (tell, told) = oneshot::channel();
        let entry = Bytes::from(vec![b'x'; bytes]);
        (Waiting { entry, until: Instant::now() + TRIED, tell }, told)
    }

    fn refused(appended: Result<u64, LedgerError>) -> String {
        match appended {
            Err(LedgerError::Unavailable(reason)) => reason,
            other => format!("not refused: {other:?}"),
        }
    }

    /// How long the entries of each message are.
    fn gathered(lengths: &[usize]) -> Vec<Vec<usize>> {
        let (gate, mut coming) = mpsc::channel(lengths.len().max(1));
        for length in lengths {
            gate.try_send(waiting(*length).0).ok().unwrap();
        }
        drop(gate);
        let (mut next, mut messages) = (None, Vec::new());
        while let Some(one) = next.take().or_else(|| coming.try_recv().ok()) {
            let together = gather(one, &mut next, &mut coming);
            messages.push(together.iter().map(|waiting| waiting.entry.len()).collect());
        }
        messages
    }

    #[test]
    fn a_message_has_as_many_as_fit_in_their_order() {
        let (max, half) = (ENTRY_BYTES_MAX, ENTRY_BYTES_MAX / 2);
        assert_eq!(gathered(&[1, 2, 3]), [vec![1, 2, 3]]);
        assert_eq!(gathered(&[max, 0, 1, 2]), [vec![max, 0], vec![1, 2]]);
        assert_eq!(gathered(&[half, half, 1]), [vec![half, half], vec![1]]);
        assert_eq!(gathered(&[1, max, max, 1]), [vec![1], vec![max], vec![max], vec![1]]);
        let many: Vec<usize> = (1..=TOGETHER_MAX + 2).collect();
        assert_eq!(gathered(&many), [&many[..TOGETHER_MAX], &many[TOGETHER_MAX..]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_has_none_that_may_be_tried_for_longer() {
        let (gate, mut coming) = mpsc::channel(3);
        let mut told = Vec::new();
        for _ in 0..3 {
            let (waiting, one) = waiting(1);
            gate.try_send(waiting).ok().unwrap();
            told.push(one);
            advance(APART_MAX * 3 / 4).await;
        }
        let mut next = None;
        let first = coming.try_recv().unwrap();
        assert_eq!(gather(first, &mut next, &mut coming).len(), 2);
        let third = next.take().unwrap();
        assert_eq!(gather(third, &mut next, &mut coming).len(), 1);
        assert!(next.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn further_messages_leave_no_faster_than_they_are_stored() {
        let mut pacing = Pacing::default();
        assert_eq!(pacing.not_before(0), None, "an entry leaves at once");
        let begun = Instant::now();
        pacing.left = Some(begun);
        assert_eq!(pacing.not_before(1), Some(begun + SPACING));
        assert_eq!(pacing.not_before(2), Some(begun + SPACING), "as on a long way");
        // One after the other: how long the way is says nothing of the server.
        let take = Duration::from_millis(100);
        pacing.stored(begun, begun + take);
        pacing.stored(begun + take, begun + take * 2);
        assert_eq!(pacing.not_before(2), Some(begun + SPACING));
        // It was on its way when the one before was stored.
        pacing.stored(begun + take, begun + take * 3);
        assert_eq!(pacing.not_before(2), Some(begun + take * 5 / 4));
        assert_eq!(pacing.not_before(1), Some(begun + SPACING));
        assert_eq!(pacing.not_before(0), None);
    }

    #[tokio::test]
    async fn who_waits_is_told_when_nobody_sends_any_more() {
        let (gate, mut coming) = mpsc::channel(1);
        let gate = Gate(gate);
        let append = gate.append(Bytes::new());
        let taken = async { drop(coming.recv().await) };
        let (appended, ()) = tokio::join!(append, taken);
        assert!(refused(appended).contains("closed"));
        drop(coming);
        assert!(refused(gate.append(Bytes::new()).await).contains("closed"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_let_in_is_told_in_time() {
        let (gate, _coming) = mpsc::channel(1);
        gate.try_send(waiting(1).0).ok().unwrap();
        let asked = Instant::now();
        assert_eq!(refused(Gate(gate).append(Bytes::new()).await), LATE);
        assert_eq!(asked.elapsed(), TRIED);
    }
}
