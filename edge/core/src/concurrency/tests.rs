//! A limit against servers that are played: so many requests at once, the rest wait in turn.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use proptest::prelude::*;

use super::*;

const MAX: u32 = 256;

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

/// How long the server has for a request, in microseconds: by chance, and by the time since the start.
type Need = fn(chance: u64, micros: u64) -> u64;

/// A server whom clients have always more to ask than the limit allows.
struct Play {
    limit: Limit,
    /// Requests that it does at once.
    capacity: usize,
    now: u64,
    /// By when each is done, and when it was sent.
    busy: BinaryHeap<Reverse<(u64, u64)>>,
    /// When each was sent, and how long it takes.
    queue: VecDeque<(u64, u64)>,
    seed: u64,
}

impl Play {
    fn of(capacity: usize, max: u32) -> Self {
        Self {
            limit: Limit::new(max, at(0)),
            capacity,
            now: 0,
            busy: BinaryHeap::new(),
            queue: VecDeque::new(),
            seed: 1,
        }
    }

    fn chance(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood).
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn in_flight(&self) -> u32 {
        u32::try_from(self.busy.len() + self.queue.len()).unwrap()
    }

    /// Plays on for so many seconds; the least, the mean and the most that the limit was meanwhile.
    fn on(&mut self, seconds: u64, need: Need) -> (u32, u32, u32) {
        let until = self.now + seconds * 1_000_000;
        let (mut least, mut most, mut area, began) = (u32::MAX, 0, 0, self.now);
        while self.now < until {
            while self.in_flight() < self.limit.value() {
                let chance = self.chance();
                self.queue.push_back((self.now, need(chance, self.now).max(1)));
                self.begin();
            }
            let Reverse((done, sent)) = self.busy.pop().unwrap();
            let (value, lasted) = (self.limit.value(), done - self.now);
            (least, most) = (least.min(value), most.max(value));
            area += u64::from(value) * lasted;
            self.now = done;
            let in_flight = self.in_flight() + 1;
            let took = Duration::from_micros(done - sent);
            self.limit.answered(took, in_flight, at(done / 1000));
            self.begin();
        }
        (least, u32::try_from(area / (self.now - began).max(1)).unwrap(), most)
    }

    /// Begins what waits, while the server can do more.
    fn begin(&mut self) {
        while self.busy.len() < self.capacity
            && let Some((sent, need)) = self.queue.pop_front()
        {
            self.busy.push(Reverse((self.now + need, sent)));
        }
    }
}

const NEEDS: [(&str, Need); 5] = [
    ("all take as long", |_, _| 100_000),
    ("one of twenty is quick", |chance, _| if chance.is_multiple_of(20) { 1_000 } else { 100_000 }),
    ("one of twenty is slow", |chance, _| if chance.is_multiple_of(20) { 100_000 } else { 1_000 }),
    ("half are quick", |chance, _| if chance.is_multiple_of(2) { 1_000 } else { 100_000 }),
    ("all between", |chance, _| 1_000 + chance % 100_000),
];

#[test]
fn an_idle_server_gets_all_that_is_allowed_however_its_times_differ() {
    for (name, need) in NEEDS {
        let mut play = Play::of(usize::MAX, MAX);
        play.on(45, need);
        let (least, mean, most) = play.on(30, need);
        assert!(least >= MAX / 2 && mean >= MAX * 4 / 5 && most == MAX, "{name}: {least} {mean}");
    }
}

#[test]
fn a_server_is_held_near_what_it_can_do_at_once() {
    for (name, need) in NEEDS {
        for capacity in [10, 50, 150] {
            let mut play = Play::of(usize::try_from(capacity).unwrap(), 1000);
            play.on(90, need);
            let (least, mean, most) = play.on(60, need);
            let shown = format!("{name}, {capacity}: {least} {mean} {most}");
            assert!(mean >= capacity * 4 / 5 && mean <= capacity * 5 / 4, "{shown}");
            assert!(least >= capacity / 3 && most <= capacity * 2, "{shown}");
        }
    }
}

#[test]
fn a_server_that_can_do_less_all_at_once_is_followed_and_so_is_one_that_can_do_more() {
    let need: Need = |_, _| 20_000;
    let mut play = Play::of(200, MAX);
    play.on(60, need);
    play.capacity = 20;
    play.on(60, need);
    let (_, mean, most) = play.on(30, need);
    assert!((16..=26).contains(&mean) && most <= 40, "{mean} {most}");
    play.capacity = 200;
    play.on(60, need);
    let (_, mean, _) = play.on(30, need);
    assert!(mean >= 160, "{mean}");
}

#[test]
fn a_server_that_gets_three_times_as_slow_and_quick_again_keeps_its_limit() {
    for capacity in [40, usize::MAX] {
        let mut play = Play::of(capacity, MAX);
        let wanted = u32::try_from(capacity.min(200)).unwrap_or(MAX) * 3 / 4;
        for need in [|_, _| 10_000, |_, _| 30_000, |_, _| 10_000] as [Need; 3] {
            play.on(60, need);
            let (least, mean, _) = play.on(30, need);
            assert!(mean >= wanted, "{capacity}: {least} {mean}");
        }
    }
}

#[test]
fn no_client_shrinks_it_with_a_quick_url() {
    // Nine of ten requests are quick for a part of each period, and none else: of the length of a
    // round, of a trial, and longer.
    let needs: [(&str, Need); 4] = [
        ("0.4 s of 1 s", |chance, micros| burst(chance, micros, 1_000_000)),
        ("1.2 s of 3 s", |chance, micros| burst(chance, micros, 3_000_000)),
        ("2.8 s of 7 s", |chance, micros| burst(chance, micros, 7_000_000)),
        ("8 s of 20 s", |chance, micros| burst(chance, micros, 20_000_000)),
    ];
    fn burst(chance: u64, micros: u64, period: u64) -> u64 {
        let is_quick = micros % period < period * 2 / 5 && !chance.is_multiple_of(10);
        if is_quick { 1_000 } else { 100_000 }
    }
    for (name, need) in needs {
        let mut play = Play::of(usize::MAX, MAX);
        play.on(60, need);
        let (least, mean, _) = play.on(120, need);
        assert!(least >= FIRST && mean >= MAX / 2, "{name}: {least} {mean}");
    }
}

#[test]
fn a_limit_that_is_not_used_does_not_grow() {
    let mut limit = Limit::new(1000, at(0));
    for number in 0..10_000 {
        limit.answered(Duration::from_millis(1), 20, at(number));
    }
    assert_eq!(limit.value(), FIRST);
}

#[test]
fn who_does_not_answer_in_time_gets_half_and_a_few_late_ones_take_nothing() {
    let mut limit = Limit::new(1000, at(0));
    for left in [16, 8, LEAST, LEAST] {
        (0..limit.value()).for_each(|_| limit.was_late(at(0)));
        assert_eq!(limit.value(), left);
    }
    let mut limit = Limit::new(FIRST, at(0));
    for number in 0..100_000 {
        if number % 5 < 2 {
            limit.was_late(at(number));
        } else {
            limit.answered(Duration::from_millis(1), limit.value(), at(number));
        }
        assert!(limit.value() >= FIRST * 3 / 4, "two of five are late");
    }
}

#[test]
fn a_limit_stays_under_other_settings_as_far_as_they_allow() {
    let mut play = Play::of(50, MAX);
    play.on(60, |_, _| 10_000);
    let known = play.limit.within(MAX, at(60_000));
    assert!((40..=60).contains(&known.value()), "{}", known.value());
    assert_eq!(known.within(20, at(60_000)).within(1000, at(60_000)).base, 20);
}

proptest! {
    #[test]
    fn a_limit_is_always_within_its_bounds(
        max in 1_u32..200,
        events in prop::collection::vec((0_u64..1_000_000, 0_u32..300, 0_u32..4), 0..3000),
    ) {
        let mut limit = Limit::new(max, at(0));
        for (number, (micros, in_flight, late)) in (0_u64..).zip(events) {
            if late == 0 {
                limit.was_late(at(number * 500));
            } else {
                limit.answered(Duration::from_micros(micros), in_flight, at(number * 500));
            }
            prop_assert!((LEAST.min(max)..=max).contains(&limit.value()));
        }
    }
}
