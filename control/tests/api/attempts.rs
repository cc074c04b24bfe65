//! Orders that are sent again under their Idempotency-Key, and what the audit log has of each attempt.

use futures_util::future::join_all;

use super::{super::*, hostile::*};

/// Names of what is done to `on`, by entry, the newest first.
fn on(audit: &Value, name: &str) -> Vec<Value> {
    let entries = audit["entries"].as_array().unwrap();
    entries.iter().map(|told| told["entry"]["on"][name].clone()).collect()
}

/// A token that has made two others, and where it is revoked.
async fn maker(place: &Place) -> String {
    let maker = place.made(json!({ "actions": ["purge", "tokens"] })).await;
    for _ in 0..2 {
        let wanted = json!({ "actions": ["purge"] });
        assert_eq!(place.ask(&maker, "POST", "/v1/tokens", Some(wanted)).await.0, 201);
    }
    format!("/v1/tokens/{}", id(&maker))
}

async fn write_site(place: &Place, key: &str, host: &str) -> u64 {
    let request = Request::put("/v1/sites/shop").header("if-match", "*");
    let request = request.header("authorization", format!("Bearer {}", place.first));
    let request = request.header("idempotency-key", key).header("content-type", "application/toml");
    let request = request.body(Body::from(format!("shop {host}"))).unwrap();
    let (status, told) = read(place.send(request).await).await;
    assert!(status.is_success(), "{status} {told}");
    told["revision"].as_u64().unwrap()
}

#[tokio::test]
async fn what_is_done_under_a_key_that_was_used_before_has_an_entry() {
    let place = Place::new().await;
    let request = Request::put("/v1/sites/shop").header("if-none-match", "*");
    let request = request.header("authorization", format!("Bearer {}", place.first));
    let request = request.header("content-type", "application/toml");
    let made = place.send(request.body(Body::from("shop h.example")).unwrap()).await;
    assert_eq!(made.status(), 201);
    // Four versions are kept, so that after six keys the first is not known any more.
    let mut revisions = Vec::new();
    for round in 0..18 {
        let host = format!("h{round}.example");
        revisions.push(write_site(&place, &format!("k{}", round % 6), &host).await);
        // Again it is the same, and nothing is done.
        let again = write_site(&place, &format!("k{}", round % 6), &host).await;
        assert_eq!(Some(&again), revisions.last());
    }
    let told = place.audit("what=site.write&limit=18").await;
    let mut entries = on(&told, "revision");
    entries.reverse();
    assert_eq!(entries, revisions.iter().map(|revision| json!(revision)).collect::<Vec<_>>());
    assert!(outcomes(&told).iter().all(|outcome| *outcome == "done"));
}

#[tokio::test]
async fn a_purge_that_is_ordered_again_is_one_entry_wherever_it_was_cut_off() {
    // It may be in the purge log; or it is, and its line is missing, or may be there.
    let cuts = [
        (Writes::OneIsUnsaidAfter(0), 503, vec!["unknown"]),
        (Writes::OneFailsAfter(1), 202, vec![]),
        (Writes::OneIsUnsaidAfter(1), 202, vec!["done"]),
    ];
    for (cut, status, entries) in cuts {
        let (place, frail) = Place::frail().await;
        let order = async || {
            let content = Some(shop(json!(["all"])));
            send_once(&place, ("POST", "/v1/purges"), "a", content).await.0
        };
        *frail.writes.lock().unwrap() = cut;
        assert_eq!(order().await, status, "{cut:?}");
        assert_eq!(outcomes(&place.audit("").await), entries, "{cut:?}");
        for _ in 0..2 {
            assert_eq!(order().await, 202, "{cut:?}");
            let told = place.audit("").await;
            assert_eq!((whats(&told), outcomes(&told)), (vec!["purge"], vec!["done"]), "{cut:?}");
            assert!(on(&told, "purge")[0].is_string(), "{told}");
        }
        assert_eq!(place.ledger.ends(Log::Purges).await.unwrap().last.seq, 1, "{cut:?}");
    }
}

#[tokio::test]
async fn a_revocation_that_is_continued_under_its_key_names_all_that_went() {
    let (place, frail) = Place::frail().await;
    let path = maker(&place).await;
    let revoke = async |key: &str| send_once(&place, ("DELETE", &path), key, None).await.0;
    let lengths = |told: &Value| {
        let all = on(told, "revoked").into_iter();
        all.map(|ids| ids.as_array().unwrap().len()).collect::<Vec<_>>()
    };
    // Its line, itself and one of the two.
    *frail.writes.lock().unwrap() = Writes::OneFailsAfter(3);
    assert_eq!(revoke("a").await, 503);
    assert_eq!(revoke("a").await, 200);
    let told = place.audit("what=token.revoke").await;
    assert_eq!((lengths(&told), on(&told, "whole")), (vec![1, 2], vec![json!(true), json!(false)]));
    let (rest, begun) = (&on(&told, "revoked")[0][0], &on(&told, "revoked")[1]);
    assert!(!begun.as_array().unwrap().contains(rest), "{told}");
    // Whoever revokes it once more changes nothing, and so it is no entry.
    for key in ["a", "b", "c"] {
        assert_eq!(revoke(key).await, 200);
    }
    assert_eq!(place.audit("what=token.revoke").await, told);
}

#[tokio::test]
async fn a_revocation_whose_end_was_lost_names_all_that_went() {
    let (place, frail) = Place::frail().await;
    let path = maker(&place).await;
    let revoke = async || send_once(&place, ("DELETE", &path), "a", None).await.0;
    *frail.writes.lock().unwrap() = Writes::OneFailsAfter(4);
    for outcome in ["unknown", "done", "done"] {
        assert_eq!(revoke().await, 200);
        let told = place.audit("what=token.revoke").await;
        assert_eq!(outcomes(&told), [outcome]);
        assert_eq!(on(&told, "revoked")[0].as_array().unwrap().len(), 3, "{told}");
    }
}

#[tokio::test]
async fn an_order_on_a_node_that_was_done_without_an_answer_is_ended_by_ordering_it_again() {
    let (place, frail) = Place::frail().await;
    for name in ["nodes/iad", "nodes/fra"] {
        place.ledger.write(&key(name), node(), Expect::Anything).await.unwrap();
    }
    let orders = [
        ("node.drain", "PUT", "/v1/nodes/iad/drain"),
        ("node.undrain", "DELETE", "/v1/nodes/iad/drain"),
        ("node.remove", "DELETE", "/v1/nodes/iad?force=true"),
    ];
    for (what, method, path) in orders {
        let order = async |key: &str| send_once(&place, (method, path), key, None).await.0;
        *frail.writes.lock().unwrap() = Writes::OneIsUnsaidAfter(1);
        assert_eq!(order("a").await, 503, "{what}");
        for wanted in ["unknown", "done"] {
            let told = place.audit(&format!("what={what}")).await;
            assert_eq!(outcomes(&told), [wanted], "{what}");
            assert_eq!(order("a").await, 200, "{what}");
        }
        let told = place.audit(&format!("what={what}")).await;
        assert_eq!(outcomes(&told), ["done"], "{what}");
        // Under another key it is another order.
        let status = if what == "node.drain" { 200 } else { 404 };
        assert_eq!(order("b").await, status, "{what}");
        assert_eq!(place.audit(&format!("what={what}")).await, told, "{what}");
    }
    let other = send_once(&place, ("DELETE", "/v1/nodes/fra?force=true"), "a", None).await;
    assert_eq!(other.0, 422, "{}", other.1);
}

#[tokio::test]
async fn what_came_of_an_order_is_the_same_on_each_page() {
    let (place, frail) = Place::frail().await;
    let order = async || {
        let content = Some(shop(json!(["all"])));
        send_once(&place, ("POST", "/v1/purges"), "a", content).await.0
    };
    // The first is cut off, and ended after more lines than are read at once.
    *frail.writes.lock().unwrap() = Writes::OneIsUnsaidAfter(0);
    assert_eq!(order().await, 503);
    for _ in 0..11 {
        let line = || place.ask(&place.first, "POST", "/v1/purges", Some(shop(json!(["all"]))));
        assert!(join_all((0..50).map(|_| line())).await.iter().all(|(status, _)| *status == 202));
    }
    let newest = place.audit("limit=500").await;
    assert_eq!(order().await, 202);
    let before = newest["before"].as_str().unwrap();
    let oldest = place.audit(&format!("limit=100&before={before}")).await;
    assert_eq!((outcomes(&oldest).last(), &oldest["before"]), (Some(&"done"), &Value::Null));
    let all = place.audit("limit=1000").await;
    assert_eq!(
        all["entries"].as_array().unwrap().last(),
        oldest["entries"].as_array().unwrap().last()
    );
}
