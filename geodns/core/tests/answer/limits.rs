//! The limit of responses: whom it holds for, and what becomes of what is beyond it.

use geodns_core::{
    answer::{Emptied, Reply, Scratch, Silence, Transport},
    limit::{Limiter, ResponseClass},
    settings::RateLimitSettings,
};

use super::stage::{Query, Stage, lines, q};

fn limited(slip: u32) -> Stage {
    let settings = RateLimitSettings {
        answers: 2,
        nxdomain: 1,
        burst: std::time::Duration::from_secs(1),
        slip,
        allow: vec!["198.51.100.0/24".parse().unwrap()],
        entries: 1024,
        ..RateLimitSettings::default()
    };
    let mut stage = Stage::new();
    stage.limiter = Some(Limiter::new(&settings.limits().unwrap(), [7; 16]));
    stage
}

/// What comes of a query: the response's lines, or why there is none.
fn outcome(stage: &Stage, query: &Query) -> Result<Vec<String>, Silence> {
    let mut out = [0; 4096];
    match stage.reply(&query.bytes(), query, &mut Scratch::default(), &mut out) {
        Reply::Send { bytes, .. } => Ok(lines(&out[..bytes])),
        Reply::Drop(why) => Err(why),
    }
}

fn www() -> Query {
    q("www.cdn.test.", "A")
}

#[test]
fn what_is_too_much_slips_or_is_dropped() {
    for (slip, slips) in [(1, true), (0, false)] {
        let stage = limited(slip);
        let answered = outcome(&stage, &www().size(1232)).unwrap();
        assert_eq!(answered.len(), 3);
        assert_eq!(outcome(&stage, &www().size(1232)).unwrap(), answered, "within the burst");
        match outcome(&stage, &www().size(1232)) {
            Ok(lines) => {
                assert_eq!(lines, ["NOERROR aa tc", "opt 1232"], "custom: slip");
                let (_, facts) = stage.send(&www()).unwrap();
                assert_eq!(facts.emptied, Some(Emptied::Limited));
                assert!(slips);
            }
            Err(Silence::Limited(facts)) => {
                assert_eq!(facts.class, ResponseClass::Answer);
                assert!(!slips);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn it_holds_for_networks_and_classes_that_prove_nothing() {
    let mut stage = limited(0);
    for _ in 0..10 {
        outcome(&stage, &www()).ok();
    }
    let dropped = |stage: &Stage, query: &Query| outcome(stage, query).is_err();
    assert!(dropped(&stage, &www().from("192.0.2.7")), "the same network");
    assert!(!dropped(&stage, &www().from("192.0.3.7")), "another one");
    assert!(!dropped(&stage, &q("nope.cdn.test.", "A")), "another class");
    assert!(dropped(&stage, &q("nope2.cdn.test.", "A")), "whatever the name");
    for transport in [Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic] {
        assert!(!dropped(&stage, &www().over(transport)), "a connection proves: {transport:?}");
    }
    for _ in 0..10 {
        assert!(!dropped(&stage, &www().from("198.51.100.9")), "an allowed network");
    }
    let (first, _) = Stage::new().send(&www().cookie("2464c4abcf10c957")).unwrap();
    let cookie = lines(&first).last().unwrap().split_once("cookie=").unwrap().1.to_owned();
    assert!(!dropped(&stage, &www().cookie(&cookie)), "RFC 7873 §5.2.5 a valid cookie proves");
    assert!(dropped(&stage, &www().cookie("2464c4abcf10c957")), "RFC 7873 §5.2.3 a first does not");
    stage.now += std::time::Duration::from_secs(60);
    assert!(!dropped(&stage, &www()), "later");
}
