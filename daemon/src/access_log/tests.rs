//! The access log against files, FIFOs and devices. Each test states the rule in its name.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use bytesize::ByteSize;
use tempfile::TempDir;
use tokio::net::unix::pipe;

use crate::json::json_string;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

fn settings(path: &Path) -> LogSettings {
    LogSettings {
        access: AccessTarget::Path(path.to_owned()),
        access_buffer: ByteSize::kib(4),
        access_queue: ByteSize::kib(64),
        ..LogSettings::default()
    }
}

fn fifo(directory: &TempDir) -> PathBuf {
    let path = directory.path().join("access.fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let wait = async {
        let mut tick = tokio::time::interval(Duration::from_millis(2));
        while !reached() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("not reached: {what}"));
}

/// Whether this process has `path` open.
fn is_open(path: &Path) -> bool {
    std::fs::read_dir("/proc/self/fd").unwrap().any(|file| {
        file.is_ok_and(|file| std::fs::read_link(file.path()).is_ok_and(|target| target == path))
    })
}

/// Writes numbered lines of about 100 bytes until `enough`; the number of the next one.
fn write_lines(writer: &mut Writer, from: u64, enough: impl Fn(u64) -> bool) -> u64 {
    let mut next = from;
    while !enough(next) {
        writer.line(|buf| {
            buf.extend_from_slice(format!("{{\"n\":{next},\"path\":").as_bytes());
            json_string(buf, &[b'x'; 80]);
            buf.push(b'}');
        });
        next += 1;
    }
    next
}

fn numbers(text: &[u8]) -> Vec<u64> {
    assert!(text.is_empty() || text.ends_with(b"\n"), "the last line is torn");
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let value: serde_json::Value = serde_json::from_slice(line)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)));
            value["n"].as_u64().unwrap()
        })
        .collect()
}

fn total(log: &AccessLog) -> u64 {
    let counts = log.counts();
    counts.written + counts.dropped
}

#[tokio::test]
async fn a_file_gets_every_line_of_every_worker_whole_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let log = AccessLog::open(&LogSettings { access_queue: ByteSize::mib(64), ..settings(&path) })
        .unwrap();
    let workers = [0, 1_000_000].map(|from| {
        let mut writer = log.writer();
        std::thread::spawn(move || write_lines(&mut writer, from, |n| n == from + 20_000))
    });
    for worker in workers {
        worker.join().unwrap();
    }
    log.close(DEADLINE).await;
    let numbers = numbers(&std::fs::read(&path).unwrap());
    for worker in 0..2 {
        let own: Vec<u64> = numbers.iter().copied().filter(|n| n / 1_000_000 == worker).collect();
        assert_eq!(own.len(), 20_000);
        assert!(own.is_sorted());
    }
    assert_eq!(log.counts(), AccessCounts { written: 40_000, dropped: 0 });
}

#[tokio::test]
async fn a_log_is_appended_to_and_not_readable_by_everybody() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    for n in 0..2 {
        let log = AccessLog::open(&settings(&path)).unwrap();
        write_lines(&mut log.writer(), n, |next| next > n);
        log.close(DEADLINE).await;
    }
    assert_eq!(numbers(&std::fs::read(&path).unwrap()), [0, 1]);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o007, 0);
}

#[tokio::test]
async fn rotation_moves_on_to_a_new_file_without_losing_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let old = directory.path().join("access.log.1");
    let log = AccessLog::open(&settings(&path)).unwrap();
    let mut writer = log.writer();
    write_lines(&mut writer, 0, |n| n == 3);
    writer.flush();
    until("the first lines", || log.counts().written == 3).await;
    std::fs::rename(&path, &old).unwrap();
    log.reopen();
    write_lines(&mut writer, 3, |n| n == 5);
    writer.flush();
    until("the later lines", || log.counts().written == 5).await;
    assert_eq!(numbers(&std::fs::read(&old).unwrap()), [0, 1, 2]);
    assert_eq!(numbers(&std::fs::read(&path).unwrap()), [3, 4]);

    std::fs::rename(&path, &old).unwrap();
    log.reopen();
    until("a new file although no line comes", || path.exists()).await;
}

#[tokio::test]
async fn a_failed_reopen_keeps_the_open_file() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("logs");
    std::fs::create_dir(&home).unwrap();
    let path = home.join("access.log");
    let log = AccessLog::open(&settings(&path)).unwrap();
    let away = directory.path().join("away");
    std::fs::rename(&home, &away).unwrap();
    log.reopen();
    write_lines(&mut log.writer(), 0, |n| n == 1);
    log.close(DEADLINE).await;
    assert_eq!(numbers(&std::fs::read(away.join("access.log")).unwrap()), [0]);
}

#[tokio::test]
async fn a_fifo_that_nobody_reads_drops_and_counts_and_never_blocks() {
    let directory = tempfile::tempdir().unwrap();
    let log = AccessLog::open(&settings(&fifo(&directory))).unwrap();
    let mut writer = log.writer();
    let offered = tokio::time::timeout(
        DEADLINE,
        tokio::task::spawn_blocking(move || write_lines(&mut writer, 0, |n| n == 200_000)),
    );
    let offered = offered.await.expect("a worker was blocked").unwrap();
    // The queue holds 64 KiB; all else was given up at once.
    assert!(log.counts().dropped > offered - 2_000, "{:?}", log.counts());
    let before = Instant::now();
    log.close(DEADLINE).await;
    assert!(before.elapsed() < DEADLINE / 2, "closing waited for a reader that is not there");
    assert_eq!(log.counts(), AccessCounts { written: 0, dropped: offered });
}

/// A client decides how long its lines are: slots of any size would bound nothing.
#[tokio::test]
async fn long_lines_take_no_more_memory_than_the_queue_has() {
    let directory = tempfile::tempdir().unwrap();
    let log = AccessLog::open(&settings(&fifo(&directory))).unwrap();
    let mut writer = log.writer();
    let stock = Arc::clone(&log.shared.as_ref().unwrap().stock);
    let line_bytes = 20 * 1024;
    for _ in 0..50 {
        writer.line(|buf| buf.resize(line_bytes, b'x'));
        let queued = stock.queued.load(Ordering::Acquire);
        assert!(queued <= 64 * 1024, "{queued} bytes wait");
        assert!(writer.buffer.capacity() <= 4096, "a grown buffer is not kept");
    }
    assert!(log.counts().dropped >= 46, "{:?}", log.counts());
    log.close(DEADLINE).await;
    assert_eq!(log.counts(), AccessCounts { written: 0, dropped: 50 });
}

#[tokio::test]
async fn what_was_written_makes_room_again() {
    let directory = tempfile::tempdir().unwrap();
    let log = AccessLog::open(&settings(&directory.path().join("access.log"))).unwrap();
    let mut writer = log.writer();
    for n in 1..100 {
        writer.line(|buf| buf.resize(20 * 1024, b'x'));
        until("the line is written", || log.counts().written == n).await;
    }
    let stock = Arc::clone(&log.shared.as_ref().unwrap().stock);
    until("the queue is empty", || stock.queued.load(Ordering::Acquire) == 0).await;
}

#[tokio::test]
async fn a_fifo_whose_reader_stalls_is_waited_for_until_the_close_deadline_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = fifo(&directory);
    let mut reader = pipe::OpenOptions::new().open_receiver(&path).unwrap();
    let log = AccessLog::open(&settings(&path)).unwrap();
    let mut writer = log.writer();
    // More than the pipe and the queue hold.
    let offered = write_lines(&mut writer, 0, |n| n == 20_000);
    writer.flush();
    log.close(Duration::from_millis(100)).await;
    // `close` gives up on a thread that was not scheduled in time; the thread still ends its work.
    until("every line is accounted for", || total(&log) == offered).await;
    assert!(log.counts().written > 0 && log.counts().dropped > 0, "{:?}", log.counts());
    // The writer has gone, so that the reader finds an end: all that was counted, and one torn line.
    let mut text = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut text).await.unwrap();
    let whole = text.iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    assert_eq!(numbers(&text[..whole]).len() as u64, log.counts().written);
}

#[tokio::test]
async fn each_reader_of_a_fifo_begins_with_a_whole_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = fifo(&directory);
    let log = AccessLog::open(&settings(&path)).unwrap();
    let mut writer = log.writer();
    let mut offered = 0;
    let mut buf = vec![0; 1 << 20];
    for round in 0..3 {
        let reader = pipe::OpenOptions::new().open_receiver(&path).unwrap();
        let mut text = Vec::new();
        until("a reader's lines", || {
            offered = write_lines(&mut writer, offered, |n| n == offered + 7);
            writer.flush();
            if let Ok(taken) = reader.try_read(&mut buf) {
                text.extend_from_slice(&buf[..taken]);
            }
            text.len() > 20_000
        })
        .await;
        let whole = text.iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
        assert!(numbers(&text[..whole]).is_sorted(), "round {round}");
        drop(reader);
        // Only when the log has noticed does another reader begin afresh.
        until("the reader's leaving is noticed", || {
            offered = write_lines(&mut writer, offered, |n| n == offered + 7);
            writer.flush();
            !is_open(&path)
        })
        .await;
    }
    drop(writer);
    log.close(DEADLINE).await;
    assert_eq!(total(&log), offered);
}

#[tokio::test]
async fn a_line_cut_by_a_leaving_reader_is_whole_for_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = fifo(&directory);
    // Writes larger than PIPE_BUF may be cut, so the buffer is larger than the pipe.
    let settings = LogSettings {
        access_buffer: ByteSize::kib(256),
        access_queue: ByteSize::mib(1),
        ..settings(&path)
    };
    let stalled = pipe::OpenOptions::new().open_receiver(&path).unwrap();
    let log = AccessLog::open(&settings).unwrap();
    let mut writer = log.writer();
    let offered = write_lines(&mut writer, 0, |n| n == 5_000);
    writer.flush();
    // A first chunk has filled the pipe once the reader sees a byte and nothing was written out.
    within_readable(&stalled).await;
    drop(stalled);
    until("the reader's leaving is noticed", || !is_open(&path)).await;
    let reader = pipe::OpenOptions::new().open_receiver(&path).unwrap();
    let mut text = Vec::new();
    let mut buf = vec![0; 1 << 20];
    let last = format!("{{\"n\":{},", offered - 1);
    until("the last line", || {
        if let Ok(taken) = reader.try_read(&mut buf) {
            text.extend_from_slice(&buf[..taken]);
        }
        text.ends_with(b"\n") && String::from_utf8_lossy(&text).contains(&last)
    })
    .await;
    let numbers = numbers(&text);
    assert!(numbers[0] > 0, "the first reader had lines of its own");
    let rest: Vec<u64> = (numbers[0]..offered).collect();
    assert_eq!(numbers, rest);
    drop(writer);
    log.close(DEADLINE).await;
    assert_eq!(log.counts(), AccessCounts { written: offered, dropped: 0 });
}

async fn within_readable(reader: &pipe::Receiver) {
    tokio::time::timeout(DEADLINE, reader.readable()).await.expect("nothing came").unwrap();
}

#[tokio::test]
async fn a_full_disk_drops_counts_and_never_blocks() {
    let log = AccessLog::open(&settings(Path::new("/dev/full"))).unwrap();
    let mut writer = log.writer();
    let offered = write_lines(&mut writer, 0, |n| n == 1_000);
    drop(writer);
    log.close(DEADLINE).await;
    assert_eq!(log.counts(), AccessCounts { written: 0, dropped: offered });
}

#[tokio::test]
async fn buffers_are_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let log = AccessLog::open(&settings(&directory.path().join("access.log"))).unwrap();
    let mut writer = log.writer();
    let mut seen = HashSet::new();
    for n in 1..500 {
        writer.line(|buf| {
            buf.extend_from_slice(b"{}");
            seen.insert(buf.as_ptr().addr());
        });
        writer.flush();
        until("the line is written", || log.counts().written == n).await;
        let shared = log.shared.as_ref().unwrap();
        // The one that was sent may be the writer's again already.
        let mut all = seen.clone();
        all.insert(writer.buffer.as_ptr().addr());
        until("all are back", || shared.stock.spare.lock().len() + 1 == all.len()).await;
    }
    assert!(seen.len() <= 2, "{} buffers", seen.len());
}

#[tokio::test]
async fn a_line_longer_than_the_buffer_is_written_and_its_buffer_freed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let log = AccessLog::open(&settings(&path)).unwrap();
    let mut writer = log.writer();
    writer.line(|buf| buf.resize(100_000, b'x'));
    until("the line", || log.counts().written == 1).await;
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 100_001);
    write_lines(&mut writer, 0, |n| n == 1);
    drop(writer);
    log.close(DEADLINE).await;
    let shared = log.shared.as_ref().unwrap();
    let spare = shared.stock.spare.lock();
    assert!(spare.iter().all(|buffer| buffer.capacity() <= 4_096));
}

#[tokio::test]
async fn lines_rest_for_the_delay_and_no_longer() {
    let directory = tempfile::tempdir().unwrap();
    let log = AccessLog::open(&settings(&directory.path().join("access.log"))).unwrap();
    let mut writer = log.writer();
    let start = Instant::now();
    writer.flush_if_older(start);
    writer.line(|buf| buf.extend_from_slice(b"{}"));
    writer.flush_if_older(start + Duration::from_millis(999));
    assert_eq!(writer.lines, 1);
    writer.flush_if_older(start + Duration::from_secs(1));
    assert_eq!(writer.lines, 0);
    until("the line", || log.counts().written == 1).await;
}

#[tokio::test]
async fn off_takes_nothing_and_closes_at_once() {
    let log = AccessLog::open(&LogSettings::default()).unwrap();
    let mut writer = log.writer();
    assert!(!writer.is_on());
    writer.line(|_| panic!("formatted for nobody"));
    writer.flush();
    log.reopen();
    log.close(DEADLINE).await;
    assert_eq!(total(&log), 0);
}

#[tokio::test]
async fn a_target_that_cannot_be_opened_is_refused_by_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let error = AccessLog::open(&settings(directory.path())).unwrap_err();
    let expected = format!("[log] access = {:?}: cannot be opened for writing", directory.path());
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn after_close_lines_are_dropped_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let log = AccessLog::open(&settings(&directory.path().join("access.log"))).unwrap();
    let mut writer = log.writer();
    log.close(DEADLINE).await;
    write_lines(&mut writer, 0, |n| n == 7);
    drop(writer);
    assert_eq!(log.counts(), AccessCounts { written: 0, dropped: 7 });
}

#[tokio::test]
async fn the_counts_stand_on_the_metrics_page() {
    let directory = tempfile::tempdir().unwrap();
    let log = AccessLog::open(&settings(&directory.path().join("access.log"))).unwrap();
    let metrics = Metrics::new();
    log.register(&metrics);
    log.writer().line(|buf| buf.extend_from_slice(b"{}"));
    log.close(DEADLINE).await;
    let page = metrics.encode().unwrap();
    assert!(page.contains("nearcast_access_log_lines_total{outcome=\"written\"} 1\n"), "{page}");
    assert!(page.contains("nearcast_access_log_lines_total{outcome=\"dropped\"} 0\n"), "{page}");
    assert!(page.contains("nearcast_access_log_bytes_total 3\n"), "{page}");
}
