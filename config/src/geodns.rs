//! GeoDNS as one value: `[geodns]`, `[[pop]]`, and the files that they name, checked together.
//!
//! In: the tree, `[node]`, the names of the sites. Out: a [`GeodnsConfig`], or findings.
//! Always: every problem that the DNS law's own builders report is told with its place in the node
//! file or in the file that the node file names; PoPs are checked whether or not there is a
//! `[geodns]`; a secret is neither shown nor printed.
//! Does not know: how a query is answered; `geodns_core` does.
//! Clause: docs/operate.md *The settings file*.

mod files;
mod https;
mod law;
mod notes;
mod pops;
mod rules;
mod ways;
mod zone_files;
mod zones;

use std::{collections::BTreeSet, path::Path, sync::Arc};

use geodns_core::{
    fleet::FleetView,
    locate::plan::MapPlan,
    route::Routes,
    settings::{
        CheckSettings, GeodnsSettings, MapSettings, PopSettings, QueryTarget, RouteSettings,
        ZoneSettings,
    },
    wire::{cookie::Secrets, name::Name},
    zone::GeneratedNames,
    zonefile::Record,
};
use nearcast_daemon::settings::NodeSettings;
use serde::de::DeserializeOwned;

use crate::{
    check::Findings,
    compose::{self, Files},
    tree::{self, Node},
};

/// What the GeoDNS server of a node goes by.
#[derive(Clone, Debug)]
pub struct GeodnsConfig {
    /// `[geodns]`; paths are resolved, and where the file names no map or no route, the default
    /// one stands here. Its checks are those to probe with.
    pub settings: GeodnsSettings,
    /// The zones, in file order; sites answer under the first.
    pub zones: Arc<[ZoneConfig]>,
    /// The PoPs of the file, at revision 0; the node's own addresses are among those of its PoP.
    pub fleet: FleetView,
    /// The maps of `settings.map`, in its order.
    pub maps: Vec<MapPlan>,
    /// The routes of `settings.route`, in its order.
    pub routes: Routes,
    /// What NSID and `id.server` tell.
    pub identity: Option<String>,
    /// The secrets that make cookies; without them the process draws its own.
    pub cookie_secrets: Option<Secrets>,
}

/// A zone's content.
#[derive(Clone, Debug)]
pub struct ZoneConfig {
    /// The name at its top.
    pub apex: Name,
    /// The records of its file, and those made of its `servers`. [`crate::parse`] looks at no other
    /// file than the node file, so there the former are missing.
    pub records: Vec<Record>,
    /// The names that routes answer, those of the sites included; a route's number is its place
    /// among the routes.
    pub generated: GeneratedNames,
}

/// What is looked at.
pub(crate) struct Given<'g, 'i> {
    pub(crate) root: &'g Node<'i>,
    pub(crate) base: &'g Path,
    pub(crate) files: Files,
    pub(crate) node: Option<&'g NodeSettings>,
}

/// The lists of which an item that lacks a key must not hide the others.
const LISTS: [&str; 2] = ["geodns.zone", "geodns.check"];

/// `[geodns]` as far as it is sound: a zone or check that is not sound is none.
struct Sound {
    settings: GeodnsSettings,
    zones: Vec<Option<ZoneSettings>>,
    checks: Vec<Option<CheckSettings>>,
}

/// Checks `[[pop]]` and `[geodns]`; nothing, where there is no `[geodns]` or it is not sound.
pub(crate) fn check(given: &Given<'_, '_>, findings: &mut Findings) -> Option<GeodnsConfig> {
    let pops: Vec<Option<PopSettings>> = parts(given.root, "pop", findings);
    let fleet = pops::check(given, &pops, findings);
    tree::find(given.root, "geodns")?;
    let mut sound = sound(given.root, findings)?;
    rules::check(given, &sound, findings);
    default_ways(&mut sound.settings);
    let ways = ways::check(given, &sound.settings, &fleet, findings);
    let secrets = files::check(given, &sound.settings, findings);
    let zones = zones::check(given, &sound, &fleet, ways.as_ref(), findings);

    let mut settings = sound.settings;
    settings.zone = sound.zones.into_iter().collect::<Option<_>>()?;
    settings.check = sound.checks.into_iter().collect::<Option<_>>()?;
    resolve(&mut settings, given.base);
    let ways = ways?;
    Some(GeodnsConfig {
        identity: settings.identity.of(&given.node?.name).map(str::to_owned),
        settings,
        zones: zones?.into(),
        fleet: fleet.view,
        maps: ways.maps,
        routes: ways.routes,
        cookie_secrets: secrets,
    })
}

fn sound(root: &Node<'_>, findings: &mut Findings) -> Option<Sound> {
    let zones = parts(root, "geodns.zone", findings);
    let checks = parts(root, "geodns.check", findings);
    let mut left_out: BTreeSet<String> = findings.keys.clone();
    left_out.extend(LISTS.map(str::to_owned));
    let settings = compose::part(root, "geodns", &left_out, findings)?;
    Some(Sound { settings, zones, checks })
}

/// The items of a list, each as far as it is sound.
fn parts<T: DeserializeOwned>(
    root: &Node<'_>,
    path: &str,
    findings: &mut Findings,
) -> Vec<Option<T>> {
    let count = tree::find(root, path).map_or(0, |list| tree::items(list).len());
    let mut part = |at| compose::sound_part(root, &tree::item(path, at), findings);
    (0..count).map(&mut part).collect()
}

/// Without a word of maps and routes, sites are answered by distance.
fn default_ways(settings: &mut GeodnsSettings) {
    if settings.map.is_empty() {
        settings.map.push(MapSettings::default());
    }
    if settings.route.is_empty() {
        let map = settings.map.first().map(|map| map.name.clone()).unwrap_or_default();
        settings.route.push(RouteSettings { sites: true, map, ..RouteSettings::default() });
    }
}

/// Relative paths start at the folder of the node file.
fn resolve(settings: &mut GeodnsSettings, base: &Path) {
    let zones = settings.zone.iter_mut().filter_map(|zone| zone.file.as_mut());
    let maps = settings.map.iter_mut().filter_map(|map| map.networks.as_mut());
    let others = [
        &mut settings.geo.database,
        &mut settings.cookies.secrets_file,
        &mut settings.tls.certificate,
        &mut settings.tls.key,
    ];
    let others = others.into_iter().filter_map(Option::as_mut);
    for path in zones.chain(maps).chain(others).chain(&mut settings.geo.supplements) {
        *path = base.join(&*path);
    }
    if let QueryTarget::Path(path) = &mut settings.query_log.target {
        *path = base.join(&*path);
    }
}
