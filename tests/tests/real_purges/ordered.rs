//! Purges of every kind, each after the content has changed.
//!
//! In: pages. Out: purges that were reported complete, and those that were not.
//! Always holds: a version counts as purged only when the answer said that every node has applied it.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use nearcast_tests::{
    real::{Tested, http::Connection},
    world::dice::Dice,
};
use serde_json::{Value, json};

use super::{
    fleet::Place,
    shop::{HOST, PAGES, Shop, tag, target},
    watched::pick,
};

/// Between two purges of one operator.
const BETWEEN: Duration = Duration::from_millis(150);
/// How long an operator waits for an answer: longer than a purge, and not for an edge that stands still.
const ANSWERED: Duration = Duration::from_secs(6);

/// What became of purges.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    pub(super) complete: AtomicU64,
    /// Complete, though a node had not applied it, since its lease had lapsed.
    pub(super) lapsed: AtomicU64,
    pub(super) partial: AtomicU64,
    pub(super) refused: AtomicU64,
}

/// Orders purges of one edge, one after the other, until it is told to end.
pub(super) fn operator(
    shop: &Shop,
    (place, token): (&Place, &str),
    mut dice: Dice,
    ordered: &Ordered,
    ends: &AtomicBool,
) {
    while !ends.load(Ordering::Acquire) {
        let (selector, taken) = selector(&mut dice);
        // The rest of what is purged is unchanged, and validated where the purge is soft.
        let changed: Vec<usize> = taken.into_iter().filter(|_| dice.percent(60)).collect();
        let mode = if dice.percent(50) { "soft" } else { "hard" };
        purge(shop, place, token, (&selector, mode, &changed), ordered);
        // What is purged all the time is never stored.
        thread::park_timeout(BETWEEN);
    }
}

/// Changes pages and purges them; whether that was reported complete.
pub(super) fn purge(
    shop: &Shop,
    place: &Place,
    token: &str,
    (selector, mode, changed): (&Value, &str, &[usize]),
    ordered: &Ordered,
) -> bool {
    let raised: Vec<(usize, u64)> = changed.iter().map(|page| (*page, shop.raise(*page))).collect();
    let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    let Ok(told) = order(place, token, selector, mode) else {
        count(&ordered.refused);
        return false;
    };
    if told["state"] == "partial" {
        count(&ordered.partial);
    }
    if told["state"] != "complete" {
        return false;
    }
    for (page, version) in raised {
        shop.purged(page, version);
    }
    count(&ordered.complete);
    let nodes = told["nodes"].as_array().into_iter().flatten();
    if nodes.into_iter().any(|node| node["lapsed"] == true) {
        count(&ordered.lapsed);
    }
    true
}

/// Orders one purge, of one selector or a list of them; what the edge said once it had waited for all.
pub(super) fn order(place: &Place, token: &str, selector: &Value, mode: &str) -> Tested<Value> {
    let selectors = if selector.is_array() { selector.clone() } else { json!([selector]) };
    let content = json!({ "site": "shop", "selectors": selectors, "mode": mode }).to_string();
    let mut connection = Connection::open(place.admin)?;
    connection.stream().set_read_timeout(Some(ANSWERED))?;
    let (length, bearer) = (content.len().to_string(), format!("Bearer {token}"));
    let fields = [
        ("Authorization", &*bearer),
        ("Content-Type", "application/json"),
        ("Content-Length", &*length),
    ];
    connection.send_head("POST", "/v1/purges?wait=3s", &fields)?;
    connection.send(content.as_bytes())?;
    let response = connection.response("POST")?;
    match response.status {
        200 | 202 => Ok(serde_json::from_slice(&response.content)?),
        status => Err(format!("{status} {}", response.text()).into()),
    }
}

/// A selector, and the pages that it takes.
fn selector(dice: &mut Dice) -> (Value, Vec<usize>) {
    let page = pick(dice, PAGES);
    let those =
        |is_taken: &dyn Fn(usize) -> bool| (0..PAGES).filter(|page| is_taken(*page)).collect();
    match dice.below(16) {
        0 => (json!("all"), those(&|_| true)),
        1 => (json!({ "host": HOST }), those(&|_| true)),
        2 | 6 => {
            let prefix = format!("{HOST}/p{}/", page % 3);
            (json!({ "prefix": prefix }), those(&|other| other % 3 == page % 3))
        }
        3..6 => (json!({ "tag": tag(page) }), those(&|other| tag(other) == tag(page))),
        _ => (json!({ "url": format!("http://{HOST}{}", target(page)) }), vec![page]),
    }
}
