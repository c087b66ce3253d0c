//! A finished run as scripts, and `compare`, read it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Comparison, Course, Latency, Report, Setting, key};

/// What `--json` prints, on one line. Keys are the words of the names: `{"name":"chat","ok":true,"figures":{"echo_p50_us":…},…}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "`figures` is the key that scripts read")]
pub(crate) struct Figures {
    /// The subcommand.
    pub(crate) name: String,
    /// True exactly when nothing was wrong.
    pub(crate) ok: bool,
    /// What the run was told.
    #[serde(default)]
    pub(crate) parameters: Map<String, Value>,
    /// Each figure; where it has a unit, its key ends in that.
    pub(crate) figures: Map<String, Value>,
    /// The curve of each latency.
    #[serde(default)]
    pub(crate) latencies: Map<String, Value>,
    /// How figures went over time.
    #[serde(default)]
    pub(crate) series: Map<String, Value>,
    /// What was compared, with the figures of each run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) comparisons: Vec<Value>,
    /// The first faults, in words.
    pub(crate) faults: Vec<String>,
    /// How many there are in all.
    pub(crate) fault_count: usize,
    /// The conditions that held, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) failed_if: Vec<String>,
    /// Where and when it took place.
    #[serde(default)]
    pub(crate) setting: Setting,
}

/// A latency as it is written.
#[derive(Serialize)]
struct Curve {
    count: u64,
    /// The share of the count in percent, and what it did not exceed, microseconds.
    percentiles_us: Vec<(f64, u64)>,
}

/// A course over time as it is written.
#[derive(Serialize)]
struct Points<'a> {
    unit: &'a str,
    /// Seconds, and the figure then.
    points: &'a [(f64, f64)],
}

impl Figures {
    /// The figure of this key; `None` where there is none, or a word.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        self.figures.get(key)?.as_f64()
    }
}

impl Report {
    /// All that it holds, by keys.
    pub(crate) fn figures(&self) -> Figures {
        Figures {
            name: self.name.to_owned(),
            ok: self.is_ok(),
            parameters: self
                .parameters
                .iter()
                .map(|(name, value)| (key(name), value.clone()))
                .collect(),
            figures: self.all_rows().map(|row| (row.key(), row.value)).collect(),
            latencies: self
                .latencies
                .iter()
                .map(|latency| (key(&latency.name), curve(latency)))
                .collect(),
            series: self.courses.iter().map(|course| (key(&course.name), points(course))).collect(),
            comparisons: self.comparisons.iter().map(compared).collect(),
            faults: self.faults.told().to_vec(),
            fault_count: self.faults.count(),
            failed_if: self.failed_if.clone(),
            setting: self.setting.clone(),
        }
    }

    /// The same on one line.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(&self.figures()).expect("keys are texts, and values are JSON")
    }
}

fn curve(Latency { histogram, .. }: &Latency) -> Value {
    let steps = histogram.iter_quantiles(2);
    let mut percentiles_us: Vec<_> = steps
        .map(|step| ((step.quantile() * 1e6).round() / 1e4, step.value_iterated_to()))
        .collect();
    percentiles_us.dedup();
    serde_json::to_value(Curve { count: histogram.len(), percentiles_us })
        .expect("a list of numbers is JSON")
}

fn points(Course { unit, points, .. }: &Course) -> Value {
    serde_json::to_value(Points { unit, points }).expect("a list of numbers is JSON")
}

fn compared(comparison: &Comparison) -> Value {
    serde_json::to_value(comparison).expect("keys are texts, and values are JSON")
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn keys_are_stable_and_what_is_written_is_read_again() {
        let report = report();
        let figures: Figures = serde_json::from_str(&report.json()).expect("it was written so");
        assert_eq!(figures, report.figures());
        let keys: Vec<_> = figures.figures.keys().collect();
        let expected = [
            "commits_per_s",
            "echo_max_us",
            "echo_p50_us",
            "echo_p90_us",
            "echo_p99_9_us",
            "echo_p99_us",
            "messages",
            "resident_bytes",
        ];
        assert_eq!(keys, expected);
        assert_eq!(figures.number("commits_per_s"), Some(12.5));
        assert_eq!(figures.number("sessions"), None);
        assert_eq!(figures.parameters["server_version"], "0.1.0 <beta> & more");
        assert_eq!(figures.series["throughput"]["unit"], "1/s");
        assert_eq!(figures.series["throughput"]["points"][1][0], 1.0);
        assert_eq!(figures.latencies["echo"]["count"], 10_000);
        let curve = figures.latencies["echo"]["percentiles_us"].as_array().expect("a list");
        assert_eq!(curve.last().expect("it has points")[0], 100.0);
    }

    #[test]
    fn a_fault_fails_the_run() {
        let mut report = report();
        report.faults.add("seq 3 came twice");
        let figures = report.figures();
        assert!(!figures.ok);
        assert_eq!((figures.fault_count, &*figures.faults[0]), (1, "seq 3 came twice"));
    }

    #[test]
    fn a_run_without_curves_is_read_too() {
        let text = r#"{"name":"chat","ok":true,"figures":{"a":1},"faults":[],"fault_count":0}"#;
        let figures: Figures = serde_json::from_str(text).expect("nothing else is needed");
        assert_eq!(figures.number("a"), Some(1.0));
    }
}
