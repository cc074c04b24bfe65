//! Over loopback: TLS to origins, and which addresses may be reached at all.

use std::{fs, net::SocketAddr, sync::Arc};

use edge_core::settings::{EdgeSettings, SiteSettings};
use nearcast_tests::{
    message::Answer,
    world::{World, caller::Caller, site},
};
use origin_mock::script::{Script, Step};
use parking_lot::Mutex;
use tempfile::NamedTempFile;
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;

use super::{
    authority::{Authority, run},
    stage::origin,
};

/// A server of that name, with a certificate of `authority`.
fn acceptor(authority: &Authority, name: &str) -> TlsAcceptor {
    TlsAcceptor::from(Arc::new(authority.server(name, None, &[])))
}

/// What an origin behind TLS saw.
struct Secure {
    address: SocketAddr,
    origin: origin_mock::origin::Origin,
    sni: Arc<Mutex<Vec<Option<String>>>>,
}

async fn secure(acceptor: TlsAcceptor) -> Secure {
    let origin = origin(Script::new().route("/*", [Step::text("secret")]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sni: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let (serving, seen) = (origin.clone(), Arc::clone(&sni));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            seen.lock().push(stream.get_ref().1.server_name().map(str::to_owned));
            let origin = serving.clone();
            tokio::spawn(async move { origin.serve_connection(stream).await });
        }
    });
    Secure { address, origin, sni }
}

fn permitting() -> EdgeSettings {
    let origin_networks_allowed = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
    EdgeSettings { origin_networks_allowed, ..EdgeSettings::default() }
}

async fn get(settings: &EdgeSettings, own: Vec<SocketAddr>, origin: &str) -> Answer {
    let text = format!("name = \"www\"\nhosts = [\"*\"]\n[origin]\n{origin}\nretry_percent = 0\n");
    let world = World::over_sockets(settings, &[site(&text).unwrap()], own).unwrap();
    Caller::on(world.connect()).ask("GET", "www.example", "/", "").await
}

#[test]
fn an_https_origin_is_asked_by_name_and_trusted_by_the_given_authority() {
    run(async {
        let authority = Authority::new();
        let server = secure(acceptor(&authority, "shop.example")).await;
        let ca = authority.file.path().display();
        let settings = format!(
            "servers = [\"https://127.0.0.1:{}\"]\nca = \"{ca}\"\nsni = \"shop.example\"\nhost = \"own.example\"",
            server.address.port()
        );
        let answer = get(&permitting(), Vec::new(), &settings).await;
        assert_eq!((answer.status(), &answer.body[..]), (200, &b"secret"[..]));
        assert_eq!(*server.sni.lock(), [Some("shop.example".to_owned())]);
        let host = server.origin.recorder().requests()[0].clone();
        let host =
            host.fields.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(b"host"));
        assert_eq!(host.unwrap().1.as_bytes(), b"own.example");
    });
}

#[test]
fn the_servers_own_name_is_asked_for_without_a_setting() {
    run(async {
        let authority = Authority::new();
        let server = secure(acceptor(&authority, "localhost")).await;
        let settings = format!(
            "servers = [\"https://localhost:{}\"]\nca = \"{}\"",
            server.address.port(),
            authority.file.path().display()
        );
        assert_eq!(get(&permitting(), Vec::new(), &settings).await.status(), 200);
        assert_eq!(*server.sni.lock(), [Some("localhost".to_owned())]);
    });
}

#[test]
fn a_certificate_of_another_name_or_authority_is_502() {
    run(async {
        let (trusted, stranger) = (Authority::new(), Authority::new());
        let rows = [
            ("another name", acceptor(&trusted, "other.example")),
            ("another authority", acceptor(&stranger, "shop.example")),
        ];
        for (what, acceptor) in rows {
            let server = secure(acceptor).await;
            let settings = format!(
                "servers = [\"https://127.0.0.1:{}\"]\nca = \"{}\"\nsni = \"shop.example\"",
                server.address.port(),
                trusted.file.path().display()
            );
            let answer = get(&permitting(), Vec::new(), &settings).await;
            assert_eq!(answer.status(), 502, "{what}");
            assert_eq!(server.origin.recorder().stats().requests, 0, "{what}");
        }
    });
}

#[test]
fn a_replaced_file_of_authorities_is_taken_at_a_reload() {
    run(async {
        let (trusted, stranger) = (Authority::new(), Authority::new());
        let server = secure(acceptor(&trusted, "shop.example")).await;
        let file = NamedTempFile::new().unwrap();
        let holds = |of: &Authority| fs::copy(of.file.path(), file.path()).unwrap();
        let text = format!(
            "name = \"www\"\nhosts = [\"*\"]\n[origin]\nservers = [\"https://127.0.0.1:{}\"]\n\
             ca = \"{}\"\nsni = \"shop.example\"\nretry_percent = 0\n",
            server.address.port(),
            file.path().display()
        );
        holds(&stranger);
        let sites = [site(&text).unwrap()];
        let world = World::over_sockets(&permitting(), &sites, Vec::new()).unwrap();
        let status = async |target: &str| {
            Caller::on(world.connect()).ask("GET", "www.example", target, "").await.status()
        };
        assert_eq!(status("/1").await, 502);
        holds(&trusted);
        world.edge.reload(&permitting(), &sites).unwrap();
        assert_eq!(status("/2").await, 200);
        world.edge.reload(&permitting(), &sites).unwrap();
        assert_eq!(status("/3").await, 200);
        let opened = || server.sni.lock().len();
        assert_eq!(opened(), 1, "the same authorities leave the connections alone");
        // No kept connection outlives the authority that vouched for its server.
        holds(&stranger);
        world.edge.reload(&permitting(), &sites).unwrap();
        assert_eq!(status("/4").await, 502);
        fs::remove_file(file.path()).unwrap();
        assert!(world.edge.reload(&permitting(), &sites).is_err());
        holds(&trusted);
        world.edge.reload(&permitting(), &sites).unwrap();
        assert_eq!(status("/5").await, 200);
    });
}

async fn plain() -> (SocketAddr, origin_mock::listen::Handle, origin_mock::origin::Origin) {
    let origin = origin(Script::new().route("/*", [Step::text("local")]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handle = origin.listen(listener).unwrap();
    (address, handle, origin)
}

#[test]
fn local_addresses_need_permission_by_whatever_name() {
    run(async {
        let (address, _handle, origin) = plain().await;
        let port = address.port();
        for name in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"] {
            let servers = format!("servers = [\"http://{name}:{port}\"]");
            let answer = get(&EdgeSettings::default(), Vec::new(), &servers).await;
            assert_eq!(answer.status(), 502, "{name}");
        }
        assert_eq!(origin.recorder().stats().connections_opened, 0);
        let servers = format!("servers = [\"http://localhost:{port}\"]");
        assert_eq!(get(&permitting(), Vec::new(), &servers).await.body, b"local");
    });
}

#[test]
fn a_site_of_the_ledger_asks_for_a_permission_of_its_own() {
    run(async {
        let (address, _handle, origin) = plain().await;
        let port = address.port();
        let ledger_origins = permitting().origin_networks_allowed;
        let both = EdgeSettings { ledger_origins: ledger_origins.clone(), ..permitting() };
        let its_own = EdgeSettings { ledger_origins, ..EdgeSettings::default() };
        // As the resolver in the hosts file says, and as it is written.
        for name in ["localhost", "127.0.0.1"] {
            let text = format!(
                "name = \"www\"\nhosts = [\"*\"]\norigin.servers = [\"http://{name}:{port}\"]\n"
            );
            let of_ledger = SiteSettings { id: "5d-1".to_owned(), ..site(&text).unwrap() };
            let asked = async |settings: &EdgeSettings| {
                let sites = [of_ledger.clone()];
                let world = World::over_sockets(settings, &sites, Vec::new()).unwrap();
                Caller::on(world.connect()).ask("GET", "www.example", "/", "").await.status()
            };
            let before = origin.recorder().stats().connections_opened;
            assert_eq!(asked(&permitting()).await, 502, "{name}");
            assert_eq!(origin.recorder().stats().connections_opened, before, "{name}");
            assert_eq!(asked(&both).await, 200, "{name}");
            assert_eq!(asked(&its_own).await, 200, "{name}");
        }
    });
}

#[test]
fn our_own_listeners_are_refused_even_in_an_allowed_network() {
    run(async {
        let (address, _handle, origin) = plain().await;
        let servers = format!("servers = [\"http://127.0.0.1:{}\"]", address.port());
        assert_eq!(get(&permitting(), vec![address], &servers).await.status(), 502);
        let any = SocketAddr::new([0, 0, 0, 0].into(), address.port());
        assert_eq!(get(&permitting(), vec![any], &servers).await.status(), 502);
        assert_eq!(origin.recorder().stats().connections_opened, 0);
        let origin_networks_allowed = vec!["127.0.0.1/32".parse().unwrap()];
        let named = EdgeSettings { origin_networks_allowed, ..EdgeSettings::default() };
        assert_eq!(get(&named, vec![address], &servers).await.status(), 200);
    });
}

#[test]
fn a_server_at_a_forbidden_address_is_passed_over_and_left_out() {
    run(async {
        let (ours, _own, loops) = plain().await;
        let (address, _handle, origin) = plain().await;
        let text = format!(
            "name = \"www\"\nhosts = [\"*\"]\n[origin]\nservers = [\"http://{ours}\", \
             \"http://{address}\"]\nejection_failures = 2\n"
        );
        let world = World::over_sockets(&permitting(), &[site(&text).unwrap()], vec![ours]);
        let world = world.unwrap();
        for number in 0..20 {
            let target = format!("/{number}");
            let answer = Caller::on(world.connect()).ask("GET", "www.example", &target, "").await;
            assert_eq!(answer.body, b"local", "{number}");
        }
        assert_eq!(loops.recorder().stats().connections_opened, 0);
        assert_eq!(origin.recorder().stats().requests, 20);
    });
}

/// A resolver by which every name leads to 127.0.0.1 and 127.0.0.2.
async fn resolver() -> SocketAddr {
    const A: u8 = 1;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut query).await {
            // Up to the root of the name, its type and class (RFC 1035 §4.1).
            let root = 12 + query[12..length].iter().position(|octet| *octet == 0).unwrap();
            let mut answer = query[..root + 5].to_vec();
            let last: &[u8] = if answer[root + 2] == A { &[1, 2] } else { &[] };
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
            answer[7] = u8::try_from(last.len()).unwrap();
            for last in last {
                answer.extend([0xc0, 12, 0, A, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, *last]);
            }
            socket.send_to(&answer, client).await.unwrap();
        }
    });
    address
}

#[test]
fn an_address_that_closes_is_passed_over_for_another_of_its_name() {
    run(async {
        let authority = Authority::new();
        let secure = secure(acceptor(&authority, "shop.example")).await;
        let (plain, _handle, _origin) = plain().await;
        let ca = format!("ca = \"{}\"", authority.file.path().display());
        let settings = EdgeSettings { resolvers: vec![resolver().await], ..permitting() };
        for (scheme, port, more) in
            [("https", secure.address.port(), &*ca), ("http", plain.port(), "")]
        {
            let closing = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
            let met = Arc::new(Mutex::new(0));
            let count = Arc::clone(&met);
            tokio::spawn(async move {
                while let Ok((stream, _)) = closing.accept().await {
                    *count.lock() += 1;
                    drop(stream);
                }
            });
            let text = format!(
                "name = \"www\"\nhosts = [\"*\"]\n[origin]\nservers = \
                 [\"{scheme}://shop.example:{port}\"]\nkeep_alive = \"0s\"\n{more}\n"
            );
            let world = World::over_sockets(&settings, &[site(&text).unwrap()], Vec::new());
            let world = world.unwrap();
            for number in 0..10 {
                let target = format!("/{number}");
                let answer =
                    Caller::on(world.connect()).ask("GET", "www.example", &target, "").await;
                assert_eq!(answer.status(), 200, "{scheme} {number}");
            }
            assert!((1..=2).contains(&*met.lock()), "{scheme}: {}", met.lock());
        }
    });
}
