//! Packets to a running server over UDP: it answers what it should all the while.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Failed, Tally,
    packets::{Packets, plain},
};

/// Sockets that packets are sent from, so that all of the server's workers get some.
const SOCKETS: u64 = 16;
/// Packets between two queries that have to be answered, fewer than a socket's queue holds.
const BURST: u64 = 32;
/// A datagram may be lost where a queue is full; so many in a row are not.
const TRIES: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(1);

/// Sends so many packets to a server, whose process is watched.
///
/// # Errors
/// When it does not answer a plain query any more, or its memory grows.
pub fn run(server: SocketAddr, process: u32, packets: u64, seed: u64) -> Result<Tally, Failed> {
    let sockets = (0..SOCKETS).map(|_| connect(server)).collect::<io::Result<Vec<_>>>()?;
    let mut source = Packets::new(seed);
    let mut tally = Tally::default();
    let mut sent = 0;
    for (turn, socket) in sockets.iter().cycle().enumerate() {
        for _ in 0..BURST.min(packets - sent) {
            // What the kernel refuses is nobody's fault but the packet's: an empty one, say.
            let _refused = socket.send(source.next());
            sent += 1;
            tally.tenth(sent, packets, Some(process))?;
        }
        tally.taken += prove(socket, turn).map_err(|error| {
            format!("after {sent} packets of seed {seed} it does not answer: {error}")
        })?;
        if sent == packets {
            break;
        }
    }
    tally.end(Some(process))
}

fn connect(server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Asks a plain query and waits for its answer; how many responses came until then.
fn prove(socket: &UdpSocket, turn: usize) -> io::Result<u64> {
    let [.., high, low] = turn.to_be_bytes();
    let query = plain("www.cdn.test", u16::from_be_bytes([high, low]));
    let mut response = [0; 4096];
    let mut responses = 0;
    let mut failure = io::Error::from(io::ErrorKind::TimedOut);
    for _ in 0..TRIES {
        socket.send(&query)?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            match socket.recv(&mut response) {
                Ok(length) => {
                    responses += 1;
                    let response = response.get(..length).unwrap_or_default();
                    if is_answer(response, &query) {
                        return Ok(responses);
                    }
                }
                Err(error) => {
                    failure = error;
                    break;
                }
            }
        }
    }
    Err(failure)
}

/// Whether this is NOERROR with answers to that query.
fn is_answer(response: &[u8], query: &[u8]) -> bool {
    let question = response.get(12..query.len());
    response.get(..2) == query.get(..2)
        && question == query.get(12..)
        && response.get(3).is_some_and(|byte| byte & 0x0f == 0)
        && response.get(6..8).is_some_and(|count| count != [0, 0])
}
