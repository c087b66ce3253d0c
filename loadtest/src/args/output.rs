//! Where the report goes, and what in it fails a run.

use std::path::PathBuf;

use clap::Args as Group;

use crate::failif::Condition;

#[derive(Group)]
pub(crate) struct Output {
    /// The report as JSON on one line, instead of the table.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The report as a page for a browser, too: one file that needs no other.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Each plot of the report as an SVG file in this folder, too; it is made where it is missing.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) svg: Option<PathBuf>,
    /// Fails the run (exit status 1) where this holds: a figure by its JSON key, > >= < <= or ==, and a number with or without a
    /// unit (us ms s, B KB MB, %, 1/s), as in 'echo_p99>5ms'; 'p99>5ms' where the run has one latency. May be repeated.
    #[arg(long, global = true, value_name = "EXPR")]
    pub(crate) fail_if: Vec<Condition>,
}
