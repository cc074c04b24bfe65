//! The ledger as an operator copies it: out of one CDN, into another.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use nearcast_tests::real::{
    Tested, http::Connection, origin::Origin, process::Process, program, wait_for,
};
use serde_json::Value;

struct Up {
    _process: Process,
    facts: Value,
}

impl Up {
    fn start(root: &Path, data: &Path) -> Tested<Self> {
        let mut command = Command::new(program::nearcast()?);
        command.args(["up", "--json", "--http-port", "0", "--dns-port", "0", "--admin-port", "0"]);
        command.arg("--root").arg(root).arg("--data").arg(data);
        let process = Process::start(&mut command)?;
        process.stdout_line(|line| line.starts_with('{').then_some(()))?;
        let facts = serde_json::from_slice(&fs::read(data.join("up.json"))?)?;
        Ok(Self { _process: process, facts })
    }

    fn fact(&self, name: &str) -> &str {
        self.facts[name].as_str().unwrap_or_default()
    }

    fn run(&self, arguments: &[&str]) -> Tested<Output> {
        self.run_with(self.fact("token_file"), arguments)
    }

    fn run_with(&self, token_file: &str, arguments: &[&str]) -> Tested<Output> {
        let mut command = Command::new(program::nearcast()?);
        command.args(arguments).args(["--admin", self.fact("admin"), "--token-file", token_file]);
        Ok(command.output()?)
    }

    /// What its first edge answers for a host.
    fn answer(&self, host: &str, target: &str) -> Tested<(String, bool)> {
        let edge = self.facts["edges"][0]["http"][0].as_str().unwrap_or_default().parse()?;
        let response = Connection::open(edge)?.host(host).get(target)?;
        Ok((response.text(), response.is_hit()))
    }
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
    let from = Up::start(&root, &folder.path().join("from"))?;
    is_done(&from.run(&["site", "apply", &path("shop.toml")])?);
    let secret = is_done(&from.run(&["token", "make", "--may", "purge"])?);
    fs::write(folder.path().join("robot"), secret)?;
    let said = is_done(&from.run(&["ledger", "export", &path("copy.json")])?);
    assert!(said.contains("1 site and 1 token are in"), "{said}");
    let mode = fs::metadata(folder.path().join("copy.json"))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let to = Up::start(&root, &folder.path().join("to"))?;
    // What it has stored of its own site is gone afterwards, as all is.
    wait_for("a hit", || Ok(to.answer("www.cdn.test", "/page.txt")?.1.then_some(())))?;
    let said = is_done(&to.run(&["ledger", "import", &path("copy.json")])?);
    assert!(said.contains("1 site and 1 token were put in"), "{said}");
    wait_for("the site", || Ok((to.answer("shop.test", "/")?.0 == "first").then_some(())))?;
    is_done(&to.run_with(&path("robot"), &["purge", "--site", "shop", "--all", "--wait"])?);
    // Its position follows the import's, so both are applied.
    assert!(!to.answer("www.cdn.test", "/page.txt")?.1, "what was stored before is served still");

    is_done(&to.run(&["site", "delete", "shop"])?);
    let refused = to.run(&["ledger", "import", &path("copy.json")])?;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains("the ledger has sites already"), "{}", text(&refused));
    is_done(&to.run(&["ledger", "import", "--force", &path("copy.json")])?);
    fs::write(folder.path().join("broken.json"), "{")?;
    let broken = to.run(&["ledger", "import", "--force", &path("broken.json")])?;
    assert_eq!(broken.status.code(), Some(1));
    assert!(text(&broken).contains("no copy of a ledger"), "{}", text(&broken));
    Ok(())
}
