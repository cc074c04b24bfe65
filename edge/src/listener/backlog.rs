//! Those who wait in a listener that is about to close.
//!
//! In: ways to accept one and to admit it. Out: nothing; the system itself says when there are no more.
//! Always holds: for their clients they are connected, and may have asked, so closing the listener would
//! reset them; one that cannot be accepted for want of descriptors waits for one that ends, for a grace.
//! It knows neither sockets nor limits.

use std::{
    future::Future,
    io::{self, ErrorKind},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::ACCEPT_PAUSE;

/// Accepts all that wait. `one_less` ends when a connection does.
pub(super) async fn empty<T, F: Future<Output = ()>>(
    accept: impl Fn() -> io::Result<T>,
    admit: impl Fn(T),
    one_less: impl Fn() -> F,
    grace: Duration,
) {
    let end = Instant::now() + grace;
    loop {
        match accept().map_err(|error| error.kind()) {
            Ok(accepted) => admit(accepted),
            Err(ErrorKind::WouldBlock) => return,
            // This one was gone before we came to it.
            Err(ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
            Err(_) if Instant::now() >= end => return,
            Err(_) => {
                let ended = timeout(ACCEPT_PAUSE, one_less()).await;
                tracing::debug!(ended = ended.is_ok(), "accepting what waits again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::pending};

    use super::*;

    const GRACE: Duration = Duration::from_secs(2);

    /// Who is admitted when accepting says this.
    async fn admitted(says: &[io::Result<u32>]) -> Vec<u32> {
        let (says, admitted) = (RefCell::new(says.iter()), RefCell::new(Vec::new()));
        let accept = || match says.borrow_mut().next() {
            Some(Ok(one)) => Ok(*one),
            Some(Err(error)) => Err(error.kind().into()),
            None => Err(ErrorKind::WouldBlock.into()),
        };
        empty(accept, |one| admitted.borrow_mut().push(one), pending, GRACE).await;
        admitted.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_cannot_be_accepted_does_not_end_it() {
        // EMFILE has no kind of its own.
        let full = || Err(ErrorKind::Other.into());
        let gone = || Err(ErrorKind::ConnectionAborted.into());
        assert_eq!(admitted(&[Ok(1), gone(), Ok(2), full(), full(), Ok(3)]).await, [1, 2, 3]);
        assert_eq!(admitted(&[Err(ErrorKind::WouldBlock.into()), Ok(1)]).await, [0; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_gives_up_after_a_grace() {
        let began = Instant::now();
        let full = || Err::<u32, _>(ErrorKind::Other.into());
        empty(full, |_| {}, pending, GRACE).await;
        assert_eq!(began.elapsed(), GRACE);
    }
}
