//! The process-wide log, in a binary of its own because it is set up once.

use std::time::Duration;

use nearcast_daemon::log::{Log, LogError};
use nearcast_daemon::metrics::Metrics;
use nearcast_daemon::settings::{LogLevel, LogSettings};

#[test]
fn the_log_is_set_up_once_and_panics_go_through_it() {
    let log = Log::install(&LogSettings::default()).unwrap();
    assert!(matches!(Log::install(&LogSettings::default()), Err(LogError::Twice)));
    log.set_level(LogLevel::Debug);
    let metrics = Metrics::new();
    log.register(&metrics);
    assert!(std::thread::spawn(|| assert!(std::hint::black_box(false))).join().is_err());
    assert!(log.flush(Duration::from_secs(20)));
    assert!(metrics.encode().unwrap().contains("nearcast_log_messages_dropped_total 0\n"));
}
