//! The allocation budget of the hit path: what one cached 1 KiB answer costs on a warm connection.
//!
//! In: an edge behind an in-memory pipe, a client that allocates nothing. Out: allocations per hit.
//! Always holds: the number is the slope between two runs that differ by 1,000 requests, so that
//! what a run costs once is not in it; everything runs on this test's one thread, whose allocations
//! alone are counted.
//! It deliberately does not know where the allocations come from; a profile does.
//! Clause: CONTRIBUTING.md *Concurrency and hot paths*.

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use allocation_counter::measure;
    use edge_core::{
        purge::{Mode, Purge, Selector},
        settings::EdgeSettings,
    };
    use nearcast_daemon::{
        access_log::AccessLog,
        settings::{AccessTarget, LogSettings},
    };
    use nearcast_tests::world::{Wires, World, origin, rest_for, site};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    /// Today's number; it may only go down. Change it together with what has made it smaller.
    const ALLOCATIONS_PER_HIT_MAX: f64 = 3.05;
    /// A log line itself costs none; a new buffer for some hundred lines now and then does.
    const PER_LINE_MAX: f64 = 0.05;

    const REQUEST: &[u8] = b"GET /kib HTTP/1.1\r\nHost: www.example\r\nUser-Agent: loader/1\r\n\
        Accept: */*\r\n\r\n";
    const REQUESTS: usize = 1000;

    fn a_world(log: AccessLog) -> World {
        let wires = std::sync::Arc::new(Wires::default());
        wires.put(
            "origin.example:80",
            origin::server(|_asked| {
                let head = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
                Content-Type: text/plain\r\nETag: \"x\"\r\nCache-Control: max-age=3600\r\n\
                Last-Modified: Wed, 31 Dec 2025 00:00:00 GMT\r\nContent-Length: 1024\r\n\r\n";
                origin::Reply { head: head.into(), content: vec![b'k'; 1024], ..Default::default() }
            }),
        );
        let site = site(
            "name = \"www\"\nhosts = [\"*\"]\norigin = { servers = [\"http://origin.example\"] }",
        );
        World::new(&EdgeSettings::default(), &[site.unwrap()], wires, log).unwrap()
    }

    /// Reads one answer of unknown length and says how long it was.
    async fn length_of_one(io: &mut DuplexStream) -> usize {
        io.write_all(REQUEST).await.unwrap();
        let mut octets = Vec::new();
        let body = loop {
            io.read_buf(&mut octets).await.unwrap();
            if let Some(at) = octets.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        while octets.len() < body + 1024 {
            io.read_buf(&mut octets).await.unwrap();
        }
        octets.len()
    }

    async fn exchange(io: &mut DuplexStream, count: usize, answer: &mut [u8]) {
        for _ in 0..count {
            io.write_all(REQUEST).await.unwrap();
            io.read_exact(answer).await.unwrap();
        }
    }

    fn runtime() -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap()
    }

    /// Allocations per request between a run of `REQUESTS` and one of twice as many.
    fn slope(runtime: &tokio::runtime::Runtime, io: &mut DuplexStream, answer: &mut [u8]) -> f64 {
        let mut run =
            |count: usize| measure(|| runtime.block_on(exchange(io, count, answer))).count_total;
        run(REQUESTS);
        let short = run(REQUESTS);
        let long = run(2 * REQUESTS);
        let more = u32::try_from(long.saturating_sub(short)).unwrap();
        f64::from(more) / 1000.0
    }

    fn hit_slope(log: AccessLog) -> f64 {
        hit_slope_after(log, 0)
    }

    /// The same for a response that is older than so many purges.
    fn hit_slope_after(log: AccessLog, purges: u32) -> f64 {
        let runtime = runtime();
        let (_world, mut io, mut answer) = runtime.block_on(async {
            let world = a_world(log);
            let mut io = world.connect();
            length_of_one(&mut io).await;
            rest_for(100).await;
            for number in 0..purges {
                let selectors = vec![Selector::parse_tag(&number.to_string()).unwrap()];
                world.edge.purge(&Purge { site: "www".into(), selectors, mode: Mode::Soft });
            }
            let length = length_of_one(&mut io).await;
            (world, io, vec![0; length])
        });
        let slope = slope(&runtime, &mut io, &mut answer);
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            text.contains("Cache-Status: edge; hit") || text.contains("cache-status: edge; hit"),
            "{text}"
        );
        slope
    }

    /// The same exchange with nobody between: what the pipe and the runtime cost.
    fn pipe_slope() -> f64 {
        let runtime = runtime();
        let (mut near, mut far) = duplex(nearcast_tests::theatre::pipes::PIPE_OCTETS);
        let mut answer = vec![0; 1400];
        let reply = answer.clone();
        runtime.spawn(async move {
            let mut request = [0; REQUEST.len()];
            while far.read_exact(&mut request).await.is_ok() {
                far.write_all(&reply).await.unwrap();
            }
        });
        slope(&runtime, &mut near, &mut answer)
    }

    #[test]
    fn a_hit_allocates_no_more_than_its_budget() {
        let pipe = pipe_slope();
        let hit = hit_slope(AccessLog::off());
        println!("allocations per 1 KiB hit: {hit:.3} (the pipe alone: {pipe:.3})");
        assert!(hit <= ALLOCATIONS_PER_HIT_MAX, "{hit} > {ALLOCATIONS_PER_HIT_MAX}");
    }

    #[test]
    fn live_purges_add_no_allocation() {
        let (without, with) = (hit_slope(AccessLog::off()), hit_slope_after(AccessLog::off(), 999));
        println!("allocations per hit: {without:.3} without purges, {with:.3} with 999");
        // One that a hit needed would add 1; the runtime's own come and go, a few in thousands of hits.
        assert!(with < without + 0.1, "{with} with, {without} without");
    }

    #[test]
    fn the_access_log_line_adds_no_allocation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let settings =
            LogSettings { access: AccessTarget::Path(path.clone()), ..LogSettings::default() };
        let log = AccessLog::open(&settings).unwrap();
        let without = hit_slope(AccessLog::off());
        let with = hit_slope(log.clone());
        println!("allocations per hit: {without:.3} without a log, {with:.3} with one");
        assert!(with - without <= PER_LINE_MAX, "{with} with, {without} without");
        let closing = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        closing.block_on(log.close(Duration::from_secs(10)));
        let lines = std::fs::read_to_string(path).unwrap().lines().count();
        assert!(lines >= 3 * REQUESTS, "the log was on: {lines} lines");
    }
}
