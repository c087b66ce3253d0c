//! What people and scripts read: the only module that prints, and that writes the files of a report.

use std::fs;

use anyhow::Context;
use serde_json::Value;

use crate::args::Output;
pub(crate) use crate::report::Report;
use crate::report::Setting;
use crate::{clock, html, plot};

/// Adds what the run was `told`, holds the report against the conditions, prints it, as a table or as JSON on one line, and writes the files that were asked
/// for. True exactly when the run was well. An error where a file cannot be written, or a condition is of no figure here; the
/// report is printed all the same.
pub(crate) fn deliver(
    mut report: Report,
    told: Vec<(String, Value)>,
    to: &Output,
) -> anyhow::Result<bool> {
    report.also_told(told);
    report.setting = Setting::read(clock::unix());
    let held = report.fail_if(&to.fail_if);
    show(&report, to.json);
    if let Some(path) = &to.html {
        fs::write(path, html::page(&report)).with_context(|| path.display().to_string())?;
    }
    if let Some(folder) = &to.svg {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        for plot in plot::of(&report) {
            let path = folder.join(format!("{}.svg", plot.name));
            fs::write(&path, plot.file()).with_context(|| path.display().to_string())?;
        }
    }
    held.map(|()| report.is_ok())
}

#[expect(clippy::print_stdout, reason = "the module that prints")]
fn show(report: &Report, as_json: bool) {
    if as_json {
        println!("{}", report.json());
    } else {
        print!("{}", report.table());
    }
}

/// Says a word to the process that started this one.
#[expect(clippy::print_stdout, reason = "the module that prints")]
pub(crate) fn line(word: &str) {
    println!("{word}");
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
