//! The origin side: the pool, faults of origins, fillings and windows, request content, TLS.
//!
//! In: origins that misbehave on request. Out: what clients got and what the origins saw.
//! Always holds: no clock is waited for: in the paused theatre it moves when nothing else can, and
//! over sockets nothing depends on it.
//! Clause: docs/operate.md *When the origin fails*; ARCHITECTURE.md *Filling*, *Memory*.

#[cfg(test)]
mod origins {
    mod authority;
    mod balance;
    mod bucket;
    mod checks;
    mod content;
    mod fairness;
    mod faults;
    mod filling;
    mod http2;
    mod invalidation;
    mod memory;
    mod pool;
    mod protection;
    mod purges;
    mod sessions;
    mod sharing;
    mod short_way;
    mod sockets;
    mod stage;
    mod trunks;
    mod uploads;
    mod window;
}
