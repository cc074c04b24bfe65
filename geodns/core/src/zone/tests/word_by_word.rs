//! Lookup beside the algorithm of RFC 1034 §4.3.2 as it is written there.

use super::*;

/// What a zone says by the algorithm of RFC 1034 §4.3.2, label by label, over bare records.
fn told(
    records: &[Record],
    apex: NameRef<'_>,
    qname: &Name,
    rtype: RecordType,
    depth: usize,
) -> String {
    let at = |name: NameRef<'_>, rtype: RecordType| {
        records.iter().find(|record| record.owner.as_ref() == name && record.rtype == rtype)
    };
    let exists =
        |name: NameRef<'_>| records.iter().any(|record| record.owner.as_ref().is_within(name));
    let mut ancestors: Vec<_> =
        qname.as_ref().ancestry().take_while(|name| name.is_within(apex)).collect();
    ancestors.reverse();
    let cut = ancestors.iter().skip(1).find(|name| at(**name, RecordType::NS).is_some());
    if let Some(cut) = cut
        && !(rtype == RecordType::DS && *cut == qname.as_ref())
    {
        return format!("referral {}", Folded::of(*cut).as_ref());
    }
    let source = if exists(qname.as_ref()) {
        qname.clone()
    } else {
        let encloser = ancestors.iter().rev().find(|name| exists(**name)).unwrap();
        let source = Name::from_wire(&[b"\x01*", encloser.wire()].concat()).unwrap();
        if !exists(source.as_ref()) {
            return "nxdomain".into();
        }
        source
    };
    if at(source.as_ref(), rtype).is_some() {
        return format!("data {rtype} {}", Folded::of(source.as_ref()).as_ref());
    }
    let alias = at(source.as_ref(), RecordType::CNAME);
    match alias.map(|alias| Name::from_wire(&alias.data).unwrap()) {
        None => "nodata".into(),
        Some(_) if depth == CHAIN_MAX => "too long".into(),
        Some(target) if !target.as_ref().is_within(apex) => "outside".into(),
        Some(target) => told(records, apex, &target, rtype, depth + 1),
    }
}

fn said(zone: &Zone, qname: &Name, rtype: RecordType) -> String {
    let found = zone.lookup(&Folded::of(qname.as_ref()), rtype);
    match found.end {
        End::Data { set, .. } => format!("data {} {}", set.rtype(), source(set)),
        End::NoData => "nodata".into(),
        End::NxDomain => "nxdomain".into(),
        End::Referral(cut) => format!("referral {}", Folded::of(cut.owner.as_ref()).as_ref()),
        End::Outside => "outside".into(),
        End::TooLong => "too long".into(),
        End::Any { .. } | End::Route { .. } => "generated".into(),
    }
}

/// Where a TXT record of the test below says that it stands.
fn source(set: &Rrset) -> String {
    let data = set.data().next().unwrap();
    NameRef::read(&data[1..]).unwrap().0.to_string()
}

fn any_name() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "B", "c", "*"]), 0..5).prop_map(|labels| {
        labels.iter().map(|label| format!("{label}.")).collect::<String>() + "example."
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn lookup_agrees_with_the_rfc_word_by_word(
        texts in prop::collection::btree_set(any_name(), 0..6),
        aliases in prop::collection::btree_map(any_name(), any_name(), 0..4),
        cuts in prop::collection::btree_set(any_name(), 0..2),
        questions in prop::collection::vec(any_name(), 1..12),
    ) {
        let mut records = records("example.", TOP);
        let place = records[0].place.clone();
        let mut add = |owner: &str, rtype, data: Vec<u8>| records.push(Record {
            owner: name(owner), rtype, ttl: 600, data: data.into(), place: place.clone(),
        });
        for owner in &texts {
            // The data says where it stands: a text that is a name in wire form.
            let owned = Folded::of(name(owner).as_ref());
            let wire = owned.as_ref().wire();
            add(owner, RecordType::TXT, [&[u8::try_from(wire.len()).unwrap()], wire].concat());
        }
        for (owner, target) in &aliases {
            add(owner, RecordType::CNAME, name(target).as_ref().wire().to_vec());
        }
        for owner in &cuts {
            add(owner, RecordType::NS, name("ns.other.").as_ref().wire().to_vec());
        }
        let apex = name("example.");
        let built = Zone::build(&apex, &records, &routes(&[]), 7, ZoneSettings::default());
        if let Ok(zone) = built {
            for question in questions {
                for rtype in [RecordType::TXT, RecordType::A] {
                    let question = name(&question);
                    let expected = told(&records, apex.as_ref(), &question, rtype, 0);
                    prop_assert_eq!(said(&zone, &question, rtype), expected, "{} {}", question, rtype);
                }
            }
        }
    }
}
