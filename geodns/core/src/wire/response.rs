//! A response, written into the caller's buffer.
//!
//! In: a query, sets of records for the sections in their order, and at the end the response code
//! and what the OPT record says. Out: the length of the message. Always holds: the question goes
//! back byte for byte, in the case that the client chose; what does not fit into the client's and
//! our own limit is no answer at all but TC (never a part of a set, RFC 2181 §9), except for
//! additional records that nobody needs, which are left out; an answer has an OPT record exactly if
//! the query had one (RFC 6891 §6.1.1).
//! It deliberately does not know where the records come from.
//!
//! RFC 1035 §4.1, RFC 6891 §6.2, RFC 7830, RFC 8467 §4.1, RFC 9471. Hot path: no allocation.

mod made;
mod names;
mod opt;
#[cfg(test)]
mod tests;

pub use self::{
    made::{Made, RecordData},
    opt::Opt,
};

use self::names::Targets;
use super::{
    edns::{Edns, UDP_BYTES_MIN},
    header::{AUTHORITATIVE, HEADER_BYTES, TRUNCATED},
    kind::{Rcode, RecordType},
    name::NameRef,
    query::Query,
    rrset::{FIXED_BYTES, Rrset, TTL_AT},
};

/// The largest datagram that the network carries in one piece nearly everywhere, and so the usual
/// limit of our own (DNS Flag Day 2020; RFC 6891 §6.2.5).
pub const UDP_BYTES_MAX: u16 = 1232;
/// What the length in front of a message on a stream can say (RFC 1035 §4.2.2).
pub const STREAM_BYTES_MAX: u16 = u16::MAX;

/// What carries the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A datagram of at most so many bytes, whatever its client could take.
    Datagram {
        /// The server's own limit.
        bytes_max: u16,
    },
    /// A stream, a session or a connection, where only the message format has a limit.
    Stream,
}

impl Carrier {
    /// How long a response to this query may be.
    #[must_use]
    pub fn bytes_max(self, edns: Option<&Edns<'_>>) -> usize {
        match self {
            Self::Datagram { bytes_max } => {
                let client = edns.map_or(UDP_BYTES_MIN, Edns::udp_bytes);
                client.min(bytes_max.max(UDP_BYTES_MIN)).into()
            }
            Self::Stream => STREAM_BYTES_MAX.into(),
        }
    }
}

/// Whose records are written.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// The name that was asked for.
    Question,
    /// Another one.
    Name(NameRef<'a>),
}

/// The sections of a response, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who knows, or that nobody does.
    Authority,
    /// What is needed to go on.
    Additional,
}

/// A response that is being written.
#[derive(Debug)]
pub struct Response<'b> {
    buffer: &'b mut [u8],
    at: usize,
    bytes_max: usize,
    /// What the OPT record will take at least, so that records nobody needs leave room for it.
    opt_bytes_min: usize,
    question_end: usize,
    id: u16,
    flags: u16,
    questions: u16,
    answers: u16,
    authorities: u16,
    additionals: u16,
    section: Section,
    truncated: bool,
    /// Where records begin that may be left out, and how many additional ones stand before them.
    optional_from: Option<(usize, u16)>,
    targets: Targets,
}

/// A response that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its length in the buffer.
    pub bytes: usize,
    /// Whether it is empty, with TC.
    pub truncated: bool,
}

impl<'b> Response<'b> {
    /// Begins a response in `buffer`; nothing, if not even header and question fit.
    #[must_use]
    pub fn begin(buffer: &'b mut [u8], query: &Query<'_>, carrier: Carrier) -> Option<Self> {
        let bytes_max = carrier.bytes_max(query.edns.as_ref()).min(buffer.len());
        let mut response = Self {
            buffer,
            at: HEADER_BYTES,
            bytes_max,
            opt_bytes_min: query.edns.map_or(0, |edns| Opt::bytes_min(&edns)),
            question_end: HEADER_BYTES,
            id: query.header.id,
            flags: query.header.response_flags(),
            questions: 0,
            answers: 0,
            authorities: 0,
            additionals: 0,
            section: Section::Answer,
            truncated: false,
            optional_from: None,
            targets: Targets::default(),
        };
        if response.bytes_max < HEADER_BYTES {
            return None;
        }
        if let Some(question) = &query.question {
            response.targets.add(response.at);
            response.put(question.wire()).then_some(())?;
            response.questions = 1;
        }
        response.question_end = response.at;
        Some(response)
    }

    /// Says that the answer is the zone's own (AA).
    pub const fn set_authoritative(&mut self) {
        self.flags |= AUTHORITATIVE;
    }

    /// Makes the answer empty, so that the client asks again over a connection.
    pub const fn truncate(&mut self) {
        self.truncated = true;
    }

    /// Adds a set that the answer needs: if it does not fit, the answer becomes TC.
    pub fn add(&mut self, section: Section, owner: Owner<'_>, set: &Rrset) {
        self.add_for(section, owner, set, set.ttl());
    }

    /// The same, to be kept no longer than `ttl_max` seconds.
    pub fn add_for(&mut self, section: Section, owner: Owner<'_>, set: &Rrset, ttl_max: u32) {
        debug_assert!(self.section <= section, "sections are written in their order");
        debug_assert!(self.optional_from.is_none(), "what may be left out stands last");
        self.section = section;
        if self.truncated {
            return;
        }
        if self.put_set(owner, set, ttl_max) {
            self.count(section, set);
        } else {
            self.truncated = true;
        }
    }

    /// Adds a set to the additional section if there is room for it.
    pub fn add_optional(&mut self, owner: Owner<'_>, set: &Rrset) {
        self.section = Section::Additional;
        if self.truncated {
            return;
        }
        let before = self.at;
        self.optional_from = self.optional_from.or(Some((before, self.additionals)));
        let bytes_max = self.bytes_max;
        self.bytes_max = bytes_max.saturating_sub(self.opt_bytes_min);
        if self.put_set(owner, set, set.ttl()) {
            self.count(Section::Additional, set);
        } else {
            self.at = before;
        }
        self.bytes_max = bytes_max;
    }

    /// Ends the response.
    pub fn finish(mut self, rcode: Rcode, opt: Option<&Opt<'_>>) -> Finished {
        let opt_bytes = opt.map_or(0, Opt::bytes);
        let fits = |at: usize| at.saturating_add(opt_bytes) <= self.bytes_max;
        if !self.truncated && !fits(self.at) {
            match self.optional_from.filter(|(at, _)| fits(*at)) {
                Some((at, additionals)) => (self.at, self.additionals) = (at, additionals),
                None => self.truncated = true,
            }
        }
        if self.truncated {
            self.at = self.question_end;
            (self.answers, self.authorities, self.additionals) = (0, 0, 0);
            self.flags |= TRUNCATED;
        }
        if let Some(opt) = opt
            && self.put_opt(rcode, opt)
        {
            self.additionals = self.additionals.saturating_add(1);
        }
        self.put_header(rcode, opt.is_some());
        Finished { bytes: self.at, truncated: self.truncated }
    }

    fn put_header(&mut self, rcode: Rcode, extended: bool) {
        // Without EDNS the upper bits are lost, and the rest would mean something else.
        let code = match rcode.code() {
            code @ 0..=15 => code,
            code if extended => code & 0x0f,
            _ => Rcode::ServFail.code(),
        };
        let flags = self.flags | code;
        let counts = [self.questions, self.answers, self.authorities, self.additionals];
        let words = [self.id, flags].into_iter().chain(counts);
        for (to, word) in self.buffer.chunks_exact_mut(2).zip(words) {
            to.copy_from_slice(&word.to_be_bytes());
        }
    }

    fn count(&mut self, section: Section, set: &Rrset) {
        self.count_records(section, set.count());
    }

    const fn count_records(&mut self, section: Section, records: u16) {
        let count = match section {
            Section::Answer => &mut self.answers,
            Section::Authority => &mut self.authorities,
            Section::Additional => &mut self.additionals,
        };
        *count = count.saturating_add(records);
    }

    /// Writes all records of a set; false, if not all of them fit.
    fn put_set(&mut self, owner: Owner<'_>, set: &Rrset, ttl_max: u32) -> bool {
        let start = self.at;
        match owner {
            // The bytes are ready: this is the way of nearly all answers.
            Owner::Question => {
                if !self.put(set.wire()) {
                    return false;
                }
                if set.ttl() <= ttl_max && !leads_on(set.rtype()) {
                    return true;
                }
                let mut at = start;
                for record in set.records() {
                    self.finish_record(at, record.len(), set, ttl_max);
                    at = at.saturating_add(record.len());
                }
                true
            }
            Owner::Name(name) => {
                let mut first = None;
                set.records().all(|record| self.put_owned(name, &mut first, record, set, ttl_max))
            }
        }
    }

    /// Writes a record with its own owner: in full once, then as a pointer to that.
    fn put_owned(
        &mut self,
        owner: NameRef<'_>,
        first: &mut Option<usize>,
        record: &[u8],
        set: &Rrset,
        ttl_max: u32,
    ) -> bool {
        let owner_at = self.at;
        let written = match first.and_then(names::pointer) {
            Some(pointer) => self.put(&pointer),
            None => self.put_name(owner),
        };
        *first = first.or(Some(owner_at));
        // The record as it is encoded begins with a pointer of two bytes.
        let start = self.at.saturating_sub(2);
        let tail = record.get(2..).unwrap_or_default();
        if !written || !self.put(tail) {
            return false;
        }
        self.finish_record(start, record.len(), set, ttl_max);
        true
    }

    /// Shortens the TTL of a record that begins at `at`, and remembers the name in its data.
    fn finish_record(&mut self, at: usize, length: usize, set: &Rrset, ttl_max: u32) {
        if set.ttl() > ttl_max {
            let ttl_at = at.saturating_add(TTL_AT);
            if let Some(ttl) = self.buffer.get_mut(ttl_at..).and_then(<[u8]>::first_chunk_mut) {
                *ttl = ttl_max.to_be_bytes();
            }
        }
        if leads_on(set.rtype()) && length > FIXED_BYTES {
            self.targets.add(at.saturating_add(FIXED_BYTES));
        }
    }

    /// Writes bytes; false and nothing, if they do not fit.
    fn put(&mut self, bytes: &[u8]) -> bool {
        let end = self.at.saturating_add(bytes.len());
        if end > self.bytes_max {
            return false;
        }
        let Some(room) = self.buffer.get_mut(self.at..end) else { return false };
        room.copy_from_slice(bytes);
        self.at = end;
        true
    }
}

/// Whether the data of such a record is a name whose own records may follow in the response.
const fn leads_on(rtype: RecordType) -> bool {
    matches!(rtype, RecordType::CNAME | RecordType::NS)
}
