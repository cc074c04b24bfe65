//! Master files: the text that a zone is written in.
//!
//! In: a file's name and text, the origin, and a loader for the files that it includes.
//! Out: [`Record`]s with the place where each stands, or every [`Fault`] that was found, each with
//! file, line and what is allowed. Always holds: a record's data is well-formed wire data of its
//! type; no directive loops; the number of faults and records is bounded.
//! It deliberately does not know whether the records make a zone: [`crate::zone`] does.
//!
//! RFC 1035 §5, RFC 2308 §4 ($TTL), RFC 3597 §5 (unknown types), RFC 9460 §2.1 (SVCB, HTTPS).

mod data;
pub mod fault;
mod field;
mod lexer;
mod print;
mod read;
mod svcb;
#[cfg(test)]
mod tests;

pub(crate) use self::print::print;

use crate::wire::{kind::RecordType, name::Name};

use self::fault::{Fault, Place};

/// A record as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub owner: Name,
    /// Its type.
    pub rtype: RecordType,
    /// How long it may be kept, in seconds.
    pub ttl: u32,
    /// Its data in wire form, names uncompressed.
    pub data: Box<[u8]>,
    /// Where it stands.
    pub place: Place,
}

/// Fetches an included file: its name as written, and the name of the file that includes it, to
/// whose folder it is relative.
pub type Load<'l> = dyn FnMut(&str, &str) -> Result<Vec<u8>, String> + 'l;

/// Reads a master file, class IN, whose names are relative to `origin`.
///
/// # Errors
/// All faults of all files, in the order of their lines.
pub fn read(
    file: &str,
    text: &[u8],
    origin: &Name,
    load: &mut Load<'_>,
) -> Result<Vec<Record>, Vec<Fault>> {
    read::Reader::new(origin, load).read(file, text)
}
