//! Connections to origin servers: take the addresses of a name, check one, connect.
//!
//! In: a server of a site's origin. Out: a byte stream to it, or why there is none.
//! Always holds: the *resolved* address is checked, at connect, so that no name can lead to this
//! machine, to link-local services or back into our own listeners without the node file's
//! permission. It knows nothing of TLS and HTTP. How bytes travel is a [`Connect`], so that tests
//! bring in-memory pipes.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use edge_core::{settings::EdgeSettings, site::ServerAddress};
use futures_util::{
    future::BoxFuture,
    stream::{FuturesUnordered, StreamExt as _},
};
use ground::fold::canonical;
use ipnet::IpNet;
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

/// Which addresses an origin may be reached at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Networks that the node's settings allow although they are local, as addresses are looked at.
    allowed: Vec<IpNet>,
    /// Where this node itself listens.
    own: Vec<SocketAddr>,
}

impl AddressPolicy {
    /// Allows the local addresses in `allowed`; `own` is where this node itself listens.
    #[must_use]
    pub fn new(allowed: &[IpNet], own: &[SocketAddr]) -> Self {
        let allowed = allowed.iter().copied().map(canonical).collect();
        Self { allowed, own: own.to_vec() }
    }

    /// Whether an origin may be reached at `address`.
    #[must_use]
    pub fn allows(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let own = self.own.iter().any(|own| {
            own.port() == address.port()
                && (own.ip().to_canonical() == ip || own.ip().is_unspecified() && is_local(ip))
        });
        // Our own listeners are refused even inside an allowed network unless it names the very
        // address: a whole loopback net is no wish to loop.
        if own {
            return self.allows_by_name(ip);
        }
        !is_local(ip) || self.allowed.iter().any(|net| net.contains(&ip))
    }

    /// Whether a connection from `local` to `peer` has come back to one of our own listeners: with
    /// a wildcard listener only the connection itself tells that an address is this machine's.
    #[must_use]
    pub fn came_home(&self, local: SocketAddr, peer: SocketAddr) -> bool {
        let ip = peer.ip().to_canonical();
        let ours = self.own.iter().any(|own| {
            own.port() == peer.port()
                && (own.ip().is_unspecified() || own.ip().to_canonical() == ip)
        });
        ours && local.ip().to_canonical() == ip && !self.allows_by_name(ip)
    }

    fn allows_by_name(&self, ip: IpAddr) -> bool {
        self.allowed.iter().any(|net| net.contains(&ip) && net.prefix_len() == net.max_prefix_len())
    }
}

/// Loopback, link-local and unspecified addresses; the latter connect to this machine as well.
fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => {
            let [high @ .., _, _] = v6.segments();
            // IPv4-compatible and NAT64 (RFC 6052) addresses reach what they embed.
            let embeds = matches!(high, [0, 0, 0, 0, 0, 0] | [0x64, 0xff9b, 0, 0, 0, 0]);
            let [.., a, b, c, d] = v6.octets();
            v6.is_loopback()
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
                || embeds && is_local(IpAddr::from([a, b, c, d]))
        }
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
    let refused = || FetchError::NotAllowed { host: server.host.clone(), address: address.ip() };
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
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn local_addresses_need_permission() {
        let none = AddressPolicy::default();
        for local in [
            "127.0.0.1:80",
            "127.9.9.9:80",
            "169.254.169.254:80",
            "[::1]:80",
            "[fe80::1]:80",
            "0.0.0.0:80",
            "[::]:80",
            "[::ffff:127.0.0.1]:80",
            "[::127.0.0.1]:80",
            "[64:ff9b::7f00:1]:80",
        ] {
            assert!(!none.allows(address(local)), "{local}");
        }
        for public in ["192.0.2.1:80", "10.0.0.1:80", "[2001:db8::1]:443"] {
            assert!(none.allows(address(public)), "{public}");
        }
        for written in ["127.0.0.0/8", "::ffff:127.0.0.0/104"] {
            let some = AddressPolicy::new(&[net(written)], &[]);
            assert!(some.allows(address("127.0.0.1:80")), "{written}");
            assert!(some.allows(address("[::ffff:127.0.0.1]:80")), "{written}");
            for other in ["[::1]:80", "169.254.0.1:80", "[64:ff9b::7f00:1]:80"] {
                assert!(!some.allows(address(other)), "{written}: {other}");
            }
        }
    }

    #[test]
    fn our_own_listeners_are_refused_unless_named_one_by_one() {
        let own = [address("127.0.0.2:8080"), address("0.0.0.0:81")];
        let whole = AddressPolicy::new(&[net("127.0.0.0/8")], &own);
        assert!(!whole.allows(address("127.0.0.2:8080")));
        assert!(whole.allows(address("127.0.0.2:8081")));
        assert!(!whole.allows(address("127.0.0.1:81")));
        for written in ["127.0.0.2/32", "::ffff:127.0.0.2/128"] {
            let named = AddressPolicy::new(&[net(written)], &own);
            assert!(named.allows(address("127.0.0.2:8080")), "{written}");
        }
        // Behind a wildcard listener, 192.0.2.1 is known to be ours by the connection alone.
        assert!(whole.came_home(address("192.0.2.1:999"), address("192.0.2.1:81")));
        assert!(!whole.came_home(address("192.0.2.9:999"), address("192.0.2.1:81")));
        assert!(!whole.came_home(address("192.0.2.1:999"), address("192.0.2.1:82")));
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
