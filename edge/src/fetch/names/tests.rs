//! Names under a paused clock, and a resolver that says what the test tells it to.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::time::advance;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Answers with what is next in line, and with the last of it for ever; hangs where that is nothing.
#[derive(Default)]
struct Script {
    lines: Mutex<VecDeque<Option<Result<Answer, Trouble>>>>,
    asked: AtomicUsize,
}

impl Resolve for Script {
    fn resolve<'a>(&'a self, _question: &'a Question) -> BoxFuture<'a, Result<Answer, Trouble>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut lines = self.lines.lock();
        let line = if lines.len() > 1 { lines.pop_front() } else { lines.front().cloned() };
        Box::pin(async move {
            match line.flatten() {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}

fn answer(address: &str, ttl: Duration) -> Option<Result<Answer, Trouble>> {
    Some(Ok(Answer::of_addresses(vec![address.parse().unwrap()], ttl)))
}

fn fails() -> Option<Result<Answer, Trouble>> {
    Some(Err(Trouble::of("SERVFAIL")))
}

fn names(lines: impl IntoIterator<Item = Option<Result<Answer, Trouble>>>) -> (Names, Arc<Script>) {
    let script =
        Arc::new(Script { lines: Mutex::new(lines.into_iter().collect()), ..Script::default() });
    let manner = Manner { resolver: Arc::<Script>::clone(&script), ttl: (SECOND, 60 * SECOND) };
    (Names::new(Handle::current(), manner), script)
}

fn question() -> Question {
    Question { name: "a.example".to_owned(), is_service: false }
}

async fn first(name: &Name) -> String {
    match name.addresses(80).await {
        Ok(addresses) => addresses.first().map(SocketAddr::to_string).unwrap_or_default(),
        Err(trouble) => trouble.reason,
    }
}

/// Lets time pass second by second, as keepers sleep and answer in it.
async fn pass(seconds: u64) {
    rest().await;
    for _ in 0..seconds {
        advance(SECOND).await;
        rest().await;
    }
}

async fn rest() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn rfc1035_3_2_1_a_name_is_asked_for_again_when_its_ttl_is_over_and_by_one_alone() {
    let (names, script) = names([
        answer("192.0.2.1", 10 * SECOND),
        answer("192.0.2.2", Duration::ZERO),
        answer("192.0.2.3", 3600 * SECOND),
    ]);
    let name = names.name(&question());
    let crowd = (0..100).map(|_| first(&name));
    let crowd = futures_util::future::join_all(crowd).await;
    assert!(crowd.iter().all(|one| one == "192.0.2.1:80"), "{crowd:?}");
    assert_eq!(script.asked.load(Ordering::Relaxed), 1, "one question for a crowd");
    pass(9).await;
    assert_eq!(first(&name).await, "192.0.2.1:80");
    pass(1).await;
    assert_eq!(first(&name).await, "192.0.2.2:80");
    // The floor of a TTL of 0, then the ceiling of an hour's.
    pass(1).await;
    assert_eq!(first(&name).await, "192.0.2.3:80");
    pass(59).await;
    assert_eq!(script.asked.load(Ordering::Relaxed), 3);
    pass(1).await;
    assert_eq!(script.asked.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn rfc8767_a_resolver_that_fails_or_hangs_takes_no_answer_away() {
    let (names, script) = names([
        answer("192.0.2.1", SECOND),
        fails(),
        Some(Ok(Answer::default())),
        None,
        answer("192.0.2.2", 60 * SECOND),
    ]);
    let name = names.name(&question());
    assert_eq!(first(&name).await, "192.0.2.1:80");
    // A failure after 1 s, an empty answer a second later, a hanging question 2 s later.
    for _ in 0..6 {
        pass(1).await;
        assert_eq!(first(&name).await, "192.0.2.1:80");
    }
    assert_eq!(script.asked.load(Ordering::Relaxed), 4);
    let [seen] = <[Seen; 1]>::try_from(names.seen()).unwrap();
    assert_eq!((seen.answered, seen.failed, seen.is_failing), (1, 2, true));
    pass(QUESTION_TIMEOUT.as_secs() + 4).await;
    assert_eq!(first(&name).await, "192.0.2.2:80");
    assert!(!names.seen()[0].is_failing);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_never_resolved_fails_at_once_until_it_is() {
    let (names, script) = names([fails(), fails(), answer("192.0.2.1", 60 * SECOND)]);
    let name = names.name(&question());
    for _ in 0..100 {
        assert_eq!(first(&name).await, "SERVFAIL");
    }
    assert_eq!(script.asked.load(Ordering::Relaxed), 1, "a failure is not asked for by each");
    pass(3).await;
    assert_eq!(first(&name).await, "192.0.2.1:80");
}

#[tokio::test(start_paused = true)]
async fn whom_this_node_could_not_ask_is_to_blame_for_nothing_and_is_asked_again_soon() {
    let ours = || Some(Err(Trouble { reason: "EMFILE".to_owned(), is_ours: true }));
    let lines = [ours(), ours(), ours(), ours(), ours(), answer("192.0.2.1", 60 * SECOND)];
    let (names, _script) = names(lines);
    let name = names.name(&question());
    assert!(name.addresses(80).await.unwrap_err().is_ours);
    pass(4).await;
    assert_eq!(first(&name).await, "EMFILE");
    pass(1).await;
    assert_eq!(first(&name).await, "192.0.2.1:80", "once a second");
}

#[tokio::test(start_paused = true)]
async fn connections_to_an_address_that_a_name_has_left_end_after_a_while() {
    let (names, _script) =
        names([answer("192.0.2.1", SECOND), answer("192.0.2.2", SECOND), fails()]);
    let name = names.name(&question());
    first(&name).await;
    let old = Residence::new(Arc::clone(&name), "192.0.2.1:80".parse().unwrap());
    let new = Residence::new(Arc::clone(&name), "192.0.2.2:80".parse().unwrap());
    pass(1).await;
    assert_eq!(first(&name).await, "192.0.2.2:80");
    let farewell = FAREWELL.as_secs();
    pass(farewell - 1).await;
    assert!(!old.is_out_of_use());
    pass(1).await;
    assert!(old.is_out_of_use());
    // However long the resolver fails.
    pass(2 * farewell).await;
    assert!(!new.is_out_of_use());
}

#[tokio::test(start_paused = true)]
async fn an_address_that_cannot_be_reached_comes_last_for_a_while() {
    let addresses = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap()).to_vec();
    let (names, _script) = names([Some(Ok(Answer::of_addresses(addresses, 60 * SECOND)))]);
    let name = names.name(&question());
    let mut firsts = Vec::new();
    for _ in 0..4 {
        firsts.push(first(&name).await);
    }
    assert_eq!(firsts[0], firsts[2]);
    assert_ne!(firsts[0], firsts[1], "connections spread over the addresses");
    name.failed("192.0.2.1:80".parse().unwrap());
    for _ in 0..4 {
        assert_eq!(name.addresses(80).await.unwrap().len(), 2);
        assert_eq!(first(&name).await, "192.0.2.2:80");
    }
    name.worked("192.0.2.1:80".parse().unwrap());
    name.failed("192.0.2.2:80".parse().unwrap());
    assert_eq!(first(&name).await, "192.0.2.1:80");
    pass(SHUNNED.as_secs()).await;
    assert_ne!(first(&name).await, first(&name).await);
}

#[tokio::test(start_paused = true)]
async fn only_names_of_servers_in_force_are_kept() {
    let (names, script) = names([answer("192.0.2.1", SECOND)]);
    let manner = Manner { resolver: Arc::<Script>::clone(&script), ttl: (SECOND, SECOND) };
    let urls = ["http://a.example", "https+srv://b.example", "http://192.0.2.9", "http://[::1]"];
    let servers = urls.map(|url| ServerAddress::parse(url).unwrap());
    names.adopt(manner.clone(), &servers);
    let seen = |names: &Names| names.seen().into_iter().map(|one| one.name).collect::<Vec<_>>();
    assert_eq!(seen(&names), ["_https._tcp.b.example", "a.example"]);
    pass(3).await;
    assert_eq!(script.asked.load(Ordering::Relaxed), 8, "asked for before anybody needs them");
    names.adopt(manner, &servers[..1]);
    assert_eq!(seen(&names), ["a.example"]);
    pass(1).await;
    let before = script.asked.load(Ordering::Relaxed);
    pass(1).await;
    assert_eq!(script.asked.load(Ordering::Relaxed), before + 1, "no keeper without a name");
    drop(names);
    pass(3).await;
    assert_eq!(script.asked.load(Ordering::Relaxed), before + 1);
}

#[test]
fn addresses_in_any_form_are_not_asked_for() {
    let urls = [
        ("http://192.0.2.1", true),
        ("http://127.1", true),
        ("http://0x7f.1", true),
        ("http://0x7f000001", true),
        ("http://[::1]", true),
        ("http://a1.example", false),
        ("http://localhost", false),
        ("http://0x7g", false),
    ];
    for (url, is_address) in urls {
        let server = ServerAddress::parse(url).unwrap();
        assert_eq!(Question::of(&server).is_none(), is_address, "{url}");
    }
}

fn both(addresses: &str, unknown: &[Family]) -> Option<Result<Answer, Trouble>> {
    let addresses = addresses.split(' ').map(|text| text.parse().unwrap()).collect();
    let target = Target { addresses, unknown: unknown.to_vec(), ..Target::default() };
    let trouble = (!unknown.is_empty()).then(|| Trouble::of("SERVFAIL"));
    Some(Ok(Answer { targets: vec![target], ttl: SECOND, trouble }))
}

async fn all(name: &Name) -> Vec<String> {
    let mut all: Vec<String> =
        name.addresses(80).await.unwrap().iter().map(|one| one.ip().to_string()).collect();
    all.sort();
    all
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_fails_for_one_family_takes_none_of_its_addresses_away() {
    let (names, script) =
        names([both("192.0.2.1 2001:db8::1", &[]), both("2001:db8::2", &[Family::V4])]);
    let name = names.name(&question());
    assert_eq!(all(&name).await, ["192.0.2.1", "2001:db8::1"]);
    pass(1).await;
    assert_eq!(all(&name).await, ["192.0.2.1", "2001:db8::2"]);
    let residence = Residence::new(Arc::clone(&name), "192.0.2.1:80".parse().unwrap());
    pass(20).await;
    assert!(!residence.is_out_of_use());
    assert_eq!(all(&name).await, ["192.0.2.1", "2001:db8::2"]);
    let [seen] = <[Seen; 1]>::try_from(names.seen()).unwrap();
    assert_eq!((seen.answered, seen.is_failing), (1, true));
    let asked = script.asked.load(Ordering::Relaxed);
    assert!(asked < 8, "{asked} questions in 21 s");
    // Not for ever.
    for _ in 0..9000 {
        advance(10 * SECOND).await;
        rest().await;
    }
    assert_eq!(all(&name).await, ["2001:db8::2"]);
}

#[tokio::test(start_paused = true)]
async fn rfc8767_5_what_is_known_is_not_used_for_ever() {
    let (names, _script) = names([answer("192.0.2.1", SECOND), fails()]);
    let name = names.name(&question());
    for _ in 0..8600 {
        advance(10 * SECOND).await;
        rest().await;
    }
    assert_eq!(first(&name).await, "192.0.2.1:80");
    for _ in 0..60 {
        advance(10 * SECOND).await;
        rest().await;
    }
    assert_eq!(first(&name).await, "SERVFAIL");
}

#[tokio::test(start_paused = true)]
async fn rfc2782_a_service_that_moves_to_another_port_is_followed() {
    let at = |port| {
        let addresses = vec!["192.0.2.1".parse().unwrap()];
        let target = Target { port: Some(port), addresses, ..Target::default() };
        Some(Ok(Answer { targets: vec![target], ttl: SECOND, trouble: None }))
    };
    let (names, _script) = names([at(8001), at(8002)]);
    let name = names.name(&question());
    assert_eq!(first(&name).await, "192.0.2.1:8001");
    let before = Residence::new(Arc::clone(&name), "192.0.2.1:8001".parse().unwrap());
    let after = Residence::new(Arc::clone(&name), "192.0.2.1:8002".parse().unwrap());
    pass(2).await;
    assert_eq!(first(&name).await, "192.0.2.1:8002");
    assert!(!before.is_out_of_use() && !after.is_out_of_use());
    pass(FAREWELL.as_secs()).await;
    assert!(before.is_out_of_use() && !after.is_out_of_use());
}

#[tokio::test(start_paused = true)]
async fn an_address_that_did_not_do_is_left_for_one_that_may() {
    let (names, _script) = names([both("192.0.2.1 192.0.2.2", &[])]);
    let name = names.name(&question());
    assert_eq!(all(&name).await.len(), 2);
    let [one, two] = ["192.0.2.1:80", "192.0.2.2:80"]
        .map(|address| Residence::new(Arc::clone(&name), address.parse().unwrap()));
    assert!(one.failed() && one.is_out_of_use() && !two.is_out_of_use());
    for _ in 0..4 {
        assert_eq!(first(&name).await, "192.0.2.2:80");
    }
    // One that fails as well is no better.
    assert!(!two.failed() && !two.is_out_of_use() && !one.is_out_of_use());
}

#[tokio::test(start_paused = true)]
async fn the_family_that_worked_comes_first_and_a_connection_tries_so_many() {
    let (names, _script) = names([both("192.0.2.1 2001:db8::1", &[])]);
    let name = names.name(&question());
    assert_eq!(first(&name).await, "[2001:db8::1]:80");
    name.worked("192.0.2.1:80".parse().unwrap());
    assert_eq!(first(&name).await, "192.0.2.1:80");
    let many: Vec<String> = (1..=40).map(|last| format!("192.0.2.{last}")).collect();
    let (names, _script) = self::names([both(&many.join(" "), &[])]);
    assert_eq!(all(&names.name(&question())).await.len(), ADDRESSES_MAX);
}

#[tokio::test(start_paused = true)]
async fn what_has_left_is_forgotten() {
    let places = (0..100).map(|number| answer(&format!("192.0.2.{number}"), SECOND));
    let (names, _script) = names(places);
    let name = names.name(&question());
    pass(99).await;
    assert_eq!(first(&name).await, "192.0.2.99:80");
    let left = name.state.lock().left.len();
    assert!(left <= 11, "{left} are remembered");
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_fails_is_asked_more_and_more_seldom_and_never_given_up() {
    let (names, script) = names([fails()]);
    let server = [ServerAddress::parse("http://a.example").unwrap()];
    let manner = Manner { resolver: Arc::<Script>::clone(&script), ttl: (SECOND, SECOND) };
    names.adopt(manner.clone(), &server);
    let mut pauses = Vec::new();
    let (mut asked, mut since) = (0, 0);
    for second in 0..60 {
        let now = script.asked.load(Ordering::Relaxed);
        if now > asked {
            pauses.push(second - since);
            (asked, since) = (now, second);
        }
        pass(1).await;
    }
    assert_eq!(pauses[..6], [1, 2, 4, 8, 10, 10], "{pauses:?}");
    // New settings may name a better one: it begins anew.
    let before = script.asked.load(Ordering::Relaxed);
    names.adopt(manner, &server);
    pass(1).await;
    assert_eq!(script.asked.load(Ordering::Relaxed), before + 2);
}

#[tokio::test(start_paused = true)]
async fn half_an_answer_for_more_than_a_day_is_no_reason_to_drop_the_other_half() {
    let (names, _script) =
        names([both("192.0.2.1 2001:db8::1", &[]), both("2001:db8::1", &[Family::V4])]);
    let name = names.name(&question());
    for _ in 0..9000 {
        advance(10 * SECOND).await;
        rest().await;
        let known = name.known(80).unwrap();
        assert_eq!(known.unwrap()[0], "[2001:db8::1]:80".parse().unwrap());
    }
}
