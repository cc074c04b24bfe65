//! What `--wait` waits for where sites of the ledger were written: that every edge serves by them.
//!
//! In: a revision of the catalogue, sites. Out: a line for each change, and why it is not done. It does not
//! know how sites are written.
//! Clause: docs/operate.md *Sites*.

use clap::Args;
use serde_json::Value;

use crate::{
    client::{
        Api,
        waiting::{self, Awaited},
    },
    failure::Failure,
    say::say,
};

/// The longest list of sites that a request names; beyond it all sites are looked at.
const NAMES_BYTES_MAX: usize = 16 * 1024;

/// Whether it is waited for.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Waits until every edge serves by it, 30s unless told otherwise and at most a day; exit code 1 if one
    /// does not, or cannot set it up.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "30s")]
    wait: Option<String>,
}

impl Wait {
    /// Refuses what is no time, before anything is ordered.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.wait.as_deref().map(waiting::time).transpose().map(drop)
    }

    /// Waits, if that is asked, until every edge serves these sites as the catalogue has them at
    /// `revision`; all sites without any. What was said of it is said again as JSON, with how far it is.
    pub(crate) fn wait(
        &self,
        api: &Api,
        (revision, sites): (u64, Option<&[&str]>),
        mut said: Value,
    ) -> Result<(), Failure> {
        let wait = self.wait.as_deref().map(waiting::time).transpose()?;
        let waited = wait.map(|wait| waiting::wait(api, &Serving::new(revision, sites), wait));
        let (told, failure) = match waited {
            None => (Value::Null, None),
            Some(Ok(waited)) => waited,
            // It is written nevertheless, and says so.
            Some(Err(failure)) => (Value::Null, Some(failure)),
        };
        if api.json {
            if wait.is_some() {
                said["progress"] = told["progress"].clone();
            }
            say(&said.to_string())?;
        }
        failure.map_or(Ok(()), Err)
    }
}

/// Sites that are to be served.
struct Serving {
    path: String,
}

impl Serving {
    fn new(revision: u64, sites: Option<&[&str]>) -> Self {
        let sites = sites.map(|sites| sites.join(",")).filter(|it| it.len() <= NAMES_BYTES_MAX);
        let sites = sites.map(|sites| format!("&sites={sites}")).unwrap_or_default();
        Self { path: format!("/v1/catalogue?revision={revision}{sites}") }
    }
}

impl Awaited for Serving {
    fn path(&self, _told: Option<&Value>) -> String {
        self.path.clone()
    }

    fn is_over(&self, told: &Value) -> bool {
        is_complete(told) || told["progress"]["settled"] == true
    }

    fn line(&self, told: &Value) -> String {
        let (all, applied) =
            (nodes(told).count(), nodes(told).filter(|node| applies(node)).count());
        let mut line = match (is_complete(told), all) {
            (true, 0) => "complete: no edge is registered that would have to".to_owned(),
            (true, _) => format!("complete: all {all} edges serve by it"),
            (false, _) => format!("partial: {applied} of {all} edges serve by it"),
        };
        for node in nodes(told).filter(|node| !applies(node)) {
            line.push_str(&format!("\n  {}", plain(&state(node))));
        }
        line
    }

    fn failure(&self, told: &Value) -> Option<Failure> {
        if is_complete(told) {
            return None;
        }
        let late = |is_so: fn(&Value) -> bool| {
            let late = nodes(told).filter(|node| !applies(node) && is_so(node));
            late.map(|node| text(&node["node"])).collect::<Vec<_>>().join(", ")
        };
        let (refused, others) = (late(is_refused), late(|node| !is_refused(node)));
        let stays = "it is in the ledger, and each node serves it as soon as it can";
        Some(if !others.is_empty() {
            Failure::new(format!("not yet served by {others}")).advise(stays)
        } else if !refused.is_empty() {
            Failure::new(format!("refused by {refused}")).advise(
                "what was in force there before goes on; /readyz and the log of the node say more",
            )
        } else {
            let strange =
                "the ledger was made anew, and there may be nodes that it does not know yet";
            Failure::new(strange).advise(stays)
        })
    }
}

fn nodes(told: &Value) -> impl Iterator<Item = &Value> {
    told["progress"]["nodes"].as_array().into_iter().flatten()
}

fn is_complete(told: &Value) -> bool {
    told["progress"]["state"] == "complete"
}

fn applies(node: &Value) -> bool {
    node["applied"] == true
}

fn is_refused(node: &Value) -> bool {
    node["refused"].is_array() || node["refused_more"].is_u64()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a node says of itself, as one line that does not steer a terminal.
fn plain(text: &str) -> String {
    let turns = |character| {
        let turns = ['\u{61c}', '\u{200e}', '\u{200f}'];
        let turns_all = ('\u{2028}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
        turns.into_iter().chain(turns_all).any(|one| one == character)
    };
    text.chars().filter(|character| !character.is_control() && !turns(*character)).collect()
}

/// Why a node does not serve it.
fn state(node: &Value) -> String {
    let name = text(&node["node"]);
    if let Some(why) = node["unreadable"].as_str() {
        return format!("{name:<12} not known: {why}");
    }
    if node["contested"] == true {
        return format!("{name:<12} not known: other processes go by its name");
    }
    if is_refused(node) {
        let refused = node["refused"].as_array().into_iter().flatten();
        let why = |refused: &Value| match (text(&refused["why"]), text(&refused["site"])) {
            ("", site) => format!("site {site}"),
            (why, _) => why.to_owned(),
        };
        let mut reasons: Vec<String> = refused.map(why).collect();
        reasons.extend(node["refused_more"].as_u64().map(|more| format!("{more} more sites")));
        return format!("{name:<12} refused: {}", reasons.join("; "));
    }
    if node["unkept"] == true {
        return format!("{name:<12} not yet: its disk does not take it, see its log");
    }
    match text(&node["state"]) {
        "away" => format!("{name:<12} away; gone for good? nearcast node remove"),
        _ if node["silent"] == true => {
            format!("{name:<12} does not say what it serves; is it of an older version?")
        }
        "unknown" => format!("{name:<12} not known: not heard of yet by the node that is asked"),
        _ => format!("{name:<12} not yet"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_does_not_serve_it_is_named_with_why() {
        let told = |state: &str, nodes: &[Value]| json!({ "progress": { "state": state, "nodes": nodes } });
        let good = json!({ "node": "fra-1", "state": "here", "applied": true });
        let away = json!({ "node": "sin-1", "state": "away", "applied": false });
        let why = "no such\u{1b}[2J\n\u{202e} network";
        let refuses = json!({
            "node": "nyc-1", "state": "here", "applied": false, "refused_more": 2,
            "refused": [{ "site": "shop", "why": why }],
        });
        let serving = Serving::new(7, Some(&["shop", "blog"]));
        assert_eq!(serving.path(None), "/v1/catalogue?revision=7&sites=shop,blog");
        let all = told("complete", std::slice::from_ref(&good));
        assert_eq!(serving.line(&all), "complete: all 1 edges serve by it");
        assert!(serving.is_over(&all) && serving.failure(&all).is_none());
        let late = told("partial", &[good.clone(), away, refuses.clone()]);
        let line = serving.line(&late);
        let lines: Vec<&str> = line.lines().collect();
        assert_eq!(lines[0], "partial: 1 of 3 edges serve by it");
        assert_eq!(lines[1], "  sin-1        away; gone for good? nearcast node remove");
        assert_eq!(lines[2], "  nyc-1        refused: no such[2J network; 2 more sites");
        assert!(!serving.is_over(&late));
        assert!(serving.failure(&late).unwrap().to_string().contains("not yet served by sin-1"));
        let mut refused = told("partial", &[good, refuses]);
        refused["progress"]["settled"] = json!(true);
        assert!(serving.is_over(&refused));
        let failure = serving.failure(&refused).unwrap();
        assert!(failure.to_string().starts_with("refused by nyc-1"), "{failure}");
        let strange = serving.failure(&told("partial", &[])).unwrap();
        assert!(strange.to_string().contains("made anew"), "{strange}");
    }
}
