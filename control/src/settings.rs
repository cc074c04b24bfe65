//! What an operator may say in `[control]`.
//!
//! In: a deserializer over the node file. Out: plain values with defaults.
//! Always: each field's doc line is its entry in the reference page; each bound stands in the schema.
//! Does not know: files, other sections, or how a problem is worded.
//! Clause: docs/operate.md *The ledger*.

use std::path::PathBuf;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The ledger of the fleet, and what operators ask of it over the admin listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ControlSettings {
    /// File of the ledger of a node that stands alone; it is made where there is none, for this user
    /// alone. Its folder must be there, and gets the first token as `token` and the node's position in
    /// the purge log. Without it there is no ledger, and nothing can be purged.
    #[schemars(extend("x-kind" = "path"))]
    pub embedded: Option<PathBuf>,
    /// Purges that the ledger keeps. A node that was away for more of them purges everything it holds.
    #[schemars(range(min = 1000, max = 10_000_000))]
    pub purges_kept: u64,
    /// Entries of the audit log that the ledger keeps.
    #[schemars(range(min = 1000, max = 10_000_000))]
    pub audit_kept: u64,
    /// What the entries of each of the two logs may take, whatever their number; the oldest give way.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "1 MiB", "x-max" = "1 TiB"))]
    pub log_bytes_kept: ByteSize,
    /// Requests a second that one token may make, and as many at once after a rest; further ones are
    /// answered 429.
    #[schemars(range(min = 1, max = 100_000))]
    pub requests_per_second: u32,
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self {
            embedded: None,
            purges_kept: 100_000,
            audit_kept: 100_000,
            log_bytes_kept: ByteSize::mib(64),
            requests_per_second: 100,
        }
    }
}
