//! What answers: two PoPs, a map by networks, and a zone, whose text is tried as well.

use std::sync::Arc;

use geodns_core::{
    answer::{
        Served, Snapshot,
        snapshot::{Sources, ZoneSource},
    },
    fleet::FleetView,
    health::HealthTable,
    locate::{Map, plan::MapPlan},
    moment::Moment,
    settings::{GeodnsSettings, PopSettings},
    standing::Standings,
    wire::{cookie::Secrets, name::Name},
    zonefile::{self, Record},
};
use serde::Deserialize;

use super::Failed;

/// The apex of the zone.
pub(crate) const APEX: &str = "cdn.test.";

/// A zone with something of everything.
pub(crate) const ZONE: &str = "$TTL 300
@ SOA ns hostmaster (
  7 2h 1h ; a comment
  2w 3600 )
@ NS ns
@ MX 10 mail
ns A 192.0.2.53
ns AAAA 2001:db8::53
mail 1h IN A 192.0.2.54
txt TXT \"hello world\" again \"\\\"quoted\\\" \\200\"
alias CNAME www
alias2 CNAME alias
away CNAME www.other.example.
gone CNAME nowhere
a.b.c TXT deep
*.wild TXT any
*.wild MX 10 mail
sub NS ns.sub
sub NS ns
sub DS 12345 13 2 ( abababababababababababababababab
  abababababababababababababababab )
ns.sub A 192.0.2.55
svc HTTPS 1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.3 ipv6hint=2001:db8::3
svc SVCB 2 pool mandatory=alpn alpn=dot key65000=\"x\\001y\"
caa CAA 0 issue \"ca.example\"
tlsa TLSA 3 1 1 abababababababababababababababababababababababababababababababab
naptr NAPTR 100 50 s http \"\" www
srv SRV 1 2 443 www
ptr PTR www
odd TYPE1234 \\# 4 c0000201
$ORIGIN deep.cdn.test.
$TTL 1m
far A 192.0.2.77
";

const SETTINGS: &str = "
[[geodns.map]]
list = 2
[[geodns.map.prefer]]
pops = ['fra']
networks = ['203.0.113.0/24', '2001:db8:1::/48']
[[geodns.map.prefer]]
pops = ['iad']
networks = ['198.51.100.0/25', '2001:db8:2::/48']
[[geodns.route]]
names = ['www', '@', '*.img']
sites = true
ttl = '60s'
[[pop]]
name = 'fra'
addresses = ['192.0.2.1', '192.0.2.2', '2001:db8::1']
https = { alpn = ['h2', 'h3'] }
[[pop]]
name = 'iad'
addresses = ['192.0.2.11', '2001:db8::11']
";

#[derive(Deserialize)]
struct File {
    geodns: GeodnsSettings,
    pop: Vec<PopSettings>,
}

/// Everything but the zone.
pub(crate) struct Stage {
    settings: GeodnsSettings,
    fleet: Arc<FleetView>,
    maps: Vec<Arc<Map>>,
    standings: Arc<Standings>,
    /// The zone's apex.
    pub(crate) apex: Name,
}

impl Stage {
    pub(crate) fn new() -> Result<Self, Failed> {
        let file: File = toml::from_str(SETTINGS)?;
        let fleet = FleetView::build(&file.pop).map_err(|problems| format!("{problems:?}"))?;
        let limits = &file.geodns.limits;
        let mut maps = Vec::new();
        for map in &file.geodns.map {
            let plan = MapPlan::build(map, &fleet, None, limits);
            let plan = plan.map_err(|problems| format!("{problems:?}"))?;
            maps.push(Arc::new(Map::compile(&plan, &fleet, &mut [], limits.map_memory_max.0)?));
        }
        let health = HealthTable::new(&fleet, &[], Moment::default());
        let standings = health.standings(&fleet, &file.geodns.health, Moment::default());
        let apex = Name::parse(APEX.as_bytes(), None)?;
        let (fleet, standings) = (Arc::new(fleet), Arc::new(standings));
        Ok(Self { settings: file.geodns, fleet, maps, standings, apex })
    }

    /// The records of [`ZONE`].
    pub(crate) fn records(&self) -> Result<Vec<Record>, Failed> {
        let mut none = |_: &str, _: &str| Err(String::new());
        let records = zonefile::read("zone", ZONE.as_bytes(), &self.apex, &mut none);
        records.map_err(|faults| format!("{faults:?}").into())
    }

    /// A server of these records; nothing, if they make no zone.
    pub(crate) fn served(&self, records: Vec<Record>) -> Result<Option<Served>, Failed> {
        let sources = Sources {
            fleet: Arc::clone(&self.fleet),
            maps: self.maps.clone(),
            zones: vec![ZoneSource { apex: self.apex.clone(), records, last: None }],
            sites: vec!["shop".into()],
            node: "fuzz".to_owned(),
            secrets: Some(Secrets::parse("e5e973e5a6b2a43f48e7dc849e37bfcf")?),
        };
        let Ok(snapshot) = Snapshot::build(sources, &self.settings) else { return Ok(None) };
        Ok(Some(Served::new(Arc::new(snapshot), Arc::clone(&self.standings))?))
    }
}
