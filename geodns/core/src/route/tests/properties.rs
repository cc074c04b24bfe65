//! For any policy.

use super::*;

/// Any policy that the settings allow.
fn any_policy() -> impl Strategy<Value = Vec<FilterName>> {
    let dropping = [FilterName::Fence, FilterName::Up, FilterName::Load];
    let choosing = vec![FilterName::Priority, FilterName::Nearest, FilterName::Weight];
    (
        prop::sample::subsequence(dropping.to_vec(), 0..=3),
        prop::sample::subsequence(choosing, 0..=3).prop_shuffle(),
        prop::option::of(Just(FilterName::First)),
    )
        .prop_map(|(dropping, choosing, first)| {
            dropping.into_iter().chain(choosing).chain(first).collect()
        })
}

proptest! {
    #[test]
    fn a_choice_depends_on_its_input_alone_and_never_on_luck(
        policy in any_policy(),
        states in prop::collection::vec((any::<bool>(), any::<bool>(), 0..3_u32, 0..1500_u16, 0..=1000_u16), 6),
        // The first so many are as most are: nothing is wrong with them.
        unhindered in 0..=6_usize,
        fenced in prop::collection::vec(0..6_usize, 0..4),
        draw: u64,
    ) {
        let has = |name| policy.contains(&name);
        let (up, fence) = (has(FilterName::Up), has(FilterName::Fence));
        let mut world = World::new(&[("(ab)c|abcdef", 7)], &[route(&policy)]);
        for (index, (is_up, drained, number, load, ramp)) in states.iter().enumerate() {
            let pop = &mut world.pops[index];
            (pop.weight, pop.priority) = (*number, *number);
            pop.load = Some(PerMille(*load));
            if index < unhindered {
                continue;
            }
            if !is_up {
                down(pop);
            }
            pop.drained = *drained;
            (pop.v4.ramp, pop.v6.ramp) = (PerMille(*ramp), PerMille(*ramp));
        }
        let excluded: PopSet = fenced.iter().filter_map(|index| PopId::new(*index)).collect();
        world.maps[0].2 = excluded;
        world.maps[0].0.retain(|one| !excluded.contains(one.pop));
        let length = world.maps[0].0.len();
        world.maps[0].0.iter_mut().for_each(|one| one.band_end = u8::try_from(length).unwrap());
        let ask = Ask { draw, ..ASK };
        let (choice, pops) = world.ask(&ask);
        prop_assert_eq!(world.ask(&ask), (choice, pops.clone()));
        let mut once = pops.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), pops.len(), "each once");
        let all_fenced = (0..6).all(|index| excluded.contains(PopId::new(index).unwrap()));
        match choice.outcome {
            Outcome::Nobody => prop_assert!(fence && all_fenced),
            Outcome::Answered { assumed, .. } => {
                prop_assert!(!pops.is_empty());
                for pop in &pops {
                    let standing = &world.pops[id_of(pop).index()];
                    if up && assumed <= Assumed::Undrained {
                        prop_assert!(standing.v4.enough);
                        prop_assert!(assumed == Assumed::Undrained || !standing.drained);
                    }
                    prop_assert!(!(fence && excluded.contains(id_of(pop))));
                }
            }
        }
    }
}
