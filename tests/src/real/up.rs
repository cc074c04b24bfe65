//! `nearcast up`, and its verbs told where it is.
//!
//! In: a folder, what else is on its command line. Out: a process that answers, and what its up.json
//! says. It does not know what is tried with it.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use super::{
    Tested,
    process::{Process, Signal},
    program,
};

/// It; the folder outlives it.
#[derive(Debug)]
pub struct Up {
    /// The process.
    pub process: Process,
    /// Its up.json.
    pub facts: Value,
}

impl Up {
    /// On free ports, with its data there.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(data: &Path) -> Tested<Self> {
        Self::start_with(data, |_command| ())
    }

    /// The same with more said to it.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_with(data: &Path, more: impl FnOnce(&mut Command)) -> Tested<Self> {
        let mut command = Command::new(program::nearcast()?);
        command.args(["up", "--json", "--http-port", "0", "--dns-port", "0", "--admin-port", "0"]);
        command.arg("--data").arg(data);
        more(&mut command);
        let process = Process::start(&mut command)?;
        process.stdout_line(|line| line.starts_with('{').then_some(()))?;
        let facts = serde_json::from_slice(&fs::read(data.join("up.json"))?)?;
        Ok(Self { process, facts })
    }

    /// What up.json says under a name; nothing if that is no text.
    #[must_use]
    pub fn fact(&self, name: &str) -> &str {
        self.facts[name].as_str().unwrap_or_default()
    }

    /// Where its edges answer.
    #[must_use]
    pub fn edges(&self) -> Vec<SocketAddr> {
        let edges = self.facts["edges"].as_array().into_iter().flatten();
        edges.filter_map(|edge| edge["http"][0].as_str()?.parse().ok()).collect()
    }

    /// What a client verb does.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn client(&self, arguments: &[&str]) -> Tested<Output> {
        self.client_as((self.fact("admin"), self.fact("token_file")), arguments)
    }

    /// The same elsewhere, or with another token.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn client_as(
        &self,
        (admin, token_file): (&str, &str),
        arguments: &[&str],
    ) -> Tested<Output> {
        let mut command = Command::new(program::nearcast()?);
        command.args(arguments).args(["--admin", admin, "--token-file", token_file]);
        Ok(command.output()?)
    }

    /// What a client verb says as JSON.
    ///
    /// # Errors
    /// When it fails.
    pub fn json(&self, arguments: &[&str]) -> Tested<Value> {
        let output = self.client(&[arguments, &["--json"]].concat())?;
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout)?)
        } else {
            Err(format!("{arguments:?}: {output:?}").into())
        }
    }

    /// Ends it as Ctrl-C does.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn interrupted(mut self) -> Tested {
        self.process.signal(Signal::Interrupt)?;
        match self.process.ended()?.code() {
            Some(0) => Ok(()),
            code => Err(format!("ended with {code:?}: {:?}", self.process.stderr()).into()),
        }
    }
}
