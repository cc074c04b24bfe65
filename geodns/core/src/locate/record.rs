//! The few fields that we want of a database's record, read straight from its bytes.
//!
//! In: the data section of an mmdb file and the offset of a record. Out: a [`Place`], or what is
//! wrong with the bytes. Both layouts that are in use are read: MaxMind's nested one
//! (`country.iso_code`, `location.latitude`) and the flat one (`country_code`, `latitude`).
//! Always holds: every read is within the section, a pointer leads to no pointer, and a record
//! costs at most [`STEPS_MAX`] values, whatever its bytes claim.
//!
//! A city database has 340,000 distinct records. Decoding them with serde took 1.5 s of the load
//! (2026-09), since each field of each name in eight languages is decoded to be thrown away; this
//! steps over them in a tenth of that time.
//!
//! MaxMind DB format 2.0, "Data Section".

use super::place::{Continent, Country, Place, Point, Region};

/// Values of a record at most, those that are stepped over included.
const STEPS_MAX: u32 = 4096;

/// Reads the place in the record at `offset`.
pub(super) fn read(section: &[u8], offset: usize) -> Result<Place, &'static str> {
    let mut reader = Reader { section, at: offset, steps: STEPS_MAX };
    let mut draft = Draft::default();
    reader.each_entry(|reader, key| draft.take(reader, key))?;
    draft.place()
}

/// What was read so far.
#[derive(Default)]
struct Draft<'s> {
    place: Place,
    registered: Option<Country>,
    region: Option<&'s [u8]>,
    latitude: Option<f64>,
    longitude: Option<f64>,
}

impl<'s> Draft<'s> {
    /// Takes the value of one key of the record.
    fn take(&mut self, reader: &mut Reader<'s>, key: &[u8]) -> Result<(), &'static str> {
        match key {
            b"country" => self.place.country = reader.code(b"iso_code")?.and_then(Country::parse),
            b"country_code" => {
                let code = reader.text()?.and_then(Country::parse);
                self.place.country = code.or(self.place.country);
            }
            // Only where there is no other: it stands behind `country`, as keys are sorted.
            b"registered_country" if self.place.country.is_none() => {
                self.registered = reader.code(b"iso_code")?.and_then(Country::parse);
            }
            b"continent" => self.place.continent = reader.code(b"code")?.and_then(Continent::parse),
            b"continent_code" => self.place.continent = reader.text()?.and_then(Continent::parse),
            b"subdivisions" => self.region = reader.first_code()?,
            b"location" => {
                reader.each_entry(|reader, key| self.take_coordinate(reader, key))?;
            }
            b"latitude" | b"longitude" => self.take_coordinate(reader, key)?,
            b"autonomous_system_number" | b"asn" => self.place.asn = reader.asn()?,
            _ => reader.skip()?,
        }
        Ok(())
    }

    fn take_coordinate(&mut self, reader: &mut Reader<'s>, key: &[u8]) -> Result<(), &'static str> {
        match key {
            b"latitude" => self.latitude = reader.number()?,
            b"longitude" => self.longitude = reader.number()?,
            _ => reader.skip()?,
        }
        Ok(())
    }

    fn place(self) -> Result<Place, &'static str> {
        // A network without a country of its own is where it is registered.
        let country = self.place.country.or(self.registered);
        let region =
            country.zip(self.region).and_then(|(country, code)| Region::new(country, code));
        let point = match self.latitude.zip(self.longitude) {
            None => None,
            Some((latitude, longitude)) => Some(
                Point::new(latitude, longitude).ok_or("its coordinates are not on the globe")?,
            ),
        };
        Ok(Place { country, region, point, ..self.place })
    }
}

/// A value's type, of those that matter here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Double,
    Float,
    Unsigned,
    Map,
    Array,
    /// No payload: its size is its value.
    Boolean,
    /// Any other scalar.
    Bytes,
}

/// A value's head: what it is, and how long (bytes of a scalar, entries of a container).
#[derive(Clone, Copy)]
struct Head {
    kind: Kind,
    size: usize,
}

/// A value that the reader went to, and where it goes back to, if it came by a pointer.
struct Entered {
    head: Head,
    back: Option<usize>,
}

struct Reader<'s> {
    section: &'s [u8],
    at: usize,
    steps: u32,
}

const ENDS: &str = "it ends too early";

impl<'s> Reader<'s> {
    #[inline]
    fn bytes(&mut self, count: usize) -> Result<&'s [u8], &'static str> {
        let end = self.at.checked_add(count).ok_or(ENDS)?;
        let bytes = self.section.get(self.at..end).ok_or(ENDS)?;
        self.at = end;
        Ok(bytes)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, &'static str> {
        let byte = *self.section.get(self.at).ok_or(ENDS)?;
        self.at = self.at.saturating_add(1);
        Ok(byte)
    }

    #[inline]
    fn unsigned(&mut self, count: usize) -> Result<u64, &'static str> {
        let bytes = self.bytes(count)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Calls `then` with the reader at the value that stands here or that a pointer here leads to;
    /// afterwards the reader stands behind it, or behind the pointer.
    fn follow<T>(
        &mut self,
        then: impl FnOnce(&mut Self, Head) -> Result<T, &'static str>,
    ) -> Result<T, &'static str> {
        match self.enter()? {
            Entered { head, back: None } => then(self, head),
            Entered { head, back: Some(back) } => {
                let result = then(self, head);
                self.at = back;
                result
            }
        }
    }

    /// Goes to the value that stands here or that a pointer here leads to.
    #[inline]
    fn enter(&mut self) -> Result<Entered, &'static str> {
        self.steps = self.steps.checked_sub(1).ok_or("it holds too many values")?;
        let control = self.byte()?;
        if control >> 5 != 1 {
            return Ok(Entered { head: self.head(control)?, back: None });
        }
        let target = self.pointer(control)?;
        let back = std::mem::replace(&mut self.at, target);
        let control = self.byte()?;
        if control >> 5 == 1 {
            return Err("a pointer leads to a pointer");
        }
        Ok(Entered { head: self.head(control)?, back: Some(back) })
    }

    #[inline]
    fn pointer(&mut self, control: u8) -> Result<usize, &'static str> {
        let high = u64::from(control & 7);
        let target = match control >> 3 & 3 {
            0 => high << 8 | self.unsigned(1)?,
            1 => (high << 16 | self.unsigned(2)?).saturating_add(2048),
            2 => (high << 24 | self.unsigned(3)?).saturating_add(526_336),
            _ => self.unsigned(4)?,
        };
        usize::try_from(target).map_err(|_too_far| ENDS)
    }

    /// The head whose first byte is `control`, which is no pointer's.
    #[inline]
    fn head(&mut self, control: u8) -> Result<Head, &'static str> {
        let kind = match control >> 5 {
            // The type is extended: it stands in the next byte, less seven.
            0 => match self.byte()? {
                2 | 3 => Kind::Unsigned,
                4 => Kind::Array,
                7 => Kind::Boolean,
                8 => Kind::Float,
                1 => Kind::Bytes,
                _ => return Err("a value has no known type"),
            },
            2 => Kind::Text,
            3 => Kind::Double,
            5 | 6 => Kind::Unsigned,
            7 => Kind::Map,
            _ => Kind::Bytes,
        };
        let size = match control & 31 {
            29 => self.unsigned(1)?.saturating_add(29),
            30 => self.unsigned(2)?.saturating_add(285),
            31 => self.unsigned(3)?.saturating_add(65_821),
            size => u64::from(size),
        };
        Ok(Head { kind, size: usize::try_from(size).map_err(|_too_long| ENDS)? })
    }

    /// Steps over what follows a head: its bytes, or its entries.
    fn skip_payload(&mut self, head: Head) -> Result<(), &'static str> {
        let mut values = match head.kind {
            Kind::Map => head.size.saturating_mul(2),
            Kind::Array => head.size,
            Kind::Boolean => 0,
            Kind::Text | Kind::Double | Kind::Float | Kind::Unsigned | Kind::Bytes => {
                return self.bytes(head.size).map(|_| ());
            }
        };
        while let Some(left) = values.checked_sub(1) {
            values = left;
            self.steps = self.steps.checked_sub(1).ok_or("it holds too many values")?;
            let control = self.byte()?;
            if control >> 5 == 1 {
                self.pointer(control)?;
                continue;
            }
            let inner = self.head(control)?;
            match inner.kind {
                Kind::Map => values = values.saturating_add(inner.size.saturating_mul(2)),
                Kind::Array => values = values.saturating_add(inner.size),
                Kind::Boolean => {}
                Kind::Text | Kind::Double | Kind::Float | Kind::Unsigned | Kind::Bytes => {
                    self.bytes(inner.size)?;
                }
            }
        }
        Ok(())
    }

    fn skip(&mut self) -> Result<(), &'static str> {
        self.steps = self.steps.checked_sub(1).ok_or("it holds too many values")?;
        let control = self.byte()?;
        if control >> 5 == 1 {
            return self.pointer(control).map(|_| ());
        }
        let head = self.head(control)?;
        self.skip_payload(head)
    }

    /// Calls `take` with each key of the map here, the reader at its value; anything but a map is
    /// stepped over.
    fn each_entry(
        &mut self,
        mut take: impl FnMut(&mut Self, &[u8]) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        self.follow(|reader, head| {
            if head.kind != Kind::Map {
                return reader.skip_payload(head);
            }
            for _ in 0..head.size {
                let key = reader.text()?.ok_or("a key is not a string")?;
                take(reader, key)?;
            }
            Ok(())
        })
    }

    /// The string here.
    fn text(&mut self) -> Result<Option<&'s [u8]>, &'static str> {
        self.follow(|reader, head| {
            if head.kind == Kind::Text {
                return reader.bytes(head.size).map(Some);
            }
            reader.skip_payload(head)?;
            Ok(None)
        })
    }

    /// The string under `wanted` in the map here, or the string here.
    fn code(&mut self, wanted: &[u8]) -> Result<Option<&'s [u8]>, &'static str> {
        let Entered { head, back } = self.enter()?;
        let mut found = None;
        match head.kind {
            Kind::Text => found = Some(self.bytes(head.size)?),
            Kind::Map => {
                for _ in 0..head.size {
                    let key = self.text()?.ok_or("a key is not a string")?;
                    if key == wanted {
                        found = self.text()?;
                        // Behind a pointer the rest need not be stepped over: the reader goes back.
                        if back.is_some() {
                            break;
                        }
                    } else {
                        self.skip()?;
                    }
                }
            }
            Kind::Double
            | Kind::Float
            | Kind::Unsigned
            | Kind::Array
            | Kind::Boolean
            | Kind::Bytes => self.skip_payload(head)?,
        }
        self.at = back.unwrap_or(self.at);
        Ok(found)
    }

    /// The `iso_code` of the first of the maps in the array here.
    fn first_code(&mut self) -> Result<Option<&'s [u8]>, &'static str> {
        self.follow(|reader, head| {
            if head.kind != Kind::Array {
                return reader.skip_payload(head).map(|()| None);
            }
            let mut first = None;
            for index in 0..head.size {
                if index == 0 {
                    first = reader.code(b"iso_code")?;
                } else {
                    reader.skip()?;
                }
            }
            Ok(first)
        })
    }

    /// The number here: a double, a float, or one in a string.
    fn number(&mut self) -> Result<Option<f64>, &'static str> {
        self.follow(|reader, head| {
            let bytes = match head.kind {
                Kind::Double | Kind::Float | Kind::Text => reader.bytes(head.size)?,
                Kind::Unsigned | Kind::Map | Kind::Array | Kind::Boolean | Kind::Bytes => {
                    return reader.skip_payload(head).map(|()| None);
                }
            };
            if head.kind == Kind::Text {
                return Ok(std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()));
            }
            if let Ok(double) = bytes.try_into() {
                return Ok(Some(f64::from_be_bytes(double)));
            }
            let float = bytes.try_into().map_err(|_other_size| "a number has no known size")?;
            Ok(Some(f64::from(f32::from_be_bytes(float))))
        })
    }

    /// The autonomous system here: a number, or a string such as `AS64500`.
    fn asn(&mut self) -> Result<Option<u32>, &'static str> {
        self.follow(|reader, head| match head.kind {
            Kind::Unsigned if head.size <= 8 => Ok(u32::try_from(reader.unsigned(head.size)?).ok()),
            Kind::Text => {
                let text = std::str::from_utf8(reader.bytes(head.size)?).unwrap_or_default();
                Ok(text.trim_start_matches("AS").parse().ok())
            }
            Kind::Double
            | Kind::Float
            | Kind::Unsigned
            | Kind::Map
            | Kind::Array
            | Kind::Boolean
            | Kind::Bytes => reader.skip_payload(head).map(|()| None),
        })
    }
}
