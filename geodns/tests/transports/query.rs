//! Queries, written by hand, and responses with what transports may differ in taken out.

use std::{net::IpAddr, ops::Range};

const PADDING: u16 = 12;
const COOKIE: u16 = 10;
const ECS: u16 = 8;
const OPT: u16 = 41;

/// A query.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) name: String,
    pub(crate) rtype: u16,
    pub(crate) id: u16,
    /// The size that its OPT record says, and its options; nothing for no such record.
    pub(crate) opt: Option<(u16, Vec<u8>)>,
}

impl Query {
    pub(crate) fn new(name: &str, rtype: u16) -> Self {
        Self { name: name.to_owned(), rtype, id: 0x1234, opt: None }
    }

    pub(crate) fn edns(mut self) -> Self {
        self.opt.get_or_insert((1232, Vec::new()));
        self
    }

    pub(crate) fn option(self, code: u16, data: &[u8]) -> Self {
        let mut query = self.edns();
        let (_, options) = query.opt.as_mut().unwrap();
        options.extend(code.to_be_bytes());
        options.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        options.extend(data);
        query
    }

    pub(crate) fn padding(self) -> Self {
        self.option(PADDING, &[0; 7])
    }

    pub(crate) fn subnet(self, address: IpAddr, length: u8) -> Self {
        let (family, octets) = match address {
            IpAddr::V4(address) => (1, address.octets().to_vec()),
            IpAddr::V6(address) => (2, address.octets().to_vec()),
        };
        let mut data = vec![0, family, length, 0];
        data.extend(octets.iter().take(usize::from(length.div_ceil(8))));
        self.option(ECS, &data)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut message = self.id.to_be_bytes().to_vec();
        message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(self.opt.is_some())]);
        for label in self.name.split('.').filter(|label| !label.is_empty()) {
            message.push(u8::try_from(label.len()).unwrap());
            message.extend(label.as_bytes());
        }
        message.push(0);
        message.extend(self.rtype.to_be_bytes());
        message.extend([0, 1]);
        if let Some((size, options)) = &self.opt {
            message.push(0);
            message.extend(OPT.to_be_bytes());
            message.extend(size.to_be_bytes());
            message.extend([0; 4]);
            message.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
            message.extend(options);
        }
        message
    }
}

/// The response code and the number of answers.
pub(crate) fn gist(response: &[u8]) -> (u8, u16) {
    (response[3] & 0x0f, u16::from_be_bytes([response[6], response[7]]))
}

pub(crate) fn is_truncated(response: &[u8]) -> bool {
    response[2] & 0x02 != 0
}

/// The response without its ID, its cookie and its padding: all that transports may differ in,
/// beside TC.
pub(crate) fn essence(response: &[u8]) -> Vec<u8> {
    let mut essence = response.to_vec();
    essence[..2].fill(0);
    // Our responses end with the OPT record, whose owner is the root.
    let additional = u16::from_be_bytes([response[10], response[11]]);
    let Some(opt) = (additional > 0).then(|| find_opt(response)).flatten() else { return essence };
    let options_at = opt + 11;
    let mut kept: Vec<u8> = Vec::new();
    let mut rest = &response[options_at..];
    while let [code_high, code_low, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let code = u16::from_be_bytes([*code_high, *code_low]);
        if code != PADDING && code != COOKIE {
            kept.extend(&rest[..4 + length]);
        }
        rest = &after[length..];
    }
    essence.truncate(options_at - 2);
    essence.extend(u16::try_from(kept.len()).unwrap().to_be_bytes());
    essence.extend(kept);
    essence
}

/// A response with the records of each set in its answer section ordered by their bytes: which
/// address comes first is drawn anew for each query. An owner is compressed by its place (RFC 1035
/// §4.1.4), so owners stay where they are and what follows them is ordered.
pub(crate) fn in_order(response: &[u8]) -> Vec<u8> {
    let mut ordered = response.to_vec();
    let kind = |tail: &Range<usize>| response[tail.start..tail.start + 4].to_vec();
    for set in answers(response).chunk_by(|one, other| kind(one) == kind(other)) {
        let tail = |place: &Range<usize>| hints_in_order(response[place.clone()].to_vec());
        let mut tails: Vec<_> = set.iter().map(tail).collect();
        tails.sort_unstable();
        if tails.iter().all(|tail| tail.len() == tails[0].len()) {
            for (place, tail) in set.iter().zip(tails) {
                ordered[place.clone()].copy_from_slice(&tail);
            }
        }
    }
    ordered
}

/// The hints of an HTTPS record are the addresses, and turn with them (RFC 9460 §7.3). Ours name no
/// other target, so its parameters begin behind the priority and a root.
fn hints_in_order(mut tail: Vec<u8>) -> Vec<u8> {
    const HTTPS: [u8; 2] = [0, 65];
    let mut at = 10 + 3;
    while tail.starts_with(&HTTPS) && at < tail.len() {
        let [key, length] = [at, at + 2].map(|at| u16::from_be_bytes([tail[at], tail[at + 1]]));
        let value = at + 4..at + 4 + usize::from(length);
        at = value.end;
        let bytes = match key {
            4 => 4,
            6 => 16,
            _ => continue,
        };
        let mut hints: Vec<Vec<u8>> =
            tail[value.clone()].chunks(bytes).map(<[u8]>::to_vec).collect();
        hints.sort_unstable();
        tail[value].copy_from_slice(&hints.concat());
    }
    tail
}

/// Where in the answer section each record's type, class, TTL and data are.
fn answers(response: &[u8]) -> Vec<Range<usize>> {
    let (_, count) = gist(response);
    if count == 0 {
        return Vec::new();
    }
    let mut at = 12 + owner_bytes(&response[12..]) + 4;
    let mut records = Vec::new();
    for _ in 0..count {
        let begin = at + owner_bytes(&response[at..]);
        let length = [response[begin + 8], response[begin + 9]];
        at = begin + 10 + usize::from(u16::from_be_bytes(length));
        records.push(begin..at);
    }
    records
}

/// The length of the name that these bytes begin with (RFC 1035 §4.1.4).
fn owner_bytes(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match bytes[at] {
            0 => return at + 1,
            length if length >= 0xc0 => return at + 2,
            length => at += 1 + usize::from(length),
        }
    }
}

/// Where the OPT record begins.
fn find_opt(response: &[u8]) -> Option<usize> {
    (12..response.len() - 10).rev().find(|&at| {
        let head = [0, 0, 41];
        let length = u16::from_be_bytes([response[at + 9], response[at + 10]]);
        response[at..].starts_with(&head) && at + 11 + usize::from(length) == response.len()
    })
}
