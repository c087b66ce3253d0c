//! All hosts that are published on: those of the settings, or the masters of a cluster as its map has them now.

use std::sync::Arc;

use super::cluster::{Slots, Topology};
use super::health::Health;
use super::lane::Lane;
use super::pipeline::{Moved, What};
use super::route::{PLAIN, Place, Route, SHARDED};
use crate::channel::bus::Address;
use crate::channel::redis::interest::Reader;
use crate::channel::redis::link::Endpoint;
use crate::channel::redis::{Clock, Hub, Side};
use crate::limits::{BUS_BATCH_MAX, BUS_OUTBOX_MAX, BUS_RETRY_MS_MIN};
use crate::metrics::BusDrop;
use crate::time::{Mono, Timestamp};

/// See the module.
pub(super) struct Hosts {
    hub: Arc<Hub>,
    clock: Clock,
    /// None before a cluster is known.
    route: Option<Route>,
    /// By host.
    lanes: Vec<Lane>,
    listeners: Vec<Listener>,
    cluster: Option<Cluster>,
    /// Since when something was lost because no host has it.
    lost: Option<Timestamp>,
}

/// This node's listener at one host.
pub(super) struct Listener {
    /// What it has not been told.
    pub(super) reader: Reader,
    /// Where it is told so; nowhere, where it looks by itself.
    pub(super) control: Option<String>,
}

/// What there is to know where hosts come and go.
struct Cluster {
    topology: Arc<Topology>,
    /// Of the map that the lanes are made by.
    generation: u64,
    health: Arc<Health>,
    /// What is to go to another host than it was sent to.
    homeless: Vec<Moved>,
    /// When it is tried.
    homeless_at: Mono,
    /// What this node's own channels are called, but for a number.
    control: String,
}

impl Hosts {
    /// Hosts that know nothing of each other, and this node's listeners there.
    pub(super) fn of_ring(
        hub: &Arc<Hub>,
        clock: &Clock,
        endpoints: Vec<Endpoint>,
        listeners: Vec<Listener>,
    ) -> Self {
        // With one host, what waits while it is away waits in the outbox.
        let bound = BUS_BATCH_MAX.max(BUS_OUTBOX_MAX / endpoints.len().max(1));
        let lane = |(host, endpoint)| {
            let health = Health::new(hub, Side::Out(host));
            Lane::new((hub, clock), &PLAIN, &health, endpoint, bound)
        };
        let lanes = (0..).zip(endpoints).map(lane).collect();
        let route = Some(Route::Ring(hub.ring()));
        let (hub, clock) = (Arc::clone(hub), Arc::clone(clock));
        Self { hub, clock, route, lanes, listeners, cluster: None, lost: None }
    }

    /// The masters of a cluster, and this node's listeners there, at channels called `control` and a number.
    pub(super) fn of_cluster(
        hub: &Arc<Hub>,
        clock: &Clock,
        topology: &Arc<Topology>,
        control: &str,
    ) -> Self {
        let cluster = Cluster {
            topology: Arc::clone(topology),
            generation: 0,
            health: Health::new(hub, Side::Out(0)),
            homeless: Vec::new(),
            homeless_at: Mono::default(),
            control: control.to_owned(),
        };
        let (hub, clock) = (Arc::clone(hub), Arc::clone(clock));
        let (lanes, listeners) = (Vec::new(), Vec::new());
        Self { hub, clock, route: None, lanes, listeners, cluster: Some(cluster), lost: None }
    }

    /// Sees to the map and to all connections.
    pub(super) fn advance(&mut self, now: Mono) {
        if self.has_new_map() {
            // Whoever listens by the old one looks up, and ends.
            self.wake_listeners(|_, _| true);
            self.follow_map();
        }
        for lane in &mut self.lanes {
            lane.advance(now);
        }
        self.rehouse(now);
    }

    /// When [`Self::advance`] has something to do at the latest.
    pub(super) fn next_at(&self, now: Mono) -> Option<Mono> {
        let homeless = self.cluster.iter().filter(|cluster| !cluster.homeless.is_empty());
        let homeless = homeless.map(|cluster| cluster.homeless_at);
        self.lanes.iter().map(|lane| lane.next_at(now)).chain(homeless).min()
    }

    /// True exactly when some host is there.
    pub(super) fn is_up(&self) -> bool {
        self.lanes.iter().any(Lane::is_up)
    }

    /// True exactly when a host that is there has something to do.
    pub(super) fn is_busy(&self) -> bool {
        self.lanes.iter().any(Lane::is_busy)
    }

    /// True exactly when no host that is there has more than enough to do.
    pub(super) fn has_room(&self) -> bool {
        self.lanes.iter().all(|lane| !lane.is_up() || lane.len() <= BUS_BATCH_MAX)
    }

    /// True exactly when all that was pushed is answered.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.iter().all(Lane::is_empty)
            && self.cluster.iter().all(|cluster| cluster.homeless.is_empty())
    }

    /// Queues `payload` for `channel` on its host.
    pub(super) fn push(&mut self, channel: &str, payload: &[u8], what: What) {
        let slot = self.cluster.as_ref().map_or(0, |_| Slots::of(channel));
        match self.lane_of(channel) {
            Some(lane) => lane.push(channel, payload, slot, what),
            None => self.on_lost(what),
        }
    }

    /// True exactly when all nodes can be told something.
    pub(super) fn can_tell_nodes(&mut self) -> bool {
        let channel = self.hub.names().pubsub(&self.hub.names().sent(Address::Nodes));
        self.lane_of(&channel).is_some_and(|lane| lane.is_up())
    }

    /// Since when something was lost on hosts that are there; forgets it.
    pub(super) fn take_lost(&mut self) -> Option<Timestamp> {
        let up = self.lanes.iter_mut().filter(|lane| lane.is_up());
        up.filter_map(Lane::take_lost).chain(self.lost.take()).min()
    }

    /// Has each listener for which `is_due` look what there is to subscribe to.
    pub(super) fn wake_listeners(&mut self, is_due: impl Fn(&Hub, Reader) -> bool) {
        for (lane, listener) in self.lanes.iter_mut().zip(&self.listeners) {
            if let Some(control) = &listener.control
                && lane.is_up()
                && is_due(&self.hub, listener.reader)
            {
                let slot = self.cluster.as_ref().map_or(0, |_| Slots::of(control));
                lane.push(control, b"wake", slot, What::Sheddable);
            }
        }
    }

    /// Reads what every host has answered, then sends it the next part.
    pub(super) fn exchange(&mut self) {
        for lane in &mut self.lanes {
            lane.read_answers();
        }
        for lane in &mut self.lanes {
            lane.send();
        }
    }

    fn lane_of(&mut self, channel: &str) -> Option<&mut Lane> {
        let host = self.route.as_ref()?.host(channel)?;
        self.lanes.get_mut(host)
    }

    fn on_lost(&mut self, what: What) {
        self.hub.dropped(BusDrop::NoRoom);
        if let What::Message(at) | What::Gap(at) = what {
            self.lost = Some(self.lost.map_or(at, |earlier| earlier.min(at)));
        }
    }

    fn has_new_map(&self) -> bool {
        let cluster = self.cluster.as_ref();
        cluster.is_some_and(|cluster| cluster.generation != cluster.topology.generation())
    }

    /// Makes the lanes those of the newest map. A master that is in both keeps its connection and what waits for it.
    fn follow_map(&mut self) {
        let Some(cluster) = &mut self.cluster else { return };
        let Some((generation, slots)) = cluster.topology.current() else { return };
        cluster.generation = generation;
        let route = Route::Slots(Arc::clone(&slots));
        let mut before = std::mem::take(&mut self.lanes);
        self.listeners.clear();
        let count = slots.masters().len();
        for host in 0..count {
            let endpoint = cluster.topology.endpoint(&slots, host);
            let same = before.iter().position(|lane| lane.who() == endpoint.shown());
            self.lanes.push(if let Some(at) = same {
                before.swap_remove(at)
            } else {
                let bound = BUS_BATCH_MAX.max(BUS_OUTBOX_MAX / count);
                let both = (&self.hub, &self.clock);
                Lane::new(both, &SHARDED, &cluster.health, endpoint, bound)
            });
            let place = Place { names: self.hub.names(), route: &route, host };
            let control = place.own_channel(&cluster.control);
            self.listeners.push(Listener { reader: cluster.topology.reader(host), control });
        }
        for mut lane in before {
            cluster.homeless.append(&mut lane.take_moved());
            cluster.homeless.append(&mut lane.take_all());
            if let Some(since) = lane.take_lost() {
                self.lost = Some(self.lost.map_or(since, |earlier| earlier.min(since)));
            }
        }
        let all: Vec<&str> = self.lanes.iter().map(Lane::who).collect();
        cluster.health.expect(&all);
        cluster.homeless_at = Mono::default();
        self.route = Some(route);
    }

    /// Sends what belongs to another host to the one that has it by the newest map. While that is wrong too, now and then.
    fn rehouse(&mut self, now: Mono) {
        let Some(cluster) = &mut self.cluster else { return };
        for lane in &mut self.lanes {
            cluster.homeless.append(&mut lane.take_moved());
        }
        if !cluster.homeless.is_empty() || self.lanes.iter().any(|lane| !lane.is_up()) {
            cluster.topology.doubt();
        }
        if cluster.homeless.is_empty() || now < cluster.homeless_at {
            return;
        }
        cluster.homeless_at = now.plus(BUS_RETRY_MS_MIN);
        let Some(Route::Slots(slots)) = &self.route else { return };
        let slots = Arc::clone(slots);
        for moved in std::mem::take(&mut cluster.homeless) {
            match slots.master(moved.slot).and_then(|host| self.lanes.get_mut(host)) {
                Some(lane) => lane.push_moved(&moved),
                None => self.on_lost(moved.what),
            }
        }
    }
}
