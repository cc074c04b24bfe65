//! Wildcards, of routes and of records.

use super::stage::{SOA, Stage, q};

#[test]
fn wildcards_stand_in_for_names_that_do_not_exist() {
    Stage::new().says(&[
        (
            "§3.3.1 a route's",
            q("1.img.cdn.test.", "A").from("203.0.113.1"),
            &[
                "NOERROR aa",
                "an 1.img.cdn.test. 60 A 192.0.2.1",
                "an 1.img.cdn.test. 60 A 192.0.2.2",
            ],
        ),
        (
            "§3.3.1 labels below",
            q("a.b.img.cdn.test.", "A"),
            &["NOERROR aa", "an a.b.img.cdn.test. 60 A 192.0.2.21"],
        ),
        (
            "§2.1.1 itself",
            q("*.img.cdn.test.", "A"),
            &["NOERROR aa", "an *.img.cdn.test. 60 A 192.0.2.21"],
        ),
        ("§2.2.1 not its parent", q("img.cdn.test.", "A"), &["NOERROR aa", SOA]),
        ("§4.1 no such type", q("1.img.cdn.test.", "MX"), &["NOERROR aa", SOA]),
        (
            "§3.3.1 records",
            q("x.wild.cdn.test.", "TXT"),
            &["NOERROR aa", "an x.wild.cdn.test. 300 TXT any"],
        ),
        (
            "§3.3.3 an alias to a route",
            q("x.wildalias.cdn.test.", "A"),
            &[
                "NOERROR aa",
                "an x.wildalias.cdn.test. 300 CNAME www.cdn.test.",
                "an www.cdn.test. 60 A 192.0.2.21",
            ],
        ),
        ("§2.2.2 an empty non-terminal", q("deep.cdn.test.", "A"), &["NOERROR aa", SOA]),
    ]);
}
