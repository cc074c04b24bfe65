//! Databases that are damaged, strange or useless, and what their records may look like.

use proptest::prelude::*;

use super::{
    super::{
        database::DatabaseError,
        place::{Continent, Place, Region},
        record,
    },
    mmdb::Section,
    *,
};

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn read(value: &Value) -> Result<Place, &'static str> {
    let mut section = Section::default();
    section.value(&text("padding"));
    let start = section.bytes.len();
    section.value(value);
    // What it points to may stand behind it; then the record begins where it was put.
    record::read(&section.bytes, start)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of rows")]
fn records_of_either_layout_are_read() {
    let de = Country::parse(b"DE");
    let place = |country| Place { country, ..Place::default() };
    let map = |entries: &[(&'static str, Value)]| Value::Map(entries.to_vec());
    let rows = [
        (
            "nested",
            map(&[
                ("continent", map(&[("code", text("EU"))])),
                (
                    "country",
                    map(&[("names", map(&[("en", text("Germany"))])), ("iso_code", text("DE"))]),
                ),
                (
                    "location",
                    map(&[("latitude", Value::Double(50.1)), ("longitude", Value::Double(8.7))]),
                ),
                ("subdivisions", Value::List(vec![map(&[("iso_code", text("HE"))]), text("x")])),
            ]),
            Place {
                continent: Some(Continent::Europe),
                region: Region::parse("DE-HE"),
                point: Point::new(50.1, 8.7),
                ..place(de)
            },
        ),
        (
            "flat",
            map(&[
                ("city", text("Frankfurt")),
                ("country_code", text("DE")),
                ("latitude", Value::Float(50.5)),
                ("longitude", text("8.25")),
            ]),
            Place { point: Point::new(50.5, 8.25), ..place(de) },
        ),
        (
            "registered only",
            map(&[("registered_country", map(&[("iso_code", text("DE"))]))]),
            place(de),
        ),
        (
            "registered elsewhere",
            map(&[
                ("registered_country", map(&[("iso_code", text("US"))])),
                ("country", map(&[("iso_code", text("DE"))])),
            ]),
            place(de),
        ),
        ("a country as a string", map(&[("country", text("de"))]), place(de)),
        (
            "a country's name",
            map(&[("country", text("Germany")), ("country_code", text("DE"))]),
            place(de),
        ),
        (
            "a number of a system",
            map(&[("autonomous_system_number", Value::Unsigned(64_500))]),
            Place { asn: Some(64_500), ..place(None) },
        ),
        (
            "a system as a string",
            map(&[("asn", text("AS64500"))]),
            Place { asn: Some(64_500), ..place(None) },
        ),
        ("half of a point", map(&[("latitude", Value::Double(1.0))]), place(None)),
        (
            "other types",
            map(&[
                ("country", Value::Flag(true)),
                ("location", text("x")),
                ("subdivisions", map(&[])),
                ("asn", Value::Double(1.0)),
                ("latitude", Value::List(vec![])),
            ]),
            place(None),
        ),
        ("no map", text("DE"), place(None)),
        (
            "a long string",
            map(&[
                ("note", text(&"x".repeat(700))),
                ("more", text(&"y".repeat(100))),
                ("country_code", text("DE")),
            ]),
            place(de),
        ),
        (
            "flags take no bytes",
            map(&[
                ("a", Value::Flag(true)),
                ("b", Value::Flag(false)),
                ("country_code", text("DE")),
            ]),
            place(de),
        ),
    ];
    for (name, value, expected) in rows {
        assert_eq!(read(&value), Ok(expected), "{name}");
    }
    let off = map(&[("latitude", Value::Double(91.0)), ("longitude", Value::Double(0.0))]);
    assert_eq!(read(&off), Err("its coordinates are not on the globe"));
    let endless = Value::List(vec![Value::Flag(true); 5_000]);
    assert_eq!(read(&map(&[("x", endless)])), Err("it holds too many values"));
}

#[test]
fn damaged_records_are_told_from_good_ones() {
    let rows: [(&str, &[u8], &str); 8] = [
        ("nothing", &[], "it ends too early"),
        ("a map without entries to read", &[0xe1], "it ends too early"),
        ("a key that is a number", &[0xe1, 0xa1, 1, 0x41, b'x'], "a key is not a string"),
        ("a pointer to itself", &[0x20, 0], "a pointer leads to a pointer"),
        ("a pointer beyond the end", &[0x20, 9], "it ends too early"),
        ("a type that is not there", &[0, 200], "a value has no known type"),
        ("a string beyond the end", &[0xe1, 0x45, b'x'], "it ends too early"),
        (
            "a map that holds itself",
            &[0xe1, 0x48, b'l', b'o', b'c', b'a', b't', b'i', b'o', b'n', 0x20, 0],
            "ok",
        ),
    ];
    for (name, bytes, expected) in rows {
        let fault = record::read(bytes, 0).map_or_else(|fault| fault, |_| "ok");
        assert_eq!(fault, expected, "{name}");
    }
}

fn refusal(bytes: &[u8]) -> String {
    let fleet = world();
    let plan = plan(&MapSettings::default(), &fleet, "");
    match Database::open("geo.mmdb", bytes) {
        Err(error) => error.to_string(),
        Ok(database) => match Map::compile(&plan, &fleet, &mut [database], PLENTY) {
            Ok(_) => "taken".to_owned(),
            Err(MapError::Database(error)) => error.to_string(),
            Err(error) => error.to_string(),
        },
    }
}

#[test]
fn a_database_that_cannot_be_used_is_refused_with_the_reason() {
    let good = Mmdb::of(&[("192.0.2.0/24", flat("DE"))]).bytes();
    assert_eq!(refusal(&good), "taken");
    assert_eq!(refusal(b""), "geo.mmdb: not a sound mmdb file");
    assert_eq!(refusal(b"PK\x03\x04 no database"), "geo.mmdb: not a sound mmdb file");
    let cut = good.get(good.len() / 2..).unwrap();
    assert_eq!(refusal(cut), "geo.mmdb: not a sound mmdb file");
    let says_nothing = Mmdb::of(&[("192.0.2.0/24", Value::Map(vec![("isp", text("x"))]))]).bytes();
    let expected =
        "geo.mmdb: no record has a country, a continent, coordinates or an autonomous system";
    assert_eq!(refusal(&says_nothing), expected);
    let empty = Mmdb::of(&[]).bytes();
    assert_eq!(refusal(&empty), expected);
    // The record's country code claims to be longer than the file.
    let mut damaged = good.clone();
    let code = damaged.windows(3).rposition(|three| three == b"BDE").unwrap();
    damaged[code] = 0x5f;
    let message = refusal(&damaged);
    assert!(
        message.starts_with("geo.mmdb: the record at byte 0 of the data section is damaged"),
        "{message}"
    );
}

#[test]
fn a_tree_that_meets_itself_ends() {
    // Each node's two children are the next node: two to the 32nd paths, 32 nodes.
    let file = Mmdb { record_size: 32, ip_version: 4, mirrors: false, networks: vec![] };
    let mut chain = file;
    chain.networks = vec![("0.0.0.0/32".parse().unwrap(), flat("DE"))];
    let mut bytes = chain.bytes();
    for node in 0..31_usize {
        let (left, right) = bytes[node * 8..node * 8 + 8].split_at_mut(4);
        right.copy_from_slice(left);
    }
    assert_eq!(refusal(&bytes), "geo.mmdb: its search tree meets itself");
}

#[test]
fn a_database_tells_what_it_is() {
    let bytes = Mmdb::of(&[("192.0.2.0/24", flat("DE"))]).bytes();
    let database = Database::open("geo.mmdb", &bytes).unwrap();
    assert_eq!(
        (database.name(), database.kind(), database.built()),
        ("geo.mmdb", "Test-City", 1_700_000_000)
    );
    let source = std::error::Error::source(&Database::open("x", b"").unwrap_err()).is_some();
    assert!(source, "the reader's own words are in the chain");
    let four = Mmdb { ip_version: 4, ..Mmdb::of(&[("192.0.2.0/24", flat("DE"))]) }.bytes();
    let four = Database::open("geo.mmdb", &four).unwrap();
    assert_eq!(four.find("2001:db8::1".parse().unwrap()).unwrap(), Place::default());
}

proptest! {
    #[test]
    fn no_bytes_panic_a_record(bytes in prop::collection::vec(any::<u8>(), 0..200), offset in 0..220_usize) {
        let _place = record::read(&bytes, offset);
    }

    #[test]
    fn no_damage_panics_a_map(
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        version in prop_oneof![Just(4_u16), Just(6)],
        size in prop_oneof![Just(24_u16), Just(28), Just(32)],
    ) {
        let file = Mmdb {
            ip_version: version,
            record_size: size,
            ..Mmdb::of(&[
                ("192.0.2.0/24", nested("DE", "HE", Some((50.0, 8.0)))),
                ("10.0.0.0/9", flat("US")),
                ("198.51.100.7/32", nested("FR", "", None)),
            ])
        };
        let mut bytes = file.bytes();
        for (index, byte) in at {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let _message = refusal(&bytes);
        if let Ok(database) = Database::open("x", &bytes) {
            for address in ["192.0.2.1", "10.1.1.1", "2001:db8::1"] {
                let _found: Result<Place, DatabaseError> = database.find(address.parse().unwrap());
            }
        }
    }
}
