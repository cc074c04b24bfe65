//! Networks that an operator names, as spans of the address space.
//!
//! In: networks with a value each, nested as they may be. Out: for each address the value of the
//! longest network that holds it; and the reader of a file of networks and PoPs.
//! Always holds: spans follow each other without gap or overlap.

use ipnet::IpNet;

use super::{
    database::DatabaseError,
    span::{Cursor, Space},
};

/// Spans of one address space, each from its first address to the next span's.
#[derive(Clone, Debug)]
pub(super) struct Spans<A>(Vec<(A, u32)>);

impl<A: Space> Spans<A> {
    /// The spans of networks; of equal ones the last counts. Values are greater than 0, which
    /// stands for no network.
    pub(super) fn new(networks: &[(IpNet, u32)]) -> Self {
        let of_space = |(network, value): &(IpNet, u32)| {
            let first = A::of(network.network())?;
            Some((first, network.prefix_len(), *value))
        };
        let mut blocks: Vec<(A, u8, u32)> = networks.iter().filter_map(of_space).collect();
        // A stable sort: among equal networks the order of the operator remains.
        blocks.sort_by_key(|(first, prefix, _)| (*first, *prefix));
        let mut spans = vec![(A::FIRST, 0)];
        let mut around: Vec<(A, u32)> = Vec::new();
        for (first, prefix, value) in blocks {
            close(&mut around, &mut spans, |last| last < first);
            push(&mut spans, first, value);
            around.push((first.last_of(prefix), value));
        }
        close(&mut around, &mut spans, |_| true);
        Self(spans)
    }

    pub(super) fn cursor(&self) -> SpanCursor<'_, A> {
        SpanCursor { spans: &self.0 }
    }
}

/// Ends the networks that are over: behind each, the one around it goes on.
fn close<A: Space>(
    around: &mut Vec<(A, u32)>,
    spans: &mut Vec<(A, u32)>,
    is_over: impl Fn(A) -> bool,
) {
    while let Some((last, _)) = around.pop_if(|(last, _)| is_over(*last)) {
        let outer = around.last().map_or(0, |(_, value)| *value);
        if let Some(next) = last.next() {
            push(spans, next, outer);
        }
    }
}

/// From `first` on the value is another one.
fn push<A: Space>(spans: &mut Vec<(A, u32)>, first: A, value: u32) {
    if let Some(last) = spans.last_mut().filter(|last| last.0 == first) {
        last.1 = value;
    } else {
        spans.push((first, value));
    }
}

/// Spans, walked along.
#[derive(Clone, Debug)]
pub(super) struct SpanCursor<'s, A> {
    spans: &'s [(A, u32)],
}

impl<A: Space> Cursor<A> for SpanCursor<'_, A> {
    fn at(&mut self, address: A) -> Result<(u32, A), DatabaseError> {
        while let [_, (next, _), ..] = self.spans
            && *next <= address
        {
            self.spans = self.spans.split_at(1).1;
        }
        Ok(match self.spans {
            [] => (0, A::LAST),
            [(_, value)] => (*value, A::LAST),
            [(_, value), (next, _), ..] => (*value, next.before()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn spans(texts: &[&str]) -> Vec<String> {
        let networks: Vec<(IpNet, u32)> =
            texts.iter().zip(1..).map(|(text, value)| (text.parse().unwrap(), value)).collect();
        let spans = Spans::<u32>::new(&networks);
        spans.0.iter().map(|(first, value)| format!("{} {value}", Ipv4Addr::from(*first))).collect()
    }

    #[test]
    fn the_longest_network_that_holds_an_address_counts() {
        assert_eq!(spans(&[]), ["0.0.0.0 0"]);
        assert_eq!(spans(&["0.0.0.0/0"]), ["0.0.0.0 1"]);
        assert_eq!(spans(&["10.0.0.0/8"]), ["0.0.0.0 0", "10.0.0.0 1", "11.0.0.0 0"]);
        assert_eq!(
            spans(&["10.1.0.0/16", "10.0.0.0/8", "10.1.2.0/24", "2001:db8::/32"]),
            [
                "0.0.0.0 0",
                "10.0.0.0 2",
                "10.1.0.0 1",
                "10.1.2.0 3",
                "10.1.3.0 1",
                "10.2.0.0 2",
                "11.0.0.0 0"
            ]
        );
        assert_eq!(
            spans(&["10.0.0.0/8", "10.255.0.0/16", "10.255.255.255/32"]),
            ["0.0.0.0 0", "10.0.0.0 1", "10.255.0.0 2", "10.255.255.255 3", "11.0.0.0 0"]
        );
        assert_eq!(
            spans(&["255.0.0.0/8", "255.255.255.255/32"]),
            ["0.0.0.0 0", "255.0.0.0 1", "255.255.255.255 2"]
        );
        assert_eq!(spans(&["0.0.0.0/0", "0.0.0.0/8", "0.0.0.0/8"]), ["0.0.0.0 3", "1.0.0.0 1"]);
    }

    proptest! {
        #[test]
        fn spans_say_what_a_search_says(
            networks in prop::collection::vec((any::<u32>(), 0..=32_u8), 0..12),
            mut addresses in prop::collection::vec(any::<u32>(), 1..40),
        ) {
            let networks: Vec<(IpNet, u32)> = networks
                .into_iter()
                .map(|(bits, prefix)| (bits & 0xf0f0_00ff, prefix))
                .zip(1..)
                .map(|((bits, prefix), value)| {
                    (IpNet::new(Ipv4Addr::from(bits).into(), prefix).unwrap().trunc(), value)
                })
                .collect();
            addresses.extend(networks.iter().filter_map(|(network, _)| u32::of(network.network())));
            addresses.extend(networks.iter().filter_map(|(network, _)| u32::of(network.broadcast())));
            addresses.sort_unstable();
            let spans = Spans::<u32>::new(&networks);
            let mut cursor = spans.cursor();
            for address in addresses {
                let ip = std::net::IpAddr::V4(Ipv4Addr::from(address));
                let holding = networks.iter().filter(|(network, _)| network.contains(&ip));
                let longest = holding.max_by_key(|(network, value)| (network.prefix_len(), *value));
                let (value, last) = cursor.at(address).unwrap();
                prop_assert_eq!(value, longest.map_or(0, |(_, value)| *value));
                prop_assert!(last >= address);
            }
        }
    }
}
