//! A small server to ask: a zone, three PoPs, a map by networks, and a clock that stands still.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use geodns_core::{
    answer::{
        Asked, Facts, Reply, Scratch, Served, Snapshot, Transport, answer,
        snapshot::{Sources, ZoneSource},
    },
    fleet::FleetView,
    health::{HealthTable, operator::Order},
    limit::Limiter,
    locate::{Map, plan::MapPlan},
    moment::Moment,
    problem::Problem,
    settings::{GeodnsSettings, PopSettings, StateWord},
    standing::Standings,
    wire::{cookie::Secrets, kind::RecordType, name::Name},
    zonefile,
};
use hickory_proto::{
    op::Message,
    rr::{RData, Record, rdata::opt::EdnsOption},
};
use serde::Deserialize;

/// What every server here knows, unless a test says otherwise.
pub(crate) const SETTINGS: &str = "
[[geodns.map]]
list = 2
[[geodns.map.prefer]]
pops = ['fra']
networks = ['203.0.113.0/24', '2001:db8:1::/48', '192.0.2.0/28']
[[geodns.map.prefer]]
pops = ['iad']
networks = ['198.51.100.0/25', '2001:db8:2::/48']
[[geodns.route]]
names = ['www', '@', '*.img', 'far.deep']
sites = true
ttl = '60s'
[[pop]]
name = 'sin'
addresses = ['192.0.2.21', '2001:db8::21']
https = { alpn = ['h2', 'h3'] }
[[pop]]
name = 'fra'
addresses = ['192.0.2.1', '192.0.2.2', '2001:db8::1']
https = { alpn = ['h2', 'h3'] }
[[pop]]
name = 'iad'
addresses = ['192.0.2.11']
https = { alpn = ['h3', 'x', 'h2'], port = 443 }
";

pub(crate) const ZONE: &str = "$TTL 300
@ SOA ns hostmaster 7 2h 1h 2w 3600
@ NS ns
ns A 192.0.2.53
mail A 192.0.2.54
txt TXT hello
alias CNAME www
alias2 CNAME alias
away CNAME www.other.example.
gone CNAME nowhere
a.b.c TXT deep
*.wild TXT any
*.wild MX 10 mail
*.wildalias CNAME www
sub NS ns.sub
sub NS ns
ns.sub A 192.0.2.55
";

/// A secret, its digits in the test vectors of RFC 9018.
pub(crate) const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
pub(crate) const NOW: u32 = 1_559_731_985;

/// The client networks of the map above.
pub(crate) const FRA: &str = "203.0.113.0/24";
pub(crate) const IAD: &str = "198.51.100.0/25";

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    geodns: GeodnsSettings,
    #[serde(default)]
    pop: Vec<PopSettings>,
}

pub(crate) struct Stage {
    pub(crate) settings: GeodnsSettings,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) plans: Vec<MapPlan>,
    pub(crate) health: HealthTable,
    pub(crate) served: Served,
    pub(crate) limiter: Option<Limiter>,
    pub(crate) now: Duration,
    pub(crate) wall: u32,
    pub(crate) draw: u64,
}

/// What a test may change before a server is built.
pub(crate) struct Draft<'d> {
    pub(crate) settings: &'d str,
    pub(crate) zones: Vec<(&'d str, String)>,
    pub(crate) sites: Vec<&'d str>,
    pub(crate) secrets: Option<&'d str>,
    pub(crate) revision: u64,
}

impl Default for Draft<'_> {
    fn default() -> Self {
        Self {
            settings: SETTINGS,
            zones: vec![("cdn.test.", ZONE.to_owned())],
            sites: vec!["shop", "www"],
            secrets: Some(SECRET),
            revision: 0,
        }
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text.as_bytes(), None).unwrap()
}

impl Draft<'_> {
    pub(crate) fn build(self) -> Result<Stage, Vec<Problem>> {
        let file: File = toml::from_str(self.settings).unwrap();
        let fleet = FleetView { revision: self.revision, ..FleetView::build(&file.pop).unwrap() };
        let limits = &file.geodns.limits;
        let default = [geodns_core::settings::MapSettings::default()];
        let maps = if file.geodns.map.is_empty() { &default } else { &*file.geodns.map };
        let plans: Vec<MapPlan> =
            maps.iter().map(|map| MapPlan::build(map, &fleet, None, limits).unwrap()).collect();
        let compile = |plan: &MapPlan| {
            let map = Map::compile(plan, &fleet, &mut [], limits.map_memory_max.0);
            Arc::new(map.unwrap())
        };
        let mut load = |_: &str, _: &str| Err(String::new());
        let mut zone = |(apex, text): &(&str, String)| {
            let apex = name(apex);
            let records = zonefile::read("zone", text.as_bytes(), &apex, &mut load).unwrap();
            ZoneSource { apex, records, last: None }
        };
        let sources = Sources {
            maps: plans.iter().map(compile).collect(),
            zones: self.zones.iter().map(&mut zone).collect(),
            sites: self.sites.iter().map(|site| (*site).into()).collect(),
            node: "fra-1".to_owned(),
            secrets: self.secrets.map(|text| Secrets::parse(text).unwrap()),
            fleet: Arc::new(fleet),
        };
        let snapshot = Arc::new(Snapshot::build(sources, &file.geodns)?);
        let health = HealthTable::new(snapshot.fleet(), &[], Moment::default());
        let standings = health.standings(snapshot.fleet(), &file.geodns.health, Moment::default());
        Ok(Stage {
            served: Served::new(Arc::clone(&snapshot), Arc::new(standings)).unwrap(),
            settings: file.geodns,
            snapshot,
            plans,
            health,
            limiter: None,
            now: Duration::from_secs(100),
            wall: NOW,
            draw: 0,
        })
    }
}

impl Stage {
    pub(crate) fn new() -> Self {
        Draft::default().build().unwrap()
    }

    /// The usual server, with these settings in front of the usual ones.
    pub(crate) fn with(settings: &str) -> Self {
        let settings = format!("{settings}{SETTINGS}");
        Draft { settings: &settings, ..Draft::default() }.build().unwrap()
    }

    pub(crate) fn down(&mut self, pops: &[&str]) {
        for pop in pops {
            self.health.order(pop, Order::Force(StateWord::Down), None);
        }
        self.restand();
    }

    pub(crate) fn restand(&mut self) {
        let fleet = self.snapshot.fleet();
        let standings = self.health.standings(fleet, &self.settings.health, Moment::default());
        self.stand(standings);
    }

    pub(crate) fn stand(&mut self, standings: Standings) {
        self.served = Served::new(Arc::clone(&self.snapshot), Arc::new(standings)).unwrap();
    }

    /// The bytes of the answer and what is said of it.
    pub(crate) fn send(&self, query: &Query) -> Option<(Vec<u8>, Facts)> {
        self.send_bytes(&query.bytes(), query)
    }

    pub(crate) fn send_bytes(&self, message: &[u8], query: &Query) -> Option<(Vec<u8>, Facts)> {
        let mut out = vec![0xaa; 65_535];
        match self.reply(message, query, &mut Scratch::default(), &mut out) {
            Reply::Send { bytes, facts } => {
                out.truncate(bytes);
                Some((out, facts))
            }
            Reply::Drop(_) => None,
        }
    }

    pub(crate) fn reply(
        &self,
        message: &[u8],
        query: &Query,
        scratch: &mut Scratch,
        out: &mut [u8],
    ) -> Reply {
        let asked = Asked {
            message,
            peer: query.peer,
            transport: query.transport,
            wall_seconds: self.wall,
            now: self.now,
            draw: self.draw,
        };
        answer(&self.served, self.limiter.as_ref(), &asked, scratch, out)
    }

    /// The answer as lines; nothing, if there is none.
    pub(crate) fn ask(&self, query: &Query) -> Vec<String> {
        self.send(query).map(|(bytes, _)| lines(&bytes)).unwrap_or_default()
    }

    /// Asks each row, which cites its clause, and compares the whole answer.
    #[track_caller]
    pub(crate) fn says(&self, rows: &[(&str, Query, &[&str])]) {
        for (row, query, expected) in rows {
            assert_eq!(self.ask(query), *expected, "{row}");
        }
    }
}

/// A query, written by hand: what hickory would write is not always what is to be tried.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) name: String,
    pub(crate) rtype: u16,
    pub(crate) class: u16,
    pub(crate) id: u16,
    pub(crate) flags: u16,
    pub(crate) opt: Option<(u16, u32, Vec<u8>)>,
    pub(crate) peer: IpAddr,
    pub(crate) transport: Transport,
}

/// A query without OPT, from an address that the map says nothing of.
pub(crate) fn q(name: &str, rtype: &str) -> Query {
    Query {
        name: name.to_owned(),
        rtype: RecordType::parse(rtype.as_bytes()).unwrap().0,
        class: 1,
        id: 0x1234,
        flags: 0,
        opt: None,
        peer: "192.0.2.200".parse().unwrap(),
        transport: Transport::Udp,
    }
}

impl Query {
    pub(crate) fn from(mut self, peer: &str) -> Self {
        self.peer = peer.parse().unwrap();
        self
    }

    pub(crate) fn over(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    pub(crate) fn class(mut self, class: u16) -> Self {
        self.class = class;
        self
    }

    pub(crate) fn flags(mut self, flags: u16) -> Self {
        self.flags = flags;
        self
    }

    /// With an OPT record of this size.
    pub(crate) fn size(mut self, size: u16) -> Self {
        let opt = self.opt.get_or_insert((1232, 0, Vec::new()));
        opt.0 = size;
        self
    }

    /// With an OPT record whose TTL is this.
    pub(crate) fn opt_ttl(mut self, ttl: u32) -> Self {
        let opt = self.opt.get_or_insert((1232, 0, Vec::new()));
        opt.1 = ttl;
        self
    }

    /// With this option.
    pub(crate) fn option(mut self, code: u16, data: &[u8]) -> Self {
        let opt = self.opt.get_or_insert((1232, 0, Vec::new()));
        opt.2.extend(code.to_be_bytes());
        opt.2.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        opt.2.extend(data);
        self
    }

    /// With this client subnet.
    pub(crate) fn ecs(self, network: &str) -> Self {
        let data = ecs_data(network);
        self.option(8, &data)
    }

    pub(crate) fn cookie(self, hex: &str) -> Self {
        let data = unhex(hex);
        self.option(10, &data)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut message = [self.id.to_be_bytes(), self.flags.to_be_bytes()].concat();
        message.extend(b"\0\x01\0\0\0\0\0");
        message.push(u8::from(self.opt.is_some()));
        message.extend(name(&self.name).as_ref().wire());
        message.extend([self.rtype.to_be_bytes(), self.class.to_be_bytes()].concat());
        if let Some((size, ttl, options)) = &self.opt {
            message.extend(b"\0\0\x29");
            message.extend([&size.to_be_bytes()[..], &ttl.to_be_bytes()].concat());
            message.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
            message.extend(options);
        }
        message
    }
}

pub(crate) fn ecs_data(network: &str) -> Vec<u8> {
    let (address, source) = network.split_once('/').unwrap();
    let source: u8 = source.parse().unwrap();
    let (family, octets) = match address.parse().unwrap() {
        IpAddr::V4(address) => (1, address.octets().to_vec()),
        IpAddr::V6(address) => (2, address.octets().to_vec()),
    };
    let mut data = vec![0, family, source, 0];
    data.extend(&octets[..usize::from(source.div_ceil(8))]);
    data
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A response as hickory reads it: code and flags, then a record a line, then OPT.
pub(crate) fn lines(response: &[u8]) -> Vec<String> {
    let read = Message::from_vec(response).unwrap_or_else(|error| panic!("{error}: {response:?}"));
    let said = &read.metadata;
    assert!(!said.recursion_available && !said.authentic_data && !said.checking_disabled);
    let mut head = rcode(said.response_code.into()).to_owned();
    for (flag, word) in [(said.authoritative, " aa"), (said.truncation, " tc")] {
        if flag {
            head.push_str(word);
        }
    }
    let mut lines = vec![head];
    let sections = [("an", &read.answers), ("au", &read.authorities), ("ad", &read.additionals)];
    for (word, records) in sections {
        for record in records {
            lines.push(format!("{word} {}", line(record)));
        }
    }
    if let Some(edns) = &read.edns {
        let mut text = format!("opt {}", edns.max_payload());
        assert_eq!(edns.version(), 0, "RFC 6891 §6.1.3");
        if edns.flags().dnssec_ok {
            text.push_str(" do");
        }
        for (code, option) in edns.options().as_ref() {
            text.push_str(&option_text(u16::from(*code), option));
        }
        lines.push(text);
    }
    lines
}

fn rcode(code: u16) -> &'static str {
    let known = BTreeMap::from([
        (0, "NOERROR"),
        (1, "FORMERR"),
        (2, "SERVFAIL"),
        (3, "NXDOMAIN"),
        (4, "NOTIMP"),
        (5, "REFUSED"),
        (16, "BADVERS"),
        (23, "BADCOOKIE"),
    ]);
    known.get(&code).unwrap_or_else(|| panic!("RCODE {code}"))
}

fn line(record: &Record) -> String {
    let Record { name, ttl, data, .. } = record;
    let text = match data {
        // Hickory ends lists with a comma.
        RData::HTTPS(https) => {
            let params = https.0.svc_params.iter();
            let params: Vec<String> = params
                .map(|(key, value)| format!("{key}={}", value.to_string().trim_end_matches(',')))
                .collect();
            format!("{} {} {}", https.0.svc_priority, https.0.target_name, params.join(" "))
        }
        _ => data.to_string(),
    };
    format!("{name} {ttl} {} {text}", record.record_type())
}

fn option_text(code: u16, option: &EdnsOption) -> String {
    match (code, option) {
        (_, EdnsOption::Subnet(ecs)) => {
            format!(" ecs={}/{}/{}", ecs.addr(), ecs.source_prefix(), ecs.scope_prefix())
        }
        (_, EdnsOption::NSID(nsid)) => format!(" nsid={}", hex(nsid.as_ref())),
        (10, EdnsOption::Unknown(_, data)) => format!(" cookie={}", hex(data)),
        (12, EdnsOption::Unknown(_, data)) => format!(" padding={}", data.len()),
        (15, EdnsOption::Unknown(_, data)) => {
            format!(" ede={}", u16::from_be_bytes([data[0], data[1]]))
        }
        _ => format!(" option{code}={option:?}"),
    }
}

/// The SOA of the usual zone, as it goes with negative answers.
pub(crate) const SOA: &str =
    "au cdn.test. 60 SOA ns.cdn.test. hostmaster.cdn.test. 7 7200 3600 1209600 3600";
