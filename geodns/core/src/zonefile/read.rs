//! The reader of master files: directives, owners, TTLs and classes.
//!
//! In: the entries of a file and of the files it includes. Out: records, faults.
//! Always holds: a fault in one entry does not stop the next from being read; an owner that could
//! not be read is not taken for the one before it.
//!
//! RFC 1035 §5.1, RFC 2308 §4.

use std::sync::Arc;

use crate::wire::{
    kind::{Class, RecordType},
    name::Name,
};

use super::{
    Load, Record, data,
    fault::{Fault, Faults, Place},
    field::{Fields, Wrong, name, seconds, seconds_allowed, shown},
    lexer::{Entry, Lexer, Token},
};

/// How deep files may include files.
const DEPTH_MAX: usize = 8;
/// More records than any zone that is written by hand.
const RECORDS_MAX: usize = 1_000_000;

/// See the module.
pub(super) struct Reader<'l, 'f> {
    load: &'l mut Load<'f>,
    origin: Name,
    /// The owner of the record before; nothing, if there was none or it was faulty.
    owner: Option<Name>,
    /// What $TTL says.
    default_ttl: Option<u32>,
    /// What the record before says (RFC 1035 §5.1).
    last_ttl: Option<u32>,
    records: Vec<Record>,
    faults: Faults,
}

/// A file that is being read.
struct File {
    name: Arc<str>,
    depth: usize,
}

impl File {
    fn at(&self, line: u32) -> Place {
        Place { file: Arc::clone(&self.name), line }
    }
}

impl<'l, 'f> Reader<'l, 'f> {
    pub(super) fn new(origin: &Name, load: &'l mut Load<'f>) -> Self {
        Self {
            load,
            origin: origin.clone(),
            owner: None,
            default_ttl: None,
            last_ttl: None,
            records: Vec::new(),
            faults: Faults::default(),
        }
    }

    pub(super) fn read(mut self, file: &str, text: &[u8]) -> Result<Vec<Record>, Vec<Fault>> {
        self.read_file(&File { name: file.into(), depth: 0 }, text);
        self.faults.unless_any(self.records)
    }

    fn read_file(&mut self, file: &File, text: &[u8]) {
        for entry in Lexer::new(text) {
            if self.faults.is_full() {
                return;
            }
            if let Some((line, error)) = entry.fault {
                let allowed = "matched quotes on one line, matched parentheses";
                self.faults.add(Some(&file.at(line)), error.to_string(), allowed);
                continue;
            }
            if let Err(wrong) = self.read_entry(file, &entry) {
                self.faults.add(Some(&file.at(wrong.line)), wrong.what, wrong.allowed);
            }
        }
    }

    fn read_entry(&mut self, file: &File, entry: &Entry<'_>) -> Result<(), Wrong> {
        let mut tokens = entry.tokens.as_slice();
        let Some(first) = tokens.first() else { return Ok(()) };
        if !entry.indented {
            tokens = tokens.get(1..).unwrap_or_default();
            if first.raw.starts_with(b"$") && !first.quoted {
                return self.read_directive(file, first, tokens);
            }
            self.owner = None;
            self.owner = Some(name(first, self.origin.as_ref())?);
        }
        let Some(owner) = self.owner.clone() else {
            let allowed = "an owner before the first record, and after one that is faulty";
            return Err(Wrong::new(entry.line, "the record has no owner", allowed));
        };
        if self.records.len() >= RECORDS_MAX {
            let what = format!("more than {RECORDS_MAX} records");
            return Err(Wrong::new(entry.line, what, "fewer"));
        }
        let (head, fields) = Head::read(tokens, entry.line)?;
        let ttl = self.ttl(head.ttl, entry.line)?;
        let fields = Fields::new(fields, head.line, self.origin.as_ref());
        let data = data::read(head.rtype, fields)?.into();
        let place = file.at(entry.line);
        self.records.push(Record { owner, rtype: head.rtype, ttl, data, place });
        Ok(())
    }

    /// A TTL of its own, else that of $TTL, else that of the record before.
    fn ttl(&mut self, own: Option<u32>, line: u32) -> Result<u32, Wrong> {
        self.last_ttl = own.or(self.last_ttl);
        own.or(self.default_ttl).or(self.last_ttl).ok_or_else(|| {
            Wrong::new(
                line,
                "the record has no TTL",
                "$TTL before it, or a TTL in front of its type",
            )
        })
    }

    fn read_directive(
        &mut self,
        file: &File,
        directive: &Token<'_>,
        arguments: &[Token<'_>],
    ) -> Result<(), Wrong> {
        let origin = self.origin.clone();
        let mut arguments = Fields::new(arguments, directive.line, origin.as_ref());
        let is = |word: &[u8]| directive.raw.eq_ignore_ascii_case(word);
        if is(b"$ORIGIN") {
            let origin = arguments.name("origin")?;
            arguments.end()?;
            self.origin = origin;
        } else if is(b"$TTL") {
            self.default_ttl = Some(arguments.seconds("TTL")?);
            arguments.end()?;
        } else if is(b"$INCLUDE") {
            let included = arguments.text("file")?;
            let origin = match arguments.peek() {
                Some(_) => arguments.name("origin")?,
                None => origin.clone(),
            };
            arguments.end()?;
            self.include(file, directive.line, &included, origin)?;
        } else {
            return Err(Wrong::not(directive, "$ORIGIN, $TTL and $INCLUDE"));
        }
        Ok(())
    }

    /// Reads another file; origin and owner are afterwards what they were (RFC 1035 §5.1).
    fn include(
        &mut self,
        file: &File,
        line: u32,
        included: &[u8],
        origin: Name,
    ) -> Result<(), Wrong> {
        let depth = file.depth.saturating_add(1);
        if depth > DEPTH_MAX {
            let what = format!("files include files {DEPTH_MAX} deep, and then one more");
            return Err(Wrong::new(line, what, "fewer, and no file that includes itself"));
        }
        let Ok(included) = std::str::from_utf8(included) else {
            let what = format!("\"{}\" is no file name", shown(included));
            return Err(Wrong::new(line, what, "UTF-8"));
        };
        let text = (self.load)(included, &file.name).map_err(|reason| {
            Wrong::new(line, format!("{included}: {reason}"), "a file that can be read")
        })?;
        let outer_origin = std::mem::replace(&mut self.origin, origin);
        let outer_owner = self.owner.take();
        self.read_file(&File { name: beside(&file.name, included).into(), depth }, &text);
        self.origin = outer_origin;
        self.owner = outer_owner;
        Ok(())
    }
}

/// The name of a file that `file` includes as `included`: relative to the folder of `file`, so that
/// no two files of different folders have one name.
fn beside(file: &str, included: &str) -> String {
    match file.rsplit_once('/') {
        Some((folder, _)) if !included.starts_with('/') => format!("{folder}/{included}"),
        _ => included.to_owned(),
    }
}

/// What stands between a record's owner and its data.
struct Head {
    ttl: Option<u32>,
    rtype: RecordType,
    line: u32,
}

impl Head {
    /// Reads it, TTL and class in either order, and gives back the tokens behind it.
    fn read<'a, 't>(tokens: &'a [Token<'t>], line: u32) -> Result<(Self, &'a [Token<'t>]), Wrong> {
        let (mut ttl, mut class, mut rest) = (None, None, tokens);
        while let Some((token, behind)) = rest.split_first() {
            if ttl.is_none() && token.raw.first().is_some_and(u8::is_ascii_digit) {
                let read = seconds(token.raw);
                ttl = Some(read.ok_or_else(|| Wrong::not(token, seconds_allowed()))?);
            } else if class.is_none()
                && let Some(read) = Class::parse(token.raw)
            {
                if read != Class::IN {
                    return Err(Wrong::not(token, "class IN"));
                }
                class = Some(read);
            } else {
                let rtype = record_type(token)?;
                return Ok((Self { ttl, rtype, line: token.line }, behind));
            }
            rest = behind;
        }
        let allowed = "[TTL] [IN] TYPE data, or [IN] [TTL] TYPE data";
        Err(Wrong::new(line, "the record has no type", allowed))
    }
}

fn record_type(token: &Token<'_>) -> Result<RecordType, Wrong> {
    let allowed = "SOA NS A AAAA CNAME MX TXT SRV CAA HTTPS SVCB TLSA NAPTR PTR DS HINFO, \
        or TYPE and a number with \\# data (RFC 3597)";
    let rtype = RecordType::parse(token.raw).filter(|_| !token.quoted);
    let rtype = rtype.ok_or_else(|| Wrong::not(token, allowed))?;
    match rtype {
        RecordType::DNAME
        | RecordType::RRSIG
        | RecordType::NSEC
        | RecordType::NSEC3
        | RecordType::NSEC3PARAM => {
            let what = format!("{rtype} changes how a zone is answered, and is not served");
            Err(Wrong::new(token.line, what, allowed))
        }
        _ if rtype.is_meta() => {
            let what = format!("{rtype} is for messages, not for zones (RFC 6895 §3.1)");
            Err(Wrong::new(token.line, what, allowed))
        }
        _ => Ok(rtype),
    }
}
