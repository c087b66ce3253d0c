//! While it does not.

use std::time::{Duration, Instant};

use fortifun_fixtures::Redis;

use super::node::{
    Node, PATIENCE, conversation, long_message, message, over, settings, typing, until,
};
use crate::channel::ChannelLayer as _;
use crate::limits::BUS_OUTBOX_MAX;
use crate::metrics::{BusDrop, Counter, Direction, Gauge};
use crate::time::Timestamp;

/// Publishes on `a` for `rounds`, breaks the bus by `harm` in each, and says of every message that `b` did not get when it
/// was committed.
pub(super) fn missed_under(
    (a, b): (&Node, &Node),
    rounds: usize,
    mut harm: impl FnMut(usize) + Send,
) -> Vec<Timestamp> {
    let mut sent = Vec::new();
    let mut seq = 0;
    for round in 0..rounds {
        let mut stream = |how_long: Duration| {
            let begin = Instant::now();
            while begin.elapsed() < how_long {
                for _ in 0..5 {
                    seq += 1;
                    let delivery = message(1, seq);
                    sent.push((seq, delivery.committed_at.unwrap()));
                    a.publish(delivery);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        stream(Duration::from_millis(300));
        std::thread::scope(|scope| {
            let harming = scope.spawn(|| harm(round));
            while !harming.is_finished() {
                stream(Duration::from_millis(20));
            }
        });
        until("both are back", || [a, b].iter().all(|node| node.layer.trouble().is_none()));
    }
    // What follows in one stream comes behind it.
    let last = message(1, seq + 1);
    a.publish(last);
    until("the last came", || b.inbox.places().contains(&(1, seq + 1)));
    let got = b.inbox.places();
    sent.retain(|(seq, _)| !got.contains(&(1, *seq)));
    sent.into_iter().map(|(_, at)| at).collect()
}

/// All that was missed is looked for.
pub(super) fn assert_covered(missed: &[Timestamp], node: &Node, gaps: usize) {
    println!("missed {}, gaps {}", missed.len(), node.gaps());
    assert!(node.gaps() >= gaps, "{} gaps", node.gaps());
    let forgotten = missed.iter().filter(|at| !node.looks_for(**at)).count();
    assert_eq!(forgotten, 0, "of {}", missed.len());
}

#[test]
fn a_killed_server_loses_nothing_that_is_not_looked_for() {
    let mut server = Redis::start();
    let (a, b) = (Node::connected(&over(&server)), Node::connected(&over(&server)));
    b.join(&[conversation(1)]);
    let missed = missed_under((&a, &b), 3, |_| {
        server.kill();
        std::thread::sleep(Duration::from_millis(200));
        server.resume();
    });
    assert_covered(&missed, &b, 3);
}

#[test]
fn connections_that_are_cut_lose_nothing_that_is_not_looked_for() {
    let server = Redis::start();
    let (a, b) = (Node::connected(&over(&server)), Node::connected(&over(&server)));
    b.join(&[conversation(1)]);
    let missed = missed_under((&a, &b), 4, |round| {
        let kind = if round % 2 == 0 { "pubsub" } else { "normal" };
        server.command(&["CLIENT", "KILL", "TYPE", kind]);
        std::thread::sleep(Duration::from_millis(100));
    });
    assert_covered(&missed, &b, 2);
}

#[test]
fn a_halted_server_is_noticed_within_three_seconds() {
    let server = Redis::start();
    let (a, b) = (Node::connected(&over(&server)), Node::connected(&over(&server)));
    b.join(&[conversation(1)]);
    let mut noticed = Duration::ZERO;
    let missed = missed_under((&a, &b), 1, |_| {
        let begin = Instant::now();
        server.freeze();
        until("it is noticed", || b.layer.trouble().is_some());
        noticed = begin.elapsed();
        server.thaw();
    });
    println!("noticed after {noticed:?}");
    assert!(noticed < Duration::from_millis(3_300), "{noticed:?}");
    assert!(b.layer.trouble().is_none());
    assert_covered(&missed, &b, 1);
}

#[test]
fn a_receiver_that_is_cut_off_looks_for_all_that_it_had_not_read() {
    let server = Redis::start();
    server.command(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 512kb 1"]);
    let (a, b) = (Node::connected(&over(&server)), Node::connected(&over(&server)));
    b.join(&[conversation(1)]);
    // Until a sign of life was answered.
    std::thread::sleep(Duration::from_millis(1_200));
    let closed = b.inbox.gate.lock();
    let mut sent = Vec::new();
    let begin = Instant::now();
    while listeners(&server) == 2 {
        assert!(begin.elapsed() < PATIENCE, "it is not cut off");
        for _ in 0..100 {
            let seq = sent.len() as i64 + 1;
            let delivery = long_message(1, seq);
            sent.push((seq, delivery.committed_at.unwrap()));
            a.publish(delivery);
        }
        until("it is published", || a.layer.hub.outbox().is_empty());
        std::thread::sleep(Duration::from_millis(20));
    }
    // What it reads now it was sent long ago.
    std::thread::sleep(Duration::from_millis(2_500));
    drop(closed);
    until("it looks for it", || b.gaps() == 1);
    let got = b.inbox.places();
    sent.retain(|(seq, _)| !got.contains(&(1, *seq)));
    let missed: Vec<Timestamp> = sent.into_iter().map(|(_, at)| at).collect();
    assert!(!missed.is_empty());
    assert_covered(&missed, &b, 1);
    a.publish(message(2, 1));
    a.publish(message(1, 1_000_000));
    until("it listens again", || b.inbox.places().contains(&(1, 1_000_000)));
}

#[test]
fn what_finds_no_room_is_told_to_all_and_what_is_out_of_date_to_nobody() {
    let mut server = Redis::start();
    let (a, b) = (Node::connected(&over(&server)), Node::connected(&over(&server)));
    b.join(&[conversation(1)]);
    server.kill();
    until("it is noticed", || a.metrics.gauge(Gauge::BusUp(Direction::Out)) == 0);
    let dropped = || a.metrics.counter(Counter::BusDropped(BusDrop::NoRoom)) as usize;
    let before = dropped();
    a.publish(typing(1));
    let more = 1_000;
    for seq in 1..(BUS_OUTBOX_MAX + more) as i64 {
        a.publish(message(1, seq));
    }
    a.publish(typing(1));
    assert_eq!(dropped() - before, more + 1);
    server.resume();
    // Its own, and the other's, which it may hear the second time.
    until("both looked", || b.gaps() >= 2);
    until("all is sent", || a.layer.hub.outbox().is_empty());
    a.publish(message(1, 1_000_000));
    until("it works again", || b.inbox.places().contains(&(1, 1_000_000)));
    assert!(b.inbox.texts().iter().all(|text| !text.contains("typing")));
}

#[test]
fn a_node_that_was_cut_off_sends_what_is_not_out_of_date() {
    let server = Redis::start();
    let set = |what: &str| {
        server.command(&[
            "ACL",
            "SETUSER",
            "app",
            what,
            ">secret",
            "+@all",
            "allkeys",
            "allchannels",
        ])
    };
    set("on");
    let (a, b) = (
        Node::connected(&settings(&[server.url_as("app", "secret")])),
        Node::connected(&over(&server)),
    );
    b.join(&[conversation(1)]);
    set("off");
    server.command(&["CLIENT", "KILL", "USER", "app"]);
    until("it is noticed", || a.metrics.gauge(Gauge::BusUp(Direction::Out)) == 0);
    a.publish(typing(1));
    for seq in 1..=1_000 {
        a.publish(message(1, seq));
        a.publish(typing(1));
    }
    set("on");
    until("the rest comes", || b.inbox.places().len() == 1_000);
    a.publish(message(1, 1_001));
    until("it works again", || b.inbox.places().len() == 1_001);
    assert_eq!((b.inbox.len(), b.gaps()), (1_001, 0), "no typing, and nothing to look for");
}

#[test]
fn a_host_that_does_not_answer_holds_up_no_other() {
    let servers = [Redis::start(), Redis::start()];
    let settings = settings(&servers.each_ref().map(Redis::url));
    let (a, b) = (Node::connected(&settings), Node::connected(&settings));
    let ring = a.layer.hub.ring();
    let host = |id: &i64| ring.host(&format!("asgi__group__chat_{id}"));
    let here: Vec<i64> = (1..100).filter(|id| host(id) == 0).collect();
    let there: Vec<i64> = (1..100).filter(|id| host(id) == 1).collect();
    let groups: Vec<_> = (1..100).map(conversation).collect();
    b.join(&groups);
    servers[1].freeze();
    a.publish(message(there[0], 1));
    until("it is noticed", || [&a, &b].iter().all(|node| node.layer.trouble().is_some()));
    let mut slowest = Duration::ZERO;
    for seq in 1..=300 {
        let begin = Instant::now();
        a.publish(message(there[0], seq + 1));
        a.publish(message(here[0], seq));
        until("it comes", || b.inbox.places().contains(&(here[0], seq)));
        slowest = slowest.max(begin.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("slowest beside a halted host: {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    servers[1].thaw();
    until("both are back", || [&a, &b].iter().all(|node| node.layer.trouble().is_none()));
    a.publish(message(there[0], 1_000));
    until("the other works", || b.inbox.places().contains(&(there[0], 1_000)));
}

#[test]
fn whoever_is_not_let_in_says_why_and_comes_back_by_itself() {
    let server = Redis::start_with(&["--requirepass", "secret"]);
    let place = server.url().trim_start_matches("redis://").to_owned();
    let node = Node::start(&settings(&[format!("redis://app:secret@{place}")]));
    let told = |what: &str| {
        until(what, || node.layer.trouble().is_some_and(|trouble| trouble.contains(what)));
        assert!(!node.layer.trouble().unwrap_or_default().contains("secret"));
    };
    told("the user or the password is wrong");
    let rights = |channels: &str| {
        let rights = ["-@all", "+publish", "+subscribe", "+unsubscribe", "resetchannels", channels];
        let user = ["ACL", "SETUSER", "app", "on", ">secret"];
        server.command(&[&user[..], &rights[..]].concat());
    };
    rights("&other*");
    told("the user lacks a permission");
    rights("&asgi*");
    until("it is let in", || node.layer.trouble().is_none());
    node.join(&[conversation(1)]);
    let other = Node::connected(&settings(&[format!("redis://:secret@{place}")]));
    other.publish(message(1, 1));
    until("it comes", || node.inbox.len() == 1);
    // Longer than a sign of life may take, which it may not ask for.
    std::thread::sleep(Duration::from_secs(3));
    assert!(node.layer.trouble().is_none() && node.gaps() == 0);
    // A right that is taken away while it is used.
    server.command(&["ACL", "SETUSER", "app", "-publish"]);
    node.publish(message(1, 2));
    told("the user lacks a permission");
    server.command(&["ACL", "SETUSER", "app", "+publish"]);
    until("what it could not say is told", || other.gaps() > 0);
    until("it works again", || node.layer.trouble().is_none());
}

#[test]
fn a_node_starts_without_redis_and_finds_it_later() {
    let mut server = Redis::start();
    server.stop();
    let (a, b) = (Node::start(&over(&server)), Node::start(&over(&server)));
    until("it says so", || {
        a.layer.trouble().is_some_and(|trouble| trouble.contains("cannot be reached"))
    });
    b.layer.join(conversation(1), crate::ids::ShardId(0));
    a.publish(message(1, 1));
    server.resume();
    until("both are there", || [&a, &b].iter().all(|node| node.layer.trouble().is_none()));
    a.publish(message(1, 2));
    until("it comes", || b.inbox.places().contains(&(1, 2)));
    server.stop();
    let took = a.close();
    assert!(took < Duration::from_millis(4_500), "{took:?}");
}

fn listeners(server: &Redis) -> usize {
    let listed = server.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).text();
    listed.matches("name=fortifun-in ").count()
}
