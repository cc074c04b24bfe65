//! The entries of a log, as they come.
//!
//! In: a position. Out: the entries after it, each with its number.
//! Always: where the next message is not what comes, or the log is another one, its reader is told and
//! gets nothing; a break of the connection is no loss: it goes on after the last entry that was
//! handed out. It does not know what entries say.

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::{
    documents::unavailable,
    link::Link,
    names::Names,
    pace::Pace,
    packed,
    streams::Extent,
    tail::{From, Heading, Heard, Tail},
};
use crate::ledger::{Answer, Entry, Follow, LedgerError, Log, Lost, Position, may_continue};

/// So many entries are handed out at once, and with them what else their last message has.
const BATCH: usize = 256;

/// See [`Follow`].
pub(super) struct Entries {
    link: Link,
    stream: String,
    all: String,
    after: Position,
    tail: Option<Tail>,
    /// Since the last entry; none while all is well.
    pace: Option<Pace>,
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

    /// What a message has of them.
    fn entries(&mut self, heading: &Heading, value: Bytes) -> Result<Vec<Entry>, LedgerError> {
        let next = packed::message_after(self.after.seq);
        if heading.seq < next {
            return Ok(Vec::new());
        }
        let asked = self.after;
        let at = |seq| Position { seq, ..asked };
        if heading.seq != next {
            let first = at(packed::last_of(heading.seq - 1));
            return Err(Lost::Trimmed { asked, first }.into());
        }
        self.after = at(packed::last_of(heading.seq));
        self.pace = None;
        let entries = packed::entries(heading.seq, heading.lengths.as_deref(), value);
        let new = entries.filter(|(seq, _)| *seq > asked.seq);
        Ok(new.map(|(seq, value)| Entry { position: at(seq), value }).collect())
    }
}

impl Follow for Entries {
    fn next(&mut self) -> Answer<'_, Vec<Entry>> {
        Box::pin(async move {
            let mut entries = Vec::new();
            loop {
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
