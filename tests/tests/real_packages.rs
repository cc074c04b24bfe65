//! nginx serves the files of real packages, and every byte that comes through the edge is compared.
//!
//! In: what `tests/run` fetched: thousands of files, some of tens of megabytes. The rules: content is
//! the file's in every way of asking (RFC 9110 §13, §14; RFC 9111 §4), under load, and while the
//! origin dies and comes back (RFC 9111 §4.2.4).

use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use nearcast_tests::real::{
    Tested,
    http::{Connection, Response},
    nginx::Nginx,
    node::{Node, NodeFile},
    packages::{self, File},
    process::Process,
    program, wait_for,
};

/// Connections that ask at once.
const CLIENTS: usize = 8;
/// From here on a file is one of the few that dominate everybody's time.
const LARGE: usize = 20_000_000;
/// Everything stays fresh for as long as a test runs.
const FRESH: &str = "location / { add_header Cache-Control max-age=600; }";

struct World {
    nginx: Nginx,
    node: Node,
    files: Vec<File>,
}

fn world(locations: &str) -> Tested<World> {
    let root = program::packages()?;
    // `<name>.version` beside the packages is the script's own mark.
    let mut files = packages::files(&root)?;
    files.retain(|file| file.path.parent() != Some(Path::new(&root)));
    // One file of tens of megabytes shows what three of them would.
    let largest = files.iter().map(|file| file.length).max().unwrap_or_default();
    files.retain(|file| file.length < LARGE || file.length == largest);
    if files.len() < 2000 {
        return Err(
            format!("{} files are no real site; run `tests/run --install`", files.len()).into()
        );
    }
    let nginx = Nginx::serving(&root, locations)?;
    let mut file = NodeFile::pulling(nginx.address);
    file.edge.push("memory = \"640 MiB\"".to_owned());
    let node = Node::start(&file)?;
    Ok(World { nginx, node, files })
}

/// Runs `work` on every file, over several connections; each file once.
fn shared(
    world: &World,
    files: &[File],
    work: impl Fn(&mut Connection, &File) -> Tested + Sync,
) -> Tested {
    let next = AtomicUsize::new(0);
    everywhere(|_| {
        let mut connection = world.node.connect()?;
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(&mut connection, file).map_err(|error| format!("{}: {error}", file.target))?;
        }
        Ok(())
    })
}

/// Runs `work` on as many threads as there are clients.
fn everywhere(work: impl Fn(usize) -> Tested + Sync) -> Tested {
    thread::scope(|scope| {
        let work = &work;
        let mut clients = Vec::new();
        for client in 0..CLIENTS {
            clients.push(scope.spawn(move || work(client)));
        }
        clients
            .into_iter()
            .map(|client| client.join().unwrap_or_else(|_| Err("a client panicked".into())))
            .fold(Ok(()), Tested::and)
    })
}

fn same(what: &str, got: &[u8], wanted: &[u8]) -> Tested {
    if got == wanted {
        return Ok(());
    }
    let place = got.iter().zip(wanted).position(|(one, other)| one != other);
    let (got, wanted) = (got.len(), wanted.len());
    Err(format!("{what}: {got} bytes for {wanted}, first difference at {place:?}").into())
}

fn status(what: &str, response: &Response, wanted: u16) -> Tested {
    if response.status == wanted {
        return Ok(());
    }
    Err(format!("{what}: {} instead of {wanted}: {:?}", response.status, response.fields).into())
}

fn hit(what: &str, response: &Response) -> Tested {
    if response.is_hit() && response.field("age").is_some() {
        return Ok(());
    }
    Err(format!("{what} is no hit with an Age: {:?}", response.fields).into())
}

fn cold(connection: &mut Connection, file: &File) -> Tested {
    let response = connection.get(&file.target)?;
    status("cold", &response, 200)?;
    same("cold", &response.content, &file.content()?)?;
    let told = response.cache_status().ok_or("no Cache-Status")?;
    if response.forwarded().as_deref() != Some("uri-miss")
        || !told.parameters.contains_key("stored")
    {
        return Err(format!("a first request is a stored miss, not {told:?}").into());
    }
    Ok(())
}

fn warm(connection: &mut Connection, file: &File) -> Tested {
    let content = file.content()?;
    let response = connection.get(&file.target)?;
    status("warm", &response, 200)?;
    hit("warm", &response)?;
    same("warm", &response.content, &content)?;
    let head = connection.ask("HEAD", &file.target, &[])?;
    status("HEAD", &head, 200)?;
    hit("HEAD", &head)?;
    if head.field("content-length") != Some(content.len().to_string()) {
        return Err(format!("HEAD: {:?}", head.fields).into());
    }
    conditionally(connection, file, &response)?;
    by_range(connection, file, &content)
}

fn conditionally(connection: &mut Connection, file: &File, whole: &Response) -> Tested {
    let (etag, modified) = (whole.field("etag"), whole.field("last-modified"));
    let (etag, modified) = (etag.ok_or("no ETag")?, modified.ok_or("no Last-Modified")?);
    let several = format!("\"other\", W/{etag}");
    let rows = [
        ("If-None-Match", etag.as_str(), 304),
        ("If-None-Match", several.as_str(), 304),
        ("If-None-Match", "\"other\"", 200),
        ("If-Modified-Since", modified.as_str(), 304),
        ("If-Match", "\"other\"", 412),
    ];
    for (name, value, wanted) in rows {
        let response = connection.ask("HEAD", &file.target, &[(name, value)])?;
        status(name, &response, wanted)?;
        if wanted == 304 && response.field("etag").as_deref() != Some(etag.as_str()) {
            return Err(format!("{name}: a 304 without the ETag: {:?}", response.fields).into());
        }
    }
    let get = connection.ask("GET", &file.target, &[("If-None-Match", &etag)])?;
    status("If-None-Match", &get, 304)
}

fn by_range(connection: &mut Connection, file: &File, content: &[u8]) -> Tested {
    let length = content.len();
    if length < 64 {
        return Ok(());
    }
    let (from, to) = (length / 3, length / 2);
    for (range, first, last) in [
        (format!("bytes={from}-{to}"), from, to),
        (format!("bytes={}-", length - 40), length - 40, length - 1),
        ("bytes=-17".to_owned(), length - 17, length - 1),
        (format!("bytes={}-{}", length - 50, length * 2), length - 50, length - 1),
    ] {
        let part = connection.ask("GET", &file.target, &[("Range", &range)])?;
        status(&range, &part, 206)?;
        hit(&range, &part)?;
        same(&range, &part.content, content.get(first..=last).unwrap_or_default())?;
        let told = Some(format!("bytes {first}-{last}/{length}"));
        if part.field("content-range") != told {
            return Err(format!("{range}: {:?}", part.fields).into());
        }
    }
    let beyond = connection.ask("GET", &file.target, &[("Range", &format!("bytes={length}-"))])?;
    status("a range beyond the end", &beyond, 416)?;
    several_ranges(connection, file, content)
}

/// RFC 9110 §14.6: one part per range, each with its Content-Range.
fn several_ranges(connection: &mut Connection, file: &File, content: &[u8]) -> Tested {
    let length = content.len();
    let response = connection.ask("GET", &file.target, &[("Range", "bytes=0-9,20-29,-10")])?;
    status("several ranges", &response, 206)?;
    let kind = response.field("content-type").unwrap_or_default();
    let boundary =
        kind.strip_prefix("multipart/byteranges; boundary=").ok_or_else(|| kind.clone())?;
    let mut rest = response.content.as_slice();
    for (first, last) in [(0, 9), (20, 29), (length - 10, length - 1)] {
        let delimiter = format!("--{}\r\n", boundary.trim_matches('"'));
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
        rest = rest.strip_prefix(delimiter.as_bytes()).ok_or("no delimiter before a part")?;
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no part head")?;
        let (head, part) = rest.split_at(end + 4);
        let told = format!("content-range: bytes {first}-{last}/{length}\r\n");
        if !String::from_utf8_lossy(head).to_lowercase().contains(&told) {
            return Err(format!("a part without {told:?}").into());
        }
        let (part, after) = part.split_at_checked(last - first + 1).ok_or("a part cut short")?;
        same("a part", part, content.get(first..=last).unwrap_or_default())?;
        rest = after;
    }
    same(
        "the end of the parts",
        rest,
        format!("\r\n--{}--\r\n", boundary.trim_matches('"')).as_bytes(),
    )
}

#[test]
fn every_file_is_right_in_every_way_of_asking() {
    let world = world(FRESH).unwrap();
    shared(&world, &world.files, cold).unwrap();
    shared(&world, &world.files, warm).unwrap();
    let metrics = world.node.metrics().unwrap();
    let asked = metrics.sum("nearcast_edge_origin_requests_total", &[("site", "www")]).unwrap();
    assert_eq!(asked, world.files.len() as f64, "one request to the origin per file");
    let stored = metrics.sum("nearcast_edge_stored_keys", &[]).unwrap();
    assert_eq!(stored, world.files.len() as f64);
}

/// Many clients take cold files at once, each in an order of its own, while wrk hammers one of them.
#[test]
fn every_byte_is_right_under_load() {
    let world = world(FRESH).unwrap();
    let hot = world.files.iter().find(|file| file.target.ends_with("/bootstrap.min.css")).unwrap();
    let mut wrk = Command::new(program::tool("wrk").unwrap());
    let url = format!("http://{}{}", world.node.edge, hot.target);
    let mut wrk = Process::start(wrk.args(["-t1", "-c8", "-d3s", "--latency", &url])).unwrap();
    // Everybody takes everything small, and the large ones are shared out.
    let (large, small): (Vec<_>, Vec<_>) =
        world.files.iter().partition(|file| file.length > 200_000);
    everywhere(|client| {
        let mut connection = world.node.connect()?;
        let step = small.len() / CLIENTS;
        let own = small.iter().cycle().skip(client * step).take(small.len());
        let shared = large.iter().skip(client / 2).step_by(CLIENTS / 2);
        for file in own.chain(shared) {
            let response = connection.get(&file.target)?;
            status(&file.target, &response, 200)?;
            same(&file.target, &response.content, &file.content()?)?;
        }
        Ok(())
    })
    .unwrap();
    assert!(wrk.ended().unwrap().success(), "{:?}", wrk.stderr());
    let said = wrk.stdout().join("\n");
    assert!(said.contains("Requests/sec"), "{said}");
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    let asked =
        world.node.metrics().unwrap().sum("nearcast_edge_origin_requests_total", &[]).unwrap();
    assert_eq!(asked, world.files.len() as f64, "however many ask, the origin is asked once");
}

/// What the origin allows: one package for long, one for a second, one never without asking.
const LIFETIMES: &str = "
    location / { add_header Cache-Control max-age=600; }
    location /mathjax/ { add_header Cache-Control max-age=1; }
    location /bootstrap/ { add_header Cache-Control 'max-age=1, must-revalidate'; }";

/// An error page that names a request id and nothing else.
fn is_error_page(response: &Response, root: &Path) -> Tested<String> {
    let text = response.text();
    let id = text.split("Request id: ").nth(1).and_then(|rest| rest.split('<').next());
    let id = id.ok_or_else(|| format!("no request id: {text:?}"))?;
    let root = root.display().to_string();
    for internal in ["127.", "nginx", "nearcast", "refused", "connect", root.as_str()] {
        if text.to_lowercase().contains(internal) {
            return Err(format!("the page says {internal:?}: {text}").into());
        }
    }
    if response.field("server").is_some() || response.field("cache-control").is_none() {
        return Err(format!("an error page with these fields: {:?}", response.fields).into());
    }
    Ok(id.to_owned())
}

/// Clients are in the middle of cold files when the origin dies: each gets the whole file, a break
/// that it can see, or an error page; never wrong bytes that look whole.
fn kill_half_way(world: &mut World, files: &[File]) -> Tested {
    let (done, dead) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (right, broken, refused) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let World { node, nginx, .. } = world;
    let root = program::packages()?;
    let half = files.len() / 2;
    // What is left for the time after the origin's end, however late the killer is.
    let last_quarter = files.len() * 3 / 4;
    thread::scope(|scope| {
        let killer = scope.spawn(|| {
            wait_for("half of the files", || {
                Ok((done.load(Ordering::Acquire) >= half).then_some(()))
            })?;
            let killed = nginx.kill();
            dead.store(true, Ordering::Release);
            killed
        });
        let next = AtomicUsize::new(0);
        everywhere(|_| {
            let mut connection = node.connect()?;
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(file) = files.get(at) else { return Ok(()) };
                if at >= last_quarter {
                    wait_for("the origin's end", || {
                        Ok(dead.load(Ordering::Acquire).then_some(()))
                    })?;
                }
                match connection.get(&file.target) {
                    Ok(response) if response.status == 200 => {
                        same(&file.target, &response.content, &file.content()?)?;
                        right.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(response) => {
                        status(&file.target, &response, 502)?;
                        is_error_page(&response, &root)?;
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => {
                        broken.fetch_add(1, Ordering::Relaxed);
                        connection = node.connect()?;
                    }
                }
                done.fetch_add(1, Ordering::Release);
            }
        })?;
        killer.join().unwrap_or_else(|_| Err("the killer panicked".into()))
    })?;
    let [right, broken, refused] = [right, broken, refused].map(AtomicUsize::into_inner);
    if right < half || refused == 0 || broken > CLIENTS {
        return Err(format!("{right} right, {broken} broken off, {refused} refused").into());
    }
    Ok(())
}

#[test]
fn an_origin_that_dies_half_way_and_returns_costs_no_wrong_byte() {
    let mut world = world(LIFETIMES).unwrap();
    let of = |package: &str| -> Vec<File> {
        world.files.iter().filter(|file| file.target.starts_with(package)).cloned().collect()
    };
    let (short, strict, long) = (of("/mathjax/"), of("/bootstrap/"), of("/pdfjs-dist/"));
    let unseen = of("/mathjax-mathjax-newcm-font/");
    for files in [&short, &strict, &long] {
        shared(&world, files, cold).unwrap();
    }
    kill_half_way(&mut world, &unseen).unwrap();

    // Fresh: nothing has changed for its clients.
    shared(&world, &long, |connection, file| {
        let response = connection.get(&file.target)?;
        status("fresh without an origin", &response, 200)?;
        hit("fresh without an origin", &response)?;
        same("fresh without an origin", &response.content, &file.content()?)
    })
    .unwrap();
    // Stale, and nothing forbids it: it stands in for the origin (RFC 9111 §4.2.4).
    let mut connection = world.node.connect().unwrap();
    wait_for("the last file to become stale", || {
        let response = connection.get(&short[short.len() - 1].target)?;
        Ok((response.forwarded().as_deref() == Some("stale")).then_some(()))
    })
    .unwrap();
    shared(&world, &short, |connection, file| {
        let response = connection.get(&file.target)?;
        status("stale without an origin", &response, 200)?;
        same("stale without an origin", &response.content, &file.content()?)
    })
    .unwrap();
    // Stale, and must-revalidate forbids it (RFC 9111 §5.2.2.2).
    let root = program::packages().unwrap();
    shared(&world, &strict, |connection, file| {
        let response = connection.get(&file.target)?;
        status("must-revalidate without an origin", &response, 504)?;
        is_error_page(&response, &root).map(drop)
    })
    .unwrap();
    // A miss: the client gets an id, and the operator the reason under the same id.
    // Of many failures the log tells one a second, so this asks until it is told.
    let line = wait_for("the reason in the log", || {
        let refused = world.node.get("/pdfjs-dist/not-there-yet")?;
        status("a miss without an origin", &refused, 502)?;
        let id = is_error_page(&refused, &root)?;
        Ok(world.node.process.stderr().into_iter().find(|line| line.contains(&id)))
    })
    .unwrap();
    assert!(line.contains(&world.nginx.address.to_string()), "the reason names the server: {line}");

    world.nginx.restart().unwrap();
    wait_for("the edge to reach its origin again", || {
        Ok((world.node.get("/pdfjs-dist/not-there-yet")?.status == 404).then_some(()))
    })
    .unwrap();
    let all: Vec<File> = [short, strict, long, unseen].concat();
    shared(&world, &all, |connection, file| {
        let response = connection.get(&file.target)?;
        status("after the origin's return", &response, 200)?;
        same("after the origin's return", &response.content, &file.content()?)
    })
    .unwrap();
}
