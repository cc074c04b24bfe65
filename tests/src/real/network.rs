//! A network of a test's own, and a shell in it.
//!
//! In: the name of a test, words for a shell. Out: what the rest of the test came to.
//! Always holds: nothing in there reaches anything outside, so addresses, ports and names may be
//! fixed ones; all of it ends with the test.
//! It knows nothing of what is tried in there.

use std::{
    env, fs,
    io::{PipeWriter, Write as _, pipe},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    Tested,
    process::{Process, Signal},
    program, wait_within,
};

/// Says that this is the inner half of a test.
const INSIDE: &str = "NEARCAST_TEST_INSIDE";
/// How long a test may take in there; each of its waits has a shorter deadline.
const LIMIT: Duration = Duration::from_secs(150);

/// Does `rest` of the test with this full name in a network of its own, to which `words` lead whose
/// last one is the program to be started there.
///
/// The test starts itself once more for that: a process cannot go there with threads.
///
/// # Errors
/// What `rest` came to, or there is no such network to be had.
pub fn in_own_network(words: &str, test: &str, rest: impl FnOnce() -> Tested) -> Tested {
    if env::var_os(INSIDE).is_some() {
        return rest();
    }
    let (way, _program) = words.trim().rsplit_once(' ').ok_or("no words")?;
    let mut way = way.split(' ');
    let mut command = Command::new(program::tool(way.next().unwrap_or_default())?);
    command.args(way).env(INSIDE, "1");
    // Who is not root may be it in there.
    if fs::metadata("/proc/self")?.uid() != 0 {
        command.arg("--map-root-user");
    }
    command.arg(env::current_exe()?).args(["--exact", test, "--nocapture"]);
    let mut inside = Process::start(&mut command)?;
    wait_within(LIMIT, "the half of the test in a network of its own", || {
        Ok((!inside.is_running()?).then_some(()))
    })?;
    let status = inside.ended()?;
    // A name that fits no test would be a success.
    let was_run = inside.stdout().iter().any(|line| line.contains("1 passed"));
    if status.success() && was_run {
        return Ok(());
    }
    let said = [inside.stdout(), inside.stderr()].concat();
    Err(format!("in a network of its own: {status}\n{}", said.join("\n")).into())
}

/// A shell that does as it is told, one block of words after the other.
#[derive(Debug)]
pub struct Shell {
    process: Process,
    words: PipeWriter,
    blocks: usize,
}

impl Shell {
    /// Starts one in this folder, which finds the built program by its name.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(folder: &Path) -> Tested<Self> {
        Self::start_with(folder, &[])
    }

    /// The same, and it finds these programs before any others of their names.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_with(folder: &Path, programs: &[PathBuf]) -> Tested<Self> {
        let built = program::nearcast()?;
        let mut path = built.parent().map(Path::as_os_str).unwrap_or_default().to_owned();
        let firsts =
            programs.iter().filter_map(|program| Some(program.parent()?.as_os_str().into()));
        let usual = [env::var_os("PATH").unwrap_or_default(), "/usr/sbin:/sbin".into()];
        for more in firsts.chain(usual) {
            path.push(":");
            path.push(more);
        }
        let mut command = Command::new(program::tool("bash")?);
        command.arg("-e").current_dir(folder).env("PATH", path).env("NEARCAST_WORKERS", "2");
        let (reader, words) = pipe()?;
        let process = Process::start_reading(&mut command, reader.into())?;
        Ok(Self { process, words, blocks: 0 })
    }

    /// Does what a block says, and waits until that is done.
    ///
    /// # Errors
    /// When some of it fails, which ends the shell, or takes too long.
    pub fn run(&mut self, block: &str) -> Tested {
        self.said(block).map(drop)
    }

    /// The same; what it said on stdout meanwhile.
    ///
    /// # Errors
    /// When some of it fails, which ends the shell, or takes too long.
    pub fn said(&mut self, block: &str) -> Tested<Vec<String>> {
        self.blocks += 1;
        let done = format!("block {} is done", self.blocks);
        let before = self.process.stdout().len();
        writeln!(self.words, "{block}\necho {done}")?;
        self.process.stdout_line(|line| (line == done).then_some(()))?;
        let mut said = self.process.stdout().split_off(before);
        said.retain(|line| *line != done);
        Ok(said)
    }

    /// What it and all that it has started said on stderr.
    #[must_use]
    pub fn stderr(&self) -> Vec<String> {
        self.process.stderr()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It may have ended already; what it has started ends with the network.
        drop(self.process.signal(Signal::Terminate));
    }
}
