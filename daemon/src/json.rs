//! JSON strings from bytes that nobody has vouched for.
//!
//! In: any bytes (paths, field values, names). Out: a JSON string literal, quotes included.
//! Always: the output is valid UTF-8 and valid RFC 8259 on one line; well-formed input reads back as
//! itself; each byte that is not UTF-8 becomes `\u00XX`; no C0, DEL or C1 control comes out raw, so
//! that `tail` of a log cannot drive a terminal.
//! Does not know: objects, arrays, or what the bytes mean.
//! Hot path: no allocation beyond the growth of `buf`. Clause: RFC 8259 §7.

/// Bytes looked at in one step; a fixed size lets the compiler use vector instructions.
const STEP: usize = 16;

/// Appends `bytes` to `buf` as a JSON string literal.
pub fn json_string(buf: &mut Vec<u8>, bytes: &[u8]) {
    buf.push(b'"');
    let plain = plain_prefix(bytes);
    buf.extend_from_slice(bytes.get(..plain).unwrap_or_default());
    let rest = bytes.get(plain..).unwrap_or_default();
    if !rest.is_empty() {
        escape(buf, rest);
    }
    buf.push(b'"');
}

/// Whether `byte` stands for itself inside a JSON string, whatever its neighbours.
const fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte < 0x7f && byte != b'"' && byte != b'\\'
}

/// Length of a prefix that needs no escape; whole steps, then byte by byte.
fn plain_prefix(bytes: &[u8]) -> usize {
    let steps = bytes
        .chunks_exact(STEP)
        .take_while(|step| step.iter().fold(true, |all, &byte| all & is_plain(byte)))
        .count();
    let tail = bytes.get(steps * STEP..).unwrap_or_default();
    steps * STEP + tail.iter().take_while(|&&byte| is_plain(byte)).count()
}

fn escape(buf: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            escape_char(buf, char);
        }
        for &byte in chunk.invalid() {
            unicode_escape(buf, byte);
        }
    }
}

fn escape_char(buf: &mut Vec<u8>, char: char) {
    match char {
        '"' => buf.extend_from_slice(br#"\""#),
        '\\' => buf.extend_from_slice(br"\\"),
        '\n' => buf.extend_from_slice(br"\n"),
        '\r' => buf.extend_from_slice(br"\r"),
        '\t' => buf.extend_from_slice(br"\t"),
        control @ ('\0'..='\u{1f}' | '\u{7f}'..='\u{9f}') => match u8::try_from(control) {
            Ok(byte) => unicode_escape(buf, byte),
            Err(_) => debug_assert!(false, "a control is below U+0100"),
        },
        char => buf.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

fn unicode_escape(buf: &mut Vec<u8>, byte: u8) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    let [high, low] = [usize::from(byte >> 4), usize::from(byte & 0x0f)];
    buf.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[high], HEX[low]]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn literal(bytes: &[u8]) -> Vec<u8> {
        let mut buf = Vec::new();
        json_string(&mut buf, bytes);
        buf
    }

    #[test]
    fn rfc8259_7_strings_are_escaped() {
        let rows: [(&[u8], &str); 12] = [
            (b"", r#""""#),
            (b"/index.html", r#""/index.html""#),
            (b"exactly sixteen!", r#""exactly sixteen!""#),
            (b"a\"b\\c", r#""a\"b\\c""#),
            (b"\r\n\t", r#""\r\n\t""#),
            (b"\0\x1f\x7f", r#""\u0000\u001f\u007f""#),
            ("grüße, 世界 🌍".as_bytes(), r#""grüße, 世界 🌍""#),
            ("\u{9b}31m".as_bytes(), r#""\u009b31m""#),
            (b"\xff", r#""\u00ff""#),
            (b"caf\xe9 noir", r#""caf\u00e9 noir""#),
            (b"cut \xe4\xb8", r#""cut \u00e4\u00b8""#),
            (b"\xed\xa0\x80", r#""\u00ed\u00a0\u0080""#),
        ];
        for (input, expected) in rows {
            assert_eq!(String::from_utf8(literal(input)).unwrap(), expected, "{input:x?}");
        }
    }

    proptest! {
        #[test]
        fn well_formed_text_reads_back_as_itself(text in "\\PC*|[\\x00-\\x7f]*|.*") {
            let read: String = serde_json::from_slice(&literal(text.as_bytes())).unwrap();
            prop_assert_eq!(read, text);
        }

        #[test]
        fn any_bytes_become_valid_json_without_raw_controls(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(b'a'), Just(b'"'), Just(0xc3), Just(0xa9)], 0..80),
        ) {
            let literal = literal(&bytes);
            let read: String = serde_json::from_slice(&literal).unwrap();
            let expected: String = bytes
                .utf8_chunks()
                .flat_map(|chunk| {
                    chunk.valid().chars().chain(chunk.invalid().iter().map(|&b| char::from(b)))
                })
                .collect();
            prop_assert_eq!(read, expected);
            let text = String::from_utf8(literal).unwrap();
            prop_assert!(!text.chars().any(char::is_control));
        }
    }
}
