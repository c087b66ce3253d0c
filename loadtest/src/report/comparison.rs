//! The same scenario against several servers, run in turns.

use serde::Serialize;
use serde_json::Value;

use super::{Figures, Report, Row};
use crate::run::median;

/// What several servers did with one scenario.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Comparison {
    /// The scenario's name.
    pub(crate) scenario: String,
    /// What all runs were told.
    pub(crate) parameters: Vec<(String, Value)>,
    /// The name of the subject that the others are held against; the first one where none has it.
    pub(crate) base: String,
    /// In the order in which they are shown.
    pub(crate) subjects: Vec<Subject>,
    /// In the order in which they are shown.
    pub(crate) measures: Vec<Measure>,
}

/// One of the servers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Subject {
    /// Unique in a comparison.
    pub(crate) name: String,
    /// Empty where it has none.
    pub(crate) version: String,
    /// In the order in which they were made.
    pub(crate) runs: Vec<Figures>,
}

/// What is compared.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measure {
    /// Its key in the figures of a run.
    pub(crate) key: String,
    /// In words.
    pub(crate) title: String,
    /// Empty where it has none.
    pub(crate) unit: String,
    /// True exactly when the lesser figure is the better one.
    pub(crate) lower_is_better: bool,
}

/// A measure of one subject over its runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    /// How many runs have the figure.
    pub(crate) runs: usize,
    /// The median beside that of the base; `None` where the base has no such figure, or zero.
    pub(crate) ratio: Option<f64>,
}

impl Comparison {
    /// The subject that the others are held against; `None` where there is no subject.
    pub(crate) fn base(&self) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.name == self.base).or(self.subjects.first())
    }

    /// The subjects that have the figure, in order.
    pub(crate) fn spreads(&self, measure: &Measure) -> Vec<(&Subject, Spread)> {
        let base = self.base().and_then(|base| Spread::of(base.numbers(measure)));
        let held = |spread: Spread| Spread {
            ratio: base.filter(|base| base.median != 0.0).map(|base| spread.median / base.median),
            ..spread
        };
        let spread = |subject: &Subject| Spread::of(subject.numbers(measure)).map(held);
        self.subjects.iter().filter_map(|subject| Some((subject, spread(subject)?))).collect()
    }

    /// The medians, with the least, the most and the ratio beside, as figures of a report.
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for measure in &self.measures {
            for (subject, spread) in self.spreads(measure) {
                let name = format!("{}, {}: {}", self.scenario, subject.name, measure.title);
                let mut row = |what, value: f64, unit: &str| {
                    let name = format!("{name}{what}");
                    rows.push(Row { name, value: value.into(), unit: unit.to_owned().into() });
                };
                row("", spread.median, &measure.unit);
                row(", least", spread.least, &measure.unit);
                row(", most", spread.most, &measure.unit);
                if let Some(ratio) = spread.ratio {
                    row(", ratio", ratio, "");
                }
            }
        }
        rows
    }

    /// What was wrong in its runs, a line each.
    fn faults(&self) -> impl Iterator<Item = String> + '_ {
        self.subjects.iter().flat_map(|subject| {
            let failed = subject.runs.iter().enumerate().filter(|(_, run)| !run.ok);
            failed.map(|(n, run)| {
                let first = run.faults.first().map_or("", String::as_str);
                let Self { scenario, .. } = self;
                let (name, count) = (&subject.name, run.fault_count);
                format!("{scenario}, {name}, run {}: {count} faults: {first}", n + 1)
            })
        })
    }
}

impl Subject {
    fn numbers(&self, measure: &Measure) -> Vec<f64> {
        self.runs.iter().filter(|run| run.ok).filter_map(|run| run.number(&measure.key)).collect()
    }
}

impl Spread {
    /// `None` of nothing.
    fn of(values: Vec<f64>) -> Option<Self> {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let runs = values.len();
        Some(Self { median: median(values)?, least, most, runs, ratio: None })
    }
}

impl Report {
    /// Adds `comparison`: its medians are figures, and a fault of one of its runs is a fault of the report.
    pub(crate) fn compare(&mut self, comparison: Comparison) {
        self.faults.extend(comparison.faults());
        self.comparisons.push(comparison);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn run(cpu: f64) -> Figures {
        let mut report = Report::new("echo");
        report.row("server CPU per message", cpu, "us");
        report.figures()
    }

    /// Three subjects with three runs each.
    pub(crate) fn comparison() -> Comparison {
        let subject = |name: &str, version: &str, cpus: [f64; 3]| Subject {
            name: name.to_owned(),
            version: version.to_owned(),
            runs: cpus.map(run).into(),
        };
        Comparison {
            scenario: "echo".into(),
            parameters: vec![("connections".into(), 64.into())],
            base: "raw epoll".into(),
            subjects: vec![
                subject("fortifun", "0.1.0", [5.5, 5.0, 6.0]),
                subject("raw epoll", "", [5.0, 4.0, 5.2]),
                subject("node <ws>", "8.18", [14.0, 15.0, 12.5]),
            ],
            measures: vec![Measure {
                key: "server_cpu_per_message_us".into(),
                title: "server CPU per message".into(),
                unit: "us".into(),
                lower_is_better: true,
            }],
        }
    }

    #[test]
    fn a_subject_has_its_median_its_spread_and_its_ratio_to_the_base() {
        let comparison = comparison();
        let spreads = comparison.spreads(&comparison.measures[0]);
        let (subject, spread) = &spreads[0];
        assert_eq!(subject.name, "fortifun");
        let expected = Spread { median: 5.5, least: 5.0, most: 6.0, runs: 3, ratio: Some(1.1) };
        assert_eq!(*spread, expected);
        assert_eq!(spreads[1].1.ratio, Some(1.0));
    }

    #[test]
    fn the_first_subject_is_the_base_where_no_other_is() {
        let mut comparison = comparison();
        comparison.base = "nobody".into();
        let spreads = comparison.spreads(&comparison.measures[0]);
        assert_eq!(spreads[0].1.ratio, Some(1.0));
    }

    #[test]
    fn a_subject_without_the_figure_is_left_out() {
        let mut comparison = comparison();
        comparison.subjects[1].runs.clear();
        let spreads = comparison.spreads(&comparison.measures[0]);
        let names: Vec<_> = spreads.iter().map(|(subject, _)| &*subject.name).collect();
        assert_eq!(names, ["fortifun", "node <ws>"]);
        assert_eq!(spreads[0].1.ratio, None);
    }

    #[test]
    fn a_failed_run_fails_the_report() {
        let mut comparison = comparison();
        let run = &mut comparison.subjects[2].runs[1];
        (run.ok, run.fault_count, run.faults) = (false, 2, vec!["seq 3 came twice".into()]);
        let mut report = Report::new("compare");
        report.compare(comparison);
        assert!(!report.is_ok());
        assert_eq!(report.faults.told(), ["echo, node <ws>, run 2: 2 faults: seq 3 came twice"]);
    }

    #[test]
    fn the_figures_have_stable_keys() {
        let mut report = Report::new("compare");
        report.compare(comparison());
        let figures = report.figures();
        assert_eq!(figures.number("echo_fortifun_server_cpu_per_message_us"), Some(5.5));
        assert_eq!(figures.number("echo_fortifun_server_cpu_per_message_least_us"), Some(5.0));
        assert_eq!(figures.number("echo_fortifun_server_cpu_per_message_most_us"), Some(6.0));
        assert_eq!(figures.number("echo_fortifun_server_cpu_per_message_ratio"), Some(1.1));
        assert_eq!(figures.comparisons[0]["subjects"][0]["version"], "0.1.0");
        assert_eq!(figures.comparisons[0]["subjects"][0]["runs"][1]["ok"], true);
    }
}
