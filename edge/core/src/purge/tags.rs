//! Tags: the names that an origin gives its responses, so that many can be purged by one.
//!
//! In: the fields of a response. Out: [`Tags`]. Three fields say them: Surrogate-Key, separated by
//! spaces, Cache-Tag, separated by commas, and Cache-Groups, a List of Strings (RFC 9875 §2).
//! Always holds: a response that has more tags than are kept, or longer ones, counts as one that
//! has every tag: then a purge takes too much, never too little. A tag that no selector could name
//! (octets beyond ASCII) is none, and neither is any in a malformed List (RFC 9651 §4.2).
//! It deliberately does not know which responses have the same ones.

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, List, ListEntry, Parser};

use super::is_tag;

/// Tags, separated by spaces.
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
/// Tags, separated by commas.
const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
/// RFC 9875 §2.
const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
/// RFC 9875 §3.
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// The fields that speak to caches like this one alone; Cache-Groups is for a client's as well.
pub const FOR_CACHES: [HeaderName; 2] = [SURROGATE_KEY, CACHE_TAG];

const FIELDS: [HeaderName; 3] = [SURROGATE_KEY, CACHE_TAG, CACHE_GROUPS];
/// Where Cache-Groups stands among them.
const GROUPS: usize = 2;

/// What is kept of a response's tags.
#[derive(Clone, Copy, Debug)]
pub struct TagLimits {
    /// Tags in one field.
    pub tags_max: usize,
    /// Bytes of one tag.
    pub tag_bytes_max: usize,
}

/// The tags of a response, by the field that said them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Option<Box<[Said; 3]>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    names: Box<[Box<str>]>,
    /// There were more, or longer ones.
    beyond: bool,
}

impl Tags {
    /// The tags that `fields` say.
    #[must_use]
    pub fn of(fields: &HeaderMap, limits: TagLimits) -> Self {
        Self::default().updated(fields, limits)
    }

    /// The same after a newer answer about the response: a field that it has takes the place of the
    /// one of its name (RFC 9111 §3.2).
    #[must_use]
    pub fn updated(&self, fields: &HeaderMap, limits: TagLimits) -> Self {
        if !FIELDS.iter().any(|name| fields.contains_key(name)) {
            return self.clone();
        }
        let mut said = self.0.as_deref().cloned().unwrap_or_default();
        for (name, place) in FIELDS.iter().zip(&mut said) {
            if fields.contains_key(name) {
                *place = Said::of(read(fields, name), limits);
            }
        }
        let nothing = said.iter().all(|said| said.names.is_empty() && !said.beyond);
        Self((!nothing).then(|| Box::new(said)))
    }

    /// All of them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.said().iter().flat_map(|said| &*said.names).map(|name| &**name)
    }

    /// Those of Cache-Groups.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.said().get(GROUPS).into_iter().flat_map(|said| &*said.names).map(|name| &**name)
    }

    /// Whether it counts as one that has every tag.
    #[must_use]
    pub fn has_every(&self) -> bool {
        self.said().iter().any(|said| said.beyond)
    }

    /// Whether it counts as one that is in every group of its origin.
    #[must_use]
    pub fn is_in_every_group(&self) -> bool {
        self.said().get(GROUPS).is_some_and(|said| said.beyond)
    }

    /// What they take of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const EACH: usize = 32;
        let own = if self.0.is_some() { size_of::<[Said; 3]>() } else { 0 };
        self.names().fold(own, |sum, name| sum.saturating_add(name.len()).saturating_add(EACH))
    }

    fn said(&self) -> &[Said] {
        self.0.as_deref().map_or(&[], |said| said)
    }
}

impl Said {
    fn of(tags: Vec<Box<str>>, limits: TagLimits) -> Self {
        let mut said = Self::default();
        let mut names: Vec<Box<str>> = Vec::new();
        for tag in tags {
            if tag.len() > limits.tag_bytes_max {
                said.beyond = true;
            } else if is_tag(&tag) && !names.contains(&tag) {
                if names.len() >= limits.tags_max {
                    said.beyond = true;
                    break;
                }
                names.push(tag);
            }
        }
        said.names = names.into();
        said
    }
}

/// The groups that a response invalidates (RFC 9875 §3).
pub(crate) fn invalidated_groups(fields: &HeaderMap) -> Vec<Box<str>> {
    strings(fields, &CACHE_GROUP_INVALIDATION)
}

fn read(fields: &HeaderMap, name: &HeaderName) -> Vec<Box<str>> {
    if *name == CACHE_GROUPS {
        return strings(fields, name);
    }
    let separator = if *name == SURROGATE_KEY { b' ' } else { b',' };
    let lines = fields.get_all(name).iter();
    let members = lines.flat_map(|line| line.as_bytes().split(move |byte| *byte == separator));
    let texts = members.filter_map(|member| std::str::from_utf8(member.trim_ascii()).ok());
    texts.filter(|text| !text.is_empty()).map(Box::from).collect()
}

/// The members of a List of Strings, whatever their parameters; none if it is something else.
fn strings(fields: &HeaderMap, name: &HeaderName) -> Vec<Box<str>> {
    let lines: Vec<&[u8]> = fields.get_all(name).iter().map(|line| line.as_bytes()).collect();
    let Ok(list) = Parser::new(&lines.join(&b", "[..])).parse::<List>() else { return Vec::new() };
    let text = |entry: &ListEntry| match entry {
        ListEntry::Item(item) => match &item.bare_item {
            BareItem::String(text) => Some(Box::from(text.as_str())),
            BareItem::Boolean(_)
            | BareItem::Integer(_)
            | BareItem::Decimal(_)
            | BareItem::Token(_)
            | BareItem::ByteSequence(_)
            | BareItem::Date(_)
            | BareItem::DisplayString(_) => None,
        },
        ListEntry::InnerList(_) => None,
    };
    list.iter().map(text).collect::<Option<_>>().unwrap_or_default()
}
