//! Texts into the reader of zone files, and what it takes into a zone that is asked.

use std::{net::Ipv4Addr, time::Duration};

use geodns_core::{
    answer::{Asked, Reply, Scratch, Served, Transport, answer},
    zonefile::{Record, read},
};
use hickory_proto::op::Message;

use super::{
    Failed, Tally,
    chance::Chance,
    stage::{Stage, ZONE},
};

/// What has a meaning in a zone file, or nearly.
const WORDS: [&str; 40] = [
    "$TTL ",
    "$ORIGIN ",
    "$INCLUDE ",
    "zone",
    "@",
    ".",
    " IN ",
    " CH ",
    " A ",
    " AAAA ",
    " TXT ",
    " SOA ",
    " NS ",
    " CNAME ",
    " HTTPS ",
    " TYPE65535 ",
    " \\# ",
    "(",
    ")",
    "\"",
    ";",
    "\\",
    "\\255",
    "\\999",
    "\n",
    "\n\t",
    "\r\n",
    "\0",
    "4294967295",
    "99999999999999999999",
    "-1",
    "1w2d3h4m5s",
    "192.0.2.300",
    "::1%1",
    "*.",
    "..",
    "xn--",
    "mandatory=mandatory",
    "alpn=\\,,",
    "key65536=",
];
/// Faults that one read reports at most; the reader says so itself.
const FAULTS_MAX: usize = 1000;
/// Records of a zone that are asked for.
const ASKED_MAX: usize = 8;
const LABEL_BYTES: usize = 64;

/// Tries so many texts.
///
/// # Errors
/// When a fault has no place, an answer cannot be read, or memory grows.
pub fn run(texts: u64, seed: u64) -> Result<Tally, Failed> {
    let stage = Stage::new()?;
    let mut chance = Chance::new(seed);
    let (mut scratch, mut out) = (Scratch::default(), vec![0; 65_535]);
    let mut tally = Tally::default();
    let (mut text, mut included) = (Vec::new(), Vec::new());
    for tried in 1..=texts {
        write(&mut text, &mut chance);
        write(&mut included, &mut chance);
        let mut load = |name: &str, _: &str| {
            if name.len() > 3 { Ok(included.clone()) } else { Err("no such file".to_owned()) }
        };
        match read("zone", &text, &stage.apex, &mut load) {
            Ok(records) => {
                let asked: Vec<Record> = records.iter().take(ASKED_MAX).cloned().collect();
                if let Some(served) = stage.served(records)? {
                    tally.taken += 1;
                    for record in &asked {
                        ask(&served, record, &mut scratch, &mut out)
                            .map_err(|wrong| format!("{wrong}; text {tried} of seed {seed}"))?;
                    }
                }
            }
            Err(faults) => {
                let told = faults.iter().all(|fault| !fault.to_string().is_empty());
                if faults.is_empty() || faults.len() > FAULTS_MAX || !told {
                    return Err(format!("{} faults, seed {seed}", faults.len()).into());
                }
            }
        }
        tally.tenth(tried, texts, None)?;
    }
    tally.end(None)
}

/// A zone file that was changed up to six times, by bytes, words, and labels as long as they may be
/// and longer.
fn write(text: &mut Vec<u8>, chance: &mut Chance) {
    text.clear();
    text.extend(ZONE.as_bytes());
    for _ in 0..chance.below(7) {
        let at = chance.below(text.len() + 1);
        match chance.below(6) {
            0 | 1 => {
                let word = chance.of(&WORDS).unwrap_or_default();
                text.splice(at..at, word.bytes());
            }
            2 => {
                let length = LABEL_BYTES - 2 + chance.below(4);
                text.splice(at..at, std::iter::repeat_n(b'l', length));
            }
            _ => chance.change(text, ZONE.as_bytes()),
        }
    }
}

/// Asks for a record by its owner and type.
fn ask(
    served: &Served,
    record: &Record,
    scratch: &mut Scratch,
    out: &mut [u8],
) -> Result<(), Failed> {
    let mut message = vec![0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend(record.owner.as_ref().wire());
    message.extend(record.rtype.0.to_be_bytes());
    message.extend([0, 1]);
    let asked = Asked {
        message: &message,
        peer: Ipv4Addr::LOCALHOST.into(),
        transport: Transport::Tcp,
        wall_seconds: 0,
        now: Duration::ZERO,
        draw: 0,
    };
    let reply = answer(served, None, &asked, scratch, out);
    let Reply::Send { bytes, .. } = reply else {
        return Err(format!("{reply:?} to a query for {}", record.owner).into());
    };
    let response = out.get(..bytes).unwrap_or_default();
    match Message::from_vec(response) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{error}: the answer for {} {response:x?}", record.owner).into()),
    }
}
