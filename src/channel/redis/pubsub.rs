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

pub(super) mod cluster;
mod health;
mod hosts;
mod inward;
mod lane;
mod outward;
mod pipeline;
mod pulse;
pub(super) mod route;
mod subscriptions;

use std::sync::Arc;

use super::link::Endpoint;
use super::{Clock, Hub, Settings, Side, Task, Unusable};
use health::Health;
use hosts::Listener;
use inward::Inward;
use outward::Outward;
use route::{PLAIN, Route};

/// The threads of this engine: `bus-out`, `bus-in-N` for host N, and over a cluster `bus-map`.
///
/// # Errors
/// A host's address or a file of certificates is none.
pub(super) fn tasks(hub: &Arc<Hub>, settings: &Settings) -> Result<Vec<Task>, Unusable> {
    let clock: Clock = {
        let hub = Arc::clone(hub);
        Arc::new(move || hub.now())
    };
    // To this node alone, of which nobody else needs to know.
    let control = format!("fortifun.node.{}", hub.me());
    if settings.is_cluster() {
        return cluster::tasks(hub, &clock, settings, &control);
    }
    let endpoints = endpoints(settings)?;
    let control = Some(hub.names().pubsub(&control));
    let (running, stop) = crossbeam_channel::bounded(0);
    let mut tasks = Vec::new();
    let mut listeners = Vec::new();
    for (host, endpoint) in endpoints.iter().enumerate() {
        let reader = hub.interest().reader();
        listeners.push(Listener { reader, control: control.clone() });
        let inward = Inward {
            hub: Arc::clone(hub),
            clock: Arc::clone(&clock),
            words: &PLAIN,
            route: Route::Ring(hub.ring()),
            host,
            health: Health::new(hub, Side::In(host)),
            endpoint: endpoint.clone(),
            reader,
            control: control.clone(),
            stop: stop.clone(),
            map: None,
        };
        let run = Box::new(move || {
            inward.run(None);
        });
        tasks.push(Task { name: format!("bus-in-{host}"), run });
    }
    let outward = Outward::over_ring(hub, &clock, endpoints, listeners, running);
    tasks.push(Task { name: "bus-out".to_owned(), run: Box::new(move || outward.run()) });
    Ok(tasks)
}

/// Hosts that know nothing of each other.
///
/// # Errors
/// An address or a file of certificates is none.
pub(super) fn endpoints(settings: &Settings) -> Result<Vec<Endpoint>, Unusable> {
    let ca_file = settings.ca_file.as_deref();
    settings.hosts.iter().map(|url| Endpoint::parse(url, ca_file)).collect()
}

#[cfg(test)]
mod tests;
