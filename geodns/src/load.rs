//! Loading: from settings and files to maps, away from whoever answers.
//!
//! In: settings, a fleet, the files that they speak of. Out: compiled maps, or why there are none.
//! Always holds: a map is compiled anew only if its plan, the fleet's geography or a database has
//! changed; all maps together stay within the memory that the settings allow; what fails leaves
//! what was loaded before as it was.
//! It deliberately does not know who answers from a map. It reads files and takes seconds: its
//! callers may wait.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use geodns_core::{
    fleet::FleetView,
    locate::{Finding, Map, MapError, plan::MapPlan},
    problem::Problem,
    settings::{GeoSettings, GeodnsSettings, MapSettings},
};
use nearcast_daemon::files::Print;
use tokio::time::Instant;

use crate::geo::{self, GeoError, Sources};

/// Why nothing was loaded. What runs is kept.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The settings, or a file of networks, are at fault.
    #[error("{}", lines(_0))]
    Settings(Vec<Problem>),
    /// A file of networks cannot be read.
    #[error("{}: cannot be read", path.display())]
    Networks {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There are no geo data.
    #[error("the geo data cannot be used")]
    Geo(#[from] GeoError),
    /// A map cannot be made of them.
    #[error("the map \"{name}\" cannot be made")]
    Map {
        /// The map.
        name: Arc<str>,
        /// Why.
        source: MapError,
    },
}

/// Maps, and what they were made of.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// In the order of the settings.
    pub maps: Vec<Arc<Map>>,
    plans: Arc<[MapPlan]>,
    fleet: Arc<FleetView>,
    geo: GeoSettings,
    /// Of a file of geo data.
    file_bytes_max: u64,
    /// Of [`files`], those of geo data first.
    prints: Vec<Print>,
}

impl Loaded {
    /// The maps that `settings` describe; those of `before` that need no change are the same.
    ///
    /// # Errors
    /// Everything that no maps can be made of.
    pub fn load(
        settings: &GeodnsSettings,
        fleet: &Arc<FleetView>,
        before: Option<&Self>,
    ) -> Result<Self, LoadError> {
        let started = Instant::now();
        // Taken before the files are read: one that is replaced meanwhile is seen as new later.
        let prints = files(settings).map(Print::of).collect();
        let plans: Arc<[MapPlan]> = plans(settings, fleet)?.into();
        let mut new = Self {
            maps: Vec::new(),
            plans,
            fleet: Arc::clone(fleet),
            geo: settings.geo.clone(),
            file_bytes_max: settings.limits.database_bytes_max.0,
            prints,
        };
        let kept = before.filter(|before| new.is_of_the_same_world(before));
        let mut sources = None;
        let mut bytes_left = settings.limits.map_memory_max.0;
        for plan in new.plans.iter() {
            let same = kept.and_then(|before| before.map_of(plan));
            let map = match same {
                Some(map) => map,
                None => {
                    let sources = match &mut sources {
                        Some(sources) => sources,
                        none => none.insert(Sources::read(&settings.geo, new.file_bytes_max)?),
                    };
                    compile(plan, fleet, sources, bytes_left)?
                }
            };
            // All maps together have this much: what one takes, the next has not.
            bytes_left = bytes_left.checked_sub(map.bytes()).ok_or_else(|| LoadError::Map {
                name: Arc::clone(&plan.name),
                source: MapError::Memory { name: Arc::clone(&plan.name), bytes_max: bytes_left },
            })?;
            new.maps.push(map);
        }
        if sources.is_some() {
            let bytes: u64 = new.maps.iter().map(|map| map.bytes()).sum();
            let (maps, took) = (new.maps.len(), started.elapsed());
            tracing::info!(maps, bytes, ?took, "the maps are loaded");
        }
        Ok(new)
    }

    /// Where a client is, for a map of ours: it reads all sources again.
    ///
    /// # Errors
    /// Why that cannot be said.
    pub fn find(&self, map: &str, client: std::net::IpAddr) -> Result<Finding, LoadError> {
        let plan = self.plans.iter().find(|plan| &*plan.name == map).ok_or_else(|| {
            let message = format!("there is no map \"{map}\"");
            LoadError::Settings(vec![Problem { at: "map".to_owned(), message }])
        })?;
        let sources = Sources::read(&self.geo, self.file_bytes_max)?;
        let databases = sources.open()?;
        let found = Finding::find(plan, &self.fleet, &databases, client);
        Ok(found.map_err(GeoError::Database)?)
    }

    /// The files that it was made of, as they were.
    #[must_use]
    pub fn prints(&self) -> &[Print] {
        &self.prints
    }

    fn is_of_the_same_world(&self, before: &Self) -> bool {
        let (ours, theirs) = (geo::files(&self.geo).count(), geo::files(&before.geo).count());
        let same_data =
            ours == theirs && self.prints.iter().take(ours).eq(before.prints.iter().take(theirs));
        same_data && self.fleet.same_geography(&before.fleet)
    }

    fn map_of(&self, plan: &MapPlan) -> Option<Arc<Map>> {
        let at = self.plans.iter().position(|one| one == plan)?;
        self.maps.get(at).map(Arc::clone)
    }
}

/// The files that `settings` speak of, but for those of zones.
pub fn files(settings: &GeodnsSettings) -> impl Iterator<Item = &Path> {
    let networks = settings.map.iter().filter_map(|map| map.networks.as_deref());
    geo::files(&settings.geo).chain(networks)
}

fn compile(
    plan: &MapPlan,
    fleet: &FleetView,
    sources: &Sources,
    bytes_max: u64,
) -> Result<Arc<Map>, LoadError> {
    // Opened for each map: a walk leaves its places behind, which the next would pay for.
    let mut databases = sources.open()?;
    // Who answers on this processor goes first whenever it has something to do.
    let mut pause = thread::yield_now;
    let map = Map::compile_beside(plan, fleet, &mut databases, bytes_max, &mut pause);
    let name = || Arc::clone(&plan.name);
    map.map(Arc::new).map_err(|source| LoadError::Map { name: name(), source })
}

fn plans(settings: &GeodnsSettings, fleet: &FleetView) -> Result<Vec<MapPlan>, LoadError> {
    let (given, max) = (settings.map.len(), settings.limits.maps_max);
    if u32::try_from(given).map_or(true, |given| given > max) {
        let message = format!("{given} maps, limits.maps_max allows {max}");
        return Err(LoadError::Settings(vec![Problem { at: "map".to_owned(), message }]));
    }
    let by_default = [MapSettings::default()];
    let maps = if settings.map.is_empty() { &by_default } else { settings.map.as_slice() };
    let (mut plans, mut problems) = (Vec::new(), Vec::new());
    for (index, map) in maps.iter().enumerate() {
        let read = |path| networks(path, settings.limits.database_bytes_max.0);
        let networks = map.networks.as_deref().map(read).transpose()?;
        match MapPlan::build(map, fleet, networks.as_deref(), &settings.limits) {
            Ok(plan) => plans.push(plan),
            Err(of_map) => problems.extend(of_map.into_iter().map(|problem| Problem {
                at: format!("map[{index}].{}", problem.at),
                message: problem.message,
            })),
        }
    }
    if problems.is_empty() { Ok(plans) } else { Err(LoadError::Settings(problems)) }
}

fn networks(path: &Path, bytes_max: u64) -> Result<String, LoadError> {
    let text = geo::read(path, bytes_max).and_then(|bytes| {
        let bytes = bytes.ok_or_else(|| {
            let limit = format!("more than geodns.limits.database_bytes_max, {bytes_max} bytes");
            io::Error::new(io::ErrorKind::FileTooLarge, limit)
        })?;
        String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    });
    text.map_err(|source| LoadError::Networks { path: path.to_owned(), source })
}

/// One problem a line.
pub(crate) fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
