//! What must hold of every visit.
//!
//! In: a visit, the library's record. Out: which invariant is broken, if one is.
//! Always holds: a client that left is judged by what it had read.

use std::{collections::HashMap, time::Duration};

use edge_core::purge::Mode;

use super::clients::Visit;
use nearcast_tests::world::model::{self, Class, Identity, Library, STALE_ON_FAILURE};

/// Dates are whole seconds, and so are lifetimes.
const ROUNDING: Duration = Duration::from_secs(1);

/// What must not be served any more: the version that an unsafe request, or a purge, has left behind.
#[derive(Default)]
pub(crate) struct Floors {
    /// By host and target: when somebody knew (sequence), and the version.
    known: Known,
    /// The same for what must not be served as fresh.
    stale: Known,
}

type Known = HashMap<(String, String), Vec<(u64, usize)>>;

impl Floors {
    /// Notes what a visit has changed.
    pub(crate) fn note(&mut self, visit: &Visit, library: &Library) {
        let unsafe_method = matches!(visit.wish.method, "POST" | "DELETE");
        if unsafe_method && visit.answer.status() == 200 {
            let version = visit.answer.field("x-version").and_then(|v| v.parse().ok());
            let key = (visit.wish.host.to_owned(), visit.wish.target.clone());
            self.known.entry(key).or_default().push((visit.last, version.unwrap_or(0)));
            // Its answer invalidates its group; what was current when it was asked is known to be older.
            let group = model::group(&visit.wish.target);
            let is_of_group =
                |host: &str, target: &str| host == visit.wish.host && model::group(target) == group;
            for (host, target) in library.pages(is_of_group) {
                let version = library.version_at(&host, &target, visit.began);
                self.known.entry((host, target)).or_default().push((visit.last, version));
            }
        }
    }

    /// Notes a purge that was applied by `now`.
    pub(crate) fn purged(
        &mut self,
        page: (String, String),
        mode: Mode,
        (now, version): (u64, usize),
    ) {
        let known = match mode {
            Mode::Hard => &mut self.known,
            Mode::Soft => &mut self.stale,
        };
        known.entry(page).or_default().push((now, version));
    }

    fn at(known: &Known, visit: &Visit) -> usize {
        let key = (visit.wish.host.to_owned(), visit.wish.target.clone());
        let known = known.get(&key).map(Vec::as_slice).unwrap_or_default();
        known.iter().filter(|(when, _)| *when < visit.first).map(|(_, v)| *v).max().unwrap_or(0)
    }
}

/// What our member of Cache-Status says.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) hit: bool,
    pub(crate) forward: bool,
    pub(crate) collapsed: bool,
    pub(crate) ttl: Option<i64>,
    pub(crate) detail: Option<String>,
}

pub(crate) fn said(visit: &Visit) -> Option<Said> {
    let field = visit.answer.field("cache-status")?;
    let mut said = Said::default();
    for word in field.split(';').map(str::trim) {
        match word.split_once('=').unwrap_or((word, "")) {
            ("hit", _) => said.hit = true,
            ("fwd", _) => said.forward = true,
            ("collapsed", _) => said.collapsed = true,
            ("ttl", value) => said.ttl = value.parse().ok(),
            ("detail", value) => said.detail = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(said)
}

/// Judges one visit.
pub(crate) fn judge(visit: &Visit, library: &Library, floors: &Floors) -> Result<(), String> {
    if let Some(fault) = &visit.fault {
        return Err(format!("the answer is no HTTP: {fault}"));
    }
    if visit.answer.head.is_none() {
        // Content that breaks off before its first octet takes the head with it.
        let broken = library.was_cut(visit.wish.host, &visit.wish.target);
        return if visit.left || broken { Ok(()) } else { Err("no answer".to_owned()) };
    }
    let status = visit.answer.status();
    let Some(said) = said(visit) else {
        // RFC 9211 §2: it speaks of responses of the origin, not of our own errors.
        let own = matches!(status, 502..=504) && visit.answer.field("etag").is_none();
        return if own { Ok(()) } else { Err("no Cache-Status".to_owned()) };
    };
    consistent(visit, &said, library)?;
    if matches!(status, 500 | 502..=504) {
        return Ok(());
    }
    if matches!(visit.wish.method, "POST" | "DELETE") {
        return if status == 200 { Ok(()) } else { Err(format!("status {status}")) };
    }
    match status {
        200 => {}
        206 | 416 if visit.wish.range.is_some() => {}
        304 if visit.wish.etag.is_some() => {}
        _ => return Err(format!("status {status} was not asked for")),
    }
    if status == 416 {
        return Ok(());
    }
    let etag = visit.answer.field("etag").ok_or("no ETag")?;
    let identity = Identity::of(&etag).ok_or("a foreign ETag")?;
    belongs(visit, &identity)?;
    content(visit, &identity)?;
    let floor = Floors::at(&floors.known, visit);
    if identity.version < floor {
        return Err(format!("version {} after version {floor} was announced", identity.version));
    }
    // What a soft purge has left may stand in as stale, and nobody else's forward brings it.
    let floor = Floors::at(&floors.stale, visit);
    let as_fresh = said.hit && said.ttl.is_none_or(|ttl| ttl > 0) || said.collapsed;
    if identity.version < floor && as_fresh && said.detail.is_none() {
        return Err(format!("version {} as fresh after a purge at {floor}", identity.version));
    }
    age(visit, &identity, &said, library)
}

/// Cache-Status agrees with what the origins saw.
fn consistent(visit: &Visit, said: &Said, library: &Library) -> Result<(), String> {
    let saw = library.saw(&visit.wish.id);
    if said.hit == said.forward {
        return Err(format!("neither hit nor forward, or both: {said:?}"));
    }
    let refreshes = said.ttl.is_some_and(|ttl| ttl <= 0);
    if said.hit && saw > 0 && !refreshes {
        return Err(format!("a hit that asked the origin {saw} times"));
    }
    let plain =
        said.detail.as_deref().is_none_or(|detail| matches!(detail, "invalidated" | "purged"));
    let answered = matches!(visit.answer.status(), 200 | 206 | 304) && plain;
    if said.forward && !said.collapsed && answered && saw == 0 {
        return Err("a forward that the origin never saw".to_owned());
    }
    Ok(())
}

fn belongs(visit: &Visit, identity: &Identity) -> Result<(), String> {
    let wish = &visit.wish;
    let variant = if wish.target.starts_with("/v") { wish.lang } else { "" };
    let own = identity.host == wish.host && identity.target == wish.target;
    if own && identity.variant == variant { Ok(()) } else { Err(format!("got {identity:?}")) }
}

fn content(visit: &Visit, identity: &Identity) -> Result<(), String> {
    let answer = &visit.answer;
    if visit.wish.method == "HEAD" || answer.status() == 304 {
        return if answer.body.is_empty() {
            Ok(())
        } else {
            Err("content without leave".to_owned())
        };
    }
    let whole = identity.content();
    let expected = match answer.status() {
        206 => {
            let range = visit.wish.range.as_deref().unwrap_or_default();
            let (first, last) = model::span(range, whole.len()).ok_or("206 for a bad range")?;
            let said = format!("bytes {first}-{last}/{}", whole.len());
            if answer.field("content-range").as_deref() != Some(said.as_str()) {
                return Err(format!(
                    "Content-Range {:?}, not {said}",
                    answer.field("content-range")
                ));
            }
            &whole[first..=last]
        }
        _ => &whole[..],
    };
    if !expected.starts_with(&answer.body) {
        return Err(format!("{} octets of other content", answer.body.len()));
    }
    if answer.whole() && !visit.left && answer.body.len() != expected.len() {
        return Err(format!("{} of {} octets taken for all", answer.body.len(), expected.len()));
    }
    Ok(())
}

/// No response is older than its lifetime and the allowance that goes with how it was served.
fn age(visit: &Visit, identity: &Identity, said: &Said, library: &Library) -> Result<(), String> {
    let Some(superseded) = library.superseded(identity) else { return Ok(()) };
    let late = visit.began.saturating_duration_since(superseded);
    let class = model::class(&visit.wish.target);
    let allowed = allowance(visit, &class, said);
    if late > allowed {
        return Err(format!(
            "version {} is {late:?} too old, {allowed:?} are allowed",
            identity.version
        ));
    }
    if !class.stored && said.hit {
        return Err("a hit on what may not be stored".to_owned());
    }
    Ok(())
}

fn allowance(visit: &Visit, class: &Class, said: &Said) -> Duration {
    let seconds = Duration::from_secs;
    let fresh = seconds(class.fresh) + ROUNDING;
    let max_stale =
        if visit.wish.fields.contains("max-stale") { seconds(20) } else { Duration::ZERO };
    let may_stale = class.failing > 0 || class.refreshing > 0;
    // What stands in for want of memory is as stale as what does for an origin that fails.
    let stands_in = said.hit && said.detail.as_deref() == Some("memory");
    match said.detail.as_deref() {
        detail if stands_in || detail == Some("stale-on-failure") => {
            fresh + seconds(class.failing.max(STALE_ON_FAILURE.min(class.failing)))
        }
        // Who waited for another's forward gets only what might be reused for it.
        _ if (said.hit || said.collapsed) && said.ttl.is_some_and(|ttl| ttl < 0) => {
            fresh + seconds(class.refreshing) + if may_stale { max_stale } else { Duration::ZERO }
        }
        _ if said.hit || said.collapsed => fresh,
        _ => Duration::ZERO,
    }
}

/// A visit in one line.
pub(crate) fn tell(visit: &Visit) -> String {
    let wish = &visit.wish;
    format!(
        "{} {} http://{}{} lang={} range={:?} etag={:?} fields={:?} {:?} {:?} ago: {} {:?} etag={:?}, {} octets{}{}",
        wish.id,
        wish.method,
        wish.host,
        wish.target,
        wish.lang,
        wish.range,
        wish.etag,
        wish.fields,
        wish.manner,
        visit.began.elapsed(),
        visit.answer.status(),
        visit.answer.field("cache-status"),
        visit.answer.field("etag"),
        visit.answer.body.len(),
        if visit.answer.cut { ", cut" } else { "" },
        if visit.left { ", left" } else { "" },
    )
}
