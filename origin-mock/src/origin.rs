//! The origin: what it serves, what it remembers, and the connections that it takes.
//!
//! In: a script or a directory, a clock, settings; connections. Out: responses and the record.
//! Always holds: clones are the same origin; a connection that ends for any reason, its task's
//! abortion included, is counted as closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::clock::Clock;
use crate::connection::{self, Transport};
use crate::files::Files;
use crate::listen::{self, Handle};
use crate::recorder::{Keep, Recorder};
use crate::script::table::Table;
use crate::script::{Script, ScriptError};

/// How long a TCP connection that was closed in good order is listened to, so that unread octets
/// do not turn the close into a reset before the peer has read the response.
const LINGER: Duration = Duration::from_secs(1);

/// The limits of an origin, and whether it takes orders over HTTP.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Whether `/.mock/` steers the origin.
    pub control: bool,
    /// Longest request head, and longest trailer section.
    pub head_bytes_max: usize,
    /// Longest content of a control request.
    pub control_bytes_max: usize,
    /// Most connections of a listener at one time; more wait to be accepted.
    pub connections_max: usize,
    /// How much the record keeps.
    pub keep: Keep,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            control: true,
            head_bytes_max: 64 * 1024,
            control_bytes_max: 64 * 1024 * 1024,
            connections_max: 16_384,
            keep: Keep::default(),
        }
    }
}

impl Settings {
    /// The settings of an origin that only serves: it takes no orders and keeps no record.
    #[must_use]
    pub fn serving() -> Self {
        let keep = Keep { requests_max: 0, ..Keep::default() };
        Self { control: false, keep, ..Self::default() }
    }
}

/// An origin.
#[derive(Clone)]
pub struct Origin(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) serves: Serves,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    connections: AtomicU64,
}

/// What an origin serves.
pub(crate) enum Serves {
    Script(RwLock<Arc<Table>>),
    Files(Files),
}

impl Origin {
    /// An origin that does as the script says, with the default settings.
    ///
    /// # Errors
    /// When [`Script::check`] refuses the script.
    pub fn new(script: Script, clock: Clock) -> Result<Self, ScriptError> {
        Self::scripted(script, clock, Settings::default())
    }

    /// An origin that does as the script says.
    ///
    /// # Errors
    /// When [`Script::check`] refuses the script.
    pub fn scripted(script: Script, clock: Clock, settings: Settings) -> Result<Self, ScriptError> {
        script.check()?;
        let table = RwLock::new(Arc::new(Table::new(script)));
        Ok(Self::with(Serves::Script(table), clock, settings))
    }

    /// An origin that serves a directory's files.
    #[must_use]
    pub fn files(files: Files, clock: Clock, settings: Settings) -> Self {
        Self::with(Serves::Files(files), clock, settings)
    }

    fn with(serves: Serves, clock: Clock, settings: Settings) -> Self {
        Self(Arc::new(Inner {
            serves,
            recorder: Recorder::new(settings.keep),
            clock,
            settings,
            connections: AtomicU64::new(0),
        }))
    }

    /// What the origin was asked.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.0.recorder
    }

    /// Replaces the script; every route begins at its first step, and whoever was held under the
    /// old one is let go. An origin of files has no script and takes none.
    ///
    /// # Errors
    /// When [`Script::check`] refuses the script; the old one stays.
    pub fn set_script(&self, script: Script) -> Result<(), ScriptError> {
        self.0.set_script(script)
    }

    /// Lets go every request that has arrived at this path (as a route names it, or as a request
    /// would) or, without one, everywhere. Whoever arrives later is held again. Answers whether
    /// the script has such a route.
    pub fn release(&self, path: Option<&str>) -> bool {
        self.0.release(path)
    }

    /// Serves one connection of any kind to its end. A scripted reset only drops it.
    pub async fn serve_connection<I>(&self, io: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let transport = Transport { reset: |_: &I| (), linger: None };
        connection::serve(&self.0, io, transport).await;
    }

    /// Serves one TCP connection to its end. A scripted reset is a TCP reset.
    pub async fn serve_tcp(&self, stream: TcpStream) {
        let transport = Transport { reset: arm_reset, linger: Some(LINGER) };
        connection::serve(&self.0, stream, transport).await;
    }

    /// Serves every connection that a listener takes, on the current runtime, until the handle is
    /// shut down or dropped.
    ///
    /// # Errors
    /// When the listener does not know its own address.
    pub fn listen(&self, listener: TcpListener) -> std::io::Result<Handle> {
        listen::listen(self.clone(), listener, self.0.settings.connections_max)
    }
}

/// Makes the drop of a stream a reset. A failure means that the peer has reset it already.
fn arm_reset(stream: &TcpStream) {
    drop(stream.set_zero_linger());
}

impl Inner {
    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn set_script(&self, script: Script) -> Result<(), ScriptError> {
        script.check()?;
        if let Serves::Script(table) = &self.serves {
            *table.write() = Arc::new(Table::new(script));
        }
        Ok(())
    }

    pub(crate) fn release(&self, path: Option<&str>) -> bool {
        match &self.serves {
            Serves::Script(table) => table.read().release(path),
            Serves::Files(_) => false,
        }
    }
}
