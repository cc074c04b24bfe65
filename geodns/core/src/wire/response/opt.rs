//! The OPT record of a response.
//!
//! In: what the answer says beyond RFC 1035. Out: its bytes at the end of the response.
//! Always holds: options that do not fit are left out whole, the less needed first to go; padding
//! brings the message to a multiple of its block and never past the client's limit.
//!
//! RFC 6891 §6.1, RFC 7830 §3, RFC 8467 §4.1.

use super::{Response, UDP_BYTES_MAX};
use crate::wire::{
    cookie::REPLY_BYTES,
    ecs::Ecs,
    edns::{
        CLIENT_SUBNET, COOKIE, DNSSEC_OK, EXTENDED_ERROR, Edns, ExtendedError, NSID, PADDING,
        VERSION,
    },
    kind::{Rcode, RecordType},
};

/// An OPT record without options.
const FIXED_BYTES: usize = 11;
/// An option without data.
const OPTION_BYTES: usize = 4;
/// What responses are padded to multiples of (RFC 8467 §4.1).
pub(crate) const PADDING_BLOCK_BYTES: u16 = 468;

/// What a response says beyond RFC 1035.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt<'a> {
    /// How large a datagram we can take.
    pub udp_bytes: u16,
    /// DO, repeated (RFC 3225 §3).
    pub dnssec_ok: bool,
    /// The client's network as it came, and for how much of it the answer holds (RFC 7871 §7.2.1).
    pub ecs: Option<(Ecs<'a>, u8)>,
    /// The client's cookie and ours.
    pub cookie: Option<[u8; REPLY_BYTES]>,
    /// Which server this is (RFC 5001).
    pub nsid: Option<&'a [u8]>,
    /// Why the answer is what it is (RFC 8914).
    pub error: Option<ExtendedError<'a>>,
    /// The block that the message is padded to; nothing on transports that hide nothing.
    pub padding_block: Option<u16>,
}

impl<'a> Opt<'a> {
    /// The record that a query with `edns` gets at least: a subnet is always repeated, with scope 0
    /// until something is tailored to it (RFC 7871 §7.2.1).
    #[must_use]
    pub fn reply_to(edns: &Edns<'a>) -> Self {
        Self {
            udp_bytes: UDP_BYTES_MAX,
            dnssec_ok: edns.dnssec_ok,
            ecs: edns.ecs.map(|ecs| (ecs, 0)),
            cookie: None,
            nsid: None,
            error: None,
            padding_block: None,
        }
    }

    /// Pads the response if the query was padded; only for transports that are encrypted
    /// (RFC 7830 §6).
    #[must_use]
    pub fn padded_like(self, edns: &Edns<'_>) -> Self {
        Self { padding_block: edns.padding.then_some(PADDING_BLOCK_BYTES), ..self }
    }

    /// The length of the record that a query gets at least: without what only we may have to say.
    pub(super) fn bytes_min(edns: &Edns<'_>) -> usize {
        let cookie = edns.cookie.map(|_| [0; REPLY_BYTES]);
        Opt { cookie, ..Opt::reply_to(edns) }.bytes()
    }

    /// The length of the record, without padding.
    pub(super) fn bytes(&self) -> usize {
        let option = |data: usize| data.saturating_add(OPTION_BYTES);
        let ecs = self.ecs.map_or(0, |(ecs, _)| option(ecs.data_bytes()));
        let cookie = self.cookie.map_or(0, |_| option(REPLY_BYTES));
        let nsid = self.nsid.map_or(0, |nsid| option(nsid.len()));
        let error = self.error.map_or(0, |error| option(error.text.len().saturating_add(2)));
        [ecs, cookie, nsid, error].into_iter().fold(FIXED_BYTES, usize::saturating_add)
    }
}

impl Response<'_> {
    /// Writes the record; false, if not even its fixed part fits.
    pub(super) fn put_opt(&mut self, rcode: Rcode, opt: &Opt<'_>) -> bool {
        let [_, extended_rcode] = (rcode.code() >> 4).to_be_bytes();
        let [flags_high, flags_low] = if opt.dnssec_ok { DNSSEC_OK } else { 0 }.to_be_bytes();
        let [type_high, type_low] = RecordType::OPT.0.to_be_bytes();
        let [size_high, size_low] = opt.udp_bytes.to_be_bytes();
        let fixed: [u8; FIXED_BYTES] = [
            0,
            type_high,
            type_low,
            size_high,
            size_low,
            extended_rcode,
            VERSION,
            flags_high,
            flags_low,
            0,
            0,
        ];
        if !self.put(&fixed) {
            return false;
        }
        let start = self.at;
        if let Some((ecs, scope)) = opt.ecs {
            self.put_option(CLIENT_SUBNET, &[&ecs.fixed(scope), ecs.address_bytes()]);
        }
        if let Some(cookie) = &opt.cookie {
            self.put_option(COOKIE, &[cookie]);
        }
        if let Some(nsid) = opt.nsid {
            self.put_option(NSID, &[nsid]);
        }
        if let Some(error) = opt.error {
            self.put_option(
                EXTENDED_ERROR,
                &[&error.code.code().to_be_bytes(), error.text.as_bytes()],
            );
        }
        if let Some(block) = opt.padding_block {
            self.put_padding(block);
        }
        let length = u16::try_from(self.at.saturating_sub(start)).unwrap_or(u16::MAX);
        let length_at = start.saturating_sub(2);
        if let Some(bytes) = self.buffer.get_mut(length_at..).and_then(<[u8]>::first_chunk_mut) {
            *bytes = length.to_be_bytes();
        }
        true
    }

    /// Writes an option if all of it fits.
    fn put_option(&mut self, code: u16, data: &[&[u8]]) {
        let before = self.at;
        let length = data.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let Ok(length) = u16::try_from(length) else { return };
        let written = self.put(&code.to_be_bytes())
            && self.put(&length.to_be_bytes())
            && data.iter().all(|part| self.put(part));
        if !written {
            self.at = before;
        }
    }

    /// Fills the message with zeros to a multiple of `block`, or to the limit if that comes first.
    fn put_padding(&mut self, block: u16) {
        let unpadded = self.at.saturating_add(OPTION_BYTES);
        let full = unpadded.checked_next_multiple_of(block.into()).unwrap_or(unpadded);
        let padding = full.min(self.bytes_max).checked_sub(unpadded);
        let Some(length) = padding.and_then(|padding| u16::try_from(padding).ok()) else { return };
        if self.put(&PADDING.to_be_bytes()) && self.put(&length.to_be_bytes()) {
            let end = self.at.saturating_add(length.into());
            if let Some(zeros) = self.buffer.get_mut(self.at..end) {
                zeros.fill(0);
                self.at = end;
            }
        }
    }
}
