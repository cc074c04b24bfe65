//! One play of the simulation: a world, some dozen random steps, the end of everything.
//!
//! In: a seed. Out: what the play met, or the invariant that broke.
//! Always holds: invariants are checked after every step; at the end nothing is left of
//! connections, tasks and bytes, and the counters have counted each request once.

use std::{sync::Arc, time::Duration};

use bytesize::ByteSize;
use edge_core::{
    purge::{Mode, Purge, Selector},
    settings::{EdgeSettings, SiteSettings},
};
use nearcast_daemon::access_log::AccessLog;
use nearcast_tests::world::{
    Reach, Wires, World,
    dice::Dice,
    model::{self, Library, STALE_ON_FAILURE, Weather},
    origin, rest_for, site,
};
use parking_lot::Mutex;
use tokio::time::{Instant, advance};

use super::{
    clients::{self, HOSTS, Visit},
    judge::{self, Floors},
    ledger::Ledger,
};

const STEPS: u64 = 45;
const SERVERS: [&str; 3] = ["a.origin:80", "b.origin:80", "c.origin:80"];

/// What plays have met, so that a simulation that meets nothing is noticed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Story {
    visits: u64,
    hits: u64,
    stale: u64,
    failures: u64,
    collapsed: u64,
    cut: u64,
    windows: u64,
    stale_on_failure: u64,
    refused_for_memory: u64,
    partial: u64,
    not_modified: u64,
    purged: u64,
    missed_for_purges: u64,
}

impl Story {
    pub(crate) fn rows(&self) -> [(&'static str, u64); 13] {
        [
            ("visits", self.visits),
            ("hits", self.hits),
            ("stale hits", self.stale),
            ("failures", self.failures),
            ("collapsed requests", self.collapsed),
            ("broken content", self.cut),
            ("windows", self.windows),
            ("stale content on failure", self.stale_on_failure),
            ("refusals of memory", self.refused_for_memory),
            ("parts", self.partial),
            ("304", self.not_modified),
            ("purged responses", self.purged),
            ("forwards for what was purged", self.missed_for_purges),
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.visits += other.visits;
        self.hits += other.hits;
        self.stale += other.stale;
        self.failures += other.failures;
        self.collapsed += other.collapsed;
        self.cut += other.cut;
        self.windows += other.windows;
        self.stale_on_failure += other.stale_on_failure;
        self.refused_for_memory += other.refused_for_memory;
        self.partial += other.partial;
        self.not_modified += other.not_modified;
        self.purged += other.purged;
        self.missed_for_purges += other.missed_for_purges;
    }

    fn count(&mut self, visit: &Visit) {
        let said = judge::said(visit).unwrap_or_default();
        let detail = said.detail.as_deref().unwrap_or_default();
        self.visits += 1;
        self.hits += u64::from(said.hit);
        self.stale += u64::from(said.hit && said.ttl.is_some_and(|ttl| ttl < 0));
        self.failures += u64::from(visit.answer.status() >= 500);
        self.collapsed += u64::from(said.collapsed);
        self.cut += u64::from(visit.answer.cut);
        self.windows += u64::from(detail == "window");
        self.stale_on_failure += u64::from(detail == "stale-on-failure");
        self.partial += u64::from(visit.answer.status() == 206);
        self.not_modified += u64::from(visit.answer.status() == 304);
        self.missed_for_purges += u64::from(detail == "purged");
    }
}

/// Plays a seed.
pub(crate) fn play(seed: u64) -> Result<Story, String> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let mut play = Play::new(seed)?;
        for step in 0..STEPS {
            play.step().await;
            play.check().map_err(|why| format!("step {step}: {why}"))?;
        }
        play.end().await
    })
}

struct Play {
    dice: Dice,
    letters: [&'static str; 4],
    /// What crowds ask for, and what is changed under them.
    favourite: clients::Wish,
    world: World,
    library: Arc<Library>,
    visits: Arc<Mutex<Vec<Visit>>>,
    /// Clients that were sent off.
    sent: u64,
    judged: u64,
    floors: Floors,
    ledger: Ledger,
    settings: EdgeSettings,
    sites: Vec<SiteSettings>,
    roomy: bool,
    story: Story,
    tasks: usize,
}

/// Whether a page is meant, by its host and target.
type Meant<'a> = Box<dyn Fn(&str, &str) -> bool + 'a>;

/// Whether a host is one of a site's.
fn is_of(site: &str, host: &str) -> bool {
    host.ends_with(&format!("{site}.test"))
}

fn sites() -> Result<Vec<SiteSettings>, String> {
    let rule = format!("[[rule]]\npath = \"*\"\nstale_on_failure = \"{STALE_ON_FAILURE}s\"\n");
    let origin = "host = \"client\"\nejection_time = \"2s\"\n";
    Ok(vec![
        site(&format!(
            "name = \"one\"\nhosts = [\"one.test\", \"alt.one.test\"]\n[origin]\n\
             servers = [\"http://a.origin\", \"http://b.origin\"]\n{origin}{rule}"
        ))?,
        site(&format!(
            "name = \"two\"\nhosts = [\"*.two.test\"]\n[origin]\n\
             servers = [\"http://c.origin\"]\nconnections_max = 8\nqueue_max = 16\n{origin}{rule}\
             honour_client_reload = true\n"
        ))?,
    ])
}

impl Play {
    fn new(seed: u64) -> Result<Self, String> {
        let mut dice = Dice::new(seed ^ 0x5eed);
        let library = Library::new(seed);
        let began = Instant::now();
        let wires = Arc::new(Wires::default());
        for server in SERVERS {
            let library = Arc::clone(&library);
            wires.put(server, origin::server(move |asked| library.answer(&asked, began)));
        }
        let letters = [(); 4].map(|()| dice.one_of(&clients::LETTERS));
        let favourite = clients::wish(&mut dice, &letters, 0, &library);
        let roomy = dice.percent(50);
        let settings = EdgeSettings {
            memory: if roomy { ByteSize::mib(64) } else { ByteSize::kib(200 + dice.below(600)) },
            object_bytes_max: ByteSize::kib(80),
            window_bytes: ByteSize::kib(64),
            uncacheable_remembered: Duration::from_secs(5),
            variants_max: 4,
            ..EdgeSettings::default()
        };
        let sites = sites()?;
        let world = World::new(&settings, &sites, wires, AccessLog::off())?;
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        Ok(Self {
            dice,
            letters,
            favourite,
            world,
            library,
            visits: Arc::default(),
            sent: 0,
            judged: 0,
            floors: Floors::default(),
            ledger: Ledger::default(),
            settings,
            sites,
            roomy,
            story: Story::default(),
            tasks,
        })
    }

    async fn step(&mut self) {
        match self.dice.below(20) {
            0..=6 => {
                for _ in 0..=self.dice.below(4) {
                    self.launch(None);
                }
            }
            7..=9 => {
                for _ in 0..=self.dice.below(20) {
                    self.launch(Some("GET"));
                }
            }
            10 | 11 => self.launch(Some("POST")),
            12 => self.favour(),
            13 | 14 => {
                let wish = self.favourite.clone();
                self.library.publish(wish.host, &wish.target);
            }
            15 | 16 => self.change_weather(),
            17 => self.reload(),
            18 => self.purge(),
            _ => {}
        }
        rest_for(usize::try_from(self.dice.below(200)).unwrap()).await;
        let most = match self.dice.below(5) {
            0 => 300,
            1 => 3_000,
            2 => 15_000,
            _ => return,
        };
        let time = Duration::from_millis(self.dice.below(most));
        self.pass(time).await;
    }

    /// Sends a client off, of its own will or for what is in favour now.
    fn launch(&mut self, favourite: Option<&'static str>) {
        self.sent += 1;
        let mut wish = clients::wish(&mut self.dice, &self.letters, self.sent, &self.library);
        if let Some(method) = favourite {
            (wish.host, wish.method) = (self.favourite.host, method);
            wish.target.clone_from(&self.favourite.target);
            (wish.range, wish.etag) = (None, None);
        }
        clients::send(wish, &self.world, &self.library, &self.visits);
    }

    /// Another page comes into favour.
    fn favour(&mut self) {
        self.favourite = clients::wish(&mut self.dice, &self.letters, 0, &self.library);
    }

    fn change_weather(&mut self) {
        let dice = &mut self.dice;
        let weather = match dice.below(4) {
            0 => Weather::default(),
            1 => Weather { slow_heads: 40, slow_contents: 40, ..Weather::default() },
            2 => Weather { errors: 60, closes: 20, ..Weather::default() },
            _ => Weather {
                errors: dice.below(20),
                closes: dice.below(20),
                cuts: dice.below(40),
                slow_heads: dice.below(30),
                slow_contents: dice.below(30),
            },
        };
        self.library.turn(weather);
        for server in SERVERS {
            let reach = match dice.below(10) {
                0 => Reach::Refuses,
                1 => Reach::Hangs,
                _ => Reach::Up,
            };
            self.world.wires.reach(server, reach);
        }
    }

    /// Something new is published and what it takes the place of is purged; by the time that this
    /// returns nobody who asks gets the old.
    fn purge(&mut self) {
        let wish = self.favourite.clone();
        let (host, target) = (wish.host, wish.target.as_str());
        let site = if host.ends_with("one.test") { "one" } else { "two" };
        let letter = target.get(..2).unwrap_or_default();
        let url = format!("http://{}:80{target}#x", host.to_uppercase());
        let tag = model::tags(target);
        let tag = tag.split(' ').nth(usize::try_from(self.dice.below(2)).unwrap()).unwrap();
        let (selector, meant): (_, Meant<'_>) = match self.dice.below(8) {
            0 | 1 => {
                let is_it = move |of: &str, at: &str| of == host && at == target;
                (Selector::parse_url(&url), Box::new(is_it))
            }
            2 | 3 => {
                let begins = move |of: &str, at: &str| of == host && at.starts_with(letter);
                (Selector::parse_prefix(&format!("{host}{letter}*")), Box::new(begins))
            }
            4 => (Selector::parse_host(host), Box::new(move |of: &str, _: &str| of == host)),
            5 | 6 => {
                let has = move |of: &str, at: &str| {
                    is_of(site, of) && model::tags(at).split(' ').any(|own| own == tag)
                };
                (Selector::parse_tag(tag), Box::new(has))
            }
            _ => (Ok(Selector::Everything), Box::new(move |of: &str, _: &str| is_of(site, of))),
        };
        let mode = if self.dice.percent(50) { Mode::Hard } else { Mode::Soft };
        for (host, target) in self.library.pages(&meant) {
            self.library.publish(&host, &target);
        }
        let selectors = vec![selector.unwrap()];
        let purge = Purge { site: site.into(), selectors, mode };
        let counted = self.world.edge.count(&purge);
        self.world.edge.purge(&purge);
        let left = self.world.edge.count(&purge);
        let (expected, purged) = if mode == Mode::Hard { (0, 1) } else { (counted, 0) };
        assert_eq!(left, expected, "what a purge has counted is gone, or stale");
        self.story.purged += purged * counted;
        let now = self.library.tick();
        for page in self.library.purged(&meant) {
            let version = self.library.version(&page.0, &page.1);
            self.floors.purged(page, mode, (now, version));
        }
    }

    /// Good settings are taken; bad ones are refused and change nothing.
    fn reload(&mut self) {
        let mut bad = self.sites.clone();
        bad.extend(self.sites.first().cloned());
        assert!(self.world.edge.reload(&self.settings, &bad).is_err(), "a host twice");
        // Another origin setting means another pool; what is under way at the old one goes on.
        if let Some(two) = self.sites.last_mut() {
            two.origin.connections_max = 8 + u32::try_from(self.dice.below(2)).unwrap();
        }
        self.settings.ranges_max = 1 + u32::try_from(self.dice.below(16)).unwrap();
        let sites = self.sites.clone();
        self.world.edge.reload(&self.settings, &sites).unwrap();
    }

    /// Lets time pass in small portions, so that what it wakes can act in between.
    async fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            let left = until - Instant::now();
            advance(left.min(Duration::from_millis(250))).await;
            rest_for(40).await;
        }
    }

    fn check(&mut self) -> Result<(), String> {
        let budget = &self.world.edge.hall().room.budget;
        if budget.used() > budget.limit() {
            return Err(format!("{} bytes of {} in use", budget.used(), budget.limit()));
        }
        let refused = budget.refused();
        let mut visits = std::mem::take(&mut *self.visits.lock());
        visits.sort_by_key(|visit| visit.last);
        for visit in &visits {
            self.floors.note(visit, &self.library);
        }
        for visit in &visits {
            self.judged += 1;
            self.story.count(visit);
            self.ledger.note(visit);
            let judged = judge::judge(visit, &self.library, &self.floors);
            judged.map_err(|why| format!("{why}\n    {}", judge::tell(visit)))?;
        }
        let uncollapsed = self.library.uncollapsed();
        if self.roomy && refused == 0 && !uncollapsed.is_empty() {
            return Err(format!("not collapsed: {uncollapsed:?}"));
        }
        Ok(())
    }

    /// The end: all clients come home, all connections close, every byte is given back.
    async fn end(mut self) -> Result<Story, String> {
        self.library.turn(Weather::default());
        for server in SERVERS {
            self.world.wires.reach(server, Reach::Up);
        }
        for _ in 0..400 {
            self.pass(Duration::from_secs(1)).await;
            self.check()?;
            if self.judged == self.sent {
                break;
            }
        }
        if self.judged < self.sent {
            return Err(format!("{} clients never came home", self.sent - self.judged));
        }
        for host in HOSTS {
            self.sent += 1;
            let mut wish = clients::wish(&mut self.dice, &self.letters, self.sent, &self.library);
            (wish.host, wish.manner) = (host, clients::Manner::Prompt);
            clients::send(wish, &self.world, &self.library, &self.visits);
        }
        self.pass(Duration::from_secs(150)).await;
        self.check()?;
        let (serving, open) = (self.world.serving(), self.world.wires.open());
        let fillings = self.world.edge.hall().room.table.len();
        if (serving, open, fillings) != (0, 0, 0) {
            return Err(format!(
                "left: {serving} clients, {open} origin connections, {fillings} fillings"
            ));
        }
        self.ledger.balance(&self.world.edge)?;
        let budget = Arc::clone(&self.world.edge.hall().room.budget);
        self.story.refused_for_memory += budget.refused();
        let (story, tasks) = (self.story, self.tasks);
        drop(self.world);
        advance(Duration::from_secs(10)).await;
        rest_for(200).await;
        let alive = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        if alive > tasks {
            return Err(format!("{alive} tasks are left of a world that began with {tasks}"));
        }
        if budget.used() > 0 {
            return Err(format!("{} bytes are never given back", budget.used()));
        }
        Ok(story)
    }
}
