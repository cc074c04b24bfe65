//! The secret of a token, as its owner has it.
//!
//! In: random numbers, or a text. Out: [`Secret`]: `nct_ID_HEX`. Always: it is not printed by
//! `Debug`; comparing takes the same time whatever differs. It does not know what it is good for.

use std::fmt::{self, Write as _};

use aws_lc_rs::{constant_time, digest, rand};

/// What every secret begins with, so that scanners of repositories find lost ones.
const PREFIX: &str = "nct_";
/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;
/// Random bytes of a name.
const NAME_BYTES: usize = 12;
/// The longest text that is looked at.
const TEXT_BYTES_MAX: usize = 200;

/// See the module.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    id: String,
    text: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Secret {
    /// A secret of this id; nothing where the system has no random numbers.
    pub(super) fn named(id: &str) -> Option<Self> {
        let text = format!("{PREFIX}{id}_{}", random_hex::<SECRET_BYTES>()?);
        Some(Self { id: id.to_owned(), text })
    }

    /// Reads what a caller shows; nothing if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX).filter(|_| text.len() <= TEXT_BYTES_MAX)?;
        let (id, secret) = rest.split_once('_')?;
        let is_fine =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_secret = is_fine(id) && is_fine(secret);
        is_secret.then(|| Self { id: id.to_owned(), text: text.to_owned() })
    }

    /// The id of the token that it is of.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The text, for its owner alone.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> String {
        hex(digest::digest(&digest::SHA256, self.text.as_bytes()).as_ref())
    }

    /// Whether `hash` is of this secret.
    #[must_use]
    pub fn matches(&self, hash: &str) -> bool {
        constant_time::verify_slices_are_equal(self.hash().as_bytes(), hash.as_bytes()).is_ok()
    }
}

/// SHA-256 of something in hexadecimal digits, as a name that says nothing of it.
pub(crate) fn fingerprint(of: impl AsRef<[u8]>) -> String {
    hex(digest::digest(&digest::SHA256, of.as_ref()).as_ref())
}

/// A name that nobody else has; nothing where the system has no random numbers.
#[must_use]
pub fn random_name() -> Option<String> {
    random_hex::<NAME_BYTES>()
}

fn random_hex<const BYTES: usize>() -> Option<String> {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).ok()?;
    Some(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}
