//! Purges as those see them who are outside: three edges, three NATS servers, faults, and clients who
//! never stop asking.
//!
//! In: a seed. Out: whether anybody has ever got what a purge had taken that was reported complete.
//! Always holds: what an edge says of itself counts for nothing but that report; every content says
//! which version it is, so that a client alone can judge it.
//! PURGES says how many purges are to be reported complete, and PURGES_SEED which faults there are
//! meanwhile; without them the test lasts seconds, and ten thousand are a proof of their own.
//! Clause: ARCHITECTURE.md *The life of a purge*, docs/operate.md *When the ledger is away*.

mod real_purges {
    mod asked;
    mod faults;
    mod fleet;
    mod ordered;
    mod plays;
    mod shop;
    mod watched;
}
