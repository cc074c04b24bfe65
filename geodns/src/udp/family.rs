//! What IPv4 and IPv6 differ in: names of peers, and how the address that was asked is told.
//!
//! In: what the system says beside a datagram. Out: what it wants to hear beside the response.
//! Always holds: a response to a link-local address leaves through the interface that the query came
//! by, and every other one through whichever leads there.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use nix::{
    cmsg_space, libc,
    sys::socket::{ControlMessage, ControlMessageOwned, SockaddrIn, SockaddrIn6, SockaddrLike},
};

/// A family of addresses.
pub(super) trait Family {
    /// A peer, as the system names it.
    type Name: SockaddrLike + Copy + fmt::Debug;
    /// The address that was asked.
    type Asked: Copy + PartialEq;
    /// The same, as the system wants it.
    type Control;

    /// The address of this machine itself.
    const LOOPBACK: IpAddr;
    /// Every address of this machine.
    const ANY: IpAddr;

    /// Room for the address that was asked.
    fn room() -> Vec<u8>;
    /// The peer.
    fn client(name: &Self::Name) -> SocketAddr;
    /// The address that was asked, if this says it.
    fn asked(control: ControlMessageOwned) -> Option<Self::Asked>;
    /// What sends from that address.
    fn control(asked: Self::Asked) -> Self::Control;
    /// The message that carries it.
    fn message(control: &Self::Control) -> ControlMessage<'_>;
}

/// IPv4.
pub(super) enum V4 {}

/// IPv6.
pub(super) enum V6 {}

impl Family for V4 {
    type Name = SockaddrIn;
    type Asked = u32;
    type Control = libc::in_pktinfo;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    fn room() -> Vec<u8> {
        cmsg_space!(libc::in_pktinfo)
    }

    fn client(name: &Self::Name) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(name.ip()), name.port())
    }

    fn asked(control: ControlMessageOwned) -> Option<Self::Asked> {
        match control {
            // The address of ours that it came to, also where it was sent to all of a network.
            ControlMessageOwned::Ipv4PacketInfo(asked) => Some(asked.ipi_spec_dst.s_addr),
            _ => None,
        }
    }

    fn control(asked: Self::Asked) -> Self::Control {
        let nowhere = libc::in_addr { s_addr: 0 };
        let ipi_spec_dst = libc::in_addr { s_addr: asked };
        libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr: nowhere }
    }

    fn message(control: &Self::Control) -> ControlMessage<'_> {
        ControlMessage::Ipv4PacketInfo(control)
    }
}

impl Family for V6 {
    type Name = SockaddrIn6;
    type Asked = ([u8; 16], libc::c_uint);
    type Control = libc::in6_pktinfo;

    const LOOPBACK: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
    const ANY: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

    fn room() -> Vec<u8> {
        cmsg_space!(libc::in6_pktinfo)
    }

    fn client(name: &Self::Name) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(name.ip()), name.port())
    }

    fn asked(control: ControlMessageOwned) -> Option<Self::Asked> {
        match control {
            ControlMessageOwned::Ipv6PacketInfo(asked) => {
                let address = asked.ipi6_addr.s6_addr;
                let near = Ipv6Addr::from(address).is_unicast_link_local();
                Some((address, if near { asked.ipi6_ifindex } else { 0 }))
            }
            _ => None,
        }
    }

    fn control((address, ipi6_ifindex): Self::Asked) -> Self::Control {
        libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: address }, ipi6_ifindex }
    }

    fn message(control: &Self::Control) -> ControlMessage<'_> {
        ControlMessage::Ipv6PacketInfo(control)
    }
}
