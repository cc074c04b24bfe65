//! Three edges over three NATS servers.
//!
//! In: an origin. Out: where they answer, and their processes.
//! Always holds: an edge that is started again is where it was, with the folder that it had, and at the
//! time to which its clock was set. Each reaches NATS by relays of its own. Two of them ask their origin
//! without the ledger, and the third serves on.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use nearcast_tests::real::{
    Tested,
    cluster::Cluster,
    http::Connection,
    nginx::free_address,
    process::{Process, Signal},
    program,
    relay::{Relay, Way},
    wait_within,
};
use tempfile::TempDir;

use super::{shop::HOST, watched::SETTLES};

const NAMES: [&str; 3] = ["fra-1", "iad-1", "sin-1"];
/// The one that takes no lease, and so goes on without the ledger.
const SERVES_ON: &str = "sin-1";

/// What the log of purges may take.
pub(super) const LOG_BYTES: usize = 1 << 20;

/// Where an edge answers.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: &'static str,
    pub(super) edge: SocketAddr,
    pub(super) admin: SocketAddr,
}

/// What is known of the fleet while its processes come and go.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) edges: Vec<Place>,
    pub(super) token: String,
}

/// The processes.
pub(super) struct Fleet {
    pub(super) nats: Cluster,
    edges: Vec<Edge>,
    folder: TempDir,
}

struct Edge {
    process: Process,
    file: PathBuf,
    place: Place,
    /// To each NATS server.
    relays: Vec<Relay>,
}

impl Fleet {
    pub(super) fn start(origin: SocketAddr) -> Tested<Self> {
        let folder = tempfile::tempdir()?;
        let nats = Cluster::start()?;
        wait_within(SETTLES, "NATS has a leader", || {
            Ok(nats.ask("INFO").ok().filter(|told| told.get("error").is_none()).map(drop))
        })?;
        let mut edges = Vec::new();
        for name in NAMES {
            let place = Place { name, edge: free_address()?, admin: free_address()? };
            let own = folder.path().join(name);
            fs::create_dir(&own)?;
            let file = own.join("node.toml");
            let relays: Vec<Relay> = nats.addresses().map(Relay::start).collect::<Tested<_>>()?;
            let urls: Vec<String> =
                relays.iter().map(|relay| format!("nats://{}", relay.address())).collect();
            fs::write(&file, text(&place, origin, &urls))?;
            fs::write(clock(&file), "+0s")?;
            let edge = Edge { process: run(&file)?, file, place, relays };
            // The first one makes what the others find.
            ready(&edge.place)?;
            edges.push(edge);
        }
        Ok(Self { nats, edges, folder })
    }

    pub(super) fn places(&self) -> Tested<Places> {
        let token = fs::read_to_string(self.folder.path().join(NAMES[0]).join("token"))?;
        let edges = self.edges.iter().map(|edge| edge.place.clone()).collect();
        Ok(Places { edges, token: token.trim().to_owned() })
    }

    pub(super) fn signal(&mut self, edge: usize, signal: Signal) -> Tested {
        self.edges[edge].process.signal(signal)
    }

    /// Nothing passes between an edge and NATS in that direction; with nothing everything does.
    pub(super) fn cut(&self, edge: usize, way: Option<Way>) {
        self.edges[edge].relays.iter().for_each(|relay| relay.cut(way));
    }

    /// An edge's clock is so far from the right time, in seconds.
    pub(super) fn step_clock(&self, edge: usize, seconds: i64) -> Tested {
        Ok(fs::write(clock(&self.edges[edge].file), format!("{seconds:+}s"))?)
    }

    pub(super) fn kill(&mut self, edge: usize) -> Tested {
        let process = &mut self.edges[edge].process;
        process.signal(Signal::Kill)?;
        process.ended().map(drop)
    }

    pub(super) fn start_again(&mut self, edge: usize) -> Tested {
        let edge = &mut self.edges[edge];
        edge.process = run(&edge.file)?;
        Ok(())
    }

    /// Nobody has ended by itself, and all are ready.
    pub(super) fn is_well(&mut self) -> Tested {
        for edge in &mut self.edges {
            if !edge.process.is_running()? {
                let said = edge.process.stderr();
                return Err(format!("{} ended: {}", edge.place.name, said.join("\n")).into());
            }
            ready(&edge.place)?;
        }
        Ok(())
    }
}

/// Where the clock of the edge with that file stands.
fn clock(file: &Path) -> PathBuf {
    file.with_extension("clock")
}

fn run(file: &Path) -> Tested<Process> {
    let mut command = Command::new(program::nearcast()?);
    command.args(["run", "--config"]).arg(file).env("NEARCAST_WORKERS", "1");
    // The clock of the day alone: nobody sets the other one.
    command.env("LD_PRELOAD", program::fake_time()?).env("FAKETIME_TIMESTAMP_FILE", clock(file));
    command.envs([("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("FAKETIME_CACHE_DURATION", "1")]);
    command.env("NO_FAKE_STAT", "1");
    Process::start(&mut command)
}

fn ready(place: &Place) -> Tested {
    wait_within(SETTLES, &format!("{} is ready", place.name), || {
        let Ok(mut connection) = Connection::open(place.admin) else { return Ok(None) };
        Ok(connection.get("/readyz").ok().filter(|told| told.status == 200).map(drop))
    })
}

fn text(place: &Place, origin: SocketAddr, nats: &[String]) -> String {
    let Place { name, edge, admin } = place;
    let lost = if *name == SERVES_ON { "serve" } else { "revalidate" };
    format!(
        "[node]\nname = \"{name}\"\n[edge]\nlisten = [\"{edge}\"]\nmemory = \"64 MiB\"\n\
         origin_networks_allowed = [\"127.0.0.0/8\"]\n[admin]\nlisten = \"{admin}\"\n\
         [control]\nheartbeat = \"200ms\"\nlease = \"1s\"\naway_after = \"1500ms\"\n\
         ledger_lost = \"{lost}\"\nrequests_per_second = 10000\nlog_bytes_kept = \"{LOG_BYTES} B\"\n\
         [control.nats]\nservers = {nats:?}\nfolder = \".\"\n\
         [[site]]\nname = \"shop\"\nhosts = [\"{HOST}\"]\n\
         origin = {{ servers = [\"http://{origin}\"] }}\n"
    )
}
