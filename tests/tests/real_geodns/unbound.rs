//! unbound with its subnetcache module as the resolver in front (RFC 7871 §7): it asks us once for
//! each scope that we return, and answers everybody in there from its cache.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
};

use nearcast_tests::real::{
    Tested,
    geodns::{GeoDns, dig},
    process::Process,
    resolver, wait_for,
};
use tempfile::TempDir;

/// Clients are told apart by their own addresses, all of loopback: a PoP for 127.1.0.0/16, one for
/// 127.2.0.0/24, and one for everybody else.
const SETTINGS: &str = r#"
[geodns]
listen = ["127.0.0.1:0"]
zone = [{ name = "cdn.test", servers = ["ns.invalid"] }]
[[geodns.map]]
fallback = ["sin"]
[[geodns.map.prefer]]
pops = ["iad"]
networks = ["127.1.0.0/16"]
[[geodns.map.prefer]]
pops = ["fra"]
networks = ["127.2.0.0/24"]
[[geodns.route]]
name = "www"
names = ["www"]
addresses_max = 1
[[pop]]
name = "iad"
addresses = ["192.0.2.1"]
[[pop]]
name = "fra"
addresses = ["192.0.2.2"]
[[pop]]
name = "sin"
addresses = ["192.0.2.3"]
"#;

struct Unbound {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

/// A port that is free over TCP and UDP.
fn free_port() -> Tested<Option<u16>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    Ok(UdpSocket::bind(address).is_ok().then_some(address.port()))
}

/// `test` is nobody's to unbound (RFC 6761 §6.2) unless it is told otherwise.
fn settings(folder: &str, port: u16, authority: SocketAddr) -> String {
    format!(
        "server:
    directory: \"{folder}\"
    chroot: \"\"
    username: \"\"
    pidfile: \"\"
    use-syslog: no
    logfile: \"\"
    num-threads: 1
    interface: 127.0.0.1
    port: {port}
    access-control: 127.0.0.0/8 allow
    do-not-query-localhost: no
    module-config: \"subnetcache iterator\"
    send-client-subnet: 127.0.0.1
    max-client-subnet-ipv4: 24
    qname-minimisation: no
    target-fetch-policy: \"0 0 0 0 0\"
    local-zone: \"test.\" nodefault
stub-zone:
    name: \"cdn.test\"
    stub-addr: {}@{}
remote-control:
    control-enable: no
",
        authority.ip(),
        authority.port()
    )
}

impl Unbound {
    /// Starts one that asks `authority` for `cdn.test`. It cannot be told to take any free port, so it
    /// is told one that has just been free, and another one if somebody was faster.
    fn start(authority: SocketAddr) -> Tested<Self> {
        wait_for("a port for unbound", || match free_port()? {
            Some(port) => Self::start_on(port, authority),
            None => Ok(None),
        })
    }

    /// Starts one on this port, unless that is taken.
    fn start_on(port: u16, authority: SocketAddr) -> Tested<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("unbound.conf");
        fs::write(&file, settings(&folder.path().display().to_string(), port, authority))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let started = resolver::unbound(&file)?;
        Ok(started.map(|process| Self { address, _process: process, _folder: folder }))
    }

    /// What a client with this address is answered.
    fn answer(&self, client: [u8; 4]) -> Tested<String> {
        let client = Ipv4Addr::from(client).to_string();
        dig(self.address, "www.cdn.test", &["-b", &client])
    }
}

#[test]
fn rfc7871_7_unbound_asks_once_for_each_scope() {
    let server = GeoDns::start(SETTINGS).unwrap();
    let resolver = Unbound::start(server.dns).unwrap();
    let asked = || server.queries().unwrap();
    let begun = asked();
    assert_eq!(resolver.answer([127, 1, 1, 1]).unwrap(), "192.0.2.1");
    assert_eq!(resolver.answer([127, 2, 0, 1]).unwrap(), "192.0.2.2");
    wait_for("both queries to be counted", || Ok((asked() >= begun + 2.0).then_some(()))).unwrap();

    // The scope of the first answer is 16 bits: another /24 in there is told the same, by unbound.
    let before = asked();
    assert_eq!(resolver.answer([127, 1, 200, 1]).unwrap(), "192.0.2.1");
    assert_eq!(resolver.answer([127, 2, 0, 200]).unwrap(), "192.0.2.2");
    assert_eq!(asked(), before, "a client inside a scope was asked for again");

    // Beside the scope of the second answer, 24 bits, is somebody else.
    assert_eq!(resolver.answer([127, 2, 1, 1]).unwrap(), "192.0.2.3");
    assert_eq!(asked(), before + 1.0, "a client outside of every scope was not asked for");
}
