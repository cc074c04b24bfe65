//! Packets that a name server may be sent: queries, what is nearly one, and noise.

use super::chance::Chance;

const NAMES: [&str; 14] = [
    "www.cdn.test",
    "WWW.cdn.TEST",
    "cdn.test",
    "shop.cdn.test",
    "a.img.cdn.test",
    "alias2.cdn.test",
    "gone.cdn.test",
    "x.wild.cdn.test",
    "x.sub.cdn.test",
    "c.cdn.test",
    "nope.cdn.test",
    "id.server",
    "other.test",
    "",
];
/// A, AAAA, HTTPS, ANY, NS, TXT, DS, AXFR, SOA, one that nobody knows.
const TYPES: [u16; 10] = [1, 28, 65, 255, 2, 16, 43, 252, 6, 1234];
const ECS: u16 = 8;
/// NSID, ECS, cookie, TCP keepalive, padding, extended error, and one that nobody knows.
const OPTIONS: [u16; 7] = [3, ECS, 10, 11, 12, 15, 65_001];
/// Subnets as they stand in the option: family, lengths, address.
const SUBNETS: [&[u8]; 5] = [
    &[0, 1, 24, 0, 203, 0, 113],
    &[0, 1, 32, 0, 198, 51, 100, 7],
    &[0, 1, 0, 0],
    &[0, 2, 48, 0, 0x20, 1, 0x0d, 0xb8, 0, 1],
    &[0, 2, 56, 0, 0x20, 1, 0x0d, 0xb8, 0, 2, 0],
];
/// The longest noise.
const NOISE_BYTES_MAX: usize = 600;

/// A query of type A.
pub(crate) fn plain(name: &str, id: u16) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    query.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    question(&mut query, name, 1);
    query
}

fn question(query: &mut Vec<u8>, name: &str, rtype: u16) {
    for label in name.split('.').filter(|label| !label.is_empty()) {
        query.push(u8::try_from(label.len()).unwrap_or(63));
        query.extend(label.as_bytes());
    }
    query.push(0);
    query.extend(rtype.to_be_bytes());
    query.extend([0, 1]);
}

/// Packets without end, one after the other in the same buffer.
#[derive(Debug)]
pub(crate) struct Packets {
    pub(crate) chance: Chance,
    packet: Vec<u8>,
    other: Vec<u8>,
}

impl Packets {
    pub(crate) fn new(seed: u64) -> Self {
        Self { chance: Chance::new(seed), packet: Vec::new(), other: Vec::new() }
    }

    /// One in ten is noise, one in ten a query as it should be, the others are changed one to eight
    /// times.
    pub(crate) fn next(&mut self) -> &[u8] {
        self.packet.clear();
        match self.chance.below(10) {
            0 => self.noise(),
            1 => query(&mut self.packet, &mut self.chance),
            _ => {
                query(&mut self.packet, &mut self.chance);
                self.other.clear();
                query(&mut self.other, &mut self.chance);
                for _ in 0..=self.chance.below(8) {
                    self.chance.change(&mut self.packet, &self.other);
                }
            }
        }
        &self.packet
    }

    /// Half of it with the header of a query, to get beyond that.
    fn noise(&mut self) {
        let length = self.chance.below(NOISE_BYTES_MAX);
        if self.chance.below(2) == 0 {
            self.packet.extend(b"\0\x07\0\0\0\x01\0\0\0\0\0\0");
        }
        self.packet.extend((0..length).map(|_| self.chance.byte()));
    }
}

fn query(packet: &mut Vec<u8>, chance: &mut Chance) {
    let [high, low, ..] = chance.next().to_be_bytes();
    let has_opt = chance.below(4) != 0;
    packet.extend([high, low, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(has_opt)]);
    let rtype = TYPES.get(chance.below(TYPES.len())).copied().unwrap_or(1);
    question(packet, chance.of(&NAMES).unwrap_or_default(), rtype);
    if has_opt {
        packet.extend([0, 0, 41, 4, 208, 0, 0, chance.byte() & 0x80, 0]);
        let mut options = Vec::new();
        for _ in 0..chance.below(4) {
            option(&mut options, chance);
        }
        packet.extend(u16::try_from(options.len()).unwrap_or(0).to_be_bytes());
        packet.extend(options);
    }
}

fn option(options: &mut Vec<u8>, chance: &mut Chance) {
    let code = OPTIONS.get(chance.below(OPTIONS.len())).copied().unwrap_or(ECS);
    let noise: Vec<u8> = (0..chance.below(40)).map(|_| chance.byte()).collect();
    let data = if code == ECS { chance.of(&SUBNETS).unwrap_or_default() } else { &noise };
    options.extend(code.to_be_bytes());
    options.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
    options.extend(data);
}
