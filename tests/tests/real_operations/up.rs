//! `nearcast up`: the whole CDN on this machine, as its first user meets it.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    time::Duration,
};

use nearcast_tests::real::{
    Tested,
    http::{Connection, Response},
    nginx::Nginx,
    process::{Process, Signal},
    program, wait_for,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

struct Up {
    process: Process,
    facts: Value,
    data: TempDir,
}

impl Up {
    fn start(arguments: &[&str]) -> Tested<Self> {
        let data = tempfile::tempdir()?;
        let mut command = Command::new(program::nearcast()?);
        command.args(["up", "--http-port", "0", "--dns-port", "0", "--admin-port", "0"]);
        command.arg("--data").arg(data.path());
        let process = Process::start(command.args(arguments))?;
        process
            .stdout_line(|line| (line.contains("Ctrl-C") || line.starts_with('{')).then_some(()))?;
        let facts = serde_json::from_slice(&fs::read(data.path().join("up.json"))?)?;
        Ok(Self { process, facts, data })
    }

    fn edges(&self) -> Vec<SocketAddr> {
        let edges = self.facts["edges"].as_array().into_iter().flatten();
        edges.filter_map(|edge| edge["http"][0].as_str()?.parse().ok()).collect()
    }

    fn get(&self, target: &str) -> Tested<Response> {
        Connection::open(*self.edges().first().ok_or("no edge")?)?.get(target)
    }

    fn interrupted(mut self) -> Tested<TempDir> {
        self.process.signal(Signal::Interrupt)?;
        match self.process.ended()?.code() {
            Some(0) => Ok(self.data),
            code => {
                Err(format!("Ctrl-C ended it with {code:?}: {:?}", self.process.stderr()).into())
            }
        }
    }
}

/// curl's whole output.
fn curl(arguments: &[&str]) -> Tested<String> {
    let output = Command::new(program::tool("curl")?).arg("-si").args(arguments).output()?;
    if !output.status.success() {
        return Err(format!("curl {arguments:?}: {output:?}").into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The value of a field in what `curl -i` shows.
fn shown<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines()
        .filter_map(|line| line.split_once(": "))
        .find_map(|(field, value)| field.eq_ignore_ascii_case(name).then_some(value.trim_end()))
}

fn content(text: &str) -> &str {
    text.split_once("\r\n\r\n").map_or("", |(_, content)| content)
}

#[test]
fn a_folder_is_served_and_the_second_curl_is_a_hit() {
    let root = tempfile::tempdir().unwrap();
    let page = "<!doctype html>\n<title>a page</title>\n".repeat(50);
    fs::write(root.path().join("page.html"), &page).unwrap();
    let up = Up::start(&["--root", root.path().to_str().unwrap()]).unwrap();
    let url = format!("http://{}/page.html", up.edges()[0]);
    let first = curl(&[&url]).unwrap();
    assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
    assert_eq!(content(&first), page);
    assert!(shown(&first, "Cache-Status").unwrap().contains("fwd=uri-miss"), "{first}");
    let second = curl(&[&url]).unwrap();
    assert!(shown(&second, "Cache-Status").unwrap().contains("; hit"), "{second}");
    assert!(shown(&second, "Age").unwrap().parse::<u32>().is_ok());
    assert_eq!(content(&second), page);
    assert_eq!(shown(&second, "Cache-Control"), Some("max-age=60"));
    let etag = shown(&second, "ETag").unwrap();
    assert!(shown(&second, "Last-Modified").is_some());

    let part = curl(&["-r", "0-99", &url]).unwrap();
    assert!(part.starts_with("HTTP/1.1 206 "), "{part}");
    assert_eq!(content(&part), page.get(..100).unwrap());
    assert_eq!(shown(&part, "Content-Range"), Some(format!("bytes 0-99/{}", page.len()).as_str()));
    let unchanged = curl(&["-H", &format!("If-None-Match: {etag}"), &url]).unwrap();
    assert!(unchanged.starts_with("HTTP/1.1 304 "), "{unchanged}");
    assert_eq!(content(&unchanged), "");
    let posted = curl(&["-X", "POST", &url]).unwrap();
    assert!(posted.starts_with("HTTP/1.1 405 "), "{posted}");
    assert_eq!(shown(&posted, "Allow"), Some("GET, HEAD"));
    assert!(shown(&posted, "Cache-Status").unwrap().contains("fwd=method"), "{posted}");
    let still = curl(&[&url]).unwrap();
    assert!(
        shown(&still, "Cache-Status").unwrap().contains("; hit"),
        "an error invalidates nothing"
    );
    assert!(curl(&[&format!("{url}.not")]).unwrap().starts_with("HTTP/1.1 404 "));
    let data = up.interrupted().unwrap();
    let log = fs::read_to_string(data.path().join("access.log")).unwrap();
    assert_eq!(log.lines().count(), 7, "one line per request:\n{log}");
    assert!(!data.path().join("up.json").exists(), "nothing runs any more");
}

#[test]
fn up_json_says_what_runs_where() {
    let up = Up::start(&[]).unwrap();
    let edges = up.facts["edges"].as_array().unwrap();
    let names: Vec<_> = edges.iter().map(|edge| edge["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["iad", "fra", "sin"]);
    let addresses = up.edges();
    let ips: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
    assert_eq!(ips, ["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
    assert_eq!(up.facts["process"], up.process.id());
    let told = up.process.stdout().join("\n");
    for address in &addresses {
        assert!(told.contains(&address.to_string()), "{address} is not in {told}");
        // Each has a cache of its own, and any host name will do.
        let mut connection = Connection::open(*address).unwrap().host("any.name.test");
        let name = names[addresses.iter().position(|other| other == address).unwrap()];
        let first = connection.get("/style.css").unwrap();
        assert_eq!(first.forwarded().as_deref(), Some("uri-miss"));
        assert_eq!(first.cache_status().unwrap().cache, name);
        assert!(connection.get("/style.css").unwrap().is_hit());
    }
    let admin = up.facts["admin"].as_str().unwrap().parse().unwrap();
    let admin = |target: &str| Connection::open(admin).unwrap().get(target).unwrap();
    // GeoDNS has to have probed its PoPs first.
    wait_for("readiness", || Ok((admin("/readyz").status == 200).then_some(()))).unwrap();
    assert!(admin("/metrics").text().contains("node=\"sin\""));
    assert!(up.get("/never-stored.txt").unwrap().forwarded().is_some());
    assert!(!up.get("/never-stored.txt").unwrap().is_hit());
    up.interrupted().unwrap();
}

#[test]
fn with_json_it_says_what_stands_in_up_json() {
    let up = Up::start(&["--json"]).unwrap();
    let said = up.process.stdout();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(serde_json::from_str::<Value>(&said[0]).unwrap(), up.facts);
    assert_eq!(up.edges().len(), 3);
    up.interrupted().unwrap();
}

/// Two that share a folder: the one that ends first takes only its own word back.
#[test]
fn up_json_of_another_process_stays() {
    let up = Up::start(&[]).unwrap();
    let path = up.data.path().join("up.json");
    fs::write(&path, "another's").unwrap();
    let data = up.interrupted().unwrap();
    assert_eq!(fs::read_to_string(data.path().join("up.json")).unwrap(), "another's");
}

/// There is no file to read again: SIGHUP says that the terminal has closed.
#[test]
fn up_ends_with_its_terminal() {
    let mut up = Up::start(&[]).unwrap();
    let edges = up.edges();
    up.process.signal(Signal::Hangup).unwrap();
    assert_eq!(up.process.ended().unwrap().code(), Some(0));
    assert!(!edges.is_empty());
    for address in edges {
        assert!(TcpStream::connect(address).is_err(), "{address} is still taken");
    }
}

#[test]
fn an_origin_that_dies_goes_on_being_served() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("fresh"), "fresh").unwrap();
    fs::write(root.path().join("stale"), "stale").unwrap();
    let lifetimes = "location / { add_header Cache-Control max-age=60; }
        location /stale { add_header Cache-Control max-age=1; }";
    let mut nginx = Nginx::serving(root.path(), lifetimes).unwrap();
    let up = Up::start(&["--origin", &format!("http://{}", nginx.address)]).unwrap();
    for target in ["/fresh", "/stale"] {
        assert_eq!(up.get(target).unwrap().status, 200);
    }
    nginx.kill().unwrap();
    assert!(up.get("/fresh").unwrap().is_hit());
    wait_for("the second to pass", || {
        let response = up.get("/stale")?;
        if (response.status, response.text().as_str()) != (200, "stale") {
            return Err(format!("{response:?}").into());
        }
        Ok((response.forwarded().as_deref() == Some("stale")).then_some(()))
    })
    .unwrap();
    assert_eq!(up.get("/other").unwrap().status, 502);
    nginx.restart().unwrap();
    wait_for("the origin's return", || Ok((up.get("/other")?.status == 404).then_some(())))
        .unwrap();
    up.interrupted().unwrap();
}

/// What a client of `subnet` is answered.
fn dig(dns: SocketAddr, subnet: &str) -> Tested<String> {
    let mut command = Command::new(program::tool("dig")?);
    command.arg(format!("@{}", dns.ip())).args(["-p", &dns.port().to_string()]);
    command.args(["+short", "+timeout=2", "+tries=2", "www.cdn.test"]);
    let output = command.arg(format!("+subnet={subnet}")).output()?;
    if !output.status.success() {
        return Err(format!("dig +subnet={subnet}: {output:?}").into());
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// Within this DNS leads around an edge that ended: fall × (interval + timeout) + 1 s, as `up` probes.
const PROMISED: Duration = Duration::from_secs(2 * (1000 + 500) / 1000 + 1);
/// What the requests that make the change and see it may take on a machine that runs other tests.
const SLACK: Duration = Duration::from_secs(2);

#[test]
fn dns_answers_the_nearest_edge_until_it_dies() {
    let up = Up::start(&["--json"]).unwrap();
    let at = |key: &str| up.facts[key].as_str().unwrap().to_owned();
    let (dns, admin): (SocketAddr, String) = (at("dns").parse().unwrap(), at("admin"));
    let near_sin = "203.0.113.0/24";
    assert_eq!(dig(dns, "192.0.2.0/24").unwrap(), "127.0.0.2");
    assert_eq!(dig(dns, "198.51.100.0/24").unwrap(), "127.0.0.3");
    assert_eq!(dig(dns, near_sin).unwrap(), "127.0.0.4");
    // The real internet, by the database that is built in: a German, a Singaporean.
    assert_eq!(dig(dns, "141.24.0.0/24").unwrap(), "127.0.0.3");
    assert_eq!(dig(dns, "202.166.0.0/24").unwrap(), "127.0.0.4");

    let explained = Command::new(program::nearcast().unwrap())
        .args(["route", "www.cdn.test", "--client", "203.0.113.9", "--admin", &admin])
        .output()
        .unwrap();
    let text = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.status.success() && text.contains("chosen by route www: sin"), "{text}");
    assert!(text.contains("www.cdn.test. 5 IN A 127.0.0.4"), "{text}");

    let act = |what: &str| {
        let url = format!("http://{admin}/up/edges/sin/{what}");
        assert!(curl(&["-X", "POST", &url]).unwrap().starts_with("HTTP/1.1 200"));
    };
    let begun = Instant::now();
    act("stop");
    wait_for("another edge", || Ok((dig(dns, near_sin)? == "127.0.0.2").then_some(()))).unwrap();
    assert!(begun.elapsed() <= PROMISED + SLACK, "{:?}", begun.elapsed());
    let address = dig(dns, near_sin).unwrap();
    let edge = up.edges().into_iter().find(|edge| edge.ip().to_string() == address).unwrap();
    assert_eq!(Connection::open(edge).unwrap().get("/").unwrap().status, 200);
    let begun = Instant::now();
    act("start");
    wait_for("the edge's return", || Ok((dig(dns, near_sin)? == "127.0.0.4").then_some(())))
        .unwrap();
    assert!(begun.elapsed() <= PROMISED + SLACK, "{:?}", begun.elapsed());
    up.interrupted().unwrap();
}

/// `up` with one port given; what it said when it could not start.
fn refused(data: &Path, option: &str, port: u16) -> Tested<String> {
    let mut command = Command::new(program::nearcast()?);
    command.args(["up", "--data"]).arg(data);
    for other in ["--http-port", "--dns-port", "--admin-port"] {
        command.arg(other).arg(if other == option { port.to_string() } else { "0".to_owned() });
    }
    let mut process = Process::start(&mut command)?;
    match process.ended()?.code() {
        Some(1) => Ok(process.stderr().join("\n")),
        code => Err(format!("ended with {code:?}").into()),
    }
}

#[test]
fn a_taken_port_is_named_with_the_option_that_moves_it() {
    let data = tempfile::tempdir().unwrap();
    for (address, option) in [
        ("127.0.0.2:0", "--http-port"),
        ("127.0.0.4:0", "--http-port"),
        ("127.0.0.1:0", "--dns-port"),
        ("127.0.0.1:0", "--admin-port"),
    ] {
        let taken = TcpListener::bind(address).unwrap();
        let address = taken.local_addr().unwrap();
        let said = refused(data.path(), option, address.port()).unwrap();
        assert!(said.contains(&address.to_string()) && said.contains(option), "{said}");
        assert!(!data.path().join("up.json").exists(), "nothing runs, so nothing is said to");
    }
}

/// A name in the folder for temporary files is one that anybody on the machine can take first.
#[test]
fn without_a_home_it_asks_for_a_folder_of_its_own() {
    let mut command = Command::new(program::nearcast().unwrap());
    command.args(["up", "--http-port", "0", "--dns-port", "0", "--admin-port", "0"]);
    command.env_remove("HOME").env_remove("XDG_STATE_HOME");
    let mut process = Process::start(&mut command).unwrap();
    assert_eq!(process.ended().unwrap().code(), Some(1));
    let said = process.stderr().join("\n");
    assert!(said.contains("--data"), "{said}");

    let open = tempfile::tempdir().unwrap();
    fs::set_permissions(open.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let said = refused(open.path(), "--http-port", 0).unwrap();
    assert!(said.contains("everybody") && said.contains("--data"), "{said}");
    assert_eq!(fs::read_dir(open.path()).unwrap().count(), 0, "it left something there");
}

#[test]
fn an_edge_is_stopped_and_started_again_where_it_was() {
    let up = Up::start(&["--json"]).unwrap();
    let edges = up.edges();
    let [first, second, _] = edges[..] else { panic!("not three edges: {edges:?}") };
    assert!(edges.iter().all(|edge| edge.port() == first.port()), "one port: {edges:?}");
    let admin = up.facts["admin"].as_str().unwrap().to_owned();
    let act = |path: &str, more: &[&str]| {
        let url = format!("http://{admin}/up/edges/{path}");
        curl(&[&["-X", "POST"], more, &[&url]].concat()).unwrap()
    };
    let up_now = |name: &str| {
        let listed = curl(&[&format!("http://{admin}/up/edges")]).unwrap();
        let edges: Value = serde_json::from_str(content(&listed)).unwrap();
        let edge = edges.as_array().unwrap().iter().find(|edge| edge["name"] == name).unwrap();
        edge["up"].as_bool().unwrap()
    };
    // What a page in a browser would send.
    assert!(act("iad/stop", &["-H", "Origin: http://evil.test"]).starts_with("HTTP/1.1 403"));
    assert!(act("nowhere/stop", &[]).starts_with("HTTP/1.1 404"));
    assert!(up_now("iad"));
    assert_eq!(Connection::open(first).unwrap().get("/").unwrap().status, 200);

    assert!(act("iad/stop", &[]).starts_with("HTTP/1.1 200"));
    assert!(!up_now("iad"));
    TcpStream::connect(first).unwrap_err();
    assert_eq!(Connection::open(second).unwrap().get("/").unwrap().status, 200);
    assert!(act("iad/stop", &[]).starts_with("HTTP/1.1 200"), "again changes nothing");

    assert!(act("iad/start", &[]).starts_with("HTTP/1.1 200"));
    assert!(up_now("iad"));
    assert_eq!(Connection::open(first).unwrap().get("/").unwrap().status, 200);
    up.interrupted().unwrap();
}
