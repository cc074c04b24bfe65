//! One running node: `nearcast run` with a file of its own.
//!
//! In: the file's sections. Out: where it listens, what its admin listener says, its log.
//! Always holds: it listens on free ports; its log is JSON; its folder goes with it.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    Tested,
    http::{Connection, Response},
    process::Process,
    program,
};

/// A node file, section by section; lines are TOML.
#[derive(Clone, Debug, Default)]
pub struct NodeFile {
    /// Lines of `[node]`.
    pub node: Vec<String>,
    /// Lines of `[edge]`.
    pub edge: Vec<String>,
    /// Lines of `[edge.limits]`.
    pub limits: Vec<String>,
    /// Lines of `[log]`.
    pub log: Vec<String>,
    /// Everything from the first `[[site]]` on.
    pub sites: String,
}

impl NodeFile {
    /// One site for every host name, pulled from `origin` on loopback.
    #[must_use]
    pub fn pulling(origin: SocketAddr) -> Self {
        Self {
            edge: vec!["origin_networks_allowed = [\"127.0.0.0/8\"]".to_owned()],
            sites: site("www", "*", origin),
            ..Self::default()
        }
    }

    /// With one more line in `[edge.limits]`.
    #[must_use]
    pub fn limit(mut self, line: &str) -> Self {
        self.limits.push(line.to_owned());
        self
    }

    /// The file.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let own = |line: &str| line.to_owned();
        let sections: [(&str, Vec<String>, &[String]); 5] = [
            ("node", vec![own("name = \"real\"")], &self.node),
            ("edge", vec![own("listen = [\"127.0.0.1:0\"]")], &self.edge),
            ("edge.limits", vec![], &self.limits),
            ("admin", vec![own("listen = \"127.0.0.1:0\"")], &[]),
            ("log", vec![own("format = \"json\"")], &self.log),
        ];
        for (name, own, given) in sections {
            let lines: Vec<&str> = own.iter().chain(given).map(String::as_str).collect();
            // Writing into a String cannot fail.
            writeln!(text, "[{name}]\n{}", lines.join("\n")).unwrap_or_default();
        }
        text + &self.sites
    }
}

/// A `[[site]]`.
#[must_use]
pub fn site(name: &str, host: &str, origin: SocketAddr) -> String {
    format!(
        "[[site]]\nname = \"{name}\"\nhosts = [\"{host}\"]\n\
         origin = {{ servers = [\"http://{origin}\"] }}\n"
    )
}

/// Knows the line of the log that says where something listens, and its first address.
pub fn listening(message: &'static str) -> impl Fn(&str) -> Option<SocketAddr> {
    move |line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let told = line.get("message")?.as_str()? == message;
        let listen = line.get("listen")?.as_str()?.trim_matches(['[', ']']);
        if told { listen.split(", ").next()?.parse().ok() } else { None }
    }
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    /// Its process.
    pub process: Process,
    /// Where it answers clients.
    pub edge: SocketAddr,
    /// Where it answers its operator.
    pub admin: SocketAddr,
    folder: TempDir,
}

impl Node {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// When it does not start; its stderr is told.
    pub fn start(file: &NodeFile) -> Tested<Self> {
        Self::start_with(&file.text())
    }

    /// Starts one with the file `text`, which must have a JSON log and an admin listener.
    ///
    /// # Errors
    /// When it does not start; its stderr is told.
    pub fn start_with(text: &str) -> Tested<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("node.toml");
        fs::write(&path, text)?;
        let mut command = Command::new(program::nearcast()?);
        command.arg("run").arg("--config").arg(&path).env("NEARCAST_WORKERS", "2");
        let process = Process::start(&mut command)?;
        let edge = process.stderr_line(listening("the edge answers"))?;
        let admin = process.stderr_line(listening("the admin listener answers"))?;
        Ok(Self { process, edge, admin, folder })
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("node.toml")
    }

    /// Puts a new file in place of the old one, as editors do.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn rewrite(&self, text: &str) -> Tested {
        let new = self.folder.path().join("node.toml.new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, self.file())?)
    }

    /// A connection to its edge.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn connect(&self) -> Tested<Connection> {
        Connection::open(self.edge)
    }

    /// One request to its edge.
    ///
    /// # Errors
    /// When no whole response comes.
    pub fn get(&self, target: &str) -> Tested<Response> {
        self.connect()?.get(target)
    }

    /// One request to its admin listener.
    ///
    /// # Errors
    /// When no whole response comes.
    pub fn ask_admin(&self, target: &str) -> Tested<Response> {
        Connection::open(self.admin)?.get(target)
    }

    /// The metrics page.
    ///
    /// # Errors
    /// When it does not come.
    pub fn metrics(&self) -> Tested<Metrics> {
        let response = self.ask_admin("/metrics")?;
        if response.status != 200 {
            return Err(format!("/metrics: {}", response.status).into());
        }
        Ok(Metrics(response.text()))
    }

    /// The first message in its log that has all of `words`.
    ///
    /// # Errors
    /// When it does not come.
    pub fn logged(&self, words: &[&str]) -> Tested<String> {
        self.process
            .stderr_line(|line| {
                words.iter().all(|word| line.contains(word)).then(|| line.to_owned())
            })
            .map_err(|error| format!("{words:?}: {error}").into())
    }
}

/// A metrics page.
#[derive(Clone, Debug)]
pub struct Metrics(pub String);

impl Metrics {
    /// The sum of the samples of `name` that carry all of `labels`; `None` when there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let samples = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (given, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            let ours = labels.iter().all(|label| given.contains(label.as_str()));
            if ours { value.split(' ').next()?.parse::<f64>().ok() } else { None }
        });
        samples.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }
}
