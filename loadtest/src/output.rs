//! What people and scripts read: the only module that prints.

pub(crate) use crate::report::Report;

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
