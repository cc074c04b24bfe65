//! Cookies, RFC 7873, and how those of RFC 9018 age and are shared; its vectors have a file of their own.

use geodns_core::{answer::Transport, wire::cookie::Standing};

use super::stage::{Draft, NOW, Query, SECRET, Stage, lines, q};

/// The client, its cookie and what it learns, as RFC 9018 appendix A.1 has them.
const CLIENT: &str = "198.51.100.100";
const FIRST: &str = "2464c4abcf10c957";
const LEARNED: &str = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";

fn www() -> Query {
    q("www.cdn.test.", "A").from(CLIENT)
}

const ANSWER: [&str; 2] = ["NOERROR aa", "an www.cdn.test. 60 A 192.0.2.11"];

#[test]
fn every_answer_to_a_cookie_has_a_good_one() {
    let stage = Stage::new();
    let good = format!("opt 1232 cookie={LEARNED}");
    let other = format!("{FIRST}010000005cf79f110000000000000000");
    let rows = [
        ("§5.2.3, RFC 9018 A.1 a first contact", www().cookie(FIRST), Standing::ClientOnly),
        ("§5.2.5 a valid one comes back", www().cookie(LEARNED), Standing::Valid),
        ("§5.2.4 a wrong one is answered", www().cookie(&other), Standing::Invalid),
        (
            "§5.2.4 one of another make",
            www().cookie(&format!("{FIRST}0102030405060708")),
            Standing::Invalid,
        ),
    ];
    for (row, query, standing) in rows {
        assert_eq!(stage.ask(&query), [ANSWER[0], ANSWER[1], &good], "{row}");
        assert_eq!(stage.send(&query).unwrap().1.cookie, Some(standing), "{row}");
    }
    let refused = q("www.example.", "A").from(CLIENT).cookie(FIRST);
    let expected = format!("opt 1232 cookie={LEARNED} ede=20");
    assert_eq!(stage.ask(&refused), ["REFUSED", &expected], "§5.2.3 whatever the answer is");
    let none = www().size(1232);
    assert_eq!(stage.ask(&none), [ANSWER[0], ANSWER[1], "opt 1232"], "§5.2.1");
}

#[test]
fn cookies_age() {
    let mut stage = Stage::new();
    let rows = [
        ("RFC 9018 §4.3 young", NOW + 1800, Standing::Valid, true),
        ("RFC 9018 §4.3 renewed after half an hour", NOW + 1801, Standing::Valid, false),
        ("RFC 9018 §4.3 an hour", NOW + 3600, Standing::Valid, false),
        ("RFC 9018 §4.3 more", NOW + 3601, Standing::Invalid, false),
        ("RFC 9018 §4.3 five minutes ahead", NOW - 300, Standing::Valid, true),
        ("RFC 9018 §4.3 more", NOW - 301, Standing::Invalid, false),
    ];
    for (row, now, standing, same) in rows {
        stage.wall = now;
        let (bytes, facts) = stage.send(&www().cookie(LEARNED)).unwrap();
        assert_eq!(facts.cookie, Some(standing), "{row}");
        let kept = lines(&bytes).last().unwrap().contains(LEARNED);
        assert_eq!(kept, same, "{row}");
    }
}

#[test]
fn another_nodes_cookies_hold_where_secrets_are_shared() {
    let rolled = format!("445536bcd2513298075a5d379663c962\n{SECRET}");
    for (row, secrets, standing) in [
        ("RFC 9018 §5 the old one", Some(&*rolled), Some(Standing::Valid)),
        ("RFC 9018 §5 an unknown one", rolled.lines().next(), Some(Standing::Invalid)),
        ("§5.2.1 not spoken", None, None),
    ] {
        let stage = Draft { secrets, ..Draft::default() }.build().unwrap();
        let (_, facts) = stage.send(&www().cookie(LEARNED)).unwrap();
        assert_eq!(facts.cookie, standing, "{row}");
    }
}

#[test]
fn without_a_question_only_the_cookie_is_meant() {
    let stage = Stage::new();
    let ask = |stage: &Stage, query: Query| {
        let bytes = query.bytes();
        let message = [&bytes[..5], &[0], &bytes[6..12], &bytes[30..]].concat();
        lines(&stage.send_bytes(&message, &query).unwrap().0)
    };
    let good = format!("opt 1232 cookie={LEARNED}");
    let wrong = format!("{FIRST}010000005cf79f110000000000000000");
    let rows = [
        ("§5.4 a first contact", www().cookie(FIRST), ["NOERROR", &good]),
        ("§5.4 valid", www().cookie(LEARNED), ["NOERROR", &good]),
        ("§5.4 invalid", www().cookie(&wrong), ["BADCOOKIE", &good]),
        (
            "§5.4 over a connection too",
            www().cookie(&wrong).over(Transport::Tcp),
            ["BADCOOKIE", &good],
        ),
        ("§5.4 no cookie", www().size(1232), ["FORMERR", "opt 1232"]),
    ];
    for (row, query, expected) in rows {
        assert_eq!(ask(&stage, query), expected, "{row}");
    }
    let silent = Draft { secrets: None, ..Draft::default() }.build().unwrap();
    assert_eq!(ask(&silent, www().cookie(FIRST)), ["FORMERR", "opt 1232"], "§5.4 not spoken");
}

#[test]
fn a_malformed_cookie_is_a_format_error() {
    let stage = Stage::new();
    for length in [0, 7, 9, 15, 41] {
        let query = www().option(10, &vec![1; length]);
        assert_eq!(stage.ask(&query), ["FORMERR", "opt 1232"], "§5.2.2 {length} bytes");
    }
}
