//! An open loop: queries at a given rate, whatever the server does, until nobody wants more.
//!
//! In: a server, a rate. Out: how long answers took. What always holds: a latency counts from the
//! moment that its query was due, so that a server which stands still is charged with all that
//! were due meanwhile; one that never came is an error and the slowest of all.

use std::{
    array, io,
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use tokio::time::Instant;

use crate::load::Queries;

/// After so long an answer is none.
const PATIENCE: Duration = Duration::from_secs(1);
/// How soon the receiver notices the end.
const NOTICE: Duration = Duration::from_millis(100);
/// By ID: when the query that has it was due, in nanoseconds after the start; 0 where none is out.
type Due = Box<[AtomicU64; 1 << 16]>;

/// What is asked for on the command line.
pub(crate) struct Pace {
    pub(crate) address: SocketAddr,
    pub(crate) rate: u32,
    pub(crate) names: String,
    pub(crate) has_subnets: bool,
}

struct Loop {
    socket: UdpSocket,
    start: Instant,
    due: Due,
    is_over: AtomicBool,
}

#[derive(Default)]
struct Heard {
    latencies: Vec<Duration>,
    errors: u64,
}

/// Asks until standard input ends; the figures as JSON.
pub(crate) fn run(pace: &Pace) -> io::Result<String> {
    let any = if pace.address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(pace.address)?;
    socket.set_read_timeout(Some(NOTICE))?;
    let due: Due = Box::new(array::from_fn(|_| AtomicU64::new(0)));
    let of = Loop { socket, start: Instant::now(), due, is_over: AtomicBool::new(false) };
    let mut queries = Queries::new(&pace.names, pace.has_subnets);
    let (sent, heard) = thread::scope(|scope| {
        let sender = scope.spawn(|| of.send(&mut queries, pace.rate));
        let receiver = scope.spawn(|| of.receive());
        let ended = io::copy(&mut io::stdin(), &mut io::sink());
        of.is_over.store(true, Ordering::Relaxed);
        sender.thread().unpark();
        let died = || io::Error::other("a thread died");
        let sent = sender.join().map_err(|_panic| died())??;
        let heard = receiver.join().map_err(|_panic| died())??;
        ended.map(|_| (sent, heard))
    })?;
    Ok(heard.json(sent, of.start.elapsed()))
}

impl Loop {
    fn send(&self, queries: &mut Queries, rate: u32) -> io::Result<u64> {
        let each = Duration::from_secs(1) / rate.max(1);
        let mut query = Vec::new();
        let (mut sent, mut due) = (0, each);
        while !self.is_over.load(Ordering::Relaxed) {
            let early = due.saturating_sub(self.start.elapsed());
            if !early.is_zero() {
                thread::park_timeout(early);
                continue;
            }
            let id = queries.write(&mut query);
            if let Some(slot) = self.due.get(usize::from(id)) {
                slot.store(u64::try_from(due.as_nanos()).unwrap_or(u64::MAX), Ordering::Release);
            }
            match self.socket.send(&query) {
                Ok(_) => {}
                // It is charged with it all the same.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
            sent += 1;
            due += each;
        }
        Ok(sent)
    }

    fn receive(&self) -> io::Result<Heard> {
        let mut heard = Heard::default();
        let mut answer = [0; 1500];
        let mut over = None;
        while over.is_none_or(|over: Instant| over.elapsed() < PATIENCE) {
            if over.is_none() && self.is_over.load(Ordering::Relaxed) {
                over = Some(Instant::now());
            }
            match self.socket.recv(&mut answer) {
                Ok(_) => self.take(&answer, &mut heard),
                Err(error) if is_nothing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(heard)
    }

    fn take(&self, answer: &[u8; 1500], heard: &mut Heard) {
        let now = self.start.elapsed();
        let [high, low, _, flags, ..] = *answer;
        let slot = self.due.get(usize::from(u16::from_be_bytes([high, low])));
        let due = slot.map_or(0, |slot| slot.swap(0, Ordering::Acquire));
        if due > 0 {
            heard.latencies.push(now.saturating_sub(Duration::from_nanos(due)));
            heard.errors += u64::from(!matches!(flags & 15, 0 | 3));
        }
    }
}

/// Nothing came in time, or the server is not there.
fn is_nothing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), ConnectionRefused | Interrupted | TimedOut | WouldBlock)
}

impl Heard {
    /// Latencies in milliseconds; -1 stands for "never".
    fn json(mut self, sent: u64, elapsed: Duration) -> String {
        let answered = self.latencies.len();
        let lost = sent.saturating_sub(answered as u64);
        self.latencies.extend((0..lost).map(|_| Duration::MAX));
        self.latencies.sort_unstable();
        let millis = |per_mille: usize| {
            let rank = (self.latencies.len() * per_mille).div_ceil(1000).max(1);
            match self.latencies.get(rank - 1) {
                Some(&Duration::MAX) | None => -1.0,
                Some(latency) => latency.as_secs_f64() * 1e3,
            }
        };
        format!(
            "{{\"seconds\":{:.1},\"sent\":{sent},\"lost\":{lost},\"errors\":{},\"p50\":{:.4},\"p99\":{:.4},\"p999\":{:.4},\"max\":{:.4}}}",
            elapsed.as_secs_f64(),
            self.errors,
            millis(500),
            millis(990),
            millis(999),
            millis(1000),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_and_what_never_came_is_the_slowest() {
        let latencies = (1..=999).map(Duration::from_millis).collect();
        let json = Heard { latencies, errors: 2 }.json(1000, Duration::from_secs(4));
        assert_eq!(
            json,
            "{\"seconds\":4.0,\"sent\":1000,\"lost\":1,\"errors\":2,\"p50\":500.0000,\
             \"p99\":990.0000,\"p999\":999.0000,\"max\":-1.0000}"
        );
    }
}
