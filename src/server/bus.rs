//! The bus as operators ask about it: for commands that are no server.

use std::sync::Arc;

use super::channel;
use crate::channel::redis::admin::Admin;
use crate::config::Config;
use crate::shard::mio_io::Clock;

/// Whoever asks about the configured bus; `None` where the channel layer is in memory. Nothing is connected yet.
///
/// # Errors
///
/// [`ConfigErrors`](crate::config::ConfigErrors), or the system has no random bytes.
pub fn bus(config: &Config) -> anyhow::Result<Option<Admin>> {
    let Some(settings) = channel::settings(&config.channel) else { return Ok(None) };
    let clock = Clock::start();
    let clock = Arc::new(move || clock.now());
    let random = Arc::new(channel::random);
    let admin = Admin::new(&settings, super::new_life()?, clock, random);
    Ok(Some(admin.map_err(channel::as_setting)?))
}
