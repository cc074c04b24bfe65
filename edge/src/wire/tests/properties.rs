//! Properties over random streams: pieces change nothing, and no mutation smuggles a request.
//!
//! The judge is a second parser, written here in the plainest way over the whole stream, that reads RFC 9112 as
//! strictly as the I/O claims to. It shares no code with it.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Content {
    None,
    Length(Vec<u8>),
    Chunked(Vec<Vec<u8>>, bool, bool),
}

#[derive(Debug, Clone)]
struct Message {
    path: String,
    fields: Vec<String>,
    content: Content,
}

impl Message {
    fn bytes(&self) -> Vec<u8> {
        let method = if matches!(self.content, Content::None) { "GET" } else { "POST" };
        let mut head = format!("{method} /{} HTTP/1.1\r\nHost: a.example\r\n", self.path);
        for field in &self.fields {
            head.push_str(field);
            head.push_str("\r\n");
        }
        let mut bytes = head.into_bytes();
        match &self.content {
            Content::None => bytes.extend_from_slice(b"\r\n"),
            Content::Length(content) => {
                let length = format!("Content-Length: {}\r\n\r\n", content.len());
                bytes.extend_from_slice(length.as_bytes());
                bytes.extend_from_slice(content);
            }
            Content::Chunked(chunks, extension, trailer) => {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                let extension = if *extension { ";a=\"b\"" } else { "" };
                for chunk in chunks {
                    let size = format!("{:x}{extension}\r\n", chunk.len());
                    bytes.extend_from_slice(size.as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(if *trailer { b"0\r\nX: y\r\n\r\n" } else { b"0\r\n\r\n" });
            }
        }
        bytes
    }

    fn seen(&self) -> Seen {
        let (method, content, trailers) = match &self.content {
            Content::None => ("GET", Vec::new(), 0),
            Content::Length(content) => ("POST", content.clone(), 0),
            Content::Chunked(chunks, _, trailer) => {
                ("POST", chunks.concat(), usize::from(*trailer))
            }
        };
        Seen {
            method: method.to_owned(),
            target: format!("/{}", self.path),
            content: Some(content),
            trailers,
        }
    }
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        Just(b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let content = prop_oneof![
        2 => Just(Content::None),
        1 => octets().prop_map(Content::Length),
        1 => (proptest::collection::vec(octets().prop_filter("a chunk", |c| !c.is_empty()), 0..4),
              any::<bool>(), any::<bool>())
            .prop_map(|(chunks, extension, trailer)| Content::Chunked(chunks, extension, trailer)),
    ];
    let fields = proptest::collection::vec("[A-Za-z][A-Za-z0-9-]{0,8}Q: ?[ -~]{0,20}", 0..4);
    ("[a-z0-9/._-]{0,12}", fields, content).prop_map(|(path, fields, content)| Message {
        path: format!("p{path}"),
        fields,
        content,
    })
}

/// Sends `stream` in pieces that end at `cuts`; tells what the service saw and what came back.
fn run(stream: &[u8], cuts: &[usize]) -> (Vec<Seen>, Vec<u8>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let mut server = Server::start();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
        cuts.push(stream.len());
        cuts.sort_unstable();
        let mut from = 0;
        for to in cuts {
            if server.client.write_all(&stream[from..to]).await.is_err() {
                break;
            }
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            from = to;
        }
        let mut received = Vec::new();
        // A reset is as good an end as any here; what counts is what the service saw.
        let _ended = server.client.read_to_end(&mut received).await;
        assert!(!server.outcome.await.is_err_and(|error| error.is_panic()), "panicked");
        let seen = server.seen.lock().clone();
        (seen, received)
    })
}

/// The requests of `stream` by the strictest reading: the targets of all heads before the first fault.
fn strict(mut stream: &[u8]) -> Vec<String> {
    let mut targets = Vec::new();
    loop {
        if stream.starts_with(b"\r\n") {
            stream = &stream[2..];
        }
        let Some(end) = find(stream, b"\r\n\r\n") else { return targets };
        let (head, rest) = (&stream[..end], &stream[end + 4..]);
        let Some((target, length, last)) = strict_head(head) else { return targets };
        targets.push(target);
        let taken = match length {
            Some(length) => (length <= rest.len()).then_some(length),
            None => strict_chunks(rest),
        };
        match taken {
            Some(taken) if !last => stream = &rest[taken..],
            _ => return targets,
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| *b == b'\t' || (*b >= 0x20 && *b != 0x7f))
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

fn is_target(target: &str) -> bool {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    target.starts_with('/')
        && target.len() <= limits().uri_bytes_max
        && target.bytes().all(|b| b.is_ascii_graphic() && !b"#\"<>".contains(&b))
        && !path.bytes().any(|b| b"\\`{}".contains(&b))
        && query.is_ascii()
}

/// Target, length (`None` for chunked), and whether the connection ends after it.
fn strict_head(head: &[u8]) -> Option<(String, Option<usize>, bool)> {
    if head.len() + 4 > limits().header_bytes_max {
        return None;
    }
    let mut lines: Vec<&[u8]> = Vec::new();
    let mut rest = head;
    while let Some(end) = find(rest, b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    let line = std::str::from_utf8(lines[0]).ok()?;
    let parts: Vec<_> = line.split(' ').collect();
    let [method, target, version] = parts[..] else { return None };
    let is_10 = version == "HTTP/1.0";
    if !is_token(method.as_bytes()) || !is_target(target) || !(is_10 || version == "HTTP/1.1") {
        return None;
    }
    if method == "CONNECT" || lines.len() > 1 + limits().header_count_max {
        return None;
    }
    let (mut hosts, mut lengths, mut codings, mut close) =
        (Vec::new(), Vec::new(), Vec::new(), is_10);
    for line in &lines[1..] {
        let colon = line.iter().position(|b| *b == b':')?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if !is_token(name) || !is_text(value) {
            return None;
        }
        let value = String::from_utf8_lossy(value).trim_matches([' ', '\t']).to_owned();
        match name.to_ascii_lowercase().as_slice() {
            b"host" => hosts.push(value),
            b"content-length" => lengths.push(value),
            b"transfer-encoding" => codings.push(value),
            b"connection" => close |= value.to_ascii_lowercase().contains("close"),
            _ => {}
        }
    }
    let good_host = |host: &String| {
        let (name, port) = host.split_once(':').unwrap_or((host, ""));
        let sub = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&b);
        // The generator never percent-encodes or brackets a host; a mutation that does is not judged here.
        !name.is_empty() && name.bytes().all(sub) && port.bytes().all(|b| b.is_ascii_digit())
    };
    match &hosts[..] {
        [] if is_10 => {}
        [host] if good_host(host) => {}
        _ => return None,
    }
    let length = match (&lengths[..], &codings[..]) {
        ([], []) => Some(0),
        ([length], []) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
            Some(length.parse().ok()?)
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") && !is_10 => None,
        _ => return None,
    };
    Some((target.to_owned(), length, close))
}

/// What no trailer section may say (RFC 9110 §6.5.1).
const OF_HEADS: &[&str] = &[
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// How long the chunked content at the front is.
fn strict_chunks(content: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let end = at + find(&content[at..], b"\r\n")?;
        let line = &content[at..end];
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let extension = &line[digits..];
        let named = extension.iter().position(|b| *b != b' ' && *b != b'\t');
        let good = extension.is_empty() || named.is_some_and(|at| extension[at] == b';');
        if digits == 0 || digits > 16 || !good || !is_text(extension) {
            return None;
        }
        let size = u64::from_str_radix(std::str::from_utf8(&line[..digits]).ok()?, 16).ok()?;
        at = end + 2;
        if size == 0 {
            break;
        }
        let after = at.checked_add(usize::try_from(size).ok()?)?;
        if content.get(after..after + 2)? != b"\r\n" {
            return None;
        }
        at = after + 2;
    }
    loop {
        let end = at + find(&content[at..], b"\r\n")?;
        let line = &content[at..end];
        at = end + 2;
        if line.is_empty() {
            return Some(at);
        }
        let colon = line.iter().position(|b| *b == b':')?;
        let name = line[..colon].to_ascii_lowercase();
        let is_of_heads = OF_HEADS.iter().any(|other| other.as_bytes() == name);
        if !is_token(&name) || !is_text(&line[colon..]) || is_of_heads {
            return None;
        }
    }
}

#[derive(Debug, Clone)]
enum Mutation {
    Replace(u8),
    Insert(Vec<u8>),
    Delete(usize),
    Repeat(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let telling = proptest::sample::select(&b"\r\n \t:;,0123afAFzZ/\\?#@\0\x0b\x7f\xff\"x."[..]);
    let phrases = proptest::sample::select(
        &[
            "\r\n",
            "\n",
            "\r",
            "\r\n ",
            "0\r\n\r\n",
            "Content-Length: 3\r\n",
            "Content-Length: 0\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Host: b\r\n",
            "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
            " HTTP/1.1\r\n",
            ";x=y",
            "Connection: close\r\n",
        ][..],
    );
    prop_oneof![
        telling.prop_map(Mutation::Replace),
        any::<u8>().prop_map(Mutation::Replace),
        phrases.prop_map(|phrase| Mutation::Insert(phrase.as_bytes().to_vec())),
        (1_usize..20).prop_map(Mutation::Delete),
        (1_usize..40).prop_map(Mutation::Repeat),
    ]
}

fn mutate(stream: &mut Vec<u8>, at: usize, mutation: &Mutation) {
    let at = at % stream.len().max(1);
    match mutation {
        Mutation::Replace(octet) => {
            if let Some(place) = stream.get_mut(at) {
                *place = *octet;
            }
        }
        Mutation::Insert(bytes) => drop(stream.splice(at..at, bytes.iter().copied())),
        Mutation::Delete(count) => drop(stream.drain(at..(at + count).min(stream.len()))),
        Mutation::Repeat(count) => {
            let again = stream[at..(at + count).min(stream.len())].to_vec();
            stream.splice(at..at, again);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_change_nothing(
        messages in proptest::collection::vec(message(), 1..5),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let stream: Vec<u8> = messages.iter().flat_map(Message::bytes).collect();
        let (seen, received) = run(&stream, &cuts);
        let expected: Vec<_> = messages.iter().map(Message::seen).collect();
        prop_assert_eq!(&seen, &expected);
        let received = String::from_utf8_lossy(&received);
        prop_assert_eq!(received.matches("HTTP/1.1 200 OK").count(), messages.len());
    }

    #[test]
    fn no_mutation_smuggles_a_request(
        messages in proptest::collection::vec(message(), 1..4),
        mutations in proptest::collection::vec((any::<usize>(), mutation()), 1..4),
        cuts in proptest::collection::vec(any::<usize>(), 0..4),
    ) {
        let mut stream: Vec<u8> = messages.iter().flat_map(Message::bytes).collect();
        for (at, mutation) in &mutations {
            mutate(&mut stream, *at, mutation);
        }
        let (seen, _) = run(&stream, &cuts);
        let seen: Vec<_> = seen.into_iter().map(|seen| seen.target).collect();
        prop_assert_eq!(seen, strict(&stream), "{}", String::from_utf8_lossy(&stream));
    }

    #[test]
    fn noise_never_panics(stream in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (seen, _) = run(&stream, &[]);
        prop_assert_eq!(seen.len(), strict(&stream).len());
    }
}
