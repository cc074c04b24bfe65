//! The ledger as an operator copies it: out of one CDN, into another.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use nearcast_tests::real::{Tested, http::Connection, origin::Origin, up::Up, wait_for};

/// What its first edge answers for a host, and whether it had it.
fn answer(up: &Up, host: &str, target: &str) -> Tested<(String, bool)> {
    let edge = *up.edges().first().ok_or("no edge")?;
    let response = Connection::open(edge)?.host(host).get(target)?;
    Ok((response.text(), response.is_hit()))
}

fn text(output: &Output) -> String {
    let (said, told) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{said}{told}")
}

fn is_done(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(output));
    text(output)
}

#[test]
fn a_ledger_is_taken_along_and_everything_stored_is_purged() -> Tested {
    let folder = tempfile::tempdir()?;
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=600";
    let origin = Origin::answering(format!("{head}\r\n\r\nfirst"))?;
    let site = format!(
        "[[site]]\nname = \"shop\"\nhosts = [\"shop.test\"]\n\
         origin = {{ servers = [\"http://{}\"] }}\n",
        origin.address
    );
    fs::write(folder.path().join("shop.toml"), site)?;
    let root = folder.path().join("root");
    fs::create_dir(&root)?;
    fs::write(root.join("page.txt"), "page")?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let rooted = |up: &mut Command| {
        up.arg("--root").arg(&root);
    };
    let from = Up::start_with(&folder.path().join("from"), rooted)?;
    is_done(&from.client(&["site", "apply", &path("shop.toml")])?);
    let secret = is_done(&from.client(&["token", "make", "--may", "purge"])?);
    fs::write(folder.path().join("robot"), secret)?;
    let said = is_done(&from.client(&["ledger", "export", &path("copy.json")])?);
    assert!(said.contains("1 site, 1 token and 0 drains are in"), "{said}");
    let mode = fs::metadata(folder.path().join("copy.json"))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let to = Up::start_with(&folder.path().join("to"), rooted)?;
    // What it has stored of its own site is gone afterwards, as all is.
    wait_for("a hit", || Ok(answer(&to, "www.cdn.test", "/page.txt")?.1.then_some(())))?;
    let said = is_done(&to.client(&["ledger", "import", "--wait=60s", &path("copy.json")])?);
    assert!(said.contains("1 site and 1 token were put in"), "{said}");
    assert!(said.contains("complete: all 3 edges serve by it"), "{said}");
    assert_eq!(answer(&to, "shop.test", "/")?.0, "first", "as it was waited for");
    assert!(!answer(&to, "www.cdn.test", "/page.txt")?.1, "what was stored before is served still");
    is_done(&to.client_as(
        (to.fact("admin"), &path("robot")),
        &["purge", "--site", "shop", "--all", "--wait"],
    )?);

    is_done(&to.client(&["site", "delete", "shop"])?);
    let refused = to.client(&["ledger", "import", &path("copy.json")])?;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains("the ledger has sites already"), "{}", text(&refused));
    is_done(&to.client(&["ledger", "import", "--force", &path("copy.json")])?);
    fs::write(folder.path().join("broken.json"), "{")?;
    let broken = to.client(&["ledger", "import", "--force", &path("broken.json")])?;
    assert_eq!(broken.status.code(), Some(1));
    assert!(text(&broken).contains("no copy of a ledger"), "{}", text(&broken));
    Ok(())
}

#[test]
fn nothing_from_where_a_site_was_before_an_import_is_served_after_it() -> Tested {
    let folder = tempfile::tempdir()?;
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=600";
    let first = Origin::answering(format!("{head}\r\n\r\nfirst"))?;
    let other = Origin::answering(format!("{head}\r\n\r\nother"))?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    for (name, origin) in [("first", &first), ("other", &other)] {
        let site = format!(
            "[[site]]\nname = \"shop\"\nhosts = [\"shop.test\"]\n\
             origin = {{ servers = [\"http://{}\"] }}\n",
            origin.address
        );
        fs::write(path(name), site)?;
    }
    let root = folder.path().join("root");
    fs::create_dir(&root)?;
    let up = Up::start_with(&folder.path().join("data"), |up| {
        up.arg("--root").arg(&root);
    })?;
    is_done(&up.client(&["site", "apply", &path("first")])?);
    is_done(&up.client(&["ledger", "export", &path("copy.json")])?);
    let is_all = |wanted: &str| Ok((answer(&up, "shop.test", "/")?.0 == wanted).then_some(()));
    for _ in 0..3 {
        is_done(&up.client(&["site", "apply", &path("other")])?);
        is_done(&up.client(&["purge", "--site", "shop", "--all", "--wait"])?);
        wait_for("the other origin", || is_all("other"))?;
        // Asked all the while, it stores again whatever is purged.
        let is_done_asking = AtomicBool::new(false);
        thread::scope(|scope| {
            let asking = scope.spawn(|| -> Result<usize, String> {
                let mut asked = 0;
                while !is_done_asking.load(Ordering::Relaxed) {
                    answer(&up, "shop.test", "/").map_err(|error| error.to_string())?;
                    asked += 1;
                }
                Ok(asked)
            });
            let import = up.client(&["ledger", "import", "--force", &path("copy.json")]);
            let served = wait_for("what the copy has", || is_all("first"));
            is_done_asking.store(true, Ordering::Relaxed);
            assert!(asking.join().is_ok_and(|asked| asked.is_ok_and(|asked| asked > 0)));
            is_done(&import?);
            served
        })?;
    }
    Ok(())
}
