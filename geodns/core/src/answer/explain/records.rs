//! The records of a response as lines of text.
//!
//! In: a response of ours. Out: its sections, a record a line. Always holds: data of a type whose
//! text is not known here is shown as RFC 3597 §5 has it, so every line reads back.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use crate::wire::{
    cursor::Cursor,
    header::{HEADER_BYTES, Header},
    kind::{Rcode, RecordType},
    name::{NameRef, Unpacked, skip},
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
    let data = known(rtype, data).unwrap_or_else(|| generic(data));
    Some((format!("{} {ttl} IN {rtype} {data}", owner.as_ref()), end))
}

fn known(rtype: RecordType, data: &[u8]) -> Option<String> {
    let mut cursor = Cursor::new(data);
    match rtype {
        RecordType::A => Some(Ipv4Addr::from(cursor.array::<4>()?).to_string()),
        RecordType::AAAA => Some(Ipv6Addr::from(cursor.array::<16>()?).to_string()),
        RecordType::CNAME | RecordType::NS | RecordType::PTR => {
            Some(NameRef::read(data).ok()?.0.to_string())
        }
        RecordType::SOA => authority(data),
        RecordType::HTTPS | RecordType::SVCB => service(cursor),
        _ => None,
    }
}

fn authority(data: &[u8]) -> Option<String> {
    let (server, rest) = NameRef::read(data).ok()?;
    let (mailbox, rest) = NameRef::read(rest).ok()?;
    let numbers = rest.as_chunks::<4>().0.iter().map(|number| u32::from_be_bytes(*number));
    Some(numbers.fold(format!("{server} {mailbox}"), |text, number| format!("{text} {number}")))
}

/// The text of RFC 9460 §2.1; a parameter that is unusual makes the whole record generic.
fn service(mut cursor: Cursor<'_>) -> Option<String> {
    let priority = cursor.u16()?;
    let (target, rest) = NameRef::read(cursor.rest()).ok()?;
    let mut text = format!("{priority} {target}");
    let mut cursor = Cursor::new(rest);
    while !cursor.is_empty() {
        let key = cursor.u16()?;
        let length = cursor.u16()?;
        let value = cursor.take(length.into())?;
        let (name, items): (&str, Vec<String>) = match key {
            1 => ("alpn", protocols(value)?),
            3 => ("port", vec![Cursor::new(value).u16()?.to_string()]),
            4 => ("ipv4hint", each(value, |octets| Ipv4Addr::from(octets).to_string())),
            6 => ("ipv6hint", each(value, |octets| Ipv6Addr::from(octets).to_string())),
            _ => return None,
        };
        text.push_str(&format!(" {name}={}", items.join(",")));
    }
    Some(text)
}

fn protocols(mut value: &[u8]) -> Option<Vec<String>> {
    let mut items = Vec::new();
    while let Some((length, rest)) = value.split_first() {
        let (item, rest) = rest.split_at_checked(usize::from(*length))?;
        let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b',' | b'"');
        let text = std::str::from_utf8(item).ok().filter(|_| item.iter().all(plain))?;
        items.push(text.to_owned());
        value = rest;
    }
    Some(items)
}

fn each<const N: usize>(value: &[u8], text: impl Fn([u8; N]) -> String) -> Vec<String> {
    value.as_chunks::<N>().0.iter().map(|octets| text(*octets)).collect()
}

fn generic(data: &[u8]) -> String {
    let mut text = format!("\\# {}", data.len());
    for (at, byte) in data.iter().enumerate() {
        let gap = if at == 0 { " " } else { "" };
        // Writing to a String does not fail.
        if write!(text, "{gap}{byte:02x}").is_err() {
            break;
        }
    }
    text
}
