//! rclone as a server of buckets (S3), which takes signed requests alone.
//!
//! In: a folder whose folders are the buckets, a key. Out: where it answers.

use std::{net::SocketAddr, path::Path, process::Command};

use super::{Tested, process::Process, program};

/// A running server.
#[derive(Debug)]
pub struct Buckets {
    /// Where it answers.
    pub address: SocketAddr,
    /// Its process.
    pub process: Process,
}

impl Buckets {
    /// Serves the buckets in `root` to who signs with this key.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(root: &Path, (id, secret): (&str, &str)) -> Tested<Self> {
        let mut command = Command::new(program::rclone()?);
        command.args(["serve", "s3", "--auth-key", &format!("{id},{secret}")]);
        command.args(["--addr", "127.0.0.1:0", "--config", ""]).arg(root);
        let process = Process::start(&mut command)?;
        let address = process.stderr_line(|line| {
            let (_, rest) = line.split_once("[http://")?;
            rest.split_once('/')?.0.parse().ok()
        })?;
        Ok(Self { address, process })
    }
}
