//! Packets into `answer`, in this process: every one gets at most one response, and a right one.

use std::{net::Ipv4Addr, time::Duration};

use geodns_core::{
    answer::{Asked, Reply, Scratch, Silence, Transport, answer},
    limit::Limiter,
    settings::RateLimitSettings,
    wire::query::Dropped,
};
use hickory_proto::op::Message;

use super::{Failed, Tally, packets::Packets, stage::Stage};

const TRANSPORTS: [Transport; 5] =
    [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic];
/// One response of so many is read by hickory as well, which takes longer than all the rest.
const READ_EACH: u64 = 64;
/// How far the clock goes on from one packet to the next.
const STEP: Duration = Duration::from_micros(10);

/// Tries so many packets.
///
/// # Errors
/// When one is answered wrongly, or memory grows.
pub fn run(packets: u64, seed: u64) -> Result<Tally, Failed> {
    let stage = Stage::new()?;
    let served = stage.served(stage.records()?)?.ok_or("no zone")?;
    let limits = RateLimitSettings { entries_max: 4096, ..RateLimitSettings::default() };
    let limiter = Limiter::new(&limits.limits().ok_or("nothing is limited")?, [5; 16]);
    let (mut scratch, mut out) = (Scratch::default(), vec![0; 65_535]);
    let mut source = Packets::new(seed);
    let mut tally = Tally::default();
    let mut now = Duration::from_secs(100);
    for tried in 1..=packets {
        let draw = source.chance.next();
        let peer = Ipv4Addr::from_bits(u32::try_from(source.chance.next() >> 32)?).into();
        let transport = TRANSPORTS.get(source.chance.below(5)).copied().unwrap_or(Transport::Udp);
        let message = source.next();
        now += STEP;
        let asked = Asked { message, peer, transport, wall_seconds: 1_559_731_985, now, draw };
        let reply = answer(&served, Some(&limiter), &asked, &mut scratch, &mut out);
        let read = tried.is_multiple_of(READ_EACH);
        if let Some(wrong) = wrong(message, transport, &reply, &out, read) {
            return Err(format!("{wrong}: {message:x?} over {transport:?}, seed {seed}").into());
        }
        tally.taken += u64::from(matches!(reply, Reply::Send { .. }));
        tally.tenth(tried, packets, None)?;
    }
    tally.end(None)
}

/// What is wrong with a reply.
fn wrong(
    message: &[u8],
    transport: Transport,
    reply: &Reply,
    out: &[u8],
    read: bool,
) -> Option<&'static str> {
    match reply {
        Reply::Send { bytes, .. } => {
            let response = out.get(..*bytes)?;
            let (Some(asked), Some(head)) = (message.get(..12), response.get(..12)) else {
                return Some("a header is missing");
            };
            let readable = || Message::from_vec(response).is_ok();
            [
                (asked[2] & 0x80 == 0, "a response was answered (RFC 1035 §4.1.1)"),
                (head[2] & 0x80 != 0, "the response is a query"),
                (head[..2] == asked[..2], "another ID"),
                (head[2] & 0x79 == asked[2] & 0x79, "another opcode or RD"),
                (transport != Transport::Udp || *bytes <= 1232, "too long (RFC 6891 §6.2.5)"),
                (!read || readable(), "hickory cannot read it"),
            ]
            .into_iter()
            .find_map(|(right, what)| (!right).then_some(what))
        }
        Reply::Drop(Silence::NoQuery(Dropped::TooShort)) => {
            (message.len() >= 12).then_some("long enough")
        }
        Reply::Drop(Silence::NoQuery(Dropped::Response)) => {
            let is_query = message.get(2).is_none_or(|byte| byte & 0x80 == 0);
            is_query.then_some("it was no response")
        }
        Reply::Drop(Silence::Limited(_)) => {
            (transport != Transport::Udp).then_some("only datagrams are limited")
        }
        Reply::Drop(Silence::NoRoom) => Some("there was room"),
    }
}
