//! The target that is forwarded and keyed: the query as the rule leaves it.
//!
//! In: a target in origin-form and a [`QueryPlan`]. Out: the target, borrowed when untouched.
//! Always holds: what is keyed is what is forwarded. Names are compared as they are written:
//! percent-encoding tells parameters apart, to us as to the origin.

use std::borrow::Cow;

use super::{NamePattern, Parameters, QueryPlan};

/// The target after the rule dropped, kept or sorted its query parameters.
#[must_use]
pub fn forward_target<'a>(path_and_query: &'a str, plan: &QueryPlan) -> Cow<'a, str> {
    let Some((path, query)) = path_and_query.split_once('?') else {
        return Cow::Borrowed(path_and_query);
    };
    if plan.keep == Parameters::None {
        return Cow::Borrowed(path);
    }
    let all_kept = query.split('&').all(|parameter| plan.keeps(name(parameter)));
    let sorted = !plan.sort || query.split('&').map(name).is_sorted();
    if all_kept && sorted {
        return Cow::Borrowed(path_and_query);
    }
    let mut kept: Vec<&str> =
        query.split('&').filter(|parameter| plan.keeps(name(parameter))).collect();
    if kept.is_empty() {
        return Cow::Borrowed(path);
    }
    if plan.sort {
        // Stable: the order of parameters with one name may carry meaning.
        kept.sort_by(|a, b| name(a).cmp(name(b)));
    }
    Cow::Owned(format!("{path}?{}", kept.join("&")))
}

/// The name of a parameter: what stands before the first `=`.
fn name(parameter: &str) -> &str {
    parameter.split_once('=').map_or(parameter, |(name, _)| name)
}

impl QueryPlan {
    fn keeps(&self, name: &str) -> bool {
        match &self.keep {
            Parameters::All => true,
            Parameters::None => false,
            Parameters::Only(patterns) => patterns.iter().any(|pattern| pattern.matches(name)),
            Parameters::Except(patterns) => !patterns.iter().any(|pattern| pattern.matches(name)),
        }
    }
}

impl NamePattern {
    /// Reads a name, or a beginning with a trailing `*`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(beginning) => Self::Prefix(beginning.into()),
            None => Self::Exact(text.into()),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => name == &**exact,
            Self::Prefix(beginning) => name.starts_with(&**beginning),
        }
    }
}
