//! Targeted fields such as CDN-Cache-Control: structured fields (RFC 9213).
//!
//! In: the fields and one name. Out: directives, or nothing when the field is absent, empty or
//! not a Dictionary: then it counts as absent (§2.1) and the next in the list is asked.

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::{
    ResponseDirectives,
    member::{Argument, Member},
};

/// The directives of one targeted field.
pub(super) fn parse(fields: &HeaderMap, name: &HeaderName) -> Option<ResponseDirectives> {
    let mut lines = fields.get_all(name).iter();
    let mut joined = lines.next()?.as_bytes().to_vec();
    for line in lines {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(line.as_bytes());
    }
    let dictionary: Dictionary = Parser::new(&joined).parse().ok()?;
    if dictionary.is_empty() {
        return None;
    }
    let mut directives = ResponseDirectives { targeted: true, ..ResponseDirectives::default() };
    for (key, entry) in &dictionary {
        directives.add(Member { name: key.as_str().as_bytes(), argument: argument(entry) });
    }
    Some(directives)
}

/// A member's value as an argument; its parameters are ignored (§2.1).
fn argument(entry: &ListEntry) -> Argument<'_> {
    let ListEntry::Item(item) = entry else { return Argument::Malformed };
    match &item.bare_item {
        BareItem::Boolean(true) => Argument::Absent,
        BareItem::Integer(number) => {
            u64::try_from(i64::from(*number)).map_or(Argument::Malformed, Argument::Number)
        }
        BareItem::String(text) => Argument::Names(text.as_str().as_bytes()),
        BareItem::Token(token) => Argument::Names(token.as_str().as_bytes()),
        BareItem::Boolean(false)
        | BareItem::Decimal(_)
        | BareItem::ByteSequence(_)
        | BareItem::Date(_)
        | BareItem::DisplayString(_) => Argument::Malformed,
    }
}
