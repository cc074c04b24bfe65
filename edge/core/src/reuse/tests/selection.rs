//! Which of several responses is looked at (RFC 9111 §4.1).

use super::*;

/// A variant for requests with this Foo, made at `date` and received `since` seconds after NOW.
fn variant(foo: &str, date: &str, since: u64) -> StoredHead {
    let response = [("date", date), ("cache-control", "max-age=10"), ("vary", "foo")];
    let request = [("foo", foo)];
    let mut head = exchange(200, &request, &response, &Policy::default(), storable::judge).unwrap();
    head.freshness.response_time = Timestamp::from_secs(NOW + since);
    head
}

/// The position of the selected variant: `Err(true)` for a Vary miss, `Err(false)` for nothing.
fn selected(variants: &[StoredHead], request: &[(&'static str, &str)]) -> Result<usize, bool> {
    match select(variants.iter(), &fields(request)) {
        Selection::None => Err(false),
        Selection::VaryMiss => Err(true),
        Selection::Found(found) => {
            Ok(variants.iter().position(|variant| std::ptr::eq(variant, found)).unwrap())
        }
    }
}

#[test]
fn rfc9111_4_1_the_newest_matching_variant_is_selected() {
    let a = [("foo", "a")];
    assert_eq!(selected(&[], &a), Err(false));
    assert_eq!(selected(&[variant("b", DATE, 0)], &a), Err(true));
    assert_eq!(selected(&[variant("b", DATE, 0), variant("c", DATE, 0)], &a), Err(true));
    assert_eq!(selected(&[variant("b", DATE, 0), variant("a", DATE, 0)], &a), Ok(1));
    assert_eq!(selected(&[variant("a", DATE, 0), variant("b", DATE, 0)], &a), Ok(0));
    let newer_first = [variant("a", DATE, 0), variant("a", EARLIER, 9)];
    assert_eq!(selected(&newer_first, &a), Ok(0));
    let newer_last = [variant("a", EARLIER, 9), variant("a", DATE, 0)];
    assert_eq!(selected(&newer_last, &a), Ok(1));
    let same_date = [variant("a", DATE, 1), variant("a", DATE, 2), variant("a", DATE, 0)];
    assert_eq!(selected(&same_date, &a), Ok(1));
    let same = [variant("a", DATE, 0), variant("a", DATE, 0)];
    assert_eq!(selected(&same, &a), Ok(0));
}

#[test]
fn rfc9110_15_3_7_a_part_gives_way_to_what_holds_more() {
    let whole = || {
        let response = [("date", EARLIER), ("cache-control", "max-age=10")];
        stored_with(200, &response, &Policy::default())
    };
    assert_eq!(selected(&[part(), whole()], &[]), Ok(1));
    assert_eq!(selected(&[whole(), part()], &[]), Ok(0));
    assert_eq!(selected(&[whole(), part()], &[("range", "bytes=10-11")]), Ok(1));
    assert_eq!(selected(&[part(), whole()], &[("range", "bytes=0-11")]), Ok(1));
    assert_eq!(selected(&[part()], &[("range", "bytes=0-11")]), Ok(0));
}
