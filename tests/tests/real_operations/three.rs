//! The three PoPs of docs/operate.md *Three PoPs, tried out*, done word by word as the page says.
//!
//! In: the page, the files in config/examples/three. Out: what clients, resolvers and operators get.
//! Always holds: what is typed is read from the page, so that no reader types anything else; where
//! the page says that something takes a moment, that is waited for by looking, and no longer.

use std::{net::SocketAddr, path::Path};

use nearcast_tests::real::{
    Tested,
    geodns::dig,
    http::Connection,
    network::{Shell, in_own_network},
    page, program, wait_for,
};

const PAGE: &str = include_str!("../../../docs/operate.md");
const TRIED: &str = "## Three PoPs, tried out";
const EDGES: [(&str, &str); 3] =
    [("iad-1", "127.0.0.2"), ("fra-1", "127.0.0.3"), ("sin-1", "127.0.0.4")];
const SERVERS: [&str; 2] = ["127.0.0.11", "127.0.0.12"];
const GERMANY: &str = "141.30.0.0/24";

/// The blocks of a section, of which there must be as many as the test knows of.
fn blocks<const N: usize>(heading: &str) -> Tested<[String; N]> {
    let blocks = page::blocks(PAGE, heading);
    blocks.try_into().map_err(|found| format!("{heading} is written otherwise: {found:?}").into())
}

/// Something is as the page says, or this says what is not.
fn holds(what: &str, is_so: bool, said: &[String]) -> Tested {
    if is_so { Ok(()) } else { Err(format!("{what}:\n{}", said.join("\n")).into()) }
}

fn ready(admin: &str) -> Tested<Option<()>> {
    let address = SocketAddr::new(admin.parse()?, 9090);
    let Ok(mut connection) = Connection::open(address) else { return Ok(None) };
    Ok((connection.get("/readyz")?.status == 200).then_some(()))
}

/// Until both GeoDNS servers answer a client in Germany with this address.
fn led_to(address: &str) -> Tested {
    wait_for(&format!("Germany is led to {address}"), || {
        for server in SERVERS {
            let server = SocketAddr::new(server.parse()?, 5300);
            let subnet = format!("+subnet={GERMANY}");
            let answered = dig(server, "shop.cdn.example", &[&subnet]);
            // It may not know the name yet.
            if answered.ok().as_deref() != Some(address) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
}

/// The serial of the zone, as each GeoDNS server says it.
fn serials() -> Tested<Vec<u32>> {
    let serial = |server: &str| -> Tested<u32> {
        let server = SocketAddr::new(server.parse()?, 5300);
        let soa = dig(server, "cdn.example", &["-t", "SOA"])?;
        Ok(soa.split(' ').nth(2).ok_or_else(|| format!("no serial: {soa}"))?.parse()?)
    };
    SERVERS.iter().map(|server| serial(server)).collect()
}

/// Whether these are the lines of one `ask` to which each edge gave a 200 and said this.
fn all_say(lines: &[String], said: &str) -> bool {
    let says = |(line, (name, address)): (&String, &(&str, &str))| {
        line.starts_with(&format!("{address}: 200 {name}; ")) && line.contains(said)
    };
    lines.len() == EDGES.len() && lines.iter().zip(&EDGES).all(says)
}

/// Whether these are the lines of a miss of each edge, and then of a hit of each.
fn miss_then_hit(lines: &[String]) -> bool {
    let (first, second) = lines.split_at_checked(EDGES.len()).unwrap_or_default();
    all_say(first, "fwd=uri-miss") && all_say(second, "hit")
}

/// What a purge says that all nodes have applied, and then what each edge says.
fn purged_everywhere(said: &[String]) -> bool {
    let Some(at) = said.len().checked_sub(EDGES.len()) else { return false };
    let (purge, asked) = said.split_at(at);
    let applied = |name: &str| {
        purge.iter().any(|line| line.trim_start().starts_with(name) && line.contains("applied in"))
    };
    EDGES.iter().all(|(name, _)| applied(name))
        && purge.iter().any(|line| line.starts_with("complete"))
        && all_say(asked, "fwd=uri-miss")
}

fn begin() -> Tested<Shell> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no sources")?;
    let mut shell = Shell::start_with(sources, &[program::nats_server()?])?;
    let [_unshare, words] = &blocks(TRIED)?;
    shell.run(words)?;
    Ok(shell)
}

fn five_nodes(shell: &mut Shell) -> Tested {
    let [first, others, list] = &blocks("### Five nodes and NATS")?;
    let said = shell.said(first)?;
    let sound = said.iter().filter(|line| line.ends_with("no problems")).count();
    holds("five files are sound", sound == 5, &said)?;
    shell.run(others)?;
    for admin in EDGES.map(|(_, address)| address).into_iter().chain(SERVERS) {
        wait_for("readiness", || ready(admin))?;
    }
    wait_for("all edges are listed", || {
        let said = shell.said(list)?;
        let here = |name| said.iter().any(|line| line.starts_with(name) && line.contains(" here "));
        Ok(EDGES.iter().all(|(name, _)| here(name)).then_some(()))
    })
}

fn a_site(shell: &mut Shell) -> Tested {
    let [apply, ask, near] = &blocks("### A site for all")?;
    let status = |edge: &str| -> Tested<u16> {
        let mut connection = Connection::open(SocketAddr::new(edge.parse()?, 8080))?;
        connection = connection.host("static.shop.example");
        Ok(connection.ask("HEAD", "/never-stored.txt", &[])?.status)
    };
    for (_, edge) in EDGES {
        let before = status(edge)?;
        holds("no edge has a site", before == 421, &[before.to_string()])?;
    }
    let before = serials()?;
    let said = shell.said(apply)?;
    holds("it is taken", said == ["site shop: made, revision 1"], &said)?;
    for (_, edge) in EDGES {
        wait_for("the site is served", || Ok((status(edge)? == 200).then_some(())))?;
    }
    let said = shell.said(ask)?;
    holds("each edge misses once, then hits", miss_then_hit(&said), &said)?;
    led_to(EDGES[1].1)?;
    let after = serials()?;
    let is_so = before[0] == before[1] && after[0] == after[1] && after[0] > before[0];
    holds("the serial has moved, everywhere alike", is_so, &[format!("{before:?} {after:?}")])?;
    let said = shell.said(near)?;
    let wanted: Vec<&str> = EDGES.iter().flat_map(|(_, address)| [*address; 2]).collect();
    holds("each client is led to its own PoP", said == wanted, &said)
}

fn a_purge(shell: &mut Shell) -> Tested {
    let [purge, explain, refused] = &blocks("### A purge for all")?;
    let said = shell.said(purge)?;
    holds("it is applied by all", purged_everywhere(&said), &said)?;
    let said = shell.said(explain)?;
    let told = said.iter().any(|line| line.starts_with("sin-1") && line.contains("hit: "));
    holds("it is told", told, &said)?;
    let said = shell.said(refused)?;
    holds("fra-1 may not", said == ["exit code 1"], &said)?;
    shell_said(shell, "the ledger cannot be used")
}

/// Until something stands on stderr.
fn shell_said(shell: &Shell, what: &str) -> Tested {
    wait_for(what, || Ok(shell.stderr().iter().any(|line| line.contains(what)).then_some(())))
}

fn a_node_killed(shell: &mut Shell) -> Tested {
    let [kill, meanwhile, again] = &blocks("### A node killed")?;
    shell.run(kill)?;
    let (iad, fra) = (EDGES[0].1, EDGES[1].1);
    led_to(iad)?;
    let said = shell.said(meanwhile)?;
    let is_so = said.starts_with(&[iad.to_owned(), iad.to_owned()])
        && said
            .iter()
            .any(|line| line.trim_start().starts_with("fra-1") && line.ends_with("not yet"))
        && said
            .ends_with(&["exit code 1".to_owned(), "site shop: replaced, revision 2".to_owned()]);
    holds("fra-1 is missed", is_so, &said)?;
    let said = shell.said(again)?;
    let first_answer = said.iter().find(|line| *line != "000");
    holds("it catches up first", first_answer.is_some_and(|line| line == "200"), &said)?;
    let applied = said.iter().filter(|line| line.contains("all applied")).count();
    holds("all have applied all", applied == EDGES.len(), &said)?;
    led_to(fra)
}

fn nats_gone(shell: &mut Shell) -> Tested {
    let [kill, serve, refused, back] = &blocks("### NATS gone")?;
    shell.run(kill)?;
    let mut said = shell.said(serve)?;
    let near = said.split_off(said.len().saturating_sub(SERVERS.len()));
    holds("all serve", miss_then_hit(&said), &said)?;
    holds("GeoDNS answers", near == [EDGES[1].1; 2], &near)?;
    let said = shell.said(refused)?;
    let is_so = said.iter().any(|line| line.contains("no connection to NATS"))
        && said.first().is_some_and(|line| line == "exit code 1")
        && said.last().is_some_and(|line| line == "200");
    holds("orders are refused, clients are not", is_so, &said)?;
    let said = shell.said(back)?;
    holds("orders are taken again", purged_everywhere(&said), &said)
}

#[test]
fn three_pops_over_nats_do_what_the_page_says() -> Tested {
    let [way, _words] = &blocks(TRIED)?;
    let test = "real_operations::three::three_pops_over_nats_do_what_the_page_says";
    in_own_network(way, test, || {
        let mut shell = begin()?;
        five_nodes(&mut shell)?;
        a_site(&mut shell)?;
        a_purge(&mut shell)?;
        a_node_killed(&mut shell)?;
        nats_gone(&mut shell)
    })
}
