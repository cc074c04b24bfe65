//! What selectors come to among the keys of a site.
//!
//! In: selectors, and the site for its rules; keys and tags of what is stored. Out: [`Name`]s, and
//! whether one of them means a stored response.
//! Always holds: a URL means what its rule makes of it, for that is what is stored of it, and the
//! URL as it is written beside that, for what was stored before the rule.

use http::HeaderMap;

use super::{Selector, Tags};
use crate::{
    key::{self, KeyParts, Scheme},
    site::{Site, SiteId},
};

/// One thing that stored responses can be called by, within their site.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// A URI that an unsafe request has invalidated (RFC 9111 §4.4): the part of keys that names it.
    Target(Box<[u8]>),
    /// A group that a response to an unsafe request has invalidated (RFC 9875 §3), of one origin:
    /// the part of keys that names that.
    Group {
        /// The origin.
        origin: Box<[u8]>,
        /// The group.
        group: Box<str>,
    },
    /// A URL that was purged: the part of keys that names it.
    Url(Box<[u8]>),
    /// How that part begins.
    Prefix(Box<[u8]>),
    /// A host.
    Host(Box<str>),
    /// A tag.
    Tag(Box<str>),
    /// All that the site has.
    Everything,
}

impl Selector {
    /// What it comes to in `site`.
    #[must_use]
    pub fn names(&self, site: &Site) -> Vec<Name> {
        match self {
            Self::Url { scheme, host, target } => {
                let written = uri(site.id, *scheme, host, target);
                let path = target.split('?').next().unwrap_or(target);
                let target = key::forward_target(target, &site.policy(path).query);
                let keyed = uri(site.id, *scheme, host, &target);
                let mut names = vec![Name::Url(keyed)];
                if *names != [Name::Url(written.clone())] {
                    names.push(Name::Url(written));
                }
                names
            }
            Self::Prefix { scheme, host, path } => {
                let both = [Scheme::Http, Scheme::Https];
                let schemes = both.into_iter().filter(|one| scheme.is_none_or(|s| s == *one));
                schemes.map(|scheme| Name::Prefix(uri(site.id, scheme, host, path))).collect()
            }
            Self::Host(host) => vec![Name::Host(host.clone())],
            Self::Tag(tag) => vec![Name::Tag(tag.clone())],
            Self::Everything => vec![Name::Everything],
        }
    }
}

impl Name {
    /// Whether a response that is stored under `key` of the same site is meant.
    #[must_use]
    pub fn means(&self, key: &[u8], tags: &Tags) -> bool {
        let uri = key::uri_part(key);
        match self {
            Self::Target(target) | Self::Url(target) => **target == *uri,
            Self::Prefix(beginning) => uri.starts_with(beginning),
            Self::Host(host) => key::host_part(key) == host.as_bytes(),
            Self::Tag(tag) => tags.has_every() || tags.names().any(|name| *name == **tag),
            Self::Group { origin, group } => {
                let is_in = || tags.groups().any(|name| *name == **group);
                key::origin_part(key) == &**origin && (tags.is_in_every_group() || is_in())
            }
            Self::Everything => true,
        }
    }
}

fn uri(site: SiteId, scheme: Scheme, host: &str, target: &str) -> Box<[u8]> {
    let mut bytes = Vec::new();
    let fields = &HeaderMap::new();
    key::write_key(&mut bytes, &KeyParts { scheme, site, host, target, key_fields: &[], fields });
    bytes.into()
}
