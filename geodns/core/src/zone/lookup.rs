//! Lookup: what a question meets in a zone.
//!
//! In: a name in lower case that the zone is the longest match for, and a type. Out: [`Found`].
//! Always holds: the same question meets the same thing, whoever asks; aliases are followed within
//! the zone, [`CHAIN_MAX`] at most; a wildcard stands in only for names whose closest encloser is
//! its parent (RFC 4592 §3.3.1); below a cut there is nothing but the referral.
//!
//! RFC 1034 §4.3.2, RFC 2308 §2, RFC 4592 §3.3, RFC 8482 §4.2 (ANY). Hot path: no allocation; one
//! probe of the table for a name that exists, one per label of the zone's depth for one that does
//! not.

use std::slice;

use crate::{
    route::RouteId,
    wire::{
        kind::RecordType,
        name::{Folded, NameRef},
        response::Owner,
        rrset::Rrset,
    },
};

use super::{Cut, Node, Standing, Zone};

/// How many aliases are followed one after another.
pub const CHAIN_MAX: usize = 8;

/// What a question meets.
#[derive(Clone, Copy, Debug)]
pub struct Found<'z> {
    /// Where it was found.
    pub zone: &'z Zone,
    /// The aliases on the way, the first one owned by the name that was asked for.
    pub chain: Chain<'z>,
    /// What stands at the end.
    pub end: End<'z>,
}

/// What stands at the end of a lookup.
#[derive(Clone, Copy, Debug)]
pub enum End<'z> {
    /// Records.
    Data {
        /// Whose they are.
        owner: Owner<'z>,
        /// They.
        set: &'z Rrset,
    },
    /// ANY was asked and there are records: the answer says so and no more.
    Any {
        /// Whose they are.
        owner: Owner<'z>,
    },
    /// A route has records of this type, always.
    Route {
        /// Whose they are.
        owner: Owner<'z>,
        /// The route to ask.
        route: RouteId,
    },
    /// The name exists, but not with this type.
    NoData,
    /// The name does not exist.
    NxDomain,
    /// The name belongs to another zone.
    Referral(&'z Cut),
    /// The last alias leads out of the zone; its asker goes on elsewhere.
    Outside,
    /// More aliases than are followed.
    TooLong,
}

/// Aliases that lead from one to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chain<'z> {
    links: [Option<&'z Rrset>; CHAIN_MAX],
    count: usize,
}

impl<'z> Chain<'z> {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn push(&mut self, alias: &'z Rrset) -> bool {
        let Some(link) = self.links.get_mut(self.count) else { return false };
        *link = Some(alias);
        self.count = self.count.saturating_add(1);
        true
    }

    /// The aliases with their owners.
    #[must_use]
    pub fn iter(&self) -> Links<'_, 'z> {
        Links { links: self.links.iter(), owner: Owner::Question }
    }
}

impl<'c, 'z> IntoIterator for &'c Chain<'z> {
    type Item = (Owner<'z>, &'z Rrset);
    type IntoIter = Links<'c, 'z>;

    fn into_iter(self) -> Links<'c, 'z> {
        self.iter()
    }
}

/// See [`Chain::iter`].
#[derive(Clone, Debug)]
pub struct Links<'c, 'z> {
    links: slice::Iter<'c, Option<&'z Rrset>>,
    owner: Owner<'z>,
}

impl<'z> Iterator for Links<'_, 'z> {
    type Item = (Owner<'z>, &'z Rrset);

    fn next(&mut self) -> Option<(Owner<'z>, &'z Rrset)> {
        let alias = (*self.links.next()?)?;
        let next = target(alias).map_or(Owner::Question, Owner::Name);
        Some((std::mem::replace(&mut self.owner, next), alias))
    }
}

/// Where an alias leads.
fn target(alias: &Rrset) -> Option<NameRef<'_>> {
    let (name, _) = NameRef::read(alias.data().next()?).ok()?;
    Some(name)
}

/// Which node answers for a name.
enum Met<'z> {
    Node(&'z Node),
    Cut(&'z Cut),
    Nothing,
}

impl Zone {
    /// What a question for `name`, which lies in this zone, meets.
    #[must_use]
    pub fn lookup(&self, name: &Folded, rtype: RecordType) -> Found<'_> {
        let mut chain = Chain::default();
        let mut owner = Owner::Question;
        let mut met = self.meet(name.as_ref(), rtype);
        let end = loop {
            let node = match met {
                Met::Cut(cut) => break End::Referral(cut),
                Met::Nothing => break End::NxDomain,
                Met::Node(node) => node,
            };
            let alias = match node.answer(owner, rtype) {
                Answer::End(end) => break end,
                Answer::Alias(alias) => alias,
            };
            if !chain.push(alias) {
                break End::TooLong;
            }
            let Some(target) = target(alias) else { break End::Outside };
            if !target.is_within(self.apex()) {
                break End::Outside;
            }
            owner = Owner::Name(target);
            met = self.meet(Folded::of(target).as_ref(), rtype);
        };
        Found { zone: self, chain, end }
    }

    /// The node that answers for `name`, in lower case: its own, or a wildcard's.
    fn meet(&self, name: NameRef<'_>, rtype: RecordType) -> Met<'_> {
        if let Some(node) = self.node(name) {
            return match node.standing {
                // RFC 4035 §3.1.4.1: DS is the one type that the upper side of a cut answers.
                Standing::Cut(_) if rtype == RecordType::DS => Met::Node(node),
                Standing::Cut(cut) | Standing::Below(cut) => self.met_cut(cut),
                Standing::Ours => Met::Node(node),
            };
        }
        let labels = name.label_count().saturating_sub(1).min(self.labels_max);
        let mut ancestry = name.last_labels(labels).ancestry();
        let Some(encloser) = ancestry.find_map(|name| self.node(name)) else {
            return Met::Nothing;
        };
        match encloser.standing {
            Standing::Cut(cut) | Standing::Below(cut) => self.met_cut(cut),
            Standing::Ours => {
                let wildcard = encloser.wildcard.and_then(|at| self.node_at(at));
                wildcard.map_or(Met::Nothing, Met::Node)
            }
        }
    }

    fn met_cut(&self, at: u32) -> Met<'_> {
        self.cut_at(at).map_or(Met::Nothing, Met::Cut)
    }
}

enum Answer<'z> {
    End(End<'z>),
    Alias(&'z Rrset),
}

impl Node {
    fn answer<'z>(&'z self, owner: Owner<'z>, rtype: RecordType) -> Answer<'z> {
        if let Some(set) = self.set(rtype) {
            return Answer::End(End::Data { owner, set });
        }
        if let Some((route, types)) = &self.generated
            && types.contains(&rtype)
        {
            return Answer::End(End::Route { owner, route: *route });
        }
        match self.set(RecordType::CNAME) {
            // RFC 8482 §4.2: where there is an alias, ANY gets it, not a record beside it.
            Some(set) if rtype == RecordType::ANY => Answer::End(End::Data { owner, set }),
            Some(alias) => Answer::Alias(alias),
            None if rtype == RecordType::ANY && !self.is_empty() => Answer::End(End::Any { owner }),
            None => Answer::End(End::NoData),
        }
    }

    /// Whether nothing stands here but names below (RFC 4592 §2.2.2).
    fn is_empty(&self) -> bool {
        self.sets.is_empty() && self.generated.as_ref().is_none_or(|(_, types)| types.is_empty())
    }
}
