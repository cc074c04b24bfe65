//! Memory that loading took and no longer needs, given back to the system.
//!
//! In: that something was loaded, and looks at retired views, one a second. Out: nothing; the
//! process is smaller.
//! Always holds: it waits until nobody reads a retired view any longer, so the old map goes with the
//! rest, and until the allocator lets go of what is free.
//! It deliberately does not know what was loaded, nor which allocator there is. Who allocates all the
//! time, as the edge does, needs none of this; a process that only answers DNS never allocates again.

use std::{
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
};

/// Looks from the last load, or the last retired view, until memory is given back. The allocator
/// keeps what is free for a second, in case somebody wants it again, and then looks at it only when a
/// large block is freed.
const LOOKS: u32 = 4;
/// So large that it is a block of its own for every allocator; it is never written to.
const LARGE_BYTES: usize = 8 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    loaded: AtomicBool,
}

/// The looks that are left. Nothing is due at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Looks(u32);

impl Spare {
    /// Something was loaded.
    pub(crate) fn loaded(&self) {
        self.loaded.store(true, Ordering::Release);
    }

    /// A look, with so many retired views that are still read: whether it is time to [`give_back`].
    pub(crate) fn is_due(&self, looks: &mut Looks, still_read: usize) -> bool {
        let was_loaded = self.loaded.swap(false, Ordering::AcqRel);
        if was_loaded || (still_read > 0 && looks.0 > 0) {
            looks.0 = LOOKS;
        }
        let before = looks.0;
        looks.0 = before.saturating_sub(1);
        before == 1
    }
}

/// Makes the allocator look at what it holds; it may take some milliseconds.
pub(crate) fn give_back() {
    drop(black_box(Vec::<u8>::with_capacity(LARGE_BYTES)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_after_the_last_load_and_the_last_reader() {
        let spare = Spare::default();
        let mut looks = Looks::default();
        let mut due = |still_read| spare.is_due(&mut looks, still_read);
        assert!(!due(0) && !due(1), "nothing was loaded");
        spare.loaded();
        assert_eq!([0; 6].map(&mut due), [false, false, false, true, false, false]);
        // Readers of the old view put it off.
        spare.loaded();
        assert_eq!([1, 1, 1].map(&mut due), [false; 3]);
        assert_eq!([0, 0, 0, 0].map(&mut due), [false, false, true, false]);
        // So does the next load.
        spare.loaded();
        assert_eq!([0, 0, 0].map(&mut due), [false; 3]);
        spare.loaded();
        assert_eq!([0; 5].map(&mut due), [false, false, false, true, false]);
    }
}
