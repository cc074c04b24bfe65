//! One running GeoDNS server: `nearcast run` with a file that has no edge.
//!
//! In: the file. Out: where it answers, what `dig` is told, its counters.
//! Always holds: it listens on free ports of loopback; its folder goes with it.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use tempfile::TempDir;

use super::{
    Tested,
    http::Connection,
    node::{Metrics, listening},
    process::{Process, Signal},
    program, wait_for,
};

/// A running server.
#[derive(Debug)]
pub struct GeoDns {
    /// Its process.
    pub process: Process,
    /// Where it answers queries.
    pub dns: SocketAddr,
    /// Where it answers its operator.
    pub admin: SocketAddr,
    folder: TempDir,
}

impl GeoDns {
    /// Starts one with the file `text`, which has neither `[admin]` nor `[log]`, and waits until it
    /// is ready.
    ///
    /// # Errors
    /// When it does not start; its stderr is told.
    pub fn start(text: &str) -> Tested<Self> {
        Self::start_with(text, &[])
    }

    /// The same with further files in its folder.
    ///
    /// # Errors
    /// When it does not start; its stderr is told.
    pub fn start_with(text: &str, files: &[(&str, &str)]) -> Tested<Self> {
        let folder = tempfile::tempdir()?;
        for (name, text) in files {
            fs::write(folder.path().join(name), text)?;
        }
        fs::write(folder.path().join("node.toml"), whole(text))?;
        let (process, dns, admin) = run(folder.path())?;
        Ok(Self { process, dns, admin, folder })
    }

    /// Kills it, and starts another on the same folder.
    ///
    /// # Errors
    /// When that does not start; its stderr is told.
    pub fn start_again(&mut self) -> Tested {
        self.process.signal(Signal::Kill)?;
        self.process.ended()?;
        (self.process, self.dns, self.admin) = run(self.folder.path())?;
        Ok(())
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a file of its folder in place of the old one, as editors do.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn replace(&self, name: &str, text: &str) -> Tested {
        let new = self.folder.path().join(format!("{name}.new"));
        fs::write(&new, text)?;
        Ok(fs::rename(new, self.folder.path().join(name))?)
    }

    /// Puts new settings in place of the old ones.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn rewrite(&self, text: &str) -> Tested {
        self.replace("node.toml", &whole(text))
    }

    /// The first address that `dig` is told for `name` and a client of `subnet`.
    ///
    /// # Errors
    /// When it is told none.
    pub fn dig(&self, name: &str, subnet: &str) -> Tested<String> {
        dig(self.dns, name, &[&format!("+subnet={subnet}")])
    }

    /// The metrics page.
    ///
    /// # Errors
    /// When it does not come.
    pub fn metrics(&self) -> Tested<Metrics> {
        Ok(Metrics(Connection::open(self.admin)?.get("/metrics")?.text()))
    }

    /// Queries that it has answered.
    ///
    /// # Errors
    /// When it does not say.
    pub fn queries(&self) -> Tested<f64> {
        Ok(self.metrics()?.sum("nearcast_dns_queries_total", &[]).unwrap_or(0.0))
    }
}

/// Runs the file in `folder`, and waits until it is ready.
fn run(folder: &Path) -> Tested<(Process, SocketAddr, SocketAddr)> {
    let mut command = Command::new(program::nearcast()?);
    command.arg("run").arg("--config").arg(folder.join("node.toml")).env("NEARCAST_WORKERS", "2");
    let process = Process::start(&mut command)?;
    let dns = process.stderr_line(listening("GeoDNS answers"))?;
    let admin = process.stderr_line(listening("the admin listener answers"))?;
    wait_for("readiness", || {
        Ok((Connection::open(admin)?.get("/readyz")?.status == 200).then_some(()))
    })?;
    Ok((process, dns, admin))
}

/// The file with the sections that every one has.
fn whole(text: &str) -> String {
    format!("{text}\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n")
}

/// The first address that `dig` is told by `server`.
///
/// # Errors
/// When it is told none.
pub fn dig(server: SocketAddr, name: &str, options: &[&str]) -> Tested<String> {
    let mut command = Command::new(program::tool("dig")?);
    command.arg(format!("@{}", server.ip())).args(["-p", &server.port().to_string()]);
    command.args(["+short", "+timeout=2", "+tries=2", name]).args(options);
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().last() {
        Some(address) if output.status.success() => Ok(address.to_owned()),
        _ => Err(format!("dig {name} {options:?}: {output:?}").into()),
    }
}
