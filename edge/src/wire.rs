//! The connection I/O under hyper's HTTP/1 server.
//!
//! In go the bytes of one client connection, out come the bytes that hyper may see: exactly one request head that
//! passed the strictest reading, exactly that request's content, and nothing of the next request until the response
//! to this one has been accepted by the socket. The other way round, hyper's responses pass through unchanged while
//! their framing is followed, so that interim responses, refusals and counts fall on message boundaries.
//!
//! What always holds: a head that any two readers could understand differently never reaches hyper; the bytes held
//! for one connection are bounded by [`Limits`]; no timer belongs to a request, one sweeper per worker ([`Deadlines`])
//! holds every deadline.
//!
//! It deliberately knows nothing of sites, the cache, or what a method means beyond its framing (RFC 9112 §2–§7,
//! RFC 9110 §5, §7.2, §10.1.1, §15.2).
//!
//! A request that whoever is at hand can answer from its head alone never reaches hyper ([`Quick`]).
//!
//! Hot path: a request head that arrives whole costs two scans, one clock read and no allocation; where hyper serves it,
//! one copy into its buffer and one walk over the response's head more.

mod account;
mod chunk;
mod deadlines;
mod handle;
mod head;
mod held;
mod incoming;
mod intake;
mod interim;
mod io;
mod limits;
mod octets;
mod outgoing;
mod presence;
mod quick;
mod refusal;
mod response;
mod shared;
mod stats;
mod stream;
mod target;
#[cfg(test)]
mod tests;

pub use account::{Account, Sent};
pub use deadlines::Deadlines;
pub use handle::Handle;
pub use interim::{Interim, InterimError};
pub use io::Io;
pub use limits::Limits;
pub use quick::{Content, Never, Nothing, Quick, RawHead, Reply, Told};
pub use refusal::{Refusal, Timeout};
pub use stats::ConnectionStats;
pub use stream::Stream;
pub use target::is_path;
