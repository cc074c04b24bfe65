//! A script at work: which route a request meets, and how far each route is.
//!
//! In: requests as they arrive, and releases. Out: a [`Visit`] per request: its step, its number,
//! its place at the gate.
//! Always holds: a release lets go exactly the requests that arrived before it, so that whoever
//! has seen a request in the record can release it without a race.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::script::{Hold, Route, Script, Step};

/// All routes of one script.
pub(crate) struct Table {
    /// By target or path; one for a method before the one for any.
    exact: HashMap<String, Vec<Arc<Place>>>,
    /// Beginnings of targets, the longest first, then as above.
    prefixes: Vec<(String, Arc<Place>)>,
    otherwise: Arc<Place>,
}

/// One route at work.
struct Place {
    method: Option<String>,
    steps: Vec<Arc<Step>>,
    gate: watch::Sender<Gate>,
}

/// What a held request waits for.
#[derive(Debug, Clone, Copy, Default)]
struct Gate {
    visits: u64,
    releases: u64,
}

/// One request's stay at its route.
pub(crate) struct Visit {
    /// The step that answers it.
    pub(crate) step: Arc<Step>,
    /// How many requests the route has had, this one counted.
    pub(crate) n: u64,
    releases: u64,
    gate: watch::Receiver<Gate>,
}

impl Table {
    /// Sets a script to work; every route at its first step.
    pub(crate) fn new(script: Script) -> Self {
        let mut exact: HashMap<String, Vec<Arc<Place>>> = HashMap::new();
        let mut prefixes = Vec::new();
        for Route { path, method, steps } in script.routes {
            let place = Arc::new(Place::new(method, steps));
            match path.strip_suffix('*') {
                Some(beginning) if !beginning.is_empty() => {
                    prefixes.push((beginning.to_owned(), place));
                }
                _ => exact.entry(path).or_default().push(place),
            }
        }
        // So that the first that fits is the most specific.
        prefixes.sort_by_key(|(beginning, place): &(String, Arc<Place>)| {
            (Reverse(beginning.len()), place.method.is_none())
        });
        for places in exact.values_mut() {
            places.sort_by_key(|place| place.method.is_none());
        }
        let mut otherwise = script.otherwise;
        if otherwise.is_empty() {
            otherwise.push(Step::status(404));
        }
        Self { exact, prefixes, otherwise: Arc::new(Place::new(None, otherwise)) }
    }

    /// Takes a request in.
    pub(crate) fn arrive(&self, method: &str, target: &str) -> Visit {
        self.find(method, target).arrive()
    }

    /// Lets go every request that has arrived at this path or, without one, anywhere. Answers
    /// whether there is such a route.
    pub(crate) fn release(&self, path: Option<&str>) -> bool {
        let exact = self.exact.iter().filter(|(own, _)| path.is_none_or(|path| path == *own));
        let mut places: Vec<&Arc<Place>> = exact.flat_map(|(_, places)| places).collect();
        let prefixes = self.prefixes.iter().filter(|(beginning, _)| match path {
            Some(path) => path.strip_suffix('*') == Some(beginning) || path.starts_with(beginning),
            None => true,
        });
        places.extend(prefixes.map(|(_, place)| place));
        if path.is_none() {
            places.push(&self.otherwise);
        }
        for place in &places {
            place.gate.send_modify(|gate| gate.releases += 1);
        }
        !places.is_empty()
    }

    fn find(&self, method: &str, target: &str) -> &Place {
        let path = target.split('?').next().unwrap_or(target);
        for key in [target, path] {
            let places = self.exact.get(key).map_or(&[][..], Vec::as_slice);
            if let Some(place) = places.iter().find(|place| place.takes(method)) {
                return place;
            }
        }
        let fits =
            |beginning: &str, place: &Place| target.starts_with(beginning) && place.takes(method);
        let prefix = self.prefixes.iter().find(|(beginning, place)| fits(beginning, place));
        prefix.map_or(&self.otherwise, |(_, place)| place)
    }
}

impl Place {
    fn new(method: Option<String>, steps: Vec<Step>) -> Self {
        let steps = steps.into_iter().map(Arc::new).collect();
        Self { method, steps, gate: watch::Sender::new(Gate::default()) }
    }

    fn takes(&self, method: &str) -> bool {
        self.method.as_deref().is_none_or(|own| own == method)
    }

    fn arrive(&self) -> Visit {
        let mut at = Gate::default();
        self.gate.send_modify(|gate| {
            gate.visits += 1;
            at = *gate;
        });
        let turn = usize::try_from(at.visits - 1).unwrap_or(usize::MAX);
        let step = self.steps.get(turn).or_else(|| self.steps.last());
        Visit {
            step: step.map_or_else(|| Arc::new(Step::status(404)), Arc::clone),
            n: at.visits,
            releases: at.releases,
            gate: self.gate.subscribe(),
        }
    }
}

impl Visit {
    /// Waits as the step's `hold` says.
    pub(crate) async fn held(&mut self, hold: Hold) {
        let before = self.releases;
        let passed = self.gate.wait_for(|gate| {
            let joined = match hold {
                Hold::Release => false,
                Hold::Joined(count) => gate.visits >= count,
            };
            joined || gate.releases > before
        });
        // An error means that the script was replaced: its requests are let go.
        drop(passed.await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(table: &Table, method: &str, target: &str) -> u16 {
        table.arrive(method, target).step.status
    }

    #[test]
    fn the_most_specific_route_wins() {
        let table = Table::new(
            Script::new()
                .route("/a*", [Step::status(201)])
                .route("/a/b*", [Step::status(202)])
                .route_for("PUT", "/a/b*", [Step::status(203)])
                .route("/a/b", [Step::status(204)])
                .route_for("POST", "/a/b", [Step::status(205)])
                .route("/a/b?q=1", [Step::status(206)])
                .route("*", [Step::status(207)]),
        );
        let rows = [
            ("GET", "/a/b?q=1", 206),
            ("GET", "/a/b?q=2", 204),
            ("POST", "/a/b", 205),
            ("GET", "/a/bc", 202),
            ("PUT", "/a/bc", 203),
            ("GET", "/ab", 201),
            ("OPTIONS", "*", 207),
            ("GET", "/else", 404),
        ];
        for (method, target, expected) in rows {
            assert_eq!(answered(&table, method, target), expected, "{method} {target}");
        }
    }

    #[test]
    fn steps_are_used_in_turn_and_the_last_repeats() {
        let table = Table::new(Script::new().route("/", [Step::status(201), Step::status(202)]));
        let statuses: Vec<u16> = (0..4).map(|_| answered(&table, "GET", "/")).collect();
        assert_eq!(statuses, [201, 202, 202, 202]);
    }
}
