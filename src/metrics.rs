//! Counters, and the sheet on which Prometheus reads them.
//!
//! Rooms count in relaxed atomics of their own, since a counter must cost next to nothing where it
//! is counted; only when somebody asks are they put on a [`Sheet`], each with a sentence that says
//! what it means. Who counts what is decided in the rooms; here is only how it is written down.

use std::fmt;
use std::sync::Mutex;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// The names and values of a sample's labels.
pub type Labels = Vec<(&'static str, String)>;

/// What Prometheus reads, in the making.
#[derive(Debug, Default)]
pub struct Sheet {
    families: Vec<Family>,
}

#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    samples: Samples,
}

#[derive(Debug)]
enum Samples {
    Counter(Vec<(Labels, u64)>),
    Gauge(Vec<(Labels, f64)>),
}

impl Sheet {
    /// A sheet without lines.
    #[must_use]
    pub fn new() -> Sheet {
        Sheet::default()
    }

    /// A figure that only grows. Its name gets `_total` at its end.
    pub fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.counters(name, help, [(Vec::new(), value)]);
    }

    /// One figure that only grows for each of several labels.
    pub fn counters(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let samples = Samples::Counter(samples.into_iter().collect());
        self.families.push(Family {
            name,
            help,
            samples,
        });
    }

    /// A figure that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.gauges(name, help, [(Vec::new(), value)]);
    }

    /// One figure that goes up and down for each of several labels.
    pub fn gauges(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let samples = Samples::Gauge(samples.into_iter().collect());
        self.families.push(Family {
            name,
            help,
            samples,
        });
    }

    /// The sheet in the OpenMetrics text format.
    #[must_use]
    pub fn into_text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Collected(Mutex::new(self.families))));
        let mut text = String::new();
        // Writing to a string fails only if a formatter does, and none of ours can.
        let _ = text::encode(&mut text, &registry);
        text
    }
}

/// The registry wants something that can be read again and again, from any thread.
#[derive(Debug)]
struct Collected(Mutex<Vec<Family>>);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let families = self.0.lock().map_err(|_| fmt::Error)?;
        for family in families.iter() {
            match &family.samples {
                Samples::Counter(samples) => {
                    let metric = |value: &u64| ConstCounter::new(*value);
                    family.encode(&mut encoder, samples, metric)?;
                }
                Samples::Gauge(samples) => {
                    let metric = |value: &f64| ConstGauge::new(*value);
                    family.encode(&mut encoder, samples, metric)?;
                }
            }
        }
        Ok(())
    }
}

impl Family {
    fn encode<V, M: EncodeMetric>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        samples: &[(Labels, V)],
        metric: impl Fn(&V) -> M,
    ) -> Result<(), fmt::Error> {
        let Some((_, first)) = samples.first() else {
            return Ok(());
        };
        let kind = metric(first).metric_type();
        let mut family = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        if let [(labels, value)] = samples
            && labels.is_empty()
        {
            return metric(value).encode(family);
        }
        for (labels, value) in samples {
            metric(value).encode(family.encode_family(labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_reads_as_prometheus_wants_it() {
        let mut sheet = Sheet::new();
        sheet.counter("reads", "Reads", 3);
        sheet.gauges(
            "members",
            "Members",
            [(vec![("state", "up".to_owned())], 2.0)],
        );
        let text = sheet.into_text();
        assert_eq!(
            text,
            "# HELP reads Reads\n# TYPE reads counter\nreads_total 3\n\
             # HELP members Members\n# TYPE members gauge\nmembers{state=\"up\"} 2.0\n# EOF\n"
        );
    }
}
