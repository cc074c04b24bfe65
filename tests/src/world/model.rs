//! The simulated origins: what they publish, how they fail, and what they were asked.
//!
//! In: requests by way of [`super::origin`], the weather. Out: replies whose content says whose it
//! is, and the record that a simulation judges the edge by.
//! Always holds: an ETag names host, target, variant and version, and all content follows from it
//! byte by byte; what happened is told apart by sequence numbers, because much happens at one
//! instant of a paused clock.
//! It deliberately shares no law with the edge: the few lifetimes are written down again here.
//! Clause: CONTRIBUTING.md *Tests*.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use edge_core::time::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    dice::{Dice, mix},
    origin::{Asked, Done, Reply},
};
use crate::theatre::paused::opening;

/// What a path promises; its first letter says which.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    /// The Cache-Control that is sent.
    pub control: &'static str,
    /// Seconds fresh.
    pub fresh: u64,
    /// Further seconds that it may be served while it is refreshed.
    pub refreshing: u64,
    /// Further seconds that it may stand in for a failure.
    pub failing: u64,
    /// Whether it may be stored at all.
    pub stored: bool,
}

/// `stale_on_failure` of the simulated sites, in seconds.
pub const STALE_ON_FAILURE: u64 = 30;

/// The class of a target.
#[must_use]
pub fn class(target: &str) -> Class {
    let class = |control, fresh, refreshing, failing, stored| Class {
        control,
        fresh,
        refreshing,
        failing,
        stored,
    };
    match target.as_bytes().get(1).copied().unwrap_or(b'a') {
        b'm' => class("max-age=5, must-revalidate", 5, 0, 0, true),
        b'w' => class("max-age=5, stale-while-revalidate=10", 5, 10, STALE_ON_FAILURE, true),
        b'e' => class("max-age=5, stale-if-error=60", 5, 0, 60, true),
        b'n' => class("no-store", 0, 0, 0, false),
        b'c' => class("no-cache", 0, 0, 0, true),
        b'v' => class("max-age=20", 20, 0, STALE_ON_FAILURE, true),
        b'b' => class("max-age=30", 30, 0, STALE_ON_FAILURE, true),
        b's' => class("max-age=100, s-maxage=4", 4, 0, 0, true),
        _ => class("max-age=10", 10, 0, STALE_ON_FAILURE, true),
    }
}

/// The tags of a target, separated by spaces: its class, and that of its number.
#[must_use]
pub fn tags(target: &str) -> String {
    format!("{} {}", target.get(1..2).unwrap_or_default(), group(target))
}

/// The group of a target: by its number.
#[must_use]
pub fn group(target: &str) -> String {
    format!("g{}", target.get(2..3).unwrap_or_default())
}

/// What a representation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The host that it was published at.
    pub host: String,
    /// Its target there.
    pub target: String,
    /// Which variant.
    pub variant: String,
    /// Which version.
    pub version: usize,
}

impl Identity {
    /// As an entity tag.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("\"{}|{}|{}|{}\"", self.host, self.target, self.variant, self.version)
    }

    /// Reads an entity tag.
    #[must_use]
    pub fn of(etag: &str) -> Option<Self> {
        let mut words = etag.trim_matches('"').split('|').map(str::to_owned);
        let (host, target, variant) = (words.next()?, words.next()?, words.next()?);
        let version = words.next()?.parse().ok()?;
        Some(Self { host, target, variant, version })
    }

    fn seed(&self) -> u64 {
        self.etag().bytes().fold(7, |seed, byte| mix(seed ^ u64::from(byte)))
    }

    /// The content.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        let mut dice = Dice::new(self.seed());
        let length = match self.target.as_bytes().get(1) {
            Some(b'b') => 20_000 + dice.below(100_000),
            _ => 1 + dice.below(3_000),
        };
        let words = length.div_ceil(8);
        let mut content: Vec<u8> = (0..words).flat_map(|_| dice.roll().to_be_bytes()).collect();
        content.truncate(usize::try_from(length).unwrap_or(0));
        content
    }
}

/// How likely origins fail, in percent of requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// They answer 500 or 503.
    pub errors: u64,
    /// They close without a word.
    pub closes: u64,
    /// They break off in the content.
    pub cuts: u64,
    /// They think for some seconds.
    pub slow_heads: u64,
    /// They pause between pieces.
    pub slow_contents: u64,
}

/// A representation's history and what goes on with it.
#[derive(Default)]
struct Page {
    /// When each version but the first began.
    since: Vec<Instant>,
    /// When an unsafe request was last obeyed, or its answer sent: the edge learns of it only then.
    changed: Option<Instant>,
    /// When a 5xx or a break was last sent.
    trouble: Option<Instant>,
    /// A reply was broken off.
    cut: bool,
    /// Shareable replies on their way.
    flights: Vec<Flight>,
}

/// A shareable reply on its way.
struct Flight {
    number: u64,
    variant: String,
    since: Instant,
    /// Until when it may be joined: before its head by anyone, later while it may be reused.
    until: Instant,
    client: String,
}

/// All that the origins know.
#[derive(Default)]
pub struct Library {
    pages: Mutex<HashMap<(String, String), Page>>,
    weather: Mutex<Weather>,
    dice: Mutex<Option<Dice>>,
    sequence: AtomicU64,
    /// How often each client's request was seen, by its X-Client.
    seen: Mutex<HashMap<String, u64>>,
    /// Forwards that should have joined another.
    uncollapsed: Mutex<Vec<String>>,
}

/// After trouble a key may be remembered as uncacheable for this long.
pub const TROUBLE_REMEMBERED: Duration = Duration::from_secs(6);

impl Library {
    /// The library of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Arc<Self> {
        let library = Self::default();
        *library.dice.lock() = Some(Dice::new(seed));
        Arc::new(library)
    }

    /// The next sequence number.
    pub fn tick(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// How often the origins saw this client's request.
    pub fn saw(&self, client: &str) -> u64 {
        self.seen.lock().get(client).copied().unwrap_or(0)
    }

    /// Forwards so far that should have joined another.
    pub fn uncollapsed(&self) -> Vec<String> {
        self.uncollapsed.lock().clone()
    }

    /// Changes the weather.
    pub fn turn(&self, weather: Weather) {
        *self.weather.lock() = weather;
    }

    /// Publishes a new version, without telling anybody.
    pub fn publish(&self, host: &str, target: &str) {
        let mut pages = self.pages.lock();
        pages.entry((host.to_owned(), target.to_owned())).or_default().since.push(Instant::now());
    }

    /// A purge of what `meant` says, of pages by host and target, was applied: what was under way
    /// before may not be joined any more. Out come the pages.
    pub fn purged(&self, meant: impl Fn(&str, &str) -> bool) -> Vec<(String, String)> {
        let mut pages = self.pages.lock();
        let pages = pages.iter_mut().filter(|((host, target), _)| meant(host, target));
        let mut found = Vec::new();
        for (key, page) in pages {
            page.changed = Some(Instant::now());
            found.push(key.clone());
        }
        found
    }

    /// Pages that `meant` says, by host and target.
    pub fn pages(&self, meant: impl Fn(&str, &str) -> bool) -> Vec<(String, String)> {
        let pages = self.pages.lock();
        pages.keys().filter(|(host, target)| meant(host, target)).cloned().collect()
    }

    /// The version that was current at a moment.
    pub fn version_at(&self, host: &str, target: &str, moment: Instant) -> usize {
        let pages = self.pages.lock();
        let page = pages.get(&(host.to_owned(), target.to_owned()));
        page.map_or(0, |page| page.since.iter().filter(|since| **since <= moment).count())
    }

    /// The version that is current.
    pub fn version(&self, host: &str, target: &str) -> usize {
        let pages = self.pages.lock();
        pages.get(&(host.to_owned(), target.to_owned())).map_or(0, |page| page.since.len())
    }

    /// Whether a reply for this was ever broken off.
    pub fn was_cut(&self, host: &str, target: &str) -> bool {
        let pages = self.pages.lock();
        pages.get(&(host.to_owned(), target.to_owned())).is_some_and(|page| page.cut)
    }

    /// When a version ceased to be current, if it did.
    pub fn superseded(&self, identity: &Identity) -> Option<Instant> {
        let pages = self.pages.lock();
        let page = pages.get(&(identity.host.clone(), identity.target.clone()))?;
        page.since.get(identity.version).copied()
    }

    fn roll(&self) -> Dice {
        let mut dice = self.dice.lock();
        let seed = dice.as_mut().map_or(0, Dice::roll);
        Dice::new(seed)
    }

    /// Answers a request.
    pub fn answer(self: &Arc<Self>, asked: &Asked, began: Instant) -> Reply {
        if let Some(client) = asked.field("x-client") {
            *self.seen.lock().entry(client.to_owned()).or_default() += 1;
        }
        let mut dice = self.roll();
        let weather = *self.weather.lock();
        let host = asked.field("host").unwrap_or_default().to_owned();
        let key = (host.clone(), asked.target.clone());
        let mut reply = Reply::default();
        if dice.percent(weather.slow_heads) {
            reply.delay = Duration::from_millis(dice.below(20_000));
        }
        if dice.percent(weather.closes) {
            self.note(&key, |page| page.trouble = Some(Instant::now() + Duration::from_secs(20)));
            return reply;
        }
        if dice.percent(weather.errors) {
            self.note(&key, |page| page.trouble = Some(Instant::now() + Duration::from_secs(20)));
            let status = if dice.percent(50) { "500 Oops" } else { "503 Busy" };
            reply.head = head(status, &[("Content-Length", "4")], began);
            reply.content = b"oops".to_vec();
            return reply;
        }
        if asked.method != "GET" && asked.method != "HEAD" {
            let version = self.note(&key, |page| {
                page.since.push(Instant::now());
                page.changed = Some(Instant::now());
                page.since.len()
            });
            let (library, own) = (Arc::clone(self), group(&asked.target));
            let invalidate = move |library: &Self| {
                let is_own = |of: &str, target: &str| of == key.0 && group(target) == own;
                library.purged(is_own);
            };
            invalidate(self);
            reply.done = Some(Done::new(move || invalidate(&library)));
            let (version, own) = (version.to_string(), format!("\"{}\"", group(&asked.target)));
            let fields = [
                ("X-Version", version.as_str()),
                ("Cache-Group-Invalidation", own.as_str()),
                ("Content-Length", "0"),
            ];
            reply.head = head("200 OK", &fields, began);
            return reply;
        }
        if dice.percent(weather.slow_contents) {
            reply.pause = Duration::from_millis(dice.below(2_000));
        }
        let lang = asked.field("x-lang").unwrap_or_default();
        let variant = if asked.target.starts_with("/v") { lang } else { "" };
        let version = self.note(&key, |page| page.since.len());
        let identity =
            Identity { host, target: asked.target.clone(), variant: variant.to_owned(), version };
        self.represent(asked, &identity, &mut reply, began);
        if dice.percent(weather.cuts) && !reply.content.is_empty() {
            let length = u64::try_from(reply.content.len()).unwrap_or(1);
            reply.cut = usize::try_from(dice.below(length)).ok();
            self.note(&key, |page| {
                page.cut = true;
                page.trouble = Some(Instant::now() + Duration::from_secs(60));
            });
        } else {
            self.fly(asked, &key, &identity, &mut reply);
        }
        reply
    }

    fn note<T>(&self, key: &(String, String), change: impl FnOnce(&mut Page) -> T) -> T {
        change(self.pages.lock().entry(key.clone()).or_default())
    }

    /// Head and content of a representation, as the conditions and the range want it.
    fn represent(&self, asked: &Asked, identity: &Identity, reply: &mut Reply, began: Instant) {
        let class = class(&asked.target);
        let etag = identity.etag();
        let (key, group) = (tags(&asked.target), format!("\"{}\"", group(&asked.target)));
        let mut fields = vec![("ETag", etag.as_str()), ("Cache-Control", class.control)];
        fields.extend([("Surrogate-Key", key.as_str()), ("Cache-Groups", group.as_str())]);
        if asked.target.starts_with("/v") {
            fields.push(("Vary", "X-Lang"));
        }
        let matched = asked.field("if-none-match").is_some_and(|tags| tags.contains(&etag));
        if matched {
            reply.head = head("304 Not Modified", &fields, began);
            return;
        }
        let content = identity.content();
        let whole = content.len();
        let applies = asked.field("if-range").is_none_or(|tag| tag == etag);
        let range = asked.field("range").filter(|_| applies && asked.method == "GET");
        let span = range.and_then(|range| span(range, whole));
        let (status, said) = match span {
            Some((first, last)) => {
                ("206 Partial Content", Some(format!("bytes {first}-{last}/{whole}")))
            }
            None => ("200 OK", None),
        };
        let part = span.and_then(|(first, last)| content.get(first..=last)).unwrap_or(&content);
        if let Some(said) = &said {
            fields.push(("Content-Range", said));
        }
        let length = part.len().to_string();
        let chunked = asked.target.starts_with("/k") && asked.method == "GET";
        if chunked {
            fields.push(("Transfer-Encoding", "chunked"));
        } else {
            fields.push(("Content-Length", &length));
        }
        reply.head = head(status, &fields, began);
        reply.content = match (asked.method.as_str(), chunked) {
            ("HEAD", _) => Vec::new(),
            (_, true) => in_chunks(part),
            (_, false) => part.to_vec(),
        };
    }

    /// Notes a shareable reply on its way, and complains about one that should not have been asked.
    fn fly(
        self: &Arc<Self>,
        asked: &Asked,
        key: &(String, String),
        identity: &Identity,
        reply: &mut Reply,
    ) {
        // What is never fresh is never shared: each request has to ask for itself.
        let own = asked.method == "GET"
            && class(&asked.target).stored
            && class(&asked.target).fresh > 0
            && !asked.target.starts_with("/b")
            && asked.field("range").is_none()
            && asked.field("authorization").is_none()
            && !asked.field("cache-control").is_some_and(|value| value.contains("no-store"));
        if !own {
            return;
        }
        let number = self.tick();
        let now = Instant::now();
        let client = asked.field("x-client").unwrap_or_default().to_owned();
        let variant = identity.variant.clone();
        // A second less than it is fresh, because its Date says whole seconds only.
        let fresh = Duration::from_secs(class(&asked.target).fresh.saturating_sub(1));
        let until = now + reply.delay.max(fresh);
        self.note(key, |page| {
            let calm = page.trouble.is_none_or(|trouble| now > trouble + TROUBLE_REMEMBERED);
            let changed = page.changed;
            let twin = |flight: &&Flight| {
                flight.variant == variant
                    && now < flight.until
                    && changed.is_none_or(|changed| flight.since > changed)
            };
            if let Some(twin) = page.flights.iter().find(twin).filter(|_| calm) {
                let (etag, past) = (identity.etag(), now.duration_since(twin.since));
                let first = &twin.client;
                self.uncollapsed.lock().push(format!("{etag} by {client}, {past:?} after {first}"));
            }
            if reply.delay >= fresh {
                // Stale when it arrives: who waits for it then asks for itself.
                page.trouble = page.trouble.max(Some(now + reply.delay));
            }
            page.flights.push(Flight { number, variant, since: now, until, client });
        });
        let (library, key) = (Arc::clone(self), key.clone());
        reply.done = Some(Done::new(move || {
            library.note(&key, |page| page.flights.retain(|flight| flight.number != number));
        }));
    }
}

fn head(status: &str, fields: &[(&str, &str)], began: Instant) -> Vec<u8> {
    let now: SystemTime = opening() + began.elapsed();
    let date = Timestamp::from_system_time(now).to_http_date();
    let mut head = format!("HTTP/1.1 {status}\r\nDate: {date}\r\n");
    for (name, value) in fields {
        // Writing into a String cannot fail.
        write!(head, "{name}: {value}\r\n").unwrap_or_default();
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn in_chunks(content: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    for chunk in content.chunks(700) {
        coded.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        coded.extend_from_slice(chunk);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\n\r\n");
    coded
}

/// The one span of a range, if it can be met.
#[must_use]
pub fn span(range: &str, whole: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let end = whole.checked_sub(1)?;
    let (first, last) = match (first.parse().ok(), last.parse().ok()) {
        (Some(first), Some(last)) => (first, end.min(last)),
        (Some(first), None) => (first, end),
        (None, Some(suffix)) => (whole.saturating_sub(suffix), end),
        (None, None) => return None,
    };
    (first <= last).then_some((first, last))
}
