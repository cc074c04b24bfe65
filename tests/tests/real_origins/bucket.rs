//! A private bucket: a server that takes signed requests alone, and what a node asks it for.

use std::{fs, path::Path};

use nearcast_tests::real::{
    Tested,
    bucket::Buckets,
    http::Connection,
    node::{Node, NodeFile},
    process::Signal,
    wait_for,
};

const KEY: (&str, &str) = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY");

/// Two buckets with the same name of an object, and a file with this secret for the key.
fn files(secret: &str) -> Tested<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    for (bucket, text) in [("shop", "ours"), ("other", "not ours")] {
        let place = folder.path().join("root").join(bucket);
        fs::create_dir_all(place.join("docs"))?;
        fs::write(place.join("a b+c.txt"), text)?;
        fs::write(place.join("docs/index.html"), format!("{text}: docs"))?;
    }
    write_key(folder.path(), secret)?;
    Ok(folder)
}

/// As one file in the place of another, so that nobody reads half of it.
fn write_key(folder: &Path, secret: &str) -> Tested {
    let text =
        format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {secret}\n", KEY.0);
    fs::write(folder.join("new"), text)?;
    Ok(fs::rename(folder.join("new"), folder.join("key"))?)
}

fn node(folder: &Path, buckets: &Buckets, more: &str) -> Tested<Node> {
    let credentials = folder.join("key");
    Node::start(&NodeFile {
        edge: vec!["origin_networks_allowed = [\"127.0.0.0/8\"]".to_owned()],
        sites: format!(
            "[[site]]\nname = \"www\"\nhosts = [\"*\"]\n[site.origin]\nservers = [\"http://{}\"]\n\
             [site.origin.bucket]\ncredentials = \"{}\"\nname = \"shop\"\n{more}\n\
             [[site.rule]]\npath = \"*\"\ndefault_ttl = \"1h\"\n",
            buckets.address,
            credentials.display(),
        ),
        ..NodeFile::default()
    })
}

fn start(secret: &str, more: &str) -> Tested<(Node, Buckets, tempfile::TempDir)> {
    let folder = files(secret)?;
    let buckets = Buckets::start(&folder.path().join("root"), KEY)?;
    Ok((node(folder.path(), &buckets, more)?, buckets, folder))
}

fn got(node: &Node, target: &str) -> Tested<(u16, String)> {
    let response = Connection::open(node.edge)?.get(target)?;
    Ok((response.status, response.text()))
}

#[test]
fn objects_of_a_private_bucket_are_served_and_stored() -> Tested {
    let (node, mut buckets, _folder) = start(KEY.1, "index = \"index.html\"")?;
    assert_eq!(got(&node, "/a%20b+c.txt")?, (200, "ours".to_owned()));
    assert_eq!(got(&node, "/docs/")?, (200, "ours: docs".to_owned()));
    // What is stored needs no bucket any more, whatever query it is asked with.
    buckets.process.signal(Signal::Stop)?;
    for target in ["/a%20b+c.txt", "/a%20b+c.txt?v=2"] {
        assert_eq!(got(&node, target)?, (200, "ours".to_owned()), "{target}");
    }
    buckets.process.signal(Signal::Continue)
}

#[test]
fn a_client_sees_nothing_of_the_bucket_but_its_objects() -> Tested {
    let (node, _buckets, _folder) = start(KEY.1, "")?;
    for target in
        ["/", "/?list-type=2", "//", "/%2F", "/../other/a%20b+c.txt", "/x/..%2f..%2fother/"]
    {
        let (status, text) = got(&node, target)?;
        assert!(matches!(status, 403 | 404), "{target}: {status} {text}");
        assert!(!text.contains("ListBucketResult") && !text.contains("ours"), "{target}: {text}");
    }
    for method in ["DELETE", "OPTIONS", "POST"] {
        let refused = Connection::open(node.edge)?.ask(method, "/a%20b+c.txt", &[])?;
        assert_eq!(refused.status, 403, "{method}");
    }
    let fields = [("Authorization", "Basic eDp5"), ("x-amz-acl", "public-read")];
    let response = Connection::open(node.edge)?.ask("GET", "/a%20b+c.txt?acl", &fields)?;
    assert_eq!(response.text(), "ours");
    Ok(())
}

#[test]
fn a_new_key_is_taken_up() -> Tested {
    let (node, _buckets, folder) = start("ofYesterday", "")?;
    assert_eq!(got(&node, "/a%20b+c.txt")?.0, 403);
    write_key(folder.path(), KEY.1)?;
    wait_for("the new key", || {
        Ok((got(&node, "/a%20b+c.txt")? == (200, "ours".to_owned())).then_some(()))
    })
}
