//! What was answered, counted and logged, without a query ever waiting for it.
//!
//! In: one [`Noted`] for each query. Out: numbers for the metrics page, and lines of the query log.
//! Always holds: each thread counts on a sheet of its own, in plain loads and stores, and a scrape
//! adds the sheets up; a name keeps its place on all sheets from one snapshot to the next, so that
//! no counter ever falls; names are limited in number, and those beyond are counted together; what
//! the query log cannot take is dropped and counted by it.
//! It deliberately does not know how a response came about.
//!
//! Hot path: no lock, no allocation; a line of the log is written into the thread's own buffer.

mod labels;
mod line;
mod page;
mod sheet;

pub use self::labels::Labels;
pub(crate) use self::labels::PLACES;

use std::{fmt, sync::Arc};

use geodns_core::{
    answer::{Asked, Emptied, Facts, Reply, Silence, Snapshot},
    limit::ResponseClass,
};
use nearcast_daemon::{
    access_log::{AccessLog, Writer},
    metrics::Metrics,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use self::{
    labels::Names,
    line::Line,
    sheet::{Cell, Pen, Sheet},
};
use crate::{clock::Now, udp::Lost};

/// All counters, and the query log.
pub struct Recorder {
    sheets: Mutex<Vec<Arc<Sheet>>>,
    names: Mutex<Names>,
    log: AccessLog,
    /// One query in so many is logged.
    log_one_in: u32,
}

/// One thread's side: its sheet and its lines.
#[derive(Debug)]
pub struct Scribe {
    pen: Pen,
    log: Writer,
    log_one_in: u32,
    /// Queries until the next one that is logged.
    until_logged: u32,
    text: String,
}

/// What came of a query.
#[derive(Clone, Copy, Debug)]
pub struct Noted<'a> {
    /// The query.
    pub asked: &'a Asked<'a>,
    /// The port that it came from.
    pub port: u16,
    /// The response.
    pub reply: &'a Reply,
    /// When it came.
    pub now: Now,
}

/// What became of a connection, or of a query on one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// It was accepted.
    Accepted,
    /// It was refused, for there were too many.
    RefusedTotal,
    /// It was refused, for its network had too many.
    RefusedNetwork,
    /// It ended over a deadline: nothing asked, a query not sent to its end, a response not read, a
    /// handshake not finished.
    Expired,
    /// It ended over what its client sent.
    Broken,
}

impl Recorder {
    /// Nothing counted yet. One query in `log_one_in` goes to `log`; 0 for none.
    #[must_use]
    pub fn new(log: AccessLog, log_one_in: u32) -> Arc<Self> {
        Arc::new(Self { sheets: Mutex::default(), names: Mutex::default(), log, log_one_in })
    }

    /// A thread's side of it.
    #[must_use]
    pub fn scribe(&self) -> Scribe {
        let sheet = Arc::new(Sheet::default());
        self.sheets.lock().push(Arc::clone(&sheet));
        let log = self.log.writer();
        let log_one_in = if log.is_on() { self.log_one_in } else { 0 };
        let (until_logged, text) = (log_one_in, String::new());
        Scribe { pen: Pen::new(sheet), log, log_one_in, until_logged, text }
    }

    /// Where the zones and PoPs of a snapshot are counted.
    #[must_use]
    pub fn labels(&self, snapshot: &Snapshot) -> Labels {
        self.names.lock().labels(snapshot)
    }

    /// Puts the counters on the metrics page.
    pub fn register(self: &Arc<Self>, metrics: &Metrics) {
        let recorder = Arc::clone(self);
        metrics.register(move |scrape| page::write(&recorder, scrape));
    }

    /// The sum of a cell over all sheets.
    fn sum(&self, cell: Cell) -> u64 {
        self.sheets.lock().iter().map(|sheet| sheet.read(cell)).sum()
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("log_one_in", &self.log_one_in).finish_non_exhaustive()
    }
}

impl Scribe {
    /// Notes what came of a query.
    pub fn note(&mut self, noted: &Noted<'_>, labels: &Labels) {
        match noted.reply {
            Reply::Send { facts, .. } => self.count(facts, labels),
            Reply::Drop(Silence::Limited(facts)) => self.pen.one(Cell::limited(facts.class)),
            Reply::Drop(Silence::NoQuery(why)) => self.pen.one(Cell::no_query(*why)),
            Reply::Drop(Silence::NoRoom) => self.pen.one(Cell::NO_ROOM),
        }
        if self.log_one_in == 0 {
            return;
        }
        self.until_logged -= 1;
        if self.until_logged == 0 {
            self.until_logged = self.log_one_in;
            let Self { log, text, .. } = self;
            log.line(|line| Line { noted, labels, text }.write(line));
        }
    }

    fn count(&mut self, facts: &Facts, labels: &Labels) {
        let pen = &mut self.pen;
        pen.one(Cell::query(facts.transport, facts.rtype));
        pen.one(Cell::response(labels.zone(facts.zone), facts.rcode, facts.class));
        if let Some(routed) = &facts.routed {
            pen.one(Cell::pop(labels.pop(routed.pop)));
            pen.one(Cell::located(routed.origin, routed.known));
        }
        pen.one(Cell::cookie(facts.cookie));
        match facts.emptied {
            Some(Emptied::TooLong) => pen.one(Cell::TRUNCATED),
            Some(Emptied::Limited) => pen.one(Cell::slipped(facts.class)),
            None => {}
        }
    }

    /// Notes a datagram that was lost.
    pub fn lost(&mut self, why: Lost) {
        self.pen.one(Cell::lost(why));
    }

    /// Notes what became of a connection.
    pub fn met(&mut self, transport: geodns_core::answer::Transport, what: Met) {
        self.pen.one(Cell::met(transport, what));
    }

    /// Hands on lines that have waited; to be called a few times a second.
    pub fn tick(&mut self) {
        if self.log.is_on() {
            self.log.flush_if_older(Instant::now());
        }
    }
}

/// Whether a response class says more than its response code.
const fn is_nodata(class: ResponseClass) -> bool {
    matches!(class, ResponseClass::NoData)
}
