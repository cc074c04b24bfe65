//! unbound as a resolver that knows what the test tells it.
//!
//! In: records. Out: where it answers. Always holds: it asks nobody else; records change while it
//! runs, by its own control program.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{Tested, process::Process, program, wait_for};

/// A running unbound that answers for everything under `shop.test`.
#[derive(Debug)]
pub struct Resolver {
    /// Where it answers.
    pub address: SocketAddr,
    /// Its process.
    pub process: Process,
    file: PathBuf,
    _folder: TempDir,
}

impl Resolver {
    /// Starts one with these records.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(records: &[&str]) -> Tested<Self> {
        let started = wait_for("a port for unbound", || match free_port()? {
            Some(port) => Self::start_on(port),
            None => Ok(None),
        })?;
        records.iter().try_for_each(|record| started.put(record))?;
        Ok(started)
    }

    /// Adds a record.
    ///
    /// # Errors
    /// When it does not take it.
    pub fn put(&self, record: &str) -> Tested {
        self.control(&["local_data", record])
    }

    /// Takes all records of a name away; it is then known not to be there.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn remove(&self, name: &str) -> Tested {
        self.control(&["local_data_remove", name])
    }

    fn control(&self, words: &[&str]) -> Tested {
        let mut command = Command::new(program::tool("unbound-control")?);
        let output = command.arg("-c").arg(&self.file).args(words).output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("unbound-control {words:?}: {}", String::from_utf8_lossy(&output.stdout))
            .into())
    }

    fn start_on(port: u16) -> Tested<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("unbound.conf");
        let place = folder.path().display();
        let text = format!(
            "server:\n directory: \"{place}\"\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n \
             use-syslog: no\n logfile: \"\"\n num-threads: 1\n interface: 127.0.0.1\n port: {port}\n \
             access-control: 127.0.0.0/8 allow\n local-zone: \"test.\" nodefault\n \
             local-zone: \"shop.test.\" static\nremote-control:\n control-enable: yes\n \
             control-interface: \"{place}/control\"\n control-use-cert: no\n"
        );
        fs::write(&file, text)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let started = unbound(&file)?;
        Ok(started.map(|process| Self { address, process, file, _folder: folder }))
    }
}

/// unbound with these settings, once it serves; nothing if its port is taken.
///
/// # Errors
/// It is not installed, or ended before it said either.
pub fn unbound(settings: &Path) -> Tested<Option<Process>> {
    let mut command = Command::new(program::tool("unbound")?);
    let process = Process::start(command.args(["-d", "-p", "-c"]).arg(settings))?;
    let started = process.stderr_line(|line| {
        let taken = line.contains("Address already in use");
        (taken || line.contains("start of service")).then_some(!taken)
    })?;
    Ok(started.then_some(process))
}

/// A port that is free over TCP and UDP: unbound cannot be told to take any.
fn free_port() -> Tested<Option<u16>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    Ok(UdpSocket::bind(address).is_ok().then_some(address.port()))
}
