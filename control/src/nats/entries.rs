//! The entries of a log, as they come.
//!
//! In: a position. Out: the entries after it, each with its number.
//! Always: where the next message is not what comes, or the log is another one, its reader is told and
//! gets nothing; a break of the connection is no loss: it goes on after the last entry that was
//! handed out. A message that breaks the connection whenever it is pushed is asked for by its number.
//! It does not know what entries say.

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::{
    documents::unavailable,
    link::Link,
    names::Names,
    pace::Pace,
    packed,
    streams::{Extent, Message},
    tail::{From, Heading, Heard, Tail},
};
use crate::ledger::{Answer, Entry, Follow, LedgerError, Log, Lost, Position, may_continue};

/// So many entries are handed out at once, and with them what else their last message has.
const BATCH: usize = 256;

/// After so many failures in a row it is the next message itself that may be the reason.
const FAILURES_MAX: u32 = 3;

/// See [`Follow`].
pub(super) struct Entries {
    link: Link,
    stream: String,
    all: String,
    after: Position,
    tail: Option<Tail>,
    /// Since the last entry; none while all is well.
    pace: Option<Pace>,
    /// Failures since then.
    failures: u32,
    not_before: Instant,
}

impl Entries {
    /// After a position that may be continued.
    pub(super) fn new(link: &Link, names: &Names, log: Log, after: Position) -> Self {
        let (stream, all) = (names.log(log), names.all_entries(log));
        Self {
            link: link.clone(),
            stream,
            all,
            after,
            tail: None,
            pace: None,
            failures: 0,
            not_before: Instant::now(),
        }
    }

    /// Begins to read after the last entry that was handed out.
    async fn begin(&self) -> Result<Tail, LedgerError> {
        sleep_until(self.not_before).await;
        // Of a message of which some were handed out the others come.
        let from = From::Number(packed::message_after(self.after.seq));
        let tail = Tail::begin(&self.link, &self.stream, &self.all, from).await;
        let tail = tail.map_err(unavailable)?;
        // After it was begun: so it reads the stream that these are the ends of.
        let extent = Extent::of(&self.link, &self.stream).await.map_err(unavailable)?;
        may_continue(self.after, extent.ends())?;
        Ok(tail)
    }

    /// What the next message has, which is not pushed but asked for; nothing where it is not there yet.
    async fn by_number(&mut self) -> Result<Vec<Entry>, LedgerError> {
        let number = packed::message_after(self.after.seq);
        let message = Message::numbered(&self.link, &self.stream, number).await;
        let message = message.map_err(unavailable)?;
        // After it was read: so it is of the stream that these are the ends of.
        let extent = Extent::of(&self.link, &self.stream).await.map_err(unavailable)?;
        may_continue(self.after, extent.ends())?;
        let Some(message) = message else { return Ok(Vec::new()) };
        tracing::warn!(
            stream = self.stream,
            number,
            "a message could not be had by following the stream; it was asked for by its number"
        );
        self.take(number, message.entries())
    }

    fn entries(&mut self, heading: &Heading, value: Bytes) -> Result<Vec<Entry>, LedgerError> {
        self.take(heading.seq, packed::entries(heading.seq, heading.lengths.as_deref(), value))
    }

    /// What a message has of them.
    fn take(
        &mut self,
        number: u64,
        entries: impl Iterator<Item = (u64, Bytes)>,
    ) -> Result<Vec<Entry>, LedgerError> {
        let next = packed::message_after(self.after.seq);
        if number < next {
            return Ok(Vec::new());
        }
        let asked = self.after;
        let at = |seq| Position { seq, ..asked };
        if number != next {
            let first = at(packed::last_of(number - 1));
            return Err(Lost::Trimmed { asked, first }.into());
        }
        self.after = at(packed::last_of(number));
        (self.pace, self.failures) = (None, 0);
        let new = entries.filter(|(seq, _)| *seq > asked.seq);
        Ok(new.map(|(seq, value)| Entry { position: at(seq), value }).collect())
    }
}

impl Follow for Entries {
    fn next(&mut self) -> Answer<'_, Vec<Entry>> {
        Box::pin(async move {
            let mut entries = Vec::new();
            loop {
                if self.tail.is_none() && self.failures >= FAILURES_MAX {
                    let entries = self.by_number().await?;
                    if !entries.is_empty() {
                        return Ok(entries);
                    }
                }
                if self.tail.is_none() {
                    self.tail = Some(self.begin().await?);
                }
                let Some(tail) = &mut self.tail else { continue };
                // Nothing is awaited once there is an entry, so none is dropped with the call.
                let heard = match (entries.is_empty(), tail.ready()) {
                    (_, Some(heard)) => heard,
                    (true, None) => tail.next().await,
                    (false, None) => return Ok(entries),
                };
                match heard {
                    Ok(Heard::Message(heading, value)) => match self.entries(&heading, value) {
                        Ok(some) => entries.extend(some),
                        // What came before it is to be handed out first; it comes again then.
                        Err(_) if !entries.is_empty() => self.tail = None,
                        Err(lost) => {
                            self.tail = None;
                            return Err(lost);
                        }
                    },
                    Ok(Heard::Nothing(_)) => {}
                    Err(reason) => {
                        tracing::debug!(stream = self.stream, "read anew: {reason}");
                        self.tail = None;
                        self.failures = self.failures.saturating_add(1);
                        let wait = self.pace.get_or_insert_default().step();
                        self.not_before = Instant::now() + wait;
                    }
                }
                let is_over = self.tail.is_none() || entries.len() >= BATCH;
                if is_over && !entries.is_empty() {
                    return Ok(entries);
                }
            }
        })
    }
}
