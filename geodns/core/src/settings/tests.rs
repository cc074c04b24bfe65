//! What the words of settings come to when they are typed, and when they are left out.

use super::*;
use crate::{
    fleet::FleetView,
    limit::Rates,
    route::{Routes, filter::FilterName},
};

#[derive(Deserialize)]
struct File {
    geodns: GeodnsSettings,
    #[serde(default)]
    pop: Vec<PopSettings>,
}

#[test]
fn a_file_of_few_words_is_enough() {
    let file: File = toml::from_str(
        "[geodns]
listen = ['0.0.0.0:53']
zone = [{ name = 'cdn.example', file = 'cdn.example.zone' }]
geo = { database = 'GeoLite2-City.mmdb' }
[[geodns.route]]
names = ['www']
[[geodns.check]]
port = 443
kind = 'https'
[[pop]]
name = 'fra'
location = { latitude = 50.11, longitude = 8.68 }
addresses = ['192.0.2.1']",
    )
    .unwrap();
    assert_eq!(file.geodns.zone[0].name, "cdn.example");
    assert_eq!(file.geodns.negative_ttl_max, Duration::from_secs(60));
    assert_eq!(file.geodns.check, [CheckSettings::new(CheckKind::Https, 443)]);
    assert!(FleetView::build(&file.pop).is_ok());
    assert!(Routes::build(&file.geodns.route, &["default".into()]).is_ok());
}

#[test]
fn every_word_may_be_said() {
    let file: File = toml::from_str(
        "[geodns]
client_subnet = { believe = 'listed', resolvers = ['192.0.2.0/24'] }
negative_ttl_max = '30s'
[geodns.limits]
map_memory_max = '64 MiB'
[geodns.health]
ramp_up = '2m'
[geodns.answer]
id = 'fra-1'
version = 'GeoDNS'
udp_bytes_max = 1400
padding_block_bytes = 128
[geodns.cookies]
enabled = true
secrets = 'cookie.secrets'
[geodns.rate_limit]
enabled = true
answers = 5
nodata = 4
nxdomain = 3
referrals = 2
errors = 1
burst = '1s'
window = '10s'
slip = 3
bits_v4 = 25
bits_v6 = 64
allow = ['192.0.2.0/24']
entries = 2048
[[geodns.map]]
name = 'eu'
pops = ['fra']
list = 2
tie_percent = 5
[[geodns.map.prefer]]
pops = ['fra']
countries = ['DE']
asns = [64500]
[[geodns.route]]
name = 'r'
names = ['@', '*.img']
sites = true
map = 'eu'
policy = ['fence', 'up', 'load', 'priority', 'nearest', 'sticky', 'first']
nearest = { keep = 2 }
load = { low = 70, high = 90, by = 'client' }
sticky = { by = 'name' }
first = { pops = 2 }
all_down = 'servfail'
ttl = '20s'
[[pop]]
name = 'fra'",
    )
    .unwrap();
    let settings = &file.geodns;
    assert_eq!(settings.client_subnet.believe, Believe::Listed);
    assert_eq!(settings.limits.map_memory_max, ByteSize::mib(64));
    assert_eq!(settings.route[0].all_down, AllDown::Servfail);
    assert_eq!(settings.route[0].policy[5], FilterName::Sticky);
    assert_eq!(settings.map[0].prefer[0].asns, [64_500]);
    assert_eq!(settings.answer.udp_bytes_max, 1400);
    let limits = settings.rate_limit.limits().unwrap();
    let rates = Rates { answer: 5, nodata: 4, nxdomain: 3, referral: 2, error: 1 };
    assert_eq!((limits.rates, limits.entries, limits.slip), (rates, 2048, 3));
    assert_eq!((limits.ipv4_prefix_length, limits.ipv6_prefix_length), (25, 64));
    assert!(RateLimitSettings { enabled: false, ..settings.rate_limit.clone() }.limits().is_none());
    assert!(Routes::build(&settings.route, &["eu".into()]).is_ok());
}

#[test]
fn unknown_words_are_refused() {
    for toml in [
        "[geodns]\nlisten_on = []",
        "[geodns]\n[[geodns.route]]\npolicy = ['closest']",
        "[geodns]\n[[geodns.map]]\nlists = 3",
        "[geodns]\n[[geodns.check]]\nport = 80\nevery = '1s'",
        "[geodns]\n[[pop]]\nname = 'a'\nwheight = 3",
        "[geodns]\n[[pop]]\nname = 'a'\nlocation = { latitude = 1.0 }",
    ] {
        assert!(toml::from_str::<File>(toml).is_err(), "{toml}");
    }
}

#[test]
fn every_key_says_what_it_means() {
    for schema in [schemars::schema_for!(GeodnsSettings), schemars::schema_for!(PopSettings)] {
        let text = schema.to_value();
        undocumented(&text, "", &mut |at| panic!("{at} has no doc line"));
    }
}

/// Calls `report` with the path of each property that has no description.
fn undocumented(schema: &serde_json::Value, at: &str, report: &mut impl FnMut(&str)) {
    let tables = [schema.get("properties"), schema.get("$defs")];
    for (index, table) in tables.into_iter().enumerate() {
        for (key, value) in table.and_then(|table| table.as_object()).into_iter().flatten() {
            let at = format!("{at}.{key}");
            if index == 0 && value.get("description").is_none() {
                report(&at);
            }
            undocumented(value, &at, report);
        }
    }
}
