//! One started process: what it says, how it is told to end, and how it ended.
//!
//! In: a command. Out: its lines as they come, its exit status.
//! Always holds: the process is gone when its value is; both streams are drained all the time, so
//! that no process waits for us to read.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
};

use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;

use super::{PATIENCE, Tested, wait_for};

/// The signals that operators send.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    /// SIGTERM
    Terminate,
    /// SIGINT, which is what Ctrl-C sends.
    Interrupt,
    /// SIGHUP
    Hangup,
    /// SIGUSR1
    User1,
    /// SIGKILL
    Kill,
    /// SIGSTOP
    Stop,
    /// SIGCONT
    Continue,
}

/// Lines that a process said, and whether it may say more.
#[derive(Debug, Default)]
struct Lines {
    said: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    stdout: Arc<Lines>,
    stderr: Arc<Lines>,
}

impl Process {
    /// Starts `command` with nothing to read.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Tested<Self> {
        Self::start_reading(command, Stdio::null())
    }

    /// Starts `command` with something to read.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_reading(command: &mut Command, stdin: Stdio) -> Tested<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        let stdout = Lines::of(child.stdout.take());
        let stderr = Lines::of(child.stderr.take());
        Ok(Self { child, name, stdout, stderr })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it said on stderr so far.
    #[must_use]
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.said.lock().0.clone()
    }

    /// What it said on stdout so far.
    #[must_use]
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.said.lock().0.clone()
    }

    /// The first line on stderr that `wanted` knows.
    ///
    /// # Errors
    /// When there is none before the process ends or patience does.
    pub fn stderr_line<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> Tested<T> {
        self.stderr.find(wanted).ok_or_else(|| self.disappointed("stderr"))
    }

    /// The first line on stdout that `wanted` knows.
    ///
    /// # Errors
    /// When there is none before the process ends or patience does.
    pub fn stdout_line<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> Tested<T> {
        self.stdout.find(wanted).ok_or_else(|| self.disappointed("stdout"))
    }

    fn disappointed(&self, stream: &str) -> Box<dyn std::error::Error + Send + Sync> {
        let said = self.stderr().join("\n");
        format!("{}: the line did not come on {stream}; stderr:\n{said}", self.name).into()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn signal(&mut self, signal: Signal) -> Tested {
        if let Some(status) = self.child.try_wait()? {
            return Err(format!("{} has ended already: {status}", self.name).into());
        }
        let name = match signal {
            Signal::Terminate => "-TERM",
            Signal::Interrupt => "-INT",
            Signal::Hangup => "-HUP",
            Signal::User1 => "-USR1",
            Signal::Kill => "-KILL",
            Signal::Stop => "-STOP",
            Signal::Continue => "-CONT",
        };
        let status = Command::new("kill").args([name, &self.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(format!("kill {name}: {status}").into()) }
    }

    /// Whether it has not ended.
    ///
    /// # Errors
    /// When the system does not know.
    pub fn is_running(&mut self) -> Tested<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn ended(&mut self) -> Tested<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let status = wait_for(&what, || Ok(self.child.try_wait()?))?;
        for lines in [&self.stdout, &self.stderr] {
            lines.find(|_| None::<()>);
        }
        Ok(status)
    }

    /// How many threads it has.
    ///
    /// # Errors
    /// When it has ended.
    pub fn threads(&self) -> Tested<usize> {
        self.entries("task")
    }

    /// How nice a thread of this name is to others (`man 5 proc`, field 19 of its stat), if there is
    /// one.
    ///
    /// # Errors
    /// When it has ended.
    pub fn niceness(&self, thread: &str) -> Tested<Option<i32>> {
        for task in std::fs::read_dir(format!("/proc/{}/task", self.id()))? {
            // A thread may have gone meanwhile.
            let stat = std::fs::read_to_string(task?.path().join("stat")).unwrap_or_default();
            let Some((name, fields)) = stat.rsplit_once(") ") else { continue };
            if name.ends_with(&format!("({thread}")) {
                return Ok(fields.split(' ').nth(16).and_then(|nice| nice.parse().ok()));
            }
        }
        Ok(None)
    }

    /// How many descriptors it has open.
    ///
    /// # Errors
    /// When it has ended.
    pub fn descriptors(&self) -> Tested<usize> {
        self.entries("fd")
    }

    fn entries(&self, folder: &str) -> Tested<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/{folder}", self.id()))?.count())
    }

    /// Its resident memory in bytes, as the kernel counts it.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resident_bytes(&self) -> Tested<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|rest| rest.split_whitespace().next());
        Ok(kibibytes.ok_or("no VmRSS")?.parse::<u64>()? * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Lines {
    fn of(stream: Option<impl Read + Send + 'static>) -> Arc<Self> {
        let lines = Arc::new(Self::default());
        let Some(stream) = stream else { return lines };
        let seen = Arc::clone(&lines);
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                seen.said.lock().0.push(text);
                seen.changed.notify_all();
                line.clear();
            }
            seen.said.lock().1 = true;
            seen.changed.notify_all();
        });
        lines
    }

    fn find<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
        let until = Instant::now() + PATIENCE;
        let mut looked = 0;
        let mut said = self.said.lock();
        loop {
            let found = said.0.iter().skip(looked).find_map(|line| wanted(line));
            looked = said.0.len();
            let left = until.saturating_duration_since(Instant::now());
            if found.is_some() || said.1 || left.is_zero() {
                return found;
            }
            self.changed.wait_for(&mut said, left);
        }
    }
}
