//! Name servers that have ended: what they answered last may be cached.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_name_server_that_ended_is_waited_for_until_its_last_answers_are_cached_no_more() {
    let stage = Stage::new().await;
    let _here = stage.serve("ns-1", Duration::ZERO).await;
    let ends = stage.serve("ns-2", TTL).await;
    pass(2 * TTL).await;
    let begun = Instant::now();
    assert!(ends.member.leave_for_good(Some(TTL)).await.is_none());
    pass(TTL / 2).await;
    assert!(stage.roster.seen().borrow().node("ns-2").is_none(), "it is no node");
    let at = stage.drain().await;
    let progress = stage.wait(at, State::Ending, SECOND).await;
    assert_eq!(progress.state, State::Expiring);
    assert_eq!(told(&progress), [("ns-1", true, true), ("ns-2", true, false)]);
    assert!(progress.name_servers[1].ended);
    let progress = stage.wait(at, State::Ending, TTL).await;
    assert_eq!((progress.state, begun.elapsed()), (State::Ending, TTL));
    assert_eq!(told(&progress), [("ns-1", true, true)]);
    // What it said before it left holds.
    let ends = stage.serve("ns-3", Duration::ZERO).await;
    pass(HEARTBEAT).await;
    assert!(ends.member.leave_for_good(Some(TTL)).await.is_none());
    assert_eq!(stage.wait(at, State::Ending, SECOND).await.state, State::Ending);
    // Whoever comes under its name, from another folder, is no twin of it.
    let elsewhere = folder();
    let view = stage.ledger.view();
    let _next = serve(&view, elsewhere.path(), "ns-3", Duration::ZERO).await;
    pass(HEARTBEAT / 4).await;
    let progress = stage.wait(at, State::Ending, SECOND).await;
    assert_eq!(told(&progress), [("ns-1", true, true), ("ns-3", true, true)]);
}

#[tokio::test(start_paused = true)]
async fn a_last_word_counts_also_when_another_process_has_its_place() {
    let stage = Stage::new().await;
    let _here = stage.serve("ns-1", Duration::ZERO).await;
    let ends = stage.serve("ns-2", TTL).await;
    pass(2 * TTL).await;
    let begun = Instant::now();
    assert!(ends.member.leave_for_good(Some(TTL)).await.is_none());
    // It is no name server any more.
    let (_edge, _) = join(&stage.ledger, stage.folder.path(), "ns-2", None).await;
    pass(HEARTBEAT).await;
    let at = stage.drain().await;
    let progress = stage.wait(at, State::Ending, SECOND).await;
    assert_eq!(told(&progress), [("ns-1", true, true), ("ns-2", true, false)]);
    assert!(progress.name_servers[1].ended);
    let progress = stage.wait(at, State::Ending, TTL).await;
    assert_eq!((progress.state, begun.elapsed().as_secs()), (State::Ending, TTL.as_secs()));
}

#[tokio::test(start_paused = true)]
async fn the_last_word_of_one_of_two_name_servers_of_one_name_counts() {
    let stage = Stage::new().await;
    let (one, elsewhere) = (stage.serve("ns-1", Duration::ZERO).await, folder());
    pass(HEARTBEAT).await;
    let _twin = serve(&stage.ledger.view(), elsewhere.path(), "ns-1", Duration::ZERO).await;
    pass(2 * HEARTBEAT).await;
    assert!(one.member.leave_for_good(Some(TTL)).await.is_none());
    pass(2 * HEARTBEAT).await;
    let at = stage.drain().await;
    let progress = stage.wait(at, State::Ending, SECOND).await;
    assert_eq!(told(&progress), [("ns-1", true, true), ("ns-1", true, false)]);
    assert_eq!(stage.wait(at, State::Ending, TTL).await.state, State::Ending);
}

#[tokio::test(start_paused = true)]
async fn without_any_other_a_name_server_that_ended_ends_no_drain() {
    let stage = Stage::new().await;
    let server = stage.serve("ns-1", Duration::ZERO).await;
    pass(HEARTBEAT).await;
    assert!(server.member.leave_for_good(Some(SECOND)).await.is_none());
    let at = stage.drain().await;
    assert_eq!(stage.wait(at, State::Expiring, TTL).await.state, State::Applying);
}
