//! A report as a page for a browser: one file that needs no other, no script and no network.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::plot::{self, Kind, Plot};
use crate::report::comparison::{Comparison, Measure};
use crate::report::{PERCENTILES, Report, amount};

/// How the page looks: light and dark, on a telephone and on paper.
const STYLE: &str = include_str!("html/style.css");

/// The whole page.
pub(crate) fn page(report: &Report) -> String {
    let plots = plot::of(report);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (report.verdict()) }
                style { (PreEscaped(STYLE)) (PreEscaped(plot::style())) }
            }
            body {
                main {
                    (head(report))
                    (wrong(report))
                    @for (n, comparison) in report.comparisons.iter().enumerate() {
                        (compared(comparison, &plots, n))
                    }
                    (latencies(report, &plots))
                    (courses(&plots))
                    (figures(report))
                }
            }
        }
    }
    .into_string()
}

/// What ran, where, when, with what, and how it went.
fn head(report: &Report) -> Markup {
    let setting = &report.setting;
    let verdict = if report.is_ok() { "ok" } else { "failed" };
    html! {
        header {
            p.over {
                "fortifun-loadtest"
                @if let Some(taken) = &setting.taken { " · " time datetime=(taken) { (said(taken)) } }
            }
            h1 { (report.name) span class={ "verdict " (verdict) } { (verdict) } }
            @if !report.parameters.is_empty() {
                (facts(report.parameters.iter().map(|(name, value)| (&**name, amount::value(value)))))
            }
            div.machine { (facts(setting.facts())) }
        }
    }
}

/// `2026-01-31T12:34:56Z` for people.
fn said(taken: &str) -> String {
    let minutes = taken.get(..16).unwrap_or(taken);
    format!("{} UTC", minutes.replace('T', " "))
}

fn facts<'a>(facts: impl Iterator<Item = (&'a str, String)>) -> Markup {
    html! {
        dl { @for (name, fact) in facts { div { dt { (name) } dd { (fact) } } } }
    }
}

/// The faults and the conditions that held; nothing where all is well.
fn wrong(report: &Report) -> Markup {
    let faults = &report.faults;
    let untold = faults.count() - faults.told().len();
    html! {
        @if !report.is_ok() {
            section.wrong {
                h2 { "What was wrong" }
                ul {
                    @for held in &report.failed_if { li { "Failed if " (held) } }
                    @for fault in faults.told() { li { (fault) } }
                    @if untold > 0 { li { "and " (amount::value(&untold.into())) " more" } }
                }
            }
        }
    }
}

fn compared(comparison: &Comparison, plots: &[Plot], number: usize) -> Markup {
    let parameters = comparison.parameters.iter();
    html! {
        section {
            h2 { (comparison.scenario) }
            @if !comparison.parameters.is_empty() {
                (facts(parameters.map(|(name, value)| (&**name, amount::value(value)))))
            }
            (drawn(plots, Kind::Bars(number)))
            @for measure in &comparison.measures { (measured(comparison, measure)) }
        }
    }
}

fn measured(comparison: &Comparison, measure: &Measure) -> Markup {
    let base = comparison.base().map_or("", |base| &base.name);
    html! {
        div.wide {
            table.even {
                caption { (measure.title) @if !measure.unit.is_empty() { ", " (amount::printed(&measure.unit)) } }
                thead {
                    tr {
                        th scope="col" { "server" }
                        @for head in ["median", "least", "most", "runs"] { th.figure scope="col" { (head) } }
                        th.figure scope="col" { "to " (base) }
                    }
                }
                tbody {
                    @for (subject, spread) in comparison.spreads(measure) {
                        tr {
                            th scope="row" { (subject.name) " " span.version { (subject.version) } }
                            @for figure in [spread.median, spread.least, spread.most] {
                                td.figure { (amount::fraction(figure)) }
                            }
                            td.figure { (spread.runs) }
                            td.figure { @if let Some(ratio) = spread.ratio { (amount::ratio(ratio)) } }
                        }
                    }
                }
            }
        }
    }
}

fn latencies(report: &Report, plots: &[Plot]) -> Markup {
    html! {
        @if !report.latencies.is_empty() {
            section {
                h2 { "Latency" }
                div.wide {
                    table {
                        thead {
                            tr {
                                th scope="col" { "latency, µs" }
                                th.figure scope="col" { "count" }
                                @for (label, _) in PERCENTILES { th.figure scope="col" { (label) } }
                                th.figure scope="col" { "max" }
                            }
                        }
                        tbody {
                            @for latency in &report.latencies {
                                tr {
                                    th scope="row" { (latency.name) }
                                    td.figure { (amount::value(&latency.histogram.len().into())) }
                                    @for row in latency.rows() {
                                        td.figure { (amount::value(&row.value)) }
                                    }
                                }
                            }
                        }
                    }
                }
                (drawn(plots, Kind::Percentiles))
            }
        }
    }
}

fn courses(plots: &[Plot]) -> Markup {
    html! {
        @if plots.iter().any(|plot| plot.kind == Kind::Course) {
            section { h2 { "Over time" } (drawn(plots, Kind::Course)) }
        }
    }
}

fn figures(report: &Report) -> Markup {
    html! {
        @if !report.rows.is_empty() {
            section {
                h2 { "Figures" }
                table.list {
                    tbody {
                        @for row in &report.rows {
                            tr {
                                th scope="row" { (row.name) }
                                td.figure { (amount::value(&row.value)) }
                                td.unit { (amount::printed(&row.unit)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The plots of one kind, side by side where there is room.
fn drawn(plots: &[Plot], kind: Kind) -> Markup {
    html! {
        div.plots {
            @for plot in plots.iter().filter(|plot| plot.kind == kind) {
                figure {
                    figcaption { strong { (plot.title) } span { (plot.note) } }
                    (plot.inline())
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::comparison::tests::comparison;
    use crate::report::tests::report;

    /// All text of the page's body, with one space between any two words. The body must be well-formed XML.
    fn words(page: &str) -> String {
        let body = &page[page.find("<body>").unwrap()..page.find("</html>").unwrap()];
        let document = roxmltree::Document::parse(body).unwrap_or_else(|e| panic!("{e}: {body}"));
        let texts = document.descendants().filter(roxmltree::Node::is_text);
        let texts: Vec<_> = texts.filter_map(|node| node.text()).collect();
        texts.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_parameter_figure_and_latency_is_on_the_page() {
        let report = report();
        let words = words(&page(&report));
        for (name, value) in &report.parameters {
            assert!(words.contains(&format!("{name} {}", amount::value(value))), "{name}: {words}");
        }
        for row in &report.rows {
            let said = format!(
                "{} {} {}",
                row.name,
                amount::value(&row.value),
                amount::printed(&row.unit)
            );
            assert!(words.contains(said.trim()), "{said}: {words}");
        }
        assert!(words.contains("echo 10,000 5,003 9,007 9,903 9,991 10,007"), "{words}");
        assert!(words.contains("Over time throughput From 10.000k/s to 10.006k/s"), "{words}");
    }

    #[test]
    fn text_is_escaped() {
        let mut report = report();
        report.row("<script>alert(1)</script>", "</td>", "");
        report.faults.add("heard <b> & not <a>");
        let page = page(&report);
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
        assert!(words(&page).contains("heard <b> & not <a>"));
    }

    #[test]
    fn a_failed_run_says_why() {
        let mut report = report();
        assert!(!page(&report).contains("What was wrong"));
        report.faults.add("seq 3 came twice");
        report.fail_if(&["p99>5ms".parse().unwrap()]).unwrap();
        let words = words(&page(&report));
        assert!(words.contains("chat failed"), "{words}");
        let said = "What was wrong Failed if p99>5ms: echo_p99_us is 9,903 us seq 3 came twice";
        assert!(words.contains(said), "{words}");
    }

    #[test]
    fn a_comparison_has_bars_and_a_table() {
        let mut report = Report::new("compare");
        report.compare(comparison());
        let page = page(&report);
        let words = words(&page);
        assert!(words.contains("fortifun 0.1.0 5.500 5.000 6.000 3 1.10"), "{words}");
        assert!(page.contains("<svg"), "{page}");
    }

    #[test]
    fn the_page_needs_nothing_else() {
        let page = page(&report());
        for link in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(link), "{link}");
        }
    }
}
