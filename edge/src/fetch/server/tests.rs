//! What becomes of connections that are kept for later.

use std::{io::Write as _, net::Shutdown};

use edge_core::{
    settings::EdgeSettings,
    site::{Site, SiteId},
};
use tokio::{
    io::{AsyncReadExt as _, duplex},
    net::TcpStream,
    runtime::Handle,
};

use super::*;
use crate::{
    fetch::{
        connect::{BoxedIo, Opened},
        socket::Socket,
    },
    store::budget::Budget,
};

fn site() -> Site {
    let text = "name = \"a\"\nhosts = [\"*\"]\norigin = { servers = [\"http://a\"] }";
    Site::build(&toml::from_str(text).unwrap(), &EdgeSettings::default(), SiteId(1)).unwrap()
}

#[tokio::test]
async fn dropped_idle_connections_are_closed() {
    let origin = site().origin;
    let server = Server::new(&origin.servers[0], &origin, Clock::system(), None);
    let mut far_ends = Vec::new();
    for _ in 0..2 {
        let (near, far) = duplex(64);
        let charge = Budget::new(1).reserve(1).unwrap();
        let stream: BoxedIo = Box::new(near);
        let link = Link::over(stream.into(), &Handle::current(), charge).await;
        server.put_back(link.unwrap());
        far_ends.push(far);
    }
    server.drop_idle();
    assert!(server.checkout(Duration::from_secs(1)).is_none());
    for far in &mut far_ends {
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn rfc9112_6_3_a_connection_with_a_surplus_response_or_at_its_end_is_not_kept() {
    let origin = site().origin;
    let server = Server::new(&origin.servers[0], &origin, Clock::system(), None);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for (says, is_good) in [("", true), ("HTTP/1.1 200 OK\r\n", false), ("end", false)] {
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let (stream, look) = Socket::of(near);
        let opened = Opened { look: Some(look), ..(Box::new(stream) as BoxedIo).into() };
        let charge = Budget::new(1).reserve(1).unwrap();
        let link = Link::over(opened, &Handle::current(), charge).await.unwrap();
        server.put_back(link);
        match says {
            "end" => far.shutdown(Shutdown::Write).unwrap(),
            says => far.write_all(says.as_bytes()).unwrap(),
        }
        // Nobody has had a turn to read what came.
        let kept = server.checkout(Duration::from_secs(1));
        assert_eq!(kept.is_some(), is_good, "{says}");
    }
}
