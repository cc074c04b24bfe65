//! Keeping the newest of something on disk, on a thread of its own.
//!
//! In: values, and how one is kept. Out: the newest of them, kept. Always: nobody but that thread
//! waits for the disk, which may hang; what comes while one is kept takes the place of what waits; what
//! could not be kept is tried again, unless something newer came.
//! It does not know what is kept, nor where.

use std::{io, sync::Arc, thread, time::Duration};

use parking_lot::{Condvar, Mutex};

/// After a value could not be kept it is tried again so much later.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// See the module. Dropped, it ends once the last value is kept; nobody waits for that.
#[derive(Debug)]
pub(crate) struct Keeper<T>(Arc<Wanted<T>>);

#[derive(Debug)]
struct Wanted<T> {
    order: Mutex<Order<T>>,
    told: Condvar,
}

#[derive(Debug)]
struct Order<T> {
    newest: Option<T>,
    ended: bool,
}

impl<T: Send + 'static> Keeper<T> {
    /// Starts the thread, which is called `name` and rests for `pause` after each value; `keep` says
    /// whether one is kept.
    ///
    /// # Errors
    /// When there can be none.
    pub(crate) fn start(
        name: &str,
        pause: Duration,
        mut keep: impl FnMut(&T) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let order = Mutex::new(Order { newest: None, ended: false });
        let wanted = Arc::new(Wanted { order, told: Condvar::new() });
        let of_thread = Arc::clone(&wanted);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Some(newest) = of_thread.next() {
                if keep(&newest) {
                    of_thread.rest(pause);
                } else {
                    of_thread.put_back(newest);
                    of_thread.rest(pause.max(AGAIN_AFTER));
                }
            }
        })?;
        Ok(Self(wanted))
    }
}

impl<T> Keeper<T> {
    /// Keeps it soon.
    pub(crate) fn keep(&self, newest: T) {
        // What it takes the place of goes once nobody is held up by that.
        let _before = self.0.order.lock().newest.replace(newest);
        self.0.told.notify_one();
    }
}

impl<T> Drop for Keeper<T> {
    fn drop(&mut self) {
        self.0.order.lock().ended = true;
        self.0.told.notify_one();
    }
}

impl<T> Wanted<T> {
    fn next(&self) -> Option<T> {
        let mut order = self.order.lock();
        self.told.wait_while(&mut order, |order| order.newest.is_none() && !order.ended);
        order.newest.take()
    }

    /// It waits again, unless something newer does; at the end nobody waits for it.
    fn put_back(&self, value: T) {
        let mut order = self.order.lock();
        if !order.ended {
            order.newest.get_or_insert(value);
        }
    }

    fn rest(&self, pause: Duration) {
        let mut order = self.order.lock();
        self.told.wait_while_for(&mut order, |order| !order.ended, pause);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_newest_is_kept_and_the_thread_ends_with_the_last() {
        let (began, begins) = mpsc::channel();
        let (go_on, goes_on) = mpsc::channel();
        let keeper = Keeper::start("test", Duration::ZERO, move |value: &u32| {
            began.send(*value).unwrap();
            goes_on.recv().unwrap()
        });
        let keeper = keeper.unwrap();
        keeper.keep(1);
        assert_eq!(begins.recv(), Ok(1));
        // While one is kept, the newest takes the place of what waits.
        keeper.keep(2);
        keeper.keep(3);
        go_on.send(true).unwrap();
        assert_eq!(begins.recv(), Ok(3));
        // What could not be kept is tried again, and at the end no more.
        go_on.send(false).unwrap();
        assert_eq!(begins.recv(), Ok(3));
        keeper.keep(4);
        drop(keeper);
        go_on.send(false).unwrap();
        assert_eq!(begins.recv(), Ok(4));
        go_on.send(false).unwrap();
        // Its end drops what it sends by.
        assert!(begins.recv().is_err());
    }
}
