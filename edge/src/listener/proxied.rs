//! Who a connection comes from, as a trusted balancer says in front of it (the PROXY protocol).
//!
//! In: a connection to a listener that expects the header, and whose balancers are trusted. Out:
//! the client's address, or nothing, and then the connection is closed.
//! Always holds: a stranger is never asked and never believed; not one byte behind the header is
//! read; a header is whole, in time and no longer than [`HEADER_BYTES_MAX`], or there is no
//! connection: what cannot be read one way only is not guessed at.
//! It knows no HTTP: what a balancer says in fields is believed or not by who the client is.
//!
//! The specification is HAProxy's, "The PROXY protocol, versions 1 & 2".

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use nearcast_daemon::drain::Draining;
use ppp::{v1, v2};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::{Instant, sleep_until},
};

/// The longest header that is read, addresses and all that a balancer may add to them.
const HEADER_BYTES_MAX: usize = 2048;
/// The longest header of version 1, as its specification says.
const LINE_BYTES_MAX: usize = 107;
/// Version 2, and a balancer that speaks for itself.
const LOCAL: u8 = 0x20;
/// What version 2 begins with, and no version 1 is as short.
const SIGNATURE_BYTES: usize = v2::PROTOCOL_PREFIX.len();

/// Reads the header: who the client is. Where the balancer speaks for itself (a check of its own),
/// that is `peer`.
///
/// # Errors
/// When it is none, is longer than it may be, or the connection ends.
pub(crate) async fn client<S>(stream: &mut S, peer: SocketAddr) -> io::Result<SocketAddr>
where
    S: AsyncRead + Unpin,
{
    let mut header = vec![0; SIGNATURE_BYTES];
    stream.read_exact(&mut header).await?;
    if header == v2::PROTOCOL_PREFIX {
        binary(stream, header, peer).await
    } else if header.starts_with(v1::PROTOCOL_PREFIX.as_bytes()) {
        line(stream, header, peer).await
    } else {
        Err(wrong("no header of the PROXY protocol"))
    }
}

/// The same within `limit`, and within `grace` once the process drains; nothing where that ended it.
///
/// # Errors
/// When it is none, did not come in time, or the connection ends.
pub(crate) async fn in_time<S>(
    stream: &mut S,
    peer: SocketAddr,
    (limit, grace): (Duration, Duration),
    draining: &Draining,
) -> io::Result<Option<SocketAddr>>
where
    S: AsyncRead + Unpin,
{
    let limit = Instant::now() + limit;
    let drained = async {
        draining.started().await;
        sleep_until(Instant::now() + grace).await;
    };
    tokio::select! {
        biased;
        read = client(stream, peer) => read.map(Some),
        () = sleep_until(limit) => Err(wrong("it did not come in time")),
        () = drained => Ok(None),
    }
}

async fn binary<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut header: Vec<u8>,
    peer: SocketAddr,
) -> io::Result<SocketAddr> {
    let mut fixed = [0; 4];
    stream.read_exact(&mut fixed).await?;
    let [version_and_command, _, high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > HEADER_BYTES_MAX {
        return Err(wrong("a header that is too long"));
    }
    header.extend(fixed);
    let begin = header.len();
    header.resize(begin + length, 0);
    stream.read_exact(header.get_mut(begin..).unwrap_or_default()).await?;
    if version_and_command == LOCAL {
        // Of its own accord: family, addresses and all else are to be discarded (§2.2).
        return Ok(peer);
    }
    let read = v2::Header::try_from(&*header).map_err(|error| wrong(&error.to_string()))?;
    if read.tlvs().any(|one| one.is_err()) {
        return Err(wrong("something behind the addresses that is not whole"));
    }
    match (read.protocol, read.addresses) {
        (v2::Protocol::Stream, v2::Addresses::IPv4(of)) => {
            Ok(known((of.source_address, of.source_port), peer))
        }
        (v2::Protocol::Stream, v2::Addresses::IPv6(of)) => {
            Ok(known((of.source_address, of.source_port), peer))
        }
        (v2::Protocol::Unspecified, v2::Addresses::Unspecified) => Ok(peer),
        _ => Err(wrong("a client that did not come over TCP")),
    }
}

async fn line<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut header: Vec<u8>,
    peer: SocketAddr,
) -> io::Result<SocketAddr> {
    // One at a time: what comes behind the line is not ours.
    while !header.ends_with(b"\n") {
        if header.len() >= LINE_BYTES_MAX {
            return Err(wrong("a line that is too long"));
        }
        header.push(stream.read_u8().await?);
    }
    let read = v1::Header::try_from(&*header).map_err(|error| wrong(&error.to_string()))?;
    if read.header.len() != header.len() {
        return Err(wrong("a line with more than a header"));
    }
    if !matches!(read.addresses, v1::Addresses::Unknown) && !has_plain_ports(&header) {
        return Err(wrong("a port that is no plain number"));
    }
    match read.addresses {
        v1::Addresses::Tcp4(of) => Ok(known((of.source_address, of.source_port), peer)),
        v1::Addresses::Tcp6(of) => Ok(known((of.source_address, of.source_port), peer)),
        v1::Addresses::Unknown => Ok(peer),
    }
}

/// Whether the ports of a line are digits and nothing else (§2.1): a sign would be read as well.
fn has_plain_ports(line: &[u8]) -> bool {
    let ports = line.trim_ascii_end().split(|byte| *byte == b' ').skip(4);
    ports.flatten().all(u8::is_ascii_digit)
}

/// The address that the header says; one that nobody can have says nothing.
fn known((ip, port): (impl Into<IpAddr>, u16), peer: SocketAddr) -> SocketAddr {
    let ip: IpAddr = ip.into();
    if ip.is_unspecified() { peer } else { SocketAddr::new(ip.to_canonical(), port) }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "192.0.2.9:9";

    /// What comes of these bytes, and what is left behind them.
    async fn read(bytes: &[u8]) -> (Option<String>, Vec<u8>) {
        let mut stream = bytes;
        let read = client(&mut stream, PEER.parse().unwrap()).await;
        (read.ok().map(|client| client.to_string()), stream.to_vec())
    }

    fn v2(command: u8, family: u8, length: u16, rest: &[u8]) -> Vec<u8> {
        let mut bytes = v2::PROTOCOL_PREFIX.to_vec();
        bytes.extend([command, family]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    #[tokio::test]
    async fn lines_are_read_strictly_and_nothing_behind_them() {
        let rows: [(&str, Option<&str>); 22] = [
            ("PROXY TCP4 198.51.100.1 192.0.2.2 65535 80\r\n", Some("198.51.100.1:65535")),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 1 80\r\n", Some("[2001:db8::1]:1")),
            ("PROXY TCP6 ::ffff:198.51.100.1 ::1 1 80\r\n", Some("198.51.100.1:1")),
            ("PROXY UNKNOWN\r\n", Some(PEER)),
            ("PROXY UNKNOWN 1 2 3 4\r\n", Some(PEER)),
            ("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", Some(PEER)),
            ("PROXYTCP4 198.51.100.1 192.0.2.2 1 80\r\n", None),
            ("PROXY  TCP4 198.51.100.1 192.0.2.2 1 80\r\n", None),
            ("PROXY TCP4 198.51.100.1 192.0.2.2 1 80\n", None),
            ("PROXY TCP4 198.51.100.1 192.0.2.2 01 80\r\n", None),
            ("PROXY TCP4 198.51.100.1 192.0.2.2 1 080\r\n", None),
            ("PROXY TCP4 198.51.100.1 192.0.2.2 +1 80\r\n", None),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 1 +80\r\n", None),
            ("PROXY TCP4 198.51.100.1 192.0.2.2 -1 80\r\n", None),
            ("PROXY TCP4 198.051.100.1 192.0.2.2 1 80\r\n", None),
            ("PROXY TCP6 fe80::1%eth0 ::1 1 80\r\n", None),
            ("PROXY TCP4 198.51.100.1 192.0.2.2 65536 80\r\n", None),
            ("PROXY TCP4 198.51.100.1 192.0.2.2 1\r\n", None),
            ("PROXY TCP4 198.51.100.1 192.0.2.2 1 80 \r\n", None),
            ("PROXY TCP4 2001:db8::1 192.0.2.2 1 80\r\n", None),
            ("PROXY TCP4 a.example 192.0.2.2 1 80\r\n", None),
            ("GET / HTTP/1.1\r\n\r\n", None),
        ];
        for (line, client) in rows {
            let (read, left) = read(format!("{line}GET /").as_bytes()).await;
            assert_eq!(read.as_deref(), client, "{line}");
            if client.is_some() {
                assert_eq!(left, b"GET /", "{line}");
            }
        }
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(1000));
        assert_eq!(read(endless.as_bytes()).await.0, None);
    }

    #[tokio::test]
    async fn headers_are_read_strictly_and_nothing_behind_them() {
        let v4: &[u8] = &[198, 51, 100, 1, 192, 0, 2, 2, 0x10, 0, 0, 80];
        let mut v6 = [0; 36];
        (v6[0], v6[1], v6[15], v6[33]) = (0x20, 1, 1, 7);
        let tlv = [v4, &[4, 0, 2, 0, 0]].concat();
        let behind = |more: &[u8]| {
            let rest = [v4, more].concat();
            v2(0x21, 0x11, u16::try_from(rest.len()).unwrap(), &rest)
        };
        let rows: [(&str, Vec<u8>, Option<&str>); 19] = [
            ("IPv4", v2(0x21, 0x11, 12, v4), Some("198.51.100.1:4096")),
            ("IPv6", v2(0x21, 0x21, 36, &v6), Some("[2001::1]:7")),
            ("with a TLV", v2(0x21, 0x11, 17, &tlv), Some("198.51.100.1:4096")),
            ("LOCAL", v2(0x20, 0, 0, &[]), Some(PEER)),
            ("LOCAL with addresses", v2(0x20, 0x11, 12, v4), Some(PEER)),
            ("LOCAL of Unix", v2(0x20, 0x31, 0, &[]), Some(PEER)),
            ("LOCAL of no known family", v2(0x20, 0x4f, 3, b"abc"), Some(PEER)),
            ("LOCAL too short for its family", v2(0x20, 0x11, 0, &[]), Some(PEER)),
            ("LOCAL with half a TLV", v2(0x20, 0, 1, &[4]), Some(PEER)),
            ("LOCAL of version 3", v2(0x30, 0, 0, &[]), None),
            ("half a TLV", behind(&[4]), None),
            ("a TLV that is cut short", behind(&[4, 0, 2, 0]), None),
            ("a TLV longer than all", behind(&[4, 0xff, 0xff, 0]), None),
            ("unspecified with bytes", v2(0x21, 0, 3, b"abc"), Some(PEER)),
            ("unspecified", v2(0x21, 0, 0, &[]), Some(PEER)),
            ("UDP", v2(0x21, 0x12, 12, v4), None),
            ("version 3", v2(0x31, 0x11, 12, v4), None),
            ("no such command", v2(0x22, 0x11, 12, v4), None),
            ("too short for its family", v2(0x21, 0x11, 4, &v4[..4]), None),
        ];
        for (name, bytes, client) in rows {
            let (read, left) = read(&[&bytes, b"GET /" as &[u8]].concat()).await;
            assert_eq!(read.as_deref(), client, "{name}");
            if client.is_some() {
                assert_eq!(left, b"GET /", "{name}");
            }
        }
        let long = vec![0; 65_535];
        assert_eq!(read(&v2(0x21, 0x11, 65_535, &long)).await.0, None);
        assert_eq!(read(&v2(0x21, 0x11, 12, &v4[..5])).await.0, None, "it ends in the middle");
    }

    /// Who says nothing holds a drain no longer than a client does.
    #[tokio::test(start_paused = true)]
    async fn a_header_has_its_time_and_a_grace_in_a_drain() {
        let (limit, grace) = (Duration::from_secs(10), Duration::from_secs(2));
        for sent in ["", "PROXY TCP4 1.2."] {
            for drains in [false, true] {
                let (mut balancer, mut stream) = tokio::io::duplex(64);
                tokio::io::AsyncWriteExt::write_all(&mut balancer, sent.as_bytes()).await.unwrap();
                let (drain, draining) = nearcast_daemon::drain::drain();
                if drains {
                    drain.start();
                }
                let began = Instant::now();
                let peer = PEER.parse().unwrap();
                let read = in_time(&mut stream, peer, (limit, grace), &draining).await;
                assert_eq!(read.ok(), drains.then_some(None), "{sent:?}, draining: {drains}");
                assert_eq!(began.elapsed(), if drains { grace } else { limit });
            }
        }
    }
}
