//! The built program under its operator's hands: drain, reload, health, metrics, logs, `check`, `up`.
//!
//! The rules are those of docs/operate.md. In: signals, files, requests. Out: what the
//! process answers, logs, and how it ends.

mod real_operations {
    mod admin;
    mod again;
    mod copies;
    mod described;
    mod descriptors;
    mod dns;
    mod drain;
    mod drained;
    mod h2;
    mod log;
    mod nats;
    mod purge;
    mod reload;
    mod serving;
    mod sites;
    mod three;
    mod up;
    mod up_keys;
    mod verbs;
}
