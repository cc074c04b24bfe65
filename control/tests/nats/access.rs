//! Who may do what, and over TLS.

use std::{fs, path::PathBuf};

use nearcast_control::{
    ledger::{Expect, Ledger as _, LedgerError, Log},
    nats::{Access, AccessError, Nats, OpenError},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::{
    faults::{key, soon, until},
    server::{InNats, Server, debian},
};

/// What the page for operators says each role may do.
const PAGE: &str = include_str!("../../../docs/operate.md");

/// Seeds, and the public keys that belong to them.
const ORDERS: (&str, &str) = (
    "SUAACAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAN7EY",
    "UCFIRY65OQE7DFP5KLNS2PF2LVZMUZYJX4OZIEQ36N2IQANUB5XVZ45L",
);
const FOLLOWS: (&str, &str) = (
    "SUAAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAT6EE",
    "UCATS5YOVB6ROX2WUNKGNQ2MP3GMXDMKSG2O4N5CLX3A6W4PZGZZJPJO",
);

/// The `authorization` block of the page, with keys that we have.
fn authorization() -> String {
    let block = PAGE.split_once("\nauthorization {").expect("the page has it").1;
    let block = block.split_once("\n}\n```").expect("it ends").0;
    let block = block.replace("UORDERS", ORDERS.1).replace("UFOLLOWS", FOLLOWS.1);
    assert!(block.contains(ORDERS.1) && block.contains(FOLLOWS.1), "{block}");
    format!("authorization {{{block}\n}}")
}

fn as_user(server: &Server, seed: &str) -> InNats {
    let path = server.folder().join(seed);
    fs::write(&path, format!("{seed}\n")).unwrap();
    let mut place = server.place("nearcast");
    place.0.access.credentials = Some(path);
    place
}

#[tokio::test]
async fn each_role_may_do_what_the_page_says_and_no_more() {
    let server = Server::start(debian(), &authorization());
    let orders = as_user(&server, ORDERS.0).nats().await;
    let start = orders.ends(Log::Purges).await.unwrap().last;
    let follower = as_user(&server, FOLLOWS.0).nats().await;
    let mut follow = follower.follow(Log::Purges, start).await.unwrap();
    orders.append(Log::Purges, "1".into(), Some("once")).await.unwrap();
    assert!(orders.append(Log::Purges, "1".into(), Some("once")).await.unwrap().repeated);
    orders.append(Log::Audit, "who".into(), None).await.unwrap();
    until(&mut follow, &"1".into()).await;
    let own = key("nodes/fra-1");
    let revision = follower.write(&own, "here".into(), Expect::Anything).await.unwrap();
    assert_eq!(orders.read(&own).await.unwrap().unwrap().revision, revision);
    assert_eq!(orders.history(&own).await.unwrap().len(), 1);
    follower.delete(&own, revision).await.unwrap();
    let other = key("nodes/sin-1");
    let refused = follower.write(&other, "x".into(), Expect::Anything).await.unwrap_err();
    assert!(refused.to_string().contains("ermissions"), "{refused}");
    let refused = follower.append(Log::Purges, "2".into(), None).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Unavailable(_)), "{refused}");
    // What it may do it can do still.
    let mut health = follower.health();
    soon(health.wait_for(|health| health.failing().is_none())).await.unwrap();
    orders.write(&other, "x".into(), Expect::Absent).await.unwrap();
    assert!(follower.read(&other).await.unwrap().is_some());
}

/// A bucket is usually made so that one message can take all others away.
#[tokio::test]
async fn who_may_write_one_document_takes_no_other_away() {
    let server = Server::start(debian(), &authorization());
    let orders = as_user(&server, ORDERS.0).nats().await;
    let other = key("sites/shop");
    orders.write(&other, "x".into(), Expect::Absent).await.unwrap();
    let options = async_nats::ConnectOptions::new().nkey(FOLLOWS.0.to_owned());
    let follower = options.connect(server.url()).await.unwrap();
    for what in ["all", "sub"] {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Rollup", what);
        let subject = "$KV.nearcast.nodes.fra-1";
        let told = follower.request_with_headers(subject, headers, "{}".into()).await.unwrap();
        let told = String::from_utf8_lossy(&told.payload);
        assert!(told.contains("error"), "{what}: {told}");
    }
    let anew = as_user(&server, ORDERS.0).nats().await;
    assert!(anew.read(&other).await.unwrap().is_some());
}

/// One that was made otherwise before.
#[tokio::test]
async fn a_bucket_that_lets_one_message_take_all_away_is_mended() {
    let server = Server::alone();
    let place = server.place("cdn");
    drop(place.nats().await);
    let mut config = place.ask("STREAM.INFO.KV_cdn").await["config"].take();
    config["allow_rollup_hdrs"] = true.into();
    let client = async_nats::connect(server.url()).await.unwrap();
    let update = |config: &serde_json::Value| config.to_string().into();
    client.request("$JS.API.STREAM.UPDATE.KV_cdn", update(&config)).await.unwrap();
    let told = place.ask("STREAM.INFO.KV_cdn").await;
    assert_eq!(told["config"]["allow_rollup_hdrs"], true, "{told}");
    drop(place.nats().await);
    let told = place.ask("STREAM.INFO.KV_cdn").await;
    assert_ne!(told["config"]["allow_rollup_hdrs"], true, "{told}");
}

async fn refused(access: Access, server: &Server) -> AccessError {
    let mut place = server.place("nearcast");
    place.0.access = access;
    match Nats::open(&place.0).await {
        Err(OpenError::Access(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was let in"),
    }
}

#[tokio::test]
async fn who_has_no_right_key_is_refused_at_once() {
    let server = Server::start(debian(), &authorization());
    let access = |credentials: Option<PathBuf>| Access {
        servers: vec![server.url()],
        credentials,
        ..Access::default()
    };
    let file = |text: &str| {
        let path = server.folder().join("creds");
        fs::write(&path, text).unwrap();
        Some(path)
    };
    let told = refused(access(None), &server).await;
    assert!(matches!(told, AccessError::Connect { .. }), "{told}");
    assert!(told.to_string().contains("authorization"), "{told}");
    // A seed that the server does not know.
    let stranger = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
    let told = refused(access(file(stranger)), &server).await;
    assert!(matches!(told, AccessError::Connect { .. }), "{told}");
    for broken in ["", "secret", "SUA", "-----BEGIN NATS USER JWT-----\nx\n"] {
        let told = refused(access(file(broken)), &server).await;
        assert!(!told.to_string().contains("secret"), "{told}");
    }
    let told = refused(access(Some(server.folder().join("none"))), &server).await;
    assert!(matches!(told, AccessError::File { .. }), "{told}");
}

/// A certificate authority in a folder, and what it signs.
struct Authority(Issuer<'static, KeyPair>, PathBuf);

impl Authority {
    fn new(server: &std::path::Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let path = server.join(format!("{name}.pem"));
        fs::write(&path, params.self_signed(&key).unwrap().pem()).unwrap();
        Self(Issuer::new(params, key), path)
    }

    /// A certificate for a name and its key, both in PEM.
    fn certify(&self, name: &str, folder: &std::path::Path) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let paths = ["pem", "key"].map(|ending| folder.join(format!("{name}.{ending}")));
        fs::write(&paths[0], params.signed_by(&key, &self.0).unwrap().pem()).unwrap();
        fs::write(&paths[1], key.serialize_pem()).unwrap();
        let [certificate, key] = paths;
        (certificate, key)
    }
}

#[tokio::test]
async fn servers_and_nodes_prove_themselves_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "ours");
    let other = Authority::new(folder.path(), "other");
    let (certificate, private) = ours.certify("127.0.0.1", folder.path());
    let tls = format!(
        "tls {{ cert_file: {certificate:?}, key_file: {private:?}, ca_file: {:?}, verify: true }}",
        ours.1
    );
    let server = Server::start(debian(), &tls);
    let identity = ours.certify("node.test", folder.path());
    let access = |ca: &Authority, certificate: Option<(PathBuf, PathBuf)>| Access {
        servers: vec![server.url()],
        credentials: None,
        ca: Some(ca.1.clone()),
        certificate,
    };
    let mut place = server.place("cdn");
    place.0.access = access(&ours, Some(identity.clone()));
    let ledger = place.nats().await;
    ledger.write(&key("a"), "x".into(), Expect::Absent).await.unwrap();
    assert!(ledger.read(&key("a")).await.unwrap().is_some());
    for (case, access) in [
        ("another authority", access(&other, Some(identity))),
        ("no certificate", access(&ours, None)),
    ] {
        let told = refused(access, &server).await;
        assert!(matches!(told, AccessError::Connect { .. }), "{case}: {told}");
    }
    // A server that has no TLS is not talked to without it.
    let plain = Server::alone();
    let mut access = access(&ours, None);
    access.servers = vec![plain.url()];
    let told = refused(access, &plain).await;
    assert!(matches!(told, AccessError::Connect { .. }), "{told}");
}
