//! Nodes over a Redis Cluster.

use std::time::Duration;

use fortifun_fixtures::{Redis, RedisCluster};

use super::faults::{assert_covered, missed_under};
use super::node::{Node, conversation, message, now, settings, until};
use crate::channel::ChannelLayer as _;
use crate::channel::redis::Settings;
use crate::channel::redis::pubsub::cluster::Slots;
use crate::ids::ShardId;
use crate::limits::BUS_LINGER_MS;
use crate::metrics::Gauge;
use crate::model::Group;

fn over(cluster: &RedisCluster) -> Settings {
    settings(&cluster.urls())
}

#[test]
fn channels_are_spread_over_the_masters_and_leave_nothing() {
    let cluster = RedisCluster::start(0);
    let (a, b) = (Node::connected(&over(&cluster)), Node::connected(&over(&cluster)));
    let own = b.metrics.gauge(Gauge::BusSubscriptions);
    let groups: Vec<Group> = (1..=300).map(conversation).collect();
    b.join(&groups);
    for id in 1..=300 {
        a.publish(message(id, 1));
    }
    until("all came", || b.inbox.places().len() == 300);
    assert_eq!(b.inbox.len(), 300);
    let count = |server: &Redis, pattern| {
        server.command(&["PUBSUB", "SHARDCHANNELS", pattern]).texts().len()
    };
    for server in &cluster.nodes {
        assert!(count(server, "*chat_[0-9]*") > 100);
        let listed = server.command(&["CLIENT", "LIST"]).text();
        for name in ["fortifun-in", "fortifun-out"] {
            assert_eq!(listed.matches(&format!("name={name} ")).count(), 2, "{listed}");
        }
    }
    for group in &groups {
        b.layer.leave(*group, ShardId(0));
    }
    b.layer.hub.expire_interest(now().mono.plus(BUS_LINGER_MS + 1));
    until("it listens no more", || b.metrics.gauge(Gauge::BusSubscriptions) == own);
    assert!(cluster.nodes.iter().all(|server| count(server, "*chat_[0-9]*") == 0));
    assert_eq!((a.gaps(), b.gaps()), (0, 0));
    assert!(a.close() < Duration::from_secs(2));
    assert!(b.close() < Duration::from_secs(2));
}

#[test]
fn a_slot_that_moves_is_followed() {
    let cluster = RedisCluster::start(0);
    let (a, b) = (Node::connected(&over(&cluster)), Node::connected(&over(&cluster)));
    b.join(&[conversation(1)]);
    let slots = ["asgi__group__chat_1", "asgi__group__fortifun.chat_1"].map(Slots::of);
    let missed = missed_under((&a, &b), cluster.nodes.len(), |round| {
        for slot in slots {
            cluster.move_slot(slot, round);
        }
        std::thread::sleep(Duration::from_millis(500));
    });
    assert_covered(&missed, &b, 1);
}

#[test]
fn a_replica_that_takes_over_is_followed() {
    let mut cluster = RedisCluster::start(1);
    let (a, b) = (Node::connected(&over(&cluster)), Node::connected(&over(&cluster)));
    assert!(Slots::of("asgi__group__chat_1") < 16_384 / 3, "on the master that dies");
    b.join(&[conversation(1)]);
    let [first, .., replica] = &mut cluster.nodes[..] else { panic!("four nodes") };
    let missed = missed_under((&a, &b), 1, |_| {
        first.kill();
        until("the replica takes over", || {
            replica.command(&["ROLE"]).texts().first().is_some_and(|role| role == "master")
        });
    });
    assert_covered(&missed, &b, 1);
}

#[test]
fn a_master_that_is_away_is_told_and_what_went_by_it_is_looked_for() {
    let mut cluster = RedisCluster::start(0);
    let (a, b) = (Node::connected(&over(&cluster)), Node::connected(&over(&cluster)));
    b.join(&[conversation(1)]);
    let dies = &mut cluster.nodes[0];
    let missed = missed_under((&a, &b), 2, |_| {
        dies.kill();
        let host = format!("redis://127.0.0.1:{}: ", dies.port());
        for node in [&a, &b] {
            until("it is told", || node.layer.trouble().is_some_and(|it| it.contains(&host)));
        }
        dies.resume();
    });
    assert_covered(&missed, &b, 2);
}

#[test]
fn a_cluster_with_tls_is_spoken_with() {
    let cluster = RedisCluster::start_tls();
    let settings = Settings { ca_file: Some(cluster.ca_file()), ..over(&cluster) };
    assert!(settings.hosts[0].0.starts_with("rediss+cluster://"));
    let (a, b) = (Node::connected(&settings), Node::connected(&settings));
    let groups: Vec<Group> = (1..=30).map(conversation).collect();
    b.join(&groups);
    for id in 1..=30 {
        a.publish(message(id, 1));
    }
    until("all came", || b.inbox.len() == 30);
}

#[test]
fn nodes_that_are_no_cluster_and_nobody_are_told_of() {
    let server = Redis::start();
    let url = server.url().replacen("redis://", "redis+cluster://", 1);
    let node = Node::start(&settings(&[url]));
    let trouble = || node.layer.trouble().unwrap_or_default();
    until("it is told", || trouble().contains("cluster support disabled"));
    let begin = std::time::Instant::now();
    node.close();
    assert!(begin.elapsed() < Duration::from_secs(2));
}
