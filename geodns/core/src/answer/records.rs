//! The records of PoPs: A, AAAA and HTTPS of those that were chosen.
//!
//! In: a slate, how its PoPs stand, and what the HTTPS record of the name says whoever answers.
//! Out: records in a response. Always holds: what health changes is written with the answer
//! (addresses and hints), everything else is encoded ahead; a name has one HTTPS record, for all
//! that is not a hint is the same at every PoP (RFC 2181 §5).
//!
//! RFC 1035 §3.4.1, RFC 3596 §2.2, RFC 9460 §2.2 and §7.3. Hot path: no allocation.

use crate::{
    route::{answer, https::HttpsParams, slate::Slate},
    standing::{Standings, Wanted},
    wire::{
        kind::RecordType,
        response::{Owner, RecordData, Response},
    },
};

const ALPN: u16 = 1;
const PORT: u16 = 3;
const IPV4HINT: u16 = 4;
const IPV6HINT: u16 = 6;

/// See the module.
pub(super) struct Records<'a> {
    /// The data of the name's HTTPS record without hints.
    pub(super) https: &'a [u8],
    pub(super) slate: &'a Slate,
    pub(super) standings: &'a Standings,
    pub(super) draw: u64,
    /// Records at most.
    pub(super) max: usize,
}

/// What a type asks of PoPs. A route has no other types than these three.
pub(super) const fn wanted(rtype: RecordType) -> Wanted {
    match rtype {
        RecordType::HTTPS => Wanted::Https,
        RecordType::AAAA => Wanted::V6,
        _ => Wanted::V4,
    }
}

impl Records<'_> {
    pub(super) fn write(
        &self,
        response: &mut Response<'_>,
        owner: Owner<'_>,
        rtype: RecordType,
        ttl: u32,
    ) {
        let mut set = response.make(owner, rtype, ttl);
        let Self { https, slate, standings, draw, max } = *self;
        match wanted(rtype) {
            Wanted::V4 => {
                for address in answer::v4(slate, standings, draw, max) {
                    set.add(|data| data.put(&address.octets()));
                }
            }
            Wanted::V6 => {
                for address in answer::v6(slate, standings, draw, max) {
                    set.add(|data| data.put(&address.octets()));
                }
            }
            Wanted::Https => set.add(|data| {
                let v4 = || answer::v4_hints(slate, standings, draw, max);
                let v6 = || answer::v6_hints(slate, standings, draw, max);
                data.put(https);
                put_key(data, IPV4HINT, v4().count(), 4);
                v4().for_each(|address| data.put(&address.octets()));
                put_key(data, IPV6HINT, v6().count(), 16);
                v6().for_each(|address| data.put(&address.octets()));
            }),
        }
    }
}

/// What is certain of an HTTPS record: priority 1, the owner itself as target, protocols and port.
/// The hints, whose keys are greater, follow it.
pub(super) fn https_head(https: &HttpsParams) -> Vec<u8> {
    let mut head = vec![0, 1, 0];
    let mut alpn = Vec::new();
    for protocol in &https.alpn {
        let bytes = protocol.as_bytes();
        let bytes = bytes.get(..255).unwrap_or(bytes);
        alpn.push(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
        alpn.extend_from_slice(bytes);
    }
    push_param(&mut head, ALPN, &alpn);
    if let Some(port) = https.port {
        push_param(&mut head, PORT, &port.to_be_bytes());
    }
    head
}

fn push_param(data: &mut Vec<u8>, key: u16, value: &[u8]) {
    data.extend(key.to_be_bytes());
    data.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    data.extend_from_slice(value);
}

/// A key that has `count` addresses as its value; none is no key (RFC 9460 §7.3).
fn put_key(data: &mut RecordData<'_, '_>, key: u16, count: usize, bytes_each: usize) {
    if count > 0 {
        data.put(&key.to_be_bytes());
        let length = u16::try_from(count.saturating_mul(bytes_each)).unwrap_or(u16::MAX);
        data.put(&length.to_be_bytes());
    }
}
