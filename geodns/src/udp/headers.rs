//! Room for what the system wants beside the datagrams of a batch.
//!
//! In: a family, and which address responses leave from. Out: nix's headers, to receive into and to
//! send from. Always holds: headers that send more than one message at once have received as many.
//!
//! nix tells how many messages a call has sent only to who walks over them, and the walk reads the
//! address that each came from (nix 0.31, `MultiResults::next`), which nobody has ever written in
//! headers that were only sent from. So headers to send from receive a whole batch first, on a
//! socket of their own that sends to itself. Where that cannot be had, messages are sent one by one,
//! and nobody needs to count them.

use std::{
    io::{IoSlice, IoSliceMut},
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd as _, RawFd},
};

use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, recvmmsg, sendmmsg};

use super::{BATCH, RepliesFrom, WAKE, family::Family};
use crate::listen::{self, Sharing};

/// Headers to receive into.
pub(super) fn to_receive<F: Family>(from: RepliesFrom) -> MultiHeaders<F::Name> {
    MultiHeaders::preallocate(BATCH, (from == RepliesFrom::Asked).then(F::room))
}

/// Headers to send from.
pub(super) struct ToSend<F: Family> {
    headers: MultiHeaders<F::Name>,
    /// Messages of one call.
    at_once: usize,
}

impl<F: Family> ToSend<F> {
    pub(super) fn new(from: RepliesFrom) -> Self {
        Self::received(from).unwrap_or_else(|| {
            tracing::warn!("no datagrams over loopback: responses are sent one by one");
            Self::one_by_one(from)
        })
    }

    /// Headers that send a batch at once.
    fn received(from: RepliesFrom) -> Option<Self> {
        let socket = to_itself::<F>(from)?;
        for _ in 0..BATCH {
            socket.send(&[0]).ok()?;
        }
        let mut headers = to_receive::<F>(from);
        let mut buffers = [[0; 1]; BATCH];
        let mut slices = buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let fd = socket.as_raw_fd();
        let received = recvmmsg(fd, &mut headers, slices.iter_mut(), MsgFlags::empty(), None);
        // Room for an address that the system did not use would be gone: it shortens it.
        let is_whole = |message: &nix::sys::socket::RecvMsg<'_, '_, F::Name>| match from {
            RepliesFrom::Socket => true,
            RepliesFrom::Asked => {
                message.cmsgs().is_ok_and(|mut all| all.find_map(F::asked).is_some())
            }
        };
        let whole = received.ok()?.filter(is_whole).count();
        (whole == BATCH).then_some(Self { headers, at_once: BATCH })
    }

    pub(super) fn one_by_one(from: RepliesFrom) -> Self {
        Self { headers: to_receive::<F>(from), at_once: 1 }
    }

    /// Sends the first messages, all from the same address, and says how many.
    pub(super) fn send(
        &mut self,
        socket: RawFd,
        slices: &[[IoSlice<'_>; 1]],
        names: &[Option<F::Name>],
        control: &[ControlMessage<'_>],
    ) -> nix::Result<usize> {
        let slices = slices.get(..self.at_once).unwrap_or(slices);
        let flags = MsgFlags::empty();
        let sent = sendmmsg(socket, &mut self.headers, slices, names, control, flags)?;
        Ok(if self.at_once == 1 { 1 } else { sent.count() })
    }
}

/// A socket that hears only itself, and is told the address that was asked where responses are to
/// leave from that.
fn to_itself<F: Family>(from: RepliesFrom) -> Option<UdpSocket> {
    let own: IpAddr = F::LOOPBACK;
    let bound = if from == RepliesFrom::Asked { F::ANY } else { own };
    let socket = listen::udp(SocketAddr::new(bound, 0), Sharing::Alone).ok()?;
    let port = socket.local_addr().ok()?.port();
    socket.connect(SocketAddr::new(own, port)).ok()?;
    socket.set_read_timeout(Some(WAKE)).ok()?;
    Some(socket)
}

#[cfg(test)]
mod tests {
    use super::{
        super::family::{V4, V6},
        *,
    };

    #[test]
    fn headers_that_send_a_batch_have_received_one() {
        for from in [RepliesFrom::Socket, RepliesFrom::Asked] {
            assert_eq!(ToSend::<V4>::new(from).at_once, BATCH);
            assert_eq!(ToSend::<V6>::new(from).at_once, BATCH);
        }
    }
}
