//! Merging everything that is known of addresses into one map.
//!
//! In: a plan, the fleet, databases. Out: a [`Map`], or why there is none.
//! All sources are walked side by side along the address space. Between two addresses at which
//! any of them changes, what they say together is a key, and a key leads to a list, each worked
//! out once. So nothing is kept per network: a city database of six million networks becomes some
//! hundred thousand keys and a few thousand lists, and the tree grows as they come.
//! Always holds: IPv6 prefixes behind which IPv4 addresses stand lead to the IPv4 tree; whoever
//! shares a processor with this is let in after a few steps.
//! It deliberately keeps no source: [`super::explain`] reads them again.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use ground::fold::CARRIERS;
use ipnet::IpNet;

use super::{
    Map, MapError,
    database::{Database, DatabaseCursor, DatabaseError},
    fence::Fences,
    lists::ListsBuilder,
    networks::{SpanCursor, Spans},
    order::{Draft, Orderer},
    place::Place,
    plan::MapPlan,
    span::{Cursor, Space},
    strides::Entry,
    tree::{TooLarge, TreeBuilder, push_span},
};
use crate::fleet::FleetView;

/// Databases that a map merges at most.
const DATABASES_MAX: usize = 4;
/// Bytes of what strides are made of.
const WORD_BYTES: u64 = 4;
/// Spans between two pauses. A city database of some six million takes 1.4 s on the processor
/// (2026-11), so these take about 30 µs, and more where records are new.
pub(super) const SPANS_PER_PAUSE: u32 = 128;

impl Map {
    /// The map of a plan. `databases` go in the order in which they are believed: what one does
    /// not know, the next may.
    ///
    /// # Errors
    /// A damaged database, or more memory than is allowed.
    pub fn compile(
        plan: &MapPlan,
        fleet: &FleetView,
        databases: &mut [Database<'_>],
        bytes_max: u64,
    ) -> Result<Self, MapError> {
        Self::compile_beside(plan, fleet, databases, bytes_max, &mut || {})
    }

    /// The same beside others who need the processor: `pause` is called often and lets them in.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn compile_beside(
        plan: &MapPlan,
        fleet: &FleetView,
        databases: &mut [Database<'_>],
        bytes_max: u64,
        pause: &mut dyn FnMut(),
    ) -> Result<Self, MapError> {
        if databases.len() > DATABASES_MAX {
            return Err(MapError::Databases { count: databases.len(), max: DATABASES_MAX });
        }
        let orderer = Orderer::new(plan, fleet);
        let fences = Fences::new(plan, fleet);
        let numbered =
            |(network, preference): &(IpNet, u32)| (*network, preference.saturating_add(1));
        let networks: Vec<(IpNet, u32)> = plan.networks.iter().map(numbered).collect();
        let tree = TreeBuilder::new(words_max(bytes_max), words_likely(databases));
        let mut compiler = Compiler::new(plan, (&orderer, &fences), bytes_max, tree, pause);

        let overlays = Overlays::<u32>::new(&networks, &fences);
        compiler.region(&mut Sweep::new(databases, &overlays), u32::FIRST, u32::LAST)?;
        drop(overlays);
        let four = compiler.tree.table(compiler.pause);
        let overlays = Overlays::<u128>::new(&networks, &fences);
        compiler.space_v6(&mut Sweep::new(databases, &overlays), behind_carriers(&four))?;
        let six = compiler.tree.table(compiler.pause);
        databases.iter().try_for_each(Database::said_anything)?;

        let strides = compiler.tree.finish(four, six);
        let map = Self { name: plan.name.clone(), strides, lists: compiler.lists.finish(&orderer) };
        if map.bytes() > bytes_max {
            return Err(MapError::Memory { name: map.name, bytes_max });
        }
        Ok(map)
    }
}

/// The networks of the operator and of fences, in one address space.
struct Overlays<A> {
    networks: Spans<A>,
    fences: Spans<A>,
}

impl<A: Space> Overlays<A> {
    fn new(networks: &[(IpNet, u32)], fences: &Fences) -> Self {
        Self { networks: Spans::new(networks), fences: Spans::new(&fences.networks) }
    }
}

/// What the sources say of an address, each as a number of its own, 0 for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Key {
    places: [u32; DATABASES_MAX],
    network: u32,
    fence: u32,
}

/// All sources, walked side by side.
struct Sweep<'c, 'd, A> {
    databases: Vec<DatabaseCursor<'c, 'd, A>>,
    networks: SpanCursor<'c, A>,
    fences: SpanCursor<'c, A>,
}

impl<'c, 'd, A: Space> Sweep<'c, 'd, A> {
    fn new(databases: &'c mut [Database<'d>], overlays: &'c Overlays<A>) -> Self {
        Self {
            databases: databases.iter_mut().map(Database::cursor).collect(),
            networks: overlays.networks.cursor(),
            fences: overlays.fences.cursor(),
        }
    }

    /// What is said of `address`, and the last address up to which it is.
    fn at(&mut self, address: A) -> Result<(Key, A), DatabaseError> {
        let mut key = Key::default();
        let mut last = A::LAST;
        for (place, database) in key.places.iter_mut().zip(&mut self.databases) {
            let (value, end) = database.at(address)?;
            *place = value;
            last = last.min(end);
        }
        let (network, end) = self.networks.at(address)?;
        let last = last.min(end);
        let (fence, end) = self.fences.at(address)?;
        Ok((Key { network, fence, ..key }, last.min(end)))
    }

    /// The place that a key speaks of.
    fn place(&self, key: &Key) -> Place {
        let places = key.places.iter().zip(&self.databases);
        places.fold(Place::default(), |place, (id, database)| place.or(database.place(*id)))
    }
}

struct Compiler<'p> {
    plan: &'p MapPlan,
    orderer: &'p Orderer<'p>,
    fences: &'p Fences,
    bytes_max: u64,
    tree: TreeBuilder,
    lists: ListsBuilder,
    draft: Draft,
    /// Keys of which only the first database speaks, which with one database are nearly all.
    by_place: Vec<Option<Entry>>,
    by_key: HashMap<Key, Entry, FixedState>,
    last: Option<(Key, Entry)>,
    pause: &'p mut dyn FnMut(),
    spans_left: u32,
}

impl<'p> Compiler<'p> {
    fn new(
        plan: &'p MapPlan,
        (orderer, fences): (&'p Orderer<'p>, &'p Fences),
        bytes_max: u64,
        tree: TreeBuilder,
        pause: &'p mut dyn FnMut(),
    ) -> Self {
        Self {
            plan,
            orderer,
            fences,
            bytes_max,
            tree,
            lists: ListsBuilder::new(),
            draft: Draft::default(),
            by_place: Vec::new(),
            by_key: HashMap::default(),
            last: None,
            pause,
            spans_left: SPANS_PER_PAUSE,
        }
    }

    /// One more span is done.
    fn step(&mut self) {
        self.spans_left = self.spans_left.saturating_sub(1);
        if self.spans_left == 0 {
            self.spans_left = SPANS_PER_PAUSE;
            (self.pause)();
        }
    }

    fn space_v6(&mut self, sweep: &mut Sweep<'_, '_, u128>, four: Entry) -> Result<(), MapError> {
        let mut first = u128::FIRST;
        for carrier in CARRIERS {
            self.region(sweep, first, carrier.first.before())?;
            self.tree.push(carrier.bits, four).map_err(|full| self.too_large(full))?;
            first = carrier.last().next().unwrap_or(first);
        }
        self.region(sweep, first, u128::LAST)
    }

    /// Adds the addresses from `first` to `last`.
    fn region<A: Space>(
        &mut self,
        sweep: &mut Sweep<'_, '_, A>,
        first: A,
        last: A,
    ) -> Result<(), MapError> {
        let mut at = first;
        loop {
            let (key, end) = sweep.at(at)?;
            let end = end.min(last);
            let leaf = self.leaf(key, sweep)?;
            push_span(&mut self.tree, at, end, leaf).map_err(|full| self.too_large(full))?;
            self.step();
            match end.next() {
                Some(next) if end < last => at = next,
                _ => return Ok(()),
            }
        }
    }

    /// The list that a key leads to.
    fn leaf<A: Space>(&mut self, key: Key, sweep: &Sweep<'_, '_, A>) -> Result<Entry, MapError> {
        if let Some((_, leaf)) = self.last.filter(|(last, _)| *last == key) {
            return Ok(leaf);
        }
        let alone = key.place_alone();
        let known = match alone {
            Some(place) => self.by_place.get(place).copied().flatten(),
            None => self.by_key.get(&key).copied(),
        };
        let leaf = match known {
            Some(leaf) => leaf,
            None => self.new_leaf(&key, sweep)?,
        };
        match alone {
            Some(place) => {
                if self.by_place.len() <= place {
                    self.by_place.resize(place.saturating_add(1), None);
                }
                if let Some(slot) = self.by_place.get_mut(place) {
                    *slot = Some(leaf);
                }
            }
            None => {
                self.by_key.insert(key, leaf);
            }
        }
        self.last = Some((key, leaf));
        Ok(leaf)
    }

    fn new_leaf<A: Space>(
        &mut self,
        key: &Key,
        sweep: &Sweep<'_, '_, A>,
    ) -> Result<Entry, MapError> {
        let network = key.network.checked_sub(1);
        let inside = self.fences.inside(key.fence);
        self.orderer.order(&sweep.place(key), network, inside, &mut self.draft);
        let list = self.lists.intern(&self.draft.ranked, &self.draft.excluded);
        let Some(list) = list else { return Err(MapError::Lists { name: self.plan.name.clone() }) };
        if u64::try_from(self.lists.bytes()).unwrap_or(u64::MAX) > self.bytes_max {
            return Err(self.too_large(TooLarge));
        }
        Ok(Entry::list(list))
    }

    fn too_large(&self, _: TooLarge) -> MapError {
        MapError::Memory { name: self.plan.name.clone(), bytes_max: self.bytes_max }
    }
}

/// What leads to the IPv4 addresses behind a prefix: their table, or their list if they have but one.
fn behind_carriers(four: &[Entry]) -> Entry {
    match four {
        [first, rest @ ..] if first.is_list() && rest.iter().all(|entry| entry == first) => *first,
        _ => Entry::FOUR,
    }
}

fn words_max(bytes_max: u64) -> usize {
    usize::try_from(bytes_max / WORD_BYTES).unwrap_or(usize::MAX)
}

/// A city database has 6.1 million nodes, and the map of twenty PoPs that it becomes 5.4 million
/// words (2026-11).
fn words_likely(databases: &[Database<'_>]) -> usize {
    databases.iter().fold(0, |sum, database| sum.saturating_add(database.node_count()))
}

impl Key {
    /// The place of the first database, if nothing else is said.
    fn place_alone(&self) -> Option<usize> {
        let place = self.places.first().copied()?;
        let alone = Self { places: [place, 0, 0, 0], ..Self::default() };
        if *self == alone { usize::try_from(place).ok() } else { None }
    }
}
