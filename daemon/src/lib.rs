//! What every Nearcast process owes its operator: settings, signals, drain, health, metrics, logs.
//!
//! In: the operator's words (`settings`), signals, scrapes. Out: events, readiness, numbers, lines.
//! Always: nothing here makes a serving thread wait; every queue, buffer and wait has a named limit.
//! Does not know: HTTP caching, DNS, the ledger, or who may do what.
//! Clause: ARCHITECTURE.md *Floors*, *Threads*; docs/operate.md *What is going on*.

pub mod access_log;
pub mod admin;
pub mod busy;
pub mod descriptors;
pub mod drain;
pub mod files;
pub mod http_path;
pub mod http_problem;
pub mod json;
pub mod local;
pub mod log;
pub mod metrics;
pub mod process;
pub mod readiness;
pub mod request_id;
pub mod schemas;
pub mod seldom;
pub mod settings;
pub mod sharded;
pub mod signals;
