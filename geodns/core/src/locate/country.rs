//! Where countries and continents are, so that distance works with data that knows no coordinates.
//!
//! In: a country or a continent. Out: the middle of its people, and a country's continent.
//! Always holds: every country of ISO 3166-1 is there (and Kosovo, under the code that databases
//! give it), each on a point of the globe.
//! The table is ours, written from general knowledge, good to a few hundred kilometres: it tells
//! which PoP is near a country, not where in it a client is.

use std::collections::HashMap;

use super::place::{Continent, Country, Place, Point};

const TABLE: &str = include_str!("countries.txt");

/// The table, read.
#[derive(Clone, Debug)]
pub(super) struct Countries {
    countries: HashMap<Country, (Point, Continent)>,
}

/// How coordinates were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    Coordinates,
    Country,
    Continent,
}

impl Countries {
    pub(super) fn load() -> Self {
        Self { countries: TABLE.lines().filter_map(row).collect() }
    }

    /// The continent of a place: its country's, unless its source says one.
    pub(super) fn continent(&self, place: &Place) -> Option<Continent> {
        place.continent.or_else(|| Some(self.countries.get(&place.country?)?.1))
    }

    /// The best point that is known of a place.
    pub(super) fn point(&self, place: &Place) -> Option<(Point, Precision)> {
        if let Some(point) = place.point {
            return Some((point, Precision::Coordinates));
        }
        if let Some((point, _)) = place.country.and_then(|country| self.countries.get(&country)) {
            return Some((*point, Precision::Country));
        }
        Some((middle(place.continent?)?, Precision::Continent))
    }
}

fn row(line: &str) -> Option<(Country, (Point, Continent))> {
    let mut words = line.split(' ');
    let country = Country::parse(words.next()?.as_bytes())?;
    let latitude = words.next()?.parse().ok()?;
    let longitude = words.next()?.parse().ok()?;
    let continent = Continent::parse(words.next()?.as_bytes())?;
    Some((country, (Point::new(latitude, longitude)?, continent)))
}

/// The middle of a continent's people.
fn middle(continent: Continent) -> Option<Point> {
    let (latitude, longitude) = match continent {
        Continent::Africa => (7.0, 20.0),
        Continent::Antarctica => (-77.8, 166.7),
        Continent::Asia => (27.0, 96.0),
        Continent::Europe => (50.0, 14.0),
        Continent::NorthAmerica => (35.0, -93.0),
        Continent::Oceania => (-31.0, 150.0),
        Continent::SouthAmerica => (-15.0, -58.0),
    };
    Point::new(latitude, longitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        Place { country: Country::parse(text.as_bytes()), ..Place::default() }
    }

    #[test]
    fn every_country_of_iso_3166_1_is_there_once() {
        let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
        let codes: Vec<&str> = rows.filter_map(|line| line.get(..2)).collect();
        let countries = Countries::load();
        // ISO 3166-1 has 249 codes; XK is the one that databases add.
        assert_eq!(codes.len(), 250);
        assert_eq!(countries.countries.len(), 250, "each row reads, and none stands twice");
        assert!(codes.is_sorted());
    }

    #[test]
    fn a_countrys_middle_lies_on_its_continent() {
        let countries = Countries::load();
        for (country, (point, continent)) in &countries.countries {
            let km = super::super::sphere::distance_km(*point, middle(*continent).unwrap());
            assert!(km < 8_500.0, "{country} is {km} km from the middle of {continent}");
        }
    }

    #[test]
    fn the_best_that_is_known_is_used() {
        let countries = Countries::load();
        let exact = Point::new(48.1, 11.6);
        let rows = [
            ("coordinates", Place { point: exact, ..place("DE") }, Some(Precision::Coordinates)),
            ("a country", place("DE"), Some(Precision::Country)),
            (
                "a code that is no country",
                Place { continent: Some(Continent::Europe), ..place("EU") },
                Some(Precision::Continent),
            ),
            ("a code alone", place("ZZ"), None),
            ("nothing", Place::default(), None),
        ];
        for (name, place, expected) in rows {
            assert_eq!(countries.point(&place).map(|(_, how)| how), expected, "{name}");
        }
        assert_eq!(countries.continent(&place("BR")), Some(Continent::SouthAmerica));
        let said = Place { continent: Some(Continent::Asia), ..place("RU") };
        assert_eq!(countries.continent(&said), Some(Continent::Asia), "the source goes first");
        assert_eq!(countries.continent(&Place::default()), None);
    }
}
