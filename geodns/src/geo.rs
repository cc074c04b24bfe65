//! Where geo data come from: the operator's database files, or the built-in database of countries.
//!
//! In: `[geodns.geo]`. Out: the bytes of databases, in the order in which they are believed.
//! Always holds: the built-in database is unpacked at most once, and only where it is used;
//! a file is read whole, so that one which is replaced meanwhile harms nothing that was read.
//! It deliberately does not know what a database says: `geodns_core::locate` does. Its callers are
//! no serving threads: reading and unpacking take their time.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    thread,
};

use geodns_core::{
    locate::database::{Database, DatabaseError},
    settings::GeoSettings,
};
use lzma_rust2::LzmaReader;

/// See `data/README.md` for where it is from and whom it is owed to.
static PACKED: &[u8] = include_bytes!("../data/geo-whois-asn-country.mmdb.lzma");
/// What [`PACKED`] unpacks to.
const UNPACKED_BYTES: usize = 7_841_291;
/// Memory that unpacking may take beside the result, in KiB: the dictionary is 8 MiB.
const UNPACKING_KIB_MAX: u32 = 9 * 1024;
/// What of a file is read at once.
const PART_BYTES: u64 = 128 * 1024;
/// The built-in database's name in messages.
const BUILT_IN: &str = "the built-in database of countries";

static UNPACKED: OnceLock<Box<[u8]>> = OnceLock::new();

/// Why there are no geo data. What runs is kept.
#[derive(Debug, thiserror::Error)]
pub enum GeoError {
    /// The operator's file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The operator's file is larger than the settings allow.
    #[error("{}: more than geodns.limits.database_bytes_max, {bytes_max} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is allowed.
        bytes_max: u64,
    },
    /// The program itself is damaged.
    #[error("{BUILT_IN} cannot be unpacked")]
    BuiltIn(#[source] io::Error),
    /// The file is no database.
    #[error("a database cannot be used")]
    Database(#[from] DatabaseError),
}

/// The bytes of one database, and what messages call it.
#[derive(Debug)]
pub struct Source {
    name: Arc<str>,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    BuiltIn(&'static [u8]),
    File(Vec<u8>),
}

/// All databases that the settings speak of, in order.
#[derive(Debug)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Reads them; a file of more than `bytes_max` is not read to its end.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub fn read(settings: &GeoSettings, bytes_max: u64) -> Result<Self, GeoError> {
        let mut sources = vec![match &settings.database {
            Some(path) => Source::read(path, bytes_max)?,
            None => Source { name: BUILT_IN.into(), bytes: Bytes::BuiltIn(built_in()?) },
        }];
        for path in &settings.supplements {
            sources.push(Source::read(path, bytes_max)?);
        }
        Ok(Self(sources))
    }

    /// Opens them; each walk over one fills its own table of places.
    ///
    /// # Errors
    /// The first that is no database.
    pub fn open(&self) -> Result<Vec<Database<'_>>, GeoError> {
        self.0.iter().map(|one| Ok(Database::open(&one.name, one.bytes())?)).collect()
    }
}

impl Source {
    fn read(path: &Path, bytes_max: u64) -> Result<Self, GeoError> {
        match read(path, bytes_max) {
            Ok(Some(bytes)) => {
                Ok(Self { name: path.display().to_string().into(), bytes: Bytes::File(bytes) })
            }
            Ok(None) => Err(GeoError::TooLarge { path: path.to_owned(), bytes_max }),
            Err(source) => Err(GeoError::Read { path: path.to_owned(), source }),
        }
    }

    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::BuiltIn(bytes) => bytes,
            Bytes::File(bytes) => bytes,
        }
    }
}

/// A file, whole; nothing, if it has more than `bytes_max`.
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    if length > bytes_max {
        return Ok(None);
    }
    // Its length is a hint, no promise: it may be written to at this moment.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    let mut rest = file.take(bytes_max.saturating_add(1));
    while rest.by_ref().take(PART_BYTES).read_to_end(&mut bytes)? > 0 {
        // Who answers beside this waits for a part of the copying, not for all of it.
        thread::yield_now();
    }
    let fits = u64::try_from(bytes.len()).is_ok_and(|length| length <= bytes_max);
    Ok(fits.then_some(bytes))
}

/// The files that the settings speak of, to be watched.
pub fn files(settings: &GeoSettings) -> impl Iterator<Item = &Path> {
    settings.database.iter().chain(&settings.supplements).map(PathBuf::as_path)
}

/// The built-in database, unpacked by the first who asks.
fn built_in() -> Result<&'static [u8], GeoError> {
    if let Some(unpacked) = UNPACKED.get() {
        return Ok(unpacked);
    }
    let unpacked = unpack().map_err(GeoError::BuiltIn)?;
    // Of two who come first at once, one unpacks in vain.
    Ok(UNPACKED.get_or_init(|| unpacked))
}

fn unpack() -> io::Result<Box<[u8]>> {
    let mut unpacked = Vec::with_capacity(UNPACKED_BYTES);
    let reader = LzmaReader::new_mem_limit(PACKED, UNPACKING_KIB_MAX, None)?;
    reader.take(UNPACKED_BYTES as u64 + 1).read_to_end(&mut unpacked)?;
    if unpacked.len() != UNPACKED_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not the size it should have"));
    }
    Ok(unpacked.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use geodns_core::locate::place::Country;

    use super::*;

    #[test]
    fn well_known_addresses_are_in_their_countries() {
        let sources = Sources::read(&GeoSettings::default(), 0).unwrap();
        let databases = sources.open().unwrap();
        let rows = [
            ("193.0.6.139", "NL"),     // RIPE NCC
            ("200.160.0.8", "BR"),     // registro.br
            ("133.11.0.1", "JP"),      // the university of Tokyo
            ("141.30.0.1", "DE"),      // the technical university of Dresden
            ("196.21.0.1", "ZA"),      // South Africa's research network
            ("202.12.29.1", "AU"),     // APNIC
            ("18.0.0.1", "US"),        // once the MIT
            ("2001:67c:2e8::1", "NL"), // RIPE NCC
            ("2001:240::1", "JP"),     // IIJ
            ("2001:12ff::1", "BR"),    // registro.br
        ];
        for (address, country) in rows {
            let place = databases[0].find(address.parse().unwrap()).unwrap();
            assert_eq!(place.country, Country::parse(country.as_bytes()), "{address}");
        }
        let nowhere = databases[0].find("10.0.0.1".parse().unwrap()).unwrap();
        assert_eq!(nowhere.country, None);
    }

    #[test]
    fn the_built_in_database_is_unpacked_once() {
        let first = built_in().unwrap();
        assert!(std::ptr::eq(first, built_in().unwrap()));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("city.mmdb");
        let settings = GeoSettings { database: Some(path.clone()), supplements: Vec::new() };
        let error = Sources::read(&settings, 11).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: cannot be read", path.display()));
        std::fs::write(&path, b"no database").unwrap();
        let error = Sources::read(&settings, 10).unwrap_err().to_string();
        let limit = "more than geodns.limits.database_bytes_max, 10 bytes";
        assert_eq!(error, format!("{}: {limit}", path.display()));
        let sources = Sources::read(&settings, 11).unwrap();
        let error = sources.open().unwrap_err();
        let reason = std::error::Error::source(&error).unwrap().to_string();
        assert!(reason.starts_with(&path.display().to_string()), "{reason}");
    }
}
