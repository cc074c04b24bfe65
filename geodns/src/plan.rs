//! From a node file to what a server is to do.
//!
//! In: a checked node file. Out: [`Plan`], [`Addresses`], and where the query log goes. Always holds:
//! every setting has its one place here or in the core's own builders.
//! It deliberately opens nothing.

use std::sync::Arc;

use geodns_core::settings::{GeodnsLimits, GeodnsSettings, QueryTarget};
use nearcast_config::{NodeConfig, geodns::GeodnsConfig};
use nearcast_daemon::settings::{AccessTarget, LogSettings};

use crate::{
    limits::StreamLimits,
    listen::Addresses,
    server::{Plan, Sites, ZonePlan},
    tls::CertificateFiles,
};

impl Plan {
    /// What the file's `[geodns]` is to do; nothing, where it has none.
    #[must_use]
    pub fn of(config: &NodeConfig) -> Option<Self> {
        let GeodnsConfig { settings, zones, fleet, cookie_secrets, .. } = config.geodns.as_ref()?;
        let zone = |zone: &nearcast_config::geodns::ZoneConfig| ZonePlan {
            apex: zone.apex.clone(),
            records: zone.records.clone(),
        };
        Some(Self {
            zones: zones.iter().map(zone).collect(),
            fleet: Arc::new(fleet.clone()),
            nodes: Arc::default(),
            sites: Sites {
                names: config.sites.iter().map(|site| site.name.as_str().into()).collect(),
                revision: 0,
            },
            node: config.node.name.clone(),
            secrets: *cookie_secrets,
            certificate: certificate(settings),
            streams: streams(settings),
            probes_max: usize::try_from(settings.limits.probes_max).unwrap_or(usize::MAX),
            lame_duck: settings.lame_duck,
            settings: settings.clone(),
        })
    }
}

/// Where a server listens by its settings.
#[must_use]
pub fn addresses(settings: &GeodnsSettings) -> Addresses {
    let tls = &settings.tls;
    Addresses {
        dns: settings.listen.clone(),
        tls: tls.dot.clone(),
        https: tls.doh.clone(),
        quic: tls.doq.clone(),
    }
}

/// The query log's settings, as those of any log of lines, and which queries it has: one in so many,
/// 0 for none.
#[must_use]
pub fn query_log(settings: &GeodnsSettings) -> (LogSettings, u32) {
    let log = &settings.query_log;
    let access = match &log.target {
        QueryTarget::Off => AccessTarget::Off,
        QueryTarget::Stdout => AccessTarget::Stdout,
        QueryTarget::Path(path) => AccessTarget::Path(path.clone()),
    };
    let lines = LogSettings {
        access,
        access_buffer: log.buffer,
        access_queue: log.queue,
        access_delay: log.delay,
        ..LogSettings::default()
    };
    (lines, one_in(log.sample_percent))
}

/// The nearest "one in so many" to a share in percent.
fn one_in(percent: f64) -> u32 {
    if percent <= 0.0 {
        return 0;
    }
    let every = (100.0 / percent).round().clamp(1.0, f64::from(u32::MAX));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is a whole number between 1 and the largest"
    )]
    let every = every as u32;
    every
}

fn certificate(settings: &GeodnsSettings) -> Option<CertificateFiles> {
    let tls = &settings.tls;
    let chain = tls.certificate.clone()?;
    Some(CertificateFiles { chain, key: tls.key.clone()? })
}

/// What its connections may cost.
#[must_use]
pub fn streams(settings: &GeodnsSettings) -> StreamLimits {
    let GeodnsLimits {
        connections_max,
        connections_per_network_max,
        queries_in_flight_max,
        handshake_timeout,
        idle_timeout,
        query_timeout,
        write_timeout,
        ..
    } = settings.limits;
    StreamLimits {
        connections_max,
        connections_per_network_max,
        idle_timeout,
        query_timeout,
        write_timeout,
        handshake_timeout,
        streams_max: queries_in_flight_max,
        https_path: settings.tls.doh_path.as_str().into(),
        ..StreamLimits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is allowed is what the loop over UDP can send.
    #[test]
    fn udp_bytes_max_ends_where_a_datagram_does() {
        let schema = nearcast_config::reference::schema_page();
        let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
        let law = &schema["$defs"]["GeodnsSettings"]["properties"]["udp_bytes_max"];
        assert_eq!(law["maximum"], crate::udp::DATAGRAM_BYTES);
    }

    #[test]
    fn a_share_in_percent_is_one_in_so_many() {
        let rows = [(0.0, 0), (-1.0, 0), (100.0, 1), (50.0, 2), (1.0, 100), (0.1, 1000)];
        for (percent, every) in rows {
            assert_eq!(one_in(percent), every, "{percent} %");
        }
        assert_eq!(one_in(1e-12), u32::MAX);
    }
}
