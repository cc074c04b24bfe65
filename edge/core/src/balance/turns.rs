//! `round-robin`: in turn, smoothly by weight.
//!
//! Each turn adds to every server its weight, and takes the sum from the one that is farthest ahead,
//! whose turn it is. So weights 3 and 1 make a a b a, not a a a b.
//! Always holds: a server that could not take part has no turns to catch up on; further tries have turns
//! of their own.

use super::ServerView;

/// How far ahead each server is, for first tries and for further ones.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    first: Vec<i64>,
    further: Vec<i64>,
}

impl Turns {
    /// The first turn of so many servers.
    #[must_use]
    pub fn of(servers: usize) -> Self {
        Self { first: vec![0; servers], further: vec![0; servers] }
    }

    /// Whose turn it is among `eligible`. A further try takes none of the first tries': with two servers
    /// the failing one would else be the first for every request, its neighbour always being the second.
    /// But it takes one of its own, else what one server fails would all go to its neighbour.
    pub(super) fn take(
        &mut self,
        servers: &[ServerView],
        eligible: &[usize],
        is_first: bool,
    ) -> Option<usize> {
        let all = if is_first { &mut self.first } else { &mut self.further };
        let share = |index: usize| servers.get(index).map_or(0, |view| i64::from(view.share()));
        let mut total = 0_i64;
        let mut best: Option<(i64, usize)> = None;
        for &index in eligible {
            let ahead = all.get(index).copied().unwrap_or(0).saturating_add(share(index));
            total = total.saturating_add(share(index));
            if best.is_none_or(|(most, _)| ahead > most) {
                best = Some((ahead, index));
            }
        }
        let (_, chosen) = best?;
        for &index in eligible {
            let taken = if index == chosen { total } else { 0 };
            if let Some(ahead) = all.get_mut(index) {
                *ahead = ahead.saturating_add(share(index)).saturating_sub(taken);
            }
        }
        Some(chosen)
    }
}
