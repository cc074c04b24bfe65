//! DNS over UDP: one blocking loop per socket, on a thread of its own.
//!
//! In: a socket, and [`Respond`], which makes a response of a query. Out: responses, each from the
//! address that was asked (RFC 1035 §4.2.1; RFC 2181 §4.1), in batches. Always holds: a datagram that came in whole is
//! offered once; one that was cut, on the way in or in what tells its address, is dropped and
//! counted; a response that cannot be sent costs itself alone; the loop wakes up [`WAKE`] after the
//! last datagram at the latest, to let go of a retired view; when the end has begun, what waits in the socket is answered
//! before the loop ends.
//! It deliberately does not know what a query says.
//!
//! Hot path: two system calls for up to [`BATCH`] queries; no await, no lock, no allocation (nix
//! keeps the headers; `tests/allocation.rs` of this package counts).

mod family;
mod headers;

use std::{
    io::{IoSlice, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    os::fd::{AsRawFd, RawFd},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, MultiHeaders, recvmmsg},
};

use self::{
    family::{Family, V4, V6},
    headers::{ToSend, to_receive},
};
use crate::listen::{self, BindError, Sharing};

/// Datagrams that are taken at once.
pub const BATCH: usize = 32;
/// The longest time between two looks around.
pub const WAKE: Duration = Duration::from_millis(100);
/// The longest datagram that is taken or sent: what an Ethernet frame carries. That is an odd number
/// of cache lines, so that the headers of a batch do not all fall into the same sets.
pub const DATAGRAM_BYTES: usize = 1472;
/// Datagrams that are answered at most once the end has begun: more than the queue can hold, so that
/// a flood cannot put the end off.
const QUEUE_MAX: usize = 16_384;
/// How long a full interface is waited for.
const SEND_TIMEOUT: Duration = Duration::from_millis(100);
/// The pause after the system refused to receive, so that the loop does not spin.
const FAILED_PAUSE: Duration = Duration::from_millis(10);

/// Why a datagram or its response went nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It comes from port 0, which nothing can be sent to.
    NoPort,
    /// It is longer than [`DATAGRAM_BYTES`].
    TooLong,
    /// The system did not say which address it was sent to.
    NoAddress,
    /// The system did not take the response.
    NotSent,
    /// The system did not hand over what it had.
    NotReceived,
}

/// Makes responses, and is told what the loop sees.
pub trait Respond {
    /// A batch begins.
    fn begin(&mut self);
    /// Writes the response to `query` into `out` and says how long it is; nothing for none.
    fn respond(&mut self, query: &[u8], client: SocketAddr, out: &mut [u8]) -> Option<usize>;
    /// A datagram was lost.
    fn lost(&mut self, why: Lost);
    /// Nothing came for [`WAKE`].
    fn idle(&mut self);
    /// Whether the end has begun.
    fn is_ending(&self) -> bool;
}

/// Serves `socket` until the end has begun and its queue is empty.
///
/// # Errors
/// When the socket cannot be prepared.
pub fn serve(socket: &UdpSocket, desk: &mut impl Respond) -> std::io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(WAKE))?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    let address = socket.local_addr()?;
    let replies_from =
        if address.ip().is_unspecified() { RepliesFrom::Asked } else { RepliesFrom::Socket };
    match address {
        SocketAddr::V4(_) => Loop::<V4>::new(socket, replies_from).run(desk),
        SocketAddr::V6(_) => Loop::<V6>::new(socket, replies_from).run(desk),
    }
    Ok(())
}

/// A socket for [`serve`] that nobody else has, for who serves one alone.
///
/// # Errors
/// The address cannot be had.
pub fn socket(address: SocketAddr) -> Result<UdpSocket, BindError> {
    listen::udp(address, Sharing::Alone)
}

/// Which address responses leave from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RepliesFrom {
    /// The only one that the socket has.
    Socket,
    /// Whichever was asked.
    Asked,
}

/// What came of a look into the socket.
enum Came {
    Datagrams(usize),
    Nothing,
    Failed,
}

type Buffers = Box<[[u8; DATAGRAM_BYTES]; BATCH]>;

struct Loop<F: Family> {
    socket: RawFd,
    from: RepliesFrom,
    buffers: Buffers,
    headers: MultiHeaders<F::Name>,
    replies: Replies<F>,
}

/// The responses of a batch.
struct Replies<F: Family> {
    buffers: Buffers,
    count: usize,
    lengths: [usize; BATCH],
    names: [Option<F::Name>; BATCH],
    asked: [Option<F::Asked>; BATCH],
    headers: ToSend<F>,
}

impl<F: Family> Loop<F> {
    fn new(socket: &UdpSocket, from: RepliesFrom) -> Self {
        Self {
            socket: socket.as_raw_fd(),
            from,
            buffers: Box::new([[0; DATAGRAM_BYTES]; BATCH]),
            headers: to_receive::<F>(from),
            replies: Replies {
                buffers: Box::new([[0; DATAGRAM_BYTES]; BATCH]),
                count: 0,
                lengths: [0; BATCH],
                names: [None; BATCH],
                asked: [None; BATCH],
                headers: ToSend::new(from),
            },
        }
    }

    fn run(mut self, desk: &mut impl Respond) {
        while !desk.is_ending() {
            match self.turn(desk, MsgFlags::MSG_WAITFORONE) {
                Came::Datagrams(_) => {}
                Came::Nothing => desk.idle(),
                Came::Failed => thread::park_timeout(FAILED_PAUSE),
            }
        }
        let mut left = QUEUE_MAX;
        while left > 0 {
            match self.turn(desk, MsgFlags::MSG_DONTWAIT) {
                Came::Datagrams(count) => left = left.saturating_sub(count.max(1)),
                Came::Nothing | Came::Failed => return,
            }
        }
    }

    /// Receives a batch, answers it and sends the responses.
    fn turn(&mut self, desk: &mut impl Respond, flags: MsgFlags) -> Came {
        let mut slices = self.buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let received = recvmmsg(self.socket, &mut self.headers, slices.iter_mut(), flags, None);
        let messages = match received {
            Ok(messages) => messages,
            Err(Errno::EAGAIN | Errno::EINTR) => return Came::Nothing,
            Err(_) => {
                desk.lost(Lost::NotReceived);
                return Came::Failed;
            }
        };
        let replies = &mut self.replies;
        replies.count = 0;
        let (mut count, mut unaddressed) = (0, false);
        desk.begin();
        for message in messages {
            count += 1;
            if message.flags.contains(MsgFlags::MSG_TRUNC) {
                desk.lost(Lost::TooLong);
                continue;
            }
            let asked = match self.from {
                RepliesFrom::Socket => None,
                RepliesFrom::Asked => {
                    message.cmsgs().ok().and_then(|mut all| all.find_map(F::asked))
                }
            };
            if asked.is_none() && self.from == RepliesFrom::Asked {
                unaddressed = true;
                desk.lost(Lost::NoAddress);
                continue;
            }
            let Some(name) = message.address else { continue };
            let client = F::client(&name);
            if client.port() == 0 {
                desk.lost(Lost::NoPort);
                continue;
            }
            let query = message.iovs().next().unwrap_or_default();
            if let Some(length) = desk.respond(query, client, replies.buffer()) {
                replies.push(length, name, asked);
            }
        }
        if unaddressed {
            // The system has shortened the room for addresses to what it used; nix keeps it so.
            self.headers = to_receive::<F>(self.from);
        }
        replies.send(self.socket, desk);
        Came::Datagrams(count)
    }
}

impl<F: Family> Replies<F> {
    /// Where the next response goes. Each is for a datagram of one batch, so there is room.
    fn buffer(&mut self) -> &mut [u8] {
        self.buffers.get_mut(self.count).map_or(&mut [], |buffer| &mut buffer[..])
    }

    fn push(&mut self, length: usize, name: F::Name, asked: Option<F::Asked>) {
        let at = self.count;
        let places = (self.lengths.get_mut(at), self.names.get_mut(at), self.asked.get_mut(at));
        if let (Some(to_length), Some(to_name), Some(to_asked)) = places {
            (*to_length, *to_name, *to_asked) = (length, Some(name), asked);
            self.count += 1;
        }
    }

    /// Sends all, those from one address together: nix keeps one control list for a whole call.
    fn send(&mut self, socket: RawFd, desk: &mut impl Respond) {
        let Self { buffers, count, lengths, names, asked, headers } = self;
        let mut bytes = buffers.iter().zip(lengths.iter());
        let slices: [[IoSlice<'_>; 1]; BATCH] = std::array::from_fn(|at| {
            let next = if at < *count { bytes.next() } else { None };
            let bytes = next.and_then(|(buffer, &length)| buffer.get(..length));
            [IoSlice::new(bytes.unwrap_or_default())]
        });
        let mut at = 0;
        while let Some(&from) = asked.get(..*count).and_then(|asked| asked.get(at)) {
            let rest = asked.get(at..*count).unwrap_or_default();
            let end = at + rest.iter().take_while(|&&asked| asked == from).count();
            while at < end {
                let (Some(slices), Some(names)) = (slices.get(at..end), names.get(at..end)) else {
                    return;
                };
                let sent = match from.map(F::control) {
                    None => headers.send(socket, slices, names, &[]),
                    Some(control) => headers.send(socket, slices, names, &[F::message(&control)]),
                };
                match sent {
                    Ok(sent) => at += sent.max(1),
                    Err(Errno::EINTR) => {}
                    Err(_) => {
                        // It is the first one's fault, and those behind it wait.
                        desk.lost(Lost::NotSent);
                        at += 1;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
