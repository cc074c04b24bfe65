//! What is wrong with the nodes of this process, as far as the ledger is concerned.
//!
//! In: troubles, as they begin and end. Out: all that there are now, for who tells an operator.
//! Always: a node that has ended has none. It does not know what follows from them, nor who is told.
//! Clause: docs/operate.md *The nodes*.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

/// What a node cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// It does not hear of purges.
    Following,
    /// Nobody learns how far it is, nor that it is there.
    Reporting,
    /// Another process does the same under its name.
    Twin,
    /// It has no lease, and asks its origins before it reuses anything.
    Lease,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Following, Self::Reporting, Self::Twin, Self::Lease];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Following => "following",
            Self::Reporting => "reporting",
            Self::Twin => "twin",
            Self::Lease => "lease",
        }
    }
}

type All = BTreeMap<(String, Trouble), String>;

/// See the module; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Troubles(Arc<watch::Sender<All>>);

impl Troubles {
    /// What there is now, by node, with the reason; and each change of that.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<BTreeMap<(String, Trouble), String>> {
        self.0.subscribe()
    }

    /// Those of a node.
    pub(super) fn of(&self, node: &str) -> Own {
        Own { all: self.clone(), node: node.to_owned() }
    }
}

/// A node's own.
#[derive(Debug)]
pub(super) struct Own {
    all: Troubles,
    node: String,
}

impl Own {
    /// It has this, for that reason; says whether that is new.
    pub(super) fn begin(&self, trouble: Trouble, reason: &str) -> bool {
        let mut is_new = false;
        self.all.0.send_if_modified(|all| {
            let before = all.insert((self.node.clone(), trouble), reason.to_owned());
            is_new = before.is_none();
            before.is_none_or(|before| before != reason)
        });
        is_new
    }

    /// It does not have this; says whether it had.
    pub(super) fn end(&self, trouble: Trouble) -> bool {
        self.all.0.send_if_modified(|all| all.remove(&(self.node.clone(), trouble)).is_some())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.all.0.send_if_modified(|all| {
            let before = all.len();
            all.retain(|(node, _), _| *node != self.node);
            all.len() != before
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_until_it_or_its_node_has_ended() {
        let troubles = Troubles::default();
        let mut seen = troubles.watch();
        let told = |seen: &mut watch::Receiver<All>| {
            let has_changed = seen.has_changed().unwrap();
            seen.mark_unchanged();
            has_changed
        };
        let (fra, sin) = (troubles.of("fra"), troubles.of("sin"));
        assert!(fra.begin(Trouble::Reporting, "no") && told(&mut seen));
        assert!(!fra.begin(Trouble::Reporting, "no") && !told(&mut seen), "the same");
        assert!(!fra.begin(Trouble::Reporting, "never") && told(&mut seen), "another reason");
        assert!(sin.begin(Trouble::Twin, "two") && told(&mut seen));
        assert!(fra.end(Trouble::Reporting) && !fra.end(Trouble::Reporting) && told(&mut seen));
        let twin = ("sin".to_owned(), Trouble::Twin);
        assert_eq!(seen.borrow().keys().collect::<Vec<_>>(), [&twin]);
        drop(sin);
        assert!(told(&mut seen) && seen.borrow().is_empty());
    }
}
