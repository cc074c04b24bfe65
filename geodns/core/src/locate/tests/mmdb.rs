//! Writes small mmdb files, right or wrong, for tests.
//!
//! In: networks and values. Out: bytes of MaxMind DB format 2.0, of any record size, with or
//! without the mirrors of IPv4 that real files have in their IPv6 tree.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "files of a few networks"
)]

use std::{collections::HashMap, net::IpAddr};

use ipnet::IpNet;

/// A value of a record.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Double(f64),
    Float(f32),
    Unsigned(u32),
    /// An unsigned number of another type.
    Number(u8, u64),
    Flag(bool),
    Map(Vec<(&'static str, Self)>),
    List(Vec<Self>),
    /// Stands elsewhere in the section; here is a pointer to it.
    Shared(Box<Self>),
}

/// A file to be.
pub(crate) struct Mmdb {
    pub(crate) record_size: u16,
    pub(crate) ip_version: u16,
    /// Whether `::ffff:0:0/96` and `2002::/16` lead to the IPv4 tree.
    pub(crate) mirrors: bool,
    pub(crate) networks: Vec<(IpNet, Value)>,
}

/// A record in MaxMind's nested layout.
pub(crate) fn nested(country: &str, region: &str, point: Option<(f64, f64)>) -> Value {
    let code = |code: &str| {
        Value::Map(vec![
            ("geoname_id", Value::Unsigned(7)),
            ("iso_code", Value::Text(code.to_owned())),
            ("names", Value::Map(vec![("en", Value::Text("A name".to_owned()))])),
        ])
    };
    let mut entries = vec![("city", Value::Map(vec![("names", Value::Map(vec![]))]))];
    if !country.is_empty() {
        entries.push(("country", Value::Shared(Box::new(code(country)))));
    }
    if let Some((latitude, longitude)) = point {
        entries.push((
            "location",
            Value::Map(vec![
                ("accuracy_radius", Value::Unsigned(20)),
                ("latitude", Value::Double(latitude)),
                ("longitude", Value::Double(longitude)),
                ("time_zone", Value::Text("Europe/Berlin".to_owned())),
            ]),
        ));
    }
    if !region.is_empty() {
        entries.push(("subdivisions", Value::List(vec![code(region), code("ZZZ")])));
    }
    Value::Map(entries)
}

/// A record in the flat layout.
pub(crate) fn flat(country: &str) -> Value {
    Value::Map(vec![("country_code", Value::Text(country.to_owned()))])
}

#[derive(Clone, Copy, PartialEq)]
enum Child {
    Empty,
    Node(usize),
    Data(usize),
}

impl Mmdb {
    /// A file of both families.
    pub(crate) fn new(networks: Vec<(IpNet, Value)>) -> Self {
        Self { record_size: 28, ip_version: 6, mirrors: true, networks }
    }

    /// A file of networks that are written out.
    pub(crate) fn of(networks: &[(&str, Value)]) -> Self {
        let parsed = networks.iter().map(|(text, value)| (text.parse().unwrap(), value.clone()));
        Self::new(parsed.collect())
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut section = Section::default();
        let mut tree = vec![[Child::Empty; 2]];
        let mut networks = self.networks.clone();
        networks.sort_by_key(|(network, _)| network.prefix_len());
        if self.ip_version == 6 {
            // IPv4 has a tree of its own in every such file.
            let four = leaf(&mut tree, 0, 96);
            if four.0 != 0 || four.1 != 0 {
                let node = tree.len();
                tree.push([Child::Empty; 2]);
                tree[four.0][four.1] = Child::Node(node);
            }
        }
        for (network, value) in &networks {
            let offset = section.record(value);
            let (bits, length) = self.place(*network);
            let (node, side) = leaf(&mut tree, bits, length);
            fill(&mut tree, node, side, offset);
        }
        if self.ip_version == 6 && self.mirrors {
            let (node, side) = leaf(&mut tree, 0, 96);
            let four = tree[node][side];
            for (bits, length) in [(0xffff_u128 << 32, 96), (0x2002_u128 << 112, 16)] {
                let (node, side) = leaf(&mut tree, bits, length);
                tree[node][side] = four;
            }
        }
        self.assemble(&tree, &section.bytes)
    }

    fn place(&self, network: IpNet) -> (u128, u8) {
        match (network.network(), self.ip_version) {
            (IpAddr::V4(four), 4) => (u128::from(four.to_bits()) << 96, network.prefix_len()),
            (IpAddr::V4(four), _) => (u128::from(four.to_bits()), network.prefix_len() + 96),
            (IpAddr::V6(six), _) => (six.to_bits(), network.prefix_len()),
        }
    }

    fn assemble(&self, tree: &[[Child; 2]], section: &[u8]) -> Vec<u8> {
        let count = tree.len() as u32;
        let record = |child: Child| match child {
            Child::Empty => count,
            Child::Node(node) => node as u32,
            Child::Data(offset) => count + 16 + offset as u32,
        };
        let mut bytes = Vec::new();
        for [left, right] in tree {
            let (left, right) = (record(*left).to_be_bytes(), record(*right).to_be_bytes());
            match self.record_size {
                24 => bytes.extend([&left[1..], &right[1..]].concat()),
                28 => {
                    bytes.extend(&left[1..]);
                    bytes.push(left[0] << 4 | right[0] & 15);
                    bytes.extend(&right[1..]);
                }
                _ => bytes.extend([left, right].concat()),
            }
        }
        bytes.extend([0; 16]);
        bytes.extend(section);
        bytes.extend(b"\xab\xcd\xefMaxMind.com");
        let mut metadata = Section::default();
        metadata.value(&Value::Map(vec![
            ("binary_format_major_version", Value::Number(5, 2)),
            ("binary_format_minor_version", Value::Number(5, 0)),
            ("build_epoch", Value::Number(9, 1_700_000_000)),
            ("database_type", Value::Text("Test-City".to_owned())),
            ("description", Value::Map(vec![])),
            ("ip_version", Value::Number(5, self.ip_version.into())),
            ("languages", Value::List(vec![])),
            ("node_count", Value::Unsigned(count)),
            ("record_size", Value::Number(5, self.record_size.into())),
        ]));
        bytes.extend(metadata.bytes);
        bytes
    }
}

/// The child at a prefix; what stood above it is pushed down.
fn leaf(tree: &mut Vec<[Child; 2]>, bits: u128, length: u8) -> (usize, usize) {
    if length == 0 {
        return (usize::MAX, 0);
    }
    let mut node = 0;
    for depth in 0..length {
        let side = (bits >> (127 - depth)) as usize & 1;
        if depth + 1 == length {
            return (node, side);
        }
        let child = tree[node][side];
        node = if let Child::Node(next) = child {
            next
        } else {
            tree.push([child; 2]);
            let next = tree.len() - 1;
            tree[node][side] = Child::Node(next);
            next
        };
    }
    unreachable!()
}

/// Puts a record at a child, and below it, down to the last node: the tree of IPv4 stays one.
fn fill(tree: &mut [[Child; 2]], node: usize, side: usize, offset: usize) {
    if node == usize::MAX {
        fill(tree, 0, 0, offset);
        fill(tree, 0, 1, offset);
        return;
    }
    match tree[node][side] {
        Child::Node(next) => {
            fill(tree, next, 0, offset);
            fill(tree, next, 1, offset);
        }
        Child::Empty | Child::Data(_) => tree[node][side] = Child::Data(offset),
    }
}

/// A data section, growing.
#[derive(Default)]
pub(crate) struct Section {
    pub(crate) bytes: Vec<u8>,
    shared: HashMap<Vec<u8>, usize>,
}

impl Section {
    /// Writes a record, equal ones once, and returns its offset.
    fn record(&mut self, value: &Value) -> usize {
        self.place(value)
    }

    fn place(&mut self, value: &Value) -> usize {
        // What it points to must stand before it.
        let mut draft = Self { bytes: self.bytes.clone(), shared: self.shared.clone() };
        self.share(value);
        draft.share(value);
        let start = draft.bytes.len();
        draft.value(value);
        let own = draft.bytes.split_off(start);
        let offset = *self.shared.entry(own.clone()).or_insert(self.bytes.len());
        if offset == self.bytes.len() {
            self.bytes.extend(own);
        }
        offset
    }

    fn share(&mut self, value: &Value) {
        match value {
            Value::Shared(inner) => {
                self.place(inner);
            }
            Value::Map(entries) => entries.iter().for_each(|(_, value)| self.share(value)),
            Value::List(values) => values.iter().for_each(|value| self.share(value)),
            Value::Text(_)
            | Value::Double(_)
            | Value::Float(_)
            | Value::Unsigned(_)
            | Value::Number(..)
            | Value::Flag(_) => {}
        }
    }

    pub(crate) fn value(&mut self, value: &Value) {
        match value {
            Value::Text(text) => {
                self.head(2, text.len());
                self.bytes.extend(text.as_bytes());
            }
            Value::Double(number) => {
                self.head(3, 8);
                self.bytes.extend(number.to_be_bytes());
            }
            Value::Float(number) => {
                self.head(15, 4);
                self.bytes.extend(number.to_be_bytes());
            }
            Value::Unsigned(number) => self.value(&Value::Number(6, u64::from(*number))),
            Value::Number(kind, number) => {
                let bytes = number.to_be_bytes();
                let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                self.head(*kind, 8 - zeros);
                self.bytes.extend(&bytes[zeros..]);
            }
            Value::Flag(flag) => self.head(14, usize::from(*flag)),
            Value::Map(entries) => {
                self.head(7, entries.len());
                for (key, value) in entries {
                    self.value(&Value::Text((*key).to_owned()));
                    self.value(value);
                }
            }
            Value::List(values) => {
                self.head(11, values.len());
                values.iter().for_each(|value| self.value(value));
            }
            Value::Shared(inner) => {
                let target = self.place(inner);
                self.pointer(target);
            }
        }
    }

    fn head(&mut self, kind: u8, size: usize) {
        let short = if kind > 7 { 0 } else { kind << 5 };
        let (low, more): (u8, Vec<u8>) = match size {
            0..=28 => (size as u8, vec![]),
            29..=284 => (29, vec![(size - 29) as u8]),
            _ => (30, ((size - 285) as u16).to_be_bytes().to_vec()),
        };
        self.bytes.push(short | low);
        if kind > 7 {
            self.bytes.push(kind - 7);
        }
        self.bytes.extend(more);
    }

    fn pointer(&mut self, target: usize) {
        let target = target as u32;
        match target {
            0..=2047 => self.bytes.extend([1 << 5 | (target >> 8) as u8, target as u8]),
            2048..=526_335 => {
                let [_, high, mid, low] = (target - 2048).to_be_bytes();
                self.bytes.extend([1 << 5 | 1 << 3 | high, mid, low]);
            }
            _ => {
                self.bytes.push(1 << 5 | 3 << 3);
                self.bytes.extend(target.to_be_bytes());
            }
        }
    }
}
