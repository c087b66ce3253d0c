//! Redis Cluster, with the sharded pub/sub of Redis 7: a channel has a slot, and the slot has a master. Django's library does not
//! speak it, so it is for fleets without Django on the bus.
//!
//! One connection in and one out a master, and one that reads the map. When the map changes, all that listen begin anew by it,
//! and look for what they may have missed; what was on its way to a master that has moved is sent to the new one.

mod slots;
mod topology;

use std::sync::Arc;

pub(in crate::channel::redis) use slots::Slots;
pub(super) use topology::Topology;
pub(in crate::channel::redis) use topology::read;

use super::inward::Inward;
use super::outward::Outward;
use crate::channel::redis::link::Endpoint;
use crate::channel::redis::{Clock, HostUrl, Hub, Settings, Task, Unusable};

/// The threads of this engine over a cluster: `bus-out`, `bus-in` and those that it starts, `bus-map`.
///
/// # Errors
/// An address is none, or names a database: a cluster has but one.
pub(super) fn tasks(
    hub: &Arc<Hub>,
    clock: &Clock,
    settings: &Settings,
    control: &str,
) -> Result<Vec<Task>, Unusable> {
    let topology = Arc::new(Topology::new(hub, clock, seeds(settings)?));
    let (running, stop) = crossbeam_channel::bounded(0);
    let outward = Outward::over_cluster(hub, clock, &topology, control, running);
    let (map, map_stop) = (Arc::clone(&topology), stop.clone());
    let (hub, clock, control) = (Arc::clone(hub), Arc::clone(clock), control.to_owned());
    let listen = move || Inward::run_cluster(&hub, &clock, &topology, &control, &stop);
    Ok(vec![
        Task { name: "bus-in".to_owned(), run: Box::new(listen) },
        Task { name: "bus-map".to_owned(), run: Box::new(move || map.run(&map_stop)) },
        Task { name: "bus-out".to_owned(), run: Box::new(move || outward.run()) },
    ])
}

/// The nodes that the settings name.
///
/// # Errors
/// An address is none, or names a database: a cluster has but one.
pub(in crate::channel::redis) fn seeds(settings: &Settings) -> Result<Vec<Endpoint>, Unusable> {
    let seed = |url: &HostUrl| {
        let plain = HostUrl(url.0.replacen("+cluster://", "://", 1));
        let endpoint = Endpoint::parse(&plain, settings.ca_file.as_deref())?;
        if endpoint.db() != 0 {
            return Err(Unusable(format!("{}: a cluster has no database but 0", url.redacted())));
        }
        Ok(endpoint)
    };
    settings.hosts.iter().map(seed).collect()
}
