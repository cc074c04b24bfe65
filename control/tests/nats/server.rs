//! NATS servers of a test's own.
//!
//! In: lines of a configuration. Out: a process that answers, its port, what it said; and ledgers in
//! it. Always: it listens on a port of its own on loopback, keeps its store through a restart, and is
//! gone when its value is.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use async_nats::RequestErrorKind;
use futures_util::future::BoxFuture;
use nearcast_control::{
    embedded::{Bound, Kept},
    ledger::Ledger,
    nats::{Access, Nats, Options},
};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::contract::Place;

/// How long a server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that `tests/run` installs; or Debian's one where `newest` was not fetched.
pub(crate) fn debian() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(usual)
        .map(|folder| folder.join("nats-server"))
        .find(|path| path.is_file())
        .expect("nats-server is not installed; run `tests/run --install`")
}

/// The version that durability is claimed for.
pub(crate) fn newest() -> PathBuf {
    // A test runs as <target>/<profile>/deps/<name>.
    let own = std::env::current_exe().unwrap();
    let target = own.ancestors().nth(3).unwrap();
    let program = target.join("nats/bin/nats-server");
    assert!(program.is_file(), "no {}; run `tests/run --install`", program.display());
    program
}

/// A server.
pub(crate) struct Server {
    program: PathBuf,
    folder: TempDir,
    more: String,
    syncs: bool,
    child: Mutex<Option<Child>>,
    /// For clients, and for the other servers of a cluster.
    pub(crate) ports: (u16, Option<u16>),
}

impl Server {
    /// Starts one with JetStream, on a port that it finds; `more` are lines of its configuration.
    pub(crate) fn start(program: PathBuf, more: &str) -> Self {
        Self::start_syncing(program, more, false)
    }

    /// The same, and it syncs each write before it acknowledges it.
    pub(crate) fn syncing(program: PathBuf, more: &str) -> Self {
        Self::start_syncing(program, more, true)
    }

    fn start_syncing(program: PathBuf, more: &str, syncs: bool) -> Self {
        let mut server = Self {
            syncs,
            program,
            folder: tempfile::tempdir().unwrap(),
            more: more.to_owned(),
            child: Mutex::new(None),
            ports: (0, None),
        };
        server.ports = server.run("port: -1");
        server
    }

    /// Debian's, alone.
    pub(crate) fn alone() -> Self {
        Self::start(debian(), "")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, port: &str) -> (u16, Option<u16>) {
        let config = self.folder.path().join("nats.conf");
        let store = self.folder.path().join("store");
        let sync = if self.syncs { "sync_interval: always" } else { "" };
        let text = format!(
            "host: 127.0.0.1\n{port}\njetstream {{ store_dir: \"{}\"\n {sync} }}\n{}\n",
            store.display(),
            // Others of a cluster look for it where it was.
            match self.ports.1 {
                Some(cluster) => self.more.replace(":-1\"", &format!(":{cluster}\"")),
                None => self.more.clone(),
            }
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(&self.program);
        let command = command.arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            // To its end, so that the server never waits for us.
            for line in said.lines().map_while(Result::ok) {
                drop(tell.send(line));
            }
        });
        *self.child.lock().unwrap() = Some(child);
        let (mut client, mut cluster, mut lines) = (None, None, Vec::new());
        let (mut is_ready, until) = (false, Instant::now() + PATIENCE);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = told.recv_timeout(left) else { panic!("not ready: {lines:#?}") };
            let port = || line.rsplit(':').next().and_then(|port| port.trim().parse().ok());
            if line.contains("Listening for client connections on") {
                client = port();
            } else if line.contains("Listening for route connections on") {
                cluster = port();
            }
            is_ready |= line.contains("Server is ready");
            lines.push(line);
            // It listens for the others of its cluster last.
            if is_ready && (cluster.is_some() || !self.more.contains("cluster")) {
                return (client.unwrap(), cluster);
            }
        }
    }

    /// Starts it again, at the same ports, with what its store has.
    pub(crate) fn start_again(&self) {
        let ports = self.run(&format!("port: {}", self.ports.0));
        assert_eq!(ports.0, self.ports.0);
    }

    fn signal(&self, signal: Signal) -> Pid {
        let child = self.child.lock().unwrap();
        let id = i32::try_from(child.as_ref().unwrap().id()).unwrap();
        let id = Pid::from_raw(id).unwrap();
        kill_process(id, signal).unwrap();
        id
    }

    /// SIGSTOP; none of its threads runs any more when this returns.
    pub(crate) fn stop(&self) {
        let id = self.signal(Signal::STOP);
        let stopped = waitid(WaitId::Pid(id), WaitIdOptions::STOPPED).unwrap();
        assert!(stopped.is_some_and(|status| status.stopped()));
    }

    /// SIGCONT
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGKILL
    pub(crate) fn kill(&self) {
        let child = self.child.lock().unwrap().take();
        if let Some(mut child) = child {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.ports.0)
    }

    /// A place in it.
    pub(crate) fn place(&self, prefix: &str) -> InNats {
        let access = Access { servers: vec![self.url()], ..Access::default() };
        let kept = Kept::default();
        InNats(Options { access, prefix: prefix.to_owned(), replicas: 1, kept })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A ledger's place in NATS.
#[derive(Clone)]
pub(crate) struct InNats(pub(crate) Options);

impl InNats {
    pub(crate) async fn nats(&self) -> Nats {
        Nats::open(&self.0).await.unwrap()
    }

    /// Asks JetStream itself; again where nobody answers, as while a leader is elected.
    pub(crate) async fn ask(&self, api: &str) -> serde_json::Value {
        let client = async_nats::connect(&self.0.access.servers[..]).await.unwrap();
        loop {
            match client.request(format!("$JS.API.{api}"), "".into()).await {
                Ok(answer) => return serde_json::from_slice(&answer.payload).unwrap(),
                Err(error) => assert_eq!(error.kind(), RequestErrorKind::TimedOut, "{error}"),
            }
        }
    }
}

impl Place for InNats {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Ledger>> {
        Box::pin(async { Arc::new(self.nats().await) as _ })
    }

    fn open_keeping(&self, kept: u64) -> BoxFuture<'_, Arc<dyn Ledger>> {
        let mut place = self.clone();
        let bound = Bound { entries: kept, ..Bound::default() };
        place.0.kept = Kept { purges: bound, audit: bound };
        Box::pin(async move { Arc::new(place.nats().await) as _ })
    }
}
