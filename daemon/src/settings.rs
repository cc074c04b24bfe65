//! What an operator may say in `[node]`, `[admin]` and `[log]`.
//!
//! In: a deserializer over the node file. Out: plain values with defaults.
//! Always: each field's doc line is its entry in the reference page; each bound stands in the schema
//! (`minimum`/`maximum` for numbers, `x-kind` with `x-min`/`x-max` for sizes and durations), where
//! the `config` crate reads it, so that no bound is written twice.
//! Does not know: files, the environment, other sections, or how a problem is worded.
//! Clause: docs/operate.md *The settings file*.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Who this node is and how it uses its machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSettings {
    /// Name of this node; it stands in Via, Cache-Status, logs and metrics. It stands in CDN-Loop
    /// too, where no other CDN may use it; the default gets a random part there at each start.
    #[schemars(extend("x-kind" = "name"))]
    pub name: String,
    /// Name of the PoP that this node belongs to.
    #[schemars(extend("x-kind" = "name"))]
    pub pop: Option<String>,
    /// Number of serving threads; one per core when absent. NEARCAST_WORKERS overrides it.
    #[schemars(range(min = 1, max = 1024))]
    pub workers: Option<NonZeroUsize>,
    /// Addresses under which clients reach this node.
    #[schemars(length(max = 64))]
    pub addresses: Vec<IpAddr>,
    /// Longest wait for requests in flight after SIGTERM or SIGINT, before the process ends anyway.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1h"))]
    pub drain_deadline: Duration,
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            name: "nearcast".to_owned(),
            pop: None,
            workers: None,
            addresses: Vec::new(),
            // Orchestrators commonly kill after 30 s: leave them time to see us end by ourselves.
            drain_deadline: Duration::from_secs(25),
        }
    }
}

impl NodeSettings {
    /// Serving threads to start: the override (NEARCAST_WORKERS), else `workers`, else one per core.
    #[must_use]
    pub fn worker_count(&self, override_: Option<NonZeroUsize>) -> NonZeroUsize {
        override_
            .or(self.workers)
            .or_else(|| std::thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN)
    }
}

/// The listener for operators: health, metrics and the admin API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminSettings {
    /// Address and port of the admin listener; none when absent. Only the routes of [control] ask for a token: keep it on loopback or a private network.
    #[schemars(extend("x-kind" = "socket-address"))]
    pub listen: Option<SocketAddr>,
    /// Connections served at once; further ones wait in the kernel's backlog.
    #[schemars(range(min = 1, max = 4096))]
    pub connections_max: usize,
    /// Largest request head accepted; a larger one is answered 431.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "8 KiB", "x-max" = "256 KiB"))]
    pub header_bytes_max: ByteSize,
    /// Longest wait for a complete request head, idle time between requests included.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "1s", "x-max" = "5m"))]
    pub header_deadline: Duration,
    /// Longest work on one request; after it the answer is 503.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "1s", "x-max" = "10m"))]
    pub request_deadline: Duration,
    /// Longest life of a connection, so that a reader that stalls gives its place back.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "1s", "x-max" = "1h"))]
    pub connection_deadline: Duration,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self {
            listen: None,
            connections_max: 64,
            header_bytes_max: ByteSize::kib(16),
            header_deadline: Duration::from_secs(10),
            request_deadline: Duration::from_secs(30),
            connection_deadline: Duration::from_secs(300),
        }
    }
}

/// The operator's log (on stderr) and the access log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// Least severe message that the operator's log shows.
    pub level: LogLevel,
    /// Form of the operator's log lines.
    pub format: LogFormat,
    /// Where the access log goes: "off", "stdout", or the path of a file or FIFO. One JSON object per line.
    #[schemars(with = "String", extend("x-kind" = "path", "x-words" = ["off", "stdout"]))]
    pub access: AccessTarget,
    /// Access-log lines that each worker gathers before it hands them to the writer, in bytes.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "4 KiB", "x-max" = "1 MiB"))]
    pub access_buffer: ByteSize,
    /// Access-log bytes that wait for a slow file or FIFO, at most; what does not fit is dropped and counted.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "64 KiB", "x-max" = "1 GiB"))]
    pub access_queue: ByteSize,
    /// Time after which a line in a worker's buffer is handed on even if the buffer is not full; workers look four times a second, so it may be a quarter of a second more.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "250ms", "x-max" = "10s"))]
    pub access_delay: Duration,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            format: LogFormat::Text,
            access: AccessTarget::Off,
            access_buffer: ByteSize::kib(64),
            access_queue: ByteSize::mib(8),
            access_delay: Duration::from_secs(1),
        }
    }
}

/// Severity of a message in the operator's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something failed and needs a hand.
    Error,
    /// Something failed and we went on.
    Warn,
    /// What an operator wants to know on a quiet day.
    Info,
    /// What a developer wants to know.
    Debug,
}

/// Form of the operator's log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line per message.
    Text,
    /// One JSON object per line.
    Json,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessTarget {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// To a file (appended to) or a FIFO.
    Path(PathBuf),
}

impl fmt::Display for AccessTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Stdout => f.write_str("stdout"),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Serialize for AccessTarget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AccessTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "" => Err(de::Error::invalid_value(
                de::Unexpected::Str(""),
                &"\"off\", \"stdout\" or a path",
            )),
            "off" => Ok(Self::Off),
            "stdout" => Ok(Self::Stdout),
            _ => Ok(Self::Path(PathBuf::from(text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use humantime_serde::re::humantime;
    use serde_json::{Value, json};

    use super::*;

    fn properties<T: JsonSchema>() -> serde_json::Map<String, Value> {
        let schema = serde_json::to_value(schemars::schema_for!(T)).unwrap();
        schema["properties"].as_object().unwrap().clone()
    }

    fn magnitude(kind: &str, text: &str) -> u128 {
        match kind {
            "duration" => humantime::parse_duration(text).unwrap().as_nanos(),
            "bytes" => text.parse::<ByteSize>().unwrap().0.into(),
            other => panic!("a {other} has no magnitude"),
        }
    }

    /// Each field is documented, has a default, and its default lies within its declared bounds.
    fn assert_documented_and_bounded<T: JsonSchema>() {
        for (name, field) in properties::<T>() {
            assert!(field["description"].is_string(), "{name} has no doc line");
            let default = field.get("default").unwrap_or_else(|| panic!("{name} has no default"));
            let kind = field["x-kind"].as_str().unwrap_or("");
            if let Some(number) = default.as_u64() {
                assert!(field["minimum"].as_u64() <= Some(number), "{name}");
                assert!(field["maximum"].as_u64() >= Some(number), "{name}");
            } else if matches!(kind, "duration" | "bytes") {
                let of = |text: &Value| magnitude(kind, text.as_str().unwrap());
                assert!(of(&field["x-min"]) <= of(default), "{name}");
                assert!(of(&field["x-max"]) >= of(default), "{name}");
            } else if default.is_number() {
                panic!("{name} is an unbounded number");
            }
        }
    }

    #[test]
    fn every_setting_is_documented_and_its_default_is_in_bounds() {
        assert_documented_and_bounded::<NodeSettings>();
        assert_documented_and_bounded::<AdminSettings>();
        assert_documented_and_bounded::<LogSettings>();
    }

    #[test]
    fn an_empty_section_is_the_default() {
        assert_eq!(
            serde_json::from_value::<NodeSettings>(json!({})).unwrap(),
            NodeSettings::default()
        );
        assert_eq!(
            serde_json::from_value::<AdminSettings>(json!({})).unwrap(),
            AdminSettings::default()
        );
        assert_eq!(
            serde_json::from_value::<LogSettings>(json!({})).unwrap(),
            LogSettings::default()
        );
    }

    #[test]
    fn settings_survive_a_round_trip_and_refuse_unknown_keys() {
        let log = LogSettings {
            level: LogLevel::Debug,
            format: LogFormat::Json,
            access: AccessTarget::Path("logs/access.log".into()),
            access_buffer: ByteSize::kib(4),
            access_queue: ByteSize::mib(1),
            access_delay: Duration::from_millis(250),
        };
        let value = serde_json::to_value(&log).unwrap();
        assert_eq!(value["access_delay"], "250ms");
        assert_eq!(serde_json::from_value::<LogSettings>(value).unwrap(), log);
        assert!(serde_json::from_value::<LogSettings>(json!({"acess": "off"})).is_err());
        assert!(serde_json::from_value::<NodeSettings>(json!({"worker": 2})).is_err());
        assert!(serde_json::from_value::<AdminSettings>(json!({"port": 1})).is_err());
    }

    #[test]
    fn access_target_reads_its_words_and_paths() {
        let parse = |text: &str| serde_json::from_value::<AccessTarget>(json!(text));
        assert_eq!(parse("off").unwrap(), AccessTarget::Off);
        assert_eq!(parse("stdout").unwrap(), AccessTarget::Stdout);
        assert_eq!(parse("./off").unwrap(), AccessTarget::Path("./off".into()));
        assert!(parse("").is_err());
    }

    #[test]
    fn the_override_wins_over_workers_and_workers_over_the_machine() {
        let two = NonZeroUsize::new(2);
        let three = NonZeroUsize::new(3);
        let node = NodeSettings { workers: two, ..NodeSettings::default() };
        assert_eq!(Some(node.worker_count(None)), two);
        assert_eq!(Some(node.worker_count(three)), three);
        assert!(NodeSettings::default().worker_count(None).get() >= 1);
    }
}
