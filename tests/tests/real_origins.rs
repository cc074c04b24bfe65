//! A real node and the ways to its origins and from its balancers: names that change, real
//! resolvers, headers in front of connections, servers that fail.
//!
//! In: a running node, unbound, origins that keep their connections. Out: what clients got meanwhile.
//! Always holds: every wait has a deadline.
//! Clause: docs/operate.md *Names of origins*.

#[cfg(test)]
mod real_origins {
    mod bucket;
    mod faults;
    mod leaving;
    mod names;
    mod proxied;
    mod traces;
    mod tried;
}
