//! The kinds of strings that a node file holds, and whether a string is one.
//!
//! In: a string, its kind and its bounds. Out: nothing, or a [`Complaint`]: what is wrong, what is
//! allowed, what to do.
//! Always: durations and sizes are read by the parsers that the settings types use, so what passes
//! here deserialises; the law of hosts, URLs and names is only as strict as the edge's own.
//! Does not know: keys, files, TOML.
//! Clause: docs/operate.md *The settings file*.

mod names;

use std::{net::IpAddr, net::SocketAddr, time::Duration};

use bytesize::ByteSize;
use geodns_core::settings::CookieSecret;
use ipnet::IpNet;

use crate::shape::Text;

/// What a string must be (`x-kind` or `format` in the schema).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any string.
    Plain,
    Duration,
    Bytes,
    SocketAddress,
    Address,
    Network,
    Host,
    Authority,
    HostPattern,
    Label,
    Name,
    Path,
    PathPattern,
    FieldName,
    OriginUrl,
    NatsUrl,
    StatusTtl,
    Parameter,
    UriPath,
    RelativeName,
    CookieSecret,
}

/// Why a string is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) fault: String,
    pub(crate) allowed: String,
    pub(crate) advice: Option<String>,
}

impl Complaint {
    pub(crate) fn new(fault: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { fault: fault.into(), allowed: allowed.into(), advice: None }
    }

    pub(crate) fn advising(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

impl Kind {
    /// The kind that the schema calls `word`.
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "duration" => Self::Duration,
            "bytes" => Self::Bytes,
            "socket-address" => Self::SocketAddress,
            "address" | "ip" => Self::Address,
            "network" => Self::Network,
            "host" => Self::Host,
            "authority" => Self::Authority,
            "host-pattern" => Self::HostPattern,
            "label" => Self::Label,
            "name" => Self::Name,
            "path" => Self::Path,
            "path-pattern" => Self::PathPattern,
            "field-name" => Self::FieldName,
            "origin-url" => Self::OriginUrl,
            "nats-url" => Self::NatsUrl,
            "status-ttl" => Self::StatusTtl,
            "parameter" => Self::Parameter,
            "uri-path" => Self::UriPath,
            "relative-name" => Self::RelativeName,
            "cookie-secret" => Self::CookieSecret,
            _ => Self::Plain,
        }
    }

    /// What it is called in the singular, for "not …" and for the reference.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Plain => "a string",
            Self::Duration | Self::StatusTtl => "a duration",
            Self::Bytes => "a size",
            Self::SocketAddress => "an address with a port",
            Self::Address => "an IP address",
            Self::Network => "a network",
            Self::Host => "a host name",
            Self::Authority => "a host name with or without a port",
            Self::HostPattern => "a host name or pattern",
            Self::Label => "a label",
            Self::Name => "a name",
            Self::Path => "a path",
            Self::PathPattern => "a path pattern",
            Self::FieldName => "a field name",
            Self::OriginUrl => "an origin URL",
            Self::NatsUrl => "the URL of a NATS server",
            Self::Parameter => "a parameter name",
            Self::UriPath => "the path of a URL",
            Self::RelativeName => "a name relative to a zone",
            Self::CookieSecret => "a cookie secret",
        }
    }

    /// What is allowed, in words; bounds are the caller's to add.
    pub(crate) fn allowed(self) -> &'static str {
        match self {
            Self::Plain => "a string in quotes",
            Self::Duration | Self::StatusTtl => {
                "a number with a unit, as \"90s\", \"5m\" or \"1 day\""
            }
            Self::Bytes => "a number with a unit, as \"512 KiB\", \"64 MiB\" or \"1 GiB\"",
            Self::SocketAddress => "IP:PORT, as \"0.0.0.0:80\" or \"[::]:80\"",
            Self::Address => "an address without a port, as \"192.0.2.6\" or \"2001:db8::6\"",
            Self::Network => "ADDRESS/BITS, as \"10.0.0.0/8\" or \"2001:db8::/32\"",
            Self::Host => "a host name, as \"www.example.com\"",
            Self::Authority => "HOST or HOST:PORT, as \"www.example.com\"",
            Self::HostPattern => "\"www.example.com\", \"*.example.com\" or \"*\"",
            Self::Label => "1 to 63 of a-z, 0-9 and '-', no '-' at an end",
            Self::Name => "1 to 64 letters, digits, '-', '_' and '.', a letter or digit first",
            Self::Path => "a file's path, relative to the folder of this file or absolute",
            Self::PathPattern => "a path from its '/', as \"/index.html\" or \"/img/*\", or \"*\"",
            Self::FieldName => "a field name, as \"Accept-Language\"",
            Self::OriginUrl => {
                "http://host[:port] or https://host[:port], or http+srv://name or https+srv://name"
            }
            Self::NatsUrl => "nats://host[:port] or tls://host[:port]",
            Self::Parameter => "a parameter name, or the start of one and '*'",
            Self::UriPath => "a path from its '/', as \"/health\"",
            Self::RelativeName => "\"www\", \"*.img\", or \"@\" for the zone's own name",
            Self::CookieSecret => "32 hexadecimal digits, as `openssl rand -hex 16` prints them",
        }
    }
}

impl Text {
    /// What is allowed, bounds and words included.
    pub(crate) fn allowed(&self) -> String {
        let mut allowed = String::new();
        for word in &self.words {
            allowed.push_str(&format!("\"{word}\" or "));
        }
        allowed.push_str(self.kind.allowed());
        if let (Some(min), Some(max)) = (&self.min, &self.max) {
            allowed.push_str(&format!(", from {min} to {max}"));
        }
        allowed
    }

    /// Whether `value` is one.
    pub(crate) fn check(&self, value: &str) -> Result<(), Complaint> {
        if self.words.iter().any(|word| word == value) {
            return Ok(());
        }
        let wrong = || Complaint::new(format!("not {}", self.kind.noun()), self.allowed());
        let parsed = |right: bool| if right { Ok(()) } else { Err(wrong()) };
        match self.kind {
            Kind::Plain => Ok(()),
            Kind::Duration | Kind::StatusTtl => self.check_duration(value),
            Kind::Bytes => self.check_bytes(value),
            Kind::SocketAddress => socket_address(value).map_err(|advice| advised(wrong(), advice)),
            Kind::Address => parsed(value.parse::<IpAddr>().is_ok()),
            Kind::Network => network(value).map_err(|advice| advised(wrong(), advice)),
            Kind::Host => names::host(value).map_err(|advice| advised(wrong(), advice)),
            Kind::Authority => names::authority(value).map_err(|advice| advised(wrong(), advice)),
            Kind::HostPattern => {
                names::host_pattern(value).map_err(|advice| advised(wrong(), advice))
            }
            Kind::Label => names::label(value).map_err(|advice| advised(wrong(), advice)),
            Kind::Name => parsed(names::is_name(value)),
            Kind::Path => parsed(!value.is_empty() && !value.contains('\0')),
            Kind::PathPattern => {
                names::path_pattern(value).map_err(|advice| advised(wrong(), advice))
            }
            Kind::FieldName => parsed(names::is_token(value)),
            Kind::OriginUrl => names::origin_url(value).map_err(|advice| advised(wrong(), advice)),
            Kind::NatsUrl => names::nats_url(value).map_err(|advice| advised(wrong(), advice)),
            Kind::Parameter => parsed(!value.is_empty()),
            Kind::UriPath => names::uri_path(value).map_err(|advice| advised(wrong(), advice)),
            Kind::RelativeName => {
                names::relative_name(value).map_err(|advice| advised(wrong(), advice))
            }
            Kind::CookieSecret => parsed(CookieSecret::parse(value).is_some()),
        }
    }

    /// The amount that a duration (in nanoseconds) or a size (in bytes) says.
    pub(crate) fn amount(&self, value: &str) -> Option<u128> {
        match self.kind {
            Kind::Duration | Kind::StatusTtl => duration(value).map(|time| time.as_nanos()),
            Kind::Bytes => bytes(value).map(u128::from),
            _ => None,
        }
    }

    fn check_duration(&self, value: &str) -> Result<(), Complaint> {
        let wrong = || Complaint::new(format!("not {}", self.kind.noun()), self.allowed());
        if duration(value).is_none() {
            let number = value.trim().parse::<u64>();
            return Err(match number {
                Ok(number) => wrong().advising(format!("for seconds write \"{number}s\"")),
                Err(_) => wrong(),
            });
        }
        self.check_bounds(value)
    }

    fn check_bytes(&self, value: &str) -> Result<(), Complaint> {
        if bytes(value).is_none() {
            let fault = format!("not {}", self.kind.noun());
            return Err(Complaint::new(fault, self.allowed()));
        }
        self.check_bounds(value)
    }

    fn check_bounds(&self, value: &str) -> Result<(), Complaint> {
        let amount = self.amount(value);
        let bound = |bound: &Option<String>| bound.as_ref().and_then(|text| self.amount(text));
        let fault = match (bound(&self.min), bound(&self.max)) {
            (Some(min), _) if amount < Some(min) => "too small",
            (_, Some(max)) if amount > Some(max) => "too large",
            _ => return Ok(()),
        };
        let (min, max) = (self.min.as_deref(), self.max.as_deref());
        let allowed = format!("from {} to {}", min.unwrap_or("0"), max.unwrap_or("any"));
        Err(Complaint::new(fault, allowed))
    }
}

fn advised(complaint: Complaint, advice: Option<String>) -> Complaint {
    Complaint { advice, ..complaint }
}

/// Reads a duration as the settings types do.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

/// Reads a size as the settings types do.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    text.parse::<ByteSize>().ok().map(|size| size.0)
}

fn socket_address(text: &str) -> Result<(), Option<String>> {
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        let example = SocketAddr::new(address, 80);
        return Err(Some(format!("add a port: \"{example}\"")));
    }
    match text.rsplit_once(':') {
        Some(("" | "*", port)) if port.parse::<u16>().is_ok() => {
            Err(Some(format!("for all addresses write \"0.0.0.0:{port}\" and \"[::]:{port}\"")))
        }
        Some((address, port))
            if port.parse::<u16>().is_err() && address.parse::<IpAddr>().is_ok() =>
        {
            Err(Some("a port is a number from 0 to 65535".to_owned()))
        }
        Some(_) => Err(None),
        None => match text.parse::<u16>() {
            Ok(port) => Err(Some(format!("add an address: \"0.0.0.0:{port}\""))),
            Err(_) => Err(None),
        },
    }
}

fn network(text: &str) -> Result<(), Option<String>> {
    match text.parse::<IpNet>() {
        Ok(network) if network.addr() == network.network() => Ok(()),
        Ok(network) => Err(Some(format!("did you mean \"{}\"?", network.trunc()))),
        Err(_) => Err(text
            .parse::<IpAddr>()
            .ok()
            .map(|address| format!("for one address write \"{}\"", IpNet::from(address)))),
    }
}

#[cfg(test)]
mod tests;
