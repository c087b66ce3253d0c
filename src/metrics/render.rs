//! Sums of all threads, and their text: OpenMetrics 1.0, which Prometheus reads, by prometheus-client's encoder.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::histogram::Totals;
use super::names::{BUILD_INFO, Counter, Family, FamilyKind, Gauge, Histogram, PROCESS, Unit};
use super::process::Process;

/// The `Content-Type` of what [`super::Registry::render`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All figures of one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// One a series, by [`Counter::slot`].
    pub(super) counters: Vec<u64>,
    /// One a series, by [`Gauge::slot`].
    pub(super) gauges: Vec<u64>,
    /// One a histogram.
    pub(super) histograms: Vec<Totals>,
    /// The process.
    pub(super) process: Process,
}

impl Snapshot {
    pub(super) fn render(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut out = String::with_capacity(32 * 1024);
        text::encode(&mut out, &registry).expect("a String takes what is written to it");
        out
    }

    fn histogram(&self, histogram: Histogram, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let place = histogram as usize;
        let unit = Histogram::FAMILIES[place].unit;
        let totals = &self.histograms[place];
        let bounds = Histogram::BOUNDS[place].iter().map(|bound| unit.shown(*bound));
        let buckets: Vec<(f64, u64)> =
            bounds.chain([f64::INFINITY]).zip(totals.counts.iter().copied()).collect();
        encoder.encode_histogram::<NoLabelSet>(
            unit.shown(totals.sum),
            totals.count(),
            &buckets,
            None,
        )
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encode_series(&mut encoder, Counter::FAMILIES, &self.counters)?;
        encode_series(&mut encoder, Gauge::FAMILIES, &self.gauges)?;
        for histogram in Histogram::ALL {
            let family = &Histogram::FAMILIES[*histogram as usize];
            self.histogram(*histogram, describe(&mut encoder, family)?)?;
        }
        for (family, figure) in PROCESS.iter().zip(self.process.figures()) {
            if let Some(figure) = figure {
                let mut metric = describe(&mut encoder, family)?;
                match family.kind {
                    FamilyKind::Counter => encode_counter(&mut metric, &figure)?,
                    FamilyKind::Gauge | FamilyKind::Histogram => metric.encode_gauge(&figure)?,
                }
            }
        }
        encode_series(&mut encoder, &[BUILD_INFO], &[1])
    }
}

/// Encodes `families`, whose series have `values` in the order of their slots.
fn encode_series(
    encoder: &mut DescriptorEncoder<'_>,
    families: &[Family],
    values: &[u64],
) -> fmt::Result {
    let mut values = values.iter();
    for family in families {
        let mut metric = describe(encoder, family)?;
        for place in 0..family.series() {
            let value = *values.next().expect("each series has a value");
            if family.labels.is_empty() {
                encode_value(&mut metric, family, value)?;
            } else {
                let labels = labels_of(family, place);
                encode_value(&mut metric.encode_family(&labels)?, family, value)?;
            }
        }
    }
    Ok(())
}

fn describe<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    family: &'a Family,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    let kind = match family.kind {
        FamilyKind::Counter => MetricType::Counter,
        FamilyKind::Gauge => MetricType::Gauge,
        FamilyKind::Histogram => MetricType::Histogram,
    };
    encoder.encode_descriptor(family.name, family.help, None, kind)
}

fn encode_value(encoder: &mut MetricEncoder<'_>, family: &Family, value: u64) -> fmt::Result {
    match (family.kind, family.unit) {
        (FamilyKind::Counter, Unit::One) => encode_counter(encoder, &value),
        (FamilyKind::Counter, unit) => encode_counter(encoder, &unit.shown(value)),
        (_, Unit::One) => encoder.encode_gauge(&value),
        (_, unit) => encoder.encode_gauge(&unit.shown(value)),
    }
}

fn encode_counter(encoder: &mut MetricEncoder<'_>, value: &impl EncodeCounterValue) -> fmt::Result {
    encoder.encode_counter::<NoLabelSet, _, f64>(value, None)
}

/// The labels of the series at `place` of `family`, the last label moving fastest: the reverse of `slot`.
fn labels_of(family: &Family, mut place: usize) -> Vec<(&'static str, &'static str)> {
    let mut labels: Vec<_> = family
        .labels
        .iter()
        .rev()
        .map(|(name, values)| {
            let value = values[place % values.len()];
            place /= values.len();
            (*name, value)
        })
        .collect();
    labels.reverse();
    labels
}
