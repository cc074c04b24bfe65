//! The names of origin servers: resolved off the way of any request, and again when their time is up.
//!
//! In: the names in the settings, a resolver. Out: addresses, and whether one has left its name.
//! Always holds: each name has one keeper, which alone asks the resolver, so that no crowd does and
//! no request waits for an answer that has run out: the last one is used until there is a better;
//! a resolver that fails, for a name, one of its hosts or one family of addresses, or that says that a
//! name is not there, takes no address away for a day; what an answer claims of its lifetime is held
//! between a floor and a ceiling.
//! It deliberately does not judge addresses: that is done where a connection is made.
//!
//! RFC 1035 §3.2.1 (TTL), RFC 8767 (an answer that has run out is better than none).

mod answer;
mod dns;

pub use self::{
    answer::{Answer, Family, Target, Trouble},
    dns::Dns,
};

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use edge_core::site::ServerAddress;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::AbortHandle,
    time::{Instant, timeout},
};

/// How long one question may take, whatever the resolver is told.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(15);
/// The pause after a question that failed; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(1);
/// See [`PAUSE`].
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long what was known is used while it is not answered (RFC 8767 §5).
const STALE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How long connections to an address are kept that its name does not lead to any more: large pools
/// name a part of their addresses at a time, and come back to each.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long an address that could not be reached comes last.
const SHUNNED: Duration = Duration::from_secs(30);
/// Addresses that one connection tries.
const ADDRESSES_MAX: usize = 16;

/// What a server's addresses are asked for by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// A host's name, or that of a service.
    pub name: String,
    /// Whether it is a service's, whose hosts and ports stand in SRV records (RFC 2782).
    pub is_service: bool,
}

impl Question {
    /// What to ask for a server, unless it is an address already.
    #[must_use]
    pub fn of(server: &ServerAddress) -> Option<Self> {
        if let Some(service) = &server.service {
            return Some(Self { name: service.clone(), is_service: true });
        }
        let host = &server.host;
        (!is_address(host)).then(|| Self { name: host.clone(), is_service: false })
    }
}

/// Whether a host is an address: IPv6, or IPv4 in any of the forms that the system reads
/// (inet_aton(3)), of which no name has the last label.
fn is_address(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    host.contains(':')
        || !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
        || last.starts_with("0x") && last.bytes().skip(2).all(|byte| byte.is_ascii_hexdigit())
}

/// Whoever answers questions.
pub trait Resolve: Send + Sync {
    /// The answer, or why there is none.
    fn resolve<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, Trouble>>;
}

/// How names are resolved now.
#[derive(Clone)]
pub struct Manner {
    /// Who is asked.
    pub resolver: Arc<dyn Resolve>,
    /// The shortest and the longest time that an answer is used before it is asked for again.
    pub ttl: (Duration, Duration),
}

/// All names; see the module.
pub struct Names {
    keepers: Handle,
    manner: Arc<Mutex<Manner>>,
    book: Mutex<HashMap<Question, Arc<Name>>>,
}

/// A name as the metrics see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The name.
    pub name: String,
    /// Addresses that it leads to.
    pub addresses: u64,
    /// Questions that were answered.
    pub answered: u64,
    /// Questions that were not.
    pub failed: u64,
    /// Whether the last one was not.
    pub is_failing: bool,
}

impl Names {
    /// None yet; their keepers run on `keepers`.
    #[must_use]
    pub fn new(keepers: Handle, manner: Manner) -> Self {
        Self { keepers, manner: Arc::new(Mutex::new(manner)), book: Mutex::default() }
    }

    /// Asks in this manner from now on, for these servers and no others.
    pub fn adopt(&self, manner: Manner, servers: &[ServerAddress]) {
        let questions: HashSet<Question> = servers.iter().filter_map(Question::of).collect();
        *self.manner.lock() = manner;
        let mut book = self.book.lock();
        book.retain(|question, _| questions.contains(question));
        for name in book.values() {
            name.wake.notify_one();
        }
        for question in questions {
            book.entry(question.clone()).or_insert_with(|| self.keep(question));
        }
    }

    /// The name that leads to a server, which has one.
    pub(super) fn name(&self, question: &Question) -> Arc<Name> {
        let mut book = self.book.lock();
        let name = book.entry(question.clone());
        Arc::clone(name.or_insert_with(|| self.keep(question.clone())))
    }

    /// All names, in order.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        let mut seen: Vec<Seen> = self.book.lock().values().map(|name| name.seen()).collect();
        seen.sort_by(|one, other| one.name.cmp(&other.name));
        seen
    }

    /// A new name with its keeper.
    fn keep(&self, question: Question) -> Arc<Name> {
        let name = Arc::new(Name {
            question,
            manner: Arc::clone(&self.manner),
            state: Mutex::default(),
            heard: watch::Sender::new(()),
            wake: Arc::default(),
            keeper: OnceLock::new(),
        });
        let keeper = self.keepers.spawn(keep(Arc::downgrade(&name)));
        name.keeper.get_or_init(|| keeper.abort_handle());
        name
    }
}

/// One name.
pub(super) struct Name {
    question: Question,
    manner: Arc<Mutex<Manner>>,
    state: Mutex<State>,
    /// Told of each answer and failure.
    heard: watch::Sender<()>,
    /// Wakes the keeper before its time.
    wake: Arc<Notify>,
    keeper: OnceLock<AbortHandle>,
}

#[derive(Default)]
struct State {
    /// The last good one.
    answer: Option<Arc<Answer>>,
    /// Why the last question was not answered.
    trouble: Option<Trouble>,
    /// When there was one, and when there was a whole one.
    answered_at: Option<Instant>,
    whole_at: Option<Instant>,
    /// Addresses that were in an answer, and since when they are in none; port 0 stands for any.
    left: HashMap<SocketAddr, Instant>,
    /// Addresses that could not be reached, and when.
    shunned: HashMap<SocketAddr, Instant>,
    /// The family of the last connection.
    family: Family,
    turn: usize,
    answered: u64,
    failed: u64,
}

impl Name {
    /// The addresses to try, the best first; waits only for a name's first answer.
    pub(super) async fn addresses(&self, port: u16) -> Result<Vec<SocketAddr>, Trouble> {
        let mut heard = self.heard.subscribe();
        loop {
            if let Some(addresses) = self.known(port) {
                return addresses;
            }
            if heard.changed().await.is_err() {
                return Err(Trouble::of("nobody asks for it any more"));
            }
        }
    }

    /// What is known already, if anything is.
    fn known(&self, port: u16) -> Option<Result<Vec<SocketAddr>, Trouble>> {
        let mut state = self.state.lock();
        let Some(answer) = state.answer.clone() else {
            return state.trouble.clone().map(Err);
        };
        state.turn = state.turn.wrapping_add(1);
        state.shunned.retain(|_, since| since.elapsed() < SHUNNED);
        let shunned = |address| state.shunned.contains_key(&address);
        let mut order =
            answer.order(port, (state.turn, state.family), shunned, rand::random::<u32>);
        order.truncate(ADDRESSES_MAX);
        Some(Ok(order))
    }

    /// A connection to one of its addresses was made.
    pub(super) fn worked(&self, address: SocketAddr) {
        let mut state = self.state.lock();
        state.family = Family::of(address.ip());
        state.shunned.remove(&address);
    }

    /// No connection to one of its addresses could be made.
    pub(super) fn failed(&self, address: SocketAddr) {
        self.state.lock().shunned.insert(address, Instant::now());
    }

    fn shuns(&self, address: SocketAddr) -> bool {
        let state = self.state.lock();
        state.shunned.get(&address).is_some_and(|since| since.elapsed() < SHUNNED)
    }

    /// Whether it leads to another address, which has not failed of late.
    fn has_better_than(&self, address: SocketAddr) -> bool {
        let others: Vec<SocketAddr> = {
            let state = self.state.lock();
            let all = state.answer.iter().flat_map(|answer| answer.addresses(address.port()));
            all.filter(|one| *one != address).collect()
        };
        others.into_iter().any(|one| !self.shuns(one))
    }

    /// Whether it has not led to `address` for a while.
    fn has_left(&self, address: SocketAddr) -> bool {
        let state = self.state.lock();
        let leads =
            |answer: &Arc<Answer>| answer.addresses(address.port()).any(|one| one == address);
        let at_any_port = SocketAddr::new(address.ip(), 0);
        let mut left = [address, at_any_port].into_iter().filter_map(|one| state.left.get(&one));
        !state.answer.as_ref().is_some_and(leads) && left.all(|since| since.elapsed() >= FAREWELL)
    }

    fn seen(&self) -> Seen {
        let state = self.state.lock();
        let addresses = state.answer.as_ref().map_or(0, |answer| answer.addresses(0).count());
        Seen {
            name: self.question.name.clone(),
            addresses: addresses as u64,
            answered: state.answered,
            failed: state.failed,
            is_failing: state.trouble.is_some(),
        }
    }

    /// Asks once; how long to wait before it is asked again, or none if there was no answer, or not the
    /// whole of one: who fails is asked more and more seldom.
    async fn ask(&self) -> Option<Duration> {
        let Manner { resolver, ttl: (min, max) } = self.manner.lock().clone();
        let answer = match timeout(QUESTION_TIMEOUT, resolver.resolve(&self.question)).await {
            Ok(Ok(answer)) if answer.addresses(0).next().is_some() => Ok(answer),
            Ok(Ok(answer)) => {
                Err(answer.trouble.unwrap_or_else(|| Trouble::of("it has no address")))
            }
            Ok(Err(trouble)) => Err(trouble),
            Err(_elapsed) => Err(Trouble::of(format!("no answer within {QUESTION_TIMEOUT:?}"))),
        };
        let wait = match answer {
            Ok(mut answer) => {
                let (ttl, trouble) = (answer.ttl.clamp(min, max), answer.trouble.take());
                self.learns(answer, trouble.is_none());
                match trouble {
                    Some(trouble) => self.learns_nothing(trouble),
                    None => Some(ttl),
                }
            }
            Err(trouble) => self.learns_nothing(trouble),
        };
        self.heard.send_replace(());
        wait
    }

    /// Takes an answer; of what is missing where it is not `whole` the last is as good.
    fn learns(&self, mut answer: Answer, whole: bool) {
        let name = &self.question.name;
        let mut state = self.state.lock();
        let now = Instant::now();
        state.answered_at = Some(now);
        if whole {
            state.answered += 1;
            state.whole_at = Some(now);
            if state.trouble.take().is_some() {
                tracing::info!(%name, "an origin's name is resolved again");
            }
        } else if let Some(before) = &state.answer
            && state.whole_at.is_some_and(|since| now.duration_since(since) < STALE_MAX)
        {
            answer = answer.completed(before);
        }
        state.left.retain(|_, since| now.duration_since(*since) < FAREWELL);
        let known: HashSet<SocketAddr> =
            state.answer.iter().flat_map(|before| before.addresses(0)).collect();
        let new: HashSet<SocketAddr> = answer.addresses(0).collect();
        for gone in known.difference(&new) {
            state.left.insert(*gone, now);
        }
        if !known.is_empty() && known != new {
            tracing::info!(%name, addresses = ?new, "an origin's name leads elsewhere");
        }
        state.answer = Some(Arc::new(answer));
    }

    /// Told once, until there is an answer again. Whom nobody could ask need not be spared.
    fn learns_nothing(&self, trouble: Trouble) -> Option<Duration> {
        let name = &self.question.name;
        let mut state = self.state.lock();
        state.failed += 1;
        if state.answered_at.is_some_and(|since| since.elapsed() >= STALE_MAX) {
            state.answered_at = None;
            state.answer = None;
            tracing::warn!(%name, "an origin's name has not been resolved for a day; its last addresses are dropped");
        }
        if state.trouble.is_none() {
            let what_now = if state.answer.is_some() {
                "its last addresses stay in use; look at the resolver and at the name's zone"
            } else {
                "requests to it fail until it is; look at the resolver and at the name"
            };
            let reason = &trouble.reason;
            tracing::warn!(%name, %reason, "an origin's name is not resolved; {what_now}");
        }
        state.trouble.insert(trouble).is_ours.then_some(PAUSE)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
    }
}

/// Asks for a name whenever its answer has run out, as long as there is the name.
async fn keep(name: Weak<Name>) {
    let mut pause = PAUSE;
    loop {
        let Some(kept) = name.upgrade() else { return };
        let answered = kept.ask().await;
        let wait = answered.unwrap_or(pause);
        pause = if answered.is_some() { PAUSE } else { (pause * 2).min(PAUSE_MAX) };
        let wake = Arc::clone(&kept.wake);
        drop(kept);
        if timeout(wait, wake.notified()).await.is_ok() {
            pause = PAUSE;
        }
    }
}

/// Where a connection leads: to an address of a name.
#[derive(Clone)]
pub struct Residence {
    name: Arc<Name>,
    address: SocketAddr,
}

impl Residence {
    pub(super) fn new(name: Arc<Name>, address: SocketAddr) -> Self {
        Self { name, address }
    }

    /// Whether the connection is not to be used again: the name has led elsewhere for long enough, or
    /// leads to an address that does better.
    #[must_use]
    pub fn is_out_of_use(&self) -> bool {
        self.name.has_left(self.address) || self.is_shunned()
    }

    /// The address did not do what it is there for; whether the name leads to one that may.
    pub(super) fn failed(&self) -> bool {
        self.name.failed(self.address);
        self.has_better()
    }

    /// Whether the address has failed of late, and the name leads to one that has not.
    fn is_shunned(&self) -> bool {
        self.name.shuns(self.address) && self.has_better()
    }

    fn has_better(&self) -> bool {
        self.name.has_better_than(self.address)
    }
}

#[cfg(test)]
mod tests;
