//! Sites as an operator has them in the ledger: applied, served, changed, taken back, deleted.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, Output},
};

use nearcast_tests::real::{
    Tested, geodns::dig, http::Connection, origin::Origin, up::Up, wait_for,
};

/// What `nearcast site` does.
fn verb(up: &Up, arguments: &[&str]) -> Tested<Output> {
    up.client(&[&["site"], arguments].concat())
}

/// What each edge answers for a host: the content, and whether it had it.
fn answers(up: &Up, host: &str, target: &str) -> Tested<Vec<(String, bool)>> {
    let ask = |edge: SocketAddr| -> Tested<(String, bool)> {
        let response = Connection::open(edge)?.host(host).get(target)?;
        Ok((response.text(), response.is_hit()))
    };
    up.edges().into_iter().map(ask).collect()
}

/// Waits until every edge answers so, from the origin: what was stored before a change stays.
fn serves(up: &Up, host: &str, content: &str) -> Tested<()> {
    let mut tries = 0..;
    wait_for(&format!("{host} is {content:?} everywhere"), || {
        let answers = answers(up, host, &format!("/{content}?{:?}", tries.next()))?;
        Ok(answers.iter().all(|(told, _)| told.contains(content)).then_some(()))
    })
}

fn origin(content: &str) -> Tested<Origin> {
    let length = content.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nCache-Control: max-age=600");
    Origin::answering(format!("{head}\r\n\r\n{content}"))
}

fn site(name: &str, host: &str, origin: &Origin) -> String {
    let origin = origin.address;
    format!(
        "[[site]]\nname = \"{name}\"\nhosts = [\"{host}\"]\n\
         origin = {{ servers = [\"http://{origin}\"] }}\n"
    )
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

#[test]
fn a_site_is_added_changed_taken_back_and_deleted_without_touching_a_file() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start(data.path()).unwrap();
    let (one, two) = (origin("of the first").unwrap(), origin("of the second").unwrap());
    let file = data.path().join("shop.toml");
    let apply = |text: &str| {
        fs::write(&file, text).unwrap();
        verb(&up, &["apply", file.to_str().unwrap()]).unwrap()
    };

    let applied = apply(&site("shop", "shop.example", &one));
    assert_eq!(text(&applied.stdout), "site shop: made, revision 1\n", "{applied:?}");
    serves(&up, "shop.example", "first").unwrap();
    assert!(answers(&up, "shop.example", "/a").unwrap().iter().all(|(_, hit)| !*hit));
    assert!(answers(&up, "shop.example", "/a").unwrap().iter().all(|(_, hit)| *hit));
    serves(&up, "shop.cdn.test", "first").unwrap();
    let dns = up.fact("dns").parse().unwrap();
    let answered = wait_for("GeoDNS answers for it", || {
        let answer = dig(dns, "shop.cdn.test", &["+short"])?;
        Ok(answer.contains("127.0.0.").then_some(answer))
    });
    answered.unwrap();

    let again = apply(&site("shop", "shop.example", &one));
    assert_eq!(text(&again.stdout), "site shop: unchanged, revision 1\n", "{again:?}");
    let changed = apply(&site("shop", "shop.example", &two));
    assert_eq!(text(&changed.stdout), "site shop: replaced, revision 2\n", "{changed:?}");
    serves(&up, "shop.example", "second").unwrap();
    // What was stored stays, as after a reload.
    assert!(answers(&up, "shop.example", "/a").unwrap().iter().all(|(_, hit)| *hit));
    assert!(text(&verb(&up, &["get", "shop"]).unwrap().stdout).contains(&two.address.to_string()));
    assert_eq!(verb(&up, &["rollback", "shop"]).unwrap().status.code(), Some(0));
    serves(&up, "shop.example", "first").unwrap();
    let history = up.json(&["site", "history", "shop"]).unwrap();
    assert_eq!(history["versions"].as_array().map(Vec::len), Some(3), "{history}");

    // Made again under its name it is another site, whatever is stored of the former one.
    assert_eq!(verb(&up, &["delete", "shop"]).unwrap().status.code(), Some(0));
    let applied = apply(&site("shop", "shop.example", &two));
    assert_eq!(text(&applied.stdout), "site shop: made, revision 5\n", "{applied:?}");
    serves(&up, "shop.example", "second").unwrap();
    assert!(
        answers(&up, "shop.example", "/a").unwrap().iter().all(|(told, _)| told.contains("second"))
    );
    assert_eq!(verb(&up, &["delete", "shop"]).unwrap().status.code(), Some(0));
    let gone = wait_for("the catch-all answers again", || {
        let answers = answers(&up, "shop.example", "/a")?;
        Ok(answers.iter().all(|(told, _)| !told.contains("of the")).then_some(()))
    });
    gone.unwrap();
    assert_eq!(verb(&up, &["get", "shop"]).unwrap().status.code(), Some(1));
    let list = up.json(&["site", "list"]).unwrap();
    assert_eq!(list["sites"].as_array().map(Vec::len), Some(1), "{list}");
}

#[test]
fn a_file_with_a_problem_writes_nothing_and_is_told_at_its_own_lines() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start(data.path()).unwrap();
    let one = origin("x").unwrap();
    let good = site("shop", "shop.example", &one);
    let bad = site("blog", "blog.example", &one).replace("hosts", "host");
    let file = data.path().join("sites.toml");
    fs::write(&file, format!("# sites\n{good}\n{bad}")).unwrap();
    let path = file.to_str().unwrap();
    let refused = verb(&up, &["apply", path]).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = text(&refused.stderr);
    let wanted = format!("{path}:9:1 site[1].host: unknown key");
    assert!(told.contains(&wanted) && told.contains("did you mean hosts?"), "{told}");
    assert_eq!(up.json(&["site", "list"]).unwrap()["sites"].as_array().map(Vec::len), Some(1));

    fs::write(&file, good.replace("shop.example", "*")).unwrap();
    let refused = verb(&up, &["apply", path]).unwrap();
    let told = text(&refused.stderr);
    assert!(told.contains("host \"*\" is site \"www\"'s"), "{told}");
    fs::write(&file, &good).unwrap();
    let checked = verb(&up, &["apply", path, "--dry-run"]).unwrap();
    assert_eq!(text(&checked.stdout), "site shop: checked, no problems\n");
    assert_eq!(verb(&up, &["get", "shop"]).unwrap().status.code(), Some(1));
    assert_eq!(verb(&up, &["get", "a/b"]).unwrap().status.code(), Some(2));
}

#[test]
fn the_sites_of_a_file_are_checked_beside_each_other_before_one_is_written() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start(data.path()).unwrap();
    let one = origin("x").unwrap();
    let file = data.path().join("sites.toml");
    let path = file.to_str().unwrap();
    let refused = |sites: &[String]| {
        fs::write(&file, sites.concat()).unwrap();
        let refused = verb(&up, &["apply", path]).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let told = text(&refused.stderr);
        assert!(told.contains("nothing was written"), "{told}");
        told
    };
    let (shop, blog) = (site("shop", "a.example", &one), site("blog", "b.example", &one));
    let told = refused(&[shop.clone(), site("shop", "c.example", &one)]);
    assert!(told.contains("site[1].name = \"shop\": site[0] has it too"), "{told}");
    let told = refused(&[shop.clone(), site("blog", "A.example.", &one)]);
    assert!(told.contains("site[1].hosts: \"a.example\" is a host of site[0] too"), "{told}");
    assert_eq!(up.json(&["site", "list"]).unwrap()["sites"].as_array().map(Vec::len), Some(1));
    fs::write(&file, [shop, blog].concat()).unwrap();
    assert_eq!(verb(&up, &["apply", path]).unwrap().status.code(), Some(0));
    let told = refused(&[site("shop", "c.example", &one), site("blog", "a.example", &one)]);
    assert!(told.contains("apply site shop without it first"), "{told}");
    assert_eq!(up.json(&["site", "get", "shop"]).unwrap()["hosts"][0], "a.example");
}

#[test]
fn a_site_of_the_ledger_may_not_lead_to_what_is_not_public() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start(data.path()).unwrap();
    let one = origin("x").unwrap();
    let file = data.path().join("site.toml");
    let own = one.address.to_string();
    for (address, network) in [("169.254.169.254", "169.254.0.0/16"), ("[fd00::1]", "fc00::/7")] {
        fs::write(&file, site("shop", "a.example", &one).replace(&own, address)).unwrap();
        let refused = verb(&up, &["apply", file.to_str().unwrap()]).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let told = text(&refused.stderr);
        let advice = format!("to allow it, set ledger_origins = [\"{network}\"] in [edge]");
        assert!(told.contains("an address that is not public") && told.contains(&advice), "{told}");
    }
}

#[test]
fn a_site_outlives_the_process_and_a_stopped_edge_comes_back_with_it() {
    let data = tempfile::tempdir().unwrap();
    let one = origin("of the ledger").unwrap();
    let file = data.path().join("shop.toml");
    fs::write(&file, site("shop", "shop.example", &one)).unwrap();
    {
        let up = Up::start(data.path()).unwrap();
        let admin: SocketAddr = up.fact("admin").parse().unwrap();
        let act = |what: &str| {
            let path = format!("/up/edges/fra/{what}");
            Connection::open(admin).unwrap().ask("POST", &path, &[]).unwrap().status
        };
        assert_eq!(act("stop"), 200);
        assert_eq!(verb(&up, &["apply", file.to_str().unwrap()]).unwrap().status.code(), Some(0));
        assert_eq!(act("start"), 200);
        serves(&up, "shop.example", "ledger").unwrap();
    }
    let up = Up::start(data.path()).unwrap();
    // Before the first answer, not soon after it.
    let answers = answers(&up, "shop.example", "/").unwrap();
    assert!(answers.iter().all(|(told, _)| told == "of the ledger"), "{answers:?}");
}

/// A node that has no authorities at all cannot serve what is fetched over TLS.
#[test]
fn a_site_that_a_node_cannot_serve_stops_no_other_and_is_told() {
    let data = tempfile::tempdir().unwrap();
    let unable = |command: &mut Command| {
        command.env("SSL_CERT_FILE", data.path().join("none")).env_remove("SSL_CERT_DIR");
    };
    let up = Up::start_with(data.path(), unable).unwrap();
    let one = origin("of the first").unwrap();
    let file = data.path().join("sites.toml");
    let secure = "[[site]]\nname = \"secure\"\nhosts = [\"secure.example\"]\n\
                  origin = { servers = [\"https://127.0.0.1:9\"] }\n";
    fs::write(&file, format!("{secure}{}", site("shop", "shop.example", &one))).unwrap();
    let applied = verb(&up, &["apply", file.to_str().unwrap()]).unwrap();
    assert_eq!(applied.status.code(), Some(0), "{applied:?}");
    // Whether it is, and that others are served all the same.
    let told = |up: &Up| -> Tested<(bool, u16)> {
        let answer = Connection::open(up.fact("admin").parse()?)?.get("/readyz")?;
        Ok((answer.text().contains("site \\\"secure\\\" of the ledger"), answer.status))
    };
    let is = |up: &Up, wanted| Ok((told(up)? == (wanted, 200)).then_some(()));
    serves(&up, "shop.example", "first").unwrap();
    wait_for("it is told", || is(&up, true)).unwrap();
    // So it is after a restart, and later changes are taken.
    drop(up);
    let up = Up::start_with(data.path(), unable).unwrap();
    serves(&up, "shop.example", "first").unwrap();
    wait_for("it is told again", || is(&up, true)).unwrap();
    let two = origin("of the second").unwrap();
    fs::write(&file, site("shop", "shop.example", &two)).unwrap();
    assert_eq!(verb(&up, &["apply", file.to_str().unwrap()]).unwrap().status.code(), Some(0));
    serves(&up, "shop.example", "second").unwrap();
    assert_eq!(verb(&up, &["delete", "secure"]).unwrap().status.code(), Some(0));
    wait_for("nothing is told", || is(&up, false)).unwrap();
}
