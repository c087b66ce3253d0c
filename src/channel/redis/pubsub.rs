//! The engine that speaks as `channels_redis.pubsub.RedisPubSubChannelLayer`: a group is a channel, and nothing waits anywhere
//! for whoever is not there.
//!
//! ```text
//! outbox ---> bus-out ----- PUBLISH, in parts -----> host 0, host 1, …        one connection a host
//!                |
//!                +--------- PUBLISH on this node's own channel: there is something to subscribe to
//!                                                                   |
//! hub <------ bus-in-0, bus-in-1, … <----- what is subscribed to ---+         one connection a host
//! ```
//!
//! Which host has which channel is decided by the channel's name, as everybody on the bus does.

mod inward;
mod lane;
mod outward;
mod pipeline;
mod pulse;
mod subscriptions;

use std::sync::Arc;

use super::link::Endpoint;
use super::{Clock, Hub, Settings, Task, Unusable};
use inward::Inward;
use outward::Outward;

/// The threads of this engine: `bus-out`, and `bus-in-N` for host N.
///
/// # Errors
/// A host's address or a file of certificates is none.
pub(super) fn tasks(hub: &Arc<Hub>, settings: &Settings) -> Result<Vec<Task>, Unusable> {
    let ca_file = settings.ca_file.as_deref();
    let endpoints: Vec<Endpoint> =
        settings.hosts.iter().map(|url| Endpoint::parse(url, ca_file)).collect::<Result<_, _>>()?;
    let clock: Clock = {
        let hub = Arc::clone(hub);
        Arc::new(move || hub.now())
    };
    // To this node alone, of which nobody else needs to know.
    let control = hub.names().pubsub(&format!("fortifun.node.{}", hub.me()));
    let readers: Vec<_> = endpoints.iter().map(|_| hub.interest().reader()).collect();
    let (running, stop) = crossbeam_channel::bounded(0);
    let mut tasks: Vec<Task> = (0..)
        .zip(endpoints.iter().zip(&readers))
        .map(|(host, (endpoint, reader))| {
            let inward = Inward {
                hub: Arc::clone(hub),
                clock: Arc::clone(&clock),
                host,
                endpoint: endpoint.clone(),
                reader: *reader,
                control: control.clone(),
                stop: stop.clone(),
            };
            Task { name: format!("bus-in-{host}"), run: Box::new(move || inward.run()) }
        })
        .collect();
    let outward = Outward::new(hub, &clock, endpoints, readers, control, running);
    tasks.push(Task { name: "bus-out".to_owned(), run: Box::new(move || outward.run()) });
    Ok(tasks)
}

#[cfg(test)]
mod tests;
