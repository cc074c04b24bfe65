//! What was taken away, forgotten in the end.
//!
//! In: documents as they are followed. Out: a bucket that remembers a bounded number of them.
//! Always: that something is forgotten is written before it is, so that nobody who was away takes it
//! for being there still; what came back stays. Several processes may do this at once. It does not
//! know what documents say.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{
    documents::Documents,
    link::{Link, Refusal},
    names::Names,
    pace::jittered,
    writing::Pen,
};
use crate::ledger::Change;

/// How often it is looked, at most: at other moments in each process, so that one is first.
const LOOKS: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Forgetting {
    pub(super) link: Link,
    pub(super) names: Names,
    pub(super) documents: Documents,
    pub(super) pen: Pen,
}

impl Forgetting {
    /// Forgets the oldest whenever there are too many, for ever.
    pub(super) async fn run(self) {
        let mut heads = self.documents.heads();
        while heads.changed().await.is_ok() {
            // Looking at all of them is not worth it for each change.
            sleep_until(Instant::now() + jittered(LOOKS)).await;
            heads.mark_unchanged();
            let gone = self.documents.mirror().lock().too_many_gone();
            if let Err(reason) = self.forget(&gone).await {
                tracing::debug!(
                    "documents that were taken away are remembered until the next look: {reason}"
                );
            }
        }
    }

    async fn forget(&self, gone: &[Change]) -> Result<(), Refusal> {
        let Some(last) = gone.last() else { return Ok(()) };
        let stream = self.names.documents();
        let forgotten = self.documents.mirror().lock().forgotten();
        if forgotten.up_to < last.revision.0 {
            let up_to = last.revision.to_string();
            self.pen.mark(&stream, &self.names.forgotten(), up_to.into(), forgotten.at).await?;
        }
        for change in gone {
            // Not what may have come since.
            let body = json!({
                "filter": self.names.document(&change.key), "seq": change.revision.0 + 1,
            });
            self.link.ask::<Value>(&format!("STREAM.PURGE.{stream}"), &body).await?;
            self.documents.mirror().lock().forget(change);
        }
        Ok(())
    }
}
