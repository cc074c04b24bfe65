//! A terminal to start programs on: a pseudo-terminal, whose keyboard is the test.
//!
//! In: keys. Out: what a program on it is to be started with, and how the terminal is set.
//! Always holds: nothing of it is the terminal that the tests themselves were started from.

use std::{
    fs::File,
    io::Write as _,
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use nix::{
    pty::{OpenptyResult, openpty},
    sys::termios::{LocalFlags, tcgetattr},
};

use super::{Tested, process::Process, program};

/// An open terminal.
#[derive(Debug)]
pub struct Terminal {
    keyboard: File,
    line: OwnedFd,
}

impl Terminal {
    /// Opens one.
    ///
    /// # Errors
    /// When the system has none left.
    pub fn open() -> Tested<Self> {
        let OpenptyResult { master, slave } = openpty(None, None)?;
        Ok(Self { keyboard: File::from(master), line: slave })
    }

    /// Starts a shell that leads a session on this terminal and runs `script`, whose `"$@"` is
    /// `command`. Only stdin is the terminal.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, script: &str, command: &Command) -> Tested<Process> {
        let mut shell = Command::new(program::tool("setsid")?);
        shell.args(["--ctty", "sh", "-c", script, "sh"]).arg(command.get_program());
        Process::start_reading(shell.args(command.get_args()), self.stdin()?)
    }

    /// The terminal as somebody's stdin.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn stdin(&self) -> Tested<Stdio> {
        Ok(Stdio::from(self.line.try_clone()?))
    }

    /// Types.
    ///
    /// # Errors
    /// When the terminal takes no more.
    pub fn keys(&mut self, keys: &str) -> Tested {
        Ok(self.keyboard.write_all(keys.as_bytes())?)
    }

    /// Whether what is typed comes as lines and is shown, as a shell leaves it.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn gives_lines(&self) -> Tested<bool> {
        let flags = tcgetattr(&self.keyboard)?.local_flags;
        Ok(flags.contains(LocalFlags::ICANON | LocalFlags::ECHO))
    }
}
