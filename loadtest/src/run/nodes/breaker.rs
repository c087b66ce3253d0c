//! Breaks Redis and nodes at their times, each on a thread of its own, and says so.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use anyhow::Context;
use fortifun_fixtures::Redis;

use super::plan::{Act, Step};
use crate::clock::Clock;
use crate::launch::Launched;
use crate::run::fleet::Fleet;
use crate::scrape::Scrape;
use crate::target::Target;

/// Counters of the bus in `/metrics`.
pub(super) const COUNTERS: &str = "fortifun_bus_";

/// What a breaker says.
pub(super) enum Notice {
    /// Redis is about to be killed.
    RedisGone,
    /// It answers again.
    RedisBack,
    /// It ended connections.
    RedisCut(&'static str),
    /// A node is about to be killed; what its counters were.
    NodeGone(usize, Vec<(String, f64)>),
    /// It listens again.
    NodeBack(usize, Box<Target>),
    /// The run cannot go on.
    Failed(anyhow::Error),
}

/// Where a breaker stands in a run.
pub(super) struct Stand<'a> {
    pub(super) clock: &'a Clock,
    /// When the run began.
    pub(super) start: Duration,
    pub(super) steps: &'a [Step],
    pub(super) notices: Sender<Notice>,
    /// Closed once the breaker is to stop.
    pub(super) stop: Receiver<()>,
}

impl Stand<'_> {
    /// Waits until `at`; false: the run is over.
    fn wait_until(&self, at: Duration) -> bool {
        let left = at.saturating_sub(self.clock.now());
        matches!(self.stop.recv_timeout(left), Err(RecvTimeoutError::Timeout))
    }

    fn say(&self, notice: Notice) {
        // Nobody listens any more: the run is over.
        let _ = self.notices.send(notice);
    }
}

/// Carries out the steps that concern Redis, and leaves it running.
pub(super) fn break_redis(stand: &Stand<'_>, redis: &mut Redis) {
    for step in stand.steps {
        let at = stand.start + step.at;
        match step.act {
            Act::KillRedis(down) => {
                if !stand.wait_until(at) {
                    return;
                }
                stand.say(Notice::RedisGone);
                redis.kill();
                let goes_on = stand.wait_until(stand.clock.now() + down);
                redis.resume();
                stand.say(Notice::RedisBack);
                if !goes_on {
                    return;
                }
            }
            Act::CutRedis(kind) => {
                if !stand.wait_until(at) {
                    return;
                }
                redis.command(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
                stand.say(Notice::RedisCut(kind));
            }
            Act::CutClients | Act::KillNode(..) => {}
        }
    }
}

/// Carries out the steps that concern nodes, and leaves them running until it is to stop: they end with this thread.
pub(super) fn break_nodes(stand: &Stand<'_>, fleet: &Fleet, nodes: &mut [Option<Launched>]) {
    break_each(stand, fleet, nodes);
    stand.wait_until(Duration::MAX);
}

fn break_each(stand: &Stand<'_>, fleet: &Fleet, nodes: &mut [Option<Launched>]) {
    for step in stand.steps {
        let Act::KillNode(node, down) = step.act else { continue };
        if !stand.wait_until(stand.start + step.at) {
            return;
        }
        let counters = nodes[node].as_ref().map(|node| counters(&fleet.target(node)));
        stand.say(Notice::NodeGone(node, counters.and_then(Result::ok).unwrap_or_default()));
        nodes[node] = None;
        let goes_on = stand.wait_until(stand.clock.now() + down);
        match fleet.serve().with_context(|| format!("node {node} does not start again")) {
            Ok(launched) => {
                let target = Box::new(fleet.target(&launched));
                nodes[node] = Some(launched);
                stand.say(Notice::NodeBack(node, target));
            }
            Err(error) => return stand.say(Notice::Failed(error)),
        }
        if !goes_on {
            return;
        }
    }
}

/// The counters of a node's bus.
pub(super) fn counters(target: &Target) -> anyhow::Result<Vec<(String, f64)>> {
    Ok(Scrape::of(target)?.counters(COUNTERS))
}
