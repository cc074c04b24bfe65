//! Master file tables; each row names its clause.
#![expect(clippy::too_many_lines, reason = "long tables of rows")]

use proptest::prelude::*;

use super::*;

fn no_files(_file: &str, _from: &str) -> Result<Vec<u8>, String> {
    Err("no such file".into())
}

fn read_text(text: &str) -> Result<Vec<Record>, Vec<Fault>> {
    let origin = Name::parse(b"example.", None).unwrap();
    read("zone", text.as_bytes(), &origin, &mut no_files)
}

fn hex(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn printed(records: &[Record]) -> Vec<String> {
    let print = |record: &Record| {
        let Record { owner, rtype, ttl, data, .. } = record;
        format!("{owner} {ttl} {rtype} {}", hex(data))
    };
    records.iter().map(print).collect()
}

/// The data of the only record, in hexadecimal, or the only fault.
fn data_of(text: &str) -> Result<String, String> {
    match read_text(&format!("$TTL 60\na {text}")) {
        Ok(records) => {
            assert_eq!(records.len(), 1, "{text}");
            Ok(hex(&records[0].data))
        }
        Err(faults) => {
            assert_eq!(faults.len(), 1, "{text}: {faults:?}");
            Err(faults[0].to_string())
        }
    }
}

#[test]
fn owners_ttls_and_classes_are_filled_in() {
    let rows: &[(&str, &str, &[&str])] = &[
        ("RFC 1035 §5.1 TTL, class", "a 5 IN A 1.2.3.4", &["a.example. 5 A 01020304"]),
        ("RFC 1035 §5.1 class, TTL", "a IN 5 A 1.2.3.4", &["a.example. 5 A 01020304"]),
        ("RFC 1035 §5.1 any case", "a 5 in a 1.2.3.4", &["a.example. 5 A 01020304"]),
        ("RFC 3597 §5 CLASS1, TYPE1", "a 5 CLASS1 TYPE1 1.2.3.4", &["a.example. 5 A 01020304"]),
        (
            "RFC 2308 §4 $TTL",
            "$TTL 1h\na A 1.2.3.4\nb 5 A 1.2.3.4\nc A 1.2.3.4",
            &[
                "a.example. 3600 A 01020304",
                "b.example. 5 A 01020304",
                "c.example. 3600 A 01020304",
            ],
        ),
        (
            "RFC 1035 §5.1 the TTL before",
            "a 5 A 1.2.3.4\nb A 1.2.3.4",
            &["a.example. 5 A 01020304", "b.example. 5 A 01020304"],
        ),
        (
            "RFC 1035 §5.1 the owner before",
            "a 5 A 1.2.3.4\n A 1.2.3.5\n\t; x\n\tA 1.2.3.6",
            &["a.example. 5 A 01020304", "a.example. 5 A 01020305", "a.example. 5 A 01020306"],
        ),
        ("RFC 1035 §5.1 @", "@ 5 A 1.2.3.4", &["example. 5 A 01020304"]),
        ("RFC 1035 §5.1 absolute", "a. 5 A 1.2.3.4", &["a. 5 A 01020304"]),
        ("RFC 1035 §5.1 the root", ". 5 A 1.2.3.4", &[". 5 A 01020304"]),
        (
            "RFC 1035 §5.1 $ORIGIN",
            "$ORIGIN b\na 5 A 1.2.3.4\n$ORIGIN c.\na A 1.2.3.4",
            &["a.b.example. 5 A 01020304", "a.c. 5 A 01020304"],
        ),
        (
            "RFC 1035 §5.1 the owner outlives $ORIGIN",
            "a 5 A 1.2.3.4\n$ORIGIN b.\n A 1.2.3.5",
            &["a.example. 5 A 01020304", "a.example. 5 A 01020305"],
        ),
        ("RFC 4592 §2.1.1 wildcards", "*.b 5 A 1.2.3.4", &["*.b.example. 5 A 01020304"]),
        ("RFC 1035 §5.1 an owner like a type", "MX 5 A 1.2.3.4", &["MX.example. 5 A 01020304"]),
        ("RFC 1035 §5.1 an owner like a TTL", "5 5 A 1.2.3.4", &["5.example. 5 A 01020304"]),
        ("RFC 1035 §5.1 parentheses", "a ( 5\n IN ; c\nA\n1.2.3.4 )", &["a.example. 5 A 01020304"]),
        ("RFC 1035 §5.1 an escaped $", "\\$TTL 5 A 1.2.3.4", &["\\$TTL.example. 5 A 01020304"]),
        ("RFC 1035 §5.1 nothing", "; empty\n\n", &[]),
    ];
    for (row, text, expected) in rows {
        let records = read_text(text).unwrap_or_else(|faults| panic!("{row}: {faults:?}"));
        assert_eq!(printed(&records), *expected, "{row}");
    }
}

#[test]
fn data_is_encoded_by_type() {
    let ds = "49fd46e6c4b45c55d4ac69cbd3cd34ac1afe51de";
    let sha256 = "ab".repeat(32);
    let (ds_text, ds_data) = (format!("DS 60485 5 1 {ds}"), format!("ec450501{ds}"));
    let (tlsa_text, tlsa_data) = (format!("TLSA 3 1 1 {sha256}"), format!("030101{sha256}"));
    let long = "x".repeat(255);
    let (long_text, long_data) = (format!("TXT {long}"), format!("ff{}", "78".repeat(255)));
    let rows: &[(&str, &str, &str)] = &[
        ("RFC 1035 §3.4.1", "A 192.0.2.1", "c0000201"),
        ("RFC 3596 §2.4", "AAAA 2001:db8::1", "20010db8000000000000000000000001"),
        ("RFC 3596 §2.4 mapped", "AAAA ::ffff:192.0.2.1", "00000000000000000000ffffc0000201"),
        ("RFC 1035 §3.3.11", "NS ns", "026e73076578616d706c6500"),
        ("RFC 1035 §3.3.1", "CNAME b.c.", "0162016300"),
        ("RFC 1035 §3.3.12", "PTR @", "076578616d706c6500"),
        ("RFC 1035 §3.3.9", "MX 10 m.", "000a016d00"),
        ("RFC 7505 §3 null MX", "MX 0 .", "000000"),
        (
            "RFC 1035 §3.3.13",
            "SOA m. h\\.m.x. 2026010203 1h 15m ( 1w\n 60 )",
            "016d0003682e6d01780078c2765b00000e100000038400093a800000003c",
        ),
        ("RFC 1035 §3.3.14", "TXT a \"b c\" \"\"", "0161 03622063 00"),
        ("RFC 1035 §3.3 escapes", "TXT \"\\\"\\\\\\065;\"", "04225c413b"),
        ("RFC 1035 §3.3 255 bytes", &long_text, &long_data),
        ("RFC 2782", "SRV 1 2 443 t.", "0001000201bb017400"),
        (
            "RFC 8659 §4.1",
            "CAA 128 issue \"ca.example; a=b\"",
            "8005697373756563612e6578616d706c653b20613d62",
        ),
        ("RFC 8659 §4.1 no value", "CAA 0 issue \"\"", "00056973737565"),
        ("RFC 4034 §5.3", &ds_text, &ds_data),
        ("RFC 4034 §5.3 with spaces", "DS 1 5 99 AB ( CD\n EF )", "00010563abcdef"),
        ("RFC 6698 §2.2", &tlsa_text, &tlsa_data),
        (
            "RFC 3403 §4.1",
            "NAPTR 100 50 \"u\" \"E2U+sip\" \"!^.*$!sip:a@b!\" .",
            "0064 0032 0175 074532552b736970 0e215e2e2a24217369703a61406221 00",
        ),
        ("RFC 1035 §3.3.2", "HINFO a b", "01610162"),
        ("RFC 3597 §5 unknown", "TYPE65280 \\# 3 ab CDEF", "abcdef"),
        ("RFC 3597 §5 empty", "TYPE65280 \\# 0", ""),
        ("RFC 3597 §5 a known type", "A \\# 4 C0000201", "c0000201"),
        (
            "RFC 9460 appendix D.1",
            "HTTPS 0 foo.example.com.",
            "000003666f6f076578616d706c6503636f6d00",
        ),
        ("RFC 9460 appendix D.2 figure 3", "SVCB 1 .", "000100"),
        (
            "RFC 9460 appendix D.2 figure 4",
            "SVCB 16 foo.example.com. port=53",
            "001003666f6f076578616d706c6503636f6d00000300020035",
        ),
        (
            "RFC 9460 appendix D.2 figure 5",
            "SVCB 1 foo.example.com. key667=hello",
            "000103666f6f076578616d706c6503636f6d00029b000568656c6c6f",
        ),
        (
            "RFC 9460 appendix D.2 figure 6",
            "SVCB 1 foo.example.com. key667=\"hello\\210qoo\"",
            "000103666f6f076578616d706c6503636f6d00029b000968656c6c6fd2716f6f",
        ),
        (
            "RFC 9460 appendix D.2 figure 7",
            "SVCB 1 foo.example.com. ( ipv6hint=\"2001:db8::1,2001:db8::53:1\" )",
            "000103666f6f076578616d706c6503636f6d0000060020\
             20010db800000000000000000000000120010db8000000000000000000530001",
        ),
        (
            "RFC 9460 appendix D.2 figure 9",
            "SVCB 16 foo.example.org. ( alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1 )",
            "001003666f6f076578616d706c65036f72670000000004000100040001000902683205\
             68332d313900040004c0000201",
        ),
        (
            "RFC 9460 appendix D.2 figure 10, quoted",
            "SVCB 16 foo.example.org. alpn=\"f\\\\\\\\oo\\\\,bar,h2\"",
            "001003666f6f076578616d706c65036f726700000100 0c08665c6f6f2c626172026832",
        ),
        (
            "RFC 9460 appendix D.2 figure 10, plain",
            "SVCB 16 foo.example.org. alpn=f\\\\\\092oo\\092,bar,h2",
            "001003666f6f076578616d706c65036f726700000100 0c08665c6f6f2c626172026832",
        ),
        (
            "RFC 9460 §2.2 sorted",
            "HTTPS 1 . ipv4hint=192.0.2.1 port=53 alpn=h2 mandatory=port,alpn",
            "000100 0000000400010003 00010003026832 000300020035 00040004c0000201",
        ),
        ("RFC 9460 §7.1.1", "HTTPS 1 . no-default-alpn alpn=h2", "000100000100030268320002 0000"),
        ("RFC 9460 §7.3 ech", "HTTPS 1 . ech=\"AQID\"", "0001000005000301 0203"),
        (
            "RFC 9461 §5",
            "SVCB 1 d. alpn=h2 dohpath=/q{?dns}",
            "00010164000001000302683200070008 2f717b3f646e737d",
        ),
        ("RFC 9540 §4", "HTTPS 1 . ohttp", "00010000080000"),
        ("RFC 9460 §2.1 a known key by number", "HTTPS 1 . key3=\\001\\187", "000100000300 0201bb"),
    ];
    for (row, text, expected) in rows {
        let expected = expected.replace(' ', "");
        assert_eq!(data_of(text), Ok(expected), "{row}");
    }
}

#[test]
fn every_fault_says_what_is_allowed() {
    let label = format!("{}.a 5 A 1.2.3.4", "x".repeat(64));
    let text = format!("a 5 TXT {}", "x".repeat(256));
    let rows: &[(&str, &str, u32, &str, &str)] = &[
        ("§5.1 no type", "a 5 IN", 1, "no type", "[TTL] [IN] TYPE data"),
        ("§5.1 an unknown type", "a 5 AAA 1.2.3.4", 1, "\"AAA\"", "SOA NS A AAAA"),
        ("§5.1 another class", "a 5 CH A 1.2.3.4", 1, "\"CH\"", "class IN"),
        ("§5.1 no TTL", "\na A 1.2.3.4", 2, "no TTL", "$TTL before it"),
        (
            "RFC 2181 §8 a large TTL",
            "a 3000000000 A 1.2.3.4",
            1,
            "\"3000000000\"",
            "seconds up to 2147483647",
        ),
        ("§5.1 a malformed TTL", "a 1h1 A 1.2.3.4", 1, "\"1h1\"", "1w2d3h4m5s"),
        ("§5.1 no owner", " 5 A 1.2.3.4", 1, "no owner", "an owner before the first"),
        (
            "§5.1 an unknown directive",
            "$GENERATE 1-2 a A 1.2.3.4",
            1,
            "\"$GENERATE\"",
            "$ORIGIN, $TTL and $INCLUDE",
        ),
        ("§5.1 $ORIGIN alone", "$ORIGIN", 1, "the origin is missing", "a domain name"),
        ("§5.1 $TTL and more", "$TTL 5 6", 1, "\"6\"", "nothing more"),
        ("§5.1 a label of 64", &label, 1, "more than 63 bytes", "1 to 63 bytes"),
        ("§5.1 a quoted owner", "\"a\" 5 A 1.2.3.4", 1, "\"a\"", "without quotes"),
        (
            "§5.1 an open string",
            "a 5 TXT \"b\nc 5 A 1.2.3.4",
            1,
            "does not end on its line",
            "matched quotes",
        ),
        ("§5.1 open parentheses", "a 5 A ( 1.2.3.4", 1, "not closed", "matched parentheses"),
        ("§3.4.1 no address", "a 5 A", 1, "the address is missing", "an IPv4 address"),
        ("§3.4.1 not an address", "a 5 A 1.2.3", 1, "\"1.2.3\"", "an IPv4 address"),
        ("§3.4.1 leading zeros", "a 5 A 1.2.3.04", 1, "\"1.2.3.04\"", "an IPv4 address"),
        ("§3.4.1 an IPv6 address", "a 5 A ::1", 1, "\"::1\"", "an IPv4 address"),
        ("RFC 3596 an IPv4 address", "a 5 AAAA 1.2.3.4", 1, "\"1.2.3.4\"", "an IPv6 address"),
        ("§5.1 more than a record has", "a 5 A 1.2.3.4 1.2.3.5", 1, "\"1.2.3.5\"", "nothing more"),
        (
            "§3.3.9 not a preference",
            "a 5 MX m 10",
            1,
            "\"m\"",
            "for the preference: a number from 0 to 65535",
        ),
        ("§3.3.9 out of range", "a 5 MX 65536 m", 1, "\"65536\"", "a number from 0 to 65535"),
        ("§3.3.9 on the next line", "a 5 MX ( 1\nb..c )", 2, "a label is empty", "between dots"),
        ("§3.3.14 too long", &text, 1, "xxx", "at most 255 bytes"),
        ("§3.3.14 nothing", "a 5 TXT", 1, "the text is missing", "at most 255 bytes"),
        ("§5.1 a bad escape", "a 5 TXT \\300", 1, "\\300", "\\000 to \\255"),
        ("RFC 8659 §4.1 a tag", "a 5 CAA 0 is-sue x", 1, "the tag", "letters and digits"),
        (
            "RFC 4034 §5.1.4 a short digest",
            "a 5 DS 1 8 2 abcd",
            1,
            "a digest of 2 bytes",
            "for type 2: 32 bytes",
        ),
        ("RFC 4034 §5.3 no digest", "a 5 DS 1 8 9", 1, "the digest", "at least one byte"),
        ("RFC 4034 §5.3 half a byte", "a 5 DS 1 8 9 abc", 1, "half a byte", "two a byte"),
        (
            "RFC 6698 §2.1.3",
            "a 5 TLSA 3 1 2 abcd",
            1,
            "a digest of 2 bytes",
            "for type 2: 64 bytes",
        ),
        ("RFC 3597 §5 no text form", "a 5 TYPE99 x", 1, "no text form", "\\# LENGTH HEX"),
        (
            "RFC 3597 §5 another length",
            "a 5 TYPE99 \\# 2 abcdef",
            1,
            "3 bytes of data where \\# says 2",
            "as many",
        ),
        ("RFC 3597 §5 not hexadecimal", "a 5 TYPE99 \\# 1 xy", 1, "\"xy\"", "hexadecimal"),
        (
            "RFC 3597 §5 a known type cut",
            "a 5 A \\# 3 abcdef",
            1,
            "the address of type A",
            "four bytes",
        ),
        (
            "RFC 3597 §5 a compressed name",
            "a 5 NS \\# 2 c00c",
            1,
            "the target of type NS",
            "uncompressed",
        ),
        ("RFC 3597 §5 bytes behind", "a 5 A \\# 5 0102030405", 1, "bytes behind", "none"),
        ("RFC 6895 §3.1 a meta type", "a 5 TYPE255 \\# 0", 1, "ANY is for messages", "SOA NS"),
        ("RFC 6891 OPT", "a 5 OPT \\# 0", 1, "OPT is for messages", "SOA NS"),
        ("RFC 6672 DNAME", "a 5 TYPE39 \\# 1 00", 1, "DNAME changes how", "SOA NS"),
        ("RFC 4034 RRSIG", "a 5 RRSIG x", 1, "RRSIG changes how", "SOA NS"),
        (
            "RFC 9460 §2.1 an unknown key",
            "a 5 HTTPS 1 . alpm=h2",
            1,
            "\"alpm=h2\"",
            "mandatory, alpn,",
        ),
        (
            "RFC 9460 §2.1 leading zeros",
            "a 5 HTTPS 1 . key03=x",
            1,
            "\"key03=x\"",
            "key0 to key65534",
        ),
        (
            "RFC 9460 §14.3.2 the invalid key",
            "a 5 HTTPS 1 . key65535=x",
            1,
            "\"key65535=x\"",
            "key65534",
        ),
        (
            "RFC 9460 §2.1 a key twice",
            "a 5 HTTPS 1 . port=1 port=2",
            1,
            "\"port=2\"",
            "each key once",
        ),
        (
            "RFC 9460 §2.4.2 alias mode",
            "a 5 HTTPS 0 b. port=1",
            1,
            "alias mode",
            "none (RFC 9460 §2.4.2)",
        ),
        (
            "RFC 9460 §7.1.1 alone",
            "a 5 HTTPS 1 . no-default-alpn",
            1,
            "no-default-alpn without alpn",
            "both",
        ),
        (
            "RFC 9460 §7.1.1 an empty item",
            "a 5 HTTPS 1 . alpn=h2,,h3",
            1,
            "\"alpn=h2,,h3\"",
            "h2,h3",
        ),
        (
            "RFC 9460 §7.1.1 with a value",
            "a 5 HTTPS 1 . alpn=h2 no-default-alpn=x",
            1,
            "=x\"",
            "no value",
        ),
        ("RFC 9460 §7.2", "a 5 HTTPS 1 . port=65536", 1, "\"port=65536\"", "from 0 to 65535"),
        ("RFC 9460 §7.3", "a 5 HTTPS 1 . ipv4hint=::1", 1, "\"ipv4hint=::1\"", "IPv4 addresses"),
        (
            "RFC 9460 §7.3",
            "a 5 HTTPS 1 . ipv6hint=1.2.3.4",
            1,
            "\"ipv6hint=1.2.3.4\"",
            "IPv6 addresses",
        ),
        (
            "RFC 9460 §8 absent",
            "a 5 HTTPS 1 . mandatory=alpn",
            1,
            "key1 is mandatory but absent",
            "only keys",
        ),
        (
            "RFC 9460 §8 itself",
            "a 5 HTTPS 1 . mandatory=mandatory",
            1,
            "the value of mandatory",
            "RFC 9460",
        ),
        (
            "RFC 9460 §8 twice",
            "a 5 HTTPS 1 . mandatory=port,port port=1",
            1,
            "the value of mandatory",
            "RFC 9460",
        ),
        (
            "RFC 9460 §2.2 not ascending",
            "a 5 HTTPS \\# 12 000100 0003 0000 0001 0000 00",
            1,
            "do not ascend",
            "ascending",
        ),
        (
            "RFC 9460 §2.2 cut",
            "a 5 HTTPS \\# 6 000100 0003 00",
            1,
            "a parameter is cut",
            "a length",
        ),
        ("§5.1 $INCLUDE fails", "$INCLUDE other", 1, "other: no such file", "can be read"),
        ("§5.1 $INCLUDE alone", "$INCLUDE", 1, "the file is missing", "text"),
    ];
    for (row, text, line, what, allowed) in rows {
        let faults = read_text(text).expect_err(row);
        assert_eq!(faults.len(), 1, "{row}: {faults:?}");
        let fault = &faults[0];
        assert_eq!(fault.place.as_ref().map(|place| place.line), Some(*line), "{row}: {fault}");
        assert!(fault.what.contains(what), "{row}: {fault}");
        assert!(fault.allowed.contains(allowed), "{row}: {fault}");
    }
}

#[test]
fn all_faults_are_found_at_once() {
    let text = "$TTL 60\na A 1.2.3\nb.. A 1.2.3.4\n A 1.2.3.5\nc A 1.2.3.6\nd MX x y\n$NO\n";
    let faults = read_text(text).unwrap_err();
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let starts = [
        "zone:2 \"1.2.3\"",
        "zone:3 \"b..\"",
        "zone:4 the record has no owner",
        "zone:6 \"x\"",
        "zone:7 \"$NO\"",
    ];
    assert_eq!(lines.len(), starts.len(), "{lines:?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start) && line.contains("; allowed: "), "{line}");
    }
    assert_eq!(read_text(&"x\n".repeat(1000)).unwrap_err().len(), 100, "and no more than that");
}

#[test]
fn files_include_files() {
    let files = |file: &str, from: &str| match file {
        "sub" => {
            Ok(format!("x A 1.2.3.5 ; {from}\n$ORIGIN deep\n$TTL 9\n$INCLUDE \"a b\"\n").into())
        }
        "a b" => Ok(b"y A 1.2.3.6".to_vec()),
        "faulty" => Ok(b"\n\nz A x".to_vec()),
        "self" => Ok(b"$INCLUDE self".to_vec()),
        "d/in" => Ok(b"$INCLUDE e/in".to_vec()),
        "e/in" => Ok(format!("x A {from}").into()),
        _ => Err("no such file".to_owned()),
    };
    let origin = Name::parse(b"example.", None).unwrap();
    let text = b"$TTL 5\na A 1.2.3.4\n$INCLUDE sub s\n A 1.2.3.7\nb A 1.2.3.8\n";
    let records = read("zone", text, &origin, &mut { files }).unwrap();
    assert_eq!(
        printed(&records),
        [
            "a.example. 5 A 01020304",
            "x.s.example. 5 A 01020305",
            "y.deep.s.example. 9 A 01020306",
            "a.example. 9 A 01020307",
            "b.example. 9 A 01020308",
        ],
        "RFC 1035 §5.1: origin and owner come back; RFC 2308 §4: $TTL holds for what follows"
    );
    assert_eq!(records[2].place.to_string(), "a b:1");
    let faults = read("zone", b"$TTL 1\n$INCLUDE faulty\n", &origin, &mut { files }).unwrap_err();
    assert_eq!(faults[0].place.as_ref().unwrap().to_string(), "faulty:3");
    let faults = read("zone", b"$INCLUDE self", &origin, &mut { files }).unwrap_err();
    assert!(faults[0].what.contains("8 deep"), "{faults:?}");
    let faults = read("z/zone", b"$TTL 1\n$INCLUDE d/in", &origin, &mut { files }).unwrap_err();
    assert!(
        faults[0].to_string().starts_with("z/d/e/in:1 \"z/d/in\""),
        "a name is relative to the file that says it: {faults:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_text_panics(text in prop::collection::vec(any::<u8>(), 0..300)) {
        let origin = Name::parse(b"example.", None).unwrap();
        if let Ok(records) = read("zone", &text, &origin, &mut no_files) {
            prop_assert!(records.iter().all(|record| !record.rtype.is_meta()));
        }
    }

    #[test]
    fn no_near_text_panics(words in prop::collection::vec(prop::sample::select(vec![
        "$TTL", "$ORIGIN", "$INCLUDE", "a", "@", ".", "5", "IN", "A", "1.2.3.4", "\n", "\n ", "(", ")",
        "HTTPS", "1", "alpn=\"h2\"", "mandatory=alpn", "TXT", "\"x y\"", "\\#", "4", "c0000201", "TYPE77",
        "SOA", "NAPTR", "DS", "CAA", "\"", ";", "\\", "\\200", "key1=\\001a", "ech=AQID",
    ]), 0..60)) {
        let origin = Name::parse(b"example.", None).unwrap();
        let text = words.join(" ");
        if let Err(faults) = read("zone", text.as_bytes(), &origin, &mut no_files) {
            prop_assert!(faults.iter().all(|fault| fault.place.is_some()));
        }
    }

    #[test]
    fn generic_data_reads_back(rtype in 256_u16..60_000, data in prop::collection::vec(any::<u8>(), 0..80)) {
        let text = format!("a 5 TYPE{rtype} \\# {} {}", data.len(), hex(&data));
        let typed = RecordType(rtype);
        prop_assume!(typed.word().is_none());
        let records = read_text(&text).unwrap();
        prop_assert_eq!(&*records[0].data, data.as_slice());
    }
}
