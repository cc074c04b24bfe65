//! `nearcast up`: the whole CDN on this machine, in one process.
//!
//! Three edges on 127.0.0.2 to .4, an origin (built in, a folder's files, or a given URL), GeoDNS
//! that answers with the edges, the admin listener, a ledger in DATA; what was chosen is printed and
//! stands in DATA/up.json. On a terminal, keys stop and start the edges.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use edge_core::settings::EdgeSettings;
use geodns_core::settings::{CheckKind, CheckSettings};
use nearcast_config::{NodeConfig, problem::Report};
use nearcast_control::settings::ControlSettings;
use nearcast_daemon::{
    files::Watcher,
    settings::{AccessTarget, AdminSettings, LogLevel, LogSettings, NodeSettings},
};
use origin_mock::{
    demo,
    listen::Handle,
    origin::{Origin, Settings},
};
use serde::Serialize;
use serde_json::json;
use tokio::{net::TcpListener, runtime::Runtime};

use crate::{
    data,
    dns::{Dns, DnsPlan},
    edges::EdgePlan,
    failure::Failure,
    keys::Keys,
    ledger::token_file,
    origin_mock::{files, wall_clock},
    process::{Plan, Process, unique},
    reloads::{Reloaded, Roles},
    say::{quoted, say},
};

/// The edges' PoPs and addresses.
const EDGES: [(&str, Ipv4Addr); 3] = [
    ("iad", Ipv4Addr::new(127, 0, 0, 2)),
    ("fra", Ipv4Addr::new(127, 0, 0, 3)),
    ("sin", Ipv4Addr::new(127, 0, 0, 4)),
];

/// Its GeoDNS server's node.
const NAME_SERVER: &str = "dns";

/// The DNS side of it: where the PoPs are, and who lives where. The networks for documentation
/// (RFC 5737, RFC 3849) are on no map, so each has a PoP here: they are what a first user tries.
const GEODNS: &str = r#"
[geodns]
listen = ["127.0.0.1:0"]
zone = [{ name = "cdn.test", servers = ["ns.invalid"] }]
[[geodns.map]]
name = "default"
prefer = [
    { pops = ["iad"], networks = ["192.0.2.0/24"] },
    { pops = ["fra"], networks = ["198.51.100.0/24", "2001:db8::/32"] },
    { pops = ["sin"], networks = ["203.0.113.0/24"] },
]
[[geodns.route]]
name = "www"
sites = true
map = "default"
ttl = "5s"
addresses_max = 1
[[pop]]
name = "iad"
location = { latitude = 38.95, longitude = -77.45 }
addresses = ["127.0.0.2"]
[[pop]]
name = "fra"
location = { latitude = 50.03, longitude = 8.57 }
addresses = ["127.0.0.3"]
[[pop]]
name = "sin"
location = { latitude = 1.36, longitude = 103.99 }
addresses = ["127.0.0.4"]
"#;

/// How soon a stopped edge is seen: after two probes, a second apart.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
const PROBES_FAILED: u32 = 2;

/// The port of the admin listener, which clients know.
const ADMIN_PORT: u16 = 9090;

/// The command line of `up`.
#[derive(Debug, Args)]
#[command(after_help = crate::environment::HELP)]
pub(crate) struct Arguments {
    /// The origin to pull from, as http://host[:port] or https://host[:port].
    #[arg(long, value_name = "URL", conflicts_with = "root")]
    origin: Option<String>,
    /// A folder whose files are the site.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Where up.json, the access log, the ledger and its first token go; no folder of another user, nor
    /// one that anybody may write to [default: $XDG_STATE_HOME/nearcast, else ~/.local/state/nearcast].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The port of the three edges; 0 takes any free one.
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    http_port: u16,
    /// The port of GeoDNS; 0 takes any free one.
    #[arg(long, value_name = "PORT", default_value_t = 5353)]
    dns_port: u16,
    /// The port of the admin listener; 0 takes any free one.
    #[arg(long, value_name = "PORT", default_value_t = ADMIN_PORT)]
    admin_port: u16,
    /// Says what runs where as one line of JSON, which is what DATA/up.json holds.
    #[arg(long)]
    json: bool,
}

/// Runs until Ctrl-C, or until its terminal closes: there is no file to read again.
pub(crate) fn up(arguments: Arguments, workers: Option<NonZeroUsize>) -> Result<(), Failure> {
    let data = data::folder(arguments.data.as_deref())?;
    let runtime = Runtime::new().map_err(|error| Failure::of(&error))?;
    let origin = start_origin(&arguments, &runtime)?;
    let url = match (&origin, arguments.origin) {
        (Some(handle), _) => format!("http://{}", handle.addr()),
        (None, url) => url.unwrap_or_default(),
    };
    let access_log = data.join("access.log");
    let ports =
        Ports { http: arguments.http_port, dns: arguments.dns_port, admin: arguments.admin_port };
    let ledger = ledger_in(&data);
    let files = Files { access_log, ledger };
    let process = start(&url, ports, &files, workers.unwrap_or(NonZeroUsize::MIN))?;
    let facts = Facts::of(&process, url, arguments.root, files);
    let written = facts.write(&data);
    // They work until this function ends, whatever it ends with.
    let keys = process.keys();
    let told = if arguments.json { facts.json() } else { Ok(facts.text(keys.as_ref())) };
    let ended = match written.and(told).and_then(|told| say(&told)) {
        Ok(()) => process.run(Watcher::new(), None::<fn(&Roles) -> Reloaded>),
        // Nobody knows what runs where, so nothing shall.
        Err(failure) => process.end().and(Err(failure)),
    };
    facts.forget(&data);
    if let Some(handle) = origin {
        runtime.block_on(handle.shutdown());
    }
    ended
}

/// The origin that this process brings itself, if none is given.
fn start_origin(arguments: &Arguments, runtime: &Runtime) -> Result<Option<Handle>, Failure> {
    let origin = match (&arguments.origin, &arguments.root) {
        (Some(_), _) => return Ok(None),
        (None, Some(root)) => files(root, Settings::serving())?,
        (None, None) => Origin::scripted(demo::script(), wall_clock(), Settings::serving())
            .map_err(|error| Failure::of(&error))?,
    };
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(|error| Failure::of(&error))?;
        origin.listen(listener).map(Some).map_err(|error| Failure::of(&error))
    })
}

/// Where everything listens; 0 for any free port.
#[derive(Clone, Copy)]
struct Ports {
    http: u16,
    dns: u16,
    admin: u16,
}

/// What it keeps in DATA.
struct Files {
    access_log: PathBuf,
    ledger: PathBuf,
}

fn start(
    origin: &str,
    ports: Ports,
    files: &Files,
    workers: NonZeroUsize,
) -> Result<Process, Failure> {
    let config = config(origin)?;
    let dns = dns(&config, ports.dns)?;
    let edges = EDGES.into_iter().map(|(name, address)| EdgePlan {
        name: name.to_owned(),
        cdn_id: unique(name),
        pop: Some(name.to_owned()),
        reached_at: vec![address.into()],
        settings: EdgeSettings {
            listen: vec![SocketAddr::from((address, ports.http))],
            origin_networks_allowed: networks(&LOCAL),
            ledger_origins: networks(&NEAR),
            ..EdgeSettings::default()
        },
        sites: config.sites.clone(),
    });
    let edges: Vec<EdgePlan> = edges.collect();
    let plan = Plan {
        base: config,
        node: NodeSettings { name: NAME_SERVER.to_owned(), ..NodeSettings::default() },
        admin: AdminSettings {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, ports.admin))),
            ..AdminSettings::default()
        },
        control: ControlSettings {
            embedded: Some(files.ledger.clone()),
            ..ControlSettings::default()
        },
        log: LogSettings {
            access: AccessTarget::Path(files.access_log.clone()),
            level: LogLevel::Warn,
            ..LogSettings::default()
        },
        edges,
        dns: Some(dns),
        workers,
        // It has few visitors, whatever its edges would let in.
        descriptors: 0,
        same_port: true,
        theatre: true,
    };
    Process::start(plan).map_err(|failure| {
        failure
            .advise("choose other ports with --http-port, --dns-port and --admin-port (0 for any)")
    })
}

/// GeoDNS, which probes the edges at whichever port they got.
fn dns(config: &NodeConfig, port: u16) -> Result<DnsPlan, Failure> {
    let plan = DnsPlan::of(config, NonZeroUsize::MIN);
    let mut plan = plan.ok_or_else(|| Failure::new("no GeoDNS could be made of the settings"))?;
    plan.addresses.dns = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
    plan.check_edges = Some(CheckSettings {
        interval: PROBE_INTERVAL,
        timeout: PROBE_TIMEOUT,
        fall: PROBES_FAILED,
        rise: 1,
        ..CheckSettings::new(CheckKind::Tcp, 1)
    });
    // Whoever stops it has no other to send queries to.
    plan.plan.lame_duck = Duration::ZERO;
    Ok(plan)
}

/// The one site, `www`, and GeoDNS, checked as a node file would be.
fn config(origin: &str) -> Result<NodeConfig, Failure> {
    let text = format!(
        "[edge]\nlisten = [\"127.0.0.2:8080\"]\n\
         origin_networks_allowed = {}\nledger_origins = {}\n\
         [[site]]\nname = \"www\"\nhosts = [\"*\"]\norigin = {{ servers = [{}] }}\n{GEODNS}",
        json!(LOCAL),
        json!(NEAR),
        json!(origin)
    );
    nearcast_config::parse(&text, "up").map_err(|report| refused(origin, &report))
}

/// The URL is all of the text that the user wrote, so only what is wrong with it is told, without
/// the places, keys and advice of a file that nobody sees.
fn refused(origin: &str, report: &Report) -> Failure {
    let Some(problem) = report.problems.first() else {
        return Failure::usage(format!("--origin: {report}"));
    };
    let shown = problem.value.clone().unwrap_or_else(|| format!("{origin:?}"));
    let allowed = problem.allowed.as_ref().map(|allowed| format!("; allowed: {allowed}"));
    Failure::usage(format!("--origin {shown}: {}{}", problem.fault, allowed.unwrap_or_default()))
}

/// This machine's own addresses: whoever starts `up` runs the origin here as well.
const LOCAL: [&str; 2] = ["127.0.0.0/8", "::1/128"];
/// These and the networks around it: whoever has its first token runs what is there, too.
const NEAR: [&str; 5] = ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];

fn networks(texts: &[&str]) -> Vec<edge_core::settings::IpNet> {
    texts.iter().filter_map(|net| net.parse().ok()).collect()
}

/// The ledger in DATA.
pub(crate) fn ledger_in(data: &Path) -> PathBuf {
    data.join("ledger.redb")
}

/// What runs where: printed, and kept in DATA/up.json.
#[derive(Debug, Serialize)]
struct Facts {
    edges: Vec<EdgeFacts>,
    dns: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    origin: String,
    root: Option<PathBuf>,
    access_log: PathBuf,
    ledger: PathBuf,
    token_file: PathBuf,
    process: u32,
}

#[derive(Debug, Serialize)]
struct EdgeFacts {
    name: String,
    http: Vec<SocketAddr>,
}

impl Facts {
    fn of(process: &Process, origin: String, root: Option<PathBuf>, files: Files) -> Self {
        let edges = process.edges().seen().into_iter();
        let edges = edges.map(|edge| EdgeFacts { name: edge.name, http: edge.addresses }).collect();
        let (dns, admin) = (process.dns().and_then(Dns::first), process.admin());
        let Files { access_log, ledger } = files;
        let token_file = token_file(&ledger);
        let process = std::process::id();
        Self { edges, dns, admin, origin, root, access_log, ledger, token_file, process }
    }

    fn json(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|error| Failure::of(&error))
    }

    fn write(&self, data: &Path) -> Result<(), Failure> {
        let path = data.join("up.json");
        let text = self.json()?;
        // Renamed into place, so that who waits for the file finds it whole.
        let new = data.join("up.json.new");
        fs::write(&new, text + "\n")
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))
    }

    /// Takes the file away, so that nobody reads a dead process's ports; what another process wrote
    /// since then stays. Nothing is lost if it cannot be taken away.
    fn forget(&self, data: &Path) {
        let path = data.join("up.json");
        let ours = self.json().map(|text| text + "\n").unwrap_or_default();
        if fs::read_to_string(&path).is_ok_and(|text| text == ours) {
            fs::remove_file(&path).unwrap_or_default();
        }
    }

    /// What a client must be told to find this process, if it does not by itself.
    fn client_options(&self, admin: SocketAddr) -> String {
        let mut options = String::new();
        if admin.port() != ADMIN_PORT {
            options.push_str(&format!(" --admin {admin}"));
        }
        if data::default().is_none_or(|data| self.token_file != token_file(&ledger_in(&data))) {
            options.push_str(&format!(" --token-file {}", quoted(&self.token_file)));
        }
        options
    }

    fn text(&self, keys: Option<&Keys>) -> String {
        let mut lines =
            vec!["Nearcast is up. One site, www, answers for every host name.".to_owned()];
        for edge in &self.edges {
            for address in &edge.http {
                lines.push(format!("  edge {}    http://{address}", edge.name));
            }
        }
        let of_root = self.root.as_ref().map(|root| format!(" (the files in {})", root.display()));
        lines.push(format!("  origin      {}{}", self.origin, of_root.unwrap_or_default()));
        if let Some(dns) = self.dns {
            lines.push(format!("  dns         {dns} answers www.cdn.test with the nearest edge"));
        }
        if let Some(admin) = self.admin {
            lines.push(format!(
                "  admin       http://{admin} (/healthz, /readyz, /metrics, /v1/route, /v1/pops, /v1/purges)"
            ));
        }
        let access_log = self.access_log.display();
        lines.push(format!("  access log  {access_log}"));
        lines.push(format!("  ledger      {}", self.ledger.display()));
        lines.push(format!("  token       in {}, for its owner alone", self.token_file.display()));
        if let Some(address) = self.edges.first().and_then(|edge| edge.http.first()) {
            lines.extend([
                "Try:".to_owned(),
                format!("  curl -si http://{address}/            # twice: the second is a hit"),
                format!("  curl -si -r 0-99 http://{address}/    # a part of it, from the cache"),
                format!("  tail -f {}", quoted(&self.access_log)),
            ]);
        }
        lines.extend(self.admin.map(|admin| {
            let purge = "  nearcast purge --site www --all --wait";
            format!("{purge}{}    # and curl again: a miss", self.client_options(admin))
        }));
        if let Some(dns) = self.dns {
            let at = format!("@{} -p {} www.cdn.test", dns.ip(), dns.port());
            lines.extend([
                format!("  dig +short {at} +subnet=203.0.113.0/24     # a client near sin"),
                format!("  dig +short {at} +subnet=198.51.100.0/24    # a client near fra"),
            ]);
        }
        if let (Some(admin), Some(edge)) = (self.admin, self.edges.first()) {
            lines.push(format!(
                "  curl -X POST http://{admin}/up/edges/{0}/stop    # and dig again; start brings {0} back",
                edge.name
            ));
        }
        lines.extend(keys.map(Keys::told));
        lines.push("Ctrl-C stops it.".to_owned());
        lines.join("\n")
    }
}
