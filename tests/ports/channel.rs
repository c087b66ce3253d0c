//! One suite for the port to the channel layer, run for every layer: what is published reaches who is in the group, in order,
//! on every node.
//!
//! A layer joins by a function that makes a [`World`] of it, and by a test that runs [`suite`] there. The layer of one node is
//! a world of one; those over Redis are two nodes each.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails, and tests have a clock"
)]

#[path = "channel/book.rs"]
mod book;
#[path = "channel/cluster.rs"]
mod cluster;
#[path = "channel/inbox.rs"]
mod inbox;
#[path = "channel/life.rs"]
mod life;
#[path = "channel/order.rs"]
mod order;
#[path = "channel/reach.rs"]
mod reach;
#[path = "channel/redis.rs"]
mod redis;
#[path = "channel/world.rs"]
mod world;

use std::time::Duration;

use fortifun_fixtures::RedisCluster;
use redis::{Ground, Layer};
use world::World;

/// How long anything may take that does come: generous, since a passing test never waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What holds for every layer, each in a world of its own; all at once, since most of it is waiting.
fn suite(make: &(dyn Fn() -> World + Sync)) {
    std::thread::scope(|scope| {
        for (name, rule) in [reach::RULES, order::RULES, life::RULES].concat() {
            // A rule that fails is told by its thread's name.
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread.spawn_scoped(scope, move || rule(&mut make())).unwrap();
        }
    });
}

/// A rule and its name.
type Rule = (&'static str, fn(&mut World));

/// The rules of a module, by their names.
macro_rules! rules {
    ($($name:ident),+ $(,)?) => { &[$((stringify!($name), $name)),+] };
}
use rules;

#[test]
fn memory_keeps_the_port() {
    suite(&World::memory);
}

#[test]
fn redis_pubsub_keeps_the_port() {
    let ground = Ground::plain(Layer::PubSub);
    suite(&|| ground.world());
}

#[test]
fn redis_pubsub_keeps_the_port_over_two_guarded_hosts() {
    let ground = Ground::guarded(Layer::PubSub);
    suite(&|| ground.world());
}

#[test]
fn a_redis_cluster_keeps_the_port() {
    let ground = cluster::ground(RedisCluster::start(0));
    suite(&|| ground.world());
}

#[test]
fn redis_core_keeps_the_port() {
    let ground = Ground::plain(Layer::Core);
    suite(&|| ground.world());
}

#[test]
fn redis_core_keeps_the_port_over_two_guarded_hosts() {
    let ground = Ground::guarded(Layer::Core);
    suite(&|| ground.world());
}

#[test]
fn redis_pubsub_outlives_its_redis() {
    redis::outlives(Ground::plain(Layer::PubSub));
}

#[test]
fn redis_core_outlives_its_redis() {
    redis::outlives(Ground::plain(Layer::Core));
}

#[test]
fn a_redis_cluster_outlives_its_masters() {
    redis::outlives(cluster::ground(RedisCluster::start(0)));
}

#[test]
fn a_redis_cluster_moves_slots_and_loses_nothing() {
    cluster::slots_move();
}

#[test]
fn redis_pubsub_leaves_nothing_behind() {
    redis::leaves_nothing(Layer::PubSub);
}

#[test]
fn redis_core_leaves_nothing_behind() {
    redis::leaves_nothing(Layer::Core);
}
