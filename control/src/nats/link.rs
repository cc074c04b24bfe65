//! The connection: requests, and what became of each.
//!
//! In: subjects and bytes. Out: answers, or a [`Refusal`] that tells whether it may have been done.
//! Always: nothing is sent while the connection is known to be away, so nothing waits in it to be
//! done long after its sender has given up; a request whose connection is lost ends at once.
//! It does not know what is asked.

use std::{fmt, sync::Arc, time::Duration};

use async_nats::{Client, HeaderMap, Message, Request, RequestErrorKind};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// How long an answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// What JetStream says instead of an answer.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    pub(super) err_code: u32,
    #[serde(default)]
    pub(super) description: String,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// JetStream said no; nothing was done.
    Said(ApiError),
    /// Nobody takes such requests now; nothing was done.
    Nobody,
    /// There is no connection; nothing was done.
    Away,
    /// We may not; nothing was done.
    Forbidden(String),
    /// None came: it may have been done.
    Silent(String),
}

impl Refusal {
    /// Whether it may be otherwise later.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Nobody | Self::Away | Self::Silent(_) => true,
            Self::Said(_) | Self::Forbidden(_) => false,
        }
    }

    /// Whether JetStream said just that.
    pub(super) fn is(&self, codes: &[u32]) -> bool {
        matches!(self, Self::Said(error) if codes.contains(&error.err_code))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(error) => write!(f, "NATS says: {}", error.description),
            Self::Nobody => f.write_str(
                "nobody in NATS takes this: JetStream is off there, or a stream has no leader or is gone",
            ),
            Self::Away => f.write_str("there is no connection to NATS"),
            Self::Forbidden(complaint) => write!(f, "NATS says: {complaint}"),
            Self::Silent(reason) => write!(f, "NATS does not answer: {reason}"),
        }
    }
}

/// Whether there is a connection, and how often it was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    is_there: bool,
    losses: u64,
}

/// What events of the connection tell.
#[derive(Debug)]
pub(super) struct Events {
    connection: watch::Sender<Connection>,
    complaint: watch::Sender<String>,
}

impl Default for Events {
    fn default() -> Self {
        let connection = watch::Sender::new(Connection { is_there: true, losses: 0 });
        Self { connection, complaint: watch::Sender::default() }
    }
}

impl Events {
    pub(super) fn connected(&self) {
        self.connection.send_modify(|connection| connection.is_there = true);
    }

    pub(super) fn lost(&self) {
        self.connection.send_modify(|connection| {
            connection.is_there = false;
            connection.losses += 1;
        });
    }

    pub(super) fn complaint(&self, text: String) {
        self.complaint.send_replace(text);
    }
}

/// Waits until a connection is lost.
#[derive(Debug)]
pub(super) struct Loss {
    connection: watch::Receiver<Connection>,
    losses: u64,
}

impl Loss {
    pub(super) async fn come(&mut self) {
        let losses = self.losses;
        // An error means that nobody looks after it any more.
        drop(self.connection.wait_for(|connection| connection.losses != losses).await);
    }
}

/// See the module; clones are the same connection.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) client: Client,
    events: Arc<Events>,
}

/// What an answer may be instead.
#[derive(Deserialize)]
struct Envelope {
    error: Option<ApiError>,
}

impl Link {
    pub(super) fn new(client: Client, events: Arc<Events>) -> Self {
        Self { client, events }
    }

    /// The loss of the connection that there is now.
    pub(super) fn loss(&self) -> Loss {
        let connection = self.events.connection.subscribe();
        let losses = connection.borrow().losses;
        Loss { connection, losses }
    }

    /// Asks JetStream's API.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        api: &str,
        body: &impl Serialize,
    ) -> Result<T, Refusal> {
        let body = serde_json::to_vec(body).map_err(unreadable)?;
        let answer =
            self.send(format!("$JS.API.{api}"), None, body.into(), Instant::now() + PATIENCE);
        read(&answer.await?.payload)
    }

    /// Has a message stored.
    pub(super) async fn publish(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
        until: Instant,
    ) -> Result<Stored, Refusal> {
        let until = until.min(Instant::now() + PATIENCE);
        let answer = self.send(subject.to_owned(), Some(headers), payload, until).await?;
        read(&answer.payload)
    }

    async fn send(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
        until: Instant,
    ) -> Result<Message, Refusal> {
        let mut connection = self.events.connection.subscribe();
        let is_there = connection.wait_for(|connection| connection.is_there);
        match timeout_at(until, is_there).await {
            Ok(Ok(_)) => {}
            _ => return Err(Refusal::Away),
        }
        let mut loss = self.loss();
        let complaints = self.events.complaint.subscribe();
        let forbidden = forbidden(complaints, format!("\"{subject}\""));
        let mut request = Request::new().payload(payload).timeout(None);
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let answer = timeout_at(until, self.client.send_request(subject, request));
        let answer = tokio::select! {
            answer = answer => answer,
            complaint = forbidden => return Err(Refusal::Forbidden(complaint)),
            () = loss.come() => {
                return Err(Refusal::Silent("the connection was lost".to_owned()));
            }
        };
        match answer {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => {
                Err(Refusal::Nobody)
            }
            Ok(Err(error)) => Err(Refusal::Silent(error.to_string())),
            Err(_late) => Err(Refusal::Silent("it took too long".to_owned())),
        }
    }
}

/// Waits until the server complains of a subject, which it names in quotes.
async fn forbidden(mut complaints: watch::Receiver<String>, subject: String) -> String {
    while complaints.changed().await.is_ok() {
        let complaint = complaints.borrow_and_update();
        if complaint.contains(&subject) {
            return complaint.clone();
        }
    }
    std::future::pending().await
}

/// Where a message was stored.
#[derive(Debug, Deserialize)]
pub(super) struct Stored {
    pub(super) seq: u64,
}

fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Refusal> {
    let envelope: Envelope = serde_json::from_slice(answer).map_err(unreadable)?;
    match envelope.error {
        Some(error) => Err(Refusal::Said(error)),
        None => serde_json::from_slice(answer).map_err(unreadable),
    }
}

// By value, as `map_err` hands it over.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err calls")]
fn unreadable(error: serde_json::Error) -> Refusal {
    Refusal::Silent(format!("what it said cannot be read: {error}"))
}
