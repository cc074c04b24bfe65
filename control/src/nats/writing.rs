//! Writing: documents against what is expected of them, messages of logs, each once.
//!
//! In: what to write. Out: its number in its stream.
//! Always: a message has an id of its own, and is sent again under it when no answer came, so that it
//! is stored once or not at all; who gives up says that it is not known. Streams decide who was
//! first, not this process. It does not know what is read.
//! Clause: docs/operate.md *The ledger over NATS*.

use std::{sync::Arc, time::Duration};

use async_nats::HeaderMap;
use bytes::Bytes;
use tokio::time::Instant;

use super::{
    documents::unavailable,
    link::{Link, Refusal},
    pace::{Pace, message_id},
    packed::LENGTHS,
    standing::Standing,
    streams::Message,
};
use crate::ledger::{Expect, Key, LedgerError, Revision};

/// How long a write is tried: a stream whose leader was lost has another one by then.
pub(super) const TRIED: Duration = Duration::from_secs(12);

const WRONG_LAST: [u32; 2] = [10071, 10164];
/// What passes within moments: the same message is being stored; an election is under way.
const PASSING: [u32; 2] = [10158, 10008];

const MESSAGE_ID: &str = "Nats-Msg-Id";
const STREAM: &str = "Nats-Expected-Stream";
const LAST_OF_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence";
const OPERATION: &str = "KV-Operation";

/// Who writes.
#[derive(Clone, Debug)]
pub(super) struct Pen {
    pub(super) link: Link,
    pub(super) standing: Arc<Standing>,
}

/// A message to be stored.
struct Letter<'l> {
    stream: &'l str,
    subject: &'l str,
    id: &'l str,
    payload: Bytes,
    /// How long each entry in it is, where it has several.
    lengths: Option<String>,
    is_gone: bool,
}

/// What one try came to.
enum Tried {
    Stored(u64),
    /// The newest at its subject is not what it was said to be.
    Else,
    /// Not known, or not now.
    Again(Refusal),
}

/// Where a message is now, after someone was first.
pub(super) struct Put {
    pub(super) seq: u64,
    pub(super) is_another: bool,
}

impl Pen {
    /// Writes a document, or takes it away; `seen` is what this process has seen of it, which is not
    /// asked for again.
    pub(super) async fn document(
        &self,
        stream: &str,
        (key, subject): (&Key, &str),
        value: Option<Bytes>,
        (expect, seen): (Expect, Option<Revision>),
    ) -> Result<Revision, LedgerError> {
        let id = fresh_id()?;
        let is_gone = value.is_none();
        let payload = value.unwrap_or_default();
        let letter = Letter { stream, subject, id: &id, payload, lengths: None, is_gone };
        let until = Instant::now() + TRIED;
        let mut pace = Pace::default();
        // Whatever has come since, the stream takes the message only if this is the newest.
        let mut seen = seen.filter(|seen| expect == Expect::At(*seen));
        loop {
            let expected = match seen.take() {
                Some(Revision(seen)) => Expected::Last(Some(seen)),
                None => self.expected(&letter, key, expect).await?,
            };
            let tried = match expected {
                Expected::Written(revision) => return Ok(revision),
                Expected::Last(last) => self.try_once(&letter, last, until).await?,
                Expected::Unknown(refusal) => Tried::Again(refusal),
            };
            match tried {
                Tried::Stored(seq) => return Ok(Revision(seq)),
                // Someone was first, or is about to be: what is there now decides.
                Tried::Else => self.pause(&mut pace, until, None).await?,
                Tried::Again(refusal) => self.pause(&mut pace, until, Some(refusal)).await?,
            }
        }
    }

    /// The number that the newest message at a document's subject must have.
    async fn expected(
        &self,
        letter: &Letter<'_>,
        key: &Key,
        expect: Expect,
    ) -> Result<Expected, LedgerError> {
        if expect == Expect::Anything {
            return Ok(Expected::Last(None));
        }
        let newest = match Message::newest(&self.link, letter.stream, letter.subject).await {
            Ok(newest) => newest,
            Err(refusal) => return Ok(Expected::Unknown(refusal)),
        };
        let last = newest.as_ref().map_or(0, |newest| newest.seq);
        if newest.as_ref().is_some_and(|newest| newest.has_id(letter.id)) {
            // An answer got lost.
            return Ok(Expected::Written(Revision(last)));
        }
        let current = newest.filter(|newest| !newest.is_gone()).map(|newest| Revision(newest.seq));
        let is_fine = match expect {
            Expect::Anything => true,
            Expect::Absent => current.is_none(),
            Expect::At(revision) => current == Some(revision),
        };
        if is_fine {
            return Ok(Expected::Last(Some(last)));
        }
        Err(LedgerError::Conflict { key: key.clone(), current })
    }

    /// Appends entries, packed into one message; says its number.
    pub(super) async fn entries(
        &self,
        stream: &str,
        subject: &str,
        (payload, lengths): (Bytes, Option<String>),
        until: Instant,
    ) -> Result<u64, LedgerError> {
        let id = fresh_id()?;
        let letter = Letter { stream, subject, id: &id, payload, lengths, is_gone: false };
        let mut pace = Pace::default();
        loop {
            let refusal = match self.try_once(&letter, None, until).await? {
                Tried::Stored(seq) => return Ok(seq),
                Tried::Else => None,
                Tried::Again(refusal) => Some(refusal),
            };
            self.pause(&mut pace, until, refusal).await?;
        }
    }

    /// Appends an entry if there is none at its subject.
    pub(super) async fn once(
        &self,
        stream: &str,
        subject: &str,
        entry: Bytes,
    ) -> Result<Put, LedgerError> {
        let id = fresh_id()?;
        let (payload, lengths) = (entry, None);
        let letter = Letter { stream, subject, id: &id, payload, lengths, is_gone: false };
        let until = Instant::now() + TRIED;
        let mut pace = Pace::default();
        loop {
            let refusal = match self.try_once(&letter, Some(0), until).await? {
                Tried::Stored(seq) => return Ok(Put { seq, is_another: false }),
                Tried::Else => match Message::newest(&self.link, stream, subject).await {
                    Ok(Some(there)) => {
                        let is_another = !there.has_id(&id);
                        return Ok(Put { seq: there.seq, is_another });
                    }
                    // It is about to be there, or has just gone.
                    Ok(None) => None,
                    Err(refusal) => Some(refusal),
                },
                Tried::Again(refusal) => Some(refusal),
            };
            self.pause(&mut pace, until, refusal).await?;
        }
    }

    /// Writes what is no document, once, where the newest at its subject is `last`.
    pub(super) async fn mark(
        &self,
        stream: &str,
        subject: &str,
        payload: Bytes,
        last: u64,
    ) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(STREAM, stream);
        headers.insert(LAST_OF_SUBJECT, last.to_string());
        self.link.publish(subject, headers, payload, Instant::now() + TRIED).await.map(drop)
    }

    async fn try_once(
        &self,
        letter: &Letter<'_>,
        last: Option<u64>,
        until: Instant,
    ) -> Result<Tried, LedgerError> {
        let mut headers = HeaderMap::new();
        headers.insert(MESSAGE_ID, letter.id);
        headers.insert(STREAM, letter.stream);
        if let Some(lengths) = &letter.lengths {
            headers.insert(LENGTHS, &**lengths);
        }
        if letter.is_gone {
            headers.insert(OPERATION, "DEL");
        }
        if let Some(last) = last {
            headers.insert(LAST_OF_SUBJECT, last.to_string());
        }
        match self.link.publish(letter.subject, headers, letter.payload.clone(), until).await {
            Ok(stored) => Ok(Tried::Stored(stored.seq)),
            Err(refusal) if refusal.is(&WRONG_LAST) => Ok(Tried::Else),
            Err(Refusal::Forbidden(complaint)) => Err(LedgerError::Unavailable(complaint)),
            Err(refusal @ Refusal::Said(_)) if !refusal.is(&PASSING) => {
                // Its disk is full, its limits are reached: that does not pass by itself.
                self.standing.not_written(&refusal.to_string());
                Err(unavailable(refusal))
            }
            Err(refusal) => Ok(Tried::Again(refusal)),
        }
    }

    /// Waits for the next try, unless there is to be none.
    async fn pause(
        &self,
        pace: &mut Pace,
        until: Instant,
        refusal: Option<Refusal>,
    ) -> Result<(), LedgerError> {
        if Instant::now() + Duration::from_millis(100) < until {
            match refusal {
                // What is in process is there within moments.
                None => tokio::task::yield_now().await,
                Some(_) => pace.wait().await,
            }
            if Instant::now() < until {
                return Ok(());
            }
        }
        let Some(refusal) = refusal else {
            return Err(LedgerError::Unavailable("others always came first".to_owned()));
        };
        self.standing.not_written(&refusal.to_string());
        Err(unavailable(refusal))
    }
}

/// See [`Pen::expected`].
enum Expected {
    /// It is what we wrote.
    Written(Revision),
    /// This; any if it is nothing.
    Last(Option<u64>),
    Unknown(Refusal),
}

fn fresh_id() -> Result<String, LedgerError> {
    message_id()
        .ok_or_else(|| LedgerError::Unavailable("the system has no random numbers".to_owned()))
}
