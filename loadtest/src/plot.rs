//! The plots of a report, each an SVG image of its own.
//!
//! They are drawn in the colours of a light page; [`style`] is what turns them for a dark one. Text is in the fonts of the page.

mod bars;
mod course;
mod ink;
mod percentiles;
mod scale;

use maud::{Markup, PreEscaped, html};

pub(crate) use self::ink::style;
use crate::report::{Report, key};

/// Units of a drawing, about a pixel each.
const WIDTH: u32 = 460;
const HEIGHT: u32 = 260;
/// What a title takes above a drawing.
const TITLE_HEIGHT: u32 = 46;

/// A drawing with what is said of it.
#[derive(Debug)]
pub(crate) struct Plot {
    /// Small letters, digits and `_`; unique in a report.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) title: String,
    /// The scenario, where a report has several.
    scenario: Option<String>,
    /// How it is to be read.
    pub(crate) note: String,
    height: u32,
    /// SVG elements.
    shapes: String,
}

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What share of a latency stays under what.
    Percentiles,
    /// A figure over time.
    Course,
    /// A measure of several subjects; of the comparison with this number.
    Bars(usize),
}

/// Every plot of `report`: curves of latencies, courses over time, bars of comparisons. What has no points is left out.
pub(crate) fn of(report: &Report) -> Vec<Plot> {
    let latencies = report.latencies.iter().filter_map(percentiles::plot);
    let courses = report.courses.iter().filter_map(course::plot);
    let compared = report.comparisons.iter().enumerate().flat_map(|(n, comparison)| {
        comparison.measures.iter().filter_map(move |measure| bars::plot(n, comparison, measure))
    });
    latencies.chain(courses).chain(compared).collect()
}

impl Plot {
    fn new(kind: Kind, title: &str, note: String, height: u32, shapes: String) -> Self {
        let name = match kind {
            Kind::Percentiles => format!("latency {title}"),
            Kind::Course => format!("over time {title}"),
            Kind::Bars(_) => format!("compare {title}"),
        };
        Self {
            name: key(&name),
            kind,
            title: title.to_owned(),
            scenario: None,
            note,
            height,
            shapes,
        }
    }

    /// Named by its scenario, too.
    fn of_scenario(self, scenario: &str) -> Self {
        let name = key(&format!("compare {scenario} {}", self.title));
        Self { name, scenario: Some(scenario.to_owned()), ..self }
    }

    /// With its scenario.
    fn whole_title(&self) -> String {
        let scenario = self.scenario.iter().map(|scenario| format!("{scenario}: "));
        scenario.chain([self.title.clone()]).collect()
    }

    /// For a page that has [`style`].
    pub(crate) fn inline(&self) -> Markup {
        let Self { height, shapes, .. } = self;
        html! {
            svg.plot role="img" aria-label=(self.whole_title()) viewBox={ "0 0 " (WIDTH) " " (height) } {
                (PreEscaped(shapes))
            }
        }
    }

    /// A file of its own: with its title, and with all that it needs.
    pub(crate) fn file(&self) -> String {
        let Self { note, height, shapes, .. } = self;
        let title = self.whole_title();
        let height = height + TITLE_HEIGHT;
        html! {
            svg.plot xmlns="http://www.w3.org/2000/svg" role="img" width=(WIDTH) height=(height)
                viewBox={ "0 -" (TITLE_HEIGHT) " " (WIDTH) " " (height) } {
                title { (title) }
                style { (PreEscaped(style())) (PreEscaped(ink::FONT)) }
                text x="2" y="-28" font-size="15" font-weight="600" fill=(ink::hex(ink::INK)) { (title) }
                text x="2" y="-10" font-size="11" fill=(ink::hex(ink::MUTED)) { (note) }
                (PreEscaped(shapes))
            }
        }
        .into_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::comparison::tests::comparison;
    use crate::report::tests::report;

    /// A report with one of each kind, of names that must be escaped.
    fn full() -> Report {
        let mut report = report();
        report.series("a < b & \"c\"", "1/s", vec![(0.0, 1.0), (1.0, 2.0)]);
        report.compare(comparison());
        report
    }

    fn texts(document: &roxmltree::Document<'_>) -> Vec<String> {
        let nodes = document
            .descendants()
            .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "text")));
        nodes.filter_map(|node| Some(node.text()?.trim().to_owned())).collect()
    }

    #[test]
    fn each_plot_is_an_svg_file_with_its_title_and_all_within_its_bounds() {
        for plot in of(&full()) {
            let file = plot.file();
            let document =
                roxmltree::Document::parse(&file).unwrap_or_else(|e| panic!("{e}: {file}"));
            assert!(texts(&document).contains(&plot.whole_title()), "{}", plot.title);
            assert!(!file.contains("NaN") && !file.contains("inf"), "{file}");
            for node in document.descendants() {
                for (name, bound) in [("x", WIDTH), ("y", plot.height)] {
                    let at: Option<f64> = node.attribute(name).and_then(|at| at.parse().ok());
                    let least = if name == "y" { -f64::from(TITLE_HEIGHT) } else { 0.0 };
                    assert!(at.is_none_or(|at| (least..=f64::from(bound)).contains(&at)), "{file}");
                }
            }
        }
    }

    #[test]
    fn names_are_unique_and_fit_for_files() {
        let names: Vec<_> = of(&full()).into_iter().map(|plot| plot.name).collect();
        let expected = [
            "latency_echo",
            "over_time_throughput",
            "over_time_resident_over_time",
            "over_time_a_b_c",
            "compare_echo_server_cpu_per_message",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn bars_tell_each_subject_its_median_and_its_ratio() {
        let plots = of(&full());
        let bars = plots.iter().find(|plot| plot.kind == Kind::Bars(0)).expect("there is one");
        let file = bars.file();
        let document = roxmltree::Document::parse(&file).expect("it is well formed");
        let texts = texts(&document);
        for text in ["fortifun 0.1.0", "5.500 µs · 1.10×", "node <ws> 8.18", "14.00 µs · 2.80×"]
        {
            assert!(texts.iter().any(|found| found == text), "{text} in {texts:?}");
        }
    }

    #[test]
    fn a_curve_tells_the_percentiles() {
        let plots = of(&full());
        let file = plots[0].file();
        let document = roxmltree::Document::parse(&file).expect("it is well formed");
        let texts = texts(&document);
        for text in ["50 %", "99 %", "99.99 %", "5 ms", "9.9 ms"] {
            assert!(texts.iter().any(|found| found == text), "{text} in {texts:?}");
        }
    }

    #[test]
    fn what_has_no_points_is_not_drawn() {
        let mut report = Report::new("none");
        report.latency("echo", &crate::run::latencies());
        report.series("nothing", "", Vec::new());
        assert!(of(&report).is_empty());
    }

    #[test]
    fn one_point_and_equal_points_are_drawn() {
        let mut report = Report::new("flat");
        let mut histogram = crate::run::latencies();
        histogram.record(5).expect("it is within the bounds");
        report.latency("echo", &histogram);
        report.series("one", "", vec![(3.0, 0.0)]);
        report.series("flat", "bytes", vec![(0.0, 7.0), (9.0, 7.0)]);
        let plots = of(&report);
        assert_eq!(plots.len(), 3);
        for plot in plots {
            let file = plot.file();
            assert!(roxmltree::Document::parse(&file).is_ok() && !file.contains("NaN"), "{file}");
        }
    }
}
