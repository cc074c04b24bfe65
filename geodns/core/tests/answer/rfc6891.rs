//! EDNS: when there is an OPT record, what it says, and which version.

use super::stage::{Stage, q};

const A: &str = "an www.cdn.test. 60 A 192.0.2.21";

#[test]
fn opt_answers_opt() {
    let www = || q("www.cdn.test.", "A");
    let stage = Stage::with("[geodns.answer]\nudp_bytes_max = 1400\n");
    stage.says(&[("§6.2.5 the size is ours", www().size(512), &["NOERROR aa", A, "opt 1400"])]);
    Stage::new().says(&[
        ("§7 none for none", www(), &["NOERROR aa", A]),
        ("§6.1.1 one for one", www().size(4096), &["NOERROR aa", A, "opt 1232"]),
        ("RFC 3225 §3 DO", www().opt_ttl(0x8000), &["NOERROR aa", A, "opt 1232 do"]),
        ("§6.1.4 Z is not repeated", www().opt_ttl(0x7fff), &["NOERROR aa", A, "opt 1232"]),
        ("§6.1.3 BADVERS", www().opt_ttl(1 << 16), &["BADVERS", "opt 1232"]),
        ("§6.1.3 before options", www().opt_ttl(1 << 16).option(8, b"x"), &["BADVERS", "opt 1232"]),
        ("§6.1.2 unknown options", www().option(65_001, b"x"), &["NOERROR aa", A, "opt 1232"]),
        ("§7 with a refusal", q("x.example.", "A").size(512), &["REFUSED", "opt 1232 ede=20"]),
    ]);
}

#[test]
fn an_opt_record_that_is_none_is_malformed() {
    let stage = Stage::new();
    let query = q("www.cdn.test.", "A").size(1232);
    let bytes = query.bytes();
    let (question, opt) = bytes.split_at(bytes.len() - 11);
    let with = |count: u8, opts: &[u8]| [&question[..11], &[count], &question[12..], opts].concat();
    let rows = [
        ("§6.1.1 two", with(2, &[opt, opt].concat())),
        ("§6.1.2 not the root's", with(1, &[&[0xc0, 12], &opt[1..]].concat())),
        ("§6.1.2 options overrun", with(1, &[&opt[..9], &[0, 3, 0, 3, 0]].concat())),
    ];
    for (row, message) in rows {
        let (answer, _) = stage.send_bytes(&message, &query).unwrap();
        assert_eq!(answer[3] & 0x0f, 1, "{row}");
    }
}
