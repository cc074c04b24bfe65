//! What must hold between the settings of `[geodns]` themselves.
//!
//! In: the tree and what of `[geodns]` is sound. Out: findings.
//! Always: a law is applied only to values that are themselves right, and a default is never
//! blamed where the operator wrote something else.
//! Does not know: zones' content, maps, routes, files.
//! Clause: docs/operate.md *The settings file*.

use std::time::Duration;

use geodns_core::settings::{Believe, CheckKind, CheckSettings};

use super::{Given, Sound, law};
use crate::{check::Findings, cross, kind::Complaint, tree};

/// Checks them all.
pub(super) fn check(given: &Given<'_, '_>, sound: &Sound, findings: &mut Findings) {
    needed(given, findings);
    drain(given, sound, findings);
    tls(given, sound, findings);
    secrets(given, sound, findings);
    checks(given, sound, findings);
    let settings = &sound.settings;
    let log = &settings.query_log;
    let queue = ("geodns.query_log.queue", log.queue);
    cross::not_above(given.root, ("geodns.query_log.buffer", log.buffer), queue, findings);
    let limits = &settings.limits;
    let one = ("geodns.limits.connections_per_network_max", limits.connections_per_network_max);
    let all = ("geodns.limits.connections_max", limits.connections_max);
    cross::never_reached(given.root, one, all, findings);
    let (least, most) = (settings.health.ttl_min, settings.health.ttl_max);
    let (least, most) = (("geodns.health.ttl_min", least), ("geodns.health.ttl_max", most));
    not_longer(given, least, most, findings);
    ttls(given, sound, findings);
    believed(given, sound, findings);
    for problem in settings.unfoldable_networks() {
        law::tell(given.root, &problem.at, &problem.message, findings);
    }
}

/// A server without listeners or zones answers nothing.
fn needed(given: &Given<'_, '_>, findings: &mut Findings) {
    for (key, empty, allowed) in [
        (
            "geodns.listen",
            "nothing to listen on",
            "a list of IP:PORT, as [\"0.0.0.0:53\", \"[::]:53\"]",
        ),
        (
            "geodns.zone",
            "no zone to answer for",
            "at least one [[geodns.zone]] with name = \"ZONE\" and file = \"ZONE-FILE\"",
        ),
    ] {
        if !findings.none_within(key) {
            continue;
        }
        match tree::find(given.root, key) {
            Some(node) if tree::items(node).is_empty() => {
                findings.wrong(key, node, Complaint::new(empty, allowed));
            }
            Some(_) => {}
            None => {
                let node = tree::nearest(given.root, "geodns");
                findings.missing(key, node, Complaint::new("missing", allowed));
            }
        }
    }
}

/// Who answers on for a while must be given that while, and an edge beside it as much again: it ends
/// its exchanges after that.
fn drain(given: &Given<'_, '_>, sound: &Sound, findings: &mut Findings) {
    let Some(node) = given.node else { return };
    let duck = ("geodns.lame_duck", sound.settings.lame_duck);
    let deadline = ("node.drain_deadline", node.drain_deadline);
    let has_edge = tree::find(given.root, "edge").is_some();
    let most = if has_edge { Most::Half } else { Most::All };
    no_more_than(most, given, duck, deadline, findings);
}

/// How much of a duration another may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Most {
    All,
    Half,
}

/// A duration must not be longer than another; the fault is told at one that the operator wrote.
fn not_longer(
    given: &Given<'_, '_>,
    shorter: (&str, Duration),
    longer: (&str, Duration),
    findings: &mut Findings,
) {
    no_more_than(Most::All, given, shorter, longer, findings);
}

/// The same of a part of the other.
fn no_more_than(
    part: Most,
    given: &Given<'_, '_>,
    (key, time): (&str, Duration),
    (other, whole): (&str, Duration),
    findings: &mut Findings,
) {
    let (most, least) = match part {
        Most::All => (whole, time),
        Most::Half => (whole / 2, time.saturating_mul(2)),
    };
    if time <= most || !findings.none_within(key) || !findings.none_within(other) {
        return;
    }
    let (half, twice) = if part == Most::Half { ("half of ", "twice ") } else { ("", "") };
    let shown = |time| humantime::format_duration(time);
    let by_default = |key| if tree::find(given.root, key).is_some() { "" } else { " by default" };
    if let Some(node) = tree::find(given.root, key) {
        let is = shown(whole);
        let fault = format!("longer than {half}{other}, which is {is}{}", by_default(other));
        let complaint = Complaint::new(fault, format!("at most {}", shown(most)));
        findings.wrong(key, node, complaint.advising(format!("lower it or raise {other}")));
    } else if let Some(node) = tree::find(given.root, other) {
        let is = shown(time);
        let fault = format!("shorter than {twice}{key}, which is {is}{}", by_default(key));
        let complaint = Complaint::new(fault, format!("at least {}", shown(least)));
        findings.wrong(other, node, complaint.advising(format!("raise it or lower {key}")));
    }
}

/// A route's TTL that is cut is not what its operator asked for. Who writes none takes what there is.
fn ttls(given: &Given<'_, '_>, sound: &Sound, findings: &mut Findings) {
    let most = ("geodns.health.ttl_max", sound.settings.health.ttl_max);
    for (at, route) in sound.settings.route.iter().enumerate() {
        let key = format!("{}.ttl", tree::item("geodns.route", at));
        if tree::find(given.root, &key).is_some() {
            not_longer(given, (&key, route.ttl), most, findings);
        }
    }
}

/// Encrypted transports need a certificate and its key.
fn tls(given: &Given<'_, '_>, sound: &Sound, findings: &mut Findings) {
    let tls = &sound.settings.tls;
    // As written: a list with a faulty address wants a certificate as well.
    let is_used = |name: &&str| {
        let list = tree::find(given.root, &format!("geodns.tls.{name}"));
        list.is_some_and(|list| !tree::items(list).is_empty())
    };
    let used = ["dot", "doh", "doq"].into_iter().find(is_used);
    for (key, path) in [("certificate", &tls.certificate), ("key", &tls.key)] {
        let other = if key == "key" { &tls.certificate } else { &tls.key };
        let wanted = match (path, used, other) {
            (None, Some(listener), _) => format!("geodns.tls.{listener} needs it"),
            (None, None, Some(_)) => "one is of no use without the other".to_owned(),
            _ => continue,
        };
        let key = format!("geodns.tls.{key}");
        if findings.none_within(&key) {
            let node = tree::nearest(given.root, "geodns.tls");
            let complaint =
                Complaint::new(format!("missing, and {wanted}"), "the path of a PEM file");
            findings.missing(&key, node, complaint);
        }
    }
    let key = "geodns.tls.doh_path";
    if tls.doh_path.contains('?')
        && findings.none_within(key)
        && let Some(node) = tree::find(given.root, key)
    {
        let complaint = Complaint::new("has a query, which the client writes", "a path alone");
        findings.wrong(key, node, complaint);
    }
}

/// Secrets stand in one place, and the second is another.
fn secrets(given: &Given<'_, '_>, sound: &Sound, findings: &mut Findings) {
    let cookies = &sound.settings.cookies;
    let (list, file) = ("geodns.cookies.secrets", "geodns.cookies.secrets_file");
    if cookies.secrets_file.is_some()
        && !cookies.secrets.is_empty()
        && findings.none_within(file)
        && let Some(node) = tree::find(given.root, file)
    {
        let fault = "there are secrets in geodns.cookies.secrets already";
        findings.wrong(file, node, Complaint::new(fault, "one of the two"));
    }
    if let [first, second] = cookies.secrets.as_slice()
        && first == second
        && findings.none_within(list)
    {
        let key = tree::item(list, 1);
        let complaint = Complaint::new("the same secret as the first", "another one, or none");
        findings.wrong_hidden(&key, tree::nearest(given.root, &key), complaint);
    }
}

/// A probe ends before the next one begins, a status is one, and no check stands twice.
fn checks(given: &Given<'_, '_>, sound: &Sound, findings: &mut Findings) {
    for (at, check) in sound.checks.iter().enumerate() {
        let Some(check) = check else { continue };
        let path = tree::item("geodns.check", at);
        let mut before = sound.checks.iter().take(at);
        if let Some(first) = before.position(|other| other.as_ref() == Some(check))
            && findings.none_within(&path)
        {
            let fault = format!("the same as geodns.check[{first}]");
            let complaint = Complaint::new(fault, "each once");
            findings.wrong(&path, tree::nearest(given.root, &path), complaint);
        }
        let (timeout, interval) = (format!("{path}.timeout"), format!("{path}.interval"));
        not_longer(given, (&timeout, check.timeout), (&interval, check.interval), findings);
        reports(given, sound, check, &path, findings);
        // A list with one faulty item is left out, and its other items are judged all the same.
        let list = format!("{path}.status");
        let items = tree::find(given.root, &list).map_or(&[][..], tree::items);
        for (place, item) in items.iter().enumerate() {
            let status = item.get_ref().as_integer().and_then(tree::number);
            if status.is_some_and(|status| !(100..=599).contains(&status)) {
                let complaint = Complaint::new("not a status", "a status from 100 to 599");
                findings.wrong(&tree::item(&list, place), item, complaint);
            }
        }
    }
}

/// A report of load needs an answer that can say it, and another before it is too old.
fn reports(
    given: &Given<'_, '_>,
    sound: &Sound,
    check: &CheckSettings,
    path: &str,
    findings: &mut Findings,
) {
    let (load, interval) = (format!("{path}.load"), format!("{path}.interval"));
    if !check.load {
        return;
    }
    if check.kind == CheckKind::Tcp
        && findings.none_within(&format!("{path}.kind"))
        && let Some(node) = tree::find(given.root, &load)
    {
        let complaint = Complaint::new(
            "of no effect where kind is \"tcp\", which hears no answer",
            "true for kind = \"http\" or \"https\"",
        );
        findings.wrong(&load, node, complaint);
        return;
    }
    let age = ("geodns.health.load_age_max", sound.settings.health.load_age_max);
    not_longer(given, (&interval, check.interval), age, findings);
}

/// A list of resolvers speaks only where it is asked for, and then it must say something.
fn believed(given: &Given<'_, '_>, sound: &Sound, findings: &mut Findings) {
    let subnet = &sound.settings.client_subnet;
    let key = "geodns.client_subnet.resolvers";
    if !findings.none_within("geodns.client_subnet") {
        return;
    }
    let node = tree::nearest(given.root, key);
    match (subnet.believe, subnet.resolvers.is_empty()) {
        (Believe::Listed, true) => {
            let fault = "missing, and believe = \"listed\" speaks of them";
            findings.missing(key, node, Complaint::new(fault, "a list [\"ADDRESS/BITS\", …]"));
        }
        (Believe::All | Believe::None, false) => {
            let fault = "of no effect unless believe = \"listed\"";
            let complaint = Complaint::new(fault, "networks for believe = \"listed\"");
            findings.wrong(key, node, complaint);
        }
        _ => {}
    }
}
