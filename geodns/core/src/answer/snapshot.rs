//! Everything that answers follow from, but for health: made once, then only read.
//!
//! In: zones as records, maps, the fleet, settings, secrets. Out: [`Snapshot`], or every problem;
//! and [`Served`], a snapshot with the standings of its fleet, which is what is swapped.
//! Always holds: a snapshot does not change; maps, routes, names and HTTPS data speak of one fleet,
//! and so do the standings beside it: the two are swapped as one, for PoPs are known by place.
//! It deliberately does not know files, nor what was served before, except a zone's last version.

use std::{net::IpAddr, sync::Arc};

use super::{Asked, Said, Transport, names, records};
use crate::{
    fleet::FleetView,
    limit::ClientNetworks,
    locate::{Map, client::Trust},
    problem::{Problem, Problems},
    route::{MapId, RouteId, Routes, rendezvous::name_key},
    serial::{Content, Order, Published},
    settings::{GeodnsSettings, RouteSettings},
    standing::Standings,
    wire::{
        chaos::Chaos,
        cookie::{Checked, Secrets},
        name::Name,
        query::Query,
        response::Opt,
    },
    zone::{GeneratedNames, Zone, ZoneId, ZoneSettings, Zones},
    zonefile::{self, Record},
};

/// To what multiple of bytes responses are padded where nobody can read them (RFC 8467 §4.1).
const PADDING_BLOCK_BYTES: u16 = 468;

/// A zone as it is loaded.
#[derive(Clone, Debug)]
pub struct ZoneSource {
    /// Its apex.
    pub apex: Name,
    /// Its records, from its file or from [`super::snapshot::without_file`].
    pub records: Vec<Record>,
    /// The version that this node published last, if it knows.
    pub last: Option<Published>,
}

/// What a snapshot is made of.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The fleet.
    pub fleet: Arc<FleetView>,
    /// The maps, compiled for that fleet, in the order of the settings.
    pub maps: Vec<Arc<Map>>,
    /// The zones, in the order of the settings; sites answer under the first.
    pub zones: Vec<ZoneSource>,
    /// The names of the sites.
    pub sites: Vec<Box<str>>,
    /// The node's name, which NSID and `id.server` tell unless the settings say otherwise.
    pub node: String,
    /// What makes cookies; nothing, if they are not spoken.
    pub secrets: Option<Secrets>,
}

/// See the module.
#[derive(Debug)]
pub struct Snapshot {
    fleet: Arc<FleetView>,
    maps: Vec<Arc<Map>>,
    zones: Zones,
    published: Vec<(Published, Order)>,
    routes: Routes,
    trust: Trust,
    client_networks: ClientNetworks,
    /// By route: the data of its names' HTTPS records without hints; empty, where they have none.
    https: Vec<Box<[u8]>>,
    chaos: Chaos,
    nsid: Option<Box<[u8]>>,
    secrets: Option<Secrets>,
    pub(super) udp_bytes_max: u16,
}

/// A snapshot, and how the PoPs of its fleet stand: what a query is answered from.
#[derive(Clone, Debug)]
pub struct Served {
    snapshot: Arc<Snapshot>,
    standings: Arc<Standings>,
}

/// Standings are of another fleet than the snapshot: a PoP's number would mean two PoPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the standings are of another fleet than the snapshot")]
pub struct Mismatch;

impl Snapshot {
    /// Makes a snapshot.
    ///
    /// # Errors
    /// Every problem of routes, names and zones. What runs is to be kept then.
    pub fn build(sources: Sources, settings: &GeodnsSettings) -> Result<Self, Vec<Problem>> {
        let Sources { fleet, maps, zones, sites, node, secrets } = sources;
        let map_names: Vec<Arc<str>> = maps.iter().map(|map| map.name().into()).collect();
        let by_default = [RouteSettings { sites: true, ..RouteSettings::default() }];
        // Without a route, every site is answered by the first map.
        let of_routes =
            if settings.route.is_empty() { &by_default } else { settings.route.as_slice() };
        let routes = Routes::build(of_routes, &map_names)?;
        let mut problems = Problems::default();
        let members = |map: MapId| maps.get(map.index()).map_or(&[][..], |map| map.members());
        let types = |route| routes.types(route, &fleet, members);
        // PoPs that do not agree have no HTTPS records: clients do without.
        let https = |route| routes.https(route, &fleet, members).ok().flatten();
        let https_head = |(route, _)| https(route).map(|said| records::https_head(&said));
        let https = routes.iter().map(|one| https_head(one).unwrap_or_default().into()).collect();
        let generated = names::generate(&zones, &routes, types, &sites, &mut problems);
        let of_zones = build_zones(&zones, &generated, fleet.revision, settings, &mut problems);
        let (zones, published) = problems.unless_any(of_zones)?;
        let id = settings.identity.of(&node).map(str::to_owned);
        Ok(Self {
            zones,
            published,
            routes,
            trust: Trust::new(&settings.client_subnet),
            client_networks: settings.rate_limit.networks(),
            https,
            // Which version runs here is nobody's business.
            chaos: Chaos::new(id.as_deref(), None),
            nsid: id.map(|id| id.into_bytes().into()),
            secrets,
            udp_bytes_max: settings.udp_bytes_max,
            fleet,
            maps,
        })
    }

    /// The fleet that it is of.
    #[must_use]
    pub fn fleet(&self) -> &Arc<FleetView> {
        &self.fleet
    }

    /// The zones that it answers for.
    #[must_use]
    pub fn zones(&self) -> &Zones {
        &self.zones
    }

    /// What was published of each zone, to be kept as its last version, and whether anybody said
    /// that it comes after the one before.
    pub fn published(&self) -> impl Iterator<Item = (&Zone, Published, Order)> {
        let zones = self.zones.iter().zip(&self.published);
        zones.map(|(zone, (published, order))| (&**zone, *published, *order))
    }

    /// The routes.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// A map.
    #[must_use]
    pub fn map(&self, id: MapId) -> Option<&Arc<Map>> {
        self.maps.get(id.index())
    }

    /// Whose client subnets are believed.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// What counts as one client.
    #[must_use]
    pub const fn client_networks(&self) -> ClientNetworks {
        self.client_networks
    }

    /// The largest datagram that it sends.
    #[must_use]
    pub const fn udp_bytes_max(&self) -> u16 {
        self.udp_bytes_max
    }

    /// The name of a zone, for metrics and logs.
    #[must_use]
    pub fn zone_name(&self, id: ZoneId) -> String {
        self.zones.zone(id).map_or_else(String::new, |zone| zone.apex().to_string())
    }

    pub(super) fn chaos(&self) -> &Chaos {
        &self.chaos
    }

    /// The data of the HTTPS records of a route's names, without hints.
    pub(super) fn https(&self, route: RouteId) -> &[u8] {
        self.https.get(route.index()).map_or(&[], |head| head)
    }

    pub(super) fn check_cookie(&self, query: &Query<'_>, asked: &Asked<'_>) -> Option<Checked> {
        let cookie = query.edns?.cookie?;
        Some(self.secrets.as_ref()?.check(&cookie, asked.peer, asked.wall_seconds))
    }

    /// What the response says in its OPT record, which it has exactly if the query had one.
    pub(super) fn opt<'o>(
        &'o self,
        query: &Query<'o>,
        said: &Said,
        cookie: Option<&Checked>,
        transport: Transport,
    ) -> Option<Opt<'o>> {
        let edns = query.edns?;
        let pads = edns.padding && transport.is_encrypted();
        Some(Opt {
            udp_bytes: self.udp_bytes_max,
            ecs: edns.ecs.map(|ecs| (ecs, said.scope)),
            cookie: cookie.map(|checked| checked.reply),
            nsid: self.nsid.as_deref().filter(|_| edns.nsid),
            error: said.error,
            padding_block: pads.then_some(PADDING_BLOCK_BYTES),
            ..Opt::reply_to(&edns)
        })
    }
}

impl Served {
    /// A snapshot with standings of its fleet.
    ///
    /// # Errors
    /// They are of another fleet.
    pub fn new(snapshot: Arc<Snapshot>, standings: Arc<Standings>) -> Result<Self, Mismatch> {
        let keys = snapshot.fleet.pops.iter().map(|pop| name_key(pop.name.as_bytes()));
        if keys.eq(standings.pops().iter().map(|pop| pop.key)) {
            Ok(Self { snapshot, standings })
        } else {
            Err(Mismatch)
        }
    }

    /// The snapshot.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The standings.
    #[must_use]
    pub fn standings(&self) -> &Standings {
        &self.standings
    }
}

/// The zones with their names, each with the serial to publish.
fn build_zones(
    sources: &[ZoneSource],
    generated: &[GeneratedNames],
    revision: u64,
    settings: &GeodnsSettings,
    problems: &mut Problems,
) -> (Zones, Vec<(Published, Order)>) {
    let negative_ttl_max = u32::try_from(settings.negative_ttl_max.as_secs()).unwrap_or(u32::MAX);
    let zone_settings = ZoneSettings { negative_ttl_max, ..ZoneSettings::default() };
    let (mut zones, mut all) = (Vec::new(), Vec::new());
    for (index, (source, names)) in sources.iter().zip(generated).enumerate() {
        let content = Content::of(&source.apex, &source.records, names);
        let (published, order) = content.publish(revision, source.last);
        let serial = published.serial;
        match Zone::build(&source.apex, &source.records, names, serial, zone_settings) {
            Ok(zone) => {
                zones.push(Arc::new(zone));
                all.push((published, order));
            }
            Err(faults) => {
                for fault in faults {
                    problems.add(format!("zone[{index}]"), fault.to_string());
                }
            }
        }
    }
    let zones = Zones::new(zones).unwrap_or_else(|faults| {
        for fault in faults {
            problems.add("zone", fault.to_string());
        }
        Zones::default()
    });
    (zones, all)
}

/// The records of a zone that has no file: an SOA, and one name server, `ns`, with the addresses
/// of the servers that answer for it; without addresses, a name server that nobody asks, as in a
/// zone to which nothing is delegated yet (RFC 2606 §2).
#[must_use]
pub fn without_file(apex: &Name, servers: &[IpAddr]) -> Vec<Record> {
    let mut text = "$TTL 1h\n@ SOA ns hostmaster 1 1h 10m 1d 60\n".to_owned();
    text.push_str(if servers.is_empty() { "@ NS ns.invalid.\n" } else { "@ NS ns\n" });
    for address in servers {
        let rtype = if address.is_ipv4() { "A" } else { "AAAA" };
        text.push_str(&format!("ns {rtype} {address}\n"));
    }
    let mut load = |_: &str, _: &str| Err(String::new());
    zonefile::read("(no file)", text.as_bytes(), apex, &mut load).unwrap_or_default()
}
