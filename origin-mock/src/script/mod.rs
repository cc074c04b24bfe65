//! What the origin is told to do: the script and its JSON form.
//!
//! In: JSON, or values built in Rust. Out: routes, each with steps that are used in turn; the last
//! one repeats.
//! Always holds: an unknown key is refused; a parsed script has at least one step per route, and no
//! two routes that could not be told apart.
//! It deliberately judges no response: whatever can be written down can be sent.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

pub use self::body::{Body, Pattern, Seed, SeedOf};
pub use self::step::{
    Expect, Field, Framing, Hold, Interim, Pace, RequestContent, Step, field, raw_line,
};

pub(crate) mod answer;
mod body;
mod step;
pub(crate) mod table;
pub(crate) mod template;

/// Most routes that a script may have.
const ROUTES_MAX: usize = 1_000_000;

/// Most steps that one route may have.
const STEPS_MAX: usize = 10_000;

/// What the origin does, path by path.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// The routes; the most specific one that fits a request is used.
    pub routes: Vec<Route>,
    /// What every other request gets; 404 when there are none.
    pub otherwise: Vec<Step>,
}

/// What the origin does at one path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// A request target (`/a?x=1`), a path that fits with any query (`/a`), or, with a `*` at its
    /// end, the beginning of a target (`/img/*`). The more specific wins, in this order.
    pub path: String,
    /// Only requests with this method; a route with a method wins over one without.
    #[serde(default)]
    pub method: Option<String>,
    /// What its requests get, in turn; the last one repeats.
    pub steps: Vec<Step>,
}

/// Why a script is refused; always the script's author's mistake.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It is not JSON, or not of the script's form.
    #[error("{place}: the script does not parse")]
    Json {
        /// The key path down to the fault, as `routes[0].steps[1].status`; `script` at the top.
        place: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A route that cannot work.
    #[error("routes[{index}] ({path:?}): {why}")]
    Route {
        /// Which route, counted from 0.
        index: usize,
        /// Its path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A step that cannot work.
    #[error("{route} steps[{index}]: {why}")]
    Step {
        /// The route's path, or `otherwise`.
        route: String,
        /// Which step, counted from 0.
        index: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More routes than are allowed.
    #[error("more than {ROUTES_MAX} routes")]
    TooManyRoutes,
}

impl Script {
    /// A script that answers 404 to everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same script with one more route, for any method.
    #[must_use]
    pub fn route(mut self, path: impl Into<String>, steps: impl IntoIterator<Item = Step>) -> Self {
        let steps = steps.into_iter().collect();
        self.routes.push(Route { path: path.into(), method: None, steps });
        self
    }

    /// The same script with one more route, for one method.
    #[must_use]
    pub fn route_for(
        mut self,
        method: impl Into<String>,
        path: impl Into<String>,
        steps: impl IntoIterator<Item = Step>,
    ) -> Self {
        let steps = steps.into_iter().collect();
        self.routes.push(Route { path: path.into(), method: Some(method.into()), steps });
        self
    }

    /// Reads a script from JSON and checks it.
    ///
    /// # Errors
    /// When it does not parse or [`Script::check`] refuses it.
    pub fn parse(json: &[u8]) -> Result<Self, ScriptError> {
        let mut parser = serde_json::Deserializer::from_slice(json);
        let script: Self = serde_path_to_error::deserialize(&mut parser).map_err(|error| {
            // `.` is the top, and a `?` what was not read far enough to have a name.
            let path = error.path().to_string();
            let place = match path.trim_end_matches(['.', '?']) {
                "" => "script".to_owned(),
                place => place.to_owned(),
            };
            ScriptError::Json { place, source: error.into_inner() }
        })?;
        let whole = parser.end();
        whole.map_err(|source| ScriptError::Json { place: "script".to_owned(), source })?;
        script.check()?;
        Ok(script)
    }

    /// Refuses what cannot work: a route without steps, two that cannot be told apart, a pace of
    /// nothing.
    ///
    /// # Errors
    /// The first mistake found.
    pub fn check(&self) -> Result<(), ScriptError> {
        if self.routes.len() > ROUTES_MAX {
            return Err(ScriptError::TooManyRoutes);
        }
        let mut known = HashSet::new();
        for (index, route) in self.routes.iter().enumerate() {
            let why = if !known.insert((&route.path, &route.method)) {
                "another route has the same path and method"
            } else if !(route.path.starts_with('/') || route.path == "*") {
                "a path begins with \"/\", or is \"*\""
            } else if route.steps.is_empty() {
                "it needs at least one step"
            } else if route.steps.len() > STEPS_MAX {
                "it has more than 10000 steps"
            } else {
                check_steps(&route.path, &route.steps)?;
                continue;
            };
            return Err(ScriptError::Route { index, path: route.path.clone(), why });
        }
        check_steps("otherwise", &self.otherwise)
    }
}

fn check_steps(route: &str, steps: &[Step]) -> Result<(), ScriptError> {
    for (index, step) in steps.iter().enumerate() {
        if let Some(why) = step.fault() {
            return Err(ScriptError::Step { route: route.to_owned(), index, why });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
