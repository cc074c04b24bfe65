//! A message as lines of text, for tests.
//!
//! In: a message. Out: one line for the header, one for the question, one per record. Always
//! holds: it panics on a message that is not well-formed to its last byte.
#![expect(clippy::arithmetic_side_effects, reason = "lengths of a message in a test")]

use super::{cursor::Cursor, header::Header, kind::RecordType, name::Unpacked};

/// The lines of a message.
pub(crate) fn dump(message: &[u8]) -> Vec<String> {
    let header = Header::read(message).expect("a header");
    let flags = u16::from_be_bytes([message[2], message[3]]);
    let mut lines = vec![format!("{:04x} {flags:04x}", header.id)];
    let mut at = 12;
    for _ in 0..header.questions {
        let (name, end) = Unpacked::read(message, at).expect("a name");
        let mut cursor = Cursor::new(&message[end..]);
        let (rtype, class) = (cursor.u16().expect("type"), cursor.u16().expect("class"));
        lines.push(format!("? {} {class} {}", name.as_ref(), RecordType(rtype)));
        at = end + 4;
    }
    let sections = [("an", header.answers), ("au", header.authorities), ("ad", header.additionals)];
    for (section, count) in sections {
        for _ in 0..count {
            at = record(message, at, section, &mut lines);
        }
    }
    assert_eq!(at, message.len(), "nothing stands behind the last record");
    lines
}

fn record(message: &[u8], at: usize, section: &str, lines: &mut Vec<String>) -> usize {
    let (owner, end) = Unpacked::read(message, at).expect("an owner");
    let mut cursor = Cursor::new(&message[end..]);
    let rtype = RecordType(cursor.u16().expect("type"));
    let class = cursor.u16().expect("class");
    let ttl = cursor.u32().expect("ttl");
    let length = cursor.u16().expect("length");
    let data = cursor.take(length.into()).expect("data");
    let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
    let kind =
        if rtype == RecordType::OPT { format!("{class} {ttl:08x}") } else { ttl.to_string() };
    lines.push(format!("{section} {} {kind} {rtype} {hex}", owner.as_ref()));
    message.len() - cursor.rest().len()
}
