//! The nodes of a ledger as the API tells of them, and what takes one out.

use super::super::*;

#[tokio::test]
async fn a_node_that_does_not_report_is_named() {
    let place = Place::new().await;
    let (_one, _told) = place.join("fra").await;
    let (away, _) = place.join("iad").await;
    place.has_kept("iad").await;
    // It follows no longer, and is registered still.
    drop(away);
    let (status, answer) = place.order("/v1/purges?wait=50ms", shop(json!(["all"]))).await;
    assert_eq!((status, &answer["state"]), (StatusCode::ACCEPTED, &json!("partial")), "{answer}");
    assert_eq!(answer["nodes"][1], json!({ "node": "iad", "applied": false }));
    let path = format!("/v1/purges/{}", answer["id"].as_str().unwrap());
    let (_, later) = place.ask(&place.first, "GET", &path, None).await;
    assert_eq!(
        (&later["state"], &later["nodes"][1]["applied"]),
        (&json!("partial"), &json!(false))
    );
    let (_, nodes) = place.ask(&place.first, "GET", "/v1/nodes", None).await;
    assert_eq!(
        (&nodes["nodes"][0]["behind"], &nodes["nodes"][1]["behind"]),
        (&json!(0), &json!(1))
    );
    // It comes back where it was, and has applied it before it has joined.
    let (back, told) = place.join("iad").await;
    assert_eq!((told.0.lock().unwrap().len(), told.1.load(Ordering::SeqCst)), (1, 0));
    let (_, later) = place.ask(&place.first, "GET", &path, None).await;
    assert_eq!(later["state"], "complete");
    // Who leaves is waited for no more.
    assert!(back.leave().await.is_none());
    let (status, answer) = place.order("/v1/purges?wait=10s", shop(json!(["all"]))).await;
    assert_eq!((status, answer["nodes"].as_array().unwrap().len()), (StatusCode::OK, 1));
}

#[tokio::test]
async fn a_node_is_removed_once_it_is_away() {
    let place = Place::new().await;
    let (_here, _) = place.join("fra").await;
    let (gone, _) = place.join("iad").await;
    let remove = async |name: &str, force: &str| {
        place.ask(&place.first, "DELETE", &format!("/v1/nodes/{name}{force}"), None).await
    };
    let states = async || {
        let (_, told) = place.ask(&place.first, "GET", "/v1/nodes", None).await;
        let nodes = told["nodes"].as_array().unwrap().iter();
        nodes.map(|node| node["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let reader = place.made(json!({ "actions": ["read"] })).await;
    let audited = place.mark().await.2;
    let (status, _) = place.ask(&reader, "DELETE", "/v1/nodes/iad?force=true", None).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(remove("none", "").await.0, StatusCode::NOT_FOUND);
    let (status, problem) = remove("iad", "").await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("force"), "{problem}");
    assert_eq!(place.mark().await.2, audited, "what is refused is not in the log");
    drop(gone);
    let mut seen = place.roster.seen();
    let is_away = |seen: &Seen| seen.node("iad").is_some_and(|it| it.presence == Presence::Away);
    let away = seen.wait_for(is_away);
    drop(tokio::time::timeout(Duration::from_secs(20), away).await.unwrap().unwrap());
    let (status, removed) = remove("iad", "").await;
    assert_eq!((status, removed), (StatusCode::OK, json!({ "name": "iad", "state": "away" })));
    let (status, answer) = place.order("/v1/purges?wait=10s", shop(json!(["all"]))).await;
    assert_eq!((status, answer["nodes"].as_array().unwrap().len()), (StatusCode::OK, 1));
    let (_, audit) = place.ask(&place.first, "GET", "/v1/audit?what=node.remove", None).await;
    let entries = audit["entries"].as_array().unwrap();
    assert_eq!((entries.len(), &entries[0]["entry"]["on"]["node"]), (1, &json!("iad")), "{audit}");
    // One that is here, by force.
    assert_eq!(remove("fra", "?force=true").await.0, StatusCode::OK);
    assert!(states().await.is_empty());
}

#[tokio::test]
async fn the_last_word_of_a_name_server_is_removed_by_force() {
    let place = Place::new().await;
    let word = NodeDocument {
        roles: vec![node::Role::Geodns],
        ended_cached_ms: Some(600_000),
        ..NodeDocument::default()
    };
    let (key, word) =
        (node::key_of("ns-3").unwrap(), nearcast_control::documents::encode(&word).unwrap());
    place.ledger.write(&key, word, Expect::Absent).await.unwrap();
    let remove = async |force: &str| {
        place.ask(&place.first, "DELETE", &format!("/v1/nodes/ns-3{force}"), None).await
    };
    let (status, problem) = remove("").await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("may be cached"), "{problem}");
    let (status, removed) = remove("?force=true").await;
    assert_eq!((status, removed), (StatusCode::OK, json!({ "name": "ns-3", "state": "away" })));
    assert!(place.ledger.read(&key).await.unwrap().is_none());
}

#[tokio::test]
async fn a_node_of_a_foreign_or_trimmed_log_purges_everything_and_goes_on() {
    let place = Place::new().await;
    let (one, told) = place.join("fra").await;
    // It has never been here: what it holds, if anything, is of no known position.
    assert_eq!(told.1.load(Ordering::SeqCst), 1);
    place.order("/v1/purges?wait=10s", shop(json!(["all"]))).await;
    place.has_kept("fra").await;
    drop(one);
    let (two, told) = place.join("fra").await;
    assert_eq!((told.0.lock().unwrap().len(), told.1.load(Ordering::SeqCst)), (0, 0));
    drop(two);
    // Another ledger with more purges than this node has applied of the former one.
    let another = Place::new().await;
    for _ in 0..3 {
        another.order("/v1/purges", shop(json!(["all"]))).await;
    }
    let kept = AppliedFile::beside(&place.folder.path().join("ledger.redb"), "fra").read();
    AppliedFile::beside(&another.folder.path().join("ledger.redb"), "fra")
        .keep(kept.unwrap())
        .unwrap();
    let (_three, told) = another.join("fra").await;
    assert_eq!((told.0.lock().unwrap().len(), told.1.load(Ordering::SeqCst)), (0, 1));
    let (status, _) = another.order("/v1/purges?wait=10s", shop(json!(["all"]))).await;
    assert_eq!(status, 200);
    assert_eq!(told.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn former_nodes_of_this_process_are_forgotten() {
    let place = Place::new().await;
    let (_one, _) = place.join("fra").await;
    let (former, _) = place.join("old").await;
    drop(former);
    node::forget_others(&*place.ledger, &["fra"]).await.unwrap();
    let (status, answer) = place.order("/v1/purges?wait=10s", shop(json!(["all"]))).await;
    assert_eq!((status, answer["nodes"].as_array().unwrap().len()), (StatusCode::OK, 1));
}

#[tokio::test]
async fn a_node_that_may_hold_a_lease_is_not_removed_by_force_either() {
    let place = Place::new().await;
    let key = node::key_of("sin").unwrap();
    let write = async |lease_ms, expect| {
        let document = NodeDocument { lease_ms: Some(lease_ms), ..NodeDocument::default() };
        let document = nearcast_control::documents::encode(&document).unwrap();
        place.ledger.write(&key, document, expect).await.unwrap()
    };
    let path = "/v1/nodes/sin?force=true";
    let remove = || place.ask(&place.first, "DELETE", path, None);
    let first = write(3_600_000, Expect::Absent).await;
    let (status, answer) = remove().await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("lease"), "{answer}");
    // One that has certainly lapsed within moments.
    write(1, Expect::At(first)).await;
    let removed = async {
        while remove().await.0 != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), removed).await.unwrap();
}

#[tokio::test]
async fn a_node_is_removed_once_under_one_key() {
    let place = Place::new().await;
    let (member, _) = place.join("fra").await;
    let remove = async |name: &str, key: &str| {
        let path = format!("/v1/nodes/{name}?force=true");
        send_once(&place, ("DELETE", &path), key, None).await
    };
    let (status, removed) = remove("fra", "a").await;
    assert_eq!(status, 200, "{removed}");
    assert_eq!(remove("fra", "a").await, (status, removed.clone()), "its answer was lost");
    assert_eq!(remove("fra", "b").await.0, 404);
    // It is back meanwhile, and stays.
    drop(member);
    let (_member, _) = place.join("fra").await;
    assert_eq!(remove("fra", "a").await, (status, removed));
    let (_, nodes) = place.ask(&place.first, "GET", "/v1/nodes", None).await;
    assert_eq!(nodes["nodes"].as_array().unwrap().len(), 1, "{nodes}");
    assert_eq!(remove("iad", "a").await.0, 422);
}
