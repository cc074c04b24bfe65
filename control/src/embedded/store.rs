//! The database of a ledger, and how it is opened again once its storage has failed.
//!
//! In: how it is opened. Out: the database, for as long as it can be used.
//! Always: after a failure redb answers nothing from this opening any more, so it is closed for
//! everyone before it is opened again; what is opened then is the same ledger, by its epoch, and has
//! come as far as was told before, or it is not used: readers that go on from where they were would
//! skip what comes next in an older copy. It does not know when to try.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parking_lot::RwLock;
use redb::Database;

use super::{
    OpenError,
    tables::{self, Heads},
};
use crate::ledger::Epoch;

/// Why nothing came of it, when nobody foresaw that.
const PANICKED: &str = "what was done with it ended badly; its file may be broken";

/// How the database is opened.
pub(super) type Open = Box<dyn Fn() -> Result<Database, OpenError> + Send + Sync>;

/// See the module.
pub(super) struct Store {
    database: RwLock<Option<Database>>,
    open: Open,
    epoch: Epoch,
}

impl Store {
    pub(super) fn new(database: Database, epoch: Epoch, open: Open) -> Self {
        Self { database: RwLock::new(Some(database)), open, epoch }
    }

    /// Does something with the database, if it is open. A file that something else has written to
    /// can make redb panic, which is a failure as any other.
    pub(super) fn with<T>(
        &self,
        act: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        let place = self.database.read();
        let Some(database) = &*place else { return Err(redb::Error::PreviousIo) };
        let done = catch_unwind(AssertUnwindSafe(|| act(database)));
        done.unwrap_or_else(|_told| Err(redb::Error::Corrupted(PANICKED.to_owned())))
    }

    /// Closes it and opens it again, so that it can be read; whether it can be written shows then.
    /// All had come as far as `told` before.
    ///
    /// # Errors
    /// Why it cannot be opened, as a text. It stays closed then.
    pub(super) fn open_again(&self, told: Heads) -> Result<(), String> {
        // Readers end first, and those that come now wait: of two openings none would be told of
        // what the other writes.
        let mut place = self.database.write();
        // After a panic redb may not even close it.
        let former = place.take();
        drop(catch_unwind(AssertUnwindSafe(|| drop(former))));
        let database = catch_unwind(AssertUnwindSafe(&self.open));
        let database = database.map_err(|_told| PANICKED.to_owned())?;
        let database = database.map_err(|error| error.to_string())?;
        let found = tables::standing(&database).map_err(|error| error.to_string())?;
        match found {
            Some((epoch, heads)) if epoch == self.epoch && !heads.are_behind(told) => {}
            Some((epoch, _)) if epoch == self.epoch => {
                return Err(
                    "an older copy of the ledger stands in its place; this process must be \
                            restarted to use it, and its edges will purge all that they have stored"
                        .to_owned(),
                );
            }
            _ => {
                return Err(
                    "another ledger stands in its place; this process must be restarted to \
                            use it"
                        .to_owned(),
                );
            }
        }
        *place = Some(database);
        Ok(())
    }
}
