//! Sites as an operator has them in the ledger: applied, served, changed, taken back, deleted.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
};

use nearcast_tests::real::{
    Tested, geodns::dig, http::Connection, origin::Origin, process::Process, program, wait_for,
};
use serde_json::Value;

/// `nearcast up`.
struct Up {
    _process: Process,
    facts: Value,
}

impl Up {
    fn start(data: &Path) -> Tested<Self> {
        Self::start_with(data, |_command| ())
    }

    fn start_with(data: &Path, change: impl Fn(&mut Command)) -> Tested<Self> {
        let mut command = Command::new(program::nearcast()?);
        change(&mut command);
        command.args(["up", "--json", "--http-port", "0", "--dns-port", "0", "--admin-port", "0"]);
        let process = Process::start(command.arg("--data").arg(data))?;
        process.stdout_line(|line| line.starts_with('{').then_some(()))?;
        let facts = serde_json::from_slice(&fs::read(data.join("up.json"))?)?;
        Ok(Self { _process: process, facts })
    }

    fn fact(&self, name: &str) -> &str {
        self.facts[name].as_str().unwrap_or_default()
    }

    fn edges(&self) -> Vec<SocketAddr> {
        let edges = self.facts["edges"].as_array().into_iter().flatten();
        edges.filter_map(|edge| edge["http"][0].as_str()?.parse().ok()).collect()
    }

    fn site(&self, arguments: &[&str]) -> Tested<Output> {
        let mut command = Command::new(program::nearcast()?);
        command.arg("site").args(arguments).args(["--admin", self.fact("admin")]);
        Ok(command.args(["--token-file", self.fact("token_file")]).output()?)
    }

    /// What each edge answers for a host: the content, and whether it had it.
    fn answers(&self, host: &str, target: &str) -> Tested<Vec<(String, bool)>> {
        let ask = |edge: SocketAddr| -> Tested<(String, bool)> {
            let response = Connection::open(edge)?.host(host).get(target)?;
            Ok((response.text(), response.is_hit()))
        };
        self.edges().into_iter().map(ask).collect()
    }

    /// Waits until every edge answers so, from the origin: what was stored before a change stays.
    fn serves(&self, host: &str, content: &str) -> Tested<()> {
        let mut tries = 0..;
        wait_for(&format!("{host} is {content:?} everywhere"), || {
            let answers = self.answers(host, &format!("/{content}?{:?}", tries.next()))?;
            Ok(answers.iter().all(|(told, _)| told.contains(content)).then_some(()))
        })
    }

    fn json(&self, arguments: &[&str]) -> Tested<Value> {
        let output = self.site(&[arguments, &["--json"]].concat())?;
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout)?)
        } else {
            Err(format!("{arguments:?}: {output:?}").into())
        }
    }
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
        up.site(&["apply", file.to_str().unwrap()]).unwrap()
    };

    let applied = apply(&site("shop", "shop.example", &one));
    assert_eq!(text(&applied.stdout), "site shop: made, revision 1\n", "{applied:?}");
    up.serves("shop.example", "first").unwrap();
    assert!(up.answers("shop.example", "/a").unwrap().iter().all(|(_, hit)| !*hit));
    assert!(up.answers("shop.example", "/a").unwrap().iter().all(|(_, hit)| *hit));
    up.serves("shop.cdn.test", "first").unwrap();
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
    up.serves("shop.example", "second").unwrap();
    // What was stored stays, as after a reload.
    assert!(up.answers("shop.example", "/a").unwrap().iter().all(|(_, hit)| *hit));
    assert!(text(&up.site(&["get", "shop"]).unwrap().stdout).contains(&two.address.to_string()));
    assert_eq!(up.site(&["rollback", "shop"]).unwrap().status.code(), Some(0));
    up.serves("shop.example", "first").unwrap();
    let history = up.json(&["history", "shop"]).unwrap();
    assert_eq!(history["versions"].as_array().map(Vec::len), Some(3), "{history}");

    // Made again under its name it is another site, whatever is stored of the former one.
    assert_eq!(up.site(&["delete", "shop"]).unwrap().status.code(), Some(0));
    let applied = apply(&site("shop", "shop.example", &two));
    assert_eq!(text(&applied.stdout), "site shop: made, revision 5\n", "{applied:?}");
    up.serves("shop.example", "second").unwrap();
    assert!(
        up.answers("shop.example", "/a").unwrap().iter().all(|(told, _)| told.contains("second"))
    );
    assert_eq!(up.site(&["delete", "shop"]).unwrap().status.code(), Some(0));
    let gone = wait_for("the catch-all answers again", || {
        let answers = up.answers("shop.example", "/a")?;
        Ok(answers.iter().all(|(told, _)| !told.contains("of the")).then_some(()))
    });
    gone.unwrap();
    assert_eq!(up.site(&["get", "shop"]).unwrap().status.code(), Some(1));
    let list = up.json(&["list"]).unwrap();
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
    let refused = up.site(&["apply", path]).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = text(&refused.stderr);
    let wanted = format!("{path}:9:1 site[1].host: unknown key");
    assert!(told.contains(&wanted) && told.contains("did you mean hosts?"), "{told}");
    assert_eq!(up.json(&["list"]).unwrap()["sites"].as_array().map(Vec::len), Some(1));

    fs::write(&file, good.replace("shop.example", "*")).unwrap();
    let refused = up.site(&["apply", path]).unwrap();
    let told = text(&refused.stderr);
    assert!(told.contains("host \"*\" is site \"www\"'s"), "{told}");
    fs::write(&file, &good).unwrap();
    let checked = up.site(&["apply", path, "--dry-run"]).unwrap();
    assert_eq!(text(&checked.stdout), "site shop: checked, no problems\n");
    assert_eq!(up.site(&["get", "shop"]).unwrap().status.code(), Some(1));
    assert_eq!(up.site(&["get", "a/b"]).unwrap().status.code(), Some(2));
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
        let refused = up.site(&["apply", path]).unwrap();
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
    assert_eq!(up.json(&["list"]).unwrap()["sites"].as_array().map(Vec::len), Some(1));
    fs::write(&file, [shop, blog].concat()).unwrap();
    assert_eq!(up.site(&["apply", path]).unwrap().status.code(), Some(0));
    let told = refused(&[site("shop", "c.example", &one), site("blog", "a.example", &one)]);
    assert!(told.contains("apply site shop without it first"), "{told}");
    assert_eq!(up.json(&["get", "shop"]).unwrap()["hosts"][0], "a.example");
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
        let refused = up.site(&["apply", file.to_str().unwrap()]).unwrap();
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
        assert_eq!(up.site(&["apply", file.to_str().unwrap()]).unwrap().status.code(), Some(0));
        assert_eq!(act("start"), 200);
        up.serves("shop.example", "ledger").unwrap();
    }
    let up = Up::start(data.path()).unwrap();
    // Before the first answer, not soon after it.
    let answers = up.answers("shop.example", "/").unwrap();
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
    let applied = up.site(&["apply", file.to_str().unwrap()]).unwrap();
    assert_eq!(applied.status.code(), Some(0), "{applied:?}");
    // Whether it is, and that others are served all the same.
    let told = |up: &Up| -> Tested<(bool, u16)> {
        let answer = Connection::open(up.fact("admin").parse()?)?.get("/readyz")?;
        Ok((answer.text().contains("site \\\"secure\\\" of the ledger"), answer.status))
    };
    let is = |up: &Up, wanted| Ok((told(up)? == (wanted, 200)).then_some(()));
    up.serves("shop.example", "first").unwrap();
    wait_for("it is told", || is(&up, true)).unwrap();
    // So it is after a restart, and later changes are taken.
    drop(up);
    let up = Up::start_with(data.path(), unable).unwrap();
    up.serves("shop.example", "first").unwrap();
    wait_for("it is told again", || is(&up, true)).unwrap();
    let two = origin("of the second").unwrap();
    fs::write(&file, site("shop", "shop.example", &two)).unwrap();
    assert_eq!(up.site(&["apply", file.to_str().unwrap()]).unwrap().status.code(), Some(0));
    up.serves("shop.example", "second").unwrap();
    assert_eq!(up.site(&["delete", "secure"]).unwrap().status.code(), Some(0));
    wait_for("nothing is told", || is(&up, false)).unwrap();
}
