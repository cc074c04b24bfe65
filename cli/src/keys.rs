//! The keys of `nearcast up`: on its terminal, 1 stops the first edge or starts it again, 2 the
//! second, 3 the third.
//!
//! In: what is typed. Out: edges that stop and start; what came of it stands in the log.
//! Always holds: the terminal is left as it was found, also to a shell that takes it back by Ctrl-Z;
//! Ctrl-C and Ctrl-Z mean what they always do; after `fg` the keys work again; a process in the
//! background reads nothing and sets nothing, for either would halt it, and what is no terminal of
//! this process's own is never read.
//! Clause: POSIX.1 General Terminal Interface (job control, non-canonical mode).

use std::{io, os::fd::AsFd as _, thread, time::Duration};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, raise},
        termios::{
            LocalFlags, SetArg, SpecialCharacterIndices as Slot, Termios, tcgetattr, tcsetattr,
        },
    },
    unistd::{getpgid, getpgrp, getppid, getsid, read, tcgetpgrp},
};
use tokio::{
    runtime::Handle,
    signal::unix::{self, SignalKind},
    time::timeout,
};

use crate::edges::{Edges, Seen};

/// How soon a process that comes back to the foreground looks for keys again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The keys, as long as they do something.
pub(crate) struct Keys {
    before: Termios,
    names: Vec<String>,
}

impl Keys {
    /// Takes the keys of the terminal that this process has in front of it, if there is one.
    pub(crate) fn take(edges: &Edges, control: &Handle) -> Option<Self> {
        if !in_front() {
            return None;
        }
        let before = tcgetattr(io::stdin()).ok()?;
        follow(&before, control).ok()?;
        set(&each_key(before.clone()));
        let names = edges.seen().into_iter().map(|seen| seen.name).collect();
        let keys = Self { before, names };
        let (edges, control) = (edges.clone(), control.clone());
        // It ends with the process or with the terminal: nobody can wait for who types nothing.
        let reading = thread::Builder::new().name("keys".to_owned());
        reading.spawn(move || obey(&edges, &control)).ok()?;
        Some(keys)
    }

    /// What the keys do, for who has never met them.
    pub(crate) fn told(&self) -> String {
        let keys: Vec<String> = (1..=self.names.len()).map(|key| key.to_string()).collect();
        format!("Keys {} stop {}, and start them again.", listed(&keys), listed(&self.names))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        set(&self.before);
    }
}

/// Sets the terminal, unless somebody else is in front, who has set it to what it wants.
fn set(mode: &Termios) {
    if in_front() {
        // A terminal that is gone needs no setting.
        tcsetattr(io::stdin(), SetArg::TCSANOW, mode).unwrap_or_default();
    }
}

/// Hands the terminal back as it was when the shell takes it, and takes it again with the shell's
/// leave. Both go on until the process ends.
fn follow(before: &Termios, control: &Handle) -> io::Result<()> {
    let _inside = control.enter();
    let kind = |signal: Signal| SignalKind::from_raw(signal as i32);
    let (mode, mut continued) = (each_key(before.clone()), unix::signal(kind(Signal::SIGCONT))?);
    control.spawn(async move {
        while continued.recv().await.is_some() {
            // After `bg` it is in front only later, and no signal need tell when.
            while !in_front() {
                if tcgetattr(io::stdin()).is_err() {
                    return;
                }
                drop(timeout(LOOK_AGAIN, continued.recv()).await);
            }
            set(&mode);
        }
    });
    if has_shell() {
        let (mode, mut stopped) = (before.clone(), unix::signal(kind(Signal::SIGTSTP))?);
        control.spawn(async move {
            while stopped.recv().await.is_some() {
                set(&mode);
                // What Ctrl-Z does where nobody listens for it.
                raise(Signal::SIGSTOP).unwrap_or_default();
            }
        });
    }
    Ok(())
}

/// Whether a shell with job control started this process, and so continues what it stops. Elsewhere
/// the system knows better whether Ctrl-Z may stop it.
fn has_shell() -> bool {
    let parent = Some(getppid());
    getsid(parent).is_ok_and(|session| getsid(None) == Ok(session))
        && getpgid(parent).is_ok_and(|group| group != getpgrp())
}

/// Whether stdin is this session's terminal, and this process in its foreground.
fn in_front() -> bool {
    tcgetpgrp(io::stdin()) == Ok(getpgrp())
}

/// The mode in which each key comes at once and is not shown.
fn each_key(mut mode: Termios) -> Termios {
    mode.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
    for (slot, value) in [(Slot::VMIN, 1), (Slot::VTIME, 0)] {
        if let Some(place) = mode.control_chars.get_mut(slot as usize) {
            *place = value;
        }
    }
    mode
}

/// Does what the keys say, until there are no more.
fn obey(edges: &Edges, control: &Handle) {
    let mut typed = [0; 16];
    while let Some(length) = next(&mut typed) {
        for key in typed.iter().take(length) {
            let place = usize::from(key.wrapping_sub(b'1'));
            if let Some(edge) = edges.seen().into_iter().nth(place) {
                turn(&edge, edges, control);
            }
        }
    }
}

/// The next keys; nothing once the terminal is gone.
fn next(typed: &mut [u8]) -> Option<usize> {
    loop {
        if !in_front() {
            thread::park_timeout(LOOK_AGAIN);
            // A terminal that has gone is nobody's front.
            tcgetattr(io::stdin()).ok()?;
            continue;
        }
        let stdin = io::stdin();
        let mut wanted = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        match poll(&mut wanted, PollTimeout::NONE) {
            Ok(_) if !in_front() => {}
            Ok(_) => return read(&stdin, typed).ok().filter(|length| *length > 0),
            Err(nix::Error::EINTR) => {}
            Err(_) => return None,
        }
    }
}

/// Stops an edge that is up, and starts one that is not.
fn turn(edge: &Seen, edges: &Edges, control: &Handle) {
    let turned = if edge.up {
        control.block_on(edges.stop(&edge.name))
    } else {
        control.block_on(edges.start(&edge.name))
    };
    if let Err(error) = turned {
        tracing::error!(%error, edge = edge.name, "it could not be stopped or started");
    }
}

/// `a, b and c`
fn listed(words: &[String]) -> String {
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}
