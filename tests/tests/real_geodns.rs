//! The built GeoDNS server as a process of its own, among edges and resolvers that are others.
//!
//! The rules are those of docs/operate.md *Health*, *Where a client is* and *What a reload changes*. In: signals, queries of
//! real clients. Out: who is answered, and which queries reach us.

mod real_geodns {
    mod failover;
    mod reload;
    mod unbound;
}
