//! How full an endpoint says it is.
//!
//! In: the value of a field `Endpoint-Load-Metrics`, in the text form of ORCA, which Envoy and gRPC
//! read as well: `TEXT application_utilization=0.83, cpu_utilization=0.5`. Out: a share.
//! Always holds: what cannot be read is no report, and never one of an endpoint that is idle; of two
//! metrics that say how full it is, the application's own goes before that of its processors.
//!
//! The clause is custom, not RFC: xds.data.orca.v3.OrcaLoadReport.

use crate::standing::PerMille;

/// The field.
pub const FIELD: &str = "endpoint-load-metrics";

/// What says how full an endpoint is, of 1; the first that is there counts.
const METRICS: [&str; 2] = ["application_utilization", "cpu_utilization"];

/// How full the endpoint is whose answer has this field.
#[must_use]
pub fn load(field: &str) -> Option<PerMille> {
    let (form, metrics) = field.trim().split_once(' ')?;
    if form != "TEXT" {
        return None;
    }
    let metric = |name: &&str| {
        let mut all = metrics.split(',').filter_map(|metric| metric.split_once('='));
        all.find(|(key, _)| key.trim() == *name).map(|(_, value)| value.trim())
    };
    share(METRICS.iter().find_map(metric)?.parse().ok()?)
}

fn share(of_one: f64) -> Option<PerMille> {
    if !of_one.is_finite() || of_one < 0.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is a whole number between 0 and the largest"
    )]
    let per_mille = (of_one * 1000.0).round().min(f64::from(u16::MAX)) as u16;
    Some(PerMille(per_mille))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_and_nothing_else() {
        let rows = [
            ("TEXT cpu_utilization=0.3", Some(300)),
            ("TEXT application_utilization=0.83, cpu_utilization=0.5", Some(830)),
            ("TEXT cpu_utilization=0.5,application_utilization=0.83", Some(830)),
            ("TEXT mem_utilization=0.9, cpu_utilization = 1.25 ", Some(1250)),
            ("TEXT application_utilization=0", Some(0)),
            ("TEXT cpu_utilization=1e9", Some(u16::MAX)),
            ("TEXT named_metrics.cpu_utilization=0.3", None),
            ("TEXT mem_utilization=0.9", None),
            ("TEXT application_utilization=many, cpu_utilization=0.5", None),
            ("TEXT cpu_utilization=-0.1", None),
            ("TEXT cpu_utilization=NaN", None),
            ("TEXT cpu_utilization=inf", None),
            ("TEXT cpu_utilization=", None),
            ("cpu_utilization=0.3", None),
            ("JSON {\"cpu_utilization\": 0.3}", None),
            ("TEXT", None),
            ("", None),
        ];
        for (field, expected) in rows {
            assert_eq!(load(field), expected.map(PerMille), "{field}");
        }
    }
}
