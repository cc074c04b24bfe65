//! How problems that the DNS law reports become findings.
//!
//! In: a key path and the law's message. Out: a finding at that key, the message split into what is
//! wrong and what is allowed, so that it reads like the checker's own.
//! Always: a key that has a fault already gets no other; a value is not said twice; nothing that a
//! file holds acts on the operator's terminal.
//! Does not know: which builder the problem came from.
//! Clause: CONTRIBUTING.md *Errors*.

use geodns_core::zonefile::fault::Fault;

use crate::{
    check::{self, Findings},
    kind::Complaint,
    problem::harmless,
    tree::{self, Node},
};

/// Notes a problem at `key`, or, where nothing stands there, at the nearest part that does.
pub(super) fn tell(root: &Node<'_>, key: &str, message: &str, findings: &mut Findings) {
    if !findings.none_within(key) {
        return;
    }
    if let Some(node) = tree::find(root, key) {
        findings.wrong(key, node, reworded(message, tree::string(node)));
        return;
    }
    let complaint = reworded(message, None);
    let complaint = if message.starts_with("at least ") {
        Complaint::new("missing", complaint.fault)
    } else {
        // What is left out has its default, which the law names.
        Complaint { fault: format!("missing, and by default {}", complaint.fault), ..complaint }
    };
    findings.missing(key, tree::nearest(root, key), complaint);
}

/// What a zone's fault says.
pub(super) fn of_zone(fault: &Fault) -> Complaint {
    let what = harmless(&fault.what);
    let is_quote = what.starts_with('"') && what.ends_with('"');
    let what = if is_quote { format!("{what} cannot stand here") } else { what };
    Complaint::new(what, harmless(&fault.allowed))
}

/// `"v" is not a PoP (have: a, b)` becomes the fault `"v" is not a PoP`, allowed `a, b`; where a
/// key's value `v` is shown anyway, `not a PoP`.
pub(super) fn reworded(message: &str, value: Option<&str>) -> Complaint {
    let said = value.map(|value| format!("\"{value}\" "));
    let rest = said.and_then(|said| message.strip_prefix(&said));
    let (subject, rest) = match rest {
        Some(rest) => (String::new(), rest),
        None => match message.split_once("\" is not ") {
            Some((subject, _)) if message.starts_with('"') => {
                let rest = message.get(subject.len()..).unwrap_or_default();
                (format!("{subject}\" is "), rest.trim_start_matches("\" "))
            }
            _ => (String::new(), message),
        },
    };
    let Some(wanted) = rest.strip_prefix("is not ") else {
        return Complaint::new(harmless(rest), "");
    };
    let not = |what: &str| harmless(&format!("{subject}not {what}"));
    if let Some((what, have)) = wanted.split_once(" (have: ") {
        let have = have.trim_end_matches(')');
        let complaint = Complaint::new(not(what), harmless(have));
        let near = value.and_then(|value| check::did_you_mean(value, have.split(", ")));
        return match near {
            Some(near) => complaint.advising(format!("did you mean \"{near}\"?")),
            None => complaint,
        };
    }
    let what = wanted.split([',', ':']).next().unwrap_or(wanted);
    let allowed = if what == wanted { String::new() } else { harmless(wanted) };
    Complaint::new(not(what), allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_the_law_reads_like_the_checker_s_own() {
        for (message, value, fault, allowed, advice) in [
            (
                "\"frs\" is not a PoP (have: fra, ams)",
                Some("frs"),
                "not a PoP",
                "fra, ams",
                Some("did you mean \"fra\"?"),
            ),
            ("\"x\" is not a route", Some("x"), "not a route", "", None),
            (
                "\"tokyo\" is not a PoP of this map (have: fra, sin)",
                None,
                "\"tokyo\" is not a PoP of this map",
                "fra, sin",
                None,
            ),
            (
                "\"D\" is not a country's two letters, as \"DE\"",
                Some("D"),
                "not a country's two letters",
                "a country's two letters, as \"DE\"",
                None,
            ),
            (
                "\"fra\" is the name of pop[0] as well",
                Some("fra"),
                "is the name of pop[0] as well",
                "",
                None,
            ),
            ("it stands there already", None, "it stands there already", "", None),
            ("\"a\u{1b}\" is odd", None, "\"a\\u{1b}\" is odd", "", None),
        ] {
            let complaint = reworded(message, value);
            assert_eq!((&*complaint.fault, &*complaint.allowed), (fault, allowed), "{message}");
            assert_eq!(complaint.advice.as_deref(), advice, "{message}");
        }
    }
}
