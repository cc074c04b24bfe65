//! `fence`: drops PoPs whose fence keeps the client out.
//!
//! In: the PoPs that the client's map excludes, by its country, continent and network. Out: the
//! others; nobody, where all are excluded: a fence is kept even when the answer is SERVFAIL.
//! A client's own list never holds an excluded PoP; those that follow it may, as the last that are
//! tried, where a policy does without this filter.

use super::{
    filter::{Context, Reason, Trace},
    slate::Slate,
};

pub(super) fn apply(slate: &mut Slate, cx: &Context<'_>, trace: &mut impl Trace) {
    if cx.excluded.is_empty() {
        return;
    }
    slate.retain(|candidate| {
        let is_out = cx.excluded.contains(candidate.pop);
        if is_out {
            trace.dropped(candidate.pop, Reason::Fenced);
        }
        !is_out
    });
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Stage, *};

    #[test]
    fn an_excluded_pop_is_dropped() {
        let rows: [(&[&str], &[&str]); 3] =
            [(&[], &["a", "b"]), (&["a"], &["b"]), (&["a", "b"], &[])];
        for (excluded, expected) in rows {
            let mut stage = Stage::new(&["a", "b"]);
            stage.exclude(excluded);
            assert_eq!(stage.run(apply), expected);
        }
        let mut stage = Stage::new(&["a", "b"]);
        stage.exclude(&["b"]);
        assert_eq!(stage.reasons(apply), ["b: its fence keeps the client out"]);
    }
}
