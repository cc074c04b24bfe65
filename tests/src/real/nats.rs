//! A NATS server with JetStream, alone.
//!
//! In: nothing. Out: where it answers. Always holds: it finds a port of its own, and keeps it and its
//! store when it is killed and started again.

use std::{fs, process::Command};

use tempfile::TempDir;

use super::{
    Tested,
    process::{Process, Signal},
    program,
};

/// A running server.
#[derive(Debug)]
pub struct Nats {
    process: Process,
    folder: TempDir,
    port: u16,
}

impl Nats {
    /// Starts one.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> Tested<Self> {
        let folder = tempfile::tempdir()?;
        let (process, port) = run(&folder, "-1")?;
        Ok(Self { process, folder, port })
    }

    /// Ends it at once.
    ///
    /// # Errors
    /// When it does not end.
    pub fn kill(&mut self) -> Tested {
        self.process.signal(Signal::Kill)?;
        self.process.ended().map(drop)
    }

    /// Starts it again.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> Tested {
        (self.process, self.port) = run(&self.folder, &self.port.to_string())?;
        Ok(())
    }

    /// Where it answers.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

fn run(folder: &TempDir, port: &str) -> Tested<(Process, u16)> {
    let file = folder.path().join("nats.conf");
    let store = folder.path().join("store");
    let text = format!("listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {store:?} }}\n");
    fs::write(&file, text)?;
    let mut command = Command::new(program::tool("nats-server")?);
    let process = Process::start(command.arg("-c").arg(&file))?;
    let port = process.stderr_line(|line| {
        let address = line.split_once("Listening for client connections on ")?.1;
        address.rsplit(':').next()?.trim().parse().ok()
    })?;
    process.stderr_line(|line| line.contains("Server is ready").then_some(()))?;
    Ok((process, port))
}
