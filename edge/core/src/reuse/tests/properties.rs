//! For any directives.

use super::*;

proptest! {
    #[test]
    fn must_revalidate_is_never_stale(
        cache_control in "(max-age=[0-9], )?(stale-while-revalidate=[0-9]+, )?(stale-if-error=[0-9]+, )?(immutable, )?",
        family in 0_usize..3,
        request in "(max-stale, )?(min-fresh=[0-9], )?(max-age=[0-9], )?(stale-if-error=[0-9]+, )?(only-if-cached)?",
        since in 0_u64..30_000,
        honour: bool,
    ) {
        let family = ["must-revalidate", "proxy-revalidate", "no-cache"][family];
        let stored = stored(&format!("{cache_control}{family}"));
        let policy = Policy {
            honour_client_reload: honour,
            stale_while_revalidate: Some(s(99)),
            stale_if_error: Some(s(99)),
            ..Policy::default()
        };
        let request = [("cache-control", request.as_str())];
        let now = Timestamp::from_millis(NOW * 1000 + since);
        let judged = verdict(&stored, &request, &policy, since);
        prop_assert!(![REFRESH, STALE_HIT].contains(&judged));
        prop_assert!(judged != HIT || (stored.freshness.is_fresh(now) && family != "no-cache"));
        let answered = view(&Method::GET, &request, |view| {
            stale_after_failure(&stored, &stored.freshness, view, GONE, &policy, now)
        });
        prop_assert!(!answered || stored.freshness.is_fresh(now));
    }

    #[test]
    fn only_if_cached_never_forwards(
        response in "(max-age=[0-9], )?(no-cache, )?(s-maxage=[0-9], )?(stale-while-revalidate=[0-9])?",
        request in "(max-stale, )?(min-fresh=[0-9], )?(no-cache, )?",
        since in 0_u64..30_000,
        honour: bool,
        head: bool,
    ) {
        let policy = Policy { honour_client_reload: honour, ..Policy::default() };
        let stored = stored(&response);
        let request = format!("{request}only-if-cached");
        let method = if head { Method::HEAD } else { Method::GET };
        let now = Timestamp::from_millis(NOW * 1000 + since);
        let judged = view(&method, &[("cache-control", &request)], |view| {
            judge(&stored, view, &policy, now)
        });
        prop_assert!([HIT, REFRESH, STALE_HIT, REFUSED].contains(&judged));
    }
}
