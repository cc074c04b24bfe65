//! The allocation budget of the query path: none.
//!
//! In: queries of every kind that the core answers. Out: allocations between a datagram and its
//! response, counted on this thread. Always holds: nothing, also for what is refused, truncated,
//! referred or limited; the loads before it may allocate as they like.
#![expect(clippy::unwrap_used, reason = "what a table holds is known to be well-formed")]

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use allocation_counter::measure;
use geodns_core::{
    limit::{Limiter, Limits, Proof, Rates, ResponseClass},
    wire::{
        chaos::{Chaos, ChaosAnswer},
        cookie::{Secret, Secrets},
        kind::{Class, Rcode},
        name::{Folded, Name},
        query::{Decoded, Query, decode},
        response::{Carrier, Opt, Owner, Response, Section},
    },
    zone::{Zone, ZoneSettings, Zones},
    zonefile,
};

const ZONE: &str = "$TTL 60\n@ SOA ns hostmaster 1 1 1 1 300\n@ NS ns\nns A 192.0.2.1\n\
    www A 192.0.2.2\nalias CNAME alias2\nalias2 CNAME www\n*.wild TXT x\n\
    sub NS ns.sub\nsub NS ns\nns.sub A 192.0.2.3\na.b.c.d TXT x\n";

struct Server {
    zones: Zones,
    secrets: Secrets,
    limiter: Limiter,
    chaos: Chaos,
}

impl Server {
    fn new() -> Self {
        let apex = Name::parse(b"cdn.test.", None).unwrap();
        let mut load = |_: &str, _: &str| Err(String::new());
        let records = zonefile::read("zone", ZONE.as_bytes(), &apex, &mut load).unwrap();
        let settings = ZoneSettings::default();
        let zone = Zone::build(&apex, &records, &BTreeMap::new(), 1, settings).unwrap();
        let limits = Limits {
            rates: Rates { answer: 5, nodata: 5, nxdomain: 5, referral: 5, error: 5 },
            burst: Duration::from_secs(1),
            window: Duration::from_secs(5),
            slip: 2,
            ipv4_prefix_length: 24,
            ipv6_prefix_length: 56,
            allowed: vec!["198.51.100.0/24".parse().unwrap()],
            entries: 1024,
        };
        Self {
            zones: Zones::new([Arc::new(zone)]).unwrap(),
            secrets: Secrets { current: Secret::new([1; 16]), other: Some(Secret::new([2; 16])) },
            limiter: Limiter::new(&limits, [3; 16]),
            chaos: Chaos::new(Some("fra-1"), None),
        }
    }

    /// The way of a query through the core, without routes.
    fn answer(&self, message: &[u8], buffer: &mut [u8]) -> usize {
        let (query, rcode) = match decode(message) {
            Decoded::Dropped(_) => return 0,
            Decoded::Faulty { query, rcode } => (query, rcode),
            Decoded::Asked(query) => (query, Rcode::NoError),
        };
        let client = IpAddr::from([192, 0, 2, 9]);
        let carrier = Carrier::Datagram { bytes_max: 1232 };
        let Some(mut response) = Response::begin(buffer, &query, carrier) else { return 0 };
        let rcode = if rcode == Rcode::NoError { self.fill(&query, &mut response) } else { rcode };
        let now = Duration::from_secs(1);
        let class = ResponseClass::Answer;
        let _verdict = self.limiter.judge(client, class, Proof::None, now, 1);
        let opt = query.edns.map(|edns| {
            let checked = edns.cookie.map(|cookie| self.secrets.check(&cookie, client, 1));
            let opt = Opt::reply_to(&edns).padded_like(&edns);
            Opt { cookie: checked.map(|checked| checked.reply), nsid: Some(b"fra-1"), ..opt }
        });
        response.finish(rcode, opt.as_ref()).bytes
    }

    fn fill(&self, query: &Query<'_>, response: &mut Response<'_>) -> Rcode {
        let Some(question) = query.question else { return Rcode::NoError };
        if question.class == Class::CH {
            return match self.chaos.answer(&question) {
                ChaosAnswer::Data(set) => {
                    response.add(Section::Answer, Owner::Question, set);
                    Rcode::NoError
                }
                ChaosAnswer::NoData => Rcode::NoError,
                ChaosAnswer::Refused => Rcode::Refused,
            };
        }
        let name = Folded::of(question.name);
        let zone = self.zones.find(&name, question.rtype).and_then(|id| self.zones.zone(id));
        let Some(zone) = zone else { return Rcode::Refused };
        zone.lookup(&name, question.rtype).write(response)
    }
}

fn query(name: &str, rtype: u16, class: u16, options: &[u8]) -> Vec<u8> {
    let mut message = b"\0\x01\0\0\0\x01\0\0\0\0\0\x01".to_vec();
    message.extend(Name::parse(name.as_bytes(), None).unwrap().as_ref().wire());
    message.extend([rtype.to_be_bytes(), class.to_be_bytes()].concat());
    message.extend(b"\0\0\x29\x04\xd0\0\0\0\0");
    message.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
    message.extend(options);
    message
}

#[test]
fn a_query_is_answered_without_an_allocation() {
    let server = Server::new();
    let options =
        b"\0\x08\0\x07\0\x01\x18\0\xcb\0\x71\0\x0a\0\x18clientco\x01\0\0\0\0\0\0\x01hashhash\
        \0\x0c\0\0\0\x03\0\0";
    let rows = [
        ("an answer", query("WWW.cdn.test.", 1, 1, b""), Some(0)),
        ("all options", query("www.cdn.test.", 1, 1, options), Some(0)),
        ("aliases", query("alias.cdn.test.", 1, 1, b""), Some(0)),
        ("a wildcard", query("a.b.wild.cdn.test.", 16, 1, b""), Some(0)),
        ("no such type", query("c.d.cdn.test.", 1, 1, b""), Some(0)),
        ("no such name", query("1.2.3.4.5.cdn.test.", 1, 1, b""), Some(3)),
        ("a referral", query("x.sub.cdn.test.", 1, 1, b""), Some(0)),
        ("ANY", query("www.cdn.test.", 255, 1, b""), Some(0)),
        ("CHAOS", query("id.server.", 16, 3, b""), Some(0)),
        ("another's zone", query("www.example.", 1, 1, b""), Some(5)),
        ("a transfer", query("cdn.test.", 252, 1, b""), Some(5)),
        ("malformed options", query("cdn.test.", 1, 1, b"\0\x08\0\0"), Some(1)),
        ("a response", vec![0xff; 12], None),
        ("nothing", vec![], None),
    ];
    let mut buffer = vec![0; 4096];
    for (row, message, rcode) in rows {
        let mut length = 0;
        let counted = measure(|| length = server.answer(&message, &mut buffer));
        assert_eq!(counted.count_total, 0, "{row}");
        let said = buffer.get(..length).and_then(|response| response.get(3));
        assert_eq!(said.map(|flags| flags & 0x0f), rcode, "{row}");
    }
    let message = query("www.cdn.test.", 1, 1, b"");
    let limited = measure(|| {
        for _ in 0..100 {
            server.answer(&message, &mut buffer);
        }
    });
    assert_eq!(limited.count_total, 0, "limited");
}
