//! Reads a `.scn` file; `tests/scenarios/README.md` describes the form.
//!
//! In: the file's name and text. Out: a [`Scenario`], or the line that is wrong and why.
//! Always holds: a scenario that asserts nothing about the origin, about what a client got or about
//! Cache-Status is refused, so that none slips in half-blind.

use edge_core::purge::{Mode, Purge, Selector};

use super::block::{self, Block};
use super::{
    BodyRule, Expectation, FieldRule, Request, Requires, Scenario, Settings, Step, answer,
    expectation, text,
};

type Fault = (usize, String);

/// Reads a scenario.
///
/// # Errors
/// `name:line: what is wrong`.
pub fn parse(name: &str, content: &str) -> Result<Scenario, String> {
    scenario(name, content).map_err(|(line, error)| format!("{name}.scn:{line}: {error}"))
}

fn scenario(name: &str, content: &str) -> Result<Scenario, Fault> {
    let (header, blocks) = block::split(content)?;
    let mut scenario = Scenario {
        name: name.to_owned(),
        title: header.first().map(|line| line.text.to_owned()).unwrap_or_default(),
        clause: String::new(),
        requires: Requires::Ours,
        after: None,
        settings: Settings::default(),
        script: origin_mock::script::Script::new(),
        steps: Vec::new(),
    };
    for line in header.iter().skip(1) {
        let (key, value) = line.text.split_once(": ").unwrap_or((line.text, ""));
        match (key, value) {
            ("clause", clause) => scenario.clause = clause.to_owned(),
            ("after", after) => scenario.after = Some(after.to_owned()),
            ("requires", "MUST") => scenario.requires = Requires::Must,
            ("requires", "SHOULD") => scenario.requires = Requires::Should,
            ("requires", "ours") => scenario.requires = Requires::Ours,
            _ => return Err((line.number, format!("the header does not know {:?}", line.text))),
        }
    }
    if scenario.title.is_empty() || scenario.clause.is_empty() {
        return Err((1, "a scenario has a title and a clause".to_owned()));
    }
    for block in &blocks {
        take(&mut scenario, block)?;
    }
    scenario.settings.complete();
    scenario.script.check().map_err(|error| (1, error.to_string()))?;
    complete(&scenario).map_err(|error| (1, error.to_owned()))?;
    Ok(scenario)
}

/// Whether all three sides are asserted.
fn complete(scenario: &Scenario) -> Result<(), &'static str> {
    let answers = || {
        scenario.steps.iter().filter_map(|(_, step)| match step {
            Step::Got(_, expectation) => Some(expectation),
            _ => None,
        })
    };
    let names_cache_status = |rule: &FieldRule| match rule {
        FieldRule::Is(name, _) | FieldRule::Matches(name, _) | FieldRule::Absent(name) => {
            name.eq_ignore_ascii_case("cache-status")
        }
    };
    let about_cache =
        |e: &Expectation| !e.cache.is_empty() || e.fields.iter().any(names_cache_status);
    let closed = || scenario.steps.iter().any(|(_, step)| matches!(step, Step::Closed(..)));
    if !scenario.steps.iter().any(|(_, step)| matches!(step, Step::OriginCount(_))) {
        Err("nothing says how many requests the origin got")
    } else if !closed() && !answers().any(|e| e.body.is_some() || e.so_far.is_some()) {
        Err("nothing says what content a client got")
    } else if !closed() && !answers().any(about_cache) {
        Err("nothing says what Cache-Status a client got")
    } else {
        Ok(())
    }
}

fn take(scenario: &mut Scenario, block: &Block<'_>) -> Result<(), Fault> {
    let at = |error: String| (block.head.number, error);
    let head = block.head.text;
    let (word, rest) = head.split_once(' ').unwrap_or((head, ""));
    let toml = || block.details.iter().map(|line| line.text).collect::<Vec<_>>().join("\n");
    let site = if rest.is_empty() { "www" } else { rest };
    match word {
        "edge" => return scenario.settings.add_edge(&toml()).map_err(at),
        "site" => return scenario.settings.add_site(site, &toml()).map_err(at),
        "rule" => return scenario.settings.add_rule(site, &toml()).map_err(at),
        "origin" if is_answer(rest) => return answer::add(&mut scenario.script, block),
        _ => {}
    }
    let step = if word == "origin" {
        origin_step(rest, block)?
    } else if word.ends_with('>') || word.ends_with('<') {
        client_step(word, rest, block)?
    } else {
        plain_step(word, rest).map_err(at)?
    };
    if block.details.iter().any(|_| !takes_details(&step)) {
        return Err(at("nothing stands under this line".to_owned()));
    }
    scenario.steps.push((block.head.number, step));
    Ok(())
}

fn is_answer(rest: &str) -> bool {
    !["got", "connections", "down", "up"].contains(&rest.split(' ').next().unwrap_or_default())
}

fn takes_details(step: &Step) -> bool {
    matches!(step, Step::Send(..) | Step::Got(..) | Step::OriginSaw(..) | Step::More(..))
}

fn origin_step(rest: &str, block: &Block<'_>) -> Result<Step, Fault> {
    let at = |error: String| (block.head.number, error);
    let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let server = || if rest.is_empty() { None } else { Some(rest.to_owned()) };
    Ok(match word {
        "got" => match rest.strip_prefix('#') {
            Some(words) => {
                let (nth, expectation) = expectation::of_request(words, block)?;
                Step::OriginSaw(nth, expectation)
            }
            None => Step::OriginCount(count(rest).map_err(at)?),
        },
        "connections" => Step::OriginConnections(text::number(rest).map_err(at)?),
        "down" => Step::Down(server()),
        _ => Step::Up(server()),
    })
}

/// Reads `N` or `N-M`.
fn count(words: &str) -> Result<std::ops::RangeInclusive<usize>, String> {
    let (least, most) = words.split_once('-').unwrap_or((words, words));
    Ok(text::number(least)?..=text::number(most)?)
}

fn plain_step(word: &str, rest: &str) -> Result<Step, String> {
    let words: Vec<&str> = rest.split(' ').filter(|own| !own.is_empty()).collect();
    match (word, words.as_slice()) {
        ("clock", [time]) => {
            let time = time.strip_prefix('+').ok_or("clock +DURATION")?;
            Ok(Step::Clock(text::duration(time)?))
        }
        ("vouch", [time]) => {
            let time = time.strip_prefix('+').ok_or("vouch +DURATION")?;
            Ok(Step::Vouch(text::duration(time)?))
        }
        ("release", [path]) => Ok(Step::Release((*path).to_owned())),
        ("purge", words) => purge(words),
        ("aborts" | "reads", words) => reading("", word, words),
        (client, [verb, words @ ..]) => reading(client, verb, words),
        _ => Err(format!("no such step: {word} {rest}")),
    }
}

/// Reads `purge [soft] KIND [TEXT]` and `purge counts N KIND [TEXT]`.
fn purge(words: &[&str]) -> Result<Step, String> {
    let (mode, rest) = match words {
        ["soft", rest @ ..] => (Mode::Soft, rest),
        ["counts", _, rest @ ..] | rest => (Mode::Hard, rest),
    };
    let selector = match rest {
        ["url", text] => Selector::parse_url(text),
        ["prefix", text] => Selector::parse_prefix(text),
        ["host", text] => Selector::parse_host(text),
        ["tag", text] => Selector::parse_tag(text),
        ["all"] => Ok(Selector::Everything),
        _ => return Err("purge [soft|counts N] url|prefix|host|tag TEXT, or all".to_owned()),
    };
    let selectors = vec![selector.map_err(|problem| problem.to_string())?];
    let purge = Purge { site: "www".into(), selectors, mode };
    Ok(match words {
        ["counts", count, ..] => Step::Counted(text::number(count)?, purge),
        _ => Step::Purge(purge),
    })
}

/// Reads `aborts`, `reads` and `reads N`.
fn reading(client: &str, verb: &str, words: &[&str]) -> Result<Step, String> {
    let client = client.to_owned();
    match (verb, words) {
        ("aborts", []) => Ok(Step::Abort(client)),
        ("reads", []) => Ok(Step::Read(client, None)),
        ("reads", [octets]) => Ok(Step::Read(client, Some(text::number(octets)?))),
        _ => Err(format!("no such step: {client} {verb}")),
    }
}

fn client_step(word: &str, rest: &str, block: &Block<'_>) -> Result<Step, Fault> {
    let client = word.trim_end_matches(['<', '>']).to_owned();
    if word.ends_with('>') {
        return match rest {
            "more" => Ok(Step::More(client, raw_octets(block)?)),
            _ => Ok(Step::Send(client, request(rest, block)?)),
        };
    }
    Ok(match rest {
        "nothing" => Step::Nothing(client),
        "closed" => Step::Closed(client),
        "broken" => Step::Broken(client),
        _ if rest.starts_with("hints ") => {
            let count = text::number(rest.trim_start_matches("hints "));
            Step::Hints(client, count.map_err(|error| (block.head.number, error))?)
        }
        _ => Step::Got(client, expectation::of_answer(rest, block)?),
    })
}

fn raw_octets(block: &Block<'_>) -> Result<Vec<u8>, Fault> {
    let mut octets = Vec::new();
    for line in block.details.iter().filter(|line| line.text != "stalls") {
        let more = text::octets(line.text).map_err(|error| (line.number, error))?;
        octets.extend(more.ok_or_else(|| (line.number, "raw octets stand in quotes".to_owned()))?);
    }
    Ok(octets)
}

fn request(words: &str, block: &Block<'_>) -> Result<Request, Fault> {
    let at = |error: &str| (block.head.number, error.to_owned());
    let stalls = block.details.iter().any(|line| line.text == "stalls");
    if words == "raw" {
        let head = raw_octets(block)?;
        let method = head.split(|octet| *octet == b' ').next().unwrap_or_default();
        let method = String::from_utf8_lossy(method).into_owned();
        return Ok(Request { method, head, content: Vec::new(), stalls });
    }
    let words: Vec<&str> = words.split(' ').collect();
    let (method, target, version) = match words.as_slice() {
        [method, target] => (*method, *target, "HTTP/1.1"),
        [method, target, version] => (*method, *target, *version),
        _ => return Err(at("CLIENT> METHOD TARGET [VERSION]")),
    };
    let mut lines = vec![("Host".to_owned(), "www.example".to_owned())];
    let mut body: Option<BodyRule> = None;
    let mut chunked = false;
    for line in &block.details {
        let fault = |error| (line.number, error);
        if line.text == "chunked" {
            chunked = true;
        } else if let Some(name) = line.text.strip_prefix('!') {
            lines.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        } else if line.text != "stalls" && !text::body_rule(line.text, &mut body).map_err(fault)? {
            let field = text::field(line.text).ok_or_else(|| fault("no field".to_owned()))?;
            if field.0 == "Host" {
                lines.retain(|(own, _)| own != "Host");
            }
            lines.push((field.0.to_owned(), field.1.to_owned()));
        }
    }
    let content = match body {
        Some(BodyRule::Is(octets)) => framed(octets, chunked, &mut lines),
        Some(BodyRule::Matches(_) | BodyRule::Without(_)) => {
            return Err(at("a request has content, not a pattern"));
        }
        None => Vec::new(),
    };
    let mut head = format!("{method} {target} {version}\r\n");
    for (name, value) in lines {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    Ok(Request { method: method.to_owned(), head: head.into_bytes(), content, stalls })
}

/// The content as it goes out, its framing noted in the fields.
fn framed(octets: Vec<u8>, chunked: bool, lines: &mut Vec<(String, String)>) -> Vec<u8> {
    if !chunked {
        lines.push(("Content-Length".to_owned(), octets.len().to_string()));
        return octets;
    }
    lines.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
    let mut framed = format!("{:x}\r\n", octets.len()).into_bytes();
    framed.extend(octets);
    framed.extend(b"\r\n0\r\n\r\n");
    framed
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "\
A fresh stored response is reused
clause: RFC 9111 §4
requires: MUST
after: a/b

rule
  default_ttl = \"1s\"

origin /a 200
  Cache-Control: max-age=60
  Last-Modified: {now-1h}
  \"hello\"
origin POST /a 201 Made
  interim 103 Link: </x>
  hold

a> POST /a
  Host: b.example
  \"xy\"
  chunked
a<head 201
  so far \"\"
release /a
clock +5s
a< 201
  no body
  Age ~ ^\\d+$
  !Via
  cache: hit; ttl=5 | hit
origin got 1
origin got #1 POST /a
  \"xy\"
a aborts
";

    #[test]
    fn a_whole_page_is_read() {
        let scenario = parse("x", &WHOLE.replace("a<head", "a< head")).unwrap();
        assert_eq!(scenario.requires, Requires::Must);
        assert_eq!(scenario.after.as_deref(), Some("a/b"));
        assert_eq!(scenario.steps.len(), 8);
        assert!(scenario.is_for_paused());
        assert_eq!(scenario.script.routes.len(), 2);
        assert_eq!(scenario.settings.sites[0]["rule"][0]["default_ttl"].as_str(), Some("1s"));
        let Step::Send(_, request) = &scenario.steps[0].1 else { panic!("no request") };
        assert!(request.head.starts_with(b"POST /a HTTP/1.1\r\nHost: b.example\r\n"));
        assert_eq!(request.content, b"2\r\nxy\r\n0\r\n\r\n");
        let Step::Got(_, expectation) = &scenario.steps[4].1 else { panic!("no answer") };
        assert_eq!(expectation.cache, ["hit; ttl=5", "hit"]);
    }

    #[test]
    fn a_page_that_asserts_too_little_or_cannot_be_read_is_refused() {
        let head = "T\nclause: c\n\n";
        let rows = [
            ("T\n", "a title and a clause"),
            ("T\nclause: c\nwhat: x\n", "x.scn:3: the header"),
            (&format!("{head}< 200\n  \"\"\n  cache: hit\n"), "how many requests"),
            (&format!("{head}origin got 1\n< 200\n  cache: hit\n"), "what content"),
            (&format!("{head}origin got 1\n< 200\n  \"\"\n"), "Cache-Status"),
            (&format!("{head}origin got x\n"), "x.scn:4: \"x\" is no number"),
            (&format!("{head}origin /a 200\n  frobnicate\n"), "x.scn:5: the origin does not know"),
            (&format!("{head}< 200\n  what\n"), "x.scn:5: an expectation does not know"),
            (&format!("{head}clock +1s\n  what\n"), "nothing stands under"),
            (&format!("{head}dance\n"), "no such step"),
        ];
        for (text, expected) in rows {
            let error = parse("x", text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
