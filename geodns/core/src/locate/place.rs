//! Places: what a source can say about where a client or a PoP is.
//!
//! In: texts and numbers of settings and databases. Out: values that fit into a few bytes, so that
//! millions of them compare and hash cheaply. Always holds: a code is upper case, a point is on
//! the globe.
//!
//! ISO 3166-1 (countries), ISO 3166-2 (regions).

use std::fmt;

/// A country, by its two letters of ISO 3166-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

/// A part of a country, by its code of ISO 3166-2: `US-CA`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region {
    country: Country,
    /// One to three letters or digits, zeros behind them.
    part: [u8; 3],
}

/// A continent, by the two letters that databases use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Continent {
    /// `AF`
    Africa,
    /// `AN`
    Antarctica,
    /// `AS`
    Asia,
    /// `EU`
    Europe,
    /// `NA`
    NorthAmerica,
    /// `OC`
    Oceania,
    /// `SA`
    SouthAmerica,
}

/// A point on the globe, in ten thousandths of a degree: about eleven metres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    latitude: i32,
    longitude: i32,
}

/// What is known of a place; any part may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// The country.
    pub country: Option<Country>,
    /// The continent, as the source says it.
    pub continent: Option<Continent>,
    /// The part of the country.
    pub region: Option<Region>,
    /// The network operator's autonomous system.
    pub asn: Option<u32>,
    /// The coordinates.
    pub point: Option<Point>,
}

impl Country {
    /// Reads two letters, in either case.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let &[first, second] = text else { return None };
        let letters = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(letters))
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Region {
    /// The part `code` of `country`.
    #[must_use]
    pub fn new(country: Country, code: &[u8]) -> Option<Self> {
        let mut part = [0; 3];
        if code.is_empty() || code.len() > part.len() {
            return None;
        }
        for (to, from) in part.iter_mut().zip(code) {
            *to = from.is_ascii_alphanumeric().then(|| from.to_ascii_uppercase())?;
        }
        Some(Self { country, part })
    }

    /// Reads a code such as `US-CA`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (country, part) = text.split_once('-')?;
        Self::new(Country::parse(country.as_bytes())?, part.as_bytes())
    }
}

impl Continent {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Africa,
        Self::Antarctica,
        Self::Asia,
        Self::Europe,
        Self::NorthAmerica,
        Self::Oceania,
        Self::SouthAmerica,
    ];

    /// Reads the two letters, in either case.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str().as_bytes().eq_ignore_ascii_case(text))
    }

    /// The two letters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Africa => "AF",
            Self::Antarctica => "AN",
            Self::Asia => "AS",
            Self::Europe => "EU",
            Self::NorthAmerica => "NA",
            Self::Oceania => "OC",
            Self::SouthAmerica => "SA",
        }
    }
}

impl Point {
    /// The point at these degrees, north and east positive.
    #[must_use]
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let on_globe = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        on_globe.then(|| Self {
            latitude: ten_thousandths(latitude),
            longitude: ten_thousandths(longitude),
        })
    }

    /// Degrees north of the equator.
    #[must_use]
    pub fn latitude(self) -> f64 {
        f64::from(self.latitude) / 10_000.0
    }

    /// Degrees east of Greenwich.
    #[must_use]
    pub fn longitude(self) -> f64 {
        f64::from(self.longitude) / 10_000.0
    }
}

#[expect(clippy::cast_possible_truncation, reason = "at most 180 degrees: 1,800,000 fits")]
fn ten_thousandths(degrees: f64) -> i32 {
    (degrees * 10_000.0).round() as i32
}

impl Place {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// This place, and `other` for what it does not know.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            country: self.country.or(other.country),
            continent: self.continent.or(other.continent),
            region: self.region.or(other.region),
            asn: self.asn.or(other.asn),
            point: self.point.or(other.point),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = std::str::from_utf8(&self.part).unwrap_or_default();
        write!(f, "{}-{}", self.country, part.trim_end_matches('\0'))
    }
}

impl fmt::Display for Continent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.latitude(), self.longitude())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_in_either_case_and_only_in_full() {
        let rows = [
            ("DE", Some("DE")),
            ("us", Some("US")),
            ("D", None),
            ("DEU", None),
            ("D1", None),
            ("", None),
        ];
        for (text, expected) in rows {
            let country = Country::parse(text.as_bytes()).map(|country| country.to_string());
            assert_eq!(country.as_deref(), expected, "{text}");
        }
        let rows = [
            ("US-CA", Some("US-CA")),
            ("fr-idf", Some("FR-IDF")),
            ("AT-9", Some("AT-9")),
            ("US", None),
            ("US-", None),
            ("US-CALI", None),
            ("USA-CA", None),
            ("US-C!", None),
        ];
        for (text, expected) in rows {
            assert_eq!(
                Region::parse(text).map(|one| one.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
        for continent in Continent::ALL {
            assert_eq!(Continent::parse(continent.as_str().as_bytes()), Some(continent));
        }
        assert_eq!(Continent::parse(b"eu"), Some(Continent::Europe));
        assert_eq!(Continent::parse(b"XX"), None);
    }

    #[test]
    fn points_are_on_the_globe() {
        let rows = [
            (90.0, 180.0, Some("90,180")),
            (-90.0, -180.0, Some("-90,-180")),
            (50.11, 8.68, Some("50.11,8.68")),
            (0.000_04, -0.000_06, Some("0,-0.0001")),
            (90.1, 0.0, None),
            (0.0, -180.1, None),
            (f64::NAN, 0.0, None),
            (0.0, f64::INFINITY, None),
        ];
        for (latitude, longitude, expected) in rows {
            let point = Point::new(latitude, longitude).map(|point| point.to_string());
            assert_eq!(point.as_deref(), expected, "{latitude} {longitude}");
        }
    }

    #[test]
    fn what_one_source_knows_goes_before_what_another_does() {
        let city = Place {
            country: Country::parse(b"DE"),
            point: Point::new(1.0, 2.0),
            ..Place::default()
        };
        let asn = Place { country: Country::parse(b"FR"), asn: Some(64_500), ..Place::default() };
        let both = Place { asn: Some(64_500), ..city };
        assert_eq!(city.or(asn), both);
        assert!(Place::default().is_unknown() && !asn.is_unknown());
    }
}
