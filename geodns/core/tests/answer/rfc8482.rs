//! ANY, answered with as little as the clause allows.

use super::stage::{SOA, Stage, lines, q};

#[test]
fn any_is_answered_with_one_record() {
    let stage = Stage::new();
    stage.says(&[
        (
            "§4.2 an alias is itself",
            q("alias.cdn.test.", "ANY"),
            &["NOERROR aa", "an alias.cdn.test. 300 CNAME www.cdn.test."],
        ),
        ("§4.2 no such name", q("nope.cdn.test.", "ANY"), &["NXDOMAIN aa", SOA]),
        ("§4.2 nothing there", q("b.c.cdn.test.", "ANY"), &["NOERROR aa", SOA]),
    ]);
    for (row, name) in [
        ("§4.2 records", "mail.cdn.test."),
        ("§4.2 a route, without asking it", "www.cdn.test."),
        ("§4.2 both", "cdn.test."),
    ] {
        let (bytes, facts) = stage.send(&q(name, "ANY").ecs("203.0.113.0/24")).unwrap();
        let lines = lines(&bytes);
        assert!(lines.len() == 3 && lines[1].contains(" 3600 HINFO RFC8482"), "{row}: {lines:?}");
        assert_eq!((facts.routed, facts.scope), (None, Some(0)), "{row}");
    }
}
