//! What the words of settings come to when they are typed, and when they are left out.

use super::*;
use crate::{
    fleet::FleetView,
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

#[test]
fn rates_come_to_what_the_limiter_goes_by() {
    let text = "answer = 7\nslip = 0\nnetworks_exempt = ['192.0.2.0/24']\nentries_max = 2048";
    let settings: RateLimitSettings = toml::from_str(text).unwrap();
    let limits = settings.limits().unwrap();
    assert_eq!((limits.rates.answer, limits.rates.error, limits.slip), (7, 100, 0));
    assert_eq!((limits.allowed.len(), limits.entries), (1, 2048));
    assert_eq!((limits.ipv4_prefix_length, limits.ipv6_prefix_length), (24, 56));
    let none = "answer = 0\nnodata = 0\nnxdomain = 0\nreferral = 0\nerror = 0";
    assert!(toml::from_str::<RateLimitSettings>(none).unwrap().limits().is_none());
}

#[test]
fn a_secret_is_read_and_never_repeated() {
    let hex = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    let settings: CookieSettings = toml::from_str(&format!("secrets = ['{hex}']")).unwrap();
    assert!(!format!("{settings:?}").contains("e5"));
    assert!(!serde_json::to_string(&settings.secrets).unwrap().contains("e5"));
    let keys = CookieSecret::keys(&settings.secrets).unwrap();
    assert!(keys.other.is_none());
    assert_eq!(CookieSecret::parse(&hex.to_uppercase()), CookieSecret::parse(hex));
    assert_ne!(CookieSecret::parse(&hex.replace("e5", "e6")), CookieSecret::parse(hex));
    assert!(CookieSecret::keys(&[]).is_none());
    for wrong in [
        "",
        "e5",
        hex.strip_prefix("e").unwrap(),
        &format!("{hex}0"),
        &hex.replace('e', "g"),
        &"é".repeat(16),
    ] {
        assert_eq!(CookieSecret::parse(wrong), None, "{wrong}");
        let fault = toml::from_str::<CookieSettings>(&format!("secrets = ['{wrong}']"));
        let fault = fault.unwrap_err();
        assert!(wrong.is_empty() || !fault.message().contains(wrong), "{fault}");
    }
}

#[test]
fn words_and_texts_of_one_key_are_told_apart() {
    let settings: GeodnsSettings =
        toml::from_str("identity = 'ns-1'\nquery_log = { target = 'q.log' }").unwrap();
    assert_eq!(settings.identity.of("fra-1"), Some("ns-1"));
    assert_eq!(settings.query_log.target, QueryTarget::Path("q.log".into()));
    let settings: GeodnsSettings =
        toml::from_str("identity = 'off'\nquery_log = { target = 'stdout' }").unwrap();
    assert_eq!(settings.identity.of("fra-1"), None);
    assert_eq!(settings.query_log.target, QueryTarget::Stdout);
    assert_eq!(GeodnsSettings::default().identity.of("fra-1"), Some("fra-1"));
    for text in ["node", "off", "ns-1"] {
        let value: Identity = serde_json::from_value(text.into()).unwrap();
        assert_eq!(serde_json::to_value(&value).unwrap(), text);
    }
}
