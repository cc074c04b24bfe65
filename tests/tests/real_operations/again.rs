//! The command line where answers are lost, and where it asks as a client with fields.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Output},
    thread,
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
    fn start(data: &Path) -> Tested<Self> {
        let mut command = Command::new(program::nearcast()?);
        command.args(["up", "--json", "--http-port", "0", "--dns-port", "0", "--admin-port", "0"]);
        let process = Process::start(command.arg("--data").arg(data))?;
        process.stdout_line(|line| line.starts_with('{').then_some(()))?;
        let facts = serde_json::from_slice(&fs::read(data.join("up.json"))?)?;
        Ok(Self { _process: process, facts })
    }

    fn admin(&self) -> Tested<SocketAddr> {
        Ok(self.facts["admin"].as_str().unwrap_or_default().parse()?)
    }

    fn edge(&self) -> Tested<SocketAddr> {
        Ok(self.facts["edges"][0]["http"][0].as_str().unwrap_or_default().parse()?)
    }

    fn run(&self, admin: SocketAddr, arguments: &[&str]) -> Tested<Output> {
        let token = self.facts["token_file"].as_str().unwrap_or_default();
        let mut command = Command::new(program::nearcast()?);
        command.args(arguments).args(["--admin", &admin.to_string(), "--token-file", token]);
        Ok(command.output()?)
    }

    fn json(&self, arguments: &[&str]) -> Tested<Value> {
        let output = self.run(self.admin()?, &[arguments, &["--json"]].concat())?;
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout)?)
        } else {
            Err(format!("{arguments:?}: {output:?}").into())
        }
    }
}

/// Stands before the admin listener, and keeps the first answer to itself.
fn losing_one(admin: SocketAddr) -> Tested<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for (at, client) in listener.incoming().take(2).enumerate() {
            let (Ok(mut client), Ok(mut node)) = (client, TcpStream::connect(admin)) else {
                return;
            };
            let Ok(asks) = client.try_clone() else { return };
            let Ok(mut takes) = node.try_clone() else { return };
            thread::spawn(move || {
                let mut asks = asks;
                drop(std::io::copy(&mut asks, &mut takes));
            });
            // It has been carried out once its answer begins.
            let mut answer = vec![0; 1 << 16];
            let Ok(read) = node.read(&mut answer) else { return };
            if at > 0 {
                drop(client.write_all(answer.get(..read).unwrap_or_default()));
                drop(std::io::copy(&mut node, &mut client));
            }
            drop(client.shutdown(Shutdown::Both));
            drop(node.shutdown(Shutdown::Both));
        }
    });
    Ok(address)
}

#[test]
fn an_order_whose_answer_is_lost_is_given_again_and_carried_out_once() -> Tested {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path())?;
    let made = up.run(losing_one(up.admin()?)?, &["token", "make", "--may", "purge", "--json"])?;
    assert!(made.status.success(), "{made:?}");
    let made: Value = serde_json::from_slice(&made.stdout)?;
    let listed = up.json(&["token", "list"])?;
    assert_eq!(listed["tokens"].as_array().map(Vec::len), Some(2), "{listed}");
    // What it says is good.
    fs::write(data.path().join("robot"), made["token"].as_str().unwrap_or_default())?;
    let robot = data.path().join("robot").to_string_lossy().into_owned();
    let mut purge = Command::new(program::nearcast()?);
    purge.args(["purge", "--site", "www", "--all", "--token-file", &robot, "--admin"]);
    let purged = purge.arg(up.admin()?.to_string()).output()?;
    assert!(purged.status.success(), "{purged:?}");
    Ok(())
}

#[test]
fn a_variant_is_explained_as_a_client_with_its_fields_meets_it() -> Tested {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path())?;
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nCache-Control: max-age=600";
    let origin = Origin::answering(format!("{head}\r\nVary: Accept-Language\r\n\r\na"))?;
    let site = format!(
        "[[site]]\nname = \"shop\"\nhosts = [\"shop.test\"]\n\
         origin = {{ servers = [\"http://{}\"] }}\n",
        origin.address
    );
    let file = data.path().join("shop.toml");
    fs::write(&file, site)?;
    up.json(&["site", "apply", &file.to_string_lossy()])?;
    let german = [("Accept-Language", "de")];
    let edge = up.edge()?;
    wait_for("a hit in German", || {
        let answer = Connection::open(edge)?.host("shop.test").ask("GET", "/", &german)?;
        Ok(answer.is_hit().then_some(()))
    })?;
    let next = |fields: &[&str]| -> Tested<Value> {
        let told = up.json(&[&["explain", "http://shop.test/"], fields].concat())?;
        let nodes = told["nodes"].as_array().cloned().unwrap_or_default();
        let one = nodes.iter().find(|node| node["stored"][0].is_object());
        Ok(one.ok_or("nothing is stored")?["next"].clone())
    };
    assert_eq!(next(&["-H", "Accept-Language: de"])?["hit"], true);
    assert_eq!(next(&["-H", "Accept-Language: fr"])?["fwd"], "vary-miss");
    assert_eq!(next(&[])?["fwd"], "vary-miss");
    Ok(())
}
