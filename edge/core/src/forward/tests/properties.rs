//! Whatever comes, what we say ourselves stands.

use super::*;

/// Field values of any visible bytes, with the characters that matter more often.
fn any_value() -> impl Strategy<Value = String> {
    "[ -~]{0,20}|[a-e\"\\\\,;= ]{0,20}"
}

proptest! {
    #[test]
    fn whatever_a_client_says_we_know_our_own_forward(
        lines in prop::collection::vec(any_value(), 0..3), node in "[a-e ]{1,4}",
    ) {
        let mut client = HeaderMap::new();
        for line in &lines {
            client.append(CDN_LOOP, HeaderValue::from_str(line).unwrap());
        }
        let fields = request_fields(&client, &peer("192.0.2.1"), &node, &node);
        prop_assert_eq!(check(&Method::GET, &fields, &node), Err(Refusal::Loop));
    }

    #[test]
    fn whatever_a_trusted_peer_says_our_element_is_the_last(
        line in any_value(), host in "[ -~]{0,12}",
    ) {
        let peer = Peer { trusted: true, host: &host, ..peer("2001:db8::1") };
        let client = map(&[("forwarded", &line)]);
        let fields = request_fields(&client, &peer, "edge", "edge");
        let all = fields[FORWARDED].as_bytes();
        let ours = forwarded::element(peer.address, &host, "http");
        prop_assert!(forwarded::is_list(all));
        prop_assert!(all.ends_with(ours.as_bytes()));
        let before = &all[..all.len() - ours.len()];
        prop_assert!(before.is_empty() || before.ends_with(b", "));
        prop_assert!(forwarded::is_list(before));
    }

    #[test]
    fn whatever_a_trusted_peer_says_one_target_is_left(
        pairs in prop::collection::vec(
            ("(for|host|HOST|proto|ext)", "(a|b|http|https|\"a\"|\"b;host=a\")", "(;|,| ; |, ,)"), 0..6,
        ),
    ) {
        let said = |(name, value, end): &(String, String, String)| format!("{name}={value}{end}");
        let line: String = pairs.iter().map(said).collect();
        prop_assert!(forwarded::is_list(line.as_bytes()));
        let left = forwarded::agreeing(line.as_bytes(), "a", "http");
        let left = left.unwrap_or_else(|| line.into_bytes());
        prop_assert!(forwarded::is_list(&left));
        prop_assert_eq!(forwarded::agreeing(&left, "a", "http"), None);
    }

    #[test]
    fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _list = forwarded::is_list(&bytes);
        let _left = forwarded::agreeing(&bytes, "a", "http");
        let _loop = cdn_loop::names(&bytes, "edge");
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let mut client = HeaderMap::new();
            for name in [CONNECTION, TE, VIA, FORWARDED, CDN_LOOP, header::MAX_FORWARDS] {
                client.insert(name, value.clone());
            }
            let _verdict = check(&Method::OPTIONS, &client, "edge");
            let _fields = request_fields(&client, &peer("::1"), "edge", "edge");
            let _fields = trailer_fields(&client);
        }
    }
}
