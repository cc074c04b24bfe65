//! A copy of the ledger, and how it is put into another one.
//!
//! In: a ledger; a copy. Out: a copy; what was put in.
//! Always: a copy has sites with their versions and tokens, of which only hashes are known, and which nodes
//! are drained, as all of this is together at one moment; it has no nodes, which report themselves, and no logs, whose positions
//! are those of one ledger. One that is wrong anywhere is refused whole. It goes into a ledger that
//! has nothing of its own, unless it is forced to; then sites give way, and stay as history. A token
//! that is there stays as it is, and one that was revoked is not good again, however long ago that was.
//! Sites come first, in force at once or not at all; what is refused has put nothing in, and what comes
//! after them ([`rest`]) is not refused. All that nodes have stored is purged once what is put in is in
//! force. The first token of a ledger stays that ledger's. Who repeats it after it broke off ends it.
//! It deliberately does not know files, nor HTTP.
//! Clause: docs/operate.md *Copies of a ledger*.

mod drains;
mod rest;
mod tokens;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures_util::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

pub use self::{drains::CopiedDrain, tokens::CopiedToken};
use self::{rest::Rest, tokens::Tokens};
use crate::{
    documents::{self, DocumentError},
    drain::{DRAINS_MAX, Drains},
    ledger::{
        DOCUMENT_BYTES_MAX, Epoch, Expect, Key, Ledger, LedgerError, Log, Position, Revision, fits,
    },
    site::{
        self, Author, CATALOGUE, Catalogue, CopiedSite, CopiedSiteError, Imported, Planned, Rules,
        SiteError,
    },
    token::{
        self, FIRST, FORGOTTEN, Forgotten, ForgottenError, TOKENS, TOKENS_MAX, TokenDocument,
        TokenError, fingerprint,
    },
};

/// The format of copies that is written, and the newest that is read.
pub const FORMAT: u32 = 1;
/// The largest copy.
pub const COPY_BYTES_MAX: usize = 64 << 20;
/// The longest host, id or time in a copy.
const WORD_CHARS_MAX: usize = 255;
/// Documents that are written at the same time.
const WRITTEN_AT_ONCE: usize = 64;

/// A copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LedgerCopy")]
pub struct Copied {
    /// The format of the copy: 1.
    #[schemars(range(min = 1, max = 1))]
    pub format: u32,
    /// When it was made, for people.
    pub at: String,
    /// The version of the program that made it.
    pub version: String,
    /// The last purge of the ledger then: its epoch says which ledger it is of.
    pub last: Position,
    /// The ledger's revision then: the copy has what was written up to it, and nothing of later.
    pub revision: u64,
    /// The sites, by name, those deleted last included.
    pub sites: Vec<CopiedSite>,
    /// The tokens, by id, but for the first one.
    pub tokens: Vec<CopiedToken>,
    /// The nodes that were drained, whether or not they were there.
    #[serde(default)]
    pub drains: Vec<CopiedDrain>,
    /// Tokens that were revoked so long ago that only their ids are known.
    #[serde(default)]
    pub forgotten: Forgotten,
    /// Documents that could not be read, and so are not in it, with why.
    #[serde(default)]
    pub left_out: Vec<String>,
}

/// What was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "LedgerImported")]
pub struct PutIn {
    /// Sites.
    pub sites: usize,
    /// Tokens.
    pub tokens: usize,
    /// Tokens of the copy that were there already, and stayed as they are.
    pub tokens_kept: usize,
    /// Tokens of the copy that were revoked here so long ago that the ledger has only their ids, or, where
    /// those are too many, may have been: they were not put in.
    pub tokens_revoked: usize,
    /// Nodes that are drained now and were not before.
    pub drains: usize,
    /// The revision of the catalogue that it made.
    pub revision: u64,
    /// Where the purge log says that everything stored is purged.
    pub purge: Position,
}

/// Why a copy is not put in.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It is none.
    #[error("it is no copy of a ledger: {0}; nothing was put in")]
    Broken(String),
    /// A newer version made it.
    #[error("the copy has format {0}, and this version reads up to {FORMAT}; nothing was put in")]
    Newer(u32),
    /// A site of it may not be so.
    #[error("{0}; nothing was put in")]
    Site(#[from] CopiedSiteError),
    /// Who puts it in could not have given one of its tokens.
    #[error("the copy's token \"{0}\" may do more than yours; nothing was put in")]
    Forbidden(String),
    /// Who puts it in may not say that tokens are never put in again.
    #[error(
        "the copy names tokens that were revoked long ago, which the ledger does not know; that they \
         are never put in again only a token says that may do everything; nothing was put in"
    )]
    MayNotForget,
    /// Who puts it in may not drain nodes.
    #[error(
        "the copy drains node \"{0}\", and your token is not for \"nodes\"; nothing was put in"
    )]
    MayNotDrain(String),
    /// Clients would have no edge left.
    #[error(
        "the copy drains the last edge that is neither drained nor away, so clients would have none \
         left; nothing was put in; with force it is put in all the same"
    )]
    LastEdge,
    /// The token that puts it in was revoked meanwhile.
    #[error("this token was revoked meanwhile; nothing was put in")]
    Revoked,
    /// Tokens that it brought could not be taken back.
    #[error("this token was revoked meanwhile, and not all that it brought is revoked yet: {0}")]
    NotTakenBack(#[from] TokenError),
    /// There is something already.
    #[error(
        "the ledger has {0} already; nothing was put in; with force, sites of the copy take the \
         place of those that are there, and tokens of the copy come beside those that are there"
    )]
    Occupied(&'static str),
    /// There would be too many tokens.
    #[error("there would be more than {TOKENS_MAX} tokens; revoke some first")]
    TooManyTokens,
    /// There would be too many drains.
    #[error(
        "there would be more than {DRAINS_MAX} drains; take back those of nodes that are gone; nothing was put in"
    )]
    TooManyDrains,
    /// A part of it, or its sites beside those that are there, is more than a ledger takes.
    #[error("{0}; nothing was put in")]
    TooLarge(LedgerError),
    /// Somebody wrote sites meanwhile.
    #[error("sites were written meanwhile; nothing was put in; do it again")]
    Overtaken,
    /// The key of the order was another one's.
    #[error("this Idempotency-Key was used for another import; nothing was put in")]
    AnotherOrder,
    /// It broke off, and may not be gone on with.
    #[error(
        "{}; of the import, which broke off before, its sites are in force and {tokens} of its tokens are \
         there; nothing was added",
        .why.to_string().replace("; nothing was put in", "")
    )]
    Partly {
        /// Tokens of the copy that are there.
        tokens: usize,
        /// Why.
        why: Box<Self>,
    },
    /// What is there cannot be read.
    #[error("what the ledger has cannot be read here: {0}; nothing was put in")]
    Unreadable(DocumentError),
    /// The ledger says no.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Copies a ledger, with no more than `versions_max` versions of each site.
///
/// # Errors
/// When it cannot be read.
pub async fn export(
    ledger: &dyn Ledger,
    at: String,
    versions_max: usize,
) -> Result<Copied, CopyError> {
    // Before the documents: what is purged after this is of later than the copy.
    let last = ledger.ends(Log::Purges).await?.last;
    let listing = ledger.list("").await?;
    let mut left_out = Vec::new();
    let sites = site::copied(&listing.documents, versions_max.max(1), &mut left_out);
    let sites = sites.map_err(CopyError::Unreadable)?;
    let mut tokens = Vec::new();
    let of_tokens = listing.documents.iter().filter(|found| found.key.as_str().starts_with(TOKENS));
    for found in of_tokens.filter(|found| found.key.name() != FIRST) {
        match documents::decode(&found.value) {
            Ok(token) => tokens.push(CopiedToken { id: found.key.name().to_owned(), token }),
            Err(error) => left_out.push(format!("{}: {error}", found.key)),
        }
    }
    let mut forgotten = listing.documents.iter().filter(|found| found.key.as_str() == FORGOTTEN);
    let forgotten = Forgotten::read(forgotten.next()).unwrap_or_else(|error| {
        left_out.push(format!("{FORGOTTEN}: {error}"));
        Forgotten::default()
    });
    let drains = drains::copied(&listing.documents);
    let (revision, version) = (listing.revision.0, env!("CARGO_PKG_VERSION").to_owned());
    Ok(Copied {
        format: FORMAT,
        at,
        version,
        last,
        revision,
        sites,
        tokens,
        drains,
        forgotten,
        left_out,
    })
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Copied {
    /// Reads a copy.
    ///
    /// # Errors
    /// When it is none that this version reads.
    pub fn read(bytes: &[u8]) -> Result<Self, CopyError> {
        let broken = |error: serde_json::Error| CopyError::Broken(error.to_string());
        // By itself: a newer one may have members that are not known here.
        let Format { format } = serde_json::from_slice(bytes).map_err(broken)?;
        match format {
            FORMAT => serde_json::from_slice(bytes).map_err(broken),
            0 => Err(CopyError::Broken("its format is 0".to_owned())),
            newer => Err(CopyError::Newer(newer)),
        }
    }
}

/// Who puts a copy in, and how.
pub struct Import<'i> {
    /// Who.
    pub author: &'i Author,
    /// The token that they show, which is looked at again once its tokens are there; nothing where it
    /// is none.
    pub token: Option<&'i str>,
    /// Whether what the ledger has of sites gives way.
    pub force: bool,
    /// The name under which it is put in once.
    pub once: Option<&'i str>,
    /// Versions that are kept of a site.
    pub kept: usize,
    /// How sites are read here.
    pub rules: Arc<dyn Rules>,
    /// A token as its author gives it; nothing where they could not have given it.
    pub gives: &'i (dyn Fn(&TokenDocument) -> Option<TokenDocument> + Sync),
    /// Whether they may do everything.
    pub may_all: bool,
    /// Whether they may drain nodes.
    pub may_drain: bool,
    /// Whether clients have an edge left once the drains are no more the former but the latter ones.
    pub leaves_an_edge: &'i (dyn Fn(&Drains, &Drains) -> bool + Sync),
}

/// What came of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What was put in.
    pub put_in: PutIn,
    /// The ids of the tokens among it.
    pub tokens: Vec<String>,
    /// Whether these were revoked at once, as the token was that brought them, and no node was drained.
    pub taken_back: bool,
}

/// Puts a copy in.
///
/// # Errors
/// When it is not put in, or not to its end; then it may be put in again.
pub async fn import(
    ledger: &dyn Ledger,
    copy: &Arc<Copied>,
    how: Import<'_>,
) -> Result<Done, CopyError> {
    let tokens = tokens::sound(copy, how.gives)?;
    if !site::are_few_enough(&copy.sites) {
        return Err(CopyError::Broken("it has too many sites".to_owned()));
    }
    if ![&copy.at, &copy.version].into_iter().all(|word| is_for_people(word)) {
        return Err(CopyError::Broken("its time or its version is none".to_owned()));
    }
    let of = order(copy, how.force).await?;
    let (there, at) = site::former(ledger).await.map_err(unread)?;
    let known = tokens::known(ledger).await?;
    let done = done(&there, &of, &how)?;
    let mine = tokens::same(&known, &tokens);
    let in_ledger = tokens.keys().filter(|key| known.contains_key(*key)).count();
    let partly = |why| CopyError::Partly { tokens: in_ledger, why: Box::new(why) };
    // It may have been revoked while the copy came.
    let is_in_use_still = is_in_use(ledger, &how).await;
    if let Some(done) = done {
        is_in_use_still.map_err(partly)?;
        if let Some(purge) = done.purge {
            return Ok(Done { put_in: PutIn::of(done, purge), tokens: mine, taken_back: false });
        }
        let rest = rest(ledger, (copy, &how), (tokens, &known)).await.map_err(partly)?;
        return rest.put_in(ledger, (copy, &how), done, mine).await;
    }
    is_in_use_still?;
    if !how.force {
        may_begin(&there, &known, &tokens)?;
    }
    let former = match how.force {
        true => there,
        false => Catalogue { sites: BTreeMap::new(), ..there },
    };
    let id = fingerprint(format!("{of}.{}", former.revision));
    let epoch = ledger.ends(Log::Purges).await?.last.epoch;
    let Planned { mut catalogue, versions } = planned(copy, (former, epoch), &how).await?;
    let rest = rest(ledger, (copy, &how), (tokens, &known)).await?;
    let import = Imported {
        id,
        of,
        revision: catalogue.revision,
        once: how.once.map(str::to_owned),
        sites: catalogue.present().count(),
        tokens: rest.tokens.new.len(),
        tokens_kept: rest.tokens.kept,
        tokens_revoked: rest.tokens.revoked,
        drains: rest.drains.len(),
        purge: None,
    };
    catalogue.remember(import.clone());
    // Whatever a ledger would refuse, it refuses before the first of it is written.
    let bytes = encode(&catalogue)?;
    for (_, document) in versions.iter().chain(&rest.tokens.new).chain(&rest.drains) {
        fits("a document", document.len(), DOCUMENT_BYTES_MAX).map_err(CopyError::TooLarge)?;
    }
    fits("the list of sites", bytes.len(), DOCUMENT_BYTES_MAX).map_err(CopyError::TooLarge)?;
    // A version's key says what it says.
    write_all(ledger, &versions, Expect::Anything).await?;
    // Up to here it may be refused, and nothing holds of it; from here on it is gone through with.
    is_in_use(ledger, &how).await?;
    if let Err(error) = put_in_force(ledger, bytes, at).await {
        rest::tidy(ledger, None, how.kept).await;
        return Err(error);
    }
    let done = rest.put_in(ledger, (copy, &how), &import, Vec::new()).await?;
    rest::tidy(ledger, Some(catalogue), how.kept).await;
    Ok(done)
}

/// What goes in beside sites, of which nothing is refused any more.
async fn rest(
    ledger: &dyn Ledger,
    (copy, how): (&Copied, &Import<'_>),
    (tokens, known): (BTreeMap<Key, Bytes>, &BTreeMap<Key, Bytes>),
) -> Result<Rest, CopyError> {
    // After the tokens: of one that went meanwhile the id was there before.
    let revoked = Forgotten::of(ledger).await.map_err(unreadable)?;
    // Each of these ids is a token that can never be put in again.
    if !how.may_all && revoked.lacks(&copy.forgotten) {
        return Err(CopyError::MayNotForget);
    }
    let tokens = Tokens::new(tokens, known, &revoked)?;
    let drains = drains::new(ledger, &copy.drains, how).await?;
    Ok(Rest { tokens, drains })
}

/// Whether the token that puts it in still may.
async fn is_in_use(ledger: &dyn Ledger, how: &Import<'_>) -> Result<(), CopyError> {
    let Some(id) = how.token else { return Ok(()) };
    let is_good = token::is_in_use(ledger, id).await? && token::is_good(ledger, id).await?;
    if is_good { Ok(()) } else { Err(CopyError::Revoked) }
}

/// Whether a text of a copy may be shown to people as it is.
pub(crate) fn is_for_people(text: &str) -> bool {
    !text.contains(char::is_control) && text.chars().count() <= WORD_CHARS_MAX
}

/// Names the copy, and how it is put in: it may be long.
async fn order(copy: &Arc<Copied>, force: bool) -> Result<String, CopyError> {
    let copy = Arc::clone(copy);
    let named = spawn_blocking(move || encode(&*copy).map(fingerprint)).await;
    let named = named.map_err(|error| LedgerError::Unavailable(error.to_string()))??;
    Ok(if force { format!("{named}-forced") } else { named })
}

/// The import, if it was done already: under its name, or because all is as it left it.
fn done<'t>(
    there: &'t Catalogue,
    of: &str,
    how: &Import<'_>,
) -> Result<Option<&'t Imported>, CopyError> {
    let named =
        there.imports.iter().find(|done| how.once.is_some() && done.once.as_deref() == how.once);
    if let Some(done) = named {
        return if done.of == of { Ok(Some(done)) } else { Err(CopyError::AnotherOrder) };
    }
    let is_it = |done: &&Imported| done.of == of && done.revision == there.revision;
    Ok(there.imported().filter(|_| !how.force).filter(is_it))
}

/// Whether a ledger has nothing of its own; what was put in before an import broke off is not that.
fn may_begin(
    there: &Catalogue,
    known: &BTreeMap<Key, Bytes>,
    tokens: &BTreeMap<Key, Bytes>,
) -> Result<(), CopyError> {
    let same = tokens::same(known, tokens);
    let is_own = |key: &Key| key.name() == FIRST || same.iter().any(|id| id == key.name());
    if !there.sites.is_empty() {
        return Err(CopyError::Occupied("sites"));
    }
    if known.keys().all(is_own) { Ok(()) } else { Err(CopyError::Occupied("tokens")) }
}

async fn write_all(
    ledger: &dyn Ledger,
    documents: &[(Key, Bytes)],
    expect: Expect,
) -> Result<(), LedgerError> {
    for some in documents.chunks(WRITTEN_AT_ONCE) {
        let writes = some.iter().map(|(key, value)| ledger.write(key, value.clone(), expect));
        try_join_all(writes).await?;
    }
    Ok(())
}

/// Reads thousands of texts perhaps, on a thread that may wait.
async fn planned(
    copy: &Arc<Copied>,
    (former, epoch): (Catalogue, Epoch),
    how: &Import<'_>,
) -> Result<Planned, CopyError> {
    let (copy, rules, author) = (Arc::clone(copy), Arc::clone(&how.rules), how.author.clone());
    let kept = how.kept;
    let planned = spawn_blocking(move || {
        let into = site::Receiver { former: &former, epoch, kept };
        site::planned((&copy.sites, &copy.left_out), into, (&*rules, &author))
    })
    .await;
    let planned = planned.map_err(|error| LedgerError::Unavailable(error.to_string()))?;
    Ok(planned?)
}

async fn put_in_force(
    ledger: &dyn Ledger,
    catalogue: Bytes,
    at: Option<Revision>,
) -> Result<(), CopyError> {
    let key = Key::parse(CATALOGUE);
    let key = key.ok_or_else(|| LedgerError::Unavailable("no key".to_owned()))?;
    let expect = at.map_or(Expect::Absent, Expect::At);
    match ledger.write(&key, catalogue, expect).await {
        Ok(_) => Ok(()),
        Err(LedgerError::Conflict { .. }) => Err(CopyError::Overtaken),
        Err(error) => Err(error.into()),
    }
}

fn unread(error: SiteError) -> CopyError {
    match error {
        SiteError::Unreadable(error) => CopyError::Unreadable(error),
        SiteError::Ledger(error) => CopyError::Ledger(error),
        other => CopyError::Broken(other.to_string()),
    }
}

fn unreadable(error: ForgottenError) -> CopyError {
    match error {
        ForgottenError::Unreadable(error) => CopyError::Unreadable(error),
        ForgottenError::Ledger(error) => CopyError::Ledger(error),
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Bytes, LedgerError> {
    documents::encode(value).map_err(|error| LedgerError::Unavailable(error.to_string()))
}
