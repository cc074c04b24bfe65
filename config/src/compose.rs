//! From a text to settings: parse, check against the schema, deserialise, check what hangs together.
//!
//! In: a text and the path it came from. Out: a [`NodeConfig`] or a [`Report`].
//! Always: every stage runs on what the stages before left sound, so that one reading names every
//! problem; a fault is told once.
//! Does not know: the bounds of any setting.
//! Clause: docs/operate.md *The settings file*.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use edge_core::settings::{EdgeSettings, SiteSettings};
use geodns_core::settings::{GeodnsSettings, PopSettings};
use nearcast_control::settings::ControlSettings;
use nearcast_daemon::settings::{AccessTarget, AdminSettings, LogSettings, NodeSettings};
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    NodeConfig, Reading,
    check::{self, Elsewhere, Fault, Findings},
    cross, geodns,
    kind::Complaint,
    named,
    problem::{Place, Problem, Report},
    shape::Shape,
    sites::{self, Writer},
    syntax,
    tree::{self, Lines, Node},
};

/// Whether the files that settings name are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Files {
    /// They must be there and hold what they must.
    Looked,
    /// Nothing but the text is looked at.
    Trusted,
}

/// The whole file; its only purpose is the schema that it derives.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "sections are deserialised one by one; this type derives the schema")]
struct NodeFile {
    /// Who this node is and how it uses its machine.
    #[serde(default)]
    node: NodeSettings,
    /// The HTTP side of the node; the node is an edge if this section is there.
    edge: Option<EdgeSettings>,
    /// The DNS side of the node; the node is a GeoDNS server if this section is there.
    geodns: Option<GeodnsSettings>,
    /// The listener for operators: health, metrics and the admin API.
    #[serde(default)]
    admin: AdminSettings,
    /// The ledger, and what operators ask of it over the admin listener.
    #[serde(default)]
    control: ControlSettings,
    /// The operator's log and the access log.
    #[serde(default)]
    log: LogSettings,
    /// A PoP: a place with one or more nodes. One section per PoP.
    #[serde(default, rename = "pop")]
    pops: Vec<PopSettings>,
    /// A site: what a site owner has. One section per site.
    #[serde(default, rename = "site")]
    sites: Vec<SiteSettings>,
}

/// The schema of a node file.
pub(crate) fn schema() -> Value {
    let mut schema = schemars::schema_for!(NodeFile).to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "A Nearcast node file".into());
        root.remove("description");
    }
    schema
}

/// The shape of a node file; it never changes while the program runs.
static SHAPE: LazyLock<Shape> = LazyLock::new(|| Shape::of(&schema()));

/// Checks `text`, which came from `path`.
pub(crate) fn read(text: &str, path: &Path, files: Files) -> Reading {
    let (table, errors) = DeTable::parse_recoverable(text);
    let root = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
    let lines = Lines::of(text);
    let file = path.display().to_string();
    let mut findings = check::check(&SHAPE, &root);
    let told = |faults| report(file, syntax::faults(&errors, faults, &lines), &lines);
    if !syntax::is_whole(&errors) {
        return Reading { result: Err(told(findings.faults)), files: findings.files };
    }
    let base = match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let result = match compose(&root, &mut findings, base, files) {
        Some(config) if findings.faults.is_empty() && errors.is_empty() => Ok(config),
        _ => Err(told(findings.faults)),
    };
    Reading { result, files: findings.files }
}

fn compose(
    root: &Node<'_>,
    findings: &mut Findings,
    base: PathBuf,
    files: Files,
) -> Option<NodeConfig> {
    let node: Option<NodeSettings> = section(root, "node", findings);
    let admin = section(root, "admin", findings);
    let control: Option<ControlSettings> = section(root, "control", findings);
    let log: Option<LogSettings> = section(root, "log", findings);
    let mut edge: Option<EdgeSettings> = sound_part(root, "edge", findings);
    if let Some(edge) = &mut edge
        && tree::find(root, "edge.object_bytes_max").is_none()
    {
        edge.object_bytes_max = edge.object_bytes_max.min(edge.memory);
    }
    let list = tree::find(root, "site").map_or(&[][..], tree::items);
    let sites: Vec<Option<SiteSettings>> =
        (0..list.len()).map(|at| sound_part(root, &tree::item("site", at), findings)).collect();

    cross::roles(root, findings);
    cross::listeners(root, findings);
    if let Some(edge) = &edge {
        cross::edge(root, edge, findings);
    }
    if let Some(log) = &log {
        cross::log(root, log, findings);
    }
    if let Some(control) = &control {
        cross::control(root, control, findings);
    }
    sites::check(root, (edge.as_ref(), Writer::Operator), &sites, findings);
    if files == Files::Looked {
        named::sites(root, &base, &sites, findings);
        if let Some(log) = &log {
            named::log(root, &base, log, findings);
        }
        if let Some(control) = &control {
            named::ledger(root, &base, control, findings);
        }
    }
    let given = geodns::Given { root, base: &base, files, node: node.as_ref() };
    let geodns = geodns::check(&given, findings);
    let mut sites: Vec<SiteSettings> = sites.into_iter().collect::<Option<_>>()?;
    if let Some(geodns) = &geodns {
        sites::answer_under(root, geodns, &mut sites, findings);
    }
    resolve(&mut sites, &base);
    let mut log = log?;
    if let AccessTarget::Path(path) = &mut log.access {
        *path = base.join(&*path);
    }
    let mut control = control?;
    if let Some(path) = &mut control.embedded {
        *path = base.join(&*path);
    }
    if let Some(nats) = &mut control.nats {
        nats.folder = base.join(&nats.folder);
        let files = [&mut nats.credentials, &mut nats.ca, &mut nats.certificate, &mut nats.key];
        for path in files.into_iter().flatten() {
            *path = base.join(&*path);
        }
    }
    // A section that is there must not be missing from what is handed out.
    if geodns.is_none() && tree::find(root, "geodns").is_some() {
        return None;
    }
    Some(NodeConfig { node: node?, edge, geodns, admin: admin?, control, log, sites, base })
}

fn resolve(sites: &mut [SiteSettings], base: &Path) {
    for origin in sites.iter_mut().map(|site| &mut site.origin) {
        let bucket = origin.bucket.as_mut().map(|bucket| &mut bucket.credentials);
        let files = [&mut origin.ca, &mut origin.certificate, &mut origin.key];
        for file in files.into_iter().flatten().chain(bucket) {
            *file = base.join(&*file);
        }
    }
}

/// A section that is at its defaults when the file leaves it out.
fn section<T: DeserializeOwned + Default>(
    root: &Node<'_>,
    path: &str,
    findings: &mut Findings,
) -> Option<T> {
    match tree::find(root, path) {
        Some(_) => sound_part(root, path, findings),
        None => Some(T::default()),
    }
}

/// The part of the file at `path`, as far as it is sound.
pub(crate) fn sound_part<T: DeserializeOwned>(
    root: &Node<'_>,
    path: &str,
    findings: &mut Findings,
) -> Option<T> {
    let faulty = findings.keys.clone();
    part(root, path, &faulty, findings)
}

/// The part of the file at `path`, without what `left_out` names.
pub(crate) fn part<T: DeserializeOwned>(
    root: &Node<'_>,
    path: &str,
    left_out: &BTreeSet<String>,
    findings: &mut Findings,
) -> Option<T> {
    let node = tree::find(root, path)?;
    let value = tree::plain(node, path, left_out)?;
    match T::deserialize(value) {
        Ok(part) => Some(part),
        Err(error) => {
            // What the schema lets through deserialises; where it does not, the schema is too lax,
            // and the operator still gets a message instead of a settings type's surprise.
            if findings.none_within(path) {
                let fault = format!("cannot be used: {}", error.message());
                findings.wrong(path, node, Complaint::new(fault, "what the reference page says"));
            }
            None
        }
    }
}

/// The report of a file that is no text.
pub(crate) fn not_utf8(bytes: &[u8], valid: usize, name: &str) -> Report {
    let text = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default());
    let at = text.len();
    // A character stands in for the bytes that are none, so that the place is theirs.
    let text = format!("{text}?");
    let complaint = Complaint::new("not UTF-8", "text in UTF-8");
    let (span, key) = (at..at, String::new());
    let fault = Fault { span, key, value: None, complaint, missing: false, elsewhere: None };
    report(name.to_owned(), vec![fault], &Lines::of(&text))
}

pub(crate) fn report(file: String, mut faults: Vec<Fault>, lines: &Lines<'_>) -> Report {
    faults.sort_by(|a, b| (a.span.start, &a.key).cmp(&(b.span.start, &b.key)));
    let problem = |fault: Fault| {
        let (file, place) = match fault.elsewhere {
            None => (None, lines.place(fault.span.start)),
            Some(Elsewhere { file, line }) => {
                let line = usize::try_from(line).unwrap_or(usize::MAX);
                (Some(file), Place { line, column: None })
            }
        };
        Problem {
            file,
            place: Some(place),
            key: fault.key,
            value: fault.value,
            fault: fault.complaint.fault,
            allowed: Some(fault.complaint.allowed).filter(|allowed| !allowed.is_empty()),
            advice: fault.complaint.advice,
        }
    };
    Report { file, problems: faults.into_iter().map(problem).collect() }
}
