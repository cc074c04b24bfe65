//! A way that can be cut in one direction: connections are relayed to a server, octet by octet.
//!
//! In: where the server is. Out: an address to connect to in its place. Always holds: what is held up is
//! kept in order, and goes on once the way is free again, so nothing is lost that TCP would not lose;
//! connections stay up meanwhile, as over a network that swallows packets; everything ends with the
//! relay. It knows nothing of what is said.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::Tested;

/// How long the server may take to accept.
const CONNECTED: Duration = Duration::from_secs(1);

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What clients say.
    ToServer,
    /// What the server says.
    ToClients,
}

/// See the module.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    cut: Option<Way>,
    has_ended: bool,
    /// Both sides of each connection.
    sides: Vec<TcpStream>,
}

impl Relay {
    /// Relays to `server` from now on.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(server: SocketAddr) -> Tested<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared =
            Arc::new(Shared { server, state: Mutex::default(), changed: Condvar::default() });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.state.lock().has_ended {
                    return;
                }
                // Who cannot be relayed is closed, as if the server had refused.
                if let Ok(client) = client {
                    drop(accepting.relay(client));
                }
            }
        });
        Ok(Self { address, shared })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nothing passes in that direction any more; with nothing everything does.
    pub fn cut(&self, way: Option<Way>) {
        self.shared.state.lock().cut = way;
        self.shared.changed.notify_all();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let sides = {
            let mut state = self.shared.state.lock();
            state.has_ended = true;
            std::mem::take(&mut state.sides)
        };
        for side in sides {
            drop(side.shutdown(Shutdown::Both));
        }
        self.shared.changed.notify_all();
        // So that it stops to accept.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn relay(self: &Arc<Self>, client: TcpStream) -> Tested {
        let server = TcpStream::connect_timeout(&self.server, CONNECTED)?;
        for side in [&client, &server] {
            side.set_nodelay(true)?;
        }
        let sides = [client.try_clone()?, server.try_clone()?];
        {
            let mut state = self.state.lock();
            state.sides.retain(|side| side.peer_addr().is_ok());
            state.sides.extend(sides);
        }
        let ways = [
            (client.try_clone()?, server.try_clone()?, Way::ToServer),
            (server, client, Way::ToClients),
        ];
        for (from, to, way) in ways {
            let shared = Arc::clone(self);
            thread::spawn(move || shared.pump(from, to, way));
        }
        Ok(())
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, way: Way) {
        let mut octets = vec![0; 1 << 16];
        while let Ok(read) = from.read(&mut octets) {
            let is_over = read == 0 || !self.passes(way);
            if is_over || to.write_all(octets.get(..read).unwrap_or_default()).is_err() {
                break;
            }
        }
        // An end passes at once: a process that is killed has no connections.
        for side in [from, to] {
            drop(side.shutdown(Shutdown::Both));
        }
    }

    /// Waits until the way is free; whether there is one.
    fn passes(&self, way: Way) -> bool {
        let mut state = self.state.lock();
        while state.cut == Some(way) && !state.has_ended {
            self.changed.wait(&mut state);
        }
        !state.has_ended
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A server that gives back what it hears, in pieces of one octet; and what it has heard.
    fn echo() -> Tested<(SocketAddr, mpsc::Receiver<u8>)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut octet = [0];
            while stream.read_exact(&mut octet).is_ok() && tell.send(octet[0]).is_ok() {
                if stream.write_all(&octet).is_err() {
                    return;
                }
            }
        });
        Ok((address, told))
    }

    #[test]
    fn what_is_held_up_in_one_direction_goes_on_in_order() -> Tested {
        let (server, heard) = echo()?;
        let relay = Relay::start(server)?;
        let mut client = TcpStream::connect(relay.address())?;
        client.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut octet = [0];
        client.write_all(b"a")?;
        client.read_exact(&mut octet)?;
        relay.cut(Some(Way::ToClients));
        client.write_all(b"bc")?;
        // It is heard, and what is said to it is not.
        assert_eq!((heard.recv()?, heard.recv()?, heard.recv()?), (b'a', b'b', b'c'));
        client.set_nonblocking(true)?;
        assert!(client.read(&mut octet).is_err());
        client.set_nonblocking(false)?;
        relay.cut(Some(Way::ToServer));
        let mut both = [0; 2];
        client.read_exact(&mut both)?;
        assert_eq!(&both, b"bc");
        client.write_all(b"d")?;
        assert!(heard.try_recv().is_err());
        relay.cut(None);
        assert_eq!(heard.recv_timeout(Duration::from_secs(20))?, b'd');
        client.read_exact(&mut octet)?;
        drop(relay);
        assert!(!matches!(client.read(&mut octet), Ok(1..)), "it ends with the relay");
        Ok(())
    }
}
