//! A site by itself, as it is sent to the ledger: the same checks, with the same words, as if it
//! stood in a node file.
//!
//! In: a text with one `[[site]]`, or the table as JSON; what it stands beside. Out: the site's
//! settings, or a [`Report`]. Always: what passes here a node with these settings can serve; such a
//! site names no file, since files are of one node and the ledger is of all.
//! Does not know: which other sites there are, but those of the node file.
//! Clause: docs/operate.md *Sites*.

mod join;
mod split;

use std::{collections::BTreeSet, sync::LazyLock};

use edge_core::settings::{EdgeSettings, SiteSettings};
use geodns_core::wire::name::Name;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

pub use self::{
    join::{Checks, LeftOut, Sent},
    split::{Part, split},
};
use crate::{
    NodeConfig,
    check::{self, Findings},
    compose,
    kind::Complaint,
    problem::{Problem, Report},
    shape::Shape,
    sites::{self, Writer},
    syntax,
    tree::{self, Lines, Node},
};

/// Keys of a site that name a file.
const FILES: [&str; 4] =
    ["origin.ca", "origin.certificate", "origin.key", "origin.bucket.credentials"];

/// A text with sites alone; its only purpose is the schema that it derives.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a site is deserialised by itself; this type derives the schema")]
struct SitesFile {
    /// A site: what a site owner has. One section per site.
    #[serde(rename = "site")]
    sites: Vec<SiteSettings>,
}

static SHAPE: LazyLock<Shape> =
    LazyLock::new(|| Shape::of(&schemars::schema_for!(SitesFile).to_value()));

/// What a site stands beside on a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside {
    edge: Option<EdgeSettings>,
    under: Option<Under>,
}

/// The zone under which sites answer.
#[derive(Clone, Debug, PartialEq)]
struct Under {
    apex: Name,
    /// Names that are something else there.
    taken: BTreeSet<String>,
}

impl Beside {
    /// What sites of this node stand beside.
    #[must_use]
    pub fn of(config: &NodeConfig) -> Self {
        let under = config.geodns.as_ref().and_then(|geodns| {
            let zone = geodns.zones.first()?;
            let route = geodns.routes.iter().find(|(_, route)| route.sites)?.0;
            let others = zone.generated.iter().filter(|(_, names)| names.route != route);
            let owners = zone.records.iter().map(|record| plain(&record.owner));
            let taken = owners.chain(others.map(|(name, _)| plain(name))).collect();
            Some(Under { apex: zone.apex.clone(), taken })
        });
        Self { edge: config.edge.clone(), under }
    }

    /// The host under which a site answers beside its own, if it does.
    #[must_use]
    pub fn host_of(&self, name: &str) -> Option<String> {
        self.under.as_ref().map(|under| format!("{name}.{}", plain(&under.apex)))
    }

    /// Checks a TOML text that is called `called`. What comes out answers under the zone as well.
    ///
    /// # Errors
    /// Every problem of it.
    pub fn check(&self, text: &str, called: &str) -> Result<SiteSettings, Report> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let root = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
        let lines = Lines::of(text);
        let mut findings = check::check(&SHAPE, &root);
        let whole = syntax::is_whole(&errors);
        let site = if whole { self.site(&root, &mut findings) } else { None };
        match site.filter(|_| findings.faults.is_empty() && errors.is_empty()) {
            Some(site) => Ok(site),
            None => {
                let faults = syntax::faults(&errors, findings.faults, &lines);
                Err(compose::report(called.to_owned(), faults, &lines))
            }
        }
    }

    /// Checks what a `[[site]]` says, given as JSON; with it comes its TOML text. Problems name keys
    /// and no lines, since nobody has seen any.
    ///
    /// # Errors
    /// Every problem of it.
    pub fn check_json(
        &self,
        value: &Value,
        called: &str,
    ) -> Result<(String, SiteSettings), Report> {
        let text = to_toml(value).map_err(|fault| crate::unread(called, fault))?;
        match self.check(&text, called) {
            Ok(site) => Ok((text, site)),
            Err(Report { file, problems }) => {
                let without_place = |problem| Problem { place: None, ..problem };
                Err(Report { file, problems: problems.into_iter().map(without_place).collect() })
            }
        }
    }

    fn site(&self, root: &Node<'_>, findings: &mut Findings) -> Option<SiteSettings> {
        let items = tree::find(root, "site").map_or(&[][..], tree::items);
        if items.len() > 1 {
            let key = tree::item("site", 1);
            let fault = "a second site, and each is written by itself";
            let complaint = Complaint::new(fault, "one [[site]]");
            findings.wrong(&key, tree::nearest(root, &key), complaint);
            return None;
        }
        let first = tree::item("site", 0);
        let Some(table) = items.first() else {
            if findings.none_within("site") {
                findings.missing("site", root, Complaint::new("missing", "one [[site]]"));
            }
            return None;
        };
        let mut sites = [compose::sound_part::<SiteSettings>(root, &first, findings)];
        for file in FILES {
            let key = format!("{first}.{file}");
            if let Some(node) = tree::find(root, &key).filter(|_| findings.none_within(&key)) {
                let fault = "names a file, and a site in the ledger is of all nodes";
                let complaint = Complaint::new(fault, "none; or the site in each node's file");
                findings.wrong(&key, node, complaint);
            }
        }
        sites::check(root, (self.edge.as_ref(), Writer::Anybody), &sites, findings);
        let mut site = sites.first_mut().and_then(Option::take)?;
        self.answer_under(&first, table, &mut site, findings);
        Some(site)
    }

    /// It answers under the zone as well, unless its name is something else there.
    fn answer_under(
        &self,
        path: &str,
        table: &Node<'_>,
        site: &mut SiteSettings,
        findings: &mut Findings,
    ) {
        let (Some(under), Some(host)) = (&self.under, self.host_of(&site.name)) else { return };
        let key = format!("{path}.name");
        let name = tree::find(table, "name").unwrap_or(table);
        let wrong = match Name::parse(site.name.as_bytes(), Some(under.apex.as_ref())) {
            Err(_) => Some(format!("too long a name below {}", under.apex)),
            Ok(_) if under.taken.contains(&host) => {
                Some(format!("its name {host}. is something else in the zone"))
            }
            Ok(_) => None,
        };
        if let Some(fault) = wrong {
            findings.wrong(&key, name, Complaint::new(fault, "another name"));
            return;
        }
        let is_it = |own: &String| fold(own) == host;
        if !site.hosts.iter().any(is_it) {
            site.hosts.push(host);
        }
    }
}

/// A name in lower case, without its trailing dot.
fn plain(name: &Name) -> String {
    fold(&name.to_string())
}

/// A host as it is compared.
fn fold(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// The TOML text of a `[[site]]` that says the same as a JSON object.
fn to_toml(value: &Value) -> Result<String, String> {
    if !value.is_object() {
        return Err("not an object; allowed: what a [[site]] says".to_owned());
    }
    let site = toml::Value::try_from(value).map_err(|error| format!("not TOML's: {error}"))?;
    let sites = toml::Value::Array(vec![site]);
    let file = toml::Table::from_iter([("site".to_owned(), sites)]);
    toml::to_string(&file).map_err(|error| format!("not TOML's: {error}"))
}

#[cfg(test)]
mod tests;
