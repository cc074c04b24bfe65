//! The one byte budget: what is stored, being filled, or held by a slow reader.
//!
//! In: a wish for bytes. Out: a [`Charge`] that gives them back when it drops, or nothing; or a
//! [`Purse`], bytes taken ahead for copies that follow one another.
//! Always holds: the sum of live charges never exceeds the limit; a copy is charged until its last
//! reference drops. It knows nothing of keys, eviction or HTTP; who is refused decides what to do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::{sync::Notify, time::timeout};

/// Bytes that each charged copy costs beside its content: the `Bytes` owner with its count and
/// charge (64), its place in a queue that has doubled (80), the allocator's rounding.
///
/// An origin that flushes byte by byte makes as many copies as bytes.
pub const COPY_OVERHEAD_BYTES: usize = 160;

/// Content on its way is cut into pieces that cost no more than 16 KiB, so that even the smallest
/// window holds several: one being written, one waiting, one coming.
pub const PIECE_BYTES: usize = 16 * 1024 - COPY_OVERHEAD_BYTES;

/// A limit on bytes, shared by all who hold some.
#[derive(Debug)]
pub struct Budget {
    limit: AtomicUsize,
    used: AtomicUsize,
    refused: AtomicU64,
    /// Told whenever bytes are given back.
    freed: Notify,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(limit),
            used: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            freed: Notify::new(),
        })
    }

    /// Takes `bytes` from the budget, or refuses and counts it.
    #[must_use]
    pub fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        self.reserve_after(bytes, 0, || false)
    }

    /// The same, but `spare` bytes must be left for others, and `make_room` is asked before each
    /// further try, until it says that it cannot.
    #[must_use]
    pub fn reserve_after(
        self: &Arc<Self>,
        bytes: usize,
        spare: usize,
        mut make_room: impl FnMut() -> bool,
    ) -> Option<Charge> {
        loop {
            if let Some(charge) = self.take(bytes, spare) {
                return Some(charge);
            }
            if !make_room() {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        }
    }

    fn take(self: &Arc<Self>, bytes: usize, spare: usize) -> Option<Charge> {
        let limit = self.limit.load(Ordering::Relaxed).saturating_sub(spare);
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= limit)
        });
        taken.is_ok().then(|| Charge { budget: Arc::clone(self), bytes })
    }

    /// Waits for `bytes` until `patience` ends.
    pub async fn reserve_within(
        self: &Arc<Self>,
        bytes: usize,
        patience: Duration,
    ) -> Option<Charge> {
        timeout(patience, async {
            loop {
                let freed = self.freed.notified();
                if let Some(charge) = self.reserve(bytes) {
                    return charge;
                }
                freed.await;
            }
        })
        .await
        .ok()
    }

    /// An exact-size copy of `content` that carries its own charge.
    ///
    /// Exact copies rather than slices of a read buffer: a slice keeps the whole buffer alive, and
    /// a budget that counts slices counts too little.
    #[must_use]
    pub fn copy(self: &Arc<Self>, content: &[u8]) -> Option<Bytes> {
        let charge = self.reserve(cost(content))?;
        Some(Bytes::from_owner(Charged { content: content.into(), _held: Held::Own(charge) }))
    }

    /// One charged piece out of several: the parts' bytes in one exact-size allocation.
    #[must_use]
    pub fn join(self: &Arc<Self>, parts: &[Bytes]) -> Option<Bytes> {
        let length: usize = parts.iter().map(Bytes::len).sum();
        let charge = self.reserve(length.saturating_add(COPY_OVERHEAD_BYTES))?;
        let mut content = Vec::with_capacity(length);
        for part in parts {
            content.extend_from_slice(part);
        }
        let content = content.into_boxed_slice();
        Some(Bytes::from_owner(Charged { content, _held: Held::Own(charge) }))
    }

    /// Bytes in use now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The most bytes that may be in use.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// How many wishes were refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Bytes taken from a [`Budget`]; dropping it gives them back.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    /// How many bytes this charge holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back what is more than `bytes`.
    pub fn reduce_to(&mut self, bytes: usize) {
        let more = self.bytes.saturating_sub(bytes);
        if more > 0 {
            self.bytes -= more;
            self.budget.used.fetch_sub(more, Ordering::AcqRel);
            self.budget.freed.notify_waiters();
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
        self.budget.freed.notify_waiters();
    }
}

/// What a copy of `content` costs.
#[must_use]
pub fn cost(content: &[u8]) -> usize {
    content.len().saturating_add(COPY_OVERHEAD_BYTES)
}

/// Bytes taken from a [`Budget`] ahead: copies are paid out of it and pay it back when their last
/// reference drops. All of it returns to the budget after the last copy.
#[derive(Debug)]
pub struct Purse {
    charge: Charge,
    used: AtomicUsize,
    /// Who waits for bytes to come back.
    waiting: AtomicWaker,
}

impl Purse {
    /// A purse with the bytes of `charge`.
    #[must_use]
    pub fn new(charge: Charge) -> Arc<Self> {
        Arc::new(Self { charge, used: AtomicUsize::new(0), waiting: AtomicWaker::new() })
    }

    /// How many bytes are or were in it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.charge.bytes
    }

    /// An exact-size copy of `content`, if enough is left for it.
    #[must_use]
    pub fn copy(self: &Arc<Self>, content: &[u8]) -> Option<Bytes> {
        let bytes = cost(content);
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.charge.bytes)
        });
        taken.ok()?;
        let share = Share { purse: Arc::clone(self), bytes };
        Some(Bytes::from_owner(Charged { content: content.into(), _held: Held::Of(share) }))
    }

    /// Waits until a copy of `length` bytes can be paid; one task at a time may wait.
    pub fn poll_room(&self, length: usize, cx: &Context<'_>) -> Poll<()> {
        let has = || {
            let sum = self.used.load(Ordering::Acquire).saturating_add(length);
            sum.saturating_add(COPY_OVERHEAD_BYTES) <= self.charge.bytes
        };
        if has() {
            return Poll::Ready(());
        }
        self.waiting.register(cx.waker());
        // What came back before the waker stood there woke nobody.
        if has() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// What a copy has taken out of a [`Purse`].
struct Share {
    purse: Arc<Purse>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.purse.used.fetch_sub(self.bytes, Ordering::AcqRel);
        self.purse.waiting.wake();
    }
}

/// What a copy is paid with.
enum Held {
    Own(#[expect(dead_code, reason = "held for its drop")] Charge),
    Of(#[expect(dead_code, reason = "held for its drop")] Share),
}

/// Owned content with its charge: what a charged `Bytes` keeps alive.
struct Charged {
    content: Box<[u8]>,
    _held: Held,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_is_given_back_when_the_last_reference_drops() {
        let budget = Budget::new(1000);
        let first = budget.copy(&[7; 500]).unwrap();
        let second = first.clone();
        assert_eq!(budget.used(), 500 + COPY_OVERHEAD_BYTES);
        drop(first);
        assert_eq!(budget.used(), 500 + COPY_OVERHEAD_BYTES);
        drop(second);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn the_limit_is_never_exceeded_and_refusals_are_counted() {
        let budget = Budget::new(1000);
        let held = budget.reserve(1000).unwrap();
        assert!(budget.reserve(1).is_none());
        assert_eq!(budget.refused(), 1);
        drop(held);
        assert!(budget.reserve(1000).is_some());
        assert!(budget.reserve(1001).is_none());
        assert!(budget.reserve(usize::MAX).is_none());
    }

    #[test]
    fn a_purse_pays_for_copies_and_is_paid_back_with_the_last() {
        let budget = Budget::new(1000);
        let purse = Purse::new(budget.reserve(2 * COPY_OVERHEAD_BYTES + 100).unwrap());
        let first = purse.copy(&[7; 60]).unwrap();
        assert!(purse.copy(&[7; 60]).is_none(), "40 bytes are left");
        let second = purse.copy(&[7; 40]).unwrap();
        assert!(purse.copy(&[]).is_none(), "a copy costs something even without content");
        drop(first);
        let third = purse.copy(&[7; 60]).unwrap();
        drop((purse, second));
        assert_eq!(budget.used(), 2 * COPY_OVERHEAD_BYTES + 100);
        drop(third);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn joined_parts_are_the_parts_in_order() {
        let budget = Budget::new(10_000);
        let parts = [Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"cde")];
        assert_eq!(budget.join(&parts).unwrap(), Bytes::from_static(b"abcde"));
    }
}
