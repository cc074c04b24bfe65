//! Interoperable cookies, RFC 9018: its test vectors as whole answers.

use geodns_core::wire::cookie::Standing;

use super::stage::{Draft, q};

/// The secrets of the vectors: of A.1 to A.3, and of A.4 the old and the new one.
const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
const ROLLED: &str = "445536bcd2513298075a5d379663c962\ndd3bdf9344b678b185a6f5cb60fca715";

#[test]
fn the_test_vectors_are_answered_as_they_say() {
    let rows = [
        (
            "A.1 learning a new one",
            (SECRET, "198.51.100.100", 1_559_731_985),
            "2464c4abcf10c957",
            Standing::ClientOnly,
            "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
        ),
        (
            "A.2 the same client forty minutes later",
            (SECRET, "198.51.100.100", 1_559_734_385),
            "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
            Standing::Valid,
            "2464c4abcf10c957010000005cf7a871d4a564a1442aca77",
        ),
        (
            "A.3 another client, reserved bytes set, an hour and more old",
            (SECRET, "203.0.113.203", 1_559_734_700),
            "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
            Standing::Invalid,
            "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
        ),
        (
            "A.4 IPv6, the secret rolled over",
            (ROLLED, "2001:db8:220:1:59de:d0f4:8769:82b8", 1_559_741_961),
            "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
            Standing::Valid,
            "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
        ),
    ];
    for (row, (secrets, client, now), cookie, standing, reply) in rows {
        let mut stage = Draft { secrets: Some(secrets), ..Draft::default() }.build().unwrap();
        stage.wall = now;
        let query = q("mail.cdn.test.", "A").from(client).cookie(cookie);
        let opt = format!("opt 1232 cookie={reply}");
        let expected = ["NOERROR aa", "an mail.cdn.test. 300 A 192.0.2.54", &opt];
        assert_eq!(stage.ask(&query), expected, "{row}");
        assert_eq!(stage.send(&query).unwrap().1.cookie, Some(standing), "{row}");
    }
}

#[test]
fn what_the_vectors_do_not_know_is_not_ours() {
    let learned = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
    let rows = [
        ("§4.1 another version", "198.51.100.100", learned.replacen("957010", "957020", 1)),
        ("§4.4 another client cookie", "198.51.100.100", learned.replacen("957", "958", 1)),
        ("§4.4 another address", "198.51.100.101", learned.to_owned()),
        ("§4.4 another hash", "198.51.100.100", learned.replacen("1f81", "1f82", 1)),
    ];
    let stage = Draft::default().build().unwrap();
    for (row, client, cookie) in rows {
        let query = q("mail.cdn.test.", "A").from(client).cookie(&cookie);
        assert_eq!(stage.send(&query).unwrap().1.cookie, Some(Standing::Invalid), "{row}");
    }
}
