//! `weight`: orders PoPs by chance, in proportion to weight, anew for each answer.
//!
//! In: weights and the draw. Out: the same PoPs in another order, without those of weight 0.
//! Always holds: the first is each PoP in proportion to its weight; where all weigh 0, all stay in
//! order. Resolvers cache: give one PoP an answer (`first`), or weights mean little.

use super::{
    filter::{Context, Reason, Trace},
    rendezvous::score,
    slate::Slate,
    sticky::Key,
};

pub(super) fn apply(slate: &mut Slate, cx: &Context<'_>, trace: &mut impl Trace) {
    by_weight(slate, cx, Key::Draw, trace);
}

/// Orders by highest random weight under a key.
pub(super) fn by_weight(slate: &mut Slate, cx: &Context<'_>, key: Key, trace: &mut impl Trace) {
    let weight = |pop| cx.standing(pop).map_or(0, |pop| pop.weight);
    if slate.pops().any(|pop| weight(pop) > 0) {
        slate.retain(|candidate| {
            let has_weight = weight(candidate.pop) > 0;
            if !has_weight {
                trace.dropped(candidate.pop, Reason::Weightless);
            }
            has_weight
        });
    }
    let key = key.of(cx);
    slate.order_by(|candidate| {
        cx.standing(candidate.pop).map_or(f64::INFINITY, |pop| score(key, pop.key, pop.weight))
    });
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Stage, *};

    #[test]
    fn the_first_is_each_in_proportion_to_its_weight() {
        let mut stage = Stage::new(&["a", "b", "c"]);
        stage.pop("a").weight = 60;
        stage.pop("b").weight = 30;
        stage.pop("c").weight = 10;
        for (name, expected) in [("a", 6_000_usize), ("b", 3_000), ("c", 1_000)] {
            let won = stage.count_first(10_000, apply, name);
            assert!(won.abs_diff(expected) < 250, "{name}: {won}");
        }
        assert_eq!(stage.run(apply).len(), 3, "the others follow");
    }

    #[test]
    fn weight_0_is_for_when_nobody_else_is_there() {
        let mut stage = Stage::new(&["a", "b", "c"]);
        stage.pop("a").weight = 0;
        stage.pop("c").weight = 0;
        assert_eq!(stage.run(apply), ["b"]);
        assert_eq!(stage.reasons(apply), ["a: weight 0", "c: weight 0"]);
        stage.pop("b").weight = 0;
        assert_eq!(stage.run(apply), ["a", "b", "c"]);
    }
}
