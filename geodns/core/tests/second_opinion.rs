//! A second opinion on messages, names and master files: hickory-proto.
//!
//! In: generated queries, bytes, zones and texts. Always holds: what one side writes the other
//! reads as the same, and both take the same bytes for a name, unless a listed difference applies.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what is generated is known to be well-formed"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    str::FromStr as _,
};

use geodns_core::{
    wire::{
        kind::{Class, RecordType},
        name::{Folded, Name, NameRef, Unpacked},
        query::{Decoded, decode},
        response::{Carrier, Opt, Response},
    },
    zone::{Zone, ZoneSettings},
    zonefile::{self, Record},
};
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        self, DNSClass, RData,
        rdata::opt::{ClientSubnet, EdnsOption},
    },
    serialize::{
        binary::{BinDecodable, BinDecoder, Restrict},
        txt::Parser,
    },
};
use proptest::prelude::*;

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes(), None).unwrap()
}

/// A name in hickory's form, from its wire form.
fn theirs(name: NameRef<'_>) -> rr::Name {
    rr::Name::read(&mut BinDecoder::new(name.wire())).unwrap()
}

fn records(text: &str) -> Vec<Record> {
    let mut load = |_: &str, _: &str| Err(String::new());
    zonefile::read("zone", text.as_bytes(), &name("example."), &mut load)
        .unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// Record data as hickory reads it.
fn data(rtype: RecordType, wire: &[u8]) -> RData {
    let length = Restrict::new(u16::try_from(wire.len()).unwrap());
    RData::read(&mut BinDecoder::new(wire), rtype.0.into(), length).unwrap()
}

fn any_name() -> impl Strategy<Value = Name> {
    let label = prop::collection::vec(any::<u8>(), 1..20);
    prop::collection::vec(label, 0..8).prop_map(|labels| {
        let mut wire: Vec<u8> = labels
            .iter()
            .flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_slice()].concat())
            .collect();
        wire.push(0);
        Name::from_wire(&wire).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_query_that_they_write_is_read_as_they_meant_it(
        name in any_name(),
        rtype in 1_u16..120,
        id: u16,
        rd: bool,
        edns in prop::option::of((any::<u16>(), any::<bool>(), prop::option::of((any::<IpAddr>(), 0_u8..33)))),
    ) {
        prop_assume!(rtype != 41);
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = rd;
        message.add_query(Query::query(theirs(name.as_ref()), rtype.into()));
        if let Some((size, dnssec_ok, subnet)) = edns {
            let mut edns = Edns::new();
            edns.set_max_payload(size).set_dnssec_ok(dnssec_ok).set_version(0);
            if let Some((address, length)) = subnet {
                let net = ipnet::IpNet::new(address, length).unwrap().trunc();
                edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(net.addr(), length, 0)));
            }
            message.set_edns(edns);
        }
        let bytes = message.to_vec().unwrap();
        let Decoded::Asked(query) = decode(&bytes) else { panic!("{:?}", decode(&bytes)) };
        let question = query.question.unwrap();
        prop_assert_eq!((query.header.id, query.header.recursion_desired()), (id, rd));
        prop_assert_eq!(question.name, name.as_ref());
        prop_assert_eq!((question.rtype.0, question.class), (rtype, Class::IN));
        prop_assert_eq!(query.edns.is_some(), edns.is_some());
        if let Some((size, dnssec_ok, subnet)) = edns {
            let said = query.edns.unwrap();
            prop_assert_eq!((said.udp_bytes(), said.dnssec_ok), (size.max(512), dnssec_ok));
            let network = subnet.map(|(address, length)| {
                (ipnet::IpNet::new(address, length).unwrap().network(), length)
            });
            prop_assert_eq!(said.ecs.map(|ecs| (ecs.address(), ecs.source_prefix_length())), network);
        }
    }

    #[test]
    fn both_take_the_same_bytes_for_a_name(
        parts in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..6),
            (1_u8..8).prop_map(|length| [vec![length], vec![b'x'; length.into()]].concat()),
            (0_u8..60).prop_map(|low| vec![0xc0, low]),
            Just(vec![0]),
            Just([vec![63], vec![b'y'; 63]].concat()),
        ], 1..16),
        at in 0_usize..60,
    ) {
        let message = parts.concat();
        let mut decoder = BinDecoder::new(&message);
        prop_assume!(at <= message.len() && decoder.read_slice(at).is_ok());
        let ours = Unpacked::read(&message, at);
        match (ours, rr::Name::read(&mut decoder)) {
            (Ok((ours, end)), Ok(read)) => {
                prop_assert_eq!(theirs(ours.as_ref()), read);
                prop_assert_eq!(end, decoder.index());
            }
            (Err(_), Err(_)) => {}
            (ours, read) => prop_assert!(false, "{:?} {:?}", ours.map(|(name, _)| name.as_ref().to_string()), read),
        }
    }

    #[test]
    fn what_is_not_malformed_to_us_is_not_malformed_to_them(
        id: u16,
        question in prop::collection::vec(any::<u8>(), 5..12),
        options in prop::collection::vec((0_u16..20, prop::collection::vec(any::<u8>(), 0..9)), 0..4),
    ) {
        let mut message = [&id.to_be_bytes()[..], b"\0\0\0\x01\0\0\0\0\0\x01", &question].concat();
        let options: Vec<u8> = options.into_iter().flat_map(|(code, data)| {
            let length = u16::try_from(data.len()).unwrap();
            [&code.to_be_bytes()[..], &length.to_be_bytes(), &data].concat()
        }).collect();
        message.extend(b"\0\0\x29\x04\xd0\0\0\0\0");
        message.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
        message.extend(options);
        // A name that runs into the OPT record leaves another one, whose data is nothing to us.
        if let Decoded::Asked(query) = decode(&message) && query.edns.is_some() {
            prop_assert!(Message::from_vec(&message).is_ok(), "{:?}", Message::from_vec(&message));
        }
    }
}

const ZONE: &str = "$TTL 600
@ SOA ns hostmaster.example. 7 2h 1h 2w 300
@ NS ns
@ MX 10 mail
ns A 192.0.2.1
ns AAAA 2001:db8::1
mail A 192.0.2.2
www A 192.0.2.3
www A 192.0.2.4
www HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.3
alias CNAME www
alias2 CNAME alias
away CNAME www.other.
gone CNAME nope
*.wild TXT \"a b\" c
*.wild MX 0 .
a.b.c SRV 1 2 443 www
caa CAA 0 issue \"ca.example\"
tlsa TLSA 3 1 1 (
  abababababababababababababababababababababababababababababababab )
naptr NAPTR 100 50 s http \"\" www
ptr PTR www
sub NS ns.sub
sub NS ns.sub2.sub
sub NS ns
sub NS ns.other.
ns.sub A 192.0.2.5
ns.sub2.sub AAAA 2001:db8::5
";

#[test]
fn they_read_our_data_as_their_own() {
    let origin = rr::Name::from_str("example.").unwrap();
    let (_, sets) = Parser::new(ZONE, None, Some(origin)).parse().unwrap();
    let mut expected = BTreeSet::new();
    for set in sets.values() {
        for record in set.records_without_rrsigs() {
            expected.insert(format!("{} {} {}", record.name, record.ttl, record.data));
        }
    }
    let ours: BTreeSet<String> = records(ZONE)
        .iter()
        .map(|record| {
            let owner = theirs(record.owner.as_ref());
            format!("{owner} {} {}", record.ttl, data(record.rtype, &record.data))
        })
        .collect();
    assert_eq!(ours, expected);
}

#[test]
fn they_read_our_responses_as_we_meant_them() {
    let records = records(ZONE);
    let zone =
        Zone::build(&name("example."), &records, &BTreeMap::new(), 7, ZoneSettings::default());
    let zone = zone.unwrap();
    let known: BTreeSet<String> = records
        .iter()
        .map(|record| {
            let owner = theirs(Folded::of(record.owner.as_ref()).as_ref());
            format!("{owner} {}", data(record.rtype, &record.data))
        })
        .collect();
    let mut names: BTreeSet<String> =
        records.iter().map(|record| record.owner.to_string()).collect();
    names.extend(
        ["NOPE.example.", "c.example.", "x.y.wild.example.", "q.sub.example."].map(str::to_owned),
    );
    let types = [1, 2, 5, 6, 12, 15, 16, 28, 33, 35, 52, 65, 255, 257, 999].map(RecordType);
    for qname in &names {
        for rtype in types {
            let mut message = Message::new(9, MessageType::Query, OpCode::Query);
            let asked = Query::query(theirs(name(qname).as_ref()), rtype.0.into());
            message.add_query(asked.clone()).set_edns(Edns::new());
            let bytes = message.to_vec().unwrap();
            let Decoded::Asked(query) = decode(&bytes) else { panic!("{qname}") };
            let mut buffer = [0; 1232];
            let mut response = Response::begin(&mut buffer, &query, Carrier::Stream).unwrap();
            let found = zone.lookup(&Folded::of(query.question.unwrap().name), rtype);
            let rcode = found.write(&mut response);
            let opt = query.edns.map(|edns| Opt::reply_to(&edns));
            let length = response.finish(rcode, opt.as_ref()).bytes;
            let read = Message::from_vec(&buffer[..length]).unwrap();
            assert_eq!(read.queries, [asked], "{qname} {rtype}");
            assert_eq!(u16::from(read.metadata.response_code), rcode.code(), "{qname} {rtype}");
            assert_eq!(read.metadata.message_type, MessageType::Response);
            assert!(read.edns.is_some() && !read.metadata.truncation, "{qname} {rtype}");
            let negative = read.answers.is_empty() && read.metadata.authoritative;
            assert!(!negative || read.authorities.len() == 1, "RFC 2308 §2 {qname} {rtype}");
            assert!(
                read.metadata.authoritative || read.metadata.response_code == ResponseCode::NoError,
                "{qname} {rtype}"
            );
            for record in read.all_sections() {
                assert_eq!(record.dns_class, DNSClass::IN);
                let line = format!("{} {}", record.name.to_lowercase(), record.data);
                let wildcard = format!("*.wild.example. {}", record.data);
                let any = record.data.to_string().contains("RFC8482");
                assert!(
                    known.contains(&line) || known.contains(&wildcard) || any,
                    "{qname} {rtype}: {line}"
                );
            }
        }
    }
}
