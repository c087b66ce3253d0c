//! `fortifun migrate`: brings the database's tables up to this version.

mod report;

use std::io::{self, IsTerminal as _, Write as _};

use super::settings::{SettingArgs, load};
use super::wall_clock;
use crate::server::{self, Pending, Planned};
use report::Report;

/// What to do.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only say which migrations would be applied, and how much there is to do.
    #[arg(long)]
    plan: bool,
}

/// Prints what was applied, one line each, and tells on stderr how far it is.
pub(super) fn run(args: &Args, settings: &SettingArgs) -> anyhow::Result<()> {
    let config = load(settings)?;
    let lines: Vec<String> = if args.plan {
        server::plan_migration(&config)?.iter().map(to_apply).collect()
    } else {
        let mut stderr = io::stderr();
        let mut report = Report::new(stderr.is_terminal());
        let applied = server::migrate(&config, &mut |told| {
            // Nobody is left to tell when stderr is gone.
            let _ = stderr.write_all(report.hear(told, wall_clock()).as_bytes());
        });
        let _ = stderr.write_all(report.end().as_bytes());
        applied?.iter().map(|Pending { id, name, .. }| format!("applied {id} {name}")).collect()
    };
    let mut out = io::stdout().lock();
    if lines.is_empty() {
        writeln!(out, "nothing to do")?;
    }
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn to_apply(Planned { pending: Pending { id, name, what }, found }: &Planned) -> String {
    if found.is_empty() {
        format!("to apply {id} {name}: {what}")
    } else {
        format!("to apply {id} {name}: {what} ({found})")
    }
}
