//! What the ledger knows of a token.
//!
//! In: what its maker says. Out: whether it may do something. Always: what is not named is not
//! allowed. It does not know the secret.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who has put a token in, at most; who did so first gives way.
const PUT_IN_BY_MAX: usize = 16;

/// What a token may be for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// To purge, and to see what became of purges.
    Purge,
    /// To take nodes out of the ledger.
    Nodes,
    /// To copy the whole ledger, and to put a copy into it.
    Ledger,
    /// To see nodes, purges and sites.
    Read,
    /// To see, write and delete sites.
    Sites,
    /// To make, list and revoke tokens, and to see who did what.
    Tokens,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Purge, Self::Nodes, Self::Ledger, Self::Read, Self::Sites, Self::Tokens];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Purge => "purge",
            Self::Nodes => "nodes",
            Self::Ledger => "ledger",
            Self::Read => "read",
            Self::Sites => "sites",
            Self::Tokens => "tokens",
        }
    }
}

/// That a token is no longer good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revoked {
    /// The id of the token that revoked it.
    pub by: String,
    /// When, for people.
    pub at: String,
    /// Whether the tokens that it has made are good nevertheless.
    #[serde(default)]
    pub keeps_made: bool,
}

/// The document of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenDocument {
    /// Whose it is, for people.
    pub note: String,
    /// SHA-256 of the secret; empty once it is revoked.
    pub hash: String,
    /// What it may do.
    pub actions: Vec<Action>,
    /// The sites for which it may; all of them, those to come included, when absent.
    pub sites: Option<Vec<String>>,
    /// The id of the token that made it.
    pub made_by: String,
    /// The ids of the tokens that have put it in with a copy, the last one last: it goes with each of
    /// them, whoever made it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub put_in_by: Vec<String>,
    /// When, for people.
    pub made_at: String,
    /// Whether it is revoked.
    pub revoked: Option<Revoked>,
}

impl TokenDocument {
    /// It is put in by the leave of `by` as well.
    pub fn put_in(&mut self, by: &str) {
        self.put_in_by.retain(|known| known != by);
        self.put_in_by.push(by.to_owned());
        self.put_in_by.drain(..self.put_in_by.len().saturating_sub(PUT_IN_BY_MAX));
    }

    /// The ids of those by whose leave it is there.
    pub(super) fn leave(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.made_by).chain(&self.put_in_by)
    }

    /// Whether it may do `action`.
    #[must_use]
    pub fn may(&self, action: Action) -> bool {
        self.actions.contains(&action)
    }

    /// Whether it speaks for `site`.
    #[must_use]
    pub fn covers(&self, site: &str) -> bool {
        self.sites.as_ref().is_none_or(|sites| sites.iter().any(|own| own == site))
    }

    /// Whether it has all that is to be given: nobody gives more than that.
    #[must_use]
    pub fn may_give(&self, actions: &[Action], sites: Option<&[String]>) -> bool {
        let all_sites = match sites {
            None => self.sites.is_none(),
            Some(sites) => sites.iter().all(|site| self.covers(site)),
        };
        all_sites && actions.iter().all(|action| self.may(*action))
    }
}
