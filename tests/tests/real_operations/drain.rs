//! SIGTERM and SIGINT: what is in flight ends well, nothing new begins, and it ends in time.

use std::{
    io::Write as _,
    net::TcpStream,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use nearcast_tests::real::{
    PATIENCE, Tested,
    http::Connection,
    node::{Node, NodeFile},
    origin::Origin,
    process::{Process, Signal},
    program, wait_for,
};
use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;

use super::h2;

/// Content of the slow responses.
const CONTENT: &str = "first half, second half";

/// A gate that the origin's answers wait at.
#[derive(Default)]
pub(crate) struct Gate(Mutex<bool>, Condvar);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.lock() = true;
        self.1.notify_all();
    }

    fn wait(&self) {
        let until = Instant::now() + PATIENCE * 2;
        let mut open = self.0.lock();
        while !*open && Instant::now() < until {
            self.1.wait_for(&mut open, Duration::from_millis(100));
        }
    }
}

/// `/head…` waits before its head, `/content…` in the middle of its content, all else not at all.
pub(crate) fn gated(gate: &Arc<Gate>) -> Tested<Origin> {
    let gate = Arc::clone(gate);
    Origin::start(move |target, stream| {
        if target.starts_with("/head") {
            gate.wait();
        }
        let length = CONTENT.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nCache-Control: max-age=60\r\n\r\n"
        )?;
        let (first, second) = CONTENT.as_bytes().split_at(length / 2);
        stream.write_all(first)?;
        stream.flush()?;
        if target.starts_with("/content") {
            gate.wait();
        }
        stream.write_all(second)
    })
}

fn node(origin: &Origin, deadline: &str) -> Tested<Node> {
    let mut file = NodeFile::pulling(origin.address);
    file.node.push(format!("drain_deadline = \"{deadline}\""));
    Node::start(&file)
}

#[test]
fn sigterm_lets_everything_in_flight_end_well() {
    let gate = Arc::<Gate>::default();
    let origin = gated(&gate).unwrap();
    let mut node = node(&origin, "1m").unwrap();
    let mut idle = node.connect().unwrap();
    assert_eq!(idle.get("/idle").unwrap().status, 200);
    let mut in_content = node.connect().unwrap();
    in_content.send_head("GET", "/content", &[]).unwrap();
    assert_eq!(in_content.head().unwrap().status, 200);
    let mut before_head = node.connect().unwrap();
    before_head.send_head("GET", "/head", &[]).unwrap();
    let mut h2_idle = h2::Connection::open(node.edge).unwrap();
    let mut curl = Command::new(program::tool("curl").unwrap());
    let url = format!("http://{}/content-h2", node.edge);
    curl.args(["-sS", "--http2-prior-knowledge", "-w", "\\n%{http_version} %{http_code}\\n", &url]);
    let mut curl = Process::start(&mut curl).unwrap();
    wait_for("four requests at the origin", || Ok((origin.asked() == 4).then_some(()))).unwrap();
    assert_eq!(node.ask_admin("/readyz").unwrap().status, 200);

    node.process.signal(Signal::Terminate).unwrap();
    let unready = wait_for("readiness to go off", || {
        let response = node.ask_admin("/readyz")?;
        Ok((response.status == 503).then_some(response))
    })
    .unwrap();
    assert!(unready.text().contains("draining"), "{}", unready.text());
    assert_eq!(node.ask_admin("/healthz").unwrap().status, 200, "it is alive while it drains");
    wait_for("the listener to close", || Ok(TcpStream::connect(node.edge).is_err().then_some(())))
        .unwrap();
    idle.closed().unwrap();
    assert_eq!(h2_idle.goodbye().unwrap(), 0, "NO_ERROR");
    assert!(node.process.is_running().unwrap(), "exchanges are in flight");

    gate.open();
    let length = CONTENT.len();
    assert_eq!(in_content.take(length).unwrap(), CONTENT.as_bytes());
    in_content.closed().unwrap();
    let late = before_head.response("GET").unwrap();
    assert_eq!((late.status, late.text().as_str()), (200, CONTENT));
    assert!(late.closes(), "a head sent while draining says close: {:?}", late.fields);
    before_head.closed().unwrap();
    assert!(curl.ended().unwrap().success(), "{:?}", curl.stderr());
    assert_eq!(curl.stdout(), [CONTENT, "2 200"]);
    assert_eq!(node.process.ended().unwrap().code(), Some(0));
}

#[test]
fn the_deadline_ends_a_drain_and_sigint_is_one() {
    let gate = Arc::<Gate>::default();
    let origin = gated(&gate).unwrap();
    let mut node = node(&origin, "1s").unwrap();
    let mut stuck = node.connect().unwrap();
    stuck.send_head("GET", "/content", &[]).unwrap();
    assert_eq!(stuck.head().unwrap().status, 200);
    let asked = Instant::now();
    node.process.signal(Signal::Interrupt).unwrap();
    assert_eq!(node.process.ended().unwrap().code(), Some(0));
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(900), "it waited for its clients, not {took:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert!(stuck.take(CONTENT.len()).is_err(), "the client sees the break");
    node.logged(&["ended before everything in flight was done", "\"remaining\":1"]).unwrap();
    gate.open();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let gate = Arc::<Gate>::default();
    let origin = gated(&gate).unwrap();
    let mut node = node(&origin, "1h").unwrap();
    let mut stuck = node.connect().unwrap();
    stuck.send_head("GET", "/content", &[]).unwrap();
    assert_eq!(stuck.head().unwrap().status, 200);
    node.process.signal(Signal::Terminate).unwrap();
    node.logged(&["draining"]).unwrap();
    assert!(node.process.is_running().unwrap());
    node.process.signal(Signal::Interrupt).unwrap();
    assert_eq!(node.process.ended().unwrap().code(), Some(0));
    gate.open();
}

/// RFC 9112 §9.5 excuses the close of a connection that was idle, not of one that was accepted and has
/// had no answer yet.
#[test]
fn every_connection_from_before_a_drain_has_its_first_request_answered() {
    let origin = gated(&Arc::default()).unwrap();
    let mut node = node(&origin, "1m").unwrap();
    let mut open: Vec<_> = (0..40).map(|_| node.connect().unwrap()).collect();
    node.process.signal(Signal::Terminate).unwrap();
    wait_for("the listener to close", || Ok(TcpStream::connect(node.edge).is_err().then_some(())))
        .unwrap();
    for connection in &mut open {
        connection.send_head("GET", "/", &[]).unwrap();
    }
    for connection in &mut open {
        let response = connection.response("GET").unwrap();
        assert_eq!((response.status, response.text().as_str()), (200, CONTENT));
        assert!(response.closes(), "{:?}", response.fields);
        connection.closed().unwrap();
    }
    assert_eq!(node.process.ended().unwrap().code(), Some(0));
}

/// A drain begins while many clients are at it: none of them gets a broken answer.
#[test]
fn a_drain_under_load_breaks_no_exchange() {
    let origin = gated(&Arc::default()).unwrap();
    let mut node = node(&origin, "1m").unwrap();
    let address = node.edge;
    let answered: Arc<[AtomicUsize; 8]> = Arc::default();
    let clients: Vec<_> = (0..answered.len())
        .map(|client| {
            let answered = Arc::clone(&answered);
            thread::spawn(move || -> Tested {
                // A client whose connection said close comes again, until nobody listens.
                while let Ok(mut connection) = Connection::open(address) {
                    loop {
                        // A connection that was idle for us may close under our request: that is
                        // RFC 9112 §9.5's race, and a break only if an answer had begun.
                        if connection.send_head("GET", "/", &[]).is_err() {
                            break;
                        }
                        let Ok(head) = connection.head() else { break };
                        let content = connection.take(CONTENT.len())?;
                        if head.status != 200 || content != CONTENT.as_bytes() {
                            return Err(format!("{head:?}").into());
                        }
                        answered[client].fetch_add(1, Ordering::Relaxed);
                        if head.closes() {
                            connection.closed()?;
                            break;
                        }
                    }
                }
                Ok(())
            })
        })
        .collect();
    wait_for("every client to be at it", || {
        let at_it = |count: &AtomicUsize| count.load(Ordering::Relaxed) > 20;
        Ok(answered.iter().all(at_it).then_some(()))
    })
    .unwrap();
    node.process.signal(Signal::Terminate).unwrap();
    assert_eq!(node.process.ended().unwrap().code(), Some(0));
    for client in clients {
        client.join().unwrap().unwrap();
    }
}
