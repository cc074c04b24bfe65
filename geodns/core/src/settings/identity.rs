//! What an operator may say about cookies and about what this server tells of itself.
//!
//! Always holds: a secret is printed neither by `Debug` nor by serde, and no fault repeats it.

use std::{fmt, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::wire::cookie::{Secret, Secrets};

/// `geodns.cookies`: proof that a client has the address that it asks from (RFC 7873).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CookieSettings {
    /// Whether cookies are answered; who sends a good one is not rate limited.
    pub enabled: bool,
    /// The secrets, each 32 hexadecimal digits: the first makes cookies, a second is accepted as
    /// well, so that all nodes can change theirs one after the other (RFC 9018 §5). Nodes that
    /// answer at one address need the same. Without any, a node draws its own when it starts.
    #[schemars(with = "Vec<String>", length(max = 2), extend("x-kind" = "cookie-secret"))]
    pub secrets: Vec<CookieSecret>,
    /// A file with the secrets, one on a line, instead of `secrets`.
    #[schemars(with = "Option<String>", extend("x-kind" = "path", "x-example" = "cookie-secrets.txt"))]
    pub secrets_file: Option<PathBuf>,
}

impl Default for CookieSettings {
    fn default() -> Self {
        Self { enabled: true, secrets: Vec::new(), secrets_file: None }
    }
}

/// A secret as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieSecret(Secret);

impl CookieSecret {
    /// Reads 32 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return None;
        }
        let mut key = [0; 16];
        for (to, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let &[high, low] = pair else { return None };
            *to = (digit(high)? << 4) | digit(low)?;
        }
        Some(Self(Secret::new(key)))
    }

    /// The keys that one or two secrets come to.
    #[must_use]
    pub fn keys(secrets: &[Self]) -> Option<Secrets> {
        let (current, others) = secrets.split_first()?;
        Some(Secrets { current: current.0, other: others.first().map(|other| other.0) })
    }
}

fn digit(character: u8) -> Option<u8> {
    u8::try_from(char::from(character).to_digit(16)?).ok()
}

impl<'de> Deserialize<'de> for CookieSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // The fault must not repeat what it is about.
        Self::parse(&text).ok_or_else(|| de::Error::custom("not 32 hexadecimal digits"))
    }
}

/// Says that there is a secret, never which.
impl Serialize for CookieSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(secret)")
    }
}

/// Whether and what a server tells of itself, to NSID (RFC 5001) and `id.server` (RFC 4892).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// The node's name.
    #[default]
    Node,
    /// Nothing.
    Off,
    /// This.
    Text(Box<str>),
}

impl Identity {
    /// What is told by the node of this name.
    #[must_use]
    pub fn of<'s>(&'s self, node: &'s str) -> Option<&'s str> {
        match self {
            Self::Node => Some(node),
            Self::Off => None,
            Self::Text(text) => Some(text),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Off => "off",
            Self::Text(text) => text,
        })
    }
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "node" => Self::Node,
            "off" => Self::Off,
            _ => Self::Text(text.into()),
        })
    }
}
