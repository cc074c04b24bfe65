//! Bytes that arrived before their turn: a head that is not whole, or what follows a request that is being answered.
//!
//! In go bytes in the order of their arrival, out go the same. What always holds: they take at most a step more memory
//! than they are, and none when nothing is held. It does not know why they wait.

use std::ops::Deref;

use bytes::{Buf, BytesMut};

/// Memory grows by so much.
const STEP_BYTES: usize = 4 * 1024;

/// What each connection may hold without being charged for it, and what is read ahead of its turn.
pub(super) const FREE_BYTES: usize = STEP_BYTES;

/// Bytes that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: BytesMut,
    /// What they take of the memory, with what went from the front meanwhile.
    room: usize,
}

impl Held {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut held = Self::default();
        held.push(bytes);
        held
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        if more.is_empty() {
            return;
        }
        let length = self.bytes.len().saturating_add(more.len());
        // The library would double it.
        if length > self.bytes.capacity() {
            self.room = length.checked_next_multiple_of(STEP_BYTES).unwrap_or(length);
            let mut grown = BytesMut::with_capacity(self.room);
            grown.extend_from_slice(&self.bytes);
            self.bytes = grown;
        }
        self.bytes.extend_from_slice(more);
    }

    /// The first of them have had their turn.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes.min(self.bytes.len()));
        if self.bytes.is_empty() {
            *self = Self::default();
        }
    }

    /// Keeps the first of them alone; says whether there were more.
    pub(super) fn truncate(&mut self, bytes: usize) -> bool {
        let has_more = self.bytes.len() > bytes;
        if has_more {
            *self = Self::new(self.bytes.get(..bytes).unwrap_or_default());
        }
        has_more
    }

    /// What is to be charged for them.
    pub(super) fn charged_bytes(&self) -> usize {
        if self.room > FREE_BYTES { self.room } else { 0 }
    }
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_a_step_more_than_it_holds_at_most() {
        for piece in [1, 7, 1000, 4095, 4096, 4097, 31_000] {
            let mut held = Held::default();
            let mut expected = Vec::new();
            while expected.len() < 40_000 {
                let more: Vec<u8> = (0..=250).cycle().take(piece).collect();
                held.push(&more);
                expected.extend(more);
                assert_eq!(*held, *expected);
                assert!(held.bytes.capacity() < expected.len() + STEP_BYTES, "{piece}");
                let charged = held.charged_bytes();
                assert_eq!(charged, if held.room > FREE_BYTES { held.bytes.capacity() } else { 0 });
            }
            // What went from the front is still there, in memory.
            let before = held.charged_bytes();
            held.advance(expected.len() - 1);
            assert_eq!((&*held, held.charged_bytes()), (&expected[expected.len() - 1..], before));
            held.advance(1);
            assert_eq!((held.len(), held.charged_bytes(), held.bytes.capacity()), (0, 0, 0));
        }
    }
}
