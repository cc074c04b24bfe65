//! The content of a scripted response.
//!
//! In: a JSON string, or an object that says how the content is made. Out: where its octets come
//! from.

use std::fmt;

use bytes::Bytes;
use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use crate::pattern;
use crate::raw::Raw;
use crate::reply::Source;
use crate::script::template::{self, Facts};

/// What a response says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// This text, verbatim. A bare JSON string means the same.
    Text(String),
    /// This text with `{n}`, `{target}` and so on filled in.
    Template(String),
    /// These octets.
    Octets(Raw),
    /// A seeded pattern of some length.
    Pattern(Pattern),
}

/// Content made from a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// How long it is.
    pub bytes: u64,
    /// Which pattern.
    #[serde(default)]
    pub seed: Seed,
}

/// Which pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number or \"target\"")]
pub enum Seed {
    /// The one with this number.
    Number(u64),
    /// One that the request's target decides.
    Of(SeedOf),
}

/// What decides a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeedOf {
    /// The request's target, as [`pattern::seed_of`] reads it.
    Target,
}

impl Default for Seed {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Body {
    /// Where the octets come from, for this request.
    pub(crate) fn source(&self, facts: &Facts<'_>) -> Source {
        match self {
            Self::Text(text) => Source::Octets(Bytes::copy_from_slice(text.as_bytes())),
            Self::Template(text) => Source::Octets(template::expand(text.as_bytes(), facts).into()),
            Self::Octets(raw) => Source::Octets(Bytes::copy_from_slice(raw.as_bytes())),
            Self::Pattern(made) => {
                let seed = match made.seed {
                    Seed::Number(seed) => seed,
                    Seed::Of(SeedOf::Target) => pattern::seed_of(&facts.request.target),
                };
                Source::Pattern { seed, bytes: made.bytes }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BodyVisitor)
    }
}

/// The JSON object form of a body; its own type, because a bare string is one as well.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Made {
    Text(String),
    Template(String),
    Octets(Raw),
    Pattern(Pattern),
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an object with text, template, octets or pattern")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Body, E> {
        Ok(Body::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Body, A::Error> {
        Ok(match Made::deserialize(MapAccessDeserializer::new(map))? {
            Made::Text(text) => Body::Text(text),
            Made::Template(text) => Body::Template(text),
            Made::Octets(raw) => Body::Octets(raw),
            Made::Pattern(pattern) => Body::Pattern(pattern),
        })
    }
}
