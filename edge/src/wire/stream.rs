//! What the connection I/O reads from and writes to.
//!
//! In goes a socket, out come its bytes and whether its other end has closed, which shows behind bytes that nobody
//! reads as well. It knows nothing of what the bytes mean.

use std::mem::MaybeUninit;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, Interest};
use tokio::net::TcpStream;

/// A client's byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Whether the client has ended its side, however much of it is still unread. A stream that cannot tell says no.
    fn has_ended(&self) -> bool;

    /// Whether bytes are here that the next read may not find, because the runtime has not heard of them yet.
    fn has_unread(&self) -> bool;
}

impl Stream for TcpStream {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn has_ended(&self) -> bool {
        // Of urgent data nothing is ever heard: the socket is not registered for it. What is left of this interest is
        // the end.
        let ready = pin!(self.ready(Interest::PRIORITY));
        let polled = ready.poll(&mut Context::from_waker(Waker::noop()));
        matches!(polled, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn has_ended(&self) -> bool {
        false
    }

    fn has_unread(&self) -> bool {
        SockRef::from(self).peek(&mut [MaybeUninit::uninit()]).is_ok_and(|bytes| bytes > 0)
    }
}

/// A pipe, in tests.
impl Stream for DuplexStream {
    fn has_ended(&self) -> bool {
        false
    }

    fn has_unread(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// The runtime hears of bytes when it comes to its reactor, which may be too late.
    #[tokio::test]
    async fn what_came_shows_before_the_runtime_knows() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().await.unwrap();
        assert!(!server.has_unread() && server.try_read(&mut [0; 9]).is_err());
        std::io::Write::write_all(&mut client, b"GET").unwrap();
        let begun = tokio::time::Instant::now();
        while !server.has_unread() {
            assert!(begun.elapsed() < Duration::from_secs(10), "it is not seen");
            std::thread::yield_now();
        }
        assert!(
            server.try_read(&mut [0; 9]).is_err(),
            "nothing is read, and the runtime knows nothing"
        );
        server.readable().await.unwrap();
        assert_eq!(server.try_read(&mut [0; 9]).unwrap(), 3);
        drop(client);
        server.readable().await.unwrap();
        assert!(!server.has_unread(), "an end is nothing to read");
    }

    #[tokio::test]
    async fn an_end_shows_behind_what_is_unread() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        client.write_all(&[0; 5000]).await.unwrap();
        server.readable().await.unwrap();
        assert!(!server.has_ended());
        drop(client);
        let seen = async {
            while !server.has_ended() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), seen).await.expect("it is not seen");
        assert!(!server.peek(&mut [0]).await.is_ok_and(|bytes| bytes == 0), "nothing was read");
    }
}
