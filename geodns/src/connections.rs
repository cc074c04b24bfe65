//! Connections there are: of this node, and of each network.
//!
//! In: a client's network. Out: a place, held until it is dropped, or why there is none.
//! Always holds: what is counted here is bounded by what it admits; the lock is held for one look
//! into a table, when a connection begins and when it ends, and never on the way of a query.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;

use crate::limits::StreamLimits;

/// See the module.
#[derive(Debug)]
pub(crate) struct Connections {
    max: u32,
    per_network_max: u32,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: u32,
    by_network: HashMap<IpAddr, u32>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There are too many.
    Total,
    /// The network has too many.
    Network,
}

/// One connection's place.
#[derive(Debug)]
pub(crate) struct Slot {
    connections: Arc<Connections>,
    network: IpAddr,
}

impl Connections {
    pub(crate) fn new(limits: &StreamLimits) -> Arc<Self> {
        Arc::new(Self {
            max: limits.connections_max,
            per_network_max: limits.connections_per_network_max,
            open: Mutex::default(),
        })
    }

    /// A place for one more connection of the client whose network begins with this address.
    pub(crate) fn admit(self: &Arc<Self>, network: IpAddr) -> Result<Slot, Refused> {
        let mut open = self.open.lock();
        if open.total >= self.max {
            return Err(Refused::Total);
        }
        let count = open.by_network.entry(network).or_insert(0);
        if *count >= self.per_network_max {
            return Err(Refused::Network);
        }
        *count += 1;
        open.total += 1;
        Ok(Slot { connections: Arc::clone(self), network })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock();
        open.total = open.total.saturating_sub(1);
        if let Some(count) = open.by_network.get_mut(&self.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_network.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_for_each_network_and_for_all() {
        let limits = StreamLimits {
            connections_max: 3,
            connections_per_network_max: 2,
            ..StreamLimits::default()
        };
        let connections = Connections::new(&limits);
        let admit = |network: &str| connections.admit(network.parse().unwrap());
        let first = admit("192.0.2.1").unwrap();
        let second = admit("192.0.2.1").unwrap();
        assert_eq!(admit("192.0.2.1").unwrap_err(), Refused::Network);
        let third = admit("2001:db8::").unwrap();
        assert_eq!(admit("192.0.2.2").unwrap_err(), Refused::Total);
        drop((first, third));
        let third = admit("2001:db8::").unwrap();
        let fourth = admit("2001:db8::").unwrap();
        drop(second);
        assert_eq!(admit("2001:db8::").unwrap_err(), Refused::Network);
        drop((third, fourth));
        assert_eq!(connections.open.lock().by_network.len(), 0);
        assert_eq!(connections.open.lock().total, 0);
    }
}
