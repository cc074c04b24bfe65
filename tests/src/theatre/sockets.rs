//! The theatre of real binaries: `nearcast run` as a process of its own, over loopback sockets.
//!
//! In: a scenario's name and text, and the binary. Out: agreement, or what went otherwise.
//! Always holds: ports are the system's choice; the process ends with its scenario, whatever happens;
//! every wait has a deadline.
//! It deliberately plays nothing in which a clock moves: no one moves a real clock.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edge::Edge;
use origin_mock::clock;
use origin_mock::origin::{Origin, Settings as OriginSettings};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use toml::{Table, Value};

use crate::client::{BoxedStream, Changes};
use crate::play::{NODE, Stage, Turn, play};
use crate::scenario::parse::parse;
use crate::scenario::{Scenario, Settings};

/// How long a process may take until it listens.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// How long a scenario waits for anything.
const WAIT_DEADLINE: Duration = Duration::from_secs(10);
/// How long a wait goes without looking for itself.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Round trips through the edge after which it has taken in what was sent before.
const REST_ROUNDS: usize = 3;
/// A request that the edge answers by itself at once.
const ROUND: &[u8] = b"GET / HTTP/1.1\r\nHost: not a host\r\n\r\n";

/// Plays a scenario against a binary.
///
/// # Errors
/// What went otherwise than written.
pub fn perform(name: &str, text: &str, binary: &Path) -> Result<(), String> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut page = text.to_owned();
        let mut servers = Vec::new();
        for name in server_names(text) {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(told)?;
            let address = listener.local_addr().map_err(told)?.to_string();
            page = page.replace(name, &address);
            servers.push(Server { name, address, listener });
        }
        let scenario = parse(name, &page)?;
        let stage = SocketStage::new(&scenario, servers, binary)?;
        let played = play(&scenario, &stage).await;
        played.map_err(|failure| format!("{failure}{}", stage.process.log()))
    })
}

/// A server of the origin: its name in the pages, and where it really is.
struct Server {
    name: &'static str,
    address: String,
    listener: TcpListener,
}

fn told(error: impl Into<io::Error>) -> String {
    error.into().to_string()
}

/// The origin's servers that a page names, the longest name first, so that none is replaced inside
/// another. The last one is the default, which a page need not name.
fn server_names(text: &str) -> impl Iterator<Item = &'static str> {
    let named = text.contains("b.origin.example");
    ["b.origin.example", "origin.example"].into_iter().skip(usize::from(!named))
}

/// A stage of this theatre.
pub struct SocketStage {
    origin: Origin,
    servers: Arc<Servers>,
    process: Process,
    changes: Arc<Changes>,
    began: Instant,
}

impl SocketStage {
    fn new(scenario: &Scenario, listening: Vec<Server>, binary: &Path) -> Result<Self, String> {
        let settings = OriginSettings { control: false, ..OriginSettings::default() };
        let origin =
            Origin::scripted(scenario.script.clone(), clock::anchored(wall_time()), settings)
                .map_err(|error| error.to_string())?;
        let servers = Arc::new(Servers::default());
        let mut node_file = node_file(&scenario.settings);
        for Server { name, address, listener } in listening {
            node_file = node_file.replace(name, &address);
            tokio::spawn(accept(address, listener, origin.clone(), Arc::clone(&servers)));
        }
        let process = Process::start(binary, &node_file)?;
        let began = Instant::now();
        Ok(Self { origin, servers, process, changes: Arc::default(), began })
    }
}

/// The wall time, from the one place that reads it.
fn wall_time() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(edge::clock::Clock::system().now().as_millis())
}

/// The node file for a scenario's settings.
fn node_file(settings: &Settings) -> String {
    let list = |text: &str| Value::Array(vec![text.into()]);
    let mut edge = settings.edge.clone();
    edge.insert("listen".to_owned(), list("127.0.0.1:0"));
    edge.insert("origin_networks_allowed".to_owned(), list("127.0.0.0/8"));
    let mut node = Table::new();
    node.insert("name".to_owned(), NODE.into());
    // One worker takes in what clients send in the order in which they sent it.
    node.insert("workers".to_owned(), Value::Integer(1));
    let sites = settings.sites.iter().cloned().map(Value::Table).collect();
    let mut file = Table::new();
    file.insert("node".to_owned(), Value::Table(node));
    file.insert("edge".to_owned(), Value::Table(edge));
    file.insert("site".to_owned(), Value::Array(sites));
    file.to_string()
}

#[derive(Default)]
struct Servers(Mutex<Open>);

#[derive(Default)]
struct Open {
    down: BTreeMap<String, bool>,
    all_down: bool,
    connections: Vec<(String, AbortHandle)>,
}

impl Open {
    fn is_down(&self, server: &str) -> bool {
        self.down.get(server).copied().unwrap_or(self.all_down)
    }
}

/// Takes a server's connections; while it is down they are dropped as soon as they come.
async fn accept(name: String, listener: TcpListener, origin: Origin, servers: Arc<Servers>) {
    while let Ok((stream, _)) = listener.accept().await {
        let mut open = servers.0.lock();
        if open.is_down(&name) {
            continue;
        }
        let origin = origin.clone();
        let task = tokio::spawn(async move { origin.serve_tcp(stream).await });
        open.connections.push((name.clone(), task.abort_handle()));
    }
}

/// The edge's process.
struct Process {
    child: Child,
    address: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
    /// Holds the node file as long as the process may read it.
    _folder: tempfile::TempDir,
}

impl Process {
    fn start(binary: &Path, node_file: &str) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(told)?;
        let path = folder.path().join("node.toml");
        std::fs::File::create(&path)
            .and_then(|mut file| file.write_all(node_file.as_bytes()))
            .map_err(told)?;
        let mut command = Command::new(binary);
        command.arg("run").arg("--config").arg(&path);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child =
            command.spawn().map_err(|error| format!("{}: {error}", binary.display()))?;
        let stderr = child.stderr.take().ok_or("the process has no stderr")?;
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (found, address) = mpsc::channel();
        let log = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(address) = listening(&line) {
                    // The receiver is gone once the stage has its address.
                    found.send(address).ok();
                }
                log.lock().push(line);
            }
        });
        let mut process =
            Self { child, address: (Ipv4Addr::UNSPECIFIED, 0).into(), lines, _folder: folder };
        process.address = address
            .recv_timeout(START_DEADLINE)
            .map_err(|_gone| format!("the process does not listen:{}", process.log()))?;
        Ok(process)
    }

    /// What the process has logged, for a failure.
    fn log(&self) -> String {
        self.lines.lock().iter().map(|line| format!("\n  nearcast: {line}")).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; either way there is nothing more to do about it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The address in a log line that says where the edge listens.
fn listening(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("the edge answers")?;
    let (_, rest) = rest.split_once("listen=[")?;
    rest.split([']', ',']).next()?.parse().ok()
}

impl Stage for SocketStage {
    async fn connect(&self) -> io::Result<BoxedStream> {
        let stream = TcpStream::connect(self.process.address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }

    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn set_down(&self, server: Option<&str>, down: bool) {
        let mut open = self.servers.0.lock();
        match server {
            Some(server) => {
                open.down.insert(server.to_owned(), down);
            }
            None => {
                open.all_down = down;
                open.down.clear();
            }
        }
        let (gone, stay) = std::mem::take(&mut open.connections)
            .into_iter()
            .partition(|(name, _)| open.is_down(name));
        open.connections = stay;
        let gone: Vec<(String, AbortHandle)> = gone;
        for (_, task) in gone {
            task.abort();
        }
    }

    fn now(&self) -> SystemTime {
        wall_time()
    }

    /// A loaded machine takes its time; ages and lifetimes are off by no more than that, rounding
    /// and the edge's own beginning included.
    fn late_by(&self) -> u64 {
        self.began.elapsed().as_secs() + 2
    }

    /// Whoever answers a later request of another connection has taken in the earlier ones.
    async fn rest(&self) {
        for _ in 0..REST_ROUNDS {
            let round = async {
                let mut stream = TcpStream::connect(self.process.address).await?;
                stream.write_all(ROUND).await?;
                stream.read_to_end(&mut Vec::new()).await
            };
            // A round that fails tells nothing; what the scenario expects next will.
            drop(tokio::time::timeout(WAIT_DEADLINE, round).await);
        }
    }

    async fn turn(&self, since: Turn) -> bool {
        let mut changes = self.changes.subscribe();
        let recorder = self.origin.recorder();
        let before = recorder.stats();
        tokio::select! {
            _ = changes.changed() => {}
            _ = recorder.wait_until(|now| *now != before, LOOK_EVERY) => {}
        }
        since.began.elapsed() < WAIT_DEADLINE
    }

    async fn pass(&self, _time: Duration) {}

    fn changes(&self) -> &Arc<Changes> {
        &self.changes
    }

    fn edge(&self) -> Option<&Edge> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_the_address() {
        let line =
            "2026 INFO nearcast::run: the edge answers node=\"edge\" listen=[127.0.0.1:36567]";
        assert_eq!(listening(line), Some((Ipv4Addr::LOCALHOST, 36567).into()));
        assert_eq!(listening("INFO running listen=[127.0.0.1:1]"), None);
    }

    #[test]
    fn the_node_file_has_the_scenarios_settings() {
        let page = "T\nclause: c\n\nedge\n  variants_max = 2\nrule\n  cache = false\n\
            < 400\n  !Cache-Status\n  body ~ x\norigin got 0\n";
        let file: Table = node_file(&parse("x", page).unwrap().settings).parse().unwrap();
        assert_eq!(file["edge"]["variants_max"].as_integer(), Some(2));
        assert_eq!(file["site"][0]["rule"][0]["cache"].as_bool(), Some(false));
        assert_eq!(file["node"]["name"].as_str(), Some(NODE));
    }
}
