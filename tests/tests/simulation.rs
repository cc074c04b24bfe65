//! Simulation: random clients, failing origins, a jumping clock and reloads against the real edge,
//! by seed, with invariants checked after every step.
//!
//! In: seeds; `SIM_SEED=n` plays one, `SIM_SEEDS=n` plays that many. Out: the first seed that breaks
//! an invariant, and how.
//! Always holds: a seed decides everything that happens, so a failure replays.
//! It deliberately knows no law but the few lifetimes in `world::model`.
//! Clause: CONTRIBUTING.md *Tests*.

#[cfg(test)]
mod simulation {
    pub(super) mod clients;
    pub(super) mod judge;
    pub(super) mod ledger;
    pub(super) mod play;
}

#[cfg(test)]
mod tests {
    use super::simulation::play;

    /// Seeds that CI plays, in as many parts as there are tests here, so that they run side by side.
    const SEEDS: u64 = 200;
    const PARTS: u64 = 4;

    fn of_environment(name: &str) -> Option<u64> {
        std::env::var(name).ok().map(|value| value.parse().unwrap())
    }

    fn play_part(part: u64) {
        let seeds = match of_environment("SIM_SEED") {
            Some(seed) if seed % PARTS == part => vec![seed],
            Some(_) => return,
            None => {
                let count = of_environment("SIM_SEEDS").unwrap_or(SEEDS);
                (0..count).filter(|seed| seed % PARTS == part).collect()
            }
        };
        let mut total = play::Story::default();
        let mut failures = Vec::new();
        for seed in &seeds {
            match play::play(*seed) {
                Ok(story) => total.add(&story),
                Err(why) => failures.push(format!("SIM_SEED={seed}: {why}")),
            }
        }
        println!("{total:?}");
        assert!(failures.is_empty(), "{} seeds fail:\n{}", failures.len(), failures.join("\n"));
        // A simulation that meets nothing proves nothing.
        if seeds.len() >= 50 {
            for (what, count) in total.rows() {
                assert!(count > 0, "no seed met {what}");
            }
        }
    }

    #[test]
    fn every_invariant_holds_under_seeds_0_mod_4() {
        play_part(0);
    }

    #[test]
    fn every_invariant_holds_under_seeds_1_mod_4() {
        play_part(1);
    }

    #[test]
    fn every_invariant_holds_under_seeds_2_mod_4() {
        play_part(2);
    }

    #[test]
    fn every_invariant_holds_under_seeds_3_mod_4() {
        play_part(3);
    }
}
