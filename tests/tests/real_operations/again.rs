//! The command line where answers are lost, and where it asks as a client with fields.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::Command,
    thread,
};

use nearcast_tests::real::{Tested, http::Connection, origin::Origin, program, up::Up, wait_for};
use serde_json::Value;

/// Stands before the admin listener, and keeps the first answer to itself.
fn losing_one(admin: &str) -> Tested<SocketAddr> {
    let admin: SocketAddr = admin.parse()?;
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
    let made = up.client_as(
        (&losing_one(up.fact("admin"))?.to_string(), up.fact("token_file")),
        &["token", "make", "--may", "purge", "--json"],
    )?;
    assert!(made.status.success(), "{made:?}");
    let made: Value = serde_json::from_slice(&made.stdout)?;
    let listed = up.json(&["token", "list"])?;
    assert_eq!(listed["tokens"].as_array().map(Vec::len), Some(2), "{listed}");
    // What it says is good.
    fs::write(data.path().join("robot"), made["token"].as_str().unwrap_or_default())?;
    let robot = data.path().join("robot").to_string_lossy().into_owned();
    let mut purge = Command::new(program::nearcast()?);
    purge.args(["purge", "--site", "www", "--all", "--token-file", &robot, "--admin"]);
    let purged = purge.arg(up.fact("admin")).output()?;
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
    let edge = *up.edges().first().ok_or("no edge")?;
    wait_for("a hit in German", || {
        let answer = Connection::open(edge)?.host("shop.test").ask("GET", "/", &german)?;
        // Until the edge has the new site, the one for all hosts answers.
        Ok((answer.is_hit() && answer.text() == "a").then_some(()))
    })?;
    let next = |fields: &[&str]| -> Tested<Value> {
        let told = up.json(&[&["explain", "http://shop.test/"], fields].concat())?;
        let nodes = told["nodes"].as_array().cloned().unwrap_or_default();
        let one = nodes.iter().find(|node| node["stored"][0].is_object());
        Ok(one.ok_or_else(|| format!("nothing is stored: {told}"))?["next"].clone())
    };
    assert_eq!(next(&["-H", "Accept-Language: de"])?["hit"], true);
    assert_eq!(next(&["-H", "Accept-Language: fr"])?["fwd"], "vary-miss");
    assert_eq!(next(&[])?["fwd"], "vary-miss");
    Ok(())
}
