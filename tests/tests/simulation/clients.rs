//! The clients of the simulation: what they ask, how they read, what they got.
//!
//! In: dice, a world. Out: one [`Visit`] per request, pushed when it is over.
//! Always holds: a visit's sequence numbers stand around all that happened between.

use std::{sync::Arc, time::Duration};

use nearcast_tests::{
    message::Answer,
    world::{World, caller::Caller, dice::Dice, model::Library},
};
use parking_lot::Mutex;
use tokio::{
    io::DuplexStream,
    time::{Instant, sleep_until, timeout_at},
};

/// What a client asks and how it behaves.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) id: String,
    pub(crate) host: &'static str,
    pub(crate) target: String,
    pub(crate) method: &'static str,
    pub(crate) lang: &'static str,
    pub(crate) range: Option<String>,
    pub(crate) etag: Option<String>,
    pub(crate) fields: String,
    pub(crate) manner: Manner,
}

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Prompt,
    /// So many octets, then a pause.
    Slow(usize, Duration),
    /// Goes away after so many octets, or after this time.
    Leaves(usize, Duration),
}

/// What became of a wish.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) wish: Wish,
    pub(crate) began: Instant,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) answer: Answer,
    pub(crate) left: bool,
    pub(crate) fault: Option<String>,
}

pub(crate) const HOSTS: [&str; 4] = ["one.test", "alt.one.test", "x.two.test", "y.two.test"];
/// A few of these are a play's, so that it asks again for what it has stored.
pub(crate) const LETTERS: [&str; 10] = ["a", "m", "w", "e", "n", "c", "v", "b", "k", "s"];
const LANGS: [&str; 3] = ["en", "de", "fr"];

/// A random wish.
pub(crate) fn wish(dice: &mut Dice, letters: &[&'static str], id: u64, library: &Library) -> Wish {
    let letter = dice.one_of(letters);
    let query = if dice.percent(10) { "?q=1" } else { "" };
    let target = format!("/{letter}{}{query}", dice.below(2));
    let host = HOSTS[usize::try_from(dice.below(10)).unwrap().saturating_sub(6)];
    let lang = LANGS[usize::try_from(dice.below(3)).unwrap()];
    let method = match dice.below(60) {
        0 | 1 => "POST",
        2..=4 => "HEAD",
        5 => "DELETE",
        _ => "GET",
    };
    let get = method == "GET";
    let range = (get && dice.percent(12)).then(|| match dice.below(3) {
        0 => format!("bytes={}-{}", dice.below(400), 400 + dice.below(900)),
        1 => format!("bytes={}-", dice.below(700)),
        _ => format!("bytes=-{}", 1 + dice.below(500)),
    });
    let variant = if letter == "v" { lang } else { "" };
    let etag = (method != "POST" && method != "DELETE" && dice.percent(15)).then(|| {
        let current = library.version(host, &target);
        let version = current.saturating_sub(usize::try_from(dice.below(2)).unwrap());
        format!("\"{host}|{target}|{variant}|{version}\"")
    });
    let fields = match dice.below(14) {
        0 => "Cache-Control: no-cache\r\n",
        1 => "Cache-Control: max-age=0\r\nPragma: no-cache\r\n",
        2 => "Cache-Control: no-store\r\n",
        3 => "Authorization: Basic eA==\r\n",
        4 if get => "Cache-Control: max-stale=20\r\n",
        5 if get => "Cache-Control: only-if-cached\r\n",
        _ => "",
    };
    let manner = match dice.below(10) {
        0 => Manner::Slow(
            usize::try_from(500 + dice.below(8_000)).unwrap(),
            Duration::from_millis(10 + dice.below(1_500)),
        ),
        1 => Manner::Leaves(
            usize::try_from(dice.below(6_000)).unwrap(),
            Duration::from_millis(dice.below(5_000)),
        ),
        _ => Manner::Prompt,
    };
    let (id, fields) = (format!("c{id}"), fields.to_owned());
    Wish { id, host, target, method, lang, range, etag, fields, manner }
}

impl Wish {
    fn octets(&self) -> Vec<u8> {
        let mut text = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\nX-Client: {}\r\nX-Lang: {}\r\n{}",
            self.method, self.target, self.host, self.id, self.lang, self.fields
        );
        for (name, value) in [("Range", &self.range), ("If-None-Match", &self.etag)] {
            if let Some(value) = value {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        let content = if self.method == "POST" { "hello" } else { "" };
        if !content.is_empty() {
            text.push_str(&format!("Content-Length: {}\r\n", content.len()));
        }
        text.push_str("\r\n");
        text.push_str(content);
        text.into_bytes()
    }
}

/// Sends a client off; its visit is pushed when it is over.
pub(crate) fn send(
    wish: Wish,
    world: &World,
    library: &Arc<Library>,
    visits: &Arc<Mutex<Vec<Visit>>>,
) {
    let (io, library, visits) = (world.connect(), Arc::clone(library), Arc::clone(visits));
    tokio::spawn(async move {
        let first = library.tick();
        let began = Instant::now();
        let (answer, left, fault) = visit(&wish, io).await;
        let last = library.tick();
        visits.lock().push(Visit { wish, began, first, last, answer, left, fault });
    });
}

async fn visit(wish: &Wish, io: DuplexStream) -> (Answer, bool, Option<String>) {
    let mut caller = Caller::on(io);
    caller.send(wish.method, &wish.octets()).await;
    let mut left = false;
    if let Manner::Leaves(octets, after) = wish.manner {
        let until = Instant::now() + after;
        let mut read = 0;
        while read < octets && !caller.so_far().is_some_and(|answer| answer.ended) {
            match timeout_at(until, caller.read(1_000)).await {
                Ok(0) | Err(_) => break,
                Ok(count) => read += count,
            }
        }
        left = true;
    }
    if let Manner::Slow(octets, pause) = wish.manner {
        while !caller.so_far().is_some_and(|answer| answer.ended) {
            sleep_until(Instant::now() + pause).await;
            if caller.read(octets).await == 0 {
                break;
            }
        }
    }
    let fault = caller.fault().map(str::to_owned);
    let answer = match left {
        true => caller.so_far().cloned().unwrap_or_default(),
        false => caller.answer().await,
    };
    let fault = fault.or_else(|| caller.fault().map(str::to_owned));
    (answer, left, fault)
}
