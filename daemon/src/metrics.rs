//! The page that a monitoring system scrapes.
//!
//! In: sources, each a function that reads live numbers when asked. Out: OpenMetrics text.
//! Always: nothing is computed between scrapes; every name carries the prefix `nearcast_`; a scrape
//! works under a lock that no serving thread ever takes.
//! Does not know: what is counted, or HTTP.
//! Clause: OpenMetrics 1.0; docs/operate.md *What is going on*.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use crate::sharded::{BOUNDS_MICROS, BUCKETS, Distribution};

/// The media type of `Metrics::encode`'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Name and value of each label of a sample.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// All metrics of this process. Clones share one state.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { registry: Arc::new(Mutex::new(Registry::with_prefix("nearcast"))) }
    }
}

impl Metrics {
    /// No metrics yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a source: it writes its families, each with all its samples, at every scrape.
    /// A family belongs to one source.
    pub fn register<F>(&self, source: F)
    where
        F: Fn(&mut Scrape<'_>) -> fmt::Result + Send + Sync + 'static,
    {
        self.registry.lock().register_collector(Box::new(Source(source)));
    }

    /// All metrics as OpenMetrics text.
    ///
    /// # Errors
    /// When a source fails; none of this crate's does.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock())?;
        debug_assert!(each_family_stands_once(&text), "two sources write one family");
        Ok(text)
    }
}

fn each_family_stands_once(text: &str) -> bool {
    let mut families: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    families.sort_unstable();
    families.windows(2).all(|pair| pair.first() != pair.last())
}

struct Source<F>(F);

impl<F> fmt::Debug for Source<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl<F> Collector for Source<F>
where
    F: Fn(&mut Scrape<'_>) -> fmt::Result + Send + Sync + 'static,
{
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        (self.0)(&mut Scrape { encoder })
    }
}

/// One scrape, as a source sees it.
#[derive(Debug)]
pub struct Scrape<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Scrape<'_> {
    /// Opens a family of counters; `_total` is added to `name`.
    ///
    /// # Errors
    /// When the page cannot be written.
    pub fn counter<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
    ) -> Result<CounterFamily<'s>, fmt::Error> {
        let family = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        Ok(CounterFamily(family))
    }

    /// Opens a family of gauges.
    ///
    /// # Errors
    /// When the page cannot be written.
    pub fn gauge<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
    ) -> Result<GaugeFamily<'s>, fmt::Error> {
        let family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        Ok(GaugeFamily(family))
    }

    /// Opens a family of histograms of seconds; let `name` end in `_seconds`.
    ///
    /// # Errors
    /// When the page cannot be written.
    pub fn histogram<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
    ) -> Result<HistogramFamily<'s>, fmt::Error> {
        let family = self.encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        Ok(HistogramFamily(family))
    }
}

/// An open family of counters.
#[derive(Debug)]
pub struct CounterFamily<'a>(MetricEncoder<'a>);

impl CounterFamily<'_> {
    /// Writes one sample.
    ///
    /// # Errors
    /// When the page cannot be written.
    pub fn sample(&mut self, labels: Labels<'_>, value: u64) -> fmt::Result {
        type NoExemplar<'e> = Exemplar<[(&'e str, &'e str); 0], u64>;
        labelled(&mut self.0, labels, |metric| {
            metric.encode_counter(&value, None::<&NoExemplar<'_>>)
        })
    }
}

/// An open family of gauges.
#[derive(Debug)]
pub struct GaugeFamily<'a>(MetricEncoder<'a>);

impl GaugeFamily<'_> {
    /// Writes one sample.
    ///
    /// # Errors
    /// When the page cannot be written.
    pub fn sample(
        &mut self,
        labels: Labels<'_>,
        value: impl EncodeGaugeValue + Copy,
    ) -> fmt::Result {
        labelled(&mut self.0, labels, |metric| metric.encode_gauge(&value))
    }
}

/// An open family of histograms.
#[derive(Debug)]
pub struct HistogramFamily<'a>(MetricEncoder<'a>);

impl HistogramFamily<'_> {
    /// Writes one sample.
    ///
    /// # Errors
    /// When the page cannot be written.
    pub fn sample(&mut self, labels: Labels<'_>, value: &Distribution) -> fmt::Result {
        let buckets: [(f64, u64); BUCKETS] = std::array::from_fn(|bucket| {
            let bound = BOUNDS_MICROS
                .get(bucket)
                .map_or(f64::INFINITY, |&micros| Duration::from_micros(micros).as_secs_f64());
            (bound, value.counts.get(bucket).copied().unwrap_or_default())
        });
        labelled(&mut self.0, labels, |metric| {
            metric.encode_histogram::<[(&str, &str); 0]>(
                value.sum.as_secs_f64(),
                value.count(),
                &buckets,
                None,
            )
        })
    }
}

/// Writes a sample under its labels, and a sample without labels without empty braces.
fn labelled(
    family: &mut MetricEncoder<'_>,
    labels: Labels<'_>,
    write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if labels.is_empty() {
        return write(family);
    }
    write(&mut family.encode_family(&labels)?)
}

#[cfg(test)]
mod tests {
    use crate::sharded::{ShardedCounters, ShardedHistogram};

    use super::*;

    #[test]
    fn families_are_written_with_prefix_labels_and_end_mark() {
        let metrics = Metrics::new();
        let requests = Arc::new(ShardedCounters::new(2, 2));
        let counted = Arc::clone(&requests);
        metrics.register(move |scrape| {
            let mut family = scrape.counter("requests", "Requests by outcome.")?;
            family.sample(&[("site", "shop"), ("outcome", "hit")], counted.sum(0))?;
            family.sample(&[("site", "a\"b"), ("outcome", "miss")], counted.sum(1))
        });
        metrics.register(|scrape| scrape.gauge("open", "Open.")?.sample(&[], 7_i64));
        requests.record(0, 0);
        requests.record(1, 0);
        let expected = "# HELP nearcast_requests Requests by outcome.\n\
            # TYPE nearcast_requests counter\n\
            nearcast_requests_total{site=\"shop\",outcome=\"hit\"} 2\n\
            nearcast_requests_total{site=\"a\\\"b\",outcome=\"miss\"} 0\n\
            # HELP nearcast_open Open.\n\
            # TYPE nearcast_open gauge\n\
            nearcast_open 7\n\
            # EOF\n";
        assert_eq!(metrics.encode().unwrap(), expected);
    }

    #[test]
    fn histogram_buckets_are_cumulated_and_in_seconds() {
        let metrics = Metrics::new();
        let histogram = ShardedHistogram::new(1, 1);
        for micros in [40, 50, 51, 70_000_000] {
            histogram.record(0, 0, Duration::from_micros(micros));
        }
        let read = histogram.sum(0);
        metrics.register(move |scrape| {
            scrape.histogram("wait_seconds", "Wait.")?.sample(&[("site", "shop")], &read)
        });
        let text = metrics.encode().unwrap();
        for line in [
            "nearcast_wait_seconds_count{site=\"shop\"} 4",
            "nearcast_wait_seconds_sum{site=\"shop\"} 70.000141",
            "nearcast_wait_seconds_bucket{le=\"0.00005\",site=\"shop\"} 2",
            "nearcast_wait_seconds_bucket{le=\"0.0001\",site=\"shop\"} 3",
            "nearcast_wait_seconds_bucket{le=\"60.0\",site=\"shop\"} 3",
            "nearcast_wait_seconds_bucket{le=\"+Inf\",site=\"shop\"} 4",
        ] {
            assert!(text.lines().any(|have| have == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn a_family_written_twice_is_noticed() {
        assert!(each_family_stands_once("# TYPE a counter\n# TYPE b counter\n"));
        assert!(!each_family_stands_once("# TYPE a counter\n# TYPE b gauge\n# TYPE a counter\n"));
    }
}
