//! `priority`: leaves the PoPs of the lowest priority number.
//!
//! In: each PoP's priority. Out: those that share the lowest; one at least, if any came in.

use super::{
    filter::{Context, Reason, Trace},
    slate::Slate,
};

pub(super) fn apply(slate: &mut Slate, cx: &Context<'_>, trace: &mut impl Trace) {
    let priority = |pop| cx.standing(pop).map_or(u32::MAX, |pop| pop.priority);
    let Some(best) = slate.pops().map(priority).min() else { return };
    slate.retain(|candidate| {
        let is_best = priority(candidate.pop) == best;
        if !is_best {
            trace.dropped(candidate.pop, Reason::Priority(best));
        }
        is_best
    });
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Stage, *};

    #[test]
    fn the_lowest_number_is_left() {
        let rows: [(&str, [u32; 3], &[&str]); 4] = [
            ("all alike", [7, 7, 7], &["a", "b", "c"]),
            ("one", [2, 1, 2], &["b"]),
            ("two", [0, 9, 0], &["a", "c"]),
            ("not the first", [3, 2, 1], &["c"]),
        ];
        for (name, priorities, expected) in rows {
            let mut stage = Stage::new(&["a", "b", "c"]);
            for (pop, priority) in ["a", "b", "c"].into_iter().zip(priorities) {
                stage.pop(pop).priority = priority;
            }
            assert_eq!(stage.run(apply), expected, "{name}");
        }
        let mut stage = Stage::new(&["a", "b"]);
        stage.pop("a").priority = 5;
        assert_eq!(stage.reasons(apply), ["a: another one has priority 0"]);
        assert_eq!(Stage::new(&[]).run(apply), [""; 0]);
    }
}
