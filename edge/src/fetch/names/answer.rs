//! What a name leads to, and in which order its addresses are tried.
//!
//! In: what a resolver said, which addresses have failed of late. Out: addresses to connect to.
//! Always holds: a service's lower priority number comes first and its weights decide who is first
//! among equals (RFC 2782); the families of one host alternate, beginning with the one that worked
//! last (RFC 8305 §4); an address that has just failed comes after all that have not.
//! It knows no clock, no resolver and no randomness: the caller draws.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// What a resolver said of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The hosts that it leads to: those of its SRV records, or one for its addresses.
    pub targets: Vec<Target>,
    /// How long it may be used.
    pub ttl: Duration,
    /// Why a part of it is missing, if one is.
    pub trouble: Option<Trouble>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What went wrong.
    pub reason: String,
    /// Nobody could be asked, for want of something that this node needs for it.
    pub is_ours: bool,
}

impl Trouble {
    /// One of the resolver's or of the name's.
    #[must_use]
    pub fn of(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_ours: false }
    }
}

/// A host that a name leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The host's name.
    pub host: String,
    /// Targets with a lower number are tried first.
    pub priority: u16,
    /// Its share among those of one priority.
    pub weight: u16,
    /// Its port, where the name says one.
    pub port: Option<u16>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Families of which nobody said whether it has addresses.
    pub unknown: Vec<Family>,
}

/// The two families of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6, first unless something speaks against it (RFC 8305 §4).
    #[default]
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl Answer {
    /// An answer that is a list of addresses.
    #[must_use]
    pub fn of_addresses(addresses: Vec<IpAddr>, ttl: Duration) -> Self {
        let target = Target { addresses, ..Target::default() };
        Self { targets: vec![target], ttl, trouble: None }
    }

    /// The same with the addresses that each host had `before` of families that are unknown now.
    #[must_use]
    pub fn completed(mut self, before: &Self) -> Self {
        for target in &mut self.targets {
            let same = before.targets.iter().filter(|one| one.host == target.host);
            let known: Vec<IpAddr> = same.flat_map(|one| one.addresses.iter().copied()).collect();
            for ip in known {
                if target.unknown.contains(&Family::of(ip)) && !target.addresses.contains(&ip) {
                    target.addresses.push(ip);
                }
            }
        }
        self
    }

    /// Every address that it leads to; `port` is that of targets that say none.
    pub fn addresses(&self, port: u16) -> impl Iterator<Item = SocketAddr> {
        self.targets.iter().flat_map(move |target| {
            let port = target.port.unwrap_or(port);
            target.addresses.iter().map(move |ip| SocketAddr::new(*ip, port))
        })
    }

    /// The addresses in the order in which a connection tries them.
    ///
    /// `turn` moves the start through each host's addresses, so that connections spread over them.
    pub fn order(
        &self,
        port: u16,
        (turn, family): (usize, Family),
        has_failed: impl Fn(SocketAddr) -> bool,
        mut draw: impl FnMut() -> u32,
    ) -> Vec<SocketAddr> {
        let mut targets: Vec<&Target> = self.targets.iter().collect();
        targets.sort_by_key(|target| target.priority);
        let mut order = Vec::new();
        for equals in targets.chunk_by(|one, other| one.priority == other.priority) {
            for target in by_weight(equals, &mut draw) {
                let port = target.port.unwrap_or(port);
                let hosts = interleaved(&target.addresses, turn, family);
                order.extend(hosts.into_iter().map(|ip| SocketAddr::new(ip, port)));
            }
        }
        // Stable: else the order stays.
        order.sort_by_key(|address| has_failed(*address));
        order
    }
}

/// Equals in an order drawn by their weights; one of weight 0 is seldom first (RFC 2782).
fn by_weight<'t>(equals: &[&'t Target], mut draw: impl FnMut() -> u32) -> Vec<&'t Target> {
    let mut left = equals.to_vec();
    left.sort_by_key(|target| target.weight != 0);
    let mut drawn = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let sum: u32 = left.iter().map(|target| u32::from(target.weight)).sum();
        let mark = draw() % sum.saturating_add(1);
        let mut reached = 0;
        let place = left.iter().position(|target| {
            reached += u32::from(target.weight);
            reached >= mark
        });
        drawn.push(left.remove(place.unwrap_or_default()));
    }
    drawn
}

/// One address of each family in turn, `first` before the other.
fn interleaved(addresses: &[IpAddr], turn: usize, first: Family) -> Vec<IpAddr> {
    let (mut one, mut other): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|ip| Family::of(**ip) == first);
    for family in [&mut one, &mut other] {
        if !family.is_empty() {
            let start = turn % family.len();
            family.rotate_left(start);
        }
    }
    let mut order = Vec::with_capacity(addresses.len());
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    loop {
        match (one.next(), other.next()) {
            (None, None) => return order,
            (a, b) => order.extend(a.into_iter().chain(b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn target(priority: u16, weight: u16, addresses: &str) -> Target {
        let addresses = addresses.split(' ').map(|text| text.parse().unwrap()).collect();
        Target { priority, weight, port: Some(8000 + weight), addresses, ..Target::default() }
    }

    fn plain(addresses: &str) -> Answer {
        let target = Target { port: None, ..target(0, 0, addresses) };
        Answer { targets: vec![target], ttl: Duration::from_secs(1), trouble: None }
    }

    fn texts(order: &[SocketAddr]) -> String {
        order.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn rfc8305_4_families_alternate_and_what_failed_comes_last() {
        let answer = plain("192.0.2.1 192.0.2.2 192.0.2.3 2001:db8::1");
        let order = |turn, family, failed: &str| {
            let has_failed = |address: SocketAddr| failed.contains(&address.ip().to_string());
            texts(&answer.order(80, (turn, family), has_failed, || 0)).replace(":80", "")
        };
        let [a, b, c, six] = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "[2001:db8::1]"];
        assert_eq!(order(0, Family::V6, ""), [six, a, b, c].join(" "));
        assert_eq!(order(0, Family::V4, ""), [a, six, b, c].join(" "));
        assert_eq!(order(4, Family::V4, ""), [b, six, c, a].join(" "));
        assert_eq!(order(0, Family::V6, "2001:db8::1 192.0.2.2"), [a, c, six, b].join(" "));
        assert_eq!(texts(&Answer::default().order(80, (1, Family::V6), |_| false, || 0)), "");
    }

    #[test]
    fn rfc2782_priority_comes_first_and_weight_decides_among_equals() {
        let targets = vec![
            target(20, 9, "192.0.2.9"),
            target(10, 1, "192.0.2.1"),
            target(10, 3, "192.0.2.3"),
            target(10, 0, "192.0.2.4"),
        ];
        let answer = Answer { targets, ..Answer::default() };
        let mut firsts: BTreeMap<String, u32> = BTreeMap::new();
        for number in 0..100 {
            let mut drawn = number;
            let order = answer.order(
                80,
                (0, Family::V6),
                |_| false,
                || {
                    drawn += 1;
                    drawn
                },
            );
            assert_eq!(order.len(), 4);
            assert_eq!(texts(&order[3..]), "192.0.2.9:8009", "the last resort");
            *firsts.entry(order[0].to_string()).or_default() += 1;
        }
        // Marks from 0 to 4: one of them finds weight 0, one weight 1, and three weight 3.
        let shares = [("192.0.2.1:8001", 20), ("192.0.2.3:8003", 60), ("192.0.2.4:8000", 20)];
        assert_eq!(firsts, shares.map(|(one, times)| (one.to_owned(), times)).into());
        let failed = |address: SocketAddr| address.port() < 8009;
        assert_eq!(answer.order(80, (0, Family::V6), failed, || 0)[0].port(), 8009);
    }

    #[test]
    fn what_is_unknown_of_a_host_is_what_it_had_itself_and_once() {
        let host = |host: &str, addresses: &str, unknown: &[Family]| Target {
            host: host.to_owned(),
            unknown: unknown.to_vec(),
            ..target(0, 0, addresses)
        };
        let answer = |targets| Answer { targets, ..Answer::default() };
        let before = answer(vec![
            host("a", "192.0.2.1 2001:db8::1", &[]),
            host("a", "192.0.2.1 2001:db8::1", &[]),
            host("b", "192.0.2.2", &[]),
        ]);
        let now = answer(vec![
            host("a", "2001:db8::9", &[Family::V4]),
            host("b", "2001:db8::2", &[]),
            host("c", "2001:db8::3", &[Family::V4]),
        ]);
        let whole: Vec<String> = now
            .completed(&before)
            .targets
            .iter()
            .map(|one| format!("{:?}", one.addresses))
            .collect();
        assert_eq!(whole, ["[2001:db8::9, 192.0.2.1]", "[2001:db8::2]", "[2001:db8::3]"]);
    }

    #[test]
    fn rfc2782_a_port_is_the_services_where_it_says_one() {
        let plain = Target { port: None, ..target(0, 0, "192.0.2.2") };
        let answer =
            Answer { targets: vec![target(0, 1, "192.0.2.1"), plain], ..Answer::default() };
        let all: Vec<SocketAddr> = answer.addresses(80).collect();
        assert_eq!(texts(&all), "192.0.2.1:8001 192.0.2.2:80");
    }
}
