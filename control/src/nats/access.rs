//! How to reach NATS, and as whom.
//!
//! In: servers, files. Out: a connection.
//! Always: what cannot be read or is refused is told with its path or server; a password never
//! stands in a setting. It does not know what the connection is for.
//! Clause: docs/operate.md *The ledger over NATS*.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_nats::{Client, ClientError, ConnectErrorKind, ConnectOptions, Event, ServerError};
use tokio::time::{Instant, timeout_at};

use super::{
    link::{Events, Link},
    pace::{Pace, jittered},
    standing::Standing,
};

/// How long the first connection is tried.
const TRIED: Duration = Duration::from_secs(10);
/// So often the connection is looked after; it is given up when nothing came back twice.
const PING: Duration = Duration::from_secs(2);
/// The longest wait before it is tried again.
const AGAIN_MAX: Duration = Duration::from_secs(4);

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// URLs of servers; further ones of their cluster are found by themselves.
    pub servers: Vec<String>,
    /// A file with a user's JWT and seed, or with a seed alone.
    pub credentials: Option<PathBuf>,
    /// Certificates of the authorities that the servers' ones are from; else those of the system.
    /// With them, or with a certificate of our own, nothing is said without TLS.
    pub ca: Option<PathBuf>,
    /// A client certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Why NATS cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file cannot be read.
    #[error("{} cannot be read", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It says nothing of use.
    #[error(
        "{} has neither a user's JWT with its seed, as `nsc generate creds` writes it, nor a seed \
         that begins with SU alone", .path.display()
    )]
    Credentials {
        /// The file.
        path: PathBuf,
    },
    /// No server takes us.
    #[error("NATS cannot be reached at {servers}: {reason}")]
    Connect {
        /// The servers.
        servers: String,
        /// What the last try came to.
        reason: String,
        /// Whether it does not take us as we are.
        refused: bool,
    },
}

impl AccessError {
    /// Whether nobody was there.
    pub(super) fn is_away(&self) -> bool {
        matches!(self, Self::Connect { refused: false, .. })
    }
}

impl Access {
    /// Connects, within seconds or not at all; afterwards the connection comes back by itself.
    pub(super) async fn connect(&self, standing: &Arc<Standing>) -> Result<Link, AccessError> {
        let until = Instant::now() + TRIED;
        let mut pace = Pace::default();
        let events = Arc::<Events>::default();
        loop {
            let options = self.options(&events, standing)?;
            let connected = timeout_at(until, options.connect(&self.servers[..])).await;
            let reason = match connected {
                Ok(Ok(client)) => return Ok(self.connected(client, events)),
                Ok(Err(error)) => {
                    let refused = matches!(
                        error.kind(),
                        ConnectErrorKind::AuthorizationViolation
                            | ConnectErrorKind::Authentication
                            | ConnectErrorKind::ServerParse
                    );
                    let reason = error.to_string();
                    if refused || Instant::now() + AGAIN_MAX > until {
                        return Err(self.unreachable(reason, refused));
                    }
                    reason
                }
                Err(_late) => return Err(self.unreachable("it takes too long".to_owned(), false)),
            };
            tracing::debug!("NATS cannot be reached: {reason}; trying again");
            pace.wait().await;
        }
    }

    fn connected(&self, client: Client, events: Arc<Events>) -> Link {
        let info = client.server_info();
        tracing::info!(
            server = info.server_name,
            version = info.version,
            "the ledger is in NATS at {}",
            self.servers.join(", ")
        );
        if !client.is_server_compatible(2, 10, 23) {
            tracing::warn!(
                version = info.version,
                "this nats-server is too old to be relied on after a power cut; from 2.10.23 on it \
                 is, with three replicas and sync_interval: always"
            );
        }
        Link::new(client, events)
    }

    fn unreachable(&self, reason: String, refused: bool) -> AccessError {
        AccessError::Connect { servers: self.servers.join(", "), reason, refused }
    }

    fn options(
        &self,
        events: &Arc<Events>,
        standing: &Arc<Standing>,
    ) -> Result<ConnectOptions, AccessError> {
        let mut options = ConnectOptions::new()
            .name("nearcast")
            .ping_interval(PING)
            .reconnect_delay_callback(|attempts| {
                let doubled = 1_u32.checked_shl(u32::try_from(attempts).unwrap_or(31).min(12));
                let whole = Duration::from_millis(10) * doubled.unwrap_or(1);
                if attempts <= 1 { Duration::ZERO } else { jittered(whole.min(AGAIN_MAX)) }
            });
        if let Some(path) = &self.credentials {
            options = identified(options, path)?;
        }
        if let Some(path) = &self.ca {
            readable(path)?;
            options = options.add_root_certificates(path.clone()).require_tls(true);
        }
        if let Some((certificate, key)) = &self.certificate {
            readable(certificate)?;
            readable(key)?;
            options = options.add_client_certificate(certificate.clone(), key.clone());
            options = options.require_tls(true);
        }
        let (events, standing) = (Arc::clone(events), Arc::clone(standing));
        Ok(options.event_callback(move |event| {
            happened(&event, &events, &standing);
            std::future::ready(())
        }))
    }
}

fn happened(event: &Event, events: &Events, standing: &Standing) {
    match event {
        Event::Connected => events.connected(),
        Event::Disconnected | Event::Closed => {
            events.lost();
            standing.not_written("the connection to NATS is lost");
        }
        Event::ServerError(ServerError::Other(text)) => {
            tracing::warn!("the NATS server says: {text}");
            events.complaint(text.clone());
        }
        Event::ServerError(error) => events.complaint(error.to_string()),
        Event::ClientError(ClientError::Other(text)) => tracing::debug!("NATS: {text}"),
        Event::ClientError(_) | Event::SlowConsumer(_) | Event::LameDuckMode | Event::Draining => {}
    }
}

fn identified(options: ConnectOptions, path: &Path) -> Result<ConnectOptions, AccessError> {
    let text = read(path)?;
    let unreadable = || AccessError::Credentials { path: path.to_path_buf() };
    let seed = text.trim();
    if seed.starts_with("SU") && seed.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(options.nkey(seed.to_owned()));
    }
    options.credentials(&text).map_err(|_why| unreadable())
}

fn read(path: &Path) -> Result<String, AccessError> {
    fs::read_to_string(path).map_err(|source| AccessError::File { path: path.into(), source })
}

fn readable(path: &Path) -> Result<(), AccessError> {
    read(path).map(drop)
}
