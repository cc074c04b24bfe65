//! The ledger of a process, and its edges as nodes of it.
//!
//! In: `[control]`, edges. Out: routes for the admin listener; edges that have applied every purge
//! before they answer, and apply each further one.
//! Always holds: an edge that stops leaves, so that nobody waits for it; one that cannot join its own
//! ledger does not start, and one whose ledger is shared and away joins as soon as that is back. It
//! knows no route and no selector.

mod answering;
mod explained;
mod shared;
mod telling;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use axum::Router;
use edge::{Edge, clock::Clock, fetch::policy::LedgerServer};
use edge_core::purge::{Mode, Purge, Selector};
use nearcast_control::{
    api::{self, Api, Counted, Explained, Holdings, Url, WallClock},
    applied::AppliedFile,
    embedded::{Bound, Embedded, Kept},
    familiar::Familiar,
    fleet::{self, FleetFile},
    ledger::Ledger,
    nats::{self, Access},
    node::{
        self, Answers, Applies, Incarnation, Joining, Leaving, Load, Member, NodeDocument, Role,
        Troubles, lapse_after,
    },
    roster::Roster,
    settings::{ControlSettings, LedgerLost, NatsSettings},
    site::{self, Following, SitesFile},
    token::{self, FirstError},
};
use nearcast_daemon::{busy::Busy, metrics::Metrics, readiness::Readiness};
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, timeout},
};

pub(crate) use self::answering::Voice;
use self::explained::told;
use crate::{
    edges::{EdgePlan, Edges},
    failure::Failure,
    process::Plan,
    sites::{Serves, Sites},
    waits::Waits,
};

/// The longest wait for nodes ends so much before the admin listener's answer must be there.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);
/// How long a node that ends tries to leave a ledger that does not answer.
const LEAVING_MAX: Duration = Duration::from_secs(2);
/// The file of the first token, beside the ledger.
const TOKEN_FILE: &str = "token";
/// How the names of a node's own files begin where its ledger is in NATS.
const NATS_FILES: &str = "nats";

/// A ledger that is open, in a file or in NATS; clones are the same one.
#[derive(Clone)]
pub(crate) struct Opened {
    ledger: Arc<dyn Ledger>,
    roster: Roster,
    /// The name of a node that answers DNS beside none of the edges, or beside several; and its PoP.
    name_server: Option<(String, Option<String>)>,
    /// What DNS is answered by here.
    answers: Arc<watch::Sender<Option<Answers>>>,
    /// What the edges of this process serve of the ledger's sites.
    serves: Serves,
    /// For how long what was answered last may be cached, once DNS is answered no more.
    last_cached_for: Arc<OnceLock<Duration>>,
    /// How much it computes.
    busy: Arc<Busy>,
    /// What the nodes of this process do.
    roles: Vec<Role>,
    heartbeat: Duration,
    /// How long they reuse what they hold without the ledger; for ever without one.
    lease: Option<Duration>,
    /// Beside it are the node's own files.
    path: PathBuf,
    /// Whether other processes have it as well.
    is_shared: bool,
    /// Which process this is.
    incarnation: Incarnation,
    /// What its nodes cannot do.
    troubles: Troubles,
    control: Handle,
    /// The longest wait for nodes.
    wait_max: Duration,
    requests_per_second: u32,
    site_versions_kept: u16,
    /// Where it is, if that is elsewhere.
    servers: Vec<LedgerServer>,
}

impl Opened {
    /// Opens the ledger of a process, if it is to have one.
    pub(crate) fn open(plan: &Plan, waits: &mut Waits) -> Result<Option<Self>, Failure> {
        let settings = &plan.control;
        let control = waits.control().clone();
        let roles = roles(plan);
        let is_apart = plan.dns.is_some() && !roles.contains(&Role::Geodns);
        let name_server = is_apart.then(|| (plan.node.name.clone(), plan.node.pop.clone()));
        let (ledger, path, is_shared): (Arc<dyn Ledger>, _, _) =
            match (&settings.embedded, &settings.nats) {
                (Some(path), _) => {
                    let ledger = Embedded::open(path, kept(settings));
                    (Arc::new(ledger.map_err(|error| Failure::of(&error))?), path.clone(), false)
                }
                (None, Some(nats)) => {
                    let path = nats.folder.join(NATS_FILES);
                    let options = options(nats, kept(settings));
                    (waits.on(shared::open(options, &path))??, path, true)
                }
                (None, None) => return Ok(None),
            };
        // In one that is shared, others are others' nodes.
        if !is_shared {
            waits.on(async {
                leave_first(&*ledger, &path).await.map_err(|error| Failure::of(&error))?;
                let edges = plan.edges.iter().map(|edge| &edge.name);
                let own = name_server.iter().map(|(name, _)| name);
                let names: Vec<&str> = edges.chain(own).map(String::as_str).collect();
                node::forget_others(&*ledger, &names).await.map_err(|error| Failure::of(&error))
            })??;
        }
        let wait_max = plan.admin.request_deadline.saturating_sub(ANSWER_MARGIN);
        let roster = {
            let _inside = control.enter();
            let familiar = if is_shared { familiar(plan, &path) } else { Familiar::default() };
            Roster::begin_wary(Arc::clone(&ledger), settings.away_after, familiar)
        };
        Ok(Some(Self {
            ledger,
            roster,
            name_server,
            answers: Arc::default(),
            serves: Serves::default(),
            last_cached_for: Arc::default(),
            busy: Arc::new(Busy::begin()),
            roles,
            heartbeat: settings.heartbeat,
            lease: (settings.ledger_lost == LedgerLost::Revalidate).then_some(settings.lease),
            path,
            is_shared,
            incarnation: Incarnation::fresh().map_err(|error| Failure::of(&error))?,
            troubles: Troubles::default(),
            control,
            wait_max,
            requests_per_second: settings.requests_per_second,
            site_versions_kept: settings.site_versions_kept,
            servers: servers(settings),
        }))
    }

    /// Follows the ledger's sites, which are listed when this returns; from a thread that may wait.
    pub(crate) fn follow_sites(&self, waits: &mut Waits) -> Result<Following, Failure> {
        // One that is this process's alone is there, or the process is not.
        let file = self.is_shared.then(|| SitesFile::beside(&self.path));
        waits.on(site::follow(Arc::clone(&self.ledger), file))
    }

    /// Where it is said what the edges serve of its sites.
    pub(crate) fn serves(&self) -> Serves {
        Arc::clone(&self.serves)
    }

    /// Where it is, if that is elsewhere.
    pub(crate) fn servers(&self) -> Vec<LedgerServer> {
        self.servers.clone()
    }

    /// Follows the fleet, which is read when this returns; from a thread that may wait.
    pub(crate) fn follow_fleet(&self, waits: &mut Waits) -> Result<fleet::Following, Failure> {
        let file = self.is_shared.then(|| FleetFile::beside(&self.path));
        waits.on(fleet::follow(Arc::clone(&self.ledger), self.roster.clone(), file))
    }

    /// Whether its edges reuse what they store on a lease only.
    pub(crate) fn is_leased(&self) -> bool {
        self.lease.is_some()
    }

    /// Lets an edge join that does not answer yet, from a thread that may wait.
    pub(crate) fn join_now(
        &self,
        plan: &EdgePlan,
        addresses: &[SocketAddr],
        edge: &Edge,
        waits: &mut Waits,
    ) -> Result<Member, Failure> {
        waits.on(self.join(plan, addresses, edge))?
    }

    /// The same, inside the control runtime.
    pub(crate) async fn join(
        &self,
        plan: &EdgePlan,
        addresses: &[SocketAddr],
        edge: &Edge,
    ) -> Result<Member, Failure> {
        let joining = self.joining(plan, addresses, edge)?;
        let joined = node::join(Arc::clone(&self.ledger), joining).await;
        joined.map_err(|error| Failure::of(&error))
    }

    fn joining(
        &self,
        plan: &EdgePlan,
        addresses: &[SocketAddr],
        edge: &Edge,
    ) -> Result<Joining, Failure> {
        let name = plan.name.as_str();
        let key = node::key_of(name);
        let key = key.ok_or_else(|| Failure::new(format!("{name:?} cannot be a node's name")))?;
        Ok(Joining {
            key,
            document: self.document(plan, addresses),
            heartbeat: self.heartbeat,
            edge: Arc::new(Purged { edge: edge.clone(), busy: Arc::clone(&self.busy) }),
            file: AppliedFile::beside(&self.path, name),
            incarnation: self.incarnation.clone(),
            is_shared: self.is_shared,
            troubles: self.troubles.clone(),
            answers: self.roles.contains(&Role::Geodns).then(|| self.answers.subscribe()),
            sites: Some(self.serves.subscribe()),
        })
    }

    /// What a node says of itself.
    fn document(&self, plan: &EdgePlan, addresses: &[SocketAddr]) -> NodeDocument {
        let millis = |lease: Duration| u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        NodeDocument {
            addresses: addresses.to_vec(),
            reached_at: reached_at(plan, addresses),
            pop: plan.pop.clone(),
            roles: self.roles.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            lease_ms: self.lease.map(millis),
            ..NodeDocument::default()
        }
    }

    /// Takes a node out as its process ends, from a thread that may wait: nobody who goes on waits for
    /// it. In a ledger that ends with the process nobody would.
    pub(crate) fn left_for_good(&self, member: Member) {
        if !self.is_shared {
            return;
        }
        let leaving = member.leave_for_good(self.last_cached_for.get().copied());
        let left = self.control.block_on(async { timeout(LEAVING_MAX, leaving).await });
        if !matches!(left, Ok(None)) {
            tracing::warn!(
                "the ledger has this node still, so purges and drains wait for it until it is started \
                 again"
            );
        }
    }

    /// Takes a node out of the ledger that could not join again, however long that takes.
    pub(crate) fn leave(&self, name: &str) -> Option<Leaving> {
        let _inside = self.control.enter();
        let own = self.incarnation.clone();
        node::key_of(name).map(|key| Leaving::begin(Arc::clone(&self.ledger), key, own))
    }

    /// The routes for the admin listener; and on the metrics page and in the report of readiness
    /// whether it takes writes.
    pub(crate) fn mount(
        &self,
        (edges, sites): (&Edges, &Sites),
        (metrics, readiness): (&Metrics, &Readiness),
    ) -> Router {
        self.tell(metrics, readiness);
        sites.report(readiness);
        self.routes(edges, sites)
    }

    fn routes(&self, edges: &Edges, sites: &Sites) -> Router {
        api::router(Api {
            ledger: Arc::clone(&self.ledger),
            roster: self.roster.clone(),
            holdings: Arc::new(Held(edges.clone())),
            clock: wall_clock(),
            wait_max: self.wait_max,
            requests_per_second: self.requests_per_second,
            rules: Arc::new(sites.clone()),
            site_versions_kept: self.site_versions_kept.into(),
        })
    }
}

/// Under which addresses clients reach an edge: where it does not say, those on which it listens, unless
/// nobody else can reach them.
fn reached_at(plan: &EdgePlan, listens: &[SocketAddr]) -> Vec<IpAddr> {
    if !plan.reached_at.is_empty() {
        return plan.reached_at.clone();
    }
    let listens = listens.iter().map(|address| address.ip().to_canonical());
    let mut own: Vec<IpAddr> =
        listens.filter(|ip| !ip.is_unspecified() && !ip.is_loopback()).collect();
    own.sort_unstable();
    own.dedup();
    own
}

/// Where the settings say that it is.
fn servers(settings: &ControlSettings) -> Vec<LedgerServer> {
    let places = settings.nats.as_ref().map(NatsSettings::places).unwrap_or_default();
    places.into_iter().map(|(address, port)| LedgerServer { address, port }).collect()
}

/// What the nodes of a process do. GeoDNS beside several edges is none of theirs.
fn roles(plan: &Plan) -> Vec<Role> {
    let answers_dns = plan.dns.is_some() && plan.edges.len() == 1;
    [Some(Role::Edge), answers_dns.then_some(Role::Geodns)].into_iter().flatten().collect()
}

/// Which purge logs its nodes knew before. Who knew none may be the first of a fleet, or meet a ledger
/// that was made anew for one that holds leases; only where leases are held here that is dear.
fn familiar(plan: &Plan, path: &Path) -> Familiar {
    let kept = |edge: &EdgePlan| AppliedFile::beside(path, &edge.name).read();
    let known: Vec<_> = plan.edges.iter().filter_map(kept).map(|kept| kept.epoch).collect();
    let is_leased = plan.control.ledger_lost == LedgerLost::Revalidate;
    let known = (is_leased || !known.is_empty()).then_some(known);
    Familiar::after(lapse_after(plan.control.lease), known)
}

/// How much of the logs is kept.
fn kept(settings: &ControlSettings) -> Kept {
    let bytes = settings.log_bytes_kept.as_u64();
    Kept {
        purges: Bound { entries: settings.purges_kept, bytes },
        audit: Bound { entries: settings.audit_kept, bytes },
    }
}

fn options(settings: &NatsSettings, kept: Kept) -> nats::Options {
    let access = Access {
        servers: settings.servers.clone(),
        credentials: settings.credentials.clone(),
        ca: settings.ca.clone(),
        certificate: settings.certificate.clone().zip(settings.key.clone()),
    };
    let (prefix, replicas) = (settings.prefix.clone(), settings.replicas);
    nats::Options { access, prefix, replicas, kept }
}

/// Leaves the first token beside a ledger that has none yet.
async fn leave_first(ledger: &dyn Ledger, path: &Path) -> Result<(), FirstError> {
    token::leave_first(ledger, &token_file(path), &api::at(wall_clock()())).await
}

/// The first token's file, of the ledger at `path`.
pub(crate) fn token_file(path: &Path) -> PathBuf {
    path.with_file_name(TOKEN_FILE)
}

/// Says when something was, to people: as all time here, anchored at the start.
fn wall_clock() -> WallClock {
    let clock = Clock::system();
    Arc::new(move || SystemTime::UNIX_EPOCH + Duration::from_millis(clock.now().as_millis()))
}

/// An edge that purges.
struct Purged {
    edge: Edge,
    busy: Arc<Busy>,
}

impl Applies for Purged {
    fn apply(&self, purge: &Purge) {
        self.edge.purge(purge);
    }

    fn apply_everything(&self) {
        purge_everything(&self.edge);
    }

    fn load(&self) -> Load {
        let hall = self.edge.hall();
        let budget = &hall.room.budget;
        let connections = self.edge.connections().open();
        let max = hall.snapshot.load().edge.limits.connections_max;
        let of_connections = connections.saturating_mul(1000).checked_div(max.into());
        let of_connections = of_connections.and_then(|share| u16::try_from(share).ok());
        Load {
            connections,
            memory_bytes: budget.used() as u64,
            memory_bytes_max: budget.limit() as u64,
            share_per_mille: self.busy.share_per_mille().max(of_connections),
        }
    }

    fn vouch(&self, until: Instant) {
        self.edge.vouch(until);
    }
}

/// Purges everything of every site that an edge serves.
pub(crate) fn purge_everything(edge: &Edge) {
    for site in sites(edge) {
        let everything = vec![Selector::Everything];
        edge.purge(&Purge { site: site.into(), selectors: everything, mode: Mode::Hard });
    }
}

/// The names of the sites that an edge serves.
fn sites(edge: &Edge) -> Vec<String> {
    let snapshot = edge.hall().snapshot.load();
    snapshot.sites.values().map(|entry| entry.site.name.to_string()).collect()
}

/// What the edges of this process hold.
struct Held(Edges);

impl Holdings for Held {
    fn sites(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.0.running_by_name().iter().flat_map(|(_, edge)| sites(edge)).collect();
        // One that is stopped will have those that it was planned with.
        names.extend(self.0.sites_planned());
        names.sort_unstable();
        names.dedup();
        names
    }

    fn explain(&self, url: &Url) -> Vec<Explained> {
        let explain = |(node, edge): (String, Edge)| {
            let explained =
                edge.hall().explain(url.scheme, (&url.host, &url.target), &url.fields)?;
            Some(told(node, explained))
        };
        self.0.running_by_name().into_iter().filter_map(explain).collect()
    }

    fn count(&self, purge: &Purge) -> Vec<Counted> {
        let counted = |(node, edge): (String, Edge)| Counted { node, responses: edge.count(purge) };
        self.0.running_by_name().into_iter().map(counted).collect()
    }
}
