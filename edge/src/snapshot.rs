//! All settings that a request needs, in one immutable value that is swapped whole.
//!
//! In: settings as typed. Out: a [`Snapshot`], or every problem with them.
//! Always holds: a request sees one snapshot from start to end; a reload that has problems leaves
//! the old one in place; what a reload does not change (a site's key space, its counters, the
//! connections to its origin) goes on; authorities of origins are read again, since a file that is
//! replaced leaves the settings equal. It reads no settings file: `config` does.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use edge_core::{
    purge::TagLimits,
    settings::{EdgeSettings, LimitSettings, SiteSettings},
    site::{Problem, Site, SiteId, SiteTable},
};
use ground::fold;

use crate::{
    fetch::{pool::Pool, room::FillLimits, world::OriginWorld},
    record::SiteMetrics,
    wire::Limits,
};

/// One consistent view of the settings.
pub struct Snapshot {
    /// Which site answers for which host.
    pub table: SiteTable,
    /// What belongs to a site at run time.
    pub sites: HashMap<SiteId, SiteEntry>,
    /// `[edge]`, as far as requests look at it.
    pub edge: EdgeView,
    /// Sites of the ledger that cannot be served here, and why: the file's go on without them.
    pub left_out: Vec<LeftOut>,
}

/// A site of the ledger that cannot be served as it is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// Its name.
    pub site: String,
    /// Why, and what is served instead.
    pub why: String,
}

/// A site's run-time parts.
#[derive(Clone)]
pub struct SiteEntry {
    /// Its settings, ready to use.
    pub site: Arc<Site>,
    /// Its origin.
    pub pool: Arc<Pool>,
    /// Its counters.
    pub metrics: Arc<SiteMetrics>,
    /// What it was made of, to notice what a reload changes.
    settings: SiteSettings,
}

/// `[edge]`, ready to use.
pub struct EdgeView {
    /// Limits on clients.
    pub limits: LimitSettings,
    /// The same for HTTP/1.1 connections.
    pub wire: Arc<Limits>,
    /// Limits on fillings.
    pub fill: FillLimits,
    /// Ranges per request.
    pub ranges_max: u32,
    /// Whether Cache-Status says the key.
    pub cache_status_key: bool,
    /// Whose Forwarded fields are believed.
    trusted_peers: Vec<ipnet::IpNet>,
    /// Which balancers are believed.
    proxy_peers: Vec<ipnet::IpNet>,
}

/// Gives out site ids; an id is never given to another site.
#[derive(Debug, Default)]
pub struct SiteIds {
    known: HashMap<(String, String), SiteId>,
    next: u64,
}

impl SiteIds {
    /// Of two sites of one name, one after the other, each has its own.
    fn of(&mut self, settings: &SiteSettings) -> SiteId {
        let next = &mut self.next;
        let id = self.known.entry((settings.name.clone(), settings.id.clone()));
        *id.or_insert_with(|| {
            *next += 1;
            SiteId(*next)
        })
    }

    /// Forgets sites that are gone: if they come back, they begin anew.
    fn retain(&mut self, sites: &HashMap<SiteId, SiteEntry>) {
        self.known.retain(|_, id| sites.contains_key(id));
    }
}

impl Snapshot {
    /// Builds a snapshot; what `old` has and the settings leave alone goes on. A site of the ledger that
    /// cannot be built is as it was before, or left out, and so nobody who may write one stops the
    /// others.
    ///
    /// # Errors
    /// Every problem with the file's settings, with key paths from its top.
    pub fn build(
        edge: &EdgeSettings,
        sites: &[SiteSettings],
        ids: &mut SiteIds,
        old: Option<&Self>,
        world: &OriginWorld,
        workers: usize,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut entries = HashMap::new();
        let (mut built, mut unbuilt) = (Vec::new(), Vec::new());
        for (index, settings) in sites.iter().enumerate() {
            let id = ids.of(settings);
            match entry(settings, edge, id, old, world, workers) {
                Ok(entry) => {
                    built.push(Arc::clone(&entry.site));
                    entries.insert(id, entry);
                }
                Err(found) if !settings.id.is_empty() => unbuilt.push((id, settings, found)),
                Err(found) => problems.extend(found.into_iter().map(|problem| Problem {
                    at: format!("site[{index}].{}", problem.at),
                    message: problem.message,
                })),
            }
        }
        let mut left_out = Vec::new();
        let mut hosts: HashSet<String> = built.iter().flat_map(|site| hosts_of(site)).collect();
        for (id, SiteSettings { name, .. }, found) in unbuilt {
            let former = old.and_then(|old| old.sites.get(&id)).filter(|former| {
                *former.pool.policy() == *world.policy_of_ledger
                    && hosts_of(&former.site).all(|host| !hosts.contains(&host))
            });
            let what = match former {
                Some(former) => {
                    hosts.extend(hosts_of(&former.site));
                    built.push(Arc::clone(&former.site));
                    entries.insert(id, former.clone());
                    "the version in force stays"
                }
                None => "this node does not serve it",
            };
            let told = |why: &Problem| LeftOut {
                site: name.clone(),
                why: format!("site \"{name}\" of the ledger: {why}; {what}"),
            };
            left_out.extend(found.iter().map(told));
        }
        let table = match SiteTable::build(built) {
            Ok(table) if problems.is_empty() => table,
            Ok(_) => return Err(problems),
            Err(found) => {
                problems.extend(found);
                return Err(problems);
            }
        };
        ids.retain(&entries);
        Ok(Self { table, sites: entries, edge: EdgeView::new(edge), left_out })
    }
}

/// The hosts of a site, as they are compared.
fn hosts_of(site: &Site) -> impl Iterator<Item = String> {
    site.hosts.iter().map(ToString::to_string)
}

fn entry(
    settings: &SiteSettings,
    edge: &EdgeSettings,
    id: SiteId,
    old: Option<&Snapshot>,
    world: &OriginWorld,
    workers: usize,
) -> Result<SiteEntry, Vec<Problem>> {
    let site = Arc::new(Site::build(settings, edge, id)?);
    let world = world.of_site(!settings.id.is_empty());
    let before = old.and_then(|old| old.sites.get(&id));
    let metrics = before.map_or_else(
        || Arc::new(SiteMetrics::new(Arc::clone(&site.name), workers)),
        |before| Arc::clone(&before.metrics),
    );
    let same_origin = before.filter(|before| {
        before.settings.origin == settings.origin
            && *before.pool.policy() == *world.policy
            // A connection that an authority vouched for ends with it, so nothing of the pool stays.
            && before.pool.has_current_files()
    });
    let pool = match same_origin {
        Some(before) => Arc::clone(&before.pool),
        None => {
            let before = before.map(|before| &*before.pool);
            let pool = Pool::new(&site.origin, world, before)
                .map_err(|message| vec![Problem { at: "origin".to_owned(), message }])?;
            Arc::new(pool)
        }
    };
    Ok(SiteEntry { site, pool, metrics, settings: settings.clone() })
}

impl EdgeView {
    fn new(edge: &EdgeSettings) -> Self {
        let limits = &edge.limits;
        let size =
            |bytes: bytesize::ByteSize| usize::try_from(bytes.as_u64()).unwrap_or(usize::MAX);
        Self {
            wire: Arc::new(Limits {
                header_bytes_max: size(limits.header_bytes_max),
                header_count_max: usize::try_from(limits.header_count_max).unwrap_or(usize::MAX),
                uri_bytes_max: size(limits.uri_bytes_max),
                header_timeout: limits.header_timeout,
                idle_timeout: limits.idle_timeout,
                body_timeout: limits.body_timeout,
                write_timeout: limits.write_timeout,
                ..Limits::default()
            }),
            limits: limits.clone(),
            fill: FillLimits {
                // A response is held beside the full cache while it comes: what does not fit into
                // the part that the cache leaves free could never be stored.
                object_bytes_max: edge.object_bytes_max.as_u64().min(edge.memory.as_u64() / 5),
                orphan_bytes_max: edge.orphan_bytes_max.as_u64(),
                window_bytes: size(edge.window_bytes),
                uncacheable_remembered: edge.uncacheable_remembered,
                tags: TagLimits {
                    tags_max: usize::try_from(limits.tags_max).unwrap_or(usize::MAX),
                    tag_bytes_max: size(limits.tag_bytes_max),
                },
            },
            ranges_max: edge.ranges_max,
            cache_status_key: edge.cache_status_key,
            trusted_peers: edge.trusted_peers.iter().copied().map(fold::canonical).collect(),
            proxy_peers: edge.proxy_peers.iter().copied().map(fold::canonical).collect(),
        }
    }

    /// Whether `address` is a balancer's that may say whose its connections are.
    #[must_use]
    pub fn is_balancer(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxy_peers.iter().any(|net| net.contains(&address))
    }

    /// Whether what a peer at `address` says about its own clients is believed.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_peers.iter().any(|net| net.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_that_is_made_again_has_a_key_space_of_its_own() {
        let site = |name: &str, id: &str| SiteSettings {
            id: id.to_owned(),
            ..toml::from_str(&format!(
                "name = \"{name}\"\nhosts = [\"a\"]\norigin = {{ servers = [\"http://a\"] }}"
            ))
            .unwrap()
        };
        let mut ids = SiteIds::default();
        let first = ids.of(&site("shop", "5d-1"));
        assert_eq!(ids.of(&site("shop", "5d-1")), first, "another version of it");
        // Both changes may come in one reload.
        assert_ne!(ids.of(&site("shop", "5d-7")), first);
        assert_ne!(ids.of(&site("shop", "")), first, "one of a file");
        assert_ne!(ids.of(&site("blog", "5d-1")), first);
    }

    #[tokio::test]
    async fn of_a_site_of_the_ledger_that_cannot_be_built_the_former_version_goes_on() {
        let site = |name: &str, id: &str, hosts: &[&str]| SiteSettings {
            id: id.to_owned(),
            ..toml::from_str(&format!(
                "name = \"{name}\"\nhosts = {hosts:?}\norigin = {{ servers = [\"http://a\"] }}"
            ))
            .unwrap()
        };
        let world = crate::fetch::world::tests::world();
        let mut ids = SiteIds::default();
        let mut build = |sites: &[SiteSettings], old: Option<&Snapshot>| {
            let edge = EdgeSettings::default();
            Snapshot::build(&edge, sites, &mut ids, old, &world, 1).unwrap()
        };
        let serves = |snapshot: &Snapshot, host: &str| {
            let host = edge_core::site::Host::parse(host).unwrap();
            snapshot.table.find(&host).map(|site| site.name.to_string())
        };
        let before = build(&[site("shop", "5d-1", &["shop.example", "b.example"])], None);
        let broken = site("shop", "5d-1", &["no host"]);
        let after = build(std::slice::from_ref(&broken), Some(&before));
        assert_eq!(serves(&after, "shop.example").as_deref(), Some("shop"));
        assert!(
            after.left_out[0].why.ends_with("the version in force stays"),
            "{:?}",
            after.left_out
        );
        // Nor does it keep from another what it has given up, or come back once it was made again.
        let taker = site("blog", "5d-2", &["b.example"]);
        let taken = build(&[broken.clone(), taker], Some(&before));
        assert_eq!(serves(&taken, "b.example").as_deref(), Some("blog"));
        assert_eq!(serves(&taken, "shop.example"), None);
        let again = SiteSettings { id: "5d-3".to_owned(), ..broken };
        let again = build(&[again], Some(&before));
        assert_eq!(serves(&again, "shop.example"), None);
        assert!(again.left_out[0].why.ends_with("does not serve it"), "{:?}", again.left_out);
    }

    #[test]
    fn peers_are_believed_however_their_networks_are_written() {
        let rows = [
            // Network, an address in it, one that is not.
            ("192.0.2.0/24", "192.0.2.1", "192.0.3.1"),
            ("192.0.2.0/24", "::ffff:192.0.2.1", "::ffff:192.0.3.1"),
            ("::ffff:192.0.2.0/120", "192.0.2.1", "192.0.3.1"),
            ("::ffff:192.0.2.0/120", "::ffff:192.0.2.1", "::ffff:192.0.3.1"),
            // Whoever announces 2002::/16 is sent what is for such an address (RFC 3964 §4).
            ("192.0.2.0/24", "192.0.2.1", "2002:c000:201::1"),
            ("192.0.2.0/24", "192.0.2.1", "64:ff9b::c000:201"),
            ("2002:c000:200::/40", "2002:c000:201::1", "192.0.2.1"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
        ];
        for (net, inside, outside) in rows {
            let peers = vec![net.parse().unwrap()];
            let settings = EdgeSettings {
                trusted_peers: peers.clone(),
                proxy_peers: peers,
                ..EdgeSettings::default()
            };
            let view = EdgeView::new(&settings);
            for (address, expected) in [(inside, true), (outside, false)] {
                let address = address.parse().unwrap();
                assert_eq!(view.trusts(address), expected, "{address} in {net}");
                assert_eq!(view.is_balancer(address), expected, "{address} in {net}");
            }
        }
    }
}
