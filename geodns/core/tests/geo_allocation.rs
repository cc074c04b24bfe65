//! The allocation budget of steering a client: none.
//!
//! In: maps, routes and standings. Out: allocations between a client's address and the addresses
//! that it is answered, counted on this thread. Always holds: nothing, also where the client's own
//! list, its map and its route have nobody left; what is made before a query may allocate.
#![expect(clippy::unwrap_used, reason = "what a table holds is known to be well-formed")]

use std::net::IpAddr;

use allocation_counter::measure;
use geodns_core::{
    fleet::FleetView,
    health::{HealthTable, operator::Order},
    locate::{
        Map,
        client::{Subnet, Trust},
        plan::MapPlan,
    },
    moment::Moment,
    route::{Ask, MapId, Outcome, Routes, answer, rendezvous::name_key, slate::Slate},
    settings::{GeodnsSettings, PopSettings, StateWord},
    standing::{Standings, Wanted},
};
use serde::Deserialize;

const FILE: &str = "
[geodns]
[[geodns.map]]
list = 2
[[geodns.map.prefer]]
pops = ['a', 'b']
equal = true
networks = ['192.0.2.0/24', '2001:db8::/48']
[[geodns.map]]
name = 'other'
fallback = ['d', 'c']
[[geodns.route]]
policy = ['fence', 'up', 'load', 'priority', 'nearest', 'sticky', 'first']
fallback = 'second'
[[geodns.route]]
name = 'second'
map = 'other'
[[pop]]
name = 'a'
addresses = ['192.0.2.1', '2001:db8::1']
https = { alpn = ['h2'] }
[[pop]]
name = 'b'
addresses = ['192.0.2.2', '2001:db8::2']
fence = { networks = ['192.0.2.0/25'] }
[[pop]]
name = 'c'
addresses = ['192.0.2.3']
[[pop]]
name = 'd'
addresses = ['192.0.2.4', '2001:db8::4']
";

#[derive(Deserialize)]
struct File {
    geodns: GeodnsSettings,
    pop: Vec<PopSettings>,
}

struct Server {
    fleet: FleetView,
    maps: Vec<Map>,
    routes: Routes,
    trust: Trust,
    health: HealthTable,
    file: File,
}

impl Server {
    fn new() -> Self {
        let file: File = toml::from_str(FILE).unwrap();
        let fleet = FleetView::build(&file.pop).unwrap();
        let limits = &file.geodns.limits;
        let map = |settings| {
            let plan = MapPlan::build(settings, &fleet, None, limits).unwrap();
            Map::compile(&plan, &fleet, &mut [], limits.map_memory_max.0).unwrap()
        };
        let maps: Vec<Map> = file.geodns.map.iter().map(map).collect();
        let names: Vec<_> = file.geodns.map.iter().map(|map| map.name.as_str().into()).collect();
        Self {
            routes: Routes::build(&file.geodns.route, &names).unwrap(),
            trust: Trust::new(&file.geodns.client_subnet),
            health: HealthTable::new(&fleet, &[], Moment::default()),
            maps,
            fleet,
            file,
        }
    }

    fn standings(&self) -> Standings {
        self.health.standings(&self.fleet, &self.file.geodns.health, Moment::default())
    }

    fn map(&self, id: MapId) -> &Map {
        self.maps.get(id.index()).unwrap()
    }
}

/// What `work` allocates, which is done once before, so that nothing is counted that is lazy.
fn allocations(mut work: impl FnMut()) -> u64 {
    work();
    measure(work).count_total
}

#[test]
fn a_lookup_allocates_nothing() {
    let server = Server::new();
    let count = allocations(|| {
        for address in ["192.0.2.1", "198.51.100.1", "2001:db8::1", "2002:c000:201::1", "::1"] {
            let resolver: IpAddr = address.parse().unwrap();
            let client =
                server.trust.client(resolver, Some(Subnet { address: resolver, source: 24 }));
            for map in &server.maps {
                let located = map.locate(client.address);
                assert!(located.list.rest.len() == 4 && client.scope(located.scope) <= 128);
            }
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn a_choice_allocates_nothing() {
    let mut server = Server::new();
    let route = server.routes.find("default").unwrap();
    let mut slate = Slate::new();
    // From all up to all down, through the list, what follows it, the fallback route, and beyond.
    for down in ["", "a", "b", "c", "d"] {
        if !down.is_empty() {
            server.health.order(down, Order::Force(StateWord::Down), None);
        }
        let standings = server.standings();
        for wanted in [Wanted::V4, Wanted::V6, Wanted::Https] {
            for client in ["192.0.2.1", "198.51.100.1", "2001:db8::1"] {
                let client: IpAddr = client.parse().unwrap();
                let count = allocations(|| {
                    let ask = Ask { wanted, client, name: name_key(b"www.cdn.test"), draw: 7 };
                    let locate = |map| server.map(map).locate(client);
                    let choice = server.routes.choose(route, &ask, &standings, &mut slate, locate);
                    assert!(choice.outcome != Outcome::Nobody);
                    let answers = match wanted {
                        Wanted::V4 => answer::v4(&slate, &standings, ask.draw, 4).count(),
                        Wanted::V6 => answer::v6(&slate, &standings, ask.draw, 4).count(),
                        Wanted::Https => answer::v4_hints(&slate, &standings, ask.draw, 4).count(),
                    };
                    assert!(answers > 0);
                });
                assert_eq!(count, 0, "{down} {wanted:?} {client}");
            }
        }
    }
}
