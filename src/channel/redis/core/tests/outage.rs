//! Redis goes away and comes back, with and without what it had.

use fortifun_fixtures::Redis;

use super::world::{
    Node, add_member, conversation, eventually, members, pause, queued, settings, words_of,
};
use super::{DJANGO, QUEUE};
use crate::channel::ChannelLayer as _;
use crate::metrics::{BusDrop, Counter};
use crate::model::Group;

#[test]
fn after_a_crash_of_redis_everything_is_joined_anew_and_a_gap_is_marked() {
    let mut redis = Redis::start();
    let nodes = [Node::start(&settings(&[&redis])), Node::start(&settings(&[&redis]))];
    let group = conversation(1);
    for node in &nodes {
        node.join(group, &redis);
    }
    redis.kill();
    eventually("noticed", || nodes.iter().all(|node| node.layer.trouble().is_some()));
    nodes[0].say(group, "while it was away");
    redis.resume();
    eventually("whole again", || nodes.iter().all(|node| node.layer.trouble().is_none()));
    for name in ["chat_1", "conversation_1", "fortifun.chat_1", "fortifun.nodes"] {
        eventually(name, || members(&redis, name).len() == 2);
    }
    for node in &nodes {
        eventually("a gap", || node.count(Counter::BusGaps) >= 1);
    }
    nodes[0].say(group, "and now");
    nodes[1].say(group, "back");
    eventually("heard", || nodes[1].words().contains(&"and now".to_owned()));
    eventually("heard", || nodes[0].words().contains(&"back".to_owned()));
}

#[test]
fn a_redis_that_forgets_while_it_stays_up_is_noticed() {
    let redis = Redis::start();
    let nodes = [Node::start(&settings(&[&redis])), Node::start(&settings(&[&redis]))];
    let group = conversation(1);
    for node in &nodes {
        node.join(group, &redis);
    }
    pause(1_100);
    redis.command(&["FLUSHALL"]);
    redis.command(&["SCRIPT", "FLUSH"]);
    eventually("joined again", || members(&redis, "chat_1").len() == 2);
    for node in &nodes {
        eventually("a gap", || node.count(Counter::BusGaps) == 1);
    }
    nodes[0].say(group, "still here");
    nodes[1].hears(&["still here"]);
}

#[test]
fn a_node_that_starts_without_redis_joins_when_it_comes() {
    let mut redis = Redis::start();
    redis.kill();
    let node = Node::begin(&settings(&[&redis]));
    node.layer.join(conversation(1), crate::ids::ShardId(0));
    eventually("tried", || node.layer.trouble().is_some_and(|why| why.contains("reached")));
    node.typing(conversation(1));
    node.say(conversation(1), "early");
    redis.resume();
    add_member(&redis, "chat_1", DJANGO[0]);
    eventually("joined", || members(&redis, "chat_1").len() == 2);
    eventually("sent", || redis.command(&["ZCARD", QUEUE]).integer() == 1);
    assert_eq!(words_of(&queued(&redis, QUEUE)), ["early"], "and no typing of long ago");
    assert_eq!(node.count(Counter::BusGaps), 0, "nothing can have been missed before");
}

#[test]
fn a_frozen_redis_is_given_up_and_what_was_under_way_is_sent_again() {
    let redis = Redis::start();
    let node = Node::start(&settings(&[&redis]));
    add_member(&redis, "chat_1", DJANGO[0]);
    redis.freeze();
    node.say(conversation(1), "under way");
    node.typing(conversation(1));
    eventually("given up", || node.layer.trouble().is_some());
    redis.thaw();
    eventually("sent", || redis.command(&["ZCARD", QUEUE]).integer() >= 1);
    eventually("whole again", || node.layer.trouble().is_none());
    assert!(words_of(&queued(&redis, QUEUE)).contains(&"under way"));
}

#[test]
fn a_redis_that_takes_nothing_is_said_to_fail_and_told_of_when_it_takes_again() {
    let redis = Redis::start();
    let nodes = [Node::start(&settings(&[&redis])), Node::start(&settings(&[&redis]))];
    for node in &nodes {
        node.join(conversation(1), &redis);
    }
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    nodes[0].say(conversation(1), "no room in Redis");
    for node in &nodes {
        eventually("told", || node.layer.trouble().is_some_and(|why| why.contains("OOM")));
    }
    nodes[0].layer.join(conversation(2), crate::ids::ShardId(0));
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    for node in &nodes {
        eventually("whole again", || node.layer.trouble().is_none());
        eventually("a gap", || node.count(Counter::BusGaps) >= 1);
    }
    eventually("joined", || members(&redis, "chat_2").len() == 1);
    nodes[0].say(conversation(1), "room");
    eventually("heard", || nodes[1].words().contains(&"room".to_owned()));
}

#[test]
fn one_host_of_two_that_is_away_does_not_keep_the_other() {
    let mut hosts = [Redis::start(), Redis::start()];
    let all = settings(&[&hosts[0], &hosts[1]]);
    let ring = crate::channel::bus::Ring::new(2);
    let node = Node::start(&all);
    // A process whose queue is on the first host, in a group of each.
    let process = (0..100)
        .map(|id| format!("specific.{id:032x}!"))
        .find(|queue| ring.host(queue) == 0)
        .unwrap();
    let queue = format!("asgi{process}");
    let channel = format!("{process}00000000000000000000000000000001");
    let on = |host: usize| {
        let is_there = |group: &Group| ring.host(&group.to_string()) == host;
        (1..100).map(conversation).find(is_there).unwrap()
    };
    for host in [0, 1] {
        add_member(&hosts[host], &on(host).to_string(), &channel);
    }
    hosts[1].kill();
    eventually("noticed", || node.layer.trouble().is_some());
    node.say(on(1), "waits");
    node.say(on(0), "passes");
    eventually("passed", || words_of(&queued(&hosts[0], &queue)) == ["passes"]);
    hosts[1].resume();
    add_member(&hosts[1], &on(1).to_string(), &channel);
    eventually("came later", || words_of(&queued(&hosts[0], &queue)).len() == 2);
    assert_eq!(node.count(Counter::BusDropped(BusDrop::NoRoom)), 0);
}
