//! What a stream has and gets, message after message: an ephemeral consumer that pushes.
//!
//! In: a connection, a stream, where to begin. Out: its messages in order, and how far it has looked.
//! Always: a message that got lost on the way is noticed by the consumer's own numbers, and silence
//! by heartbeats; either is an end, and whoever reads begins a new one. A call of
//! [`Tail::next`] that is dropped loses nothing. It does not know what messages say.

use std::time::Duration;

use async_nats::{StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{
    link::{Link, Loss, Refusal},
    pace::message_id,
    packed::LENGTHS,
};

/// How often the server says that it is there while there is nothing else to say.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// After so much silence it is not.
const SILENCE_MAX: Duration = Duration::from_millis(3500);

/// What comes out of a stream says so where it could be acknowledged.
const STORED: &str = "$JS.ACK.";

/// Where to begin.
#[derive(Clone, Copy, Debug)]
pub(super) enum From<'s> {
    /// With the message of this number, or the next that is kept.
    Number(u64),
    /// With the newest message at each subject.
    Newest,
    /// With the oldest that is kept at a subject, and only those there.
    Subject(&'s str),
}

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// A message.
    Message(Heading, Bytes),
    /// Nothing new; all up to this number was looked at.
    Nothing(u64),
}

/// A message without what it says.
#[derive(Clone, Debug)]
pub(super) struct Heading {
    pub(super) subject: String,
    pub(super) seq: u64,
    /// How many more there were when it was sent.
    pub(super) pending: u64,
    /// Whether it says that a document was taken away.
    pub(super) is_gone: bool,
    /// How long each entry in it is, where it has several.
    pub(super) lengths: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Tail {
    link: Link,
    subscriber: Subscriber,
    loss: Loss,
    /// The consumer's number of the message before.
    before: u64,
    heard: Instant,
    /// How many messages there were when it began.
    pub(super) pending: u64,
}

#[derive(Deserialize)]
struct Made {
    #[serde(default)]
    num_pending: u64,
}

impl Tail {
    /// Begins to read `stream`, whose subjects `all` covers.
    pub(super) async fn begin(
        link: &Link,
        stream: &str,
        all: &str,
        from: From<'_>,
    ) -> Result<Self, Refusal> {
        let failed = |reason: &str| Refusal::Silent(reason.to_owned());
        let name = message_id().ok_or_else(|| failed("the system has no random numbers"))?;
        let (inbox, loss) = (link.client.new_inbox(), link.loss());
        // Before the consumer, which is given up again where nobody listens.
        let subscriber = link.client.subscribe(inbox.clone()).await;
        let subscriber = subscriber.map_err(|error| failed(&error.to_string()))?;
        let (policy, start, filter) = match from {
            From::Number(seq) => ("by_start_sequence", Some(seq), all),
            From::Newest => ("last_per_subject", None, all),
            From::Subject(subject) => ("all", None, subject),
        };
        let nanos = u64::try_from(HEARTBEAT.as_nanos()).unwrap_or(u64::MAX);
        let mut config = json!({
            "name": name, "deliver_subject": inbox, "deliver_policy": policy,
            "ack_policy": "none", "replay_policy": "instant", "max_deliver": 1,
            "flow_control": true, "idle_heartbeat": nanos, "mem_storage": true,
            "num_replicas": 1, "filter_subject": filter,
        });
        if let (Some(start), Some(config)) = (start, config.as_object_mut()) {
            config.insert("opt_start_seq".to_owned(), Value::from(start));
        }
        let body = json!({ "stream_name": stream, "config": config });
        let api = format!("CONSUMER.CREATE.{stream}.{name}.{filter}");
        let Made { num_pending } = link.ask(&api, &body).await?;
        let link = link.clone();
        Ok(Self { link, subscriber, loss, before: 0, heard: Instant::now(), pending: num_pending })
    }

    /// What comes next; an error is its end.
    pub(super) async fn next(&mut self) -> Result<Heard, String> {
        loop {
            let message = timeout_at(self.heard + SILENCE_MAX, self.subscriber.next());
            let message = tokio::select! {
                biased;
                message = message => message,
                // The server that pushed may be gone with it.
                () = self.loss.come() => return Err("the connection to NATS was lost".to_owned()),
            };
            let silent = |_late| "NATS has fallen silent".to_owned();
            let message = message.map_err(silent)?;
            let message = message.ok_or_else(|| "the connection to NATS has ended".to_owned())?;
            self.heard = Instant::now();
            // What is stored may look like a word of the server.
            let is_stored = message.reply.as_ref().is_some_and(|reply| reply.starts_with(STORED));
            let heard = match message.status.filter(|_| !is_stored) {
                None => Some(self.message(message)?),
                Some(StatusCode::IDLE_HEARTBEAT) => self.status(&message).await?,
                Some(status) => {
                    let told = message.description.unwrap_or_default();
                    return Err(format!("NATS ends it with {status} {told}"));
                }
            };
            if let Some(heard) = heard {
                return Ok(heard);
            }
        }
    }

    /// What has come already, if anything has.
    pub(super) fn ready(&mut self) -> Option<Result<Heard, String>> {
        self.next().now_or_never()
    }

    fn message(&mut self, message: async_nats::Message) -> Result<Heard, String> {
        let reply = message.reply.as_ref().map_or("", |reply| reply.as_str());
        let Some(numbers) = numbers(reply) else {
            return Err(format!("\"{reply}\" does not number a message"));
        };
        if numbers.consumer != self.before + 1 {
            return Err("messages got lost on the way".to_owned());
        }
        self.before = numbers.consumer;
        let header = |name| {
            let value = message.headers.as_ref().and_then(|headers| headers.get(name));
            value.map(|value| value.as_str().to_owned())
        };
        let (operation, lengths) = (header("KV-Operation"), header(LENGTHS));
        let heading = Heading {
            subject: message.subject.into_string(),
            seq: numbers.stream,
            pending: numbers.pending,
            is_gone: operation.is_some_and(|operation| operation != "PUT"),
            lengths,
        };
        Ok(Heard::Message(heading, message.payload))
    }

    /// A heartbeat, or a question whether we keep up.
    async fn status(&mut self, message: &async_nats::Message) -> Result<Option<Heard>, String> {
        let header = |name: &str| {
            let value = message.headers.as_ref().and_then(|headers| headers.get(name));
            value.map(|value| value.as_str().to_owned())
        };
        let stalled = header("Nats-Consumer-Stalled").map(Into::into);
        if let Some(asked) = message.reply.clone().or(stalled) {
            let told = self.link.client.publish(asked, Bytes::new()).await;
            told.map_err(|error| error.to_string())?;
        }
        let number = |name| header(name).and_then(|text| text.parse::<u64>().ok());
        match (number("Nats-Last-Consumer"), number("Nats-Last-Stream")) {
            (Some(consumer), _) if consumer != self.before => {
                Err("messages got lost on the way".to_owned())
            }
            (Some(_), Some(stream)) => Ok(Some(Heard::Nothing(stream))),
            _ => Ok(None),
        }
    }
}

struct Numbers {
    stream: u64,
    consumer: u64,
    pending: u64,
}

/// The numbers in the subject at which a message could be acknowledged: its last tokens are, in an
/// older form, `DELIVERED.STREAM.CONSUMER.TIME.PENDING`, and in a newer one a token more.
fn numbers(reply: &str) -> Option<Numbers> {
    let tokens: Vec<&str> = reply.strip_prefix(STORED)?.split('.').collect();
    // The stream and the consumer, and before them in the newer form a domain and an account.
    let skipped = match tokens.len() {
        7 => 2,
        9.. => 4,
        _ => return None,
    };
    let at = |index: usize| tokens.get(skipped + index)?.parse::<u64>().ok();
    Some(Numbers { stream: at(1)?, consumer: at(2)?, pending: at(4)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_messages_numbers_are_read() {
        let forms = [
            "$JS.ACK.KV_cdn.c0ffee.1.42.7.1700000000000000000.3",
            "$JS.ACK._.HASH.KV_cdn.c0ffee.1.42.7.1700000000000000000.3",
            "$JS.ACK.hub.HASH.KV_cdn.c0ffee.1.42.7.1700000000000000000.3.token",
        ];
        for form in forms {
            let Numbers { stream, consumer, pending } = numbers(form).unwrap();
            assert_eq!((stream, consumer, pending), (42, 7, 3), "{form}");
        }
        for none in ["", "_INBOX.x", "$JS.ACK.a.b.1.2", "$JS.ACK.a.b.1.x.7.1.3"] {
            assert!(numbers(none).is_none(), "{none}");
        }
    }
}
