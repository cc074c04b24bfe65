//! What an operator says of a PoP in passing: drain it, or hold it up or down.
//!
//! In: an order, with or without an end. Out: what holds at `now`. Always holds: an order ends by
//! itself at its end, without anybody having to act; the last order of a kind replaces the one
//! before.
//! It deliberately keeps nothing beyond the process: what is meant to last stands in the fleet.

use crate::{moment::Moment, settings::StateWord};

/// An order and when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Until<T> {
    order: T,
    end: Option<Moment>,
}

impl<T: Copy> Until<T> {
    fn at(&self, now: Moment) -> Option<T> {
        self.end.is_none_or(|end| now < end).then_some(self.order)
    }
}

/// What an operator said of one PoP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    drain: Option<Until<bool>>,
    force: Option<Until<StateWord>>,
}

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Take it out of answers as long as others are there.
    Drain,
    /// Take it back in, whatever the fleet's settings say.
    Undrain,
    /// Hold it up or down, whatever probes say.
    Force(StateWord),
    /// Believe probes again.
    Unforce,
    /// Forget every order: what the fleet's settings and probes say holds.
    Clear,
}

impl Orders {
    /// Takes an order that holds until `end`, or until the next of its kind.
    pub fn take(&mut self, order: Order, end: Option<Moment>) {
        match order {
            Order::Drain => self.drain = Some(Until { order: true, end }),
            Order::Undrain => self.drain = Some(Until { order: false, end }),
            Order::Force(state) => self.force = Some(Until { order: state, end }),
            Order::Unforce => self.force = None,
            Order::Clear => *self = Self::default(),
        }
    }

    /// Whether it is drained, where an order says.
    #[must_use]
    pub fn drained(&self, now: Moment) -> Option<bool> {
        self.drain.and_then(|drain| drain.at(now))
    }

    /// The state in which it is held.
    #[must_use]
    pub fn forced(&self, now: Moment) -> Option<StateWord> {
        self.force.and_then(|force| force.at(now))
    }

    /// When the next of them ends.
    #[must_use]
    pub fn next_end(&self, now: Moment) -> Option<Moment> {
        let drain = self.drain.and_then(|drain| drain.end);
        let force = self.force.and_then(|force| force.end);
        drain.into_iter().chain(force).filter(|end| now < *end).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_hold_until_their_end_or_the_next_of_their_kind() {
        let at = Moment::from_millis;
        let mut orders = Orders::default();
        assert_eq!(
            (orders.drained(at(0)), orders.forced(at(0)), orders.next_end(at(0))),
            (None, None, None)
        );
        orders.take(Order::Drain, Some(at(100)));
        orders.take(Order::Force(StateWord::Down), None);
        let rows = [
            (99, Some(true), Some(StateWord::Down), Some(at(100))),
            (100, None, Some(StateWord::Down), None),
        ];
        for (now, drained, forced, end) in rows {
            let now = at(now);
            assert_eq!(orders.drained(now), drained);
            assert_eq!(orders.forced(now), forced);
            assert_eq!(orders.next_end(now), end);
        }
        orders.take(Order::Undrain, None);
        orders.take(Order::Force(StateWord::Up), Some(at(300)));
        assert_eq!(orders.drained(at(200)), Some(false));
        assert_eq!(orders.forced(at(200)), Some(StateWord::Up));
        orders.take(Order::Unforce, None);
        assert_eq!(orders.forced(at(200)), None);
        assert_eq!(orders.drained(at(200)), Some(false), "an order of another kind");
        orders.take(Order::Force(StateWord::Down), Some(at(300)));
        orders.take(Order::Clear, None);
        assert_eq!(orders, Orders::default());
    }
}
