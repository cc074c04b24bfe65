//! A scenario: a page of script, as values.
//!
//! In: nothing; `parse` makes these from a `.scn` file. Out: what `play` acts out, step by step.
//! Always holds: a scenario that parsed asserts what the origin received, what a client got and its
//! Cache-Status (CONTRIBUTING.md *Tests*).
//! It deliberately does not know the theatre that it is played in.

use std::time::Duration;

use edge_core::purge::Purge;
use origin_mock::script::Script;

pub mod parse;

mod answer;
mod block;
mod expectation;
mod settings;
mod text;

pub use self::settings::{Settings, SiteTable};

/// A page of script.
#[derive(Debug)]
pub struct Scenario {
    /// Its path under `tests/scenarios`, without the ending.
    pub name: String,
    /// The rule that it proves.
    pub title: String,
    /// Where the rule stands.
    pub clause: String,
    /// How binding the rule is.
    pub requires: Requires,
    /// The scenario whose failure makes this one's meaningless.
    pub after: Option<String>,
    /// What the operator said.
    pub settings: Settings,
    /// What the origin does.
    pub script: Script,
    /// What happens, in order, each with its line.
    pub steps: Vec<(usize, Step)>,
}

impl Scenario {
    /// Whether time passes in it, or something is ordered of the edge itself: then only the theatre
    /// that has both at hand can play it.
    #[must_use]
    pub fn is_for_paused(&self) -> bool {
        let own = |step: &Step| {
            matches!(step, Step::Clock(_) | Step::Purge(_) | Step::Counted(..) | Step::Vouch(_))
        };
        self.steps.iter().any(|(_, step)| own(step))
    }

    /// Whether somebody has to vouch for what is stored before it is reused.
    #[must_use]
    pub fn is_leased(&self) -> bool {
        self.steps.iter().any(|(_, step)| matches!(step, Step::Vouch(_)))
    }
}

/// How binding a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requires {
    /// The standard says MUST.
    Must,
    /// The standard says SHOULD.
    Should,
    /// Ours: the standard leaves it open.
    Ours,
}

/// One thing that happens.
#[derive(Debug)]
pub enum Step {
    /// A client sends a request.
    Send(String, Request),
    /// A client has got this.
    Got(String, Expectation),
    /// A client has got nothing so far for its oldest open request.
    Nothing(String),
    /// A client has got this many interim responses for its oldest open request.
    Hints(String, usize),
    /// A client has got no whole, successful response: it was cut, an error of the edge, or nothing.
    Broken(String),
    /// The edge has closed a client's connection, without a further answer.
    Closed(String),
    /// A client drops its connection.
    Abort(String),
    /// A client that had stopped reading reads this many octets more, or all.
    Read(String, Option<u64>),
    /// A client sends further raw octets on its connection.
    More(String, Vec<u8>),
    /// Time passes.
    Clock(Duration),
    /// What is stored may be reused for so long, from now on.
    Vouch(Duration),
    /// An operator purges.
    Purge(Purge),
    /// A purge would speak of so many stored responses.
    Counted(u64, Purge),
    /// The origin has received this many requests so far.
    OriginCount(std::ops::RangeInclusive<usize>),
    /// The origin's nth request, counted from 1, was this.
    OriginSaw(usize, RequestExpectation),
    /// The origin has accepted this many connections so far.
    OriginConnections(usize),
    /// The origin lets go what it holds at a path.
    Release(String),
    /// The origin's servers (or the one named) refuse and drop connections.
    Down(Option<String>),
    /// The origin's servers (or the one named) accept connections again.
    Up(Option<String>),
}

/// What a client sends.
#[derive(Debug, Default)]
pub struct Request {
    /// The method, which decides how the response is framed.
    pub method: String,
    /// The octets of the head before templates are filled in; `None` when raw.
    pub head: Vec<u8>,
    /// The content, as framed.
    pub content: Vec<u8>,
    /// The client stops reading as soon as this is sent.
    pub stalls: bool,
}

/// What a field must be.
#[derive(Clone, Debug)]
pub enum FieldRule {
    /// Its combined value is exactly this.
    Is(String, String),
    /// Its combined value matches this.
    Matches(String, regex_lite::Regex),
    /// No line has this name.
    Absent(String),
}

/// What content must be.
#[derive(Clone, Debug)]
pub enum BodyRule {
    /// Exactly this.
    Is(Vec<u8>),
    /// Text that matches this.
    Matches(regex_lite::Regex),
    /// Text in which this is nowhere.
    Without(regex_lite::Regex),
}

/// What a client must have got.
#[derive(Debug, Default)]
pub struct Expectation {
    /// The final status: one of these.
    pub status: Vec<u16>,
    /// Only the head needs to have come; the answer stays open for a later expectation.
    pub head_only: bool,
    /// Rules for fields of the final head.
    pub fields: Vec<FieldRule>,
    /// What our Cache-Status member says; one of these.
    pub cache: Vec<String>,
    /// The whole content.
    pub body: Option<BodyRule>,
    /// What has come so far (with `head_only`).
    pub so_far: Option<Vec<u8>>,
    /// The response ended before its framing said so.
    pub cut: bool,
    /// The interim responses: status and rules for fields. `None`: not looked at.
    pub interim: Option<Vec<(u16, Vec<FieldRule>)>>,
    /// Rules for trailer fields.
    pub trailers: Vec<FieldRule>,
    /// The edge closes the connection after this answer.
    pub closes: bool,
}

/// What the origin must have received.
#[derive(Debug, Default)]
pub struct RequestExpectation {
    /// The method.
    pub method: String,
    /// The target as sent.
    pub target: String,
    /// Rules for fields.
    pub fields: Vec<FieldRule>,
    /// The content.
    pub body: Option<BodyRule>,
}
