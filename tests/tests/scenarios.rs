//! Every scenario as a test of its own, in both theatres.
//!
//! In: the pages under `tests/scenarios`. Out: `paused/NAME` for each of them, and `sockets/NAME`
//! for each in which no clock moves and nothing is purged, when there is a binary to play against.
//! Always holds: a page that does not parse, or that names a scenario that is not there, is red. A
//! scenario whose `after` fails is reported as ignored: its failure says nothing new. That is believed
//! of the paused theatre alone, where a page that fails here fails in its own trial as well; over
//! sockets it may have been green there, and then nothing red would be left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nearcast_tests::scenario::Scenario;
use nearcast_tests::scenario::parse::parse;
use nearcast_tests::theatre::{edge, sockets};

/// The number of scenarios that the project promises.
const SCENARIOS_MIN: usize = 250;

/// Pages by name.
type Pages = BTreeMap<String, Page>;

/// A page, as it stands and as it was read.
struct Page {
    text: String,
    scenario: Result<Scenario, String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let pages: Arc<Pages> = Arc::new(pages(&root));
    let mut trials = vec![Trial::test("pages", {
        let pages = Arc::clone(&pages);
        move || whole(&pages)
    })];
    for name in pages.keys() {
        let (pages, name) = (Arc::clone(&pages), name.clone());
        trials.push(Trial::ignorable_test(format!("paused/{name}"), move || {
            report(&pages, &name, |page| page.scenario.as_ref().map_or(Ok(()), edge::perform))
        }));
    }
    match binary() {
        Some(binary) => trials.extend(over_sockets(&pages, &Arc::new(binary))),
        None if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            let missing = "there is no nearcast binary; build it, or name it in NEARCAST_BIN";
            trials.push(Trial::test("sockets", move || Err(missing.into())));
        }
        None => {}
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The binary: NEARCAST_BIN, or the one beside this test in the target folder.
fn binary() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("NEARCAST_BIN") {
        return Some(PathBuf::from(named));
    }
    let test = std::env::current_exe().ok()?;
    let beside = test.parent()?.parent()?.join("nearcast");
    beside.is_file().then_some(beside)
}

/// The scenarios that need no more than sockets, against the binary.
fn over_sockets(pages: &Arc<Pages>, binary: &Arc<PathBuf>) -> Vec<Trial> {
    let still = |page: &Page| page.scenario.as_ref().is_ok_and(|own| !own.is_for_paused());
    let names = pages.iter().filter(|(_, page)| still(page)).map(|(name, _)| name);
    let trial = |name: &String| {
        let (pages, name, binary) = (Arc::clone(pages), name.clone(), Arc::clone(binary));
        Trial::test(format!("sockets/{name}"), move || {
            let page = pages.get(&name).ok_or("there is no such page")?;
            Ok(sockets::perform(&name, &page.text, &binary)?)
        })
    };
    names.map(trial).collect()
}

/// All pages under `root`.
fn pages(root: &Path) -> Pages {
    let mut pages = Pages::new();
    let mut folders: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "scn") {
                let name = path.with_extension("");
                let name = name.strip_prefix(root).unwrap_or(&name).display().to_string();
                let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
                let scenario =
                    text.as_ref().map_err(Clone::clone).and_then(|text| parse(&name, text));
                pages.insert(name, Page { text: text.unwrap_or_default(), scenario });
            }
        }
    }
    pages
}

/// The pages as a whole: all parse, all `after`s lead somewhere and nowhere in a circle.
fn whole(pages: &Pages) -> Result<(), Failed> {
    let mut faults: Vec<String> = Vec::new();
    for (name, page) in pages {
        match &page.scenario {
            Err(error) => faults.push(error.clone()),
            Ok(_) => {
                let depth = chain(pages, name).take(pages.len() + 1).count();
                if depth > pages.len() {
                    faults.push(format!("{name}: after leads in a circle"));
                }
            }
        }
        if let Some(missing) = after(pages, name).filter(|after| !pages.contains_key(*after)) {
            faults.push(format!("{name}: after names {missing}, which is not there"));
        }
    }
    if pages.len() < SCENARIOS_MIN {
        faults.push(format!("only {} scenarios; there shall be {SCENARIOS_MIN}", pages.len()));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n").into()) }
}

fn after<'a>(pages: &'a Pages, name: &str) -> Option<&'a str> {
    pages.get(name)?.scenario.as_ref().ok()?.after.as_deref()
}

/// The scenarios that this one presupposes, the nearest first.
fn chain<'a>(pages: &'a Pages, name: &str) -> impl Iterator<Item = &'a str> {
    std::iter::successors(after(pages, name), move |name| after(pages, name))
}

/// Plays a scenario in a theatre that always gives the same; when it fails because of one that it
/// presupposes, says so instead.
fn report(
    pages: &Pages,
    name: &str,
    perform: impl Fn(&Page) -> Result<(), String>,
) -> Result<Completion, Failed> {
    let page = pages.get(name).ok_or("there is no such page")?;
    if let Err(error) = &page.scenario {
        return Err(error.into());
    }
    let Err(failure) = perform(page) else { return Ok(Completion::Completed) };
    for earlier in chain(pages, name).take(pages.len()) {
        if pages.get(earlier).is_some_and(|page| perform(page).is_err()) {
            return Ok(Completion::ignored_with(format!("{earlier} fails")));
        }
    }
    Err(failure.into())
}
