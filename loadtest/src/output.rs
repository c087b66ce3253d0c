//! What people and scripts read: the only module that prints.

use serde_json::{Map, Value, json};

use crate::faults::Faults;

/// The outcome of one run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The subcommand.
    pub(crate) name: &'static str,
    rows: Vec<Row>,
    /// What was wrong; the run failed exactly when there is any.
    pub(crate) faults: Faults,
}

#[derive(Debug)]
struct Row {
    name: String,
    value: Value,
    unit: &'static str,
}

impl Report {
    /// An empty one.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    /// Adds a figure; `unit` may be empty.
    pub(crate) fn row(
        &mut self,
        name: impl Into<String>,
        value: impl Into<Value>,
        unit: &'static str,
    ) {
        self.rows.push(Row { name: name.into(), value: value.into(), unit });
    }

    /// The percentiles of `histogram`, which counts microseconds.
    pub(crate) fn latency(&mut self, name: &str, histogram: &hdrhistogram::Histogram<u64>) {
        for (label, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)] {
            self.row(format!("{name} {label}"), histogram.value_at_quantile(quantile), "us");
        }
        self.row(format!("{name} max"), histogram.max(), "us");
    }

    pub(crate) fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let mut lines = Vec::new();
        for row in &self.rows {
            let value = match &row.value {
                Value::String(value) => value.clone(),
                Value::Number(n) if n.is_f64() => format!("{:.3}", n.as_f64().unwrap_or(f64::NAN)),
                value => value.to_string(),
            };
            let line = format!("{:width$}  {value:>14} {}", row.name, row.unit);
            lines.push(line.trim_end().to_owned());
        }
        lines.extend(self.faults.told().iter().map(|fault| format!("FAULT  {fault}")));
        let untold = self.faults.count() - self.faults.told().len();
        if untold > 0 {
            lines.push(format!("FAULT  and {untold} more"));
        }
        let verdict = if self.faults.is_empty() { "ok" } else { "FAILED" };
        lines.push(format!("{}: {verdict}, {} faults\n", self.name, self.faults.count()));
        lines.join("\n")
    }

    /// `{"name":…,"ok":…,"figures":{"echo_p50_us":…},"faults":[…],"fault_count":…}`
    fn json(&self) -> Value {
        let figures: Map<String, Value> =
            self.rows.iter().map(|row| (row.key(), row.value.clone())).collect();
        json!({
            "name": self.name,
            "ok": self.faults.is_empty(),
            "figures": figures,
            "faults": self.faults.told(),
            "fault_count": self.faults.count(),
        })
    }
}

impl Row {
    fn key(&self) -> String {
        let unit = match self.unit {
            "" => "",
            "1/s" => "per_s",
            unit => unit,
        };
        let words = self.name.split(|c: char| !c.is_ascii_alphanumeric()).chain([unit]);
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_").to_ascii_lowercase()
    }
}

/// Prints the report, as a table or as JSON on one line.
#[expect(clippy::print_stdout, reason = "the module that prints")]
pub(crate) fn show(report: &Report, as_json: bool) {
    if as_json {
        println!("{}", report.json());
    } else {
        print!("{}", report.table());
    }
}

/// Says why a run could not take place.
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("fortifun-loadtest: {error:#}");
}

/// Says what happens meanwhile, above the bar.
pub(crate) fn say(bar: &indicatif::ProgressBar, what: impl std::fmt::Display) {
    bar.suspend(|| eprintln!("{what}"));
}

/// A progress bar on stderr, hidden where that is not a terminal.
pub(crate) fn bar(count: u64, what: &'static str) -> indicatif::ProgressBar {
    let style =
        indicatif::ProgressStyle::with_template("{msg:24} {wide_bar} {pos}/{len} {per_sec} {eta}")
            .expect("the template is constant");
    indicatif::ProgressBar::new(count).with_style(style).with_message(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("chat");
        report.row("echo p99.9", 1_200, "us");
        report.row("commits", 12.5, "1/s");
        report
    }

    #[test]
    fn a_table_lines_figures_up_and_ends_with_the_verdict() {
        let expected =
            "echo p99.9            1200 us\ncommits             12.500 1/s\nchat: ok, 0 faults\n";
        assert_eq!(report().table(), expected);
    }

    #[test]
    fn a_fault_fails_the_table_and_the_json() {
        let mut report = report();
        report.faults.add("seq 3 came twice");
        assert!(report.table().ends_with("FAULT  seq 3 came twice\nchat: FAILED, 1 faults\n"));
        let json = report.json();
        assert_eq!(json["ok"], false);
        assert_eq!(json["faults"][0], "seq 3 came twice");
        assert_eq!(json["figures"]["echo_p99_9_us"], 1_200);
        assert_eq!(json["figures"]["commits_per_s"], 12.5);
    }
}
