//! Questions to DNS, the hosts file first.
//!
//! In: a question. Out: an answer with the lifetime that DNS gives it.
//! Always holds: a name that the hosts file has is not asked for (hosts(5)); the files of the system
//! are read again when they have changed; where only one of the two families could be asked for, the
//! answer is asked for again soon.
//! It keeps no answer: [`super::Names`] does.
//!
//! RFC 1035, RFC 2782 (SRV), RFC 3596 (AAAA).

use std::{
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

use super::{Answer, Question, Resolve, Target};

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
    fn resolve<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, String>> {
        async move {
            let client = self.client().map_err(|error| reason(&error))?;
            if question.is_service {
                client.service(&question.name).await
            } else {
                let (addresses, ttl) = client.host(&question.name).await?;
                Ok(Answer::of_addresses(addresses, ttl))
            }
        }
        .boxed()
    }
}

impl Client {
    /// The hosts of a service, with their addresses.
    async fn service(&self, name: &str) -> Result<Answer, String> {
        let lookup = self.resolver.srv_lookup(name).await.map_err(|error| reason(&error))?;
        let ttl = ttl_of(&lookup);
        let records = lookup.answers().iter().filter_map(|record| match &record.data {
            // "." says that there is no such service here (RFC 2782).
            RData::SRV(srv) if !srv.target.is_root() => Some(srv.clone()),
            _ => None,
        });
        let records: Vec<SRV> = records.take(TARGETS_MAX).collect();
        if records.is_empty() {
            return Err("there is no such service (SRV)".to_owned());
        }
        let hosts = records.iter().map(|srv| async {
            let host = srv.target.to_ascii();
            (self.host(&host).await, host)
        });
        let mut answer = Answer { targets: Vec::new(), ttl };
        let mut failure = None;
        for (srv, (host, name)) in records.iter().zip(join_all(hosts).await) {
            match host {
                Ok((addresses, ttl)) => {
                    answer.ttl = answer.ttl.min(ttl);
                    answer.targets.push(Target {
                        priority: srv.priority,
                        weight: srv.weight,
                        port: Some(srv.port),
                        addresses,
                    });
                }
                // The others do meanwhile.
                Err(reason) => {
                    answer.ttl = Duration::ZERO;
                    failure = Some(format!("{name}: {reason}"));
                }
            }
        }
        match failure {
            Some(reason) if answer.targets.is_empty() => Err(reason),
            _ => Ok(answer),
        }
    }

    /// The addresses of a host.
    async fn host(&self, name: &str) -> Result<(Vec<IpAddr>, Duration), String> {
        let listed = self.listed(name);
        if !listed.is_empty() {
            return Ok((listed, HOSTS_TTL));
        }
        let v6 = self.resolver.ipv6_lookup(name);
        let (v6, v4) = join(v6, self.resolver.ipv4_lookup(name)).await;
        let (mut addresses, mut ttl) = (Vec::new(), Duration::MAX);
        let mut failure = None;
        for lookup in [v6, v4] {
            match lookup {
                Ok(lookup) => {
                    addresses.extend(lookup.answers().iter().filter_map(|one| one.data.ip_addr()));
                    ttl = ttl.min(ttl_of(&lookup));
                }
                Err(error) if error.is_no_records_found() => {
                    failure.get_or_insert_with(|| reason(&error));
                }
                Err(error) => {
                    failure = Some(reason(&error));
                    ttl = Duration::ZERO;
                }
            }
        }
        match failure {
            Some(reason) if addresses.is_empty() => Err(reason),
            _ => Ok((addresses, ttl)),
        }
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

/// The shortest lifetime of a chain of records.
fn ttl_of(lookup: &Lookup) -> Duration {
    let ttl = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or_default();
    Duration::from_secs(ttl.into())
}

fn reason(error: &NetError) -> String {
    if error.is_nx_domain() {
        return "there is no such name (NXDOMAIN)".to_owned();
    }
    if error.is_no_records_found() {
        return "it has no address".to_owned();
    }
    crate::fetch::chain(error)
}
