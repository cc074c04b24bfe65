//! TLS to origins over loopback: who the edge says it is, sessions that are resumed, the protocol that
//! is agreed on.

use std::{net::SocketAddr, path::Path, sync::Arc};

use bytes::Bytes;
use edge_core::settings::EdgeSettings;
use h2::server::SendResponse;
use nearcast_tests::{
    message::Answer,
    world::{World, caller::Caller, site},
};
use origin_mock::script::{Script, Step};
use parking_lot::Mutex;
use rustls::{HandshakeKind, ServerConfig};
use rustls_pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    authority::{Authority, run, written},
    stage::origin,
};

/// What a server saw of its clients: how each session began, and whose certificates came.
type Seen = Arc<Mutex<Vec<(Option<HandshakeKind>, Option<CertificateDer<'static>>)>>>;

/// An origin behind TLS, HTTP/2 where that was agreed on.
async fn secure(config: ServerConfig) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, acceptor) = (Seen::default(), TlsAcceptor::from(Arc::new(config)));
    let notes = Arc::clone(&seen);
    tokio::spawn(async move {
        let http1 = origin(
            Script::new().route("/*", [Step::text("1").with_field("Cache-Control", "no-store")]),
        );
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let session = stream.get_ref().1;
            let peer = session.peer_certificates().and_then(|chain| chain.first().cloned());
            notes.lock().push((session.handshake_kind(), peer.map(CertificateDer::into_owned)));
            let is_http2 = session.alpn_protocol() == Some(b"h2");
            let http1 = http1.clone();
            tokio::spawn(async move {
                if is_http2 { http2(stream).await } else { http1.serve_connection(stream).await }
            });
        }
    });
    (address, seen)
}

async fn http2(stream: TlsStream<TcpStream>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((_, respond))) = connection.accept().await {
        let mut respond: SendResponse<Bytes> = respond;
        let response = http::Response::builder().header("cache-control", "no-store");
        let sent = respond.send_response(response.body(()).unwrap(), false);
        if let Ok(mut stream) = sent {
            stream.send_data(Bytes::from_static(b"2"), true).unwrap_or_default();
        }
    }
}

fn permitting() -> EdgeSettings {
    let origin_networks_allowed = vec!["127.0.0.0/8".parse().unwrap()];
    EdgeSettings { origin_networks_allowed, ..EdgeSettings::default() }
}

fn settings(address: SocketAddr, authority: &Authority, more: &str) -> String {
    format!(
        "name = \"www\"\nhosts = [\"*\"]\n[origin]\nservers = [\"https://{address}\"]\n\
         ca = \"{}\"\nsni = \"shop.example\"\nretry_percent = 0\n{more}\n",
        authority.file.path().display()
    )
}

fn world(settings: &str) -> World {
    World::over_sockets(&permitting(), &[site(settings).unwrap()], Vec::new()).unwrap()
}

async fn get(world: &World) -> Answer {
    Caller::on(world.connect()).ask("GET", "www.example", "/", "").await
}

fn shows(certificate: &Path, key: &Path) -> String {
    format!("certificate = \"{}\"\nkey = \"{}\"", certificate.display(), key.display())
}

#[test]
fn a_server_that_asks_for_a_certificate_is_shown_it_and_a_new_one_when_its_file_changes() {
    run(async {
        let authority = Authority::new();
        let (address, seen) = secure(authority.server("shop.example", Some(&authority), &[])).await;
        assert_eq!(get(&world(&settings(address, &authority, ""))).await.status(), 502);
        let (one, key) = authority.certify("edge-1.example");
        let (certificate, private) = (written(&one), written(&key.serialize_pem()));
        let text = settings(address, &authority, &shows(certificate.path(), private.path()));
        let world = world(&text);
        assert_eq!(get(&world).await.status(), 200);
        let last = || seen.lock().last().cloned().unwrap().1.unwrap();
        let first = last();
        // A reload that changes no setting and no file goes on with the connections that it has.
        let site = site(&text).unwrap();
        world.edge.reload(&permitting(), std::slice::from_ref(&site)).unwrap();
        assert_eq!((get(&world).await.status(), seen.lock().len()), (200, 1));
        let (two, key) = authority.certify("edge-2.example");
        std::fs::write(certificate.path(), &two).unwrap();
        // Half of it is not taken: the old one stays in use.
        let refused = world.edge.reload(&permitting(), std::slice::from_ref(&site)).unwrap_err();
        assert!(refused[0].message.contains("cannot be used together"), "{refused:?}");
        assert_eq!((get(&world).await.status(), seen.lock().len()), (200, 1));
        std::fs::write(private.path(), key.serialize_pem()).unwrap();
        world.edge.reload(&permitting(), &[site]).unwrap();
        assert_eq!((get(&world).await.status(), seen.lock().len()), (200, 2));
        assert_ne!(first, last(), "the new certificate");
    });
}

#[test]
fn rfc8446_2_2_sessions_are_resumed() {
    run(async {
        let authority = Authority::new();
        let (address, seen) = secure(authority.server("shop.example", None, &[])).await;
        let world = world(&settings(address, &authority, "keep_alive = \"0s\""));
        for _ in 0..4 {
            assert_eq!(get(&world).await.status(), 200);
        }
        let kinds: Vec<_> = seen.lock().iter().filter_map(|(kind, _)| *kind).collect();
        assert_eq!(kinds[1..], [HandshakeKind::Resumed; 3]);
        assert_ne!(kinds[0], HandshakeKind::Resumed);
        let snapshot = world.edge.hall().snapshot.load();
        let entry = snapshot.sites.values().next().unwrap();
        let resumed = &entry.pool.servers()[0].counts().resumed;
        assert_eq!(resumed.load(std::sync::atomic::Ordering::Relaxed), 3);
    });
}

#[test]
fn rfc7301_http2_is_spoken_where_both_sides_want_it() {
    run(async {
        let authority = Authority::new();
        // What the server agrees on, what the settings say, and what was spoken: 0 for nothing.
        let rows: [(&[&str], &str, &[u8]); 6] = [
            (&["h2", "http/1.1"], "auto", b"2"),
            (&["http/1.1"], "auto", b"1"),
            (&[], "auto", b"1"),
            (&["h2", "http/1.1"], "http1", b"1"),
            (&["h2"], "http2", b"2"),
            (&[], "http2", b"0"),
        ];
        for (protocols, protocol, spoken) in rows {
            let (address, seen) = secure(authority.server("shop.example", None, protocols)).await;
            let more = format!("protocol = \"{protocol}\"");
            let world = world(&settings(address, &authority, &more));
            for _ in 0..3 {
                let answer = get(&world).await;
                if spoken == b"0" {
                    assert_eq!(answer.status(), 502, "{protocols:?} {protocol}");
                } else {
                    assert_eq!(answer.body, spoken, "{protocols:?} {protocol}");
                    assert_eq!(seen.lock().len(), 1, "one connection");
                }
            }
        }
    });
}
