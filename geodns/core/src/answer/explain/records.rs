//! The records of a response as lines of text.
//!
//! In: a response of ours. Out: its sections, a record a line. Always holds: every line is one that a
//! zone file may have.

use crate::{
    wire::{
        cursor::Cursor,
        header::{HEADER_BYTES, Header},
        kind::{Rcode, RecordType},
        name::{Unpacked, skip},
    },
    zonefile::print,
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sections {
    pub(super) rcode: String,
    pub(super) answer: Vec<String>,
    pub(super) authority: Vec<String>,
}

impl Sections {
    pub(super) fn read(message: &[u8], rcode: Rcode) -> Self {
        let mut sections = Self { rcode: rcode.as_str().to_owned(), ..Self::default() };
        let Some(header) = Header::read(message) else { return sections };
        let Ok(behind) = skip(message, HEADER_BYTES) else { return sections };
        let mut at = behind.saturating_add(4);
        for _ in 0..header.answers {
            let Some((line, end)) = record(message, at) else { return sections };
            sections.answer.push(line);
            at = end;
        }
        for _ in 0..header.authorities {
            let Some((line, end)) = record(message, at) else { return sections };
            sections.authority.push(line);
            at = end;
        }
        sections
    }
}

fn record(message: &[u8], at: usize) -> Option<(String, usize)> {
    let (owner, behind) = Unpacked::read(message, at).ok()?;
    let mut cursor = Cursor::new(message.get(behind..)?);
    let rtype = RecordType(cursor.u16()?);
    let _class = cursor.u16()?;
    let ttl = cursor.u32()?;
    let length = cursor.u16()?;
    let data = cursor.take(length.into())?;
    let end = message.len().saturating_sub(cursor.rest().len());
    let data = print(rtype, data);
    Some((format!("{} {ttl} IN {rtype} {data}", owner.as_ref()), end))
}
