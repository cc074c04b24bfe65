//! Whatever comes in: no panic, at most one response, and one that can be read.

use std::sync::LazyLock;

use geodns_core::{
    answer::{Reply, Scratch, Silence, Transport},
    limit::Limiter,
    settings::RateLimitSettings,
    wire::query::Dropped,
};
use hickory_proto::op::{Message, MessageType};
use proptest::prelude::*;

use super::stage::{FRA, Query, Stage, q};

const TRANSPORTS: [Transport; 5] =
    [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic];
static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);
const PACKETS: usize = 200_000;
/// One response of so many is read by hickory as well, which takes longer than all the rest.
const READ_EACH: usize = 8;

/// Holds a response against its query.
fn check(message: &[u8], query: &Query, reply: &Reply, out: &[u8], read: bool) {
    match reply {
        Reply::Send { bytes, facts } => {
            let response = &out[..*bytes];
            assert!(message[2] & 0x80 == 0, "RFC 1035 §4.1.1: a response is not answered");
            assert!(response[2] & 0x80 != 0 && response[..2] == message[..2]);
            assert_eq!(response[2] & 0x79, message[2] & 0x79, "opcode and RD");
            assert_eq!(facts.transport, query.transport);
            if query.transport == Transport::Udp {
                assert!(*bytes <= 1232, "RFC 6891 §6.2.5");
            }
            if read {
                let read = Message::from_vec(response);
                let read = read.unwrap_or_else(|error| panic!("{error}: {message:?} {response:?}"));
                assert_eq!(read.metadata.message_type, MessageType::Response);
                assert_eq!(u16::from(read.metadata.response_code), facts.rcode.code());
            }
        }
        Reply::Drop(Silence::NoQuery(Dropped::TooShort)) => assert!(message.len() < 12),
        Reply::Drop(Silence::NoQuery(Dropped::Response)) => assert!(message[2] & 0x80 != 0),
        Reply::Drop(Silence::Limited(_)) => assert_eq!(query.transport, Transport::Udp),
        Reply::Drop(Silence::NoRoom) => panic!("there was room: {message:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic(
        message in prop::collection::vec(any::<u8>(), 0..600),
        plain_header: bool,
        transport in prop::sample::select(TRANSPORTS.to_vec()),
    ) {
        let mut message = message;
        if plain_header && message.len() > 12 {
            // So that more of them get beyond their header.
            message[2..12].copy_from_slice(b"\0\0\0\x01\0\0\0\0\0\0");
        }
        let query = q(".", "A").over(transport);
        let mut out = vec![0; 65_535];
        let reply = STAGE.reply(&message, &query, &mut Scratch::default(), &mut out);
        check(&message, &query, &reply, &out, true);
    }

    #[test]
    fn the_same_input_gives_the_same_bytes(network in 0_u8..4, cookie: u64) {
        let query = q("www.cdn.test.", "A").ecs(&format!("203.0.11{network}.0/24"));
        let query = query.cookie(&format!("{cookie:016x}"));
        prop_assert_eq!(STAGE.send(&query), STAGE.send(&query));
    }

    #[test]
    fn a_buffer_that_is_too_small_is_no_panic(room in 0_usize..120) {
        let query = q("www.cdn.test.", "A").ecs(FRA);
        let mut out = vec![0; room];
        match STAGE.reply(&query.bytes(), &query, &mut Scratch::default(), &mut out) {
            Reply::Send { bytes, .. } => prop_assert!(bytes <= room && room >= 30),
            Reply::Drop(why) => prop_assert!(why == Silence::NoRoom && room < 30),
        }
    }
}

/// A generator without pattern that is the same in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % bound.max(1)
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let names = [
        "www.cdn.test.",
        "alias2.cdn.test.",
        "a.img.cdn.test.",
        "x.sub.cdn.test.",
        "nope.cdn.test.",
        "id.server.",
        ".",
    ];
    let types = ["A", "AAAA", "HTTPS", "ANY", "NS", "TXT", "DS", "AXFR"];
    let mut seeds = Vec::new();
    for (name, rtype) in names.iter().flat_map(|name| types.map(|rtype| (name, rtype))) {
        let query = q(name, rtype);
        seeds.push(query.bytes());
        seeds.push(query.clone().ecs(FRA).option(3, b"").option(12, b"1234").bytes());
        seeds.push(query.ecs("2001:db8:1::/56").cookie("2464c4abcf10c957").opt_ttl(0x8000).bytes());
    }
    seeds
}

/// One to eight changes of a byte, a cut, a copy within, or bytes of nothing.
fn mutate(message: &mut Vec<u8>, chance: &mut Chance) {
    for _ in 0..=chance.below(8) {
        let (at, byte) = (chance.below(message.len()), u8::try_from(chance.next() & 0xff).unwrap());
        match chance.below(8) {
            0 => message.truncate(at),
            1 => message.insert(at.min(message.len()), byte),
            2 if !message.is_empty() => {
                message.remove(at);
            }
            3 => {
                let tail = message[at.min(message.len())..].to_vec();
                message.extend(tail.iter().take(40));
            }
            4 => message
                .extend((0..chance.below(30)).map(|n| byte.wrapping_mul(u8::try_from(n).unwrap()))),
            _ => {
                if let Some(place) = message.get_mut(at) {
                    *place = byte;
                }
            }
        }
    }
}

#[test]
fn mutated_packets_are_answered_or_not_but_never_wrongly() {
    let mut stage = Stage::new();
    let limits = RateLimitSettings { entries: 4096, ..RateLimitSettings::default() };
    stage.limiter = Some(Limiter::new(&limits.limits().unwrap(), [5; 16]));
    let seeds = seeds();
    let (mut scratch, mut out) = (Scratch::default(), vec![0; 65_535]);
    let mut chance = Chance(0x1234_5678_9abc_def1);
    let (mut sent, mut dropped) = (0_usize, 0_usize);
    for count in 0..PACKETS {
        let mut message = seeds[chance.below(seeds.len())].clone();
        if count % 10 == 0 {
            let length = chance.below(80);
            message = (0..length).map(|_| u8::try_from(chance.next() >> 56).unwrap()).collect();
        } else {
            mutate(&mut message, &mut chance);
        }
        let transport = TRANSPORTS[chance.below(TRANSPORTS.len())];
        let mut query = q(".", "A").over(transport);
        query.peer =
            std::net::Ipv4Addr::from_bits(u32::try_from(chance.next() >> 32).unwrap()).into();
        stage.draw = chance.next();
        let reply = stage.reply(&message, &query, &mut scratch, &mut out);
        check(&message, &query, &reply, &out, count % READ_EACH == 0);
        match reply {
            Reply::Send { .. } => sent += 1,
            Reply::Drop(_) => dropped += 1,
        }
    }
    assert!(sent > PACKETS / 2 && dropped > PACKETS / 100, "{sent} sent, {dropped} dropped");
}
