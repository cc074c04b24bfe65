//! Signals of a real process become events. A binary of its own, with one test: signals reach the
//! whole process, so that nothing else may run beside it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail the test")]

use std::process::Command;
use std::time::Duration;

use nearcast_daemon::signals::{Event, Signals};

const DEADLINE: Duration = Duration::from_secs(10);

fn send(signal: &str) {
    let pid = std::process::id().to_string();
    let status = Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(status.success(), "kill {signal} failed");
}

async fn event_after(signals: &mut Signals, signal: &str) -> Event {
    send(signal);
    tokio::time::timeout(DEADLINE, signals.next()).await.expect("no event")
}

#[tokio::test]
async fn the_first_end_drains_the_second_stops_and_the_others_do_not_count() {
    let mut signals = Signals::install().unwrap();
    assert_eq!(event_after(&mut signals, "-HUP").await, Event::Reload);
    assert_eq!(event_after(&mut signals, "-USR1").await, Event::ReopenLogs);
    assert_eq!(event_after(&mut signals, "-TERM").await, Event::Drain);
    assert_eq!(event_after(&mut signals, "-HUP").await, Event::Reload);
    assert_eq!(event_after(&mut signals, "-INT").await, Event::Stop);
    assert_eq!(event_after(&mut signals, "-TERM").await, Event::Stop);
}
