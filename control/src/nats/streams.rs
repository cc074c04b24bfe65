//! The streams: what they are to be like, what they are, and single messages of them.
//!
//! In: a connection, names, how much is kept. Out: streams that a ledger can stand on; their ends.
//! Always: a stream that is there is never made anew, and nothing of it is changed but how much it
//! keeps and how often; one that would break the contract is refused. Reads are answered by a
//! stream's leader. It does not know what messages say.
//! Clause: docs/operate.md *The ledger over NATS*.

use std::time::{Duration, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    link::{Link, Refusal},
    names::Names,
    pace::Pace,
    packed,
};
use crate::{
    embedded::{Bound, Kept},
    ledger::{Ends, Epoch, HISTORY_MAX, Log, Position},
};

/// What documents and their history may take together.
const DOCUMENTS_BYTES_MAX: u64 = 256 << 20;
/// How long the server knows a message's id again; a message is sent again for seconds at most.
const REPEATS_KNOWN: Duration = Duration::from_secs(120);

pub(super) const NO_MESSAGE: u32 = 10037;
const NO_STREAM: u32 = 10059;
const NAME_TAKEN: u32 = 10058;
/// What trying again does not change: no JetStream, too few servers, a bad configuration, subjects
/// of another stream, no room.
const FINAL: [u32; 7] = [10039, 10076, 10074, 10052, 10065, 10047, 10028];
/// How long a stream is tried to be had.
const HAD: Duration = Duration::from_secs(10);

/// A stream, as its leader sees it.
#[derive(Debug)]
pub(super) struct Extent {
    /// When it was made, in nanoseconds: which stream of its name it is.
    pub(super) epoch: Epoch,
    pub(super) last: u64,
    before_first: u64,
    config: Value,
}

#[derive(Deserialize)]
struct RawExtent {
    created: String,
    config: Value,
    state: RawState,
    cluster: Option<RawCluster>,
}

#[derive(Deserialize)]
struct RawState {
    messages: u64,
    first_seq: u64,
    last_seq: u64,
}

#[derive(Deserialize)]
struct RawCluster {
    #[serde(default)]
    leader: String,
}

impl Extent {
    /// Asks a stream's leader.
    pub(super) async fn of(link: &Link, stream: &str) -> Result<Self, Refusal> {
        let raw: RawExtent = link.ask(&format!("STREAM.INFO.{stream}"), &json!({})).await?;
        if raw.cluster.is_some_and(|cluster| cluster.leader.is_empty()) {
            return Err(Refusal::Nobody);
        }
        let created = humantime::parse_rfc3339(&raw.created).ok();
        let created = created.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let created = created.and_then(|age| u64::try_from(age.as_nanos()).ok());
        let unreadable = || Refusal::Silent(format!("{:?} is no time", raw.created));
        let RawState { messages, first_seq, last_seq } = raw.state;
        Ok(Self {
            epoch: Epoch(created.ok_or_else(unreadable)?),
            last: last_seq,
            before_first: if messages == 0 { last_seq } else { first_seq.saturating_sub(1) },
            config: raw.config,
        })
    }

    /// Where a log begins and ends.
    pub(super) fn ends(&self) -> Ends {
        let at = |message| Position { epoch: self.epoch, seq: packed::last_of(message) };
        Ends { before_first: at(self.before_first), last: at(self.last), apart: packed::APART }
    }
}

/// A message that is stored.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) seq: u64,
    pub(super) value: Bytes,
    headers: String,
}

#[derive(Deserialize)]
struct RawAnswer {
    message: RawMessage,
}

#[derive(Deserialize)]
struct RawMessage {
    seq: u64,
    #[serde(default)]
    data: String,
    #[serde(default)]
    hdrs: String,
}

impl Message {
    /// The newest at a subject, if there is one.
    pub(super) async fn newest(
        link: &Link,
        stream: &str,
        subject: &str,
    ) -> Result<Option<Self>, Refusal> {
        Self::get(link, stream, json!({ "last_by_subj": subject })).await
    }

    /// The one of a number, if it is kept.
    pub(super) async fn numbered(
        link: &Link,
        stream: &str,
        seq: u64,
    ) -> Result<Option<Self>, Refusal> {
        Self::get(link, stream, json!({ "seq": seq })).await
    }

    async fn get(link: &Link, stream: &str, which: Value) -> Result<Option<Self>, Refusal> {
        let answer = link.ask(&format!("STREAM.MSG.GET.{stream}"), &which).await;
        let RawMessage { seq, data, hdrs } = match answer {
            Ok(RawAnswer { message }) => message,
            Err(refusal) if refusal.is(&[NO_MESSAGE]) => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        let decode = |text| {
            let broken = |error| Refusal::Silent(format!("a message cannot be read: {error}"));
            STANDARD.decode(text).map_err(broken)
        };
        let headers = String::from_utf8_lossy(&decode(hdrs)?).into_owned();
        Ok(Some(Self { seq, value: decode(data)?.into(), headers }))
    }

    /// A header of it.
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| *found == name).map(|(_, value)| value.trim())
    }

    /// The entries in it, with their numbers.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, Bytes)> + use<> {
        packed::entries(self.seq, self.header(packed::LENGTHS), self.value.clone())
    }

    /// Whether it was sent under this id.
    pub(super) fn has_id(&self, id: &str) -> bool {
        self.header("Nats-Msg-Id") == Some(id)
    }

    /// Whether it says that a document was taken away.
    pub(super) fn is_gone(&self) -> bool {
        self.header("KV-Operation").is_some_and(|operation| operation != "PUT")
    }
}

/// Why a stream cannot be had.
#[derive(Debug)]
pub(super) enum Unfit {
    /// The server does not let us.
    Refused(Refusal),
    /// It is there, and of another kind.
    Other { what: &'static str, found: String, wanted: String },
}

impl From<Refusal> for Unfit {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What a stream is to be like.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    config: Value,
}

/// What of a stream follows the settings; all else must be as wanted.
const ADJUSTABLE: [&str; 4] = ["max_msgs", "max_bytes", "num_replicas", "allow_rollup_hdrs"];
/// What a stream that is there must have as we would make it, and what it means if it has not.
const REQUIRED: [&str; 7] =
    ["subjects", "retention", "discard", "storage", "max_age", "max_msgs_per_subject", "no_ack"];

/// The streams of a ledger.
pub(super) fn wanted(names: &Names, kept: Kept, replicas: u8) -> [Wanted; 3] {
    let log = |log: Log, Bound { entries, bytes }: Bound| {
        let config = json!({
            "max_msgs": entries, "max_bytes": bytes, "discard": "old", "deny_purge": true,
            "max_msgs_per_subject": -1,
        });
        complete(names.log(log), &names.all_entries(log), replicas, config)
    };
    let documents = json!({
        "max_msgs": -1, "max_bytes": DOCUMENTS_BYTES_MAX, "discard": "new", "deny_purge": false,
        "max_msgs_per_subject": HISTORY_MAX,
    });
    [
        complete(names.documents(), &names.all_documents(), replicas, documents),
        log(Log::Purges, kept.purges),
        log(Log::Audit, kept.audit),
    ]
}

fn complete(name: String, subjects: &str, replicas: u8, more: Value) -> Wanted {
    let mut config = json!({
        "name": name, "subjects": [subjects], "num_replicas": replicas, "storage": "file",
        "retention": "limits", "max_age": 0, "max_consumers": -1, "max_msg_size": -1,
        "no_ack": false, "deny_delete": true,
        // Else one message of whoever may write one document takes all others away.
        "allow_rollup_hdrs": false,
        "duplicate_window": u64::try_from(REPEATS_KNOWN.as_nanos()).unwrap_or(u64::MAX),
    });
    merge(&mut config, more);
    Wanted { name, config }
}

fn merge(config: &mut Value, more: Value) {
    if let (Value::Object(config), Value::Object(more)) = (config, more) {
        config.extend(more);
    }
}

impl Wanted {
    /// Has the stream, made if it is not there.
    pub(super) async fn have(&self, link: &Link) -> Result<(), Unfit> {
        let until = Instant::now() + HAD;
        let mut pace = Pace::default();
        loop {
            let refusal = match Extent::of(link, &self.name).await {
                Ok(extent) => return self.adjust(link, &extent).await,
                Err(refusal) if refusal.is(&[NO_STREAM]) => match self.make(link).await {
                    Ok(()) => continue,
                    Err(refusal) => refusal,
                },
                Err(refusal) => refusal,
            };
            // Elections are over within moments.
            let is_final = refusal.is(&FINAL) || matches!(refusal, Refusal::Forbidden(_));
            if is_final || Instant::now() > until {
                return Err(refusal.into());
            }
            pace.wait().await;
        }
    }

    async fn make(&self, link: &Link) -> Result<(), Refusal> {
        let api = format!("STREAM.CREATE.{}", self.name);
        match link.ask::<Value>(&api, &self.config).await {
            Ok(_) => tracing::info!(stream = self.name, "made a stream of the ledger in NATS"),
            // Another node was first.
            Err(refusal) if refusal.is(&[NAME_TAKEN]) => {}
            Err(refusal) => return Err(refusal),
        }
        Ok(())
    }

    /// Brings what follows the settings to what they say.
    async fn adjust(&self, link: &Link, extent: &Extent) -> Result<(), Unfit> {
        for what in REQUIRED {
            let found = extent.config.get(what).unwrap_or(&Value::Null);
            let wanted = self.config.get(what).unwrap_or(&Value::Null);
            // What a server leaves out is false.
            let is_false = *wanted == Value::Bool(false) && found.is_null();
            if found != wanted && !is_false {
                let (found, wanted) = (found.to_string(), wanted.to_string());
                return Err(Unfit::Other { what, found, wanted });
            }
        }
        let mut config = extent.config.clone();
        for what in ADJUSTABLE {
            if let (Some(found), Some(wanted)) = (config.get_mut(what), self.config.get(what)) {
                *found = wanted.clone();
            }
        }
        if config == extent.config {
            return Ok(());
        }
        match link.ask::<Value>(&format!("STREAM.UPDATE.{}", self.name), &config).await {
            Ok(_) => Ok(()),
            // It goes on with what it keeps; who may change it is told by the log.
            Err(refusal @ (Refusal::Said(_) | Refusal::Forbidden(_))) => {
                tracing::warn!(
                    stream = self.name,
                    "what it keeps, or its replicas, are not as the settings say, and cannot be \
                     changed: {refusal}"
                );
                Ok(())
            }
            Err(refusal) => Err(refusal.into()),
        }
    }
}
