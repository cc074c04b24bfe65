//! What the system says of this process, for the metrics page.
//!
//! In: `/proc/self`, read at each scrape. Out: version, uptime, resident memory, threads, open files.
//! Always: what the system does not say is left out, never guessed.
//! Does not know: what the memory is used for; the store's own accounts say that.

use std::fmt;

use tokio::time::Instant;

use crate::metrics::{Metrics, Scrape};

/// Puts this process's facts on the metrics page; `version` is the program's.
pub fn register(metrics: &Metrics, version: &'static str) {
    let started = Instant::now();
    metrics.register(move |scrape| {
        let mut build = scrape.gauge("build_info", "Always 1; the label says what runs.")?;
        build.sample(&[("version", version)], 1_u64)?;
        scrape
            .gauge("uptime_seconds", "Time since the process started.")?
            .sample(&[], started.elapsed().as_secs())?;
        observe_system(scrape)
    });
}

fn observe_system(scrape: &mut Scrape<'_>) -> fmt::Result {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kib) = status_number(&status, "VmRSS:") {
        let help = "Memory of this process that is in RAM.";
        let bytes = kib.saturating_mul(1024);
        scrape.gauge("resident_memory_bytes", help)?.sample(&[], bytes)?;
    }
    if let Some(threads) = status_number(&status, "Threads:") {
        scrape.gauge("threads", "Threads of this process.")?.sample(&[], threads)?;
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        let help = "File descriptors in use, sockets included.";
        scrape.gauge("open_files", help)?.sample(&[], files.count())?;
    }
    Ok(())
}

/// The number after `name` in the form of `/proc/self/status`.
fn status_number(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_proc_status_are_read_by_name() {
        let status = "Name:\tnearcast\nVmHWM:\t    9000 kB\nVmRSS:\t    8192 kB\nThreads:\t7\n";
        assert_eq!(status_number(status, "VmRSS:"), Some(8192));
        assert_eq!(status_number(status, "Threads:"), Some(7));
        assert_eq!(status_number(status, "Name:"), None);
        assert_eq!(status_number("", "VmRSS:"), None);
    }

    #[test]
    fn the_page_says_what_runs_and_how_large_it_is() {
        let metrics = Metrics::new();
        register(&metrics, "1.2.3");
        let page = metrics.encode().unwrap();
        assert!(page.contains("nearcast_build_info{version=\"1.2.3\"} 1\n"), "{page}");
        let value = |name: &str| -> u64 {
            let line = page.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in\n{page}")).trim().parse().unwrap()
        };
        assert!(value("nearcast_resident_memory_bytes ") > 1 << 20);
        assert!(value("nearcast_threads ") >= 1);
        assert!(value("nearcast_open_files ") >= 3);
    }
}
