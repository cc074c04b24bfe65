//! What an operator may say about encrypted transports and about the query log.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `geodns.tls`: encrypted transports; each is there if it has an address.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// A PEM file with the certificate and those between it and its authority.
    #[schemars(with = "Option<String>", extend("x-kind" = "path", "x-example" = "geodns.pem"))]
    pub certificate: Option<PathBuf>,
    /// A PEM file with the certificate's private key.
    #[schemars(with = "Option<String>", extend("x-kind" = "path", "x-example" = "geodns.key"))]
    pub key: Option<PathBuf>,
    /// Addresses and ports for DNS over TLS (RFC 7858); its own port is 853.
    #[schemars(with = "Vec<String>", length(max = 64), extend("x-kind" = "socket-address"))]
    pub dot: Vec<SocketAddr>,
    /// Addresses and ports for DNS over HTTPS (RFC 8484), HTTP/2 over TCP; its own port is 443.
    #[schemars(with = "Vec<String>", length(max = 64), extend("x-kind" = "socket-address"))]
    pub doh: Vec<SocketAddr>,
    /// Addresses and ports for DNS over QUIC (RFC 9250), over UDP; its own port is 853.
    #[schemars(with = "Vec<String>", length(max = 64), extend("x-kind" = "socket-address"))]
    pub doq: Vec<SocketAddr>,
    /// The path of DNS over HTTPS.
    #[schemars(extend("x-kind" = "uri-path"))]
    pub doh_path: String,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            dot: Vec::new(),
            doh: Vec::new(),
            doq: Vec::new(),
            doh_path: "/dns-query".to_owned(),
        }
    }
}

/// `geodns.query_log`: a sample of all queries, one JSON object per line.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueryLogSettings {
    /// Where it goes: "off", "stdout", or the path of a file or FIFO.
    #[schemars(with = "String", extend("x-kind" = "path", "x-words" = ["off", "stdout"]))]
    pub target: QueryTarget,
    /// The share of queries that it has, in percent.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub sample_percent: f64,
    /// Lines that each worker gathers before it hands them to the writer, in bytes.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "4 KiB", "x-max" = "1 MiB"))]
    pub buffer: ByteSize,
    /// Bytes that wait for a slow file or FIFO, at most; what does not fit is dropped and counted.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "64 KiB", "x-max" = "1 GiB"))]
    pub queue: ByteSize,
    /// Time after which a line in a worker's buffer is handed on even if the buffer is not full.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "250ms", "x-max" = "10s"))]
    #[serde(with = "humantime_serde")]
    pub delay: Duration,
}

impl Default for QueryLogSettings {
    fn default() -> Self {
        Self {
            target: QueryTarget::Off,
            sample_percent: 1.0,
            buffer: ByteSize::kib(64),
            queue: ByteSize::mib(8),
            delay: Duration::from_secs(1),
        }
    }
}

/// Where the query log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum QueryTarget {
    /// Nowhere.
    #[default]
    Off,
    /// To standard output.
    Stdout,
    /// To a file (appended to) or a FIFO.
    Path(PathBuf),
}

impl fmt::Display for QueryTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Stdout => f.write_str("stdout"),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Serialize for QueryTarget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for QueryTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "off" => Self::Off,
            "stdout" => Self::Stdout,
            _ => Self::Path(PathBuf::from(text)),
        })
    }
}
