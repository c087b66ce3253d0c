//! The engine that speaks as `channels_redis.pubsub.RedisPubSubChannelLayer`.

use std::sync::Arc;

use super::{Hub, Settings, Task, Unusable};

/// The threads of this engine: `bus-out`, and `bus-in-N` for host N.
///
/// # Errors
/// A host's address or a file of certificates is none.
pub(super) fn tasks(_hub: &Arc<Hub>, _settings: &Settings) -> Result<Vec<Task>, Unusable> {
    Ok(Vec::new())
}
