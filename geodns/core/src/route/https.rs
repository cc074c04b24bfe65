//! What the HTTPS records of a route's names say, whichever of its PoPs is answered.
//!
//! In: a fleet and the PoPs of maps. Out: the protocols and the port that hold for every address
//! that the route's names may have, or which PoPs do not agree.
//! Always holds: it follows from the fleet and the maps alone. The target of these records is the
//! owner itself, so a client takes their protocols and port to whatever A or AAAA record it has, of
//! whichever PoP: what does not hold for all of them is not said.
//! It deliberately does not know hints; they follow from who answers ([`super::answer`]).
//!
//! RFC 9460 §2.5 (target "."), §7.1 (alpn), §7.2 (port), §9 (HTTPS).

use super::{MapId, RouteId, Routes};
use crate::fleet::{FleetView, PopId, PopView};

/// The port of HTTPS where nothing is said (RFC 9460 §7.2).
const HTTPS_PORT: u16 = 443;

/// What holds for every PoP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpsParams {
    /// The protocols, by ALPN; at least one.
    pub alpn: Vec<Box<str>>,
    /// The port, where it is not 443.
    pub port: Option<u16>,
}

/// Two PoPs that one name may be answered with do not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discord {
    /// The one.
    pub pop: PopId,
    /// The one before it that says something else.
    pub other: PopId,
    /// In what.
    pub kind: DiscordKind,
}

/// What PoPs do not agree in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscordKind {
    /// One has HTTPS records, the other has none.
    Silence,
    /// The port.
    Port,
    /// They have no protocol in common.
    Protocols,
}

impl Routes {
    /// What the HTTPS records of a route's names say; nothing, where no PoP has any. `members` says
    /// which PoPs a map has. Fallbacks count: their addresses are answered at the same names.
    ///
    /// # Errors
    /// The PoPs that do not agree with others.
    pub fn https<'m>(
        &self,
        id: RouteId,
        fleet: &FleetView,
        members: impl Fn(MapId) -> &'m [PopId],
    ) -> Result<Option<HttpsParams>, Vec<Discord>> {
        let ways = self.route(id).map_or(&[][..], |route| &route.ways);
        let mut pops: Vec<(PopId, &PopView)> = ways
            .iter()
            .filter_map(|way| self.route(*way))
            .flat_map(|route| members(route.map))
            .filter_map(|id| Some((*id, fleet.pop(*id)?)))
            .filter(|(_, pop)| pop.addresses().next().is_some())
            .collect();
        pops.sort_by_key(|(id, _)| *id);
        pops.dedup_by_key(|(id, _)| *id);
        agreed(&pops)
    }
}

fn agreed(pops: &[(PopId, &PopView)]) -> Result<Option<HttpsParams>, Vec<Discord>> {
    let speaks = |pop: &PopView| !pop.https.alpn.is_empty();
    let Some((other, first)) = pops.iter().copied().find(|(_, pop)| speaks(pop)) else {
        return Ok(None);
    };
    let port = |pop: &PopView| pop.https.port.unwrap_or(HTTPS_PORT);
    let mut alpn = first.https.alpn.clone();
    let mut discords = Vec::new();
    for (id, pop) in pops.iter().copied() {
        let mut differs = |kind| discords.push(Discord { pop: id, other, kind });
        if !speaks(pop) {
            differs(DiscordKind::Silence);
            continue;
        }
        if port(pop) != port(first) {
            differs(DiscordKind::Port);
        }
        let shared: Vec<Box<str>> =
            alpn.iter().filter(|one| pop.https.alpn.contains(one)).cloned().collect();
        if shared.is_empty() {
            differs(DiscordKind::Protocols);
        } else {
            alpn = shared;
        }
    }
    if discords.is_empty() {
        let port = Some(port(first)).filter(|port| *port != HTTPS_PORT);
        Ok(Some(HttpsParams { alpn, port }))
    } else {
        Err(discords)
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::Arc};

    use super::*;
    use crate::{fleet::HttpsView, settings::RouteSettings};

    /// A PoP: its protocols, and its port behind a colon.
    fn pop((place, text): (u8, &&str)) -> PopView {
        let mut pop = PopView::new(&format!("p{place}"));
        let (alpn, port) = text.split_once(':').unwrap_or((text, ""));
        let alpn = alpn.split(',').filter(|one| !one.is_empty()).map(Into::into).collect();
        pop.https = HttpsView { alpn, port: port.parse().ok(), hints: true };
        pop.v4.push(Ipv4Addr::new(192, 0, 2, place));
        pop
    }

    /// What a route says whose map has these PoPs, and its fallback's map those.
    fn said(map: &[&str], fallback: &[&str]) -> String {
        let pops: Vec<PopView> = (1..).zip(map.iter().chain(fallback)).map(pop).collect();
        let fleet = FleetView { revision: 0, pops };
        let ids: Vec<PopId> = fleet.iter().map(|(id, _)| id).collect();
        let (own, others) = ids.split_at(map.len());
        let route = |name: &str, map: &str, fallback: Option<&str>| RouteSettings {
            name: name.to_owned(),
            map: map.to_owned(),
            fallback: fallback.map(str::to_owned),
            ..RouteSettings::default()
        };
        let maps: [Arc<str>; 2] = ["own".into(), "others".into()];
        let settings = [route("a", "own", Some("b")), route("b", "others", None)];
        let routes = Routes::build(&settings, &maps).unwrap();
        let members = |map: MapId| if map.index() == 0 { own } else { others };
        match routes.https(RouteId::new(0).unwrap(), &fleet, members) {
            Ok(None) => "none".to_owned(),
            Ok(Some(HttpsParams { alpn, port })) => format!("{} {port:?}", alpn.join(",")),
            Err(discords) => discords
                .iter()
                .map(|one| {
                    format!("{:?} {} {}", one.kind, fleet.name(one.pop), fleet.name(one.other))
                })
                .collect::<Vec<_>>()
                .join("; "),
        }
    }

    #[test]
    fn what_does_not_hold_for_every_pop_of_a_name_is_not_said() {
        let rows: [(&str, &[&str], &[&str], &str); 10] = [
            ("no PoP", &[], &[], "none"),
            ("none speaks", &["", ""], &[":8443"], "none"),
            ("all alike", &["h2,h3", "h2,h3"], &[], "h2,h3 None"),
            (
                "§7.1 what all speak, in the first one's order",
                &["h2,h3,x", "h3,h2"],
                &["y,h3,h2"],
                "h2,h3 None",
            ),
            ("§7.2 one port", &["h2:8443", "h2:8443"], &[], "h2 Some(8443)"),
            ("§7.2 443 is no other port than none", &["h2:443", "h2"], &[], "h2 None"),
            ("a PoP without", &["", "h2", ""], &[], "Silence p1 p2; Silence p3 p2"),
            ("a fallback's PoP without", &["h2"], &[""], "Silence p2 p1"),
            ("§7.2 another port", &["h2", "h2:8443"], &["h2:80"], "Port p2 p1; Port p3 p1"),
            ("nothing in common", &["h2", "h3"], &[], "Protocols p2 p1"),
        ];
        for (name, map, fallback, expected) in rows {
            assert_eq!(said(map, fallback), expected, "{name}");
        }
    }

    #[test]
    fn a_pop_without_addresses_has_no_say() {
        let mut silent = pop((1, &""));
        silent.v4.clear();
        let speaks = pop((2, &"h2"));
        let one = |pop| PopId::new(pop).unwrap();
        let agreed = agreed(&[(one(1), &speaks)]);
        assert_eq!(agreed, Ok(Some(HttpsParams { alpn: vec!["h2".into()], port: None })));
        let fleet = FleetView { revision: 0, pops: vec![silent, speaks] };
        let routes = Routes::build(&[RouteSettings::default()], &["default".into()]).unwrap();
        let members = [one(0), one(1)];
        let first = RouteId::new(0).unwrap();
        assert_eq!(routes.https(first, &fleet, |_| &members), agreed);
    }
}
