//! What was found, as sections of a response.
//!
//! In: [`Found`]. Out: records in a [`Response`], the response code, and AA.
//! Always holds: a negative answer carries the SOA, whose TTL says how long it may be kept (RFC
//! 2308 §5); after aliases the code is that of the last name (RFC 6604 §3); a referral is not
//! authoritative, unless an alias led to it.
//! It deliberately writes nothing for a route: its records are the caller's.
//!
//! RFC 1034 §4.3.2, RFC 9471 §3 (glue). Hot path: no allocation.

use crate::wire::{
    kind::Rcode,
    response::{Owner, Response, Section},
};

use super::{Cut, End, Found};

impl Found<'_> {
    /// Writes all but the records of a route, and says the response code.
    pub fn write(&self, response: &mut Response<'_>) -> Rcode {
        for (owner, alias) in &self.chain {
            response.add(Section::Answer, owner, alias);
        }
        if !matches!(self.end, End::Referral(_)) || !self.chain.is_empty() {
            response.set_authoritative();
        }
        match self.end {
            End::Data { owner, set } => response.add(Section::Answer, owner, set),
            End::Any { owner } => response.add(Section::Answer, owner, &self.zone.any),
            End::NoData => self.write_negative(response),
            End::NxDomain => {
                self.write_negative(response);
                return Rcode::NxDomain;
            }
            End::Referral(cut) => cut.write(response),
            End::Route { .. } | End::Outside => {}
            End::TooLong => return Rcode::ServFail,
        }
        Rcode::NoError
    }

    fn write_negative(&self, response: &mut Response<'_>) {
        response.add(Section::Authority, Owner::Name(self.zone.apex()), &self.zone.negative);
    }
}

impl Cut {
    fn write(&self, response: &mut Response<'_>) {
        response.add(Section::Authority, Owner::Name(self.owner.as_ref()), &self.servers);
        for glue in &self.glue {
            let owner = Owner::Name(glue.owner.as_ref());
            if glue.needed {
                response.add(Section::Additional, owner, &glue.set);
            } else {
                response.add_optional(owner, &glue.set);
            }
        }
    }
}
