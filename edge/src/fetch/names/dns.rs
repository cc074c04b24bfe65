//! Questions to DNS, the hosts file first.
//!
//! In: a question. Out: an answer with the lifetime that DNS gives it.
//! Always holds: a name that the hosts file has is not asked for (hosts(5)); the files of the system
//! are read again when they have changed; an answer of which a part could not be asked for says so.
//! It keeps no answer: [`super::Names`] does.
//!
//! RFC 1035, RFC 2782 (SRV), RFC 3596 (AAAA).

use std::{
    cmp::Reverse,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join, join_all},
};
use hickory_resolver::{
    Hosts, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::Query,
        rr::{Name, RData, RecordType, rdata::SRV},
    },
    system_conf::read_system_conf,
};
use nearcast_daemon::files::Print;
use parking_lot::Mutex;

use super::{Answer, Family, Question, Resolve, Target, Trouble};
use crate::fetch::connect::is_short;

/// The system's resolvers.
const RESOLVERS: &str = "/etc/resolv.conf";
/// The system's own names.
const HOSTS: &str = "/etc/hosts";
/// How long what the hosts file says is used before it is looked at again.
const HOSTS_TTL: Duration = Duration::from_secs(10);
/// How long one of the settings' resolvers is waited for before it is asked again or another is.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);
/// Hosts of one service.
const TARGETS_MAX: usize = 16;

/// Asks DNS.
pub struct Dns {
    /// Who is asked; nobody means the system's resolvers.
    resolvers: Vec<SocketAddr>,
    client: Mutex<Option<Client>>,
}

/// What asks, and what it was made of.
#[derive(Clone)]
struct Client {
    made_of: [Print; 2],
    resolver: TokioResolver,
    hosts: Arc<Hosts>,
}

impl Dns {
    /// Asks these resolvers, or the system's.
    #[must_use]
    pub fn new(resolvers: Vec<SocketAddr>) -> Self {
        Self { resolvers, client: Mutex::default() }
    }

    fn client(&self) -> Result<Client, NetError> {
        let made_of = [Print::of(Path::new(RESOLVERS)), Print::of(Path::new(HOSTS))];
        let mut client = self.client.lock();
        if let Some(client) = client.as_ref().filter(|client| client.made_of == made_of) {
            return Ok(client.clone());
        }
        let (config, mut options) = self.config();
        // The book keeps answers; the hosts file is asked first, below.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let provider = TokioRuntimeProvider::default();
        let resolver =
            TokioResolver::builder_with_config(config, provider).with_options(options).build()?;
        let hosts = Arc::new(Hosts::from_system().unwrap_or_default());
        Ok(client.insert(Client { made_of, resolver, hosts }).clone())
    }

    fn config(&self) -> (ResolverConfig, ResolverOpts) {
        let servers = |addresses: &[SocketAddr]| {
            let servers = addresses.iter().map(server).collect();
            let mut options = ResolverOpts::default();
            options.timeout = SERVER_TIMEOUT;
            (ResolverConfig::from_parts(None, Vec::new(), servers), options)
        };
        if !self.resolvers.is_empty() {
            return servers(&self.resolvers);
        }
        read_system_conf().unwrap_or_else(|error| {
            // As the system itself does (resolv.conf(5)).
            tracing::debug!(%error, "{RESOLVERS} names no resolver; this machine is asked");
            servers(&[SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53)])
        })
    }
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
    (udp.port, tcp.port) = (address.port(), address.port());
    NameServerConfig::new(address.ip(), true, vec![udp, tcp])
}

impl Resolve for Dns {
    fn resolve<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, Trouble>> {
        async move {
            let client = self.client().map_err(|error| trouble(&error))?;
            if question.is_service {
                client.service(&question.name).await
            } else {
                let Found { addresses, unknown, ttl, trouble } =
                    client.host(&question.name).await?;
                let target = Target { addresses, unknown, ..Target::default() };
                Ok(Answer { targets: vec![target], ttl, trouble })
            }
        }
        .boxed()
    }
}

impl Client {
    /// The hosts of a service, with their addresses.
    async fn service(&self, name: &str) -> Result<Answer, Trouble> {
        let lookup = self.resolver.srv_lookup(name).await.map_err(|error| trouble(&error))?;
        let ttl = ttl_of(&lookup);
        let records = lookup.answers().iter().filter_map(|record| match &record.data {
            // "." says that there is no such service here (RFC 2782).
            RData::SRV(srv) if !srv.target.is_root() => Some(srv.clone()),
            _ => None,
        });
        let records = first(records.collect());
        if records.is_empty() {
            return Err(Trouble::of("there is no such service (SRV)"));
        }
        let hosts = records.iter().map(|srv| async {
            let host = srv.target.to_ascii();
            (self.host(&host).await, host)
        });
        let mut answer = Answer { ttl, ..Answer::default() };
        for (srv, (host, name)) in records.iter().zip(join_all(hosts).await) {
            // Of one that fails nothing is known; the others do meanwhile.
            let Found { addresses, unknown, ttl, trouble } = host.unwrap_or_else(Found::nothing);
            answer.ttl = answer.ttl.min(ttl);
            let named = |trouble: Trouble| Trouble {
                reason: format!("{name}: {}", trouble.reason),
                ..trouble
            };
            answer.trouble = answer.trouble.or_else(|| trouble.map(named));
            answer.targets.push(Target {
                host: name,
                priority: srv.priority,
                weight: srv.weight,
                port: Some(srv.port),
                addresses,
                unknown,
            });
        }
        Ok(answer)
    }

    /// The addresses of a host.
    async fn host(&self, name: &str) -> Result<Found, Trouble> {
        let listed = self.listed(name);
        if !listed.is_empty() {
            return Ok(Found { addresses: listed, ttl: HOSTS_TTL, ..Found::default() });
        }
        let v6 = self.resolver.ipv6_lookup(name);
        let (v6, v4) = join(v6, self.resolver.ipv4_lookup(name)).await;
        let mut found = Found { ttl: Duration::MAX, ..Found::default() };
        let mut none = None;
        for (family, lookup) in [(Family::V6, v6), (Family::V4, v4)] {
            match lookup {
                Ok(lookup) => {
                    let addresses = lookup.answers().iter().filter_map(|one| one.data.ip_addr());
                    found.addresses.extend(addresses);
                    found.ttl = found.ttl.min(ttl_of(&lookup));
                }
                Err(error) if error.is_no_records_found() => none = Some(trouble(&error)),
                Err(error) => {
                    found.unknown.push(family);
                    found.trouble = Some(trouble(&error));
                }
            }
        }
        if found.addresses.is_empty() {
            return Err(found.trouble.or(none).unwrap_or_else(|| Trouble::of("it has no address")));
        }
        Ok(found)
    }

    /// What the hosts file says.
    fn listed(&self, name: &str) -> Vec<IpAddr> {
        let Ok(name) = Name::from_utf8(name) else { return Vec::new() };
        let of_kind = |kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let found = [RecordType::AAAA, RecordType::A].into_iter().filter_map(of_kind);
        found
            .flat_map(|lookup| {
                let addresses = lookup.answers().iter().filter_map(|one| one.data.ip_addr());
                addresses.collect::<Vec<_>>()
            })
            .collect()
    }
}

/// What is known of a host.
#[derive(Default)]
struct Found {
    addresses: Vec<IpAddr>,
    unknown: Vec<Family>,
    ttl: Duration,
    trouble: Option<Trouble>,
}

impl Found {
    fn nothing(trouble: Trouble) -> Self {
        let unknown = vec![Family::V4, Family::V6];
        Self { addresses: Vec::new(), unknown, ttl: Duration::MAX, trouble: Some(trouble) }
    }
}

/// The first [`TARGETS_MAX`] by priority, and among equals those that get the most (RFC 2782).
fn first(mut records: Vec<SRV>) -> Vec<SRV> {
    records.sort_by_key(|srv| (srv.priority, Reverse(srv.weight)));
    records.truncate(TARGETS_MAX);
    records
}

/// The shortest lifetime of a chain of records.
fn ttl_of(lookup: &Lookup) -> Duration {
    let ttl = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or_default();
    Duration::from_secs(ttl.into())
}

fn trouble(error: &NetError) -> Trouble {
    if error.is_nx_domain() {
        return Trouble::of("there is no such name (NXDOMAIN)");
    }
    if error.is_no_records_found() {
        return Trouble::of("it has no address");
    }
    match unasked() {
        Some(reason) => Trouble { reason, is_ours: true },
        None => Trouble::of(crate::fetch::chain(error)),
    }
}

/// Why this node can ask nobody, if so. The resolver does not pass that on: it says that it has no
/// connections.
fn unasked() -> Option<String> {
    let error = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).err()?;
    is_short(&error).then(|| format!("this node has no socket for the question: {error}"))
}

#[cfg(test)]
mod tests {
    use tokio::net::UdpSocket;

    use super::*;

    const A: u8 = 1;
    const SRV_TYPE: u8 = 33;
    const AAAA: u8 = 28;
    const SERVFAIL: u8 = 2;

    /// What a resolver says: records, each with its TTL and its data, or a code.
    type Says = Result<Vec<(u8, Vec<u8>)>, u8>;

    /// A resolver that says of a name and a type what it is told, and how often it was asked.
    async fn resolver(
        says: impl Fn(&str, u8) -> Says + Send + 'static,
    ) -> (SocketAddr, Arc<Mutex<usize>>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::<Mutex<usize>>::default();
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut query).await {
                *count.lock() += 1;
                // Up to the root of the name, its type and class (RFC 1035 §4.1).
                let root = 12 + query[12..length].iter().position(|octet| *octet == 0).unwrap();
                let mut answer = query[..root + 5].to_vec();
                let (kind, mut name, mut at) = (answer[root + 2], String::new(), 12);
                while answer[at] > 0 {
                    let end = at + 1 + usize::from(answer[at]);
                    name = format!("{name}{}.", String::from_utf8_lossy(&answer[at + 1..end]));
                    at = end;
                }
                let (code, records) = match says(&name, kind) {
                    Ok(records) => (0, records),
                    Err(code) => (code, Vec::new()),
                };
                let count = u8::try_from(records.len()).unwrap();
                answer[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
                for (ttl, data) in records {
                    let length = u8::try_from(data.len()).unwrap();
                    answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, ttl, 0, length]);
                    answer.extend(data);
                }
                socket.send_to(&answer, client).await.unwrap();
            }
        });
        (address, asked)
    }

    fn six() -> Vec<u8> {
        "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec()
    }

    /// An SRV record's data (RFC 2782); a host is one label, and the root none.
    fn srv(priority: u8, weight: u8, port: u8, host: &str) -> Vec<u8> {
        let mut data = vec![0, priority, 0, weight, 0, port];
        if !host.is_empty() {
            data.push(u8::try_from(host.len()).unwrap());
            data.extend(host.as_bytes());
        }
        data.push(0);
        data
    }

    async fn ask(resolver: SocketAddr, name: &str, is_service: bool) -> Result<Answer, String> {
        let question = Question { name: name.to_owned(), is_service };
        let answer = Dns::new(vec![resolver]).resolve(&question).await;
        answer.map_err(|trouble| trouble.reason)
    }

    #[tokio::test]
    async fn an_answer_says_of_which_family_nothing_is_known() {
        let says = |_: &str, kind| if kind == AAAA { Ok(vec![(60, six())]) } else { Err(SERVFAIL) };
        let answer = ask(resolver(says).await.0, "a.example.", false).await.unwrap();
        let [target] = <[Target; 1]>::try_from(answer.targets).unwrap();
        assert_eq!(target.addresses, ["2001:db8::1".parse::<IpAddr>().unwrap()]);
        assert_eq!(target.unknown, [Family::V4]);
        assert_eq!(answer.ttl, Duration::from_secs(60));
        assert!(answer.trouble.is_some());
    }

    #[tokio::test]
    async fn a_family_without_addresses_is_no_trouble_and_the_shortest_ttl_counts() {
        let four = |_: &str, kind| {
            Ok(if kind == A {
                vec![(9, vec![192, 0, 2, 1]), (5, vec![192, 0, 2, 2])]
            } else {
                vec![]
            })
        };
        let answer = ask(resolver(four).await.0, "a.example.", false).await.unwrap();
        assert_eq!(answer.addresses(80).count(), 2);
        assert_eq!(answer.targets[0].unknown, []);
        assert_eq!((answer.ttl, answer.trouble), (Duration::from_secs(5), None));
        let both =
            |_: &str, kind| Ok(vec![if kind == A { (50, vec![192, 0, 2, 1]) } else { (7, six()) }]);
        let answer = ask(resolver(both).await.0, "a.example.", false).await.unwrap();
        assert_eq!((answer.ttl, answer.addresses(80).count()), (Duration::from_secs(7), 2));
        let none = |_: &str, _| Ok(Vec::new());
        let reason = ask(resolver(none).await.0, "a.example.", false).await.unwrap_err();
        assert_eq!(reason, "it has no address");
    }

    #[tokio::test]
    async fn rfc2782_a_service_is_its_hosts_and_one_of_them_that_fails_takes_no_other_away() {
        let says = |name: &str, kind| match (name, kind) {
            (_, SRV_TYPE) => Ok(vec![(50, srv(2, 7, 81, "one")), (40, srv(1, 5, 82, "two"))]),
            ("one.", A) => Ok(vec![(30, vec![192, 0, 2, 1])]),
            ("one.", _) => Ok(Vec::new()),
            _ => Err(SERVFAIL),
        };
        let answer = ask(resolver(says).await.0, "_http._tcp.a.example.", true).await.unwrap();
        let [two, one] = <[Target; 2]>::try_from(answer.targets).unwrap();
        assert_eq!((one.host.as_str(), one.port), ("one.", Some(81)));
        assert_eq!((one.priority, one.weight, one.unknown), (2, 7, vec![]));
        assert_eq!(one.addresses, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!((two.host.as_str(), two.port, two.priority), ("two.", Some(82), 1));
        assert_eq!((two.addresses, two.unknown), (vec![], vec![Family::V4, Family::V6]));
        assert_eq!(answer.ttl, Duration::from_secs(30));
        assert!(answer.trouble.is_some_and(|why| why.reason.starts_with("two.: ")));
    }

    #[tokio::test]
    async fn rfc2782_the_root_as_a_host_says_that_there_is_no_such_service() {
        let says = |_: &str, _| Ok(vec![(50, srv(0, 0, 80, ""))]);
        let reason = ask(resolver(says).await.0, "_http._tcp.a.example.", true).await.unwrap_err();
        assert_eq!(reason, "there is no such service (SRV)");
    }

    #[tokio::test]
    async fn what_the_hosts_file_has_is_not_asked_for_and_nothing_is_kept() {
        let (address, asked) = resolver(|_, _| Err(SERVFAIL)).await;
        let answer = ask(address, "localhost", false).await.unwrap();
        assert!(answer.addresses(80).all(|one| one.ip().is_loopback()));
        assert_eq!((answer.ttl, *asked.lock()), (HOSTS_TTL, 0));
        let (address, asked) = resolver(|_, kind| {
            Ok(vec![if kind == A { (60, vec![192, 0, 2, 1]) } else { (60, six()) }])
        })
        .await;
        let dns = Dns::new(vec![address]);
        let question = Question { name: "a.example.".to_owned(), is_service: false };
        for _ in 0..2 {
            let before = *asked.lock();
            drop(dns.resolve(&question).await);
            assert!(*asked.lock() > before, "by the book alone");
        }
    }

    #[test]
    fn rfc2782_a_long_service_is_cut_behind_its_first_hosts() {
        let srv = |priority, weight| SRV::new(priority, weight, 80, Name::root());
        let records: Vec<SRV> = (0..40).rev().map(|number| srv(number / 10, number)).collect();
        let first = first(records);
        let priorities: Vec<u16> = first.iter().map(|srv| srv.priority).collect();
        assert_eq!(priorities, [[0; 10].as_slice(), &[1; 6]].concat());
        assert_eq!(first[10].weight, 19);
    }
}
