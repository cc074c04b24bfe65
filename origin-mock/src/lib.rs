//! An origin that misbehaves on request, and two that behave.
//!
//! What it is: a hand-written HTTP/1.1 server side over any byte stream, driven by a
//! [`script::Script`] (what to answer, and what to break), by a directory of files, or by the
//! [`demo`] script; a [`recorder::Recorder`] keeps what it was asked.
//! In: connections (in-memory pipes or TCP), a script, an injected clock. Out: responses, well or
//! badly framed, and the record.
//! Always holds: bytes from the network never panic it, and everything that it keeps has a limit in
//! [`origin::Settings`].
//! It deliberately does not know the edge: the two share no code, so that one cannot hide the
//! other's mistakes.
//! Spec: RFC 9110, RFC 9112.

pub mod clock;
pub mod demo;
pub mod files;
pub mod listen;
pub mod origin;
pub mod pattern;
pub mod raw;
pub mod recorder;
pub mod script;

mod conditional;
mod connection;
mod control;
mod inbound;
mod ranges;
mod reply;
mod request;
mod send;
mod wire;

#[cfg(test)]
mod tests;
