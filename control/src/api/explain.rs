//! What nodes have of a URL, and what the next request for it would come to.
//!
//! In: callers that may read, for the site. Out: what each node of this process says. Always: it
//! fetches and changes nothing. It does not know an edge: who mounts the routes asks it.
//! Clause: docs/operate.md *What is stored*.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use edge_core::{key::Scheme, purge::Selector};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::HOST};
use nearcast_daemon::http_problem::Problem;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Shared, bad, caller::Caller, internal};
use crate::token::Action;

/// A URL that is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// The scheme that clients use.
    pub scheme: Scheme,
    /// The normalised host.
    pub host: Box<str>,
    /// Path and query.
    pub target: Box<str>,
    /// The fields of the request.
    pub fields: HeaderMap,
}

/// What a node has of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explained {
    /// The node.
    pub node: String,
    /// The site that answers there.
    pub site: String,
    /// The target as the site's rules leave it: what is keyed and forwarded.
    pub target: String,
    /// Request fields that the rule adds to the key.
    pub key_fields: Vec<String>,
    /// What a GET with the fields that were given would come to.
    pub next: NextRequest,
    /// What is stored, the newest first.
    pub stored: Vec<Held>,
    /// Stored responses beyond those.
    pub more: u64,
}

/// What a request would come to, in the words of Cache-Status (RFC 9211).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NextRequest {
    /// Whether what is stored answers it.
    pub hit: bool,
    /// Else why it would go to the origin.
    pub fwd: Option<String>,
    /// More about that.
    pub detail: Option<String>,
    /// The same for people.
    pub why: String,
}

/// A stored response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Held {
    /// Its status.
    pub status: u16,
    /// `fresh`, `stale`, or `purged` and `invalidated`, which answer nobody any more.
    pub state: String,
    /// Its age in seconds.
    pub age: u64,
    /// What is left of its lifetime in seconds; less than none once it is stale.
    pub ttl: i64,
    /// Where its lifetime comes from.
    pub lifetime_of: String,
    /// Whether a soft purge made it stale.
    pub soft_purged: bool,
    /// Its content's bytes.
    pub bytes: u64,
    /// Which part it is, if it is only one: the first byte and the last.
    pub part: Option<(u64, u64)>,
    /// Where it is.
    pub tier: String,
    /// The fields by which Vary tells it from others, and what they were; null where absent.
    pub vary: Vec<(String, Option<String>)>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether it has more of them than are kept, and so is taken by a purge of any.
    pub every_tag: bool,
    /// Its ETag as it is sent.
    pub etag: Option<String>,
}

/// `?url=&header=`
#[derive(Debug, Default, JsonSchema)]
pub(super) struct Query {
    /// The URL as clients ask for it: scheme, host, path and query.
    #[schemars(length(min = 1))]
    url: String,
    /// Fields of the request that is asked about, each as `Name: value`; all but Host, which the URL
    /// says.
    #[schemars(default, length(max = "FIELDS_MAX"))]
    header: Vec<String>,
}

/// Fields of a request that is asked about, at most.
const FIELDS_MAX: usize = 64;

impl Query {
    /// Reads a query in which one parameter may stand several times.
    fn read(text: &str) -> Result<Self, Problem> {
        let (mut url, mut header) = (None, Vec::new());
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            match &*name {
                "url" if url.is_none() => url = Some(value.into_owned()),
                "url" => return Err(bad("url: allowed: once")),
                "header" if header.len() < FIELDS_MAX => header.push(value.into_owned()),
                "header" => return Err(bad(format!("header: allowed: up to {FIELDS_MAX}"))),
                other => return Err(bad(format!("{other:?}: allowed: url, header"))),
            }
        }
        let url = url.ok_or_else(|| bad("url: missing"))?;
        Ok(Self { url, header })
    }

    fn fields(&self) -> Result<HeaderMap, Problem> {
        let mut fields = HeaderMap::new();
        for text in &self.header {
            let read = text.split_once(':').and_then(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                Some((name, HeaderValue::from_str(value.trim_matches([' ', '\t'])).ok()?))
            });
            let (name, value) = read.ok_or_else(|| {
                bad(format!("header: {text:?} is no field; allowed: Name: value"))
            })?;
            if name == HOST {
                return Err(bad("header: Host is what the URL says"));
            }
            fields.append(name, value);
        }
        Ok(fields)
    }
}

/// What the nodes of this process have of a URL.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Explanation {
    /// The URL in normal form.
    url: String,
    /// What each node has.
    nodes: Vec<Explained>,
}

/// `GET /v1/explain`
pub(super) async fn explain(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Explanation>, Problem> {
    caller.may(Action::Read)?;
    let query = Query::read(&query.unwrap_or_default())?;
    let fields = query.fields()?;
    let parsed =
        Selector::parse_url(&query.url).map_err(|problem| bad(format!("url: {problem}")))?;
    let shown = parsed.to_string();
    let Selector::Url { scheme, host, target } = parsed else {
        return Err(internal(&"a URL that is none"));
    };
    let url = Url { scheme, host, target, fields };
    let turn = Arc::clone(&shared.counting).acquire_owned().await;
    let holdings = Arc::clone(&shared.holdings);
    let explained = tokio::task::spawn_blocking(move || {
        let explained = holdings.explain(&url);
        // Kept to its end, also when nobody waits any more.
        drop(turn);
        explained
    });
    let nodes = explained.await.map_err(|error| internal(&error))?;
    if nodes.is_empty() {
        let detail = "no node of this process has a site that answers for this host";
        return Err(Problem::new(StatusCode::NOT_FOUND).detail(detail));
    }
    if nodes.iter().any(|node| !caller.token.covers(&node.site)) {
        // Its name is not theirs to know.
        let detail = format!("token \"{}\" is not for the site that answers there", caller.id);
        return Err(Problem::new(StatusCode::FORBIDDEN).detail(detail));
    }
    Ok(Json(Explanation { url: shown, nodes }))
}
