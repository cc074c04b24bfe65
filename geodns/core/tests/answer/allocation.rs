//! The allocation budget of an answer, from its query's bytes to its own: none.

use allocation_counter::measure;
use geodns_core::{
    answer::{Reply, Scratch, Transport},
    limit::Limiter,
    settings::RateLimitSettings,
};

use super::stage::{FRA, Query, Stage, q};

fn queries() -> Vec<(&'static str, Query)> {
    let www = || q("www.cdn.test.", "A");
    vec![
        ("a route", www()),
        ("a route, by subnet", www().ecs(FRA)),
        ("a route, IPv6", q("www.cdn.test.", "AAAA").ecs("2001:db8:1::/56")),
        ("a route, HTTPS", q("www.cdn.test.", "HTTPS").ecs(FRA)),
        ("all options", www().ecs(FRA).option(3, b"").cookie("2464c4abcf10c957").option(12, b"")),
        ("encrypted and padded", www().ecs(FRA).option(12, b"").over(Transport::Tls)),
        ("aliases", q("alias2.cdn.test.", "A").ecs(FRA)),
        ("a wildcard", q("a.b.img.cdn.test.", "A").ecs(FRA)),
        ("records", q("mail.cdn.test.", "A")),
        ("no such name", q("a.b.c.d.nope.cdn.test.", "A").ecs(FRA)),
        ("no such type", q("www.cdn.test.", "MX")),
        ("a referral", q("x.sub.cdn.test.", "A")),
        ("ANY", q("www.cdn.test.", "ANY")),
        ("CHAOS", q("id.server.", "TXT").class(3)),
        ("another's zone", q("www.example.", "A").size(1232)),
        ("a transfer", q("cdn.test.", "AXFR")),
        ("malformed", www().option(8, b"x")),
        ("BADVERS", www().opt_ttl(1 << 16)),
        ("a response", www().flags(0x8000)),
    ]
}

#[test]
fn an_answer_allocates_nothing() {
    let mut stage = Stage::new();
    let limits = RateLimitSettings { entries: 1024, answers: 3, ..RateLimitSettings::default() };
    let (mut scratch, mut out) = (Scratch::default(), vec![0; 65_535]);
    // From all up, through the fallback order, to all down; and then to what is limited.
    for (down, limited) in
        [(&[][..], false), (&["fra"], false), (&["fra", "sin", "iad"], false), (&[], true)]
    {
        stage.down(down);
        stage.limiter = limited.then(|| Limiter::new(&limits.limits().unwrap(), [3; 16]));
        for (row, query) in queries() {
            let message = query.bytes();
            let mut sent = 0;
            let counted = measure(|| {
                for _ in 0..20 {
                    match stage.reply(&message, &query, &mut scratch, &mut out) {
                        Reply::Send { .. } => sent += 1,
                        Reply::Drop(_) => {}
                    }
                }
            });
            assert_eq!(counted.count_total, 0, "{row}, {down:?} down");
            assert!(limited || sent == if row == "a response" { 0 } else { 20 }, "{row}: {sent}");
        }
    }
}
