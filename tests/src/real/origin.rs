//! A small origin in the test's own process, for answers that a file server does not give.
//!
//! In: what to do with each request's target. Out: an address, and how often it was asked.
//! Always holds: it ends with its value; a connection carries one exchange.

use std::{
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use super::{PATIENCE, Tested};

/// A running origin.
#[derive(Debug)]
pub struct Origin {
    /// Where it answers.
    pub address: SocketAddr,
    asked: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
}

impl Origin {
    /// Answers each request, whose target it is told, by writing on the connection.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start<A>(answer: A) -> Tested<Self>
    where
        A: Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    {
        Self::start_reading(move |head, stream| {
            let target = head.first().and_then(|line| line.split(' ').nth(1));
            target.map_or(Ok(()), |target| answer(target, stream))
        })
    }

    /// Answers each request, whose head it is told line by line, by writing on the connection.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start_reading<A>(answer: A) -> Tested<Self>
    where
        A: Fn(&[String], &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (asked, ends) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, ending, answer) = (Arc::clone(&asked), Arc::clone(&ends), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::Acquire) {
                    return;
                }
                let Ok(mut stream) = stream else { return };
                let (count, answer) = (Arc::clone(&count), Arc::clone(&answer));
                thread::spawn(move || {
                    let Some(head) = request(&stream) else { return };
                    count.fetch_add(1, Ordering::AcqRel);
                    // A client that went away is no fault of the origin's.
                    drop(answer(&head, &mut stream));
                });
            }
        });
        Ok(Self { address, asked, ends })
    }

    /// An origin with one response, content and all.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn answering(response: impl Into<Vec<u8>>) -> Tested<Self> {
        let response = response.into();
        Self::start(move |_, stream| std::io::Write::write_all(stream, &response))
    }

    /// Requests so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Acquire)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        // Wakes the loop, which then sees that it ends.
        drop(TcpStream::connect(self.address));
    }
}

/// Reads a request's head, line by line.
fn request(stream: &TcpStream) -> Option<Vec<String>> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            return Some(head);
        }
        head.push(line.trim_end().to_owned());
    }
}
