//! What a run found: what it was told, its figures, latencies and courses over time, and what was wrong.
//!
//! Knows nothing of how it is shown: `report::table` and `report::figures` are for people and scripts, `html` for a browser, and
//! `output` puts them where they belong.

pub(crate) mod amount;
pub(crate) mod comparison;
mod figures;
mod setting;
mod table;

use std::borrow::Cow;

use hdrhistogram::Histogram;
use serde_json::Value;

pub(crate) use self::comparison::{Comparison, Measure, Subject};
pub(crate) use self::figures::Figures;
pub(crate) use self::setting::Setting;
use crate::failif::Condition;
use crate::faults::Faults;

/// The percentiles of a latency that are told, with the end of their key and their quantile; the greatest one stands beside.
pub(crate) const PERCENTILES: [(&str, f64); 4] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// The outcome of one run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The subcommand.
    pub(crate) name: &'static str,
    pub(crate) parameters: Vec<(String, Value)>,
    pub(crate) rows: Vec<Row>,
    pub(crate) latencies: Vec<Latency>,
    pub(crate) courses: Vec<Course>,
    pub(crate) comparisons: Vec<Comparison>,
    /// What was wrong; a run with a fault failed.
    pub(crate) faults: Faults,
    /// The conditions that held, in words; a run with such a one failed, too.
    pub(crate) failed_if: Vec<String>,
    /// Where and when it took place; read when it is over.
    pub(crate) setting: Setting,
}

/// A figure. Its name, in words, is unique in a report together with its unit.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) value: Value,
    /// Empty where it is a count, a ratio or a word.
    pub(crate) unit: Cow<'static, str>,
}

/// How long something took, each time.
#[derive(Debug)]
pub(crate) struct Latency {
    pub(crate) name: String,
    /// Microseconds.
    pub(crate) histogram: Histogram<u64>,
}

/// How a figure went over time.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) name: String,
    pub(crate) unit: Cow<'static, str>,
    /// Seconds since the start of the measured time, and the figure then.
    pub(crate) points: Vec<(f64, f64)>,
}

impl Report {
    /// An empty one.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    /// Adds what the run was told: a count of sessions, a rate, a seed, the server's version.
    pub(crate) fn parameter(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.parameters.push((name.into(), value.into()));
    }

    /// Adds those parameters that the run did not name itself.
    pub(crate) fn also_told(&mut self, told: Vec<(String, Value)>) {
        let own = self.parameters.len();
        for (name, value) in told {
            if !self.parameters[..own].iter().any(|(known, _)| *known == name) {
                self.parameters.push((name, value));
            }
        }
    }

    /// Adds a figure; `unit` may be empty.
    pub(crate) fn row(
        &mut self,
        name: impl Into<String>,
        value: impl Into<Value>,
        unit: impl Into<Cow<'static, str>>,
    ) {
        self.rows.push(Row { name: name.into(), value: value.into(), unit: unit.into() });
    }

    /// Adds `histogram`, which counts microseconds: its percentiles are figures, and its curve is drawn.
    pub(crate) fn latency(&mut self, name: impl Into<String>, histogram: &Histogram<u64>) {
        self.latencies.push(Latency { name: name.into(), histogram: histogram.clone() });
    }

    /// Adds how a figure went over time: `points` are seconds since the start of the measured time, which rise, and the figure
    /// then.
    pub(crate) fn series(
        &mut self,
        name: impl Into<String>,
        unit: impl Into<Cow<'static, str>>,
        points: Vec<(f64, f64)>,
    ) {
        self.courses.push(Course { name: name.into(), unit: unit.into(), points });
    }

    /// Holds the figures against each of `conditions`. An error, after all others were looked at, where one is of no figure here.
    pub(crate) fn fail_if(&mut self, conditions: &[Condition]) -> anyhow::Result<()> {
        let mut all = Ok(());
        for condition in conditions {
            match condition.held(self) {
                Ok(held) => self.failed_if.extend(held),
                Err(error) => all = all.and(Err(error)),
            }
        }
        all
    }

    /// True exactly when nothing was wrong and no condition held.
    pub(crate) fn is_ok(&self) -> bool {
        self.faults.is_empty() && self.failed_if.is_empty()
    }

    /// All figures: those that were added, after them the percentiles of each latency and the medians of what was compared.
    pub(crate) fn all_rows(&self) -> impl Iterator<Item = Row> {
        let latencies = self.latencies.iter().flat_map(Latency::rows);
        let compared = self.comparisons.iter().flat_map(Comparison::rows);
        self.rows.iter().cloned().chain(latencies).chain(compared)
    }

    /// The last line for people: `chat: ok, 0 faults`.
    pub(crate) fn verdict(&self) -> String {
        let verdict = if self.is_ok() { "ok" } else { "FAILED" };
        let conditions = match self.failed_if.len() {
            0 => String::new(),
            1 => ", 1 condition".to_owned(),
            count => format!(", {count} conditions"),
        };
        format!("{}: {verdict}, {} faults{conditions}", self.name, self.faults.count())
    }
}

impl Row {
    /// Its name for scripts: the words of the name and the unit, `commits_per_s`, `echo_p99_9_us`.
    pub(crate) fn key(&self) -> String {
        let unit = self.unit.replace("1/", "per ").replace('/', " per ").replace('%', "percent");
        key(&format!("{} {unit}", self.name))
    }
}

impl Latency {
    /// Its percentiles and its greatest one, as figures.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        let row = |label: &str, value: u64| Row {
            name: format!("{} {label}", self.name),
            value: value.into(),
            unit: "us".into(),
        };
        let at = move |(label, quantile)| row(label, self.histogram.value_at_quantile(quantile));
        PERCENTILES.into_iter().map(at).chain([row("max", self.histogram.max())])
    }
}

/// `words` in small letters, with `_` for whatever else is between them.
pub(crate) fn key(words: &str) -> String {
    let words = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_ascii_lowercase()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One of each kind.
    pub(crate) fn report() -> Report {
        let mut report = Report::new("chat");
        report.parameter("sessions", 1_000);
        report.parameter("server version", "0.1.0 <beta> & more");
        report.row("messages", 12_345, "");
        report.row("commits", 12.5, "1/s");
        report.row("resident", 9_876_543, "bytes");
        let mut histogram = crate::run::latencies();
        (1..=10_000).for_each(|us| histogram.record(us).expect("it is within the bounds"));
        report.latency("echo", &histogram);
        let points =
            |scale: f64| (0..60).map(|s| (f64::from(s), scale + f64::from(s % 7))).collect();
        report.series("throughput", "1/s", points(10_000.0));
        report.series("resident over time", "bytes", points(9_000_000.0));
        report
    }

    #[test]
    fn what_a_run_says_of_itself_counts_more_than_its_flags() {
        let mut report = report();
        report.also_told(vec![("sessions".into(), 7.into()), ("seed".into(), 42.into())]);
        let figures = report.figures();
        assert_eq!(
            (&figures.parameters["sessions"], &figures.parameters["seed"]),
            (&1_000.into(), &42.into())
        );
    }

    #[test]
    fn keys_are_the_words_of_the_name_and_the_unit() {
        let key = |name: &str, unit: &'static str| {
            Row { name: name.into(), value: 1.into(), unit: unit.into() }.key()
        };
        assert_eq!(key("echo p99.9", "us"), "echo_p99_9_us");
        assert_eq!(key("commits", "1/s"), "commits_per_s");
        assert_eq!(key("TCP buffers, both ends", "bytes"), "tcp_buffers_both_ends_bytes");
        assert_eq!(key("CPU of a core", "%"), "cpu_of_a_core_percent");
        assert_eq!(key("sent", "bytes/s"), "sent_bytes_per_s");
        assert_eq!(key("messages", ""), "messages");
    }
}
