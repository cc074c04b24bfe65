//! Stamps: what of a site was struck, by purges and by invalidations, and when.
//!
//! In: names, each with the stamp at which it was struck; later, stored keys with the stamps at
//! which their fetches began. Out: [`Standing`].
//! Always holds: what carries a stamp up to and including that of a name that means it is dead, or
//! stale, and nothing newer is; the maps are bounded, and what they forget becomes a floor, which
//! can only declare too much dead (or stale), never too little. What was dead and is certainly out
//! of the store by then ([`SiteStamps::swept`]) raises the floor for what is on its way only. What
//! clients can strike is forgotten only once that is so, up to several times the room
//! ([`SiteStamps::wants_sweep`]): nobody outside shall take what is stored of a whole site.
//! A look costs a few probes, however many names were struck: no list is walked.
//! It deliberately does not know the counter that stamps come from, nor what is stored.
//!
//! RFC 9111 §4.4; RFC 9875 §3.

mod index;
#[cfg(test)]
mod tests;

use std::hash::BuildHasher;

use self::index::{Generations, Marks, Prefixes};
use crate::{
    key,
    purge::{Name, Tags},
    time::Timestamp,
};

/// What becomes of what is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// It is as good as not stored.
    Dead,
    /// It is stale from this moment on.
    Stale(Timestamp),
}

/// The latest stamps at which something was struck; 0 for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Struck {
    dead: u64,
    stale: u64,
    since: Timestamp,
}

/// A stored response, or one that is on its way, as far as stamps look at it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The bytes of its key.
    pub key: &'a [u8],
    /// Its tags, as far as they are known.
    pub tags: &'a Tags,
    /// The stamp when the fetch of its content began.
    pub content: u64,
    /// The stamp when its last validation began, or else that of its content.
    pub validated: u64,
    /// Where it is.
    pub place: Place,
}

/// Where a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the store, where sweepers come by.
    Stored,
    /// Elsewhere: on its way into the store, or held by somebody.
    OnItsWay,
}

/// What stamps say of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Alive,
    /// It is stale.
    Stale {
        /// From when on.
        since: Timestamp,
        /// By what.
        cause: Cause,
    },
    /// It is as good as not stored.
    Dead(Cause),
}

/// By what kind of name a response was struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// [`Name::Target`]
    Target,
    /// [`Name::Group`]
    Group,
    /// [`Name::Url`]
    Url,
    /// [`Name::Prefix`]
    Prefix,
    /// [`Name::Host`]
    Host,
    /// [`Name::Tag`]
    Tag,
    /// [`Name::Everything`]
    Everything,
}

impl Cause {
    /// All of them, by their index.
    pub const ALL: [Self; 7] = [
        Self::Target,
        Self::Group,
        Self::Url,
        Self::Prefix,
        Self::Host,
        Self::Tag,
        Self::Everything,
    ];

    /// Its place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Target => 0,
            Self::Group => 1,
            Self::Url => 2,
            Self::Prefix => 3,
            Self::Host => 4,
            Self::Tag => 5,
            Self::Everything => 6,
        }
    }

    /// The word for metrics: that of the selector, or what the protocol calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Target => "invalidated-uri",
            Self::Group => "invalidated-group",
            Self::Url => "url",
            Self::Prefix => "prefix",
            Self::Host => "host",
            Self::Tag => "tag",
            Self::Everything => "all",
        }
    }

    /// Whether an operator did it, rather than the protocol.
    #[must_use]
    pub const fn is_purge(self) -> bool {
        match self {
            Self::Target | Self::Group => false,
            Self::Url | Self::Prefix | Self::Host | Self::Tag | Self::Everything => true,
        }
    }
}

/// How many names are remembered one by one, of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Of those that the protocol strikes.
    pub invalidations_max: usize,
    /// Of those that operators strike.
    pub purges_max: usize,
}

/// What was forgotten, to be dropped.
#[derive(Debug)]
pub struct Forgotten(#[expect(dead_code, reason = "it is only dropped")] Prefixes);

/// What of one site was struck.
#[derive(Debug)]
pub struct SiteStamps<H> {
    targets: Generations<Marks>,
    groups: Generations<Marks>,
    urls: Generations<Marks>,
    prefixes: Generations<Prefixes>,
    hosts: Generations<Marks>,
    tags: Generations<Marks>,
    everything: Struck,
    swept: u64,
    hashers: [H; 2],
}

impl<H: BuildHasher> SiteStamps<H> {
    /// Nothing struck. The hashers should be two that nobody outside can foresee.
    #[must_use]
    pub fn new(room: Room, hashers: [H; 2]) -> Self {
        let mut stamps = Self {
            targets: Generations::default(),
            groups: Generations::default(),
            urls: Generations::default(),
            prefixes: Generations::default(),
            hosts: Generations::default(),
            tags: Generations::default(),
            everything: Struck::default(),
            swept: 0,
            hashers,
        };
        stamps.resize(room);
        stamps
    }

    /// From now on there is that much room.
    pub fn resize(&mut self, room: Room) {
        self.targets.names_max = room.invalidations_max;
        self.groups.names_max = room.invalidations_max;
        self.urls.names_max = room.purges_max;
        self.prefixes.names_max = room.purges_max;
        self.hosts.names_max = room.purges_max;
        self.tags.names_max = room.purges_max;
    }

    /// Strikes what `name` means, up to `stamp`; stamps come in order. Out comes what is forgotten
    /// for it and takes long to drop: that shall be done where nobody waits.
    pub fn strike(&mut self, name: &Name, strike: Strike, stamp: u64) -> Option<Forgotten> {
        let at = (stamp, self.swept);
        match name {
            Name::Target(uri) => {
                let mark = self.mark(uri);
                self.targets.strike_patiently(&mark, strike, at);
            }
            Name::Group { origin, group } => {
                let mark = self.mark_of_group(origin, group);
                self.groups.strike_patiently(&mark, strike, at);
            }
            Name::Url(uri) => drop(self.urls.strike(&self.mark(uri), strike, at)),
            Name::Prefix(beginning) => {
                return self.prefixes.strike(beginning, strike, at).map(Forgotten);
            }
            Name::Host(host) => {
                drop(self.hosts.strike(&self.mark(host.as_bytes()), strike, at));
            }
            Name::Tag(tag) => drop(self.tags.strike(&self.mark(tag.as_bytes()), strike, at)),
            Name::Everything => self.everything.take(strike, stamp),
        }
        None
    }

    /// Whether a sweep shall come by before more is forgotten of what the protocol struck: URIs
    /// that a rule's fields set apart are still stored, for nobody knows by which values.
    #[must_use]
    pub fn wants_sweep(&self) -> bool {
        self.targets.wants_sweep(self.swept)
    }

    /// Everything that was dead at `stamp` has left the store.
    pub fn swept(&mut self, stamp: u64) {
        self.swept = self.swept.max(stamp);
    }

    /// How often more names were struck than are remembered: by the protocol, and by operators.
    #[must_use]
    pub const fn overflows(&self) -> (u64, u64) {
        let by_protocol = self.targets.overflows.saturating_add(self.groups.overflows);
        let urls = self.urls.overflows.saturating_add(self.prefixes.overflows);
        let others = self.hosts.overflows.saturating_add(self.tags.overflows);
        (by_protocol, urls.saturating_add(others))
    }

    /// What the stamps say of a response of this site.
    #[must_use]
    pub fn standing(&self, of: &Subject<'_>) -> Standing {
        let uri = key::uri_part(of.key);
        let mut worst = of.under(Cause::Everything, self.everything);
        if self.targets.concerns(of) || self.urls.concerns(of) {
            let mark = self.mark(uri);
            // Whoever invalidates a URI takes it out of the store at once, so what is forgotten is
            // none of its kind; what a rule's fields set apart from it is swept.
            let has_left = of.place == Place::Stored && uri.len() == of.key.len();
            let target = if has_left {
                self.targets.find_remembered(&mark)
            } else {
                self.targets.find(&mark, of.place)
            };
            worst = worst.or(of.under(Cause::Target, target));
            worst = worst.or(of.under(Cause::Url, self.urls.find(&mark, of.place)));
        }
        if self.prefixes.concerns(of) {
            worst = worst.or(of.under(Cause::Prefix, self.prefixes.find(uri, of.place)));
        }
        if self.hosts.concerns(of) {
            let mark = self.mark(key::host_part(of.key));
            worst = worst.or(of.under(Cause::Host, self.hosts.find(&mark, of.place)));
        }
        if self.tags.concerns(of) {
            worst = worst.or(of.under(Cause::Tag, self.of_tags(of)));
        }
        if self.groups.concerns(of) {
            worst = worst.or(of.under(Cause::Group, self.of_groups(of)));
        }
        worst
    }

    fn of_tags(&self, of: &Subject<'_>) -> Struck {
        if of.tags.has_every() {
            return self.tags.latest;
        }
        let marks = of.tags.names().map(|tag| self.mark(tag.as_bytes()));
        let struck = marks.map(|mark| self.tags.find(&mark, of.place));
        struck.fold(self.tags.floor(of.place), Struck::or)
    }

    fn of_groups(&self, of: &Subject<'_>) -> Struck {
        if of.tags.is_in_every_group() {
            return self.groups.latest;
        }
        let origin = key::origin_part(of.key);
        let marks = of.tags.groups().map(|group| self.mark_of_group(origin, group));
        let struck = marks.map(|mark| self.groups.find(&mark, of.place));
        struck.fold(self.groups.floor(of.place), Struck::or)
    }

    /// A name may be kilobytes long; 128 bits of keyed hashes stand for it. Two that shared them
    /// would be struck together, which is never wrong.
    fn mark(&self, name: &[u8]) -> u128 {
        let [first, second] = &self.hashers;
        u128::from(first.hash_one(name)) << 64 | u128::from(second.hash_one(name))
    }

    fn mark_of_group(&self, origin: &[u8], group: &str) -> u128 {
        let [first, second] = &self.hashers;
        let name = (origin, group);
        u128::from(first.hash_one(name)) << 64 | u128::from(second.hash_one(name))
    }
}

impl Subject<'_> {
    fn under(&self, cause: Cause, struck: Struck) -> Standing {
        if self.content <= struck.dead {
            Standing::Dead(cause)
        } else if self.validated <= struck.stale {
            Standing::Stale { since: struck.since, cause }
        } else {
            Standing::Alive
        }
    }
}

impl Standing {
    /// The worse of two; of two that are stale the one that was declared so last, as of two purges
    /// of one name (docs/operate.md *Purging*).
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Dead(_), _) | (_, Self::Alive) => self,
            (_, Self::Dead(_)) | (Self::Alive, _) => other,
            (Self::Stale { since, .. }, Self::Stale { since: others, .. }) => {
                if since >= others {
                    self
                } else {
                    other
                }
            }
        }
    }
}

impl Struck {
    fn take(&mut self, strike: Strike, stamp: u64) {
        match strike {
            Strike::Dead => self.dead = self.dead.max(stamp),
            Strike::Stale(since) => {
                if stamp >= self.stale {
                    (self.stale, self.since) = (stamp, since);
                }
            }
        }
    }

    /// Both of two.
    fn or(self, other: Self) -> Self {
        let (stale, since) = if self.stale >= other.stale {
            (self.stale, self.since)
        } else {
            (other.stale, other.since)
        };
        Self { dead: self.dead.max(other.dead), stale, since }
    }
}
