//! The raw checks of a request head: what the service sees, what the client gets.

use super::*;
use crate::wire::Refusal::{self, *};

/// `{H}` stands for a good Host line.
const REFUSED: &[(&str, &str, Refusal)] = &[
    ("9112 3: lowercase garbage", "hello\r\n\r\n", RequestLine),
    ("9112 3: HTTP/0.9", "GET /\r\n\r\n", RequestLine),
    ("9112 3: two spaces before the target", "GET  / HTTP/1.1\r\n{H}\r\n", RequestLine),
    ("9112 3: two spaces before the version", "GET /  HTTP/1.1\r\n{H}\r\n", RequestLine),
    ("9112 3: space after the version", "GET / HTTP/1.1 \r\n{H}\r\n", RequestLine),
    ("9112 3: leading space", " GET / HTTP/1.1\r\n{H}\r\n", RequestLine),
    ("9112 3: tab as separator", "GET\t/ HTTP/1.1\r\n{H}\r\n", Method),
    ("9110 9.1: method is a token", "G(T / HTTP/1.1\r\n{H}\r\n", Method),
    ("9110 9.1: TLS on a plain port", "\x16\x03\x01\x02\r\n\r\n", Method),
    ("9112 2.2: two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\n{H}\r\n", RequestLine),
    ("9112 2.2: bare LF first", "\nGET / HTTP/1.1\r\n{H}\r\n", RequestLine),
    ("9112 3.2: fragment", "GET /a#b HTTP/1.1\r\n{H}\r\n", Target),
    ("9112 3.2: control in the target", "GET /a\x01b HTTP/1.1\r\n{H}\r\n", Target),
    ("9112 3.2: DEL in the target", "GET /a\x7f HTTP/1.1\r\n{H}\r\n", Target),
    ("9112 3.2: octets above ASCII", "GET /\u{e9} HTTP/1.1\r\n{H}\r\n", Target),
    ("9112 3.2: backslash in the path", "GET /a\\b HTTP/1.1\r\n{H}\r\n", Target),
    ("9112 3.2: angle bracket", "GET /<a> HTTP/1.1\r\n{H}\r\n", Target),
    ("9112 3.2.1: no leading slash", "GET a HTTP/1.1\r\n{H}\r\n", Target),
    ("9112 3.2.4: asterisk for GET", "GET * HTTP/1.1\r\n{H}\r\n", Target),
    ("9112 3.2.3: authority-form for GET", "GET a.example:80 HTTP/1.1\r\n{H}\r\n", Target),
    ("9112 3.2.3: CONNECT without a port", "CONNECT a.example HTTP/1.1\r\n{H}\r\n", Target),
    ("9112 3.2.3: CONNECT of a path", "CONNECT / HTTP/1.1\r\n{H}\r\n", Target),
    ("9112 3.2.2: other scheme", "GET ftp://a.example/ HTTP/1.1\r\n{H}\r\n", Target),
    ("3986 3.2.2: encoded host", "GET http://%61/ HTTP/1.1\r\nHost: %61\r\n\r\n", Target),
    ("3986 3.2.2: CONNECT, encoded", "CONNECT %61:80 HTTP/1.1\r\nHost: %61:80\r\n\r\n", Target),
    ("9110 4.2.4: userinfo", "GET http://u@a.example/ HTTP/1.1\r\n{H}\r\n", Target),
    ("9110 4.2.1: empty host in the target", "GET http:///a HTTP/1.1\r\n{H}\r\n", Target),
    ("9112 2.3: HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Version),
    ("9112 2.3: HTTP/2 by text", "GET / HTTP/2.0\r\n{H}\r\n", Version),
    ("9112 2.3: HTTP/1.2", "GET / HTTP/1.2\r\n{H}\r\n", Version),
    ("9112 2.3: HTTP/0.9 by text", "GET / HTTP/0.9\r\n{H}\r\n", Version),
    ("9112 2.3: lowercase name", "GET / http/1.1\r\n{H}\r\n", RequestLine),
    ("9112 2.3: one digit", "GET / HTTP/1\r\n{H}\r\n", RequestLine),
    ("9112 2.3: two digits", "GET / HTTP/1.10\r\n{H}\r\n", RequestLine),
    ("9112 2.2: request line ends in LF", "GET / HTTP/1.1\n{H}\r\n", LineEnd),
    ("9112 2.2: CR and no LF", "GET / HTTP/1.1\rHost: a\r\n\r\n", LineEnd),
    ("9112 2.2: field ends in LF", "GET / HTTP/1.1\r\nHost: a\n\r\n", LineEnd),
    ("9112 2.2: bare CR in a value", "GET / HTTP/1.1\r\n{H}X: a\rb\r\n\r\n", LineEnd),
    ("9112 2.2: CR CR LF", "GET / HTTP/1.1\r\n{H}X: a\r\r\n\r\n", LineEnd),
    ("9112 2.2: head ends in LF", "GET / HTTP/1.1\r\n{H}\n", LineEnd),
    ("9112 2.2: head ends in CR CR LF", "GET / HTTP/1.1\r\n{H}\r\r\n", LineEnd),
    ("9112 5.2: folded line", "GET / HTTP/1.1\r\n{H}X: a\r\n b\r\n\r\n", Fold),
    ("9112 5.2: folded by a tab", "GET / HTTP/1.1\r\n{H}X: a\r\n\tb\r\n\r\n", Fold),
    ("9112 2.2: space before the first field", "GET / HTTP/1.1\r\n {H}\r\n", Fold),
    ("9112 5.1: space before the colon", "GET / HTTP/1.1\r\n{H}X : a\r\n\r\n", FieldName),
    ("9112 5.1: space in Host's name", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", FieldName),
    ("9112 5: no name", "GET / HTTP/1.1\r\n{H}: a\r\n\r\n", FieldName),
    ("9112 5: no colon", "GET / HTTP/1.1\r\n{H}X\r\n\r\n", FieldName),
    ("9110 5.1: name is a token", "GET / HTTP/1.1\r\n{H}X(: a\r\n\r\n", FieldName),
    ("9110 5.1: NUL in a name", "GET / HTTP/1.1\r\n{H}X\0: a\r\n\r\n", FieldName),
    ("9110 5.5: NUL in a value", "GET / HTTP/1.1\r\n{H}X: a\0b\r\n\r\n", FieldValue),
    ("9110 5.5: control in a value", "GET / HTTP/1.1\r\n{H}X: a\x0bb\r\n\r\n", FieldValue),
    ("9110 5.5: DEL in a value", "GET / HTTP/1.1\r\n{H}X: a\x7fb\r\n\r\n", FieldValue),
    ("9112 6.3: length with a sign", "{P}Content-Length: +1\r\n\r\na", ContentLength),
    ("9112 6.3: negative length", "{P}Content-Length: -1\r\n\r\na", ContentLength),
    ("9112 6.3: hexadecimal length", "{P}Content-Length: 0x1\r\n\r\na", ContentLength),
    ("9112 6.3: no length", "{P}Content-Length:\r\n\r\na", ContentLength),
    ("9112 6.3: space inside", "{P}Content-Length: 1 0\r\n\r\na", ContentLength),
    ("9112 6.3: list of equal lengths", "{P}Content-Length: 1, 1\r\n\r\na", ContentLength),
    ("9112 6.3: list of lengths", "{P}Content-Length: 1,2\r\n\r\na", ContentLength),
    ("9112 6.3: two lengths", "{P}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", ContentLength),
    (
        "9112 6.3: the same length twice",
        "{P}Content-Length: 1\r\ncontent-length: 1\r\n\r\na",
        ContentLength,
    ),
    ("9112 6.3: overflow", "{P}Content-Length: 18446744073709551617\r\n\r\na", ContentLength),
    ("9112 6.1: both lengths", "{P}Content-Length: 1\r\n{C}\r\n0\r\n\r\n", BothLengths),
    ("9112 6.1: both, the other way", "{P}{C}Content-Length: 1\r\n\r\n0\r\n\r\n", BothLengths),
    ("9112 6.1: coding in HTTP/1.0", "POST / HTTP/1.0\r\n{H}{C}\r\n0\r\n\r\n", TransferEncoding),
    ("9112 6.3: no final chunked", "{P}Transfer-Encoding: gzip\r\n\r\n", TransferEncoding),
    ("9112 6.3: identity", "{P}Transfer-Encoding: identity\r\n\r\n", TransferEncoding),
    ("9112 6.3: chunked first", "{P}Transfer-Encoding: chunked, gzip\r\n\r\n", TransferEncoding),
    ("9112 6.1: chunked twice", "{P}Transfer-Encoding: chunked, chunked\r\n\r\n", TransferEncoding),
    ("9112 6.1: chunked on two lines", "{P}{C}{C}\r\n0\r\n\r\n", TransferEncoding),
    ("9112 6.1: empty coding", "{P}Transfer-Encoding:\r\n\r\n", TransferEncoding),
    ("9112 6.1: empty member", "{P}Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", TransferEncoding),
    ("9112 6.1: parameter", "{P}Transfer-Encoding: chunked;a=b\r\n\r\n", TransferEncoding),
    ("9112 6.1: quoted", "{P}Transfer-Encoding: \"chunked\"\r\n\r\n", TransferEncoding),
    ("9112 6.1: unknown coding", "{P}Transfer-Encoding: gzip, chunked\r\n\r\n", TransferCoding),
    (
        "9112 6.1: unknown coding on its own line",
        "{P}Transfer-Encoding: x\r\n{C}\r\n",
        TransferCoding,
    ),
    ("9112 3.2: no Host", "GET / HTTP/1.1\r\n\r\n", HostMissing),
    ("9112 3.2: no Host, absolute-form", "GET http://a/ HTTP/1.1\r\n\r\n", HostMissing),
    ("9112 3.2: two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Host),
    ("9112 3.2: the same Host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Host),
    ("9110 7.2: empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", Host),
    ("9110 7.2: Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Host),
    ("9110 7.2: Host with userinfo", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Host),
    ("9110 7.2: Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Host),
    ("9110 7.2: Host with a bad port", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", Host),
    ("9110 7.2: bad Host in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", Host),
    ("9112 3.2.2: other host", "GET http://b.example/ HTTP/1.1\r\n{H}\r\n", HostMismatch),
    ("9112 3.2.2: other port", "GET http://a.example:81/ HTTP/1.1\r\n{H}\r\n", HostMismatch),
    ("9112 3.2.2: scheme's port", "GET https://a.example:80/ HTTP/1.1\r\n{H}\r\n", HostMismatch),
];

const ACCEPTED: &[(&str, &str, &str, &str)] = &[
    ("origin-form", "GET /a?b=c HTTP/1.1\r\n{H}\r\n", "GET", "/a?b=c"),
    ("9112 2.2: one empty line first", "\r\nGET / HTTP/1.1\r\n{H}\r\n", "GET", "/"),
    ("HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", "GET", "/"),
    ("9112 3.2.4: asterisk-form", "OPTIONS * HTTP/1.1\r\n{H}\r\n", "OPTIONS", "*"),
    ("absolute-form", "GET http://a.example/x HTTP/1.1\r\n{H}\r\n", "GET", "http://a.example/x"),
    (
        "9110 4.2.3: case and default port",
        "GET HTTP://A.EXAMPLE:80/x HTTP/1.1\r\n{H}\r\n",
        "GET",
        "http://A.EXAMPLE:80/x",
    ),
    (
        "absolute-form without a path",
        "GET http://a.example?x HTTP/1.1\r\n{H}\r\n",
        "GET",
        "http://a.example/?x",
    ),
    ("unknown method", "FROB / HTTP/1.1\r\n{H}\r\n", "FROB", "/"),
    ("9112 5.1: no space after the colon", "GET / HTTP/1.1\r\nHost:a\r\n\r\n", "GET", "/"),
    ("9112 5.1: space around a value", "GET / HTTP/1.1\r\nHost:\t a \t\r\n\r\n", "GET", "/"),
    ("9110 5.5: obs-text", "GET / HTTP/1.1\r\n{H}X: \u{e9}\t\u{fc}\r\n\r\n", "GET", "/"),
    ("9110 5.5: empty value", "GET / HTTP/1.1\r\n{H}X:\r\n\r\n", "GET", "/"),
    ("browser's unencoded query", "GET /?a|b^c`{d}\\ HTTP/1.1\r\n{H}\r\n", "GET", "/?a|b^c`{d}\\"),
    ("9112 7: chunked in any case", "{P}Transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n", "POST", "/"),
    ("9110 8.6: leading zeros", "{P}Content-Length: 000\r\n\r\n", "POST", "/"),
];

fn expand(request: &str) -> String {
    request
        .replace("{P}", "POST / HTTP/1.1\r\n{H}")
        .replace("{H}", "Host: a.example\r\n")
        .replace("{C}", "Transfer-Encoding: chunked\r\n")
}

async fn assert_refused(name: &str, mut server: Server, expected: Refusal) {
    let received = server.receive_all().await;
    assert_eq!(server.seen(), [], "{name}");
    assert_eq!(server.handle.stats().refusal(), Some(expected), "{name}");
    let (complete, _) = expected.response(crate::wire::refusal::Content::Sent, &Told::default());
    assert_eq!(received, String::from_utf8(complete).unwrap(), "{name}");
    assert!(server.outcome.await.unwrap().is_ok(), "{name}");
}

#[tokio::test(start_paused = true)]
async fn a_bad_head_is_refused_whole_and_never_reaches_the_service() {
    for (name, request, expected) in REFUSED {
        let mut server = Server::start();
        server.send(expand(request)).await;
        assert_refused(name, server, *expected).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_head_is_refused_octet_by_octet() {
    for (name, request, expected) in REFUSED {
        let mut server = Server::start();
        for octet in expand(request).bytes() {
            server.send([octet]).await;
            tokio::task::yield_now().await;
        }
        assert_refused(name, server, *expected).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_head_reaches_the_service_as_it_is() {
    for pieces in [usize::MAX, 7, 1] {
        for (name, request, method, target) in ACCEPTED {
            let mut server = Server::start();
            for piece in expand(request).as_bytes().chunks(pieces) {
                server.send(piece).await;
                tokio::task::yield_now().await;
            }
            let received = server.receive_all().await;
            assert!(received.contains(" 200 OK\r\n"), "{name}: {received}");
            let seen = server.seen();
            assert_eq!(seen.len(), 1, "{name}");
            assert_eq!((&*seen[0].method, &*seen[0].target), (*method, *target), "{name}");
            assert_eq!(server.handle.stats().refusal(), None, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn limits_have_their_own_statuses() {
    let long = "a".repeat(300);
    let many = "X: y\r\n".repeat(20);
    let big = format!("X: {}\r\n", "a".repeat(250)).repeat(10);
    for (name, request, expected, status) in [
        ("414", format!("GET /{long} HTTP/1.1\r\n{{H}}\r\n"), TargetTooLong, 414),
        ("414 without an end", format!("GET /{}", long.repeat(10)), TargetTooLong, 414),
        ("431 by count", format!("GET / HTTP/1.1\r\n{{H}}{many}\r\n"), HeaderCount, 431),
        ("431 by bytes", format!("GET / HTTP/1.1\r\n{{H}}{big}\r\n"), HeaderBytes, 431),
        ("431 without an end", format!("GET / HTTP/1.1\r\n{{H}}{big}"), HeaderBytes, 431),
        ("431 in one line", format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(3000)), HeaderBytes, 431),
        ("method", "A".repeat(65), Method, 400),
    ] {
        assert_eq!(expected.status(), status, "{name}");
        let mut server = Server::start();
        server.send(expand(&request)).await;
        assert_refused(name, server, expected).await;
    }
    let just = format!("GET /{} HTTP/1.1\r\n{{H}}{}\r\n", "a".repeat(255), "X: y\r\n".repeat(19));
    let mut server = Server::start();
    server.send(expand(&just)).await;
    assert!(server.receive_all().await.starts_with("HTTP/1.1 200 "));
}

/// RFC 9110 §9.3.2: the refusal of a HEAD request has no content either.
#[tokio::test(start_paused = true)]
async fn a_refused_head_request_gets_no_content() {
    let mut server = Server::start();
    server.send("HEAD / HTTP/1.1\r\n\r\n").await;
    let received = server.receive_all().await;
    assert!(received.starts_with("HTTP/1.1 400 ") && received.ends_with("\r\n\r\n"), "{received}");
}

#[tokio::test(start_paused = true)]
async fn a_head_larger_than_hypers_buffer_arrives_whole() {
    let limits = Limits { header_bytes_max: 64 * 1024, uri_bytes_max: 40_000, ..limits() };
    let mut server = Server::with(limits, 256 * 1024);
    let target = format!("/{}", "a".repeat(30_000));
    server.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(2)).await;
    let received = server.receive_all().await;
    assert_eq!(received.matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(server.targets(), [target.clone(), target]);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_the_listener_read_come_first() {
    let (mut client, server) = tokio::io::duplex(1024);
    let deadlines = Deadlines::new(Duration::from_secs(1));
    let limits = Arc::new(limits());
    let (io, handle) = Io::new(server, b"GET / HT", Never, limits, &deadlines);
    let service = service_fn(|_| async { Ok::<_, Infallible>(respond("yes")) });
    tokio::spawn(http1::Builder::new().serve_connection(io, service));
    client.write_all(b"TP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut received = String::new();
    client.read_to_string(&mut received).await.unwrap();
    assert!(received.ends_with("\r\n\r\nyes"), "{received}");
    assert_eq!(handle.stats().bytes_in(), 8 + 38);
    assert_eq!(handle.stats().bytes_out(), received.len() as u64);
}
