//! Record data as text.
//!
//! In: wire data of a record. Out: the text that a master file has for it. Always holds: what is
//! printed reads back as the same data; where a type has no text of its own here, or data is not
//! what its type says, that is the generic form.
//!
//! RFC 1035 §5.1, RFC 3597 §5, RFC 8659 §4.1, RFC 9460 §2.1.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{
    data::{
        Field::{self, Hex, Name, Params, Seconds, Tag, Text, Texts, U8, U16, U32, V4, V6, Value},
        layout, text,
    },
    svcb,
};
use crate::wire::{cursor::Cursor, kind::RecordType, name::NameRef};

/// The text of a record's data.
pub(crate) fn print(rtype: RecordType, data: &[u8]) -> String {
    typed(rtype, data).unwrap_or_else(|| generic(data))
}

fn typed(rtype: RecordType, data: &[u8]) -> Option<String> {
    let mut cursor = Cursor::new(data);
    let mut items = Vec::new();
    for (field, _) in layout(rtype)? {
        print_field(*field, &mut cursor, &mut items)?;
    }
    cursor.is_empty().then(|| items.join(" "))
}

fn print_field(field: Field, cursor: &mut Cursor<'_>, items: &mut Vec<String>) -> Option<()> {
    items.push(match field {
        U8 => cursor.u8()?.to_string(),
        U16 => cursor.u16()?.to_string(),
        U32 | Seconds => cursor.u32()?.to_string(),
        V4 => Ipv4Addr::from(cursor.array::<4>()?).to_string(),
        V6 => Ipv6Addr::from(cursor.array::<16>()?).to_string(),
        Name => {
            let (name, rest) = NameRef::read(cursor.rest()).ok()?;
            *cursor = Cursor::new(rest);
            name.to_string()
        }
        Text => quoted(text(cursor)?),
        Tag => String::from_utf8(text(cursor)?.to_vec()).ok()?,
        Texts => {
            items.push(quoted(text(cursor)?));
            while !cursor.is_empty() {
                items.push(quoted(text(cursor)?));
            }
            return Some(());
        }
        Hex => hex(rest(cursor)),
        Value => quoted(rest(cursor)),
        Params => {
            items.extend(svcb::print(rest(cursor))?);
            return Some(());
        }
    });
    Some(())
}

fn rest<'d>(cursor: &mut Cursor<'d>) -> &'d [u8] {
    let rest = cursor.rest();
    *cursor = Cursor::new(&[]);
    rest
}

/// A character string in quotes.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            b' '..=b'~' => text.push(char::from(byte)),
            // Writing to a String does not fail.
            _ => write!(text, "\\{byte:03}").unwrap_or_default(),
        }
    }
    text.push('"');
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

fn generic(data: &[u8]) -> String {
    let gap = if data.is_empty() { "" } else { " " };
    format!("\\# {}{gap}{}", data.len(), hex(data))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{wire::name::Name, zonefile};

    /// What a zone file's line comes to.
    fn read(rtype: RecordType, text: &str) -> Result<Box<[u8]>, String> {
        let apex = Name::parse(b"example.", None).unwrap();
        let line = format!("a 5 {rtype} {text}\n");
        let mut load = |_: &str, _: &str| Err(String::new());
        let records = zonefile::read("zone", line.as_bytes(), &apex, &mut load);
        let records = records.map_err(|faults| format!("{line}: {faults:?}"))?;
        records.first().map(|record| record.data.clone()).ok_or(line)
    }

    #[test]
    fn what_is_printed_is_what_a_zone_file_says() {
        let rows = [
            ("A", "192.0.2.1"),
            ("AAAA", "2001:db8::1"),
            ("NS", "ns.example."),
            ("PTR", "a\\.b.example."),
            ("SOA", "ns.example. h.example. 1 7200 900 1209600 60"),
            ("MX", "10 mail.example."),
            ("TXT", "\"v=spf1 -all\" \"a \\\"quote\\\" \\\\ \\007\\255;\" \"\""),
            ("SRV", "0 5 5060 sip.example."),
            ("CAA", "128 issue \"ca.example; policy=ev\""),
            ("TLSA", "3 1 1 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("NAPTR", "100 10 \"U\" \"E2U+sip\" \"!^.*$!sip:info@example!\" ."),
            ("DS", "60485 5 1 2bb183af5f22588179a53b0a98631fad1a292118"),
            ("HINFO", "\"x\" \"y z\""),
            ("HTTPS", "0 svc.example."),
            (
                "SVCB",
                "1 . mandatory=alpn,port alpn=h2,h3 no-default-alpn port=53 ipv4hint=192.0.2.1 \
                 ech=AAECAw== ipv6hint=2001:db8::1,::1 dohpath=/q{?dns} ohttp key65000=\"a b\" \
                 key65001",
            ),
            ("SVCB", "1 . alpn=\"a\\\\,b,c\\\\\\\\\\009\" ech=AAE= dohpath=\"/q \""),
            ("TYPE65280", "\\# 3 abcdef"),
            ("TYPE65280", "\\# 0"),
        ];
        for (rtype, text) in rows {
            let rtype = RecordType::parse(rtype.as_bytes()).unwrap();
            let data = read(rtype, text).unwrap();
            assert_eq!(print(rtype, &data), text);
        }
        // No wire data of its type, which nothing of ours makes.
        assert_eq!(print(RecordType::A, b"xyz"), "\\# 3 78797a");
        assert_eq!(print(RecordType::MX, b"\0\x0a\0more"), "\\# 7 000a006d6f7265");
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(
            kind in prop::sample::select(vec![5_u16, 13, 15, 16, 33, 35, 43, 52, 64, 65, 257, 999]),
            data in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let rtype = RecordType(kind);
            let hex = hex(&data);
            // What no zone may hold is never printed.
            if let Ok(checked) = read(rtype, &format!("\\# {} {hex}", data.len())) {
                let text = print(rtype, &checked);
                prop_assert_eq!(read(rtype, &text).unwrap(), checked, "{}", text);
            }
        }
    }
}
