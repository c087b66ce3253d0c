//! The engine with real Redis servers.

#![expect(clippy::disallowed_methods, reason = "nodes have clocks, and tests wait")]

mod capacity;
mod outage;
mod world;

use fortifun_fixtures::Redis;

use super::command::{Commands, Scripts};
use crate::channel::ChannelLayer as _;
use crate::channel::bus::Format;
use crate::channel::redis::{Key, Kind, Settings};
use crate::limits::BUS_CLOSE_MS;
use crate::metrics::{BusDrop, Counter};
use crate::model::{Group, UserId};
use crate::time::Timestamp;
use world::{
    Node, PATIENCE, add_member, conversation, eventually, link, members, pause, queued, settings,
    wall, words_of,
};

/// Channels of one process of Django's.
const DJANGO: [&str; 2] = [
    "specific.0123456789abcdef0123456789abcdef!00000000000000000000000000000001",
    "specific.0123456789abcdef0123456789abcdef!00000000000000000000000000000002",
];
/// Its queue.
const QUEUE: &str = "asgispecific.0123456789abcdef0123456789abcdef!";

#[test]
fn nodes_hear_each_other_and_each_message_once() {
    let redis = Redis::start();
    let nodes = [Node::start(&settings(&[&redis])), Node::start(&settings(&[&redis]))];
    let group = conversation(1);
    for node in &nodes {
        node.join(group, &redis);
    }
    for word in ["one", "two", "three"] {
        nodes[0].say(group, word);
    }
    nodes[1].hears(&["one", "two", "three"]);
    nodes[1].say(group, "four");
    nodes[0].hears(&["one", "two", "three", "four"]);
    nodes[1].say(Group::General, "all");
    nodes[0].hears(&["one", "two", "three", "four", "all"]);
    nodes[1].hears(&["one", "two", "three", "four", "all"]);
    assert_eq!(nodes[0].count(Counter::BusDropped(BusDrop::Own)), 0);
    assert_eq!(nodes[0].count(Counter::BusGaps), 0);
}

#[test]
fn a_node_is_one_member_of_each_name_of_a_group_and_of_its_own() {
    let redis = Redis::start();
    let node = Node::start(&settings(&[&redis]));
    node.join(conversation(7), &redis);
    node.join(Group::User(UserId(2)), &redis);
    let names = [
        "chat_7",
        "conversation_7",
        "fortifun.chat_7",
        "user_2_notifications",
        "fortifun.user_2_notifications",
        "general_chat_notifications",
        "fortifun.general_chat_notifications",
        "fortifun.nodes",
    ];
    for name in names {
        assert_eq!(members(&redis, name), [format!("specific.{}!{name}", node.me)]);
        let key = format!("asgi:group:{name}");
        assert!((86_000..=86_400).contains(&redis.command(&["TTL", &key]).integer()), "{name}");
        let score = redis.command(&["ZSCORE", &key, &members(&redis, name)[0]]).text();
        let age = wall().0 as f64 / 1e6 - score.parse::<f64>().unwrap();
        assert!((0.0..10.0).contains(&age), "{age}");
    }
    assert_eq!(redis.command(&["KEYS", "asgi:group:*"]).texts().len(), names.len());
}

#[test]
fn a_process_of_django_gets_one_message_in_its_queue_for_all_its_channels() {
    let redis = Redis::start();
    let node = Node::start(&settings(&[&redis]));
    for channel in &DJANGO {
        add_member(&redis, "chat_1", channel);
    }
    node.say(conversation(1), "hello");
    eventually("queued", || redis.command(&["EXISTS", QUEUE]).integer() == 1);
    let queued = queued(&redis, QUEUE);
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0].channels, DJANGO);
    assert_eq!(words_of(&queued), ["hello"]);
    assert_eq!(queued[0].fields.get("type").unwrap().as_text(), Some("chat_message"));
    assert!((50..=60).contains(&redis.command(&["TTL", QUEUE]).integer()));
    assert_eq!(members(&redis, "chat_1").len(), 2, "who does not live here is not swept");
}

#[test]
fn what_one_node_sends_lies_in_its_order() {
    let redis = Redis::start();
    let node = Node::start(&settings(&[&redis]));
    add_member(&redis, "chat_1", DJANGO[0]);
    let words: Vec<String> = (0..1_400).map(|word| word.to_string()).collect();
    for word in &words {
        node.say(conversation(1), word);
    }
    eventually("queued", || redis.command(&["ZCARD", QUEUE]).integer() == 1_400);
    assert_eq!(words_of(&queued(&redis, QUEUE)), words);
}

#[test]
fn the_last_session_of_a_group_takes_the_member_along() {
    let redis = Redis::start();
    let node = Node::start(&settings(&[&redis]));
    node.join(conversation(1), &redis);
    node.join(conversation(2), &redis);
    node.leave(conversation(1));
    eventually("left", || members(&redis, "chat_1").is_empty());
    eventually("left", || members(&redis, "fortifun.chat_1").is_empty());
    assert_eq!(members(&redis, "chat_2").len(), 1);
}

#[test]
fn a_closed_node_leaves_nothing_behind() {
    let redis = Redis::start();
    let mut node = Node::start(&settings(&[&redis]));
    for id in 1..=3_000 {
        node.layer.join(conversation(id), crate::ids::ShardId(0));
    }
    node.join(conversation(3_001), &redis);
    eventually("all joined", || redis.command(&["DBSIZE"]).integer() == 3 * 3_001 + 4);
    // It reads no more, so that this stays.
    add_member(&redis, "chat_9999", DJANGO[0]);
    node.say(conversation(9_999), "last");
    let took = node.close();
    assert!(took.as_millis() < u128::from(BUS_CLOSE_MS), "{took:?}");
    assert_eq!(words_of(&queued(&redis, QUEUE)), ["last"], "what waited was sent");
    let mut left = redis.command(&["KEYS", "*"]).texts();
    left.sort();
    assert_eq!(left, ["asgi:group:chat_9999", QUEUE]);
}

#[test]
fn a_live_session_hears_though_members_die_of_age() {
    let redis = Redis::start();
    let kind = Kind::Core { capacity: 100, expiry_s: 60, group_expiry_s: 3 };
    let short = Settings { kind, ..settings(&[&redis]) };
    let (node, other) = (Node::start(&short), Node::start(&short));
    let groups: Vec<Group> = (1..=50).map(conversation).collect();
    for group in &groups {
        node.join(*group, &redis);
    }
    pause(10_000);
    for group in &groups {
        other.say(*group, &group.to_string());
    }
    let names: Vec<String> = groups.iter().map(Group::to_string).collect();
    node.hears(&names.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn members_of_a_dead_node_are_swept_and_no_others() {
    let redis = Redis::start();
    let node = Node::start(&settings(&[&redis]));
    let living = Node::start(&settings(&[&redis]));
    living.join(conversation(1), &redis);
    let dead = format!("specific.{:032x}!chat_1", 0xdead);
    add_member(&redis, "chat_1", &dead);
    for channel in &DJANGO {
        add_member(&redis, "chat_1", channel);
    }
    eventually("swept", || {
        node.say(conversation(1), "who is there?");
        pause(50);
        !members(&redis, "chat_1").contains(&dead)
    });
    let mut left = members(&redis, "chat_1");
    left.sort();
    let mut expected = vec![DJANGO[0].to_owned(), DJANGO[1].to_owned()];
    expected.push(format!("specific.{}!chat_1", living.me));
    expected.sort();
    assert_eq!(left, expected);
}

#[test]
fn a_node_that_came_back_between_look_and_sweep_keeps_its_members() {
    let redis = Redis::start();
    let (mut link, scripts) = (link(&redis), Scripts::default());
    let mut sweep = || {
        let mut commands = Commands::new(&scripts);
        commands.sweep("asgi:group:chat_1", "sign", "member");
        let answers = link.query(&commands.pipe.get_packed_pipeline(), 1, PATIENCE).unwrap();
        answers[0].clone()
    };
    add_member(&redis, "chat_1", "member");
    redis.command(&["SET", "sign", "1"]);
    assert_eq!(sweep(), redis::Value::Int(0));
    redis.command(&["DEL", "sign"]);
    assert_eq!(sweep(), redis::Value::Int(1));
    assert!(members(&redis, "chat_1").is_empty());
}

#[test]
fn a_node_has_two_connections_however_many_groups() {
    let redis = Redis::start();
    // Who asks is one; Redis may see others of this test's that are gone for a moment longer.
    eventually("alone", || redis.info("connected_clients") == 1);
    let node = Node::start(&settings(&[&redis]));
    for id in 1..=1_000 {
        node.layer.join(conversation(id), crate::ids::ShardId(0));
        node.say(conversation(id), "x");
    }
    eventually("joined", || members(&redis, "chat_1000").len() == 1);
    eventually("two of the node", || redis.info("connected_clients") == 3);
}

#[test]
fn json_and_encryption_are_spoken_between_nodes() {
    let redis = Redis::start();
    let keys = vec![Key("new".to_owned()), Key("old".to_owned())];
    let sealed = Settings { format: Format::Json, keys, ..settings(&[&redis]) };
    let nodes = [Node::start(&sealed), Node::start(&sealed)];
    nodes[1].join(conversation(1), &redis);
    nodes[0].say(conversation(1), "secret");
    nodes[1].hears(&["secret"]);
    let stranger = Node::start(&settings(&[&redis]));
    stranger.say(conversation(1), "in clear");
    eventually("counted", || nodes[1].count(Counter::BusDropped(BusDrop::Token)) == 1);
}

#[test]
fn groups_and_queues_of_several_hosts_are_found_where_the_library_puts_them() {
    let hosts = [Redis::start(), Redis::start(), Redis::start()];
    let all = settings(&[&hosts[0], &hosts[1], &hosts[2]]);
    let nodes = [Node::start(&all), Node::start(&all)];
    let ring = crate::channel::bus::Ring::new(3);
    let groups: Vec<Group> = (1..=60).map(conversation).collect();
    for group in &groups {
        nodes[1].join(*group, &hosts[ring.host(&group.to_string())]);
    }
    for group in &groups {
        nodes[0].say(*group, &group.to_string());
    }
    eventually("all heard", || nodes[1].words().len() == 60);
    let mut words = nodes[1].words();
    words.sort();
    let mut names: Vec<String> = groups.iter().map(Group::to_string).collect();
    names.sort();
    assert_eq!(words, names);
    for host in &hosts {
        assert!(redis_groups(host) > 20, "groups are spread");
    }
}

#[test]
fn scores_follow_a_clock_but_for_a_little_step_back() {
    let later = |latest, now| super::later(Timestamp(latest), Timestamp(now)).0;
    assert_eq!(later(0, 5), 5);
    assert_eq!(later(5_000_000, 4_000_000), 5_000_000);
    assert_eq!(later(5_000_000, 3_999_999), 3_999_999);
}

fn redis_groups(redis: &Redis) -> usize {
    redis.command(&["KEYS", "asgi:group:*"]).texts().len()
}
