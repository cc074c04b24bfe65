//! Connections to origin servers: take the addresses of a name, check one, connect.
//!
//! In: a server of a site's origin. Out: a byte stream to it, or why there is none.
//! Always holds: the *resolved* address is checked, at connect ([`AddressPolicy`]). It knows nothing of TLS and HTTP. How bytes travel is a [`Connect`], so that tests
//! bring in-memory pipes.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use edge_core::{settings::EdgeSettings, site::ServerAddress};
use futures_util::{
    future::BoxFuture,
    stream::{FuturesUnordered, StreamExt as _},
};
use parking_lot::Mutex;
use rustix::io::Errno;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    runtime::Handle,
    time::{Instant, sleep_until},
};

use super::{
    FetchError, io_reason,
    names::{Dns, Manner, Name, Names, Question, Residence, Seen, Trouble},
    policy::AddressPolicy,
    server::Counted,
    socket::{Look, Socket},
};

/// How long an address is tried alone before the next is tried beside it (RFC 8305 §5): one that
/// drops packets must not use up the time for all.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A byte stream, whatever carries it.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Any byte stream.
pub type BoxedIo = Box<dyn Io>;

/// A byte stream to a server, and where it leads.
pub struct Opened {
    /// The bytes.
    pub stream: BoxedIo,
    /// The address and its name, if a name led there.
    pub residence: Option<Residence>,
    /// Counts it for as long as it is open.
    pub counted: Option<Counted>,
    /// Shows whether something has come.
    pub(super) look: Option<Look>,
}

impl From<BoxedIo> for Opened {
    fn from(stream: BoxedIo) -> Self {
        Self { stream, residence: None, counted: None, look: None }
    }
}

/// Opens byte streams to servers.
pub trait Connect: Send + Sync {
    /// A stream to `server`, if `policy` allows the address that it is reached at.
    fn connect<'a>(
        &'a self,
        server: &'a ServerAddress,
        policy: &'a AddressPolicy,
    ) -> BoxFuture<'a, Result<Opened, FetchError>>;

    /// Learns the settings in force and the servers that they name.
    fn adopt(&self, _settings: &EdgeSettings, _servers: &[ServerAddress]) {}

    /// The names that it resolves, for metrics.
    fn names(&self) -> Vec<Seen> {
        Vec::new()
    }
}

/// Connections over TCP.
pub struct Tcp {
    names: Names,
    /// Who is asked for names, and what is the settings' for it.
    dns: Mutex<(Vec<SocketAddr>, Arc<Dns>)>,
}

impl Tcp {
    /// Resolves names on `fills`.
    #[must_use]
    pub fn new(fills: Handle) -> Self {
        let settings = EdgeSettings::default();
        let dns = Arc::new(Dns::new(settings.resolvers.clone()));
        let manner = manner(&settings, Arc::clone(&dns));
        Self { names: Names::new(fills, manner), dns: Mutex::new((settings.resolvers, dns)) }
    }

    async fn addresses(
        &self,
        server: &ServerAddress,
        name: Option<&Arc<Name>>,
    ) -> Result<Vec<SocketAddr>, FetchError> {
        if let Some(name) = name {
            let found = name.addresses(server.port).await;
            return found.map_err(|trouble| unresolved(server, trouble));
        }
        // An address, in whatever form the system knows.
        let found = lookup_host((&*server.host, server.port)).await;
        let failed = |error| unresolved(server, Trouble::of(io_reason(&error)));
        found.map(Iterator::collect).map_err(failed)
    }
}

fn unresolved(server: &ServerAddress, trouble: Trouble) -> FetchError {
    let (host, reason) = (server.host.clone(), trouble.reason);
    if trouble.is_ours {
        FetchError::Spent { server: host, reason }
    } else {
        FetchError::Resolve { host, reason }
    }
}

fn manner(settings: &EdgeSettings, dns: Arc<Dns>) -> Manner {
    let (min, max) = (settings.resolved_ttl_min, settings.resolved_ttl_max);
    Manner { resolver: dns, ttl: (min, max.max(min)) }
}

impl Connect for Tcp {
    fn connect<'a>(
        &'a self,
        server: &'a ServerAddress,
        policy: &'a AddressPolicy,
    ) -> BoxFuture<'a, Result<Opened, FetchError>> {
        Box::pin(async move {
            let name = Question::of(server).map(|question| self.names.name(&question));
            let addresses = self.addresses(server, name.as_ref()).await?;
            let none = || FetchError::Resolve {
                host: server.host.clone(),
                reason: "no address".to_owned(),
            };
            let attempt = async |address| {
                let attempt = Attempt::begin(name.as_ref(), address);
                let opened = open(address, server, policy).await;
                attempt.ended(&opened);
                opened.map(|stream| (stream, address))
            };
            let ((stream, look), address) = first_of(addresses.into_iter(), attempt)
                .await
                .map_err(|failure| failure.unwrap_or_else(none))?;
            let residence = name.map(|name| Residence::new(name, address));
            let stream = Box::new(stream);
            Ok(Opened { stream, residence, counted: None, look: Some(look) })
        })
    }

    fn adopt(&self, settings: &EdgeSettings, servers: &[ServerAddress]) {
        let mut dns = self.dns.lock();
        if dns.0 != settings.resolvers {
            let resolvers = settings.resolvers.clone();
            *dns = (resolvers.clone(), Arc::new(Dns::new(resolvers)));
        }
        self.names.adopt(manner(settings, Arc::clone(&dns.1)), servers);
    }

    fn names(&self) -> Vec<Seen> {
        self.names.seen()
    }
}

/// One address of a name that is being tried: what comes of it decides who is tried first later.
struct Attempt<'n> {
    name: Option<&'n Arc<Name>>,
    address: SocketAddr,
    began: Instant,
}

impl<'n> Attempt<'n> {
    fn begin(name: Option<&'n Arc<Name>>, address: SocketAddr) -> Self {
        Self { name, address, began: Instant::now() }
    }

    fn ended<T>(mut self, opened: &Result<T, FetchError>) {
        let Some(name) = self.name.take() else { return };
        match opened {
            Ok(_) => name.worked(self.address),
            Err(FetchError::Spent { .. }) => {}
            Err(_) => name.failed(self.address),
        }
    }
}

impl Drop for Attempt<'_> {
    /// Broken off: another was faster, or the time for all is over.
    fn drop(&mut self) {
        if let Some(name) = self.name
            && self.began.elapsed() >= ATTEMPT_DELAY
        {
            name.failed(self.address);
        }
    }
}

/// Tries one address after the other: the next as soon as one has failed, and beside the others if
/// none has answered in [`ATTEMPT_DELAY`]. The first connection counts; else the last failure.
async fn first_of<T, A: Future<Output = Result<T, FetchError>>>(
    mut addresses: impl Iterator<Item = SocketAddr>,
    attempt: impl Fn(SocketAddr) -> A,
) -> Result<T, Option<FetchError>> {
    let mut failure = None;
    let mut attempts = FuturesUnordered::new();
    loop {
        let next = addresses.next();
        let more = next.is_some();
        attempts.extend(next.map(&attempt));
        tokio::select! {
            ended = attempts.next() => match ended {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => failure = Some(error),
                None => return Err(failure),
            },
            () = sleep_until(Instant::now() + ATTEMPT_DELAY), if more => {}
        }
    }
}

/// Whether this node is what is short of something: that blames no server.
fn is_spent(error: &io::Error, address: SocketAddr) -> bool {
    // No port is left. Towards IPv6 it may also be that this machine has no such address at all.
    let has_no_port = Errno::from_io_error(error) == Some(Errno::ADDRNOTAVAIL);
    is_short(error) || has_no_port && address.is_ipv4()
}

/// Whether the system had no descriptor or no memory for a socket.
pub(super) fn is_short(error: &io::Error) -> bool {
    let short = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| short.contains(&errno))
}

/// A connection to one address, if it is allowed.
async fn open(
    address: SocketAddr,
    server: &ServerAddress,
    policy: &AddressPolicy,
) -> Result<(Socket, Look), FetchError> {
    let refused = || FetchError::NotAllowed {
        host: server.host.clone(),
        address: address.ip(),
        setting: policy.setting(),
    };
    if !policy.allows(address) {
        return Err(refused());
    }
    let stream = TcpStream::connect(address).await.map_err(|error| {
        let server = format!("{} ({address})", server.authority);
        let reason = io_reason(&error);
        if is_spent(&error, address) {
            FetchError::Spent { server, reason }
        } else {
            FetchError::Connect { server, reason }
        }
    })?;
    if home(&stream, policy) {
        return Err(refused());
    }
    // Small requests must not wait for acknowledgements.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %address, "TCP_NODELAY could not be set");
    }
    Ok(Socket::of(stream))
}

fn home(stream: &TcpStream, policy: &AddressPolicy) -> bool {
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(local), Ok(peer)) => policy.came_home(local, peer),
        // A connection that is gone already leads nowhere.
        (Err(_), _) | (_, Err(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_this_node_is_short_of_blames_no_server() {
        let (four, six) = (address("192.0.2.1:80"), address("[2001:db8::1]:80"));
        let rows = [
            (Errno::MFILE, four, true),
            (Errno::NFILE, six, true),
            (Errno::NOBUFS, four, true),
            (Errno::ADDRNOTAVAIL, four, true),
            (Errno::ADDRNOTAVAIL, six, false),
            (Errno::CONNREFUSED, four, false),
            (Errno::NETUNREACH, six, false),
        ];
        for (errno, address, expected) in rows {
            let error = io::Error::from(errno);
            assert_eq!(is_spent(&error, address), expected, "{errno} {address}");
        }
        assert!(!is_spent(&io::Error::other("no"), four));
    }

    #[test]
    fn a_name_that_nobody_could_be_asked_for_blames_no_server() {
        let server = ServerAddress::parse("http://a.example").unwrap();
        let trouble = Trouble::of("no sockets");
        assert!(unresolved(&server, trouble.clone()).blames_server());
        let error = unresolved(&server, Trouble { is_ours: true, ..trouble });
        assert!(!error.blames_server() && error.to_string().contains("a.example"), "{error}");
        assert!(is_short(&io::Error::from(Errno::MFILE)));
        assert!(!is_short(&io::Error::from(Errno::ADDRNOTAVAIL)));
    }

    /// What comes of addresses whose last number says what each does: 1 answers, 2 refuses, 3 never
    /// answers.
    async fn reached(addresses: &[&str]) -> Result<String, Option<FetchError>> {
        let addresses = addresses.iter().map(|text| address(text));
        first_of(addresses, async |address: SocketAddr| match address.ip() {
            IpAddr::V4(ip) if ip.octets()[3] == 1 => Ok(address.to_string()),
            IpAddr::V4(ip) if ip.octets()[3] == 2 => {
                Err(FetchError::Connect { server: address.to_string(), reason: "no".to_owned() })
            }
            _ => std::future::pending().await,
        })
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_never_answers_does_not_keep_the_next_from_its_try() {
        let before = Instant::now();
        let one = reached(&["192.0.2.2:80", "192.0.2.3:80", "192.0.2.1:80"]).await;
        assert_eq!(one.unwrap(), "192.0.2.1:80");
        assert_eq!(before.elapsed(), ATTEMPT_DELAY, "the refusal cost nothing");
        let none = reached(&["192.0.2.2:80", "198.51.100.2:80"]).await.unwrap_err();
        assert!(none.unwrap().to_string().contains("198.51.100.2"));
        assert!(reached(&[]).await.unwrap_err().is_none());
    }
}
