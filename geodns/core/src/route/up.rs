//! `up`: drops PoPs that are down or drained, and lets one that comes back take its clients back
//! little by little.
//!
//! In: how PoPs stand, and the draw. Out: those that may answer; nobody, where none may, unless
//! something is assumed. Always holds: a PoP that ramps up is not dropped where nobody else is up;
//! a drain is given up before health is, and where PoPs are assumed to be up, drained ones still
//! give way to others.

use super::{
    filter::{Assumed, Context, Reason, Trace},
    rendezvous::{falls_into, mix},
    slate::Slate,
};
use crate::standing::PerMille;

/// So that one draw does not decide alike here and in other filters.
const SALT: u64 = 0x7570;

pub(super) fn apply(slate: &mut Slate, cx: &Context<'_>, trace: &mut impl Trace) {
    slate.retain(|candidate| {
        let Some(pop) = cx.standing(candidate.pop) else { return false };
        let (believes_health, believes_drain) = match cx.assumed {
            Assumed::Nothing => (true, true),
            Assumed::Undrained => (true, false),
            Assumed::Up => (false, true),
            Assumed::UpAndUndrained => (false, false),
        };
        let reason = if believes_health && !pop.is_up(cx.wanted) {
            Reason::Down
        } else if believes_drain && pop.is_drained(cx.wanted) {
            Reason::Drained
        } else {
            return true;
        };
        trace.dropped(candidate.pop, reason);
        false
    });
    if matches!(cx.assumed, Assumed::Nothing | Assumed::Undrained) {
        ramp_up(slate, cx, trace);
    }
}

fn ramp_up(slate: &mut Slate, cx: &Context<'_>, trace: &mut impl Trace) {
    let ramp = |pop| cx.standing(pop).map_or(PerMille::ALL, |pop| pop.ramp(cx.wanted));
    if !slate.pops().any(|pop| ramp(pop) == PerMille::ALL) {
        return;
    }
    slate.retain(|candidate| {
        let share = ramp(candidate.pop);
        let key = cx.standing(candidate.pop).map_or(0, |pop| pop.key);
        let takes = share == PerMille::ALL || falls_into(mix(cx.draw ^ SALT, key), share);
        if !takes {
            trace.dropped(candidate.pop, Reason::RampingUp(share.0));
        }
        takes
    });
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Stage, *};
    use crate::standing::Wanted;

    #[test]
    #[expect(clippy::type_complexity, reason = "a table of rows")]
    fn only_what_is_up_and_not_drained_is_left() {
        let rows: [(&str, fn(&mut Stage), &[&str]); 5] = [
            ("all up", |_| {}, &["a", "b", "c"]),
            ("one down", |stage| stage.down("a"), &["b", "c"]),
            ("one drained", |stage| stage.pop("b").drained = true, &["a", "c"]),
            ("all down", |stage| ["a", "b", "c"].into_iter().for_each(|pop| stage.down(pop)), &[]),
            ("all drained", |stage| stage.each(|pop| pop.drained = true), &[]),
        ];
        for (name, set, expected) in rows {
            let mut stage = Stage::new(&["a", "b", "c"]);
            set(&mut stage);
            assert_eq!(stage.run(apply), expected, "{name}");
        }
    }

    #[test]
    fn a_pop_is_up_for_each_family_by_itself() {
        let mut stage = Stage::new(&["a", "b"]);
        stage.pop("a").v4.enough = false;
        for (wanted, expected) in
            [(Wanted::V4, &["b"][..]), (Wanted::V6, &["a", "b"]), (Wanted::Https, &["a", "b"])]
        {
            stage.wanted = wanted;
            assert_eq!(stage.run(apply), expected, "{wanted:?}");
        }
    }

    #[test]
    fn assumptions_let_in_what_is_drained_and_then_what_is_down() {
        let mut stage = Stage::new(&["a", "b", "c"]);
        stage.down("a");
        stage.down("b");
        stage.pop("a").drained = true;
        stage.pop("c").drained = true;
        for (assumed, expected) in [
            (Assumed::Nothing, &[][..]),
            (Assumed::Undrained, &["c"]),
            (Assumed::Up, &["b"]),
            (Assumed::UpAndUndrained, &["a", "b", "c"]),
        ] {
            stage.assumed = assumed;
            assert_eq!(stage.run(apply), expected, "{assumed:?}");
        }
    }

    #[test]
    fn a_pop_that_comes_back_takes_its_share() {
        let mut stage = Stage::new(&["a", "b"]);
        stage.pop("a").v4.ramp = PerMille(300);
        let taken = stage.count(10_000, apply, "a");
        assert!(taken.abs_diff(3_000) < 200, "{taken}");
        stage.down("b");
        assert_eq!(stage.count(1_000, apply, "a"), 1_000, "nobody else is up");
    }

    #[test]
    fn reasons_are_told() {
        let mut stage = Stage::new(&["a", "b", "c", "d"]);
        stage.down("a");
        stage.pop("b").drained = true;
        stage.pop("c").v4.ramp = PerMille(0);
        assert_eq!(
            stage.reasons(apply),
            ["a: down", "b: drained", "c: coming back: takes 0.0 % of its clients"]
        );
    }
}
