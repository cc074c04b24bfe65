//! A query: what is asked, and whether it can be asked at all.
//!
//! In: a message. Out: [`Decoded`], borrowing from it. Always holds: a message that is itself a
//! response, or too short to have a header, is never answered (two servers would else answer each
//! other for ever); everything else is, and by the rule of the clause that it breaks; what was read
//! before the fault is kept, so that the answer can repeat it.
//! It deliberately does not know zones. Source port 0 and addresses that nobody answers are the
//! caller's to drop: they are not in the message.
//!
//! RFC 1035 §4.1, RFC 6891 §6.1 and §7, RFC 9619 (one question), RFC 7873 §5.4 (no question),
//! RFC 5936 and 1995 (transfers), RFC 1996 (NOTIFY). Hot path: no allocation.

use super::{
    cursor::Cursor,
    edns::{self, Edns},
    header::{HEADER_BYTES, Header},
    kind::{Class, Opcode, Rcode, RecordType},
    name::{self, NameRef},
};

/// What comes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// Not to be answered at all.
    Dropped(Dropped),
    /// To be answered with this code and nothing else.
    Faulty {
        /// What could be read of it.
        query: Query<'a>,
        /// What is wrong with it.
        rcode: Rcode,
    },
    /// To be answered from the zones (class IN), or with who we are (class CH).
    Asked(Query<'a>),
}

/// Why a message is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// It has no header.
    TooShort,
    /// It is a response.
    Response,
}

/// A query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// Its header.
    pub header: Header,
    /// What is asked; nothing, where a client only checks its cookie (RFC 7873 §5.4).
    pub question: Option<Question<'a>>,
    /// The OPT record, if there is one.
    pub edns: Option<Edns<'a>>,
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// QNAME, in the case that the client chose.
    pub name: NameRef<'a>,
    /// QTYPE.
    pub rtype: RecordType,
    /// QCLASS.
    pub class: Class,
    wire: &'a [u8],
}

impl<'a> Question<'a> {
    /// The bytes of the question, which the answer repeats.
    #[must_use]
    pub const fn wire(&self) -> &'a [u8] {
        self.wire
    }
}

/// Reads a message.
#[must_use]
pub fn decode(message: &[u8]) -> Decoded<'_> {
    let Some(header) = Header::read(message) else {
        return Decoded::Dropped(Dropped::TooShort);
    };
    if header.is_response() {
        return Decoded::Dropped(Dropped::Response);
    }
    let mut query = Query { header, question: None, edns: None };
    match query.read(message) {
        Ok(()) => Decoded::Asked(query),
        Err(rcode) => Decoded::Faulty { query, rcode },
    }
}

impl<'a> Query<'a> {
    fn read(&mut self, message: &'a [u8]) -> Result<(), Rcode> {
        let opcode = self.header.opcode();
        // What follows the header of any other message is not defined here (RFC 8906 §3.1.4).
        if opcode != Opcode::QUERY && opcode != Opcode::NOTIFY {
            return Err(Rcode::NotImp);
        }
        let at = self.read_question(message)?;
        self.read_records(message, at)?;
        if opcode == Opcode::NOTIFY {
            return Err(Rcode::NotImp);
        }
        self.question.map_or(Ok(()), |question| refused(&question).map_or(Ok(()), Err))
    }

    /// Reads the question and says where the records begin.
    fn read_question(&mut self, message: &'a [u8]) -> Result<usize, Rcode> {
        match self.header.questions {
            0 => return Ok(HEADER_BYTES),
            1 => {}
            // RFC 9619 §4.
            _ => return Err(Rcode::FormErr),
        }
        let section = message.get(HEADER_BYTES..).ok_or(Rcode::FormErr)?;
        // No name precedes this one, so a pointer has nowhere to lead (RFC 1035 §4.1.4).
        let (name, behind) = NameRef::read(section).map_err(|_unreadable| Rcode::FormErr)?;
        let mut cursor = Cursor::new(behind);
        let rtype = RecordType(cursor.u16().ok_or(Rcode::FormErr)?);
        let class = Class(cursor.u16().ok_or(Rcode::FormErr)?);
        let length = section.len().saturating_sub(cursor.rest().len());
        let wire = section.get(..length).ok_or(Rcode::FormErr)?;
        self.question = Some(Question { name, rtype, class, wire });
        Ok(HEADER_BYTES.saturating_add(length))
    }

    /// Reads through all records and takes the OPT record out of them.
    fn read_records(&mut self, message: &'a [u8], at: usize) -> Result<(), Rcode> {
        let before = u32::from(self.header.answers).saturating_add(self.header.authorities.into());
        let total = before.saturating_add(self.header.additionals.into());
        let mut at = at;
        // Each record takes at least eleven bytes of the message, which so bounds the loop.
        for position in 0..total {
            let record = Record::read(message, at).ok_or(Rcode::FormErr)?;
            if record.rtype == RecordType::OPT {
                self.read_opt(&record, position < before)?;
            }
            at = record.end;
        }
        if at != message.len() {
            return Err(Rcode::FormErr);
        }
        match (self.question, self.edns) {
            // RFC 9619 §4 and RFC 7873 §5.4: without a question only a cookie can be meant.
            (None, None) => Err(Rcode::FormErr),
            (None, Some(edns)) if edns.cookie.is_none() => Err(Rcode::FormErr),
            _ => Ok(()),
        }
    }

    fn read_opt(&mut self, record: &Record<'a>, misplaced: bool) -> Result<(), Rcode> {
        // RFC 6891 §6.1.1: one, owned by the root, in the additional section.
        if self.edns.is_some() || misplaced || !record.at_root {
            return Err(Rcode::FormErr);
        }
        let edns = self.edns.insert(Edns::new(record.class, record.ttl));
        if edns.version > edns::VERSION {
            // RFC 6891 §6.1.3; what its options would mean is not known here.
            return Err(Rcode::BadVers);
        }
        edns.read_options(record.data).map_err(|_malformed| Rcode::FormErr)
    }
}

/// What no zone and no client makes an answer to.
fn refused(question: &Question<'_>) -> Option<Rcode> {
    if question.class != Class::IN && question.class != Class::CH {
        return Some(Rcode::Refused);
    }
    match question.rtype {
        // RFC 5936 §2.2.1, RFC 1995: our zones are not for copying.
        RecordType::AXFR | RecordType::IXFR => Some(Rcode::Refused),
        // Obsolete (RFC 1035 §3.2.3), or not offered (RFC 2930 §2.1).
        RecordType::MAILA | RecordType::MAILB | RecordType::TKEY => Some(Rcode::NotImp),
        // They are parts of messages, or reserved (RFC 6895 §3.1): nobody can ask for them.
        RecordType::OPT | RecordType::TSIG | RecordType(0) => Some(Rcode::FormErr),
        _ => None,
    }
}

/// A record that is read past.
struct Record<'a> {
    at_root: bool,
    rtype: RecordType,
    class: u16,
    ttl: u32,
    data: &'a [u8],
    end: usize,
}

impl<'a> Record<'a> {
    fn read(message: &'a [u8], at: usize) -> Option<Self> {
        let behind_owner = name::skip(message, at).ok()?;
        let mut cursor = Cursor::new(message.get(behind_owner..)?);
        let rtype = RecordType(cursor.u16()?);
        let class = cursor.u16()?;
        let ttl = cursor.u32()?;
        let length = cursor.u16()?;
        let data = cursor.take(usize::from(length))?;
        let end = message.len().saturating_sub(cursor.rest().len());
        Some(Self { at_root: message.get(at) == Some(&0), rtype, class, ttl, data, end })
    }
}

#[cfg(test)]
mod tests;
