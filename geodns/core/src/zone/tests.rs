//! Zone tables; each row names its clause.
#![expect(
    clippy::too_many_lines,
    clippy::type_complexity,
    clippy::arithmetic_side_effects,
    reason = "long tables of rows, small numbers"
)]

mod answers;
mod faults;
mod word_by_word;

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    wire::{
        dump::dump,
        name::Folded,
        query::{Decoded, decode},
        response::{Carrier, Opt, Owner, Response},
    },
    zonefile::{self, Record, fault::Fault},
};

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes(), None).unwrap()
}

fn records(apex: &str, text: &str) -> Vec<Record> {
    let mut load = |_: &str, _: &str| Err(String::new());
    zonefile::read("zone", text.as_bytes(), &name(apex), &mut load).unwrap()
}

/// Routes for A and HTTPS at these names.
fn routes(names: &[&str]) -> GeneratedNames {
    let types = BTreeSet::from([RecordType::A, RecordType::HTTPS]);
    let generated =
        |at: usize| Generated { route: RouteId::new(at).unwrap(), types: types.clone() };
    names.iter().enumerate().map(|(at, text)| (name(text), generated(at))).collect()
}

fn build(apex: &str, text: &str, routed: &[&str]) -> Result<Zone, Vec<Fault>> {
    let settings = ZoneSettings { negative_ttl_max: 60, any_ttl: 3600 };
    Zone::build(&name(apex), &records(apex, text), &routes(routed), 7, settings)
}

/// A query with a question and an OPT record of this size.
fn query(qname: &str, rtype: RecordType, size: u16) -> Vec<u8> {
    let mut message = b"\0\0\0\0\0\x01\0\0\0\0\0\x01".to_vec();
    message.extend(name(qname).as_ref().wire());
    message.extend([rtype.0.to_be_bytes(), [0, 1]].concat());
    message.extend([b"\0\0\x29".as_slice(), &size.to_be_bytes(), &[0; 6]].concat());
    message
}

/// What a question is answered: code, flags, and records without the question's owner and OPT.
fn answer(zone: &Zone, qname: &str, rtype: RecordType) -> Vec<String> {
    answer_within(zone, qname, rtype, 1232)
}

fn answer_within(zone: &Zone, qname: &str, rtype: RecordType, size: u16) -> Vec<String> {
    let message = query(qname, rtype, size);
    let Decoded::Asked(query) = decode(&message) else { panic!("not a query") };
    let mut buffer = [0; 4096];
    let carrier = Carrier::Datagram { bytes_max: 1232 };
    let mut response = Response::begin(&mut buffer, &query, carrier).unwrap();
    let found = zone.lookup(&Folded::of(query.question.unwrap().name), rtype);
    let rcode = found.write(&mut response);
    let opt = query.edns.map(|edns| Opt::reply_to(&edns));
    let length = response.finish(rcode, opt.as_ref()).bytes;
    let route = if let End::Route { owner, route } = found.end {
        Some(match owner {
            Owner::Question => format!("route {} at the question", route.index()),
            Owner::Name(name) => format!("route {} at {name}", route.index()),
        })
    } else {
        None
    };
    let aa = if buffer[2] & 4 == 0 { "" } else { " aa" };
    let tc = if buffer[2] & 2 == 0 { "" } else { " tc" };
    let lines = dump(&buffer[..length]);
    let shown = lines.iter().skip(2).filter(|line| !line.contains(" OPT "));
    std::iter::once(format!("{}{aa}{tc}", rcode.as_str()))
        .chain(shown.cloned())
        .chain(route)
        .collect()
}

/// An SOA with mailbox and server at the root, minimum 300, and two servers outside.
const TOP: &str = "$TTL 600\n@ SOA . . 1 2 3 4 300\n@ NS ns.other.\n";
/// Its data with serial 7, as it goes with negative answers.
const SOA: &str = "SOA 0000000000070000000200000003000000040000012c";

fn negative(apex: &str) -> String {
    format!("au {apex} 60 {SOA}")
}
