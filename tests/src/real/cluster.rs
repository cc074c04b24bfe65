//! Three NATS servers with JetStream, as durability is claimed for them, and what they are asked.
//!
//! In: nothing. Out: where they answer, answers of JetStream. Always holds: each has an address of its
//! own, and keeps it and its store when it is killed and started again; every wait has a deadline.
//! It knows nothing of a ledger.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    Tested,
    nginx::free_address,
    process::{Process, Signal},
    program,
};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(1);

/// The servers.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Server>,
    _folder: TempDir,
}

#[derive(Debug)]
struct Server {
    process: Process,
    settings: std::path::PathBuf,
    address: SocketAddr,
}

impl Cluster {
    /// Starts them.
    ///
    /// # Errors
    /// When one does not start.
    pub fn start() -> Tested<Self> {
        let folder = tempfile::tempdir()?;
        let mut addresses = Vec::new();
        for _ in 0..3 {
            addresses.push((free_address()?, free_address()?));
        }
        let routes: Vec<String> =
            addresses.iter().map(|(_, route)| format!("\"nats://{route}\"")).collect();
        let mut servers = Vec::new();
        for (number, (address, route)) in addresses.iter().enumerate() {
            let settings = folder.path().join(format!("n{number}.conf"));
            let store = folder.path().join(format!("n{number}"));
            // Clients are not told of the other servers: they may reach each through a relay.
            let text = format!(
                "server_name: n{number}\nlisten: \"{address}\"\n\
                 jetstream {{ store_dir: {store:?}, sync_interval: always }}\n\
                 cluster {{ name: test, listen: \"{route}\", routes: [{}]\n\
                 no_advertise: true }}\n",
                routes.join(", ")
            );
            fs::write(&settings, text)?;
            let process = run(&settings)?;
            servers.push(Server { process, settings, address: *address });
        }
        Ok(Self { servers, _folder: folder })
    }

    /// Where they answer.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.servers.iter().map(|server| server.address)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.servers.len()
    }

    /// Sends one of them a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&mut self, number: usize, signal: Signal) -> Tested {
        self.server(number)?.process.signal(signal)
    }

    /// Ends one of them at once.
    ///
    /// # Errors
    /// When it does not end.
    pub fn kill(&mut self, number: usize) -> Tested {
        let process = &mut self.server(number)?.process;
        process.signal(Signal::Kill)?;
        process.ended().map(drop)
    }

    /// Starts one again.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self, number: usize) -> Tested {
        let server = self.server(number)?;
        server.process = run(&server.settings)?;
        Ok(())
    }

    fn server(&mut self, number: usize) -> Tested<&mut Server> {
        self.servers.get_mut(number).ok_or_else(|| format!("no server {number}").into())
    }

    /// The server that leads a stream, if anybody says so.
    #[must_use]
    pub fn leader(&self, stream: &str) -> Option<usize> {
        let info = self.ask(&format!("STREAM.INFO.{stream}")).ok()?;
        info["cluster"]["leader"].as_str()?.strip_prefix('n')?.parse().ok()
    }

    /// Asks JetStream, through whichever server answers first.
    ///
    /// # Errors
    /// When none does.
    pub fn ask(&self, api: &str) -> Tested<Value> {
        let mut last = Err("no servers".into());
        for server in &self.servers {
            last = ask(server.address, api);
            if last.is_ok() {
                break;
            }
        }
        last
    }
}

fn run(settings: &std::path::Path) -> Tested<Process> {
    let mut command = Command::new(program::nats_server()?);
    let process = Process::start(command.arg("-c").arg(settings))?;
    process.stderr_line(|line| line.contains("Server is ready").then_some(()))?;
    Ok(process)
}

/// One question in NATS's own words: connected, subscribed, published, answered.
fn ask(server: SocketAddr, api: &str) -> Tested<Value> {
    let mut stream = TcpStream::connect_timeout(&server, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    write!(
        stream,
        "CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\nSUB answer 1\r\n\
         PUB $JS.API.{api} answer 0\r\n\r\n"
    )?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(format!("{server} ended the connection").into());
        }
        if line.starts_with("PING") {
            reader.get_mut().write_all(b"PONG\r\n")?;
        }
        if let Some(message) = line.strip_prefix("MSG ") {
            let length = message.trim().rsplit(' ').next().unwrap_or_default();
            let mut content = vec![0; length.parse()?];
            reader.read_exact(&mut content)?;
            return Ok(serde_json::from_slice(&content)?);
        }
    }
}
