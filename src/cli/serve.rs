//! `fortifun serve`: the server with the settings as they are.

use std::sync::Arc;

use super::settings::{SettingArgs, load};
use crate::config::Config;
use crate::logging::Log;
use crate::metrics::{Counter, Registry};
use crate::server::{self, Hooks};

pub(super) fn run(args: &SettingArgs) -> anyhow::Result<()> {
    let config = load(args)?;
    let (log, metrics) = observe(&config)?;
    let hooks = Hooks {
        metrics,
        on_ready: Box::new(|address| tracing::info!(%address, "listening")),
        demo_users: Vec::new(),
    };
    let served = server::run(config, hooks);
    drop(log);
    served
}

/// Starts the log and the metrics of a server, and says what should not stay as it is.
pub(super) fn observe(config: &Config) -> anyhow::Result<(Log, Arc<Registry>)> {
    let log = Log::start(config.log)?;
    let metrics = Arc::new(Registry::new());
    metrics.sample_counter(Counter::LogLinesDropped, log.dropped());
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    Ok((log, metrics))
}
