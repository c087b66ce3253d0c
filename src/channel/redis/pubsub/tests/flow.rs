//! While all goes well.

use std::collections::BTreeSet;
use std::time::Instant;

use fortifun_fixtures::Redis;

use super::node::{Node, conversation, encrypted, message, now, over, settings, typing, until};
use crate::channel::ChannelLayer as _;
use crate::channel::redis::Settings;
use crate::channel::{Delivery, Payload};
use crate::ids::ShardId;
use crate::limits::BUS_LINGER_MS;
use crate::metrics::{BusDrop, Counter, Gauge};
use crate::model::{Control, Group, UserId};

#[test]
fn what_one_node_publishes_comes_once_on_each() {
    let server = Redis::start();
    for settings in [over(&server), encrypted(&[server.url()])] {
        let (a, b) = (Node::connected(&settings), Node::connected(&settings));
        a.join(&[conversation(1)]);
        b.join(&[conversation(1)]);
        a.publish(typing(1));
        for seq in 1..=100 {
            a.publish(message(1, seq));
        }
        let order = Payload::Control(Control::Silence(true));
        a.publish(Delivery::new(Group::User(UserId(7)), order));
        a.publish(message(2, 1));
        b.publish(message(1, 101));
        until("all came", || a.inbox.len() == 102 && b.inbox.len() == 102);
        let (mut on_a, mut on_b) = (a.inbox.texts(), b.inbox.texts());
        on_a.sort();
        on_b.sort();
        assert_eq!(on_a, on_b, "byte for byte");
        let own = |node: &Node| node.metrics.counter(Counter::BusDropped(BusDrop::Own));
        until("its own came and went", || own(&a) == 101 && own(&b) == 1);
        assert_eq!((a.inbox.len(), b.inbox.len()), (102, 102), "nothing twice");
        assert_eq!((a.gaps(), b.gaps()), (0, 0));
        a.close();
        b.close();
    }
}

#[test]
fn messages_of_one_node_arrive_in_its_order() {
    let server = Redis::start();
    let (a, b) = (Node::connected(&over(&server)), Node::connected(&over(&server)));
    b.join(&[conversation(1)]);
    for seq in 1..=5_000 {
        a.publish(message(1, seq));
    }
    until("all came", || b.inbox.len() == 5_000);
    let found = b.inbox.texts();
    for (text, seq) in found.iter().zip(1..) {
        assert!(text.contains(&format!("\"seq\":{seq},")), "{text} as number {seq}");
    }
}

#[test]
fn names_are_spread_over_the_hosts_and_each_node_has_two_connections_to_each() {
    let servers = [Redis::start(), Redis::start(), Redis::start()];
    let settings = settings(&servers.each_ref().map(Redis::url));
    let (a, b) = (Node::connected(&settings), Node::connected(&settings));
    let groups: Vec<Group> = (1..=200).map(conversation).collect();
    b.join(&groups);
    for id in 1..=200 {
        a.publish(message(id, 1));
    }
    until("all came", || b.inbox.len() == 200);
    let expected: BTreeSet<(i64, i64)> = (1..=200).map(|id| (id, 1)).collect();
    assert_eq!(b.inbox.places(), expected);
    let mut names = 0;
    for server in &servers {
        let channels = server.command(&["PUBSUB", "CHANNELS", "*chat_[0-9]*"]).texts().len();
        assert!(channels > 50, "{channels}");
        names += channels;
        let listed = server.command(&["CLIENT", "LIST"]).text();
        for name in ["fortifun-in", "fortifun-out"] {
            assert_eq!(listed.matches(&format!("name={name} ")).count(), 2, "{listed}");
        }
    }
    assert_eq!(names, 400);
}

#[test]
fn ten_thousand_groups_come_and_go_and_leave_nothing() {
    let server = Redis::start();
    let node = Node::connected(&over(&server));
    let own = node.metrics.gauge(Gauge::BusSubscriptions);
    let groups: Vec<Group> = (1..=10_000).map(conversation).collect();
    for round in 0..3 {
        for group in &groups {
            node.layer.join(*group, ShardId(0));
            if round == 1 {
                node.layer.leave(*group, ShardId(0));
                node.layer.join(*group, ShardId(0));
            }
        }
        let all = own + 30_000;
        until("it listens", || node.metrics.gauge(Gauge::BusSubscriptions) == all);
        assert_eq!(server.info("pubsub_channels"), all);
        for group in &groups {
            node.layer.leave(*group, ShardId(0));
        }
        // Later than the last of them lingers.
        node.layer.hub.expire_interest(now().mono.plus(BUS_LINGER_MS + 1));
        until("it listens no more", || node.metrics.gauge(Gauge::BusSubscriptions) == own);
        assert_eq!(server.info("pubsub_channels"), own);
    }
    assert!(node.layer.hub.interest().is_empty());
    let listed = server.command(&["CLIENT", "LIST"]).text();
    assert_eq!(listed.matches("name=fortifun-").count(), 2, "{listed}");
    node.close();
    until("nobody listens", || server.info("pubsub_channels") == 0);
}

#[test]
fn a_group_is_listened_to_soon_after_its_first_session() {
    let server = Redis::start();
    let node = Node::connected(&over(&server));
    let mut waits = Vec::new();
    for id in 1..=50 {
        let begin = Instant::now();
        let channel = format!("asgi__group__chat_{id}");
        node.layer.join(conversation(id), ShardId(0));
        until("it listens", || server.command(&["PUBSUB", "NUMSUB", &channel]).texts()[1] == "1");
        waits.push(begin.elapsed().as_millis());
    }
    waits.sort_unstable();
    assert!(waits[25] < 100, "the connection's own look would take a second: {waits:?}");
}

#[test]
fn what_waits_is_sent_before_a_node_ends() {
    let server = Redis::start();
    let (a, b) = (Node::connected(&over(&server)), Node::connected(&over(&server)));
    b.join(&[conversation(1)]);
    for seq in 1..=2_000 {
        a.publish(message(1, seq));
    }
    let took = a.close();
    assert!(took.as_millis() < 2_500, "{took:?}");
    until("all came", || b.inbox.len() == 2_000);
    assert!(b.close().as_millis() < 1_000);
}

#[test]
fn rubbish_is_counted_and_ends_nothing() {
    let server = Redis::start();
    let (a, b) = (Node::connected(&over(&server)), Node::connected(&over(&server)));
    b.join(&[conversation(1)]);
    let channel = "asgi__group__chat_1";
    for payload in ["", "\u{81}", "[1]", "\u{fe}", "x"] {
        server.command(&["PUBLISH", channel, payload]);
    }
    // A map of one entry: `{"type": 7}`.
    server.command(&["PUBLISH", channel, "\u{1}"]);
    a.publish(message(1, 1));
    until("what follows comes", || b.inbox.len() == 1);
    let dropped = [BusDrop::Malformed, BusDrop::NoType]
        .map(|reason| b.metrics.counter(Counter::BusDropped(reason)));
    assert_eq!(dropped.iter().sum::<u64>(), 6, "{dropped:?}");
    assert!(b.layer.trouble().is_none());
}

/// Deliveries a second through the whole way out, beside bare pipelined `PUBLISH` commands of the same bytes.
#[test]
fn publishing_is_within_reach_of_a_bare_loop() {
    const COUNT: usize = 20_000;
    let server = Redis::start();
    let settings: Settings = over(&server);
    let node = Node::connected(&settings);
    let mut bare = super::super::Endpoint::parse(&settings.hosts[0], None)
        .map(|it| crate::channel::redis::link::Link::open(&it, "bare", &node_clock()).unwrap())
        .unwrap();
    let payload = vec![b'x'; 300];
    let mut rates = [0.0; 2];
    let begin = Instant::now();
    for _ in 0..COUNT / 512 {
        let mut pipe = redis::pipe();
        for id in 0..512 {
            pipe.cmd("PUBLISH").arg(format!("asgi__group__chat_{id}")).arg(&payload);
        }
        let answers: Vec<i64> = pipe.query(&mut bare).unwrap();
        assert_eq!(answers.len(), 512);
    }
    rates[0] = (COUNT / 512 * 512) as f64 / begin.elapsed().as_secs_f64();
    let published = || node.metrics.counter(Counter::BusPublished);
    let before = published();
    let begin = Instant::now();
    for seq in 0..COUNT {
        // No faster than it takes them, so that all are sent.
        while node.layer.hub.outbox().len() > 8_192 {
            std::thread::yield_now();
        }
        node.publish(message((seq % 512) as i64 + 1, (seq / 512) as i64 + 1));
    }
    until("all is published", || published() - before >= COUNT as u64);
    rates[1] = COUNT as f64 / begin.elapsed().as_secs_f64();
    println!(
        "bare pipelined PUBLISH {:.0}/s, the layer {:.0}/s, ratio {:.2}",
        rates[0],
        rates[1],
        rates[1] / rates[0]
    );
    assert!(rates[1] > rates[0] / 50.0);
}

fn node_clock() -> crate::channel::redis::Clock {
    std::sync::Arc::new(now)
}
