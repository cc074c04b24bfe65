//! Record data: what fields each type has, typed or as bytes.
//!
//! In: the tokens behind a record's type. Out: wire data. Always holds: data is checked as wire
//! data, however it was typed, so that `\#` cannot bring in what the type's own form refuses.
//!
//! RFC 1035 §3.3 and §3.4, 2782, 3403, 3596, 3597, 4034, 6698, 8659, 9460.

use crate::wire::{cursor::Cursor, kind::RecordType, name::NameRef, text::unescape};

use super::{
    field::{Fields, Wrong, escape},
    svcb,
};

/// A kind of field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    U8,
    U16,
    U32,
    Seconds,
    Name,
    V4,
    V6,
    /// A character string.
    Text,
    /// One character string or more, to the end.
    Texts,
    /// Bytes to the end, at least one.
    Hex,
    /// A character string of letters and digits (RFC 8659 §4.1).
    Tag,
    /// One text without a length, to the end (RFC 8659 §4.1).
    Value,
    /// RFC 9460 §2.2.
    Params,
}

use Field::{Hex, Name, Params, Seconds, Tag, Text, Texts, U8, U16, U32, V4, V6, Value};

/// The fields of a type and what they are called; nothing for a type that has only `\#` here.
pub(super) const fn layout(rtype: RecordType) -> Option<&'static [(Field, &'static str)]> {
    Some(match rtype {
        RecordType::A => &[(V4, "address")],
        RecordType::AAAA => &[(V6, "address")],
        RecordType::NS | RecordType::CNAME | RecordType::PTR => &[(Name, "target")],
        RecordType::SOA => &[
            (Name, "primary server"),
            (Name, "mailbox"),
            (U32, "serial"),
            (Seconds, "refresh"),
            (Seconds, "retry"),
            (Seconds, "expire"),
            (Seconds, "minimum"),
        ],
        RecordType::MX => &[(U16, "preference"), (Name, "exchange")],
        RecordType::TXT => &[(Texts, "text")],
        RecordType::SRV => &[(U16, "priority"), (U16, "weight"), (U16, "port"), (Name, "target")],
        RecordType::CAA => &[(U8, "flags"), (Tag, "tag"), (Value, "value")],
        RecordType::SVCB | RecordType::HTTPS => {
            &[(U16, "priority"), (Name, "target"), (Params, "parameters")]
        }
        RecordType::TLSA => &[
            (U8, "usage"),
            (U8, "selector"),
            (U8, "matching type"),
            (Hex, "certificate association"),
        ],
        RecordType::NAPTR => &[
            (U16, "order"),
            (U16, "preference"),
            (Text, "flags"),
            (Text, "services"),
            (Text, "regular expression"),
            (Name, "replacement"),
        ],
        RecordType::DS => {
            &[(U16, "key tag"), (U8, "algorithm"), (U8, "digest type"), (Hex, "digest")]
        }
        RecordType::HINFO => &[(Text, "processor"), (Text, "system")],
        _ => return None,
    })
}

/// Reads the data of a record.
pub(super) fn read(rtype: RecordType, mut fields: Fields<'_, '_>) -> Result<Vec<u8>, Wrong> {
    let line = fields.line();
    let generic = fields.peek().is_some_and(|token| token.raw == b"\\#" && !token.quoted);
    let data = if generic {
        read_generic(&mut fields)?
    } else {
        let Some(layout) = layout(rtype) else {
            let what = format!("the data of type {rtype} has no text form here");
            return Err(Wrong::new(line, what, "\\# LENGTH HEX (RFC 3597)"));
        };
        let mut data = Vec::new();
        for (field, what) in layout {
            read_field(*field, what, &mut fields, &mut data)?;
        }
        fields.end()?;
        data
    };
    check(rtype, &data).map_err(|(what, allowed)| Wrong::new(line, what, allowed))?;
    Ok(data)
}

/// `\# LENGTH HEX` (RFC 3597 §5).
fn read_generic(fields: &mut Fields<'_, '_>) -> Result<Vec<u8>, Wrong> {
    let _sign = fields.optional();
    let line = fields.line();
    let length = fields.number("length", &u16::MAX)?;
    let data = fields.hex("data")?;
    if data.len() != usize::from(length) {
        let what = format!("{} bytes of data where \\# says {length}", data.len());
        return Err(Wrong::new(line, what, "as many bytes as the length says"));
    }
    Ok(data)
}

fn read_field(
    field: Field,
    what: &str,
    fields: &mut Fields<'_, '_>,
    data: &mut Vec<u8>,
) -> Result<(), Wrong> {
    match field {
        U8 => data.push(fields.number(what, &u8::MAX)?),
        U16 => data.extend(fields.number(what, &u16::MAX)?.to_be_bytes()),
        U32 => data.extend(fields.number(what, &u32::MAX)?.to_be_bytes()),
        Seconds => data.extend(fields.seconds(what)?.to_be_bytes()),
        Name => data.extend_from_slice(fields.name(what)?.as_ref().wire()),
        V4 => data.extend(address::<std::net::Ipv4Addr>(fields, what, "an IPv4 address")?.octets()),
        V6 => data.extend(address::<std::net::Ipv6Addr>(fields, what, "an IPv6 address")?.octets()),
        Text | Tag => push_text(data, &fields.text(what)?),
        Texts => {
            push_text(data, &fields.text(what)?);
            while fields.peek().is_some() {
                push_text(data, &fields.text(what)?);
            }
        }
        Hex => data.extend(fields.hex(what)?),
        Value => {
            let token = fields.next(what, "a text")?;
            data.extend(unescape(token.raw).map_err(|error| escape(token, error))?);
        }
        Params => svcb::read(fields, data)?,
    }
    Ok(())
}

fn address<T: std::str::FromStr>(
    fields: &mut Fields<'_, '_>,
    what: &str,
    allowed: &str,
) -> Result<T, Wrong> {
    let token = fields.next(what, allowed)?;
    let text = std::str::from_utf8(token.raw).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(|| Wrong::not(token, allowed))
}

/// Appends a text of at most 255 bytes with its length.
pub(super) fn push_text(data: &mut Vec<u8>, text: &[u8]) {
    let cut = text.get(..255).unwrap_or(text);
    data.push(u8::try_from(cut.len()).unwrap_or(u8::MAX));
    data.extend_from_slice(cut);
}

/// What is wrong with wire data, and what is allowed.
pub(super) type Unfit = (String, String);

pub(super) fn unfit(what: impl Into<String>, allowed: impl Into<String>) -> Unfit {
    (what.into(), allowed.into())
}

/// Checks wire data of a type; the data of an unknown type can be anything.
fn check(rtype: RecordType, data: &[u8]) -> Result<(), Unfit> {
    if u16::try_from(data.len()).is_err() {
        return Err(unfit("more than 65535 bytes of data", "at most 65535"));
    }
    let Some(layout) = layout(rtype) else { return Ok(()) };
    let mut cursor = Cursor::new(data);
    for (field, what) in layout {
        let fits = check_field(*field, &mut cursor);
        fits.ok_or_else(|| {
            unfit(format!("the {what} of type {rtype} is cut or malformed"), form(*field))
        })?;
    }
    if !cursor.is_empty() {
        return Err(unfit(format!("bytes behind the data of type {rtype}"), "none"));
    }
    match rtype {
        RecordType::DS => check_digest(data, 3, &[(1, 20), (2, 32), (4, 48)]),
        RecordType::TLSA => check_digest(data, 2, &[(1, 32), (2, 64)]),
        RecordType::SVCB | RecordType::HTTPS => svcb::check(data),
        _ => Ok(()),
    }
}

fn check_field(field: Field, cursor: &mut Cursor<'_>) -> Option<()> {
    match field {
        U8 => cursor.take(1).map(drop),
        U16 => cursor.take(2).map(drop),
        U32 | V4 => cursor.take(4).map(drop),
        Seconds => cursor.u32().filter(|seconds| seconds >> 31 == 0).map(drop),
        V6 => cursor.take(16).map(drop),
        Name => {
            let (_, rest) = NameRef::read(cursor.rest()).ok()?;
            *cursor = Cursor::new(rest);
            Some(())
        }
        Text => text(cursor).map(drop),
        Tag => text(cursor)
            .filter(|tag| !tag.is_empty() && tag.iter().all(u8::is_ascii_alphanumeric))
            .map(drop),
        Texts => {
            text(cursor)?;
            while !cursor.is_empty() {
                text(cursor)?;
            }
            Some(())
        }
        Hex => (!cursor.is_empty()).then(|| *cursor = Cursor::new(&[])),
        // SVCB parameters have rules among each other, which `svcb::check` looks at.
        Value | Params => {
            *cursor = Cursor::new(&[]);
            Some(())
        }
    }
}

pub(super) fn text<'d>(cursor: &mut Cursor<'d>) -> Option<&'d [u8]> {
    let length = cursor.u8()?;
    cursor.take(length.into())
}

const fn form(field: Field) -> &'static str {
    match field {
        U8 => "one byte",
        U16 => "two bytes",
        U32 => "four bytes",
        Seconds => "four bytes, at most 2147483647",
        Name => "a domain name, uncompressed",
        V4 => "the four bytes of an address",
        V6 => "the sixteen bytes of an address",
        Text | Texts => "texts of at most 255 bytes",
        Hex | Value | Params => "at least one byte",
        Tag => "letters and digits, at least one",
    }
}

/// The length of a digest whose kind stands at `kind_at` and which is all that follows.
fn check_digest(data: &[u8], kind_at: usize, lengths: &[(u8, usize)]) -> Result<(), Unfit> {
    let Some((kind, digest)) = data.get(kind_at..).and_then(<[u8]>::split_first) else {
        return Err(unfit("there is no digest", "a digest"));
    };
    match lengths.iter().find(|(known, _)| known == kind) {
        Some((_, length)) if *length != digest.len() => Err(unfit(
            format!("a digest of {} bytes", digest.len()),
            format!("for type {kind}: {length} bytes"),
        )),
        _ => Ok(()),
    }
}
