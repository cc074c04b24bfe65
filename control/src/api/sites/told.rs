//! What callers see of sites, and of what was refused.
//!
//! In: what the ledger has. Out: JSON, an ETag, problem details. Always: a site's ETag is its
//! revision; the name of another site is told to who may know of it. It decides nothing.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header::ETAG};
use nearcast_daemon::http_problem::Problem;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::{super::caller::Caller, refused};
use crate::site::{Catalogue, FileSite, SiteError, Sound, Unsound, Version, progress::Progress};

/// Sites.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Sites {
    /// Those that the caller's token is for, by name.
    sites: Vec<Entry>,
}

/// A site in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SiteEntry")]
struct Entry {
    /// Its name.
    name: String,
    from: Source,
    /// Its version; null for one of a file.
    revision: Option<u64>,
    /// Its hosts.
    hosts: Vec<String>,
}

/// Where a site stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "SiteSource")]
enum Source {
    /// In the file of the node that answers.
    File,
    /// In the ledger, and so on every node.
    Ledger,
}

impl Sites {
    pub(super) fn of(
        catalogue: &Catalogue,
        of_file: Vec<FileSite>,
        may_know: impl Fn(&str) -> bool,
    ) -> Self {
        let of_file = of_file.into_iter().map(|FileSite { name, hosts }| Entry {
            name,
            from: Source::File,
            revision: None,
            hosts,
        });
        let of_ledger = catalogue.present().map(|(name, listed)| Entry {
            name: name.clone(),
            from: Source::Ledger,
            revision: Some(listed.made.revision),
            hosts: listed.hosts.clone(),
        });
        let all = of_file.chain(of_ledger);
        let mut sites: Vec<Entry> = all.filter(|entry| may_know(&entry.name)).collect();
        sites.sort_by(|one, other| one.name.cmp(&other.name));
        Self { sites }
    }
}

/// A site.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Site")]
pub(in crate::api) struct WholeSite {
    /// Its name.
    name: String,
    from: Source,
    /// Its hosts.
    hosts: Vec<String>,
    /// What it says, as TOML; null for one of a file, and where it was deleted.
    toml: Option<String>,
    /// The version; null for one of a file.
    #[serde(flatten)]
    version: Option<Made>,
}

/// Which version of a site, and who made it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SiteVersion")]
struct Made {
    /// Its number, which is its ETag.
    revision: u64,
    /// Which site of its name it is: another one after it was deleted and made again.
    id: String,
    /// The id of the token that wrote it.
    by: String,
    /// When, for people.
    at: String,
    /// Whether it says that the site was deleted.
    deleted: bool,
}

impl Made {
    fn of(version: &Version) -> Self {
        Self {
            revision: version.revision,
            id: version.id.clone(),
            by: version.by.clone(),
            at: version.at.clone(),
            deleted: version.text.is_none(),
        }
    }
}

/// A site that was written.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SiteWritten")]
pub(in crate::api) struct WrittenSite {
    #[serde(flatten)]
    pub(super) site: WholeSite,
    /// How far the edges have come with it; null where nobody looked.
    pub(super) progress: Option<Progress>,
}

/// A site that was deleted.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SiteDeleted")]
pub(in crate::api) struct DeletedSite {
    #[serde(flatten)]
    pub(super) site: WholeSite,
    /// The ids of the tokens in use that name it, and so are for the next site of this name as well; null
    /// where they could not be read.
    pub(super) tokens: Option<Vec<String>>,
    /// How far the edges have come with that; null where nobody looked.
    pub(super) progress: Option<Progress>,
}

impl WholeSite {
    pub(super) fn of(name: &str, version: Version) -> Self {
        let made = Made::of(&version);
        Self {
            name: name.to_owned(),
            from: Source::Ledger,
            hosts: version.hosts,
            toml: version.text,
            version: Some(made),
        }
    }

    pub(super) fn of_file(FileSite { name, hosts }: FileSite) -> Self {
        Self { name, from: Source::File, hosts, toml: None, version: None }
    }
}

/// A version of a site, with its ETag.
pub(super) fn tagged(name: &str, version: Version) -> Response {
    let revision = version.revision;
    with_tag(Json(WholeSite::of(name, version)), revision)
}

/// That the caller has this version already.
pub(super) fn unchanged(revision: u64) -> Response {
    with_tag(StatusCode::NOT_MODIFIED, revision)
}

/// What is answered, with its ETag.
pub(super) fn with_tag(response: impl IntoResponse, revision: u64) -> Response {
    let mut response = response.into_response();
    if let Ok(tag) = HeaderValue::try_from(format!("\"{revision}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// The versions of a site that are kept.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SiteHistory")]
pub(in crate::api) struct History {
    /// Its name.
    name: String,
    /// The newest first.
    versions: Vec<Past>,
}

/// A version of a site.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SitePast")]
struct Past {
    #[serde(flatten)]
    made: Made,
    /// The hosts that it named.
    hosts: Vec<String>,
}

impl History {
    pub(super) fn of(name: &str, versions: Vec<Version>) -> Self {
        let past = |version: Version| Past { made: Made::of(&version), hosts: version.hosts };
        Self { name: name.to_owned(), versions: versions.into_iter().map(past).collect() }
    }
}

/// A site that could be written.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SiteDryRun")]
pub(in crate::api) struct DryRun {
    /// Its name.
    name: String,
    /// The hosts that it names.
    hosts: Vec<String>,
    /// True.
    dry_run: bool,
}

impl DryRun {
    pub(super) fn of(sound: Sound) -> Self {
        Self { name: sound.name, hosts: sound.hosts, dry_run: true }
    }
}

/// What is wrong with a text.
pub(super) fn checked(unsound: Unsound) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY)
        .detail(unsound.report)
        .extension("problems", unsound.problems)
}

/// Why a site is not written or read.
pub(in crate::api) fn refusal(caller: &Caller, error: &SiteError) -> Problem {
    let status = match error {
        SiteError::NoSuchSite(_) => StatusCode::NOT_FOUND,
        SiteError::Changed { current, .. } => {
            return Problem::new(StatusCode::PRECONDITION_FAILED)
                .detail(error.to_string())
                .extension("revision", json!(current));
        }
        SiteError::Taken { host, by } => return taken(caller, host, by),
        SiteError::OfFile(_) | SiteError::TooMany | SiteError::TooMuch | SiteError::Full => {
            StatusCode::CONFLICT
        }
        SiteError::Within { .. } => StatusCode::FORBIDDEN,
        SiteError::AnotherOrder(_) | SiteError::TooManyHosts(_) => StatusCode::UNPROCESSABLE_ENTITY,
        SiteError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        SiteError::Unreadable(_) => {
            tracing::warn!(%error, "sites cannot be read or written over this node");
            StatusCode::SERVICE_UNAVAILABLE
        }
        SiteError::Ledger(error) => return refused(error),
    };
    Problem::new(status).detail(error.to_string())
}

fn taken(caller: &Caller, host: &str, by: &str) -> Problem {
    let problem = Problem::new(StatusCode::CONFLICT);
    // Other sites' names are not for a token of some.
    if !caller.token.covers(by) {
        return problem.detail(format!("host \"{host}\" is another site's"));
    }
    problem
        .detail(format!("host \"{host}\" is site \"{by}\"'s"))
        .extension("site", json!(by))
        .extension("host", json!(host))
}
