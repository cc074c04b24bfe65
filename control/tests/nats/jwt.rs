//! Who a node is by a file that `nsc generate creds` writes: a JWT of an account's user, and its seed.

use std::{fs, path::PathBuf};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use nearcast_control::{
    ledger::{Expect, Ledger as _},
    nats::{AccessError, Nats, OpenError},
};
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::{
    faults::key,
    server::{InNats, Server, newest},
};

/// What `issuer` says of `subject`, as the NATS tools say it (JWT version 2).
fn jwt(issuer: &KeyPair, subject: &KeyPair, said: &Value) -> String {
    let claims = json!({
        "jti": "1", "iat": 1_700_000_000, "iss": issuer.public_key(), "sub": subject.public_key(),
        "name": "test", "nats": said,
    });
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed =
        format!("{}.{}", encode(&json!({ "typ": "JWT", "alg": "ed25519-nkey" })), encode(&claims));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

/// An account of an operator, in which there is JetStream.
struct Accounts {
    account: KeyPair,
    /// Lines of the server's configuration.
    lines: String,
}

impl Accounts {
    fn new() -> Self {
        let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
        let system = KeyPair::new_account();
        let limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
            "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1,
            "consumer": -1, "max_ack_pending": -1,
        });
        let own =
            json!({ "type": "operator", "version": 2, "system_account": system.public_key() });
        let of = |limits: &Value| json!({ "type": "account", "version": 2, "limits": limits });
        // A system account has no JetStream.
        let plain = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
            "wildcards": true, "conn": -1, "leaf": -1 });
        let lines = format!(
            "operator: {}\nsystem_account: {}\nresolver: MEMORY\n\
             resolver_preload: {{\n {}: {}\n {}: {}\n}}",
            jwt(&operator, &operator, &own),
            system.public_key(),
            system.public_key(),
            jwt(&operator, &system, &of(&plain)),
            account.public_key(),
            jwt(&operator, &account, &of(&limits)),
        );
        Self { account, lines }
    }

    /// The file of a user whom `by` has made.
    fn user(server: &Server, by: &KeyPair, name: &str) -> PathBuf {
        let user = KeyPair::new_user();
        let said = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
        let path = server.folder().join(name);
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             NKEY Seed printed below can be used to sign and prove identity.\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n\n\
             *************************************************************\n",
            jwt(by, &user, &said),
            user.seed().unwrap()
        );
        fs::write(&path, text).unwrap();
        path
    }
}

fn place(server: &Server, credentials: PathBuf) -> InNats {
    let mut place = server.place("cdn");
    place.0.access.credentials = Some(credentials);
    place
}

#[tokio::test]
async fn a_user_of_an_account_is_let_in_and_no_other() {
    let accounts = Accounts::new();
    let server = Server::start(newest(), &accounts.lines);
    let ours = place(&server, Accounts::user(&server, &accounts.account, "ours.creds"));
    let ledger = ours.nats().await;
    ledger.write(&key("a"), "x".into(), Expect::Absent).await.unwrap();
    assert!(ledger.read(&key("a")).await.unwrap().is_some());
    // Of an account that the operator has not made.
    let other = Accounts::user(&server, &KeyPair::new_account(), "other.creds");
    let told = Nats::open(&place(&server, other.clone()).0).await.unwrap_err();
    let OpenError::Access(AccessError::Connect { refused: true, .. }) = &told else {
        panic!("{told:?}")
    };
    assert!(!told.is_away());
    // A JWT without the seed that belongs to it.
    let text = fs::read_to_string(&other).unwrap();
    let alone = server.folder().join("alone.creds");
    fs::write(&alone, text.split_once("\n\n").unwrap().0).unwrap();
    let told = Nats::open(&place(&server, alone).0).await.unwrap_err();
    assert!(matches!(told, OpenError::Access(AccessError::Credentials { .. })), "{told:?}");
}
