//! nginx as an origin that serves a folder's files.
//!
//! In: a folder, the fields to send. Out: an origin that can be killed and started again at the
//! same address.
//! Always holds: it is one process, so that killing it kills all of it; it writes into a folder of
//! its own only.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{
    Tested,
    process::{Process, Signal},
    program, wait_for,
};

/// Addresses that are tried before the test gives up.
const TRIES: u8 = 5;

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    /// Where it answers.
    pub address: SocketAddr,
    process: Option<Process>,
    folder: TempDir,
}

impl Nginx {
    /// Serves the files in `root`; `locations` are nginx's own words for what goes out with them.
    ///
    /// # Errors
    /// When it does not start.
    pub fn serving(root: &Path, locations: &str) -> Tested<Self> {
        let folder = tempfile::tempdir()?;
        let (address, process) = several_times(|| {
            let address = free_address()?;
            fs::write(folder.path().join("nginx.conf"), settings(root, address, locations))?;
            Ok((address, start(folder.path(), address)?))
        })?;
        Ok(Self { address, process: Some(process), folder })
    }

    /// Ends it at once, connections and all.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill(&mut self) -> Tested {
        let mut process = self.process.take().ok_or("nginx does not run")?;
        process.signal(Signal::Kill)?;
        process.ended()?;
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&mut self, signal: Signal) -> Tested {
        self.process.as_mut().ok_or("nginx does not run")?.signal(signal)
    }

    /// Starts it again where it was.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self) -> Tested {
        self.process = Some(several_times(|| start(self.folder.path(), self.address))?);
        Ok(())
    }
}

/// Tries what may find its address taken in the moment between the look and the use.
///
/// # Errors
/// The last failure.
pub fn several_times<T>(mut attempt: impl FnMut() -> Tested<T>) -> Tested<T> {
    let mut result = attempt();
    for _ in 1..TRIES {
        if result.is_ok() {
            break;
        }
        result = attempt();
    }
    result
}

/// For who must know the port before it is bound (nginx does not say which one it got for port 0).
/// The address is one that hardly anyone else on this machine uses, so that the port is still free
/// a moment later.
///
/// # Errors
/// When nothing can be bound there.
pub fn free_address() -> Tested<SocketAddr> {
    let octet = || rand::random_range(1..=254);
    let address = Ipv4Addr::new(127, octet(), octet(), octet());
    Ok(TcpListener::bind((address, 0))?.local_addr()?)
}

fn start(folder: &Path, address: SocketAddr) -> Tested<Process> {
    let mut command = Command::new(program::tool("nginx")?);
    command.arg("-p").arg(folder).args(["-e", "stderr", "-c"]).arg(folder.join("nginx.conf"));
    let mut process = Process::start(&mut command)?;
    wait_for("nginx answers", || {
        if !process.is_running()? {
            process.ended()?;
            return Err(format!("nginx ended: {}", process.stderr().join("\n")).into());
        }
        Ok(TcpStream::connect(address).ok().map(drop))
    })?;
    Ok(process)
}

fn settings(root: &Path, address: SocketAddr, locations: &str) -> String {
    let root: PathBuf = root.components().collect();
    format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  sendfile on;\n  keepalive_requests 100000;\n\
         client_body_temp_path client;\n  proxy_temp_path proxy;\n  fastcgi_temp_path fastcgi;\n\
         uwsgi_temp_path uwsgi;\n  scgi_temp_path scgi;\n\
         types {{ text/html html; text/css css; text/javascript js mjs; application/json json map;\n\
         application/wasm wasm; font/woff2 woff2; }}\n\
         server {{\n    listen {address};\n    root \"{}\";\n{locations}\n  }}\n}}\n",
        root.display()
    )
}
