//! An explanation as text, for a terminal.
//!
//! Always holds: what JSON says is said here too, in the order in which it came about.

use std::fmt;

use super::{
    Assumption, Explanation, Filtered, From, Location, Standing, Steering, Tried, Whereabouts,
};

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} for {}", self.name, self.rtype, self.client)?;
        match &self.zone {
            Some(zone) => writeln!(f, "zone: {}, serial {}", zone.name, zone.serial)?,
            None => writeln!(f, "zone: none of ours")?,
        }
        writeln!(f, "found: {}", self.found)?;
        if let Some(route) = &self.route {
            route.fmt(f)?;
        }
        write!(f, "answer: {}", self.rcode)?;
        for record in self.answer.iter().chain(&self.authority) {
            write!(f, "\n  {record}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOurs => "nothing: the name is in no zone of ours",
            Self::Route => "a route",
            Self::Records => "records of the zone",
            Self::NoData => "the name, but no such records",
            Self::NxDomain => "no such name",
            Self::RouteWithoutAddress => {
                "a route, but no PoP of its own map has such an address; a fallback's do not count"
            }
            Self::Referral => "a delegation",
            Self::Outside => "an alias that leads out of the zone",
            Self::TooLong => "more aliases than are followed",
        })
    }
}

impl fmt::Display for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Whereabouts::Found(location) => writeln!(f, "location: {location}")?,
            Whereabouts::Unknown { reason } => writeln!(f, "location: unknown, {reason}")?,
        }
        writeln!(f, "map {}: {}", self.map, Names(&self.list))?;
        for phase in &self.phases {
            phase.fmt(f)?;
        }
        let (pops, scope, ttl) = (Names(&self.pops), self.scope, self.ttl);
        writeln!(f, "chosen by route {}: {pops}; scope /{scope}, TTL {ttl}", self.route)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(folded) = self.folded {
            write!(f, "as {folded}, ")?;
        }
        if let Some(network) = &self.network {
            write!(f, "in network {network}, ")?;
        }
        for word in [&self.region, &self.country, &self.continent].into_iter().flatten() {
            write!(f, "{word}, ")?;
        }
        if let Some(asn) = self.asn {
            write!(f, "AS{asn}, ")?;
        }
        if let Some((latitude, longitude)) = self.coordinates {
            write!(f, "at {latitude},{longitude}, ")?;
        }
        write!(f, "by {}", self.decided_by)?;
        if !self.fenced.is_empty() {
            write!(f, "; fenced out of {}", Names(&self.fenced))?;
        }
        Ok(())
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = match self.from {
            From::List => "the client's list",
            From::Rest => "all PoPs of the map",
        };
        let assumed = match self.assumed {
            Assumption::Nothing => "",
            Assumption::Undrained => ", as if none were drained",
            Assumption::Up => ", as if all were up",
            Assumption::UpAndUndrained => ", as if all were up and none drained",
        };
        writeln!(f, "route {}, {from}{assumed}:", self.route)?;
        self.steps.iter().try_for_each(|step| step.fmt(f))
    }
}

impl fmt::Display for Filtered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter =
            self.filter.map_or_else(|| "kind".to_owned(), |one| format!("{one:?}").to_lowercase());
        writeln!(f, "  {filter}: {} -> {}", Names(&self.before), Names(&self.after))?;
        self.dropped.iter().try_for_each(|lost| writeln!(f, "    {}: {}", lost.pop, lost.reason))
    }
}

/// Names of PoPs in order.
struct Names<'n>(&'n [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("nobody") } else { f.write_str(&self.0.join(" ")) }
    }
}
