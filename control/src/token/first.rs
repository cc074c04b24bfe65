//! The first token: without it nobody could make any.
//!
//! In: a ledger, a path. Out: a file that only its owner can read, with a secret that may do
//! everything. Always: of several processes that begin at once one makes it, by compare-and-set; a
//! process that ended between the two steps is caught up with; one that was revoked is never made
//! again. It does not know who reads the file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::{Action, Secret, TokenDocument, TokenError, key_of, write};
use crate::{
    documents,
    ledger::{Expect, Ledger, LedgerError, Revision},
};

/// The id of the first token.
pub const FIRST: &str = "first";

/// Why the first token could not be left.
#[derive(Debug, thiserror::Error)]
pub enum FirstError {
    /// Its file cannot be written.
    #[error("the first token cannot be left in {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be made.
    #[error("the first token cannot be made")]
    Token(#[from] TokenError),
}

/// Makes the first token where the ledger never had one, and leaves its secret at `path`. Waits
/// for the disk.
///
/// # Errors
/// When it cannot be made or left.
pub async fn leave_first(ledger: &dyn Ledger, path: &Path, at: &str) -> Result<(), FirstError> {
    let failed = |source| FirstError::File { path: path.to_path_buf(), source };
    let new = beside(path);
    let key = key_of(FIRST).ok_or(TokenError::Random)?;
    if let Some(found) = ledger.read(&key).await.map_err(TokenError::from)? {
        let Ok(document) = documents::decode::<TokenDocument>(&found.value) else {
            tracing::warn!(
                "the first token's document cannot be read: the first token opens nothing"
            );
            return Ok(());
        };
        let kept = document.hash.clone();
        give_all(ledger, document, found.revision).await?;
        // Who made it may have ended before it was in its place.
        let left = fs::read_to_string(&new).ok().and_then(|text| Secret::parse(text.trim()));
        if left.is_some_and(|secret| secret.matches(&kept)) {
            fs::rename(&new, path).map_err(failed)?;
        }
        return Ok(());
    }
    let secret = Secret::named(FIRST).ok_or(TokenError::Random)?;
    // On disk before it is good for anything: the other order could lose it.
    put(&new, secret.reveal()).map_err(failed)?;
    let document = TokenDocument {
        note: "made at the first start".to_owned(),
        hash: secret.hash(),
        actions: Action::ALL.to_vec(),
        sites: None,
        made_by: FIRST.to_owned(),
        put_in_by: Vec::new(),
        made_at: at.to_owned(),
        revoked: None,
    };
    match write(ledger, FIRST, &document, Expect::Absent).await {
        Ok(()) => fs::rename(&new, path).map_err(failed),
        // Another process was first.
        Err(TokenError::Ledger(LedgerError::Conflict { .. })) => {
            fs::remove_file(&new).map_err(failed)
        }
        Err(error) => Err(error.into()),
    }
}

/// It may do everything, also what it could not when it was made.
async fn give_all(
    ledger: &dyn Ledger,
    document: TokenDocument,
    at: Revision,
) -> Result<(), TokenError> {
    if document.revoked.is_some() || Action::ALL.iter().all(|action| document.may(*action)) {
        return Ok(());
    }
    let document = TokenDocument { actions: Action::ALL.to_vec(), ..document };
    match write(ledger, FIRST, &document, Expect::At(at)).await {
        // Another process was first, or has revoked it.
        Err(TokenError::Ledger(LedgerError::Conflict { .. })) => Ok(()),
        written => written,
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Writes a file for its owner alone, whatever was there.
fn put(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}
