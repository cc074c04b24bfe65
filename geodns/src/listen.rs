//! Sockets: every address that queries come to, bound once for each worker.
//!
//! In: addresses. Out: [`Bound`] sockets, or the first address that cannot be had. Always holds:
//! each address is first bound without SO_REUSEPORT, so that a taken port is noticed (with it, a
//! second process of ours would silently take half of the queries); plain DNS has the same port over
//! UDP and TCP, also where the port is left to the system; what a datagram was sent to is asked for
//! before its socket is bound, so that none arrives without it; no datagram of plain DNS heeds a path
//! MTU that somebody claims, so that it leaves in one piece (RFC 9715 §3.1).
//! It deliberately knows nothing of what arrives.

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
};

use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::sockopt as mtu;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted, per socket.
const BACKLOG: i32 = 1024;
/// How often a port that the system chose for UDP may turn out to be taken over TCP.
const PORT_TRIES: usize = 16;
/// Room for datagrams that wait while a worker is busy. The system may allow less.
const RECEIVE_BYTES: usize = 4 << 20;

/// Where queries come in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Plain DNS, over UDP and TCP.
    pub dns: Vec<SocketAddr>,
    /// DNS over TLS (RFC 7858).
    pub tls: Vec<SocketAddr>,
    /// DNS over HTTPS (RFC 8484).
    pub https: Vec<SocketAddr>,
    /// DNS over QUIC (RFC 9250).
    pub quic: Vec<SocketAddr>,
}

impl Addresses {
    /// All transports together.
    #[must_use]
    pub fn all(&self) -> Vec<SocketAddr> {
        let parts = [&self.dns, &self.tls, &self.https, &self.quic];
        parts.into_iter().flatten().copied().collect()
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} over {protocol}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// `UDP` or `TCP`.
    pub protocol: &'static str,
    /// What the system said.
    pub source: io::Error,
}

/// Sockets that are bound. From here on clients may ask, and wait.
#[derive(Debug)]
pub struct Bound {
    /// The addresses, with the ports that were chosen.
    pub addresses: Addresses,
    pub(crate) workers: Vec<Sockets>,
}

/// One worker's sockets.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) udp: Vec<UdpSocket>,
    pub(crate) tcp: Vec<TcpListener>,
    pub(crate) tls: Vec<TcpListener>,
    pub(crate) https: Vec<TcpListener>,
    pub(crate) quic: Vec<UdpSocket>,
}

/// What a socket is shared with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Nothing: binding fails if anybody has the address.
    Alone,
    /// The other workers.
    Workers,
}

/// Binds all `addresses` for `workers` workers.
///
/// # Errors
/// The first address that cannot be had.
pub fn bind(addresses: &Addresses, workers: usize) -> Result<Bound, BindError> {
    let mut sockets: Vec<Sockets> = (0..workers.max(1)).map(|_| Sockets::default()).collect();
    let mut bound = Addresses::default();
    for &address in &addresses.dns {
        let chosen = choose(address)?;
        for worker in &mut sockets {
            worker.udp.push(udp(chosen, Sharing::Workers)?);
            worker.tcp.push(tcp(chosen, Sharing::Workers)?);
        }
        bound.dns.push(chosen);
    }
    type Listeners = fn(&mut Sockets) -> &mut Vec<TcpListener>;
    let streams: [(_, _, Listeners); 2] = [
        (&addresses.tls, &mut bound.tls, |sockets| &mut sockets.tls),
        (&addresses.https, &mut bound.https, |sockets| &mut sockets.https),
    ];
    for (addresses, bound, listeners) in streams {
        for &address in addresses {
            let probe = tcp(address, Sharing::Alone)?;
            let chosen = probe.local_addr().map_err(|source| failed(address, "TCP", source))?;
            drop(probe);
            for worker in &mut sockets {
                listeners(worker).push(tcp(chosen, Sharing::Workers)?);
            }
            bound.push(chosen);
        }
    }
    for &address in &addresses.quic {
        let probe = udp(address, Sharing::Alone)?;
        let chosen = probe.local_addr().map_err(|source| failed(address, "UDP", source))?;
        drop(probe);
        for worker in &mut sockets {
            worker.quic.push(quic(chosen)?);
        }
        bound.quic.push(chosen);
    }
    Ok(Bound { addresses: bound, workers: sockets })
}

/// The address, with a port that is free over UDP and TCP.
fn choose(address: SocketAddr) -> Result<SocketAddr, BindError> {
    let mut tries = PORT_TRIES;
    loop {
        let probe = udp(address, Sharing::Alone)?;
        let chosen = probe.local_addr().map_err(|source| failed(address, "UDP", source))?;
        match tcp(chosen, Sharing::Alone) {
            Ok(_) => return Ok(chosen),
            Err(error) if address.port() != 0 => return Err(error),
            Err(error) if tries == 0 => return Err(error),
            Err(_) => tries -= 1,
        }
    }
}

pub(crate) fn udp(address: SocketAddr, sharing: Sharing) -> Result<UdpSocket, BindError> {
    let socket = || {
        let socket = new(address, Type::DGRAM, sharing)?;
        if address.ip().is_unspecified() {
            // Which of our addresses was asked, so that the answer leaves from it.
            match address {
                SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
                SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
            }
        }
        if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BYTES) {
            tracing::debug!(%error, %address, "the receive buffer keeps its size");
        }
        if let Err(error) = heed_no_learned_mtu(&socket, address)
            && sharing == Sharing::Alone
        {
            tracing::warn!(
                %error, %address,
                "answers here heed what is said of the path MTU, which may be forged (RFC 9715 §3.1)"
            );
        }
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    socket().map_err(|source| failed(address, "UDP", source))
}

/// RFC 9715 §3.1: anybody can tell us of a small path MTU, and fragments can be forged. Not every
/// kernel and sandbox knows this.
fn heed_no_learned_mtu(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        mtu::set_ipv6_mtu_discover(socket, mtu::Ipv6PathMtuDiscovery::OMIT)?;
    } else {
        mtu::set_ip_mtu_discover(socket, mtu::Ipv4PathMtuDiscovery::OMIT)?;
    }
    Ok(())
}

fn quic(address: SocketAddr) -> Result<UdpSocket, BindError> {
    let socket = || {
        let socket = new(address, Type::DGRAM, Sharing::Workers)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    socket().map_err(|source| failed(address, "UDP", source))
}

fn tcp(address: SocketAddr, sharing: Sharing) -> Result<TcpListener, BindError> {
    let socket = || {
        let socket = new(address, Type::STREAM, sharing)?;
        // A connection of a process that ended does not hold the port.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(if sharing == Sharing::Alone { 1 } else { BACKLOG })?;
        Ok(socket.into())
    };
    socket().map_err(|source| failed(address, "TCP", source))
}

fn new(address: SocketAddr, kind: Type, sharing: Sharing) -> io::Result<Socket> {
    let protocol = if kind == Type::DGRAM { Protocol::UDP } else { Protocol::TCP };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if sharing == Sharing::Workers {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

const fn failed(address: SocketAddr, protocol: &'static str, source: io::Error) -> BindError {
    BindError { address, protocol, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(dns: &[&str]) -> Addresses {
        let dns = dns.iter().map(|address| address.parse().unwrap()).collect();
        Addresses { dns, ..Addresses::default() }
    }

    #[test]
    fn workers_share_the_port_that_the_system_chose_over_udp_and_tcp() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let wanted =
            Addresses { dns: vec![any], tls: vec![any], https: vec![any], quic: vec![any] };
        let bound = bind(&wanted, 3).unwrap();
        let [dns] = bound.addresses.dns[..] else { panic!("one address") };
        assert_ne!(dns.port(), 0);
        assert_eq!(bound.workers.len(), 3);
        for worker in &bound.workers {
            assert_eq!(worker.udp[0].local_addr().unwrap(), dns);
            assert_eq!(worker.tcp[0].local_addr().unwrap(), dns);
            assert_eq!(worker.tls[0].local_addr().unwrap(), bound.addresses.tls[0]);
            assert_eq!(worker.https[0].local_addr().unwrap(), bound.addresses.https[0]);
            assert_eq!(worker.quic[0].local_addr().unwrap(), bound.addresses.quic[0]);
        }
    }

    #[test]
    fn a_port_that_is_taken_over_either_protocol_is_reported() {
        let first = bind(&loopback(&["127.0.0.1:0"]), 2).unwrap();
        let taken = first.addresses.dns[0];
        let error = bind(&Addresses { dns: vec![taken], ..Addresses::default() }, 2).unwrap_err();
        assert_eq!((error.address, error.protocol), (taken, "UDP"));
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);

        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = held.local_addr().unwrap();
        let error = bind(&Addresses { dns: vec![taken], ..Addresses::default() }, 1).unwrap_err();
        assert_eq!((error.address, error.protocol), (taken, "TCP"));
    }

    /// RFC 9715 §3.1.
    #[test]
    fn no_datagram_heeds_a_learned_path_mtu() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let socket = udp(address.parse().unwrap(), Sharing::Workers).unwrap();
            if address.starts_with('[') {
                let set = mtu::ipv6_mtu_discover(&socket).unwrap();
                assert_eq!(set, mtu::Ipv6PathMtuDiscovery::OMIT);
            } else {
                let set = mtu::ip_mtu_discover(&socket).unwrap();
                assert_eq!(set, mtu::Ipv4PathMtuDiscovery::OMIT);
            }
        }
    }

    #[test]
    fn both_families_have_the_same_port_side_by_side() {
        let v4 = bind(&loopback(&["0.0.0.0:0"]), 1).unwrap();
        let port = v4.addresses.dns[0].port();
        let v6 = bind(&loopback(&[&format!("[::]:{port}")]), 1).unwrap();
        assert_eq!(v6.addresses.dns[0].port(), port);
    }
}
