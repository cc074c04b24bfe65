//! A GeoDNS server of this process, as the ledger has it.
//!
//! In: where it answers, the drains that it answers by. Out: what its node says of that: the node of the
//! edge beside it, or one of its own.
//! Always holds: it is registered as long as it answers. It knows no zone and no map.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use nearcast_control::{
    applied::AppliedFile,
    node::{self, Answering, Attending, Member, NodeDocument, Role},
};

use super::Opened;

/// A name server's node, where it is no edge's.
pub(crate) struct Voice {
    member: Member,
    ledger: Opened,
}

impl Opened {
    /// Where what DNS is answered by is told.
    pub(crate) fn answering(&self) -> Answering {
        Answering::new(Arc::clone(&self.answers))
    }

    /// DNS is answered no more; what was may be cached for so long.
    pub(crate) fn answered_last(&self, cached_for: Duration) {
        self.last_cached_for.get_or_init(|| cached_for);
    }

    /// Registers what answers DNS at `addresses`, unless an edge's node says so.
    pub(crate) fn attend(&self, addresses: Vec<SocketAddr>) -> Option<Voice> {
        let (name, pop) = self.name_server.clone()?;
        let key = node::key_of(&name)?;
        let document = NodeDocument {
            addresses,
            pop,
            roles: vec![Role::Geodns],
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..NodeDocument::default()
        };
        let attending = Attending {
            key,
            document,
            heartbeat: self.heartbeat,
            file: AppliedFile::beside(&self.path, &name),
            incarnation: self.incarnation.clone(),
            troubles: self.troubles.clone(),
            answers: self.answers.subscribe(),
        };
        let _inside = self.control.enter();
        let member = node::attend(Arc::clone(&self.ledger), attending);
        Some(Voice { member, ledger: self.clone() })
    }
}

impl Voice {
    /// It answers no more; from a thread that may wait.
    pub(crate) fn leave(self) {
        self.ledger.left_for_good(self.member);
    }
}
