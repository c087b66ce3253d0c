//! The engine that speaks as `channels_redis.core.RedisChannelLayer`: a group is a set of members, each member names a queue,
//! and what is sent waits in the queue of every member.
//!
//! ```text
//! outbox ---> bus-out ---- who is in the group? then into their queues ---> host 0, host 1, …   one connection a host
//!                |
//!                +-------- joins, leaves, refreshes, a sign of life
//!
//! hub <------ bus-in <---- this node's queue ------------------------------ one host            one connection
//! ```
//!
//! A node is one member of a group, whatever sessions it has: by the channel `specific.{node}!{group}`, so that a message says
//! which group it is for. It reads its queue in bulk, and alone. A member that is not refreshed is dropped after
//! `group_expiry`; one whose node gives no sign of life any more, by whoever sends to the group.

mod command;
mod deposit;
mod depth;
mod inward;
mod lane;
mod line;
mod membership;
mod neighbours;
mod outward;
mod roster;

use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;

use super::link::{Endpoint, Fault};
use super::{Clock, Hub, Settings, Side, Task, Unusable};
use crate::channel::bus::{NodeId, channel_name, queue_name};
use crate::limits::BUS_IDLE_MS;
use crate::model::Group;
use crate::time::Timestamp;
use command::Scripts;
use inward::Inward;
use neighbours::Owed;
use outward::Outward;

/// How far a clock may be set back before scores follow it, microseconds.
const SET_BACK_US_MAX: i64 = 1_000_000;

/// How long something lasts, and how much fits: Django's settings of the same names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Terms {
    /// Messages in a queue.
    pub(super) capacity: u32,
    /// How long a message waits in a queue, seconds.
    pub(super) expiry_s: u32,
    /// How long a member stays in a group without being refreshed, seconds.
    pub(super) group_expiry_s: u32,
}

/// What the two threads share.
struct Core {
    hub: Arc<Hub>,
    clock: Clock,
    terms: Terms,
    scripts: Scripts,
    hosts: usize,
    /// Where this node's queue is.
    queue_host: usize,
    queue_key: String,
    owed: Mutex<Owed>,
    found: Mutex<Found>,
    /// The latest score that was given.
    latest: Mutex<Timestamp>,
    /// Ends with the thread that sends.
    stop: Receiver<()>,
}

/// What is needed to hear what is sent to groups of the host that has this node's queue.
#[derive(Debug, Default)]
struct Found {
    is_member: bool,
    is_read: bool,
}

/// What became of a part of what is needed to hear.
#[derive(Clone, Copy)]
enum Standing<'a> {
    /// The node is a member of its groups on the host.
    Member,
    /// It may not be any more.
    Lost(&'a Fault),
    /// Its queue is read.
    Read,
    /// It is not any more.
    Unread(&'a Fault),
}

/// The threads of this engine: `bus-out` and `bus-in`.
///
/// # Errors
/// A host's address or a file of certificates is none.
pub(super) fn tasks(
    hub: &Arc<Hub>,
    settings: &Settings,
    terms: Terms,
) -> Result<Vec<Task>, Unusable> {
    let ca_file = settings.ca_file.as_deref();
    let endpoints: Vec<Endpoint> =
        settings.hosts.iter().map(|url| Endpoint::parse(url, ca_file)).collect::<Result<_, _>>()?;
    let queue = channel_name(hub.me(), "");
    let queue_host = hub.ring().host(queue_name(&queue));
    let clock: Clock = {
        let hub = Arc::clone(hub);
        Arc::new(move || hub.now())
    };
    let (running, stop) = bounded(0);
    let core = Arc::new(Core {
        hub: Arc::clone(hub),
        clock,
        terms,
        scripts: Scripts::default(),
        hosts: endpoints.len().max(1),
        queue_host,
        queue_key: hub.names().queue_key(&queue),
        owed: Mutex::default(),
        found: Mutex::default(),
        latest: Mutex::default(),
        stop,
    });
    let Some(of_queue) = endpoints.get(queue_host).cloned() else {
        return Err(Unusable("no host".to_owned()));
    };
    let inward = Inward::new(&core, of_queue);
    let outward = Outward::new(&core, endpoints);
    let send = move || {
        outward.run();
        drop(running);
    };
    Ok(vec![
        Task { name: "bus-in".to_owned(), run: Box::new(move || inward.run()) },
        Task { name: "bus-out".to_owned(), run: Box::new(send) },
    ])
}

impl Core {
    /// The names of `group` that belong to `host`.
    fn names_on(&self, host: usize, group: Group) -> impl Iterator<Item = String> {
        let names = self.hub.names().heard(group);
        names.filter(move |name| self.hub.ring().host(name) == host)
    }

    /// Between two signs of life: well within what a sign and a member last.
    fn sign_every_ms(&self) -> u64 {
        BUS_IDLE_MS.min(1_000 * u64::from(self.terms.group_expiry_s) / 3)
    }

    /// The time that gives what is sent now its place in queues: see [`later`].
    fn score_at(&self, now: Timestamp) -> Timestamp {
        let mut latest = self.latest.lock();
        *latest = later(*latest, now);
        *latest
    }

    /// `node`, where it is one, may have missed what was sent at `since` or later, if anything.
    fn owe(&self, node: Option<NodeId>, since: Option<Timestamp>) {
        if let (Some(node), Some(since)) = (node, since) {
            self.owed.lock().owe(node, since);
        }
    }

    /// A part of what is needed to hear what is sent to groups of `host` has come or gone. Groups of the other hosts are heard
    /// as soon as the node is a member: the queue is not there.
    fn on_standing(&self, host: usize, standing: Standing<'_>) {
        let mut found = self.found.lock();
        let is_whole = match standing {
            Standing::Member | Standing::Lost(_) if host != self.queue_host => true,
            Standing::Member => {
                found.is_member = true;
                found.is_read
            }
            Standing::Read => {
                found.is_read = true;
                found.is_member
            }
            Standing::Lost(_) => std::mem::take(&mut found.is_member),
            Standing::Unread(_) => std::mem::take(&mut found.is_read),
        };
        match standing {
            Standing::Lost(fault) | Standing::Unread(fault) => {
                self.hub.is_down(Side::In(host), &fault.to_string());
            }
            Standing::Member | Standing::Read if is_whole => self.hub.is_up(Side::In(host)),
            Standing::Member | Standing::Read => {}
        }
    }
}

/// `now`, or `latest` where the clock was set back a little since: what a sender sends lies in its order. After a large step
/// that would last too long.
fn later(latest: Timestamp, now: Timestamp) -> Timestamp {
    if latest.0.saturating_sub(now.0) > SET_BACK_US_MAX { now } else { latest.max(now) }
}

#[cfg(test)]
mod tests;
