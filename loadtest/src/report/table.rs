//! A report as a table in a terminal.

use std::fmt;

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::comparison::{Comparison, Measure};
use super::{PERCENTILES, Report, amount};

impl Report {
    /// What the run was told, its figures, its latencies, each fault, and the verdict as the last line.
    pub(crate) fn table(&self) -> String {
        let mut parts = Vec::new();
        if !self.parameters.is_empty() {
            parts.push(told(self));
        }
        if !self.rows.is_empty() {
            parts.push(rows(self));
        }
        if !self.latencies.is_empty() {
            parts.push(latencies(self));
        }
        for comparison in &self.comparisons {
            let measures = comparison.measures.iter();
            parts.extend(measures.map(|measure| compared(comparison, measure)));
        }
        let mut lines: Vec<_> = parts.iter().map(|part| format!("{part}\n")).collect();
        lines.extend(self.faults.told().iter().map(|fault| format!("FAULT  {fault}")));
        let untold = self.faults.count() - self.faults.told().len();
        if untold > 0 {
            lines.push(format!("FAULT  and {untold} more"));
        }
        lines.extend(self.failed_if.iter().map(|held| format!("FAILED IF  {held}")));
        lines.push(self.verdict());
        lines.join("\n") + "\n"
    }
}

fn told(report: &Report) -> Aligned {
    let mut table = plain([CellAlignment::Left, CellAlignment::Left]);
    for (name, value) in &report.parameters {
        table.add([name.clone(), amount::value(value)]);
    }
    table
}

fn rows(report: &Report) -> Aligned {
    let mut table = plain([CellAlignment::Left, CellAlignment::Right, CellAlignment::Left]);
    for row in &report.rows {
        table.add([row.name.clone(), amount::value(&row.value), row.unit.to_string()]);
    }
    table
}

fn latencies(report: &Report) -> Aligned {
    let figures = PERCENTILES.len() + 2;
    let aligned = [CellAlignment::Left].into_iter().chain(vec![CellAlignment::Right; figures]);
    let mut table = plain(aligned);
    let heads = ["latency, us", "count"].into_iter().chain(PERCENTILES.map(|(label, _)| label));
    table.head(heads.chain(["max"]));
    for latency in &report.latencies {
        let count = amount::value(&latency.histogram.len().into());
        let figures = latency.rows().map(|row| amount::value(&row.value));
        table.add([latency.name.clone(), count].into_iter().chain(figures));
    }
    table
}

/// One line a subject.
fn compared(comparison: &Comparison, measure: &Measure) -> Aligned {
    let aligned = [CellAlignment::Left].into_iter().chain([CellAlignment::Right; 5]);
    let mut table = plain(aligned);
    let better = if measure.lower_is_better { "less is better" } else { "more is better" };
    let unit = if measure.unit.is_empty() { String::new() } else { format!(", {}", measure.unit) };
    let title = format!("{}: {}{unit} ({better})", comparison.scenario, measure.title);
    let base = comparison.base().map_or("", |base| &base.name);
    table.head([&title, "median", "least", "most", "runs", &format!("to {base}")]);
    for (subject, spread) in comparison.spreads(measure) {
        let ratio = spread.ratio.map_or_else(|| "-".to_owned(), amount::ratio);
        let [median, least, most] =
            [spread.median, spread.least, spread.most].map(amount::fraction);
        let name = format!("{} {}", subject.name, subject.version);
        table.add([name, median, least, most, spread.runs.to_string(), ratio]);
    }
    table
}

/// Without lines, its columns two apart; one for each of `aligned`.
pub(super) fn plain(aligned: impl IntoIterator<Item = CellAlignment>) -> Aligned {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    Aligned { table, aligned: aligned.into_iter().collect() }
}

/// A table whose columns are aligned each in its way.
pub(super) struct Aligned {
    table: Table,
    aligned: Vec<CellAlignment>,
}

impl Aligned {
    pub(super) fn head<S: ToString>(&mut self, cells: impl IntoIterator<Item = S>) {
        let row = self.row(cells);
        self.table.set_header(row);
    }

    pub(super) fn add<S: ToString>(&mut self, cells: impl IntoIterator<Item = S>) {
        let row = self.row(cells);
        self.table.add_row(row);
    }

    fn row<S: ToString>(&self, cells: impl IntoIterator<Item = S>) -> Vec<Cell> {
        let cells = cells.into_iter().zip(&self.aligned);
        cells.map(|(cell, aligned)| Cell::new(cell).set_alignment(*aligned)).collect()
    }
}

impl fmt::Display for Aligned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.table.lines().map(|line| line.trim().to_owned()).collect();
        f.write_str(&lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::comparison::tests::comparison;
    use super::super::tests::report;
    use super::*;

    #[test]
    fn figures_are_lined_up_with_units_and_the_verdict_is_last() {
        let table = report().table();
        let expected = [
            "sessions        1,000",
            "server version  0.1.0 <beta> & more",
            "",
            "messages     12,345",
            "commits       12.50  1/s",
            "resident  9,876,543  bytes",
            "",
            "latency, us   count    p50    p90    p99  p99.9     max",
            "echo         10,000  5,003  9,007  9,903  9,991  10,007",
            "",
            "chat: ok, 0 faults",
            "",
        ];
        assert_eq!(table, expected.join("\n"));
    }

    #[test]
    fn each_fault_is_told_before_the_verdict() {
        let mut report = report();
        report.faults.extend(["seq 3 came twice"].into_iter().chain(["seq 4 never came"; 24]));
        let table = report.table();
        assert!(table.contains("\nFAULT  seq 3 came twice\nFAULT  seq 4 never came\n"), "{table}");
        assert!(table.ends_with("\nFAULT  and 5 more\nchat: FAILED, 25 faults\n"), "{table}");
    }

    #[test]
    fn a_comparison_is_a_table_for_each_measure() {
        let mut report = Report::new("compare");
        report.compare(comparison());
        let expected = [
            "echo: server CPU per message, us (less is better)  median  least   most  runs  to raw epoll",
            "fortifun 0.1.0                                      5.500  5.000  6.000     3          1.10",
            "raw epoll                                           5.000  4.000  5.200     3          1.00",
            "node <ws> 8.18                                      14.00  12.50  15.00     3          2.80",
            "",
            "compare: ok, 0 faults",
            "",
        ];
        assert_eq!(report.table(), expected.join("\n"));
    }
}
