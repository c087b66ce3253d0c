//! `fortifun migrate`: brings the database's tables up to this version.

use std::io::{self, Write as _};

use super::settings::{SettingArgs, load};
use crate::server;

/// What to do.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only say which migrations would be applied.
    #[arg(long)]
    plan: bool,
}

pub(super) fn run(args: &Args, settings: &SettingArgs) -> anyhow::Result<()> {
    let config = load(settings)?;
    let names = server::migrate(&config, args.plan)?;
    let mut out = io::stdout().lock();
    if names.is_empty() {
        writeln!(out, "nothing to do")?;
    }
    for name in names {
        writeln!(out, "{} {name}", if args.plan { "to apply" } else { "applied" })?;
    }
    Ok(())
}
