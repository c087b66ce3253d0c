//! Queues that are full.

use fortifun_fixtures::Redis;

use super::world::{
    Node, PATIENCE, add_member, conversation, eventually, link, of_capacity, pause, queued,
    settings, wall, words_of,
};
use super::{DJANGO, QUEUE};
use crate::channel::bus::{Envelope, Fields, Format, Fresh, Layer, Recipients, Uniques, read_gap};
use crate::channel::redis::core::Terms;
use crate::channel::redis::core::command::{Commands, Scripts, deposited, score};
use crate::channel::redis::core::deposit::{Deposit, Sealed};
use crate::channel::redis::link::Link;
use crate::metrics::{BusDrop, Counter};

#[test]
fn what_finds_no_room_is_dropped_and_counted_and_the_first_stay() {
    let redis = Redis::start();
    let node = Node::start(&of_capacity(settings(&[&redis]), 10));
    add_member(&redis, "chat_1", DJANGO[0]);
    let words: Vec<String> = (0..25).map(|word| word.to_string()).collect();
    for word in &words {
        node.say(conversation(1), word);
    }
    eventually("dropped", || node.count(Counter::BusDropped(BusDrop::NoRoom)) == 15);
    assert_eq!(words_of(&queued(&redis, QUEUE)), words[..10]);
    redis.command(&["DEL", QUEUE]);
    node.say(conversation(1), "again");
    eventually("room", || redis.command(&["ZCARD", QUEUE]).integer() == 1);
    pause(500);
    assert_eq!(redis.command(&["ZCARD", QUEUE]).integer(), 1, "Django is told nothing");
}

#[test]
fn a_node_whose_queue_was_full_is_told_when_it_has_room() {
    let redis = Redis::start();
    let node = Node::start(&of_capacity(settings(&[&redis]), 10));
    let (stuck, group) = ("specific.000000000000000000000000000000aa!", conversation(1));
    let queue = format!("asgi{stuck}");
    redis.command(&["SET", "asgi:fortifun:alive:000000000000000000000000000000aa", "1"]);
    add_member(&redis, "chat_1", &format!("{stuck}chat_1"));
    let before = wall();
    for _ in 0..12 {
        node.say(group, "x");
    }
    eventually("dropped", || node.count(Counter::BusDropped(BusDrop::NoRoom)) >= 2);
    assert_eq!(redis.command(&["ZCARD", &queue]).integer(), 10);
    redis.command(&["ZPOPMIN", &queue, "10"]);
    eventually("told", || redis.command(&["ZCARD", &queue]).integer() == 1);
    let told = queued(&redis, &queue);
    assert_eq!(told[0].channels, [format!("{stuck}fortifun.nodes")]);
    let (who, since) = read_gap(&told[0].fields).unwrap();
    assert_eq!(who, node.me);
    assert!(since.0 > before.0 - 3_000_000 && since < wall(), "{since}");
    pause(500);
    assert_eq!(redis.command(&["ZCARD", &queue]).integer(), 1, "told once");
}

#[test]
fn dropped_typing_is_told_to_nobody() {
    let redis = Redis::start();
    let node = Node::start(&of_capacity(settings(&[&redis]), 10));
    let stuck = "specific.000000000000000000000000000000aa!";
    add_member(&redis, "chat_1", &format!("{stuck}chat_1"));
    for _ in 0..10 {
        node.say(conversation(1), "x");
    }
    for _ in 0..5 {
        node.typing(conversation(1));
    }
    eventually("dropped", || node.count(Counter::BusDropped(BusDrop::NoRoom)) == 5);
    let queue = format!("asgi{stuck}");
    redis.command(&["ZPOPMIN", &queue, "10"]);
    pause(500);
    assert_eq!(redis.command(&["ZCARD", &queue]).integer(), 0);
}

#[test]
fn a_queue_that_others_may_have_overflowed_marks_a_gap() {
    let redis = Redis::start();
    let node = Node::start(&of_capacity(settings(&[&redis]), 10));
    let queue = format!("asgispecific.{}!", node.me);
    let fill = |count: usize| {
        let mut words = vec!["ZADD".to_owned(), queue.clone()];
        for at in 0..count {
            words.extend(["1".to_owned(), format!("no message {at:02}")]);
        }
        redis.command(&words.iter().map(String::as_str).collect::<Vec<_>>());
    };
    fill(7);
    eventually("read", || node.count(Counter::BusDropped(BusDrop::Malformed)) == 7);
    pause(100);
    assert_eq!(node.count(Counter::BusGaps), 0);
    fill(8);
    eventually("marked", || node.count(Counter::BusGaps) == 1);
    assert_eq!(node.count(Counter::BusDropped(BusDrop::Malformed)), 15, "and read");
}

/// Each message asks for the members, then is put into the queue, as channels_redis does it, and at its pace: that takes a
/// process of Python a millisecond.
#[test]
fn four_senders_of_2000_each_drain_without_loss() {
    const SENDERS: usize = 4;
    const EACH: usize = 2_000;
    let redis = Redis::start();
    let node = Node::start(&settings(&[&redis]));
    node.join(conversation(1), &redis);
    let lost: usize = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let link = link(&redis);
                scope.spawn(move || send(link, sender as u8, EACH))
            })
            .collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    });
    assert_eq!(lost, 0, "no sender found the queue full");
    eventually("drained", || node.words().len() >= SENDERS * EACH);
    let words = node.words();
    for sender in 0..SENDERS {
        let own: Vec<usize> = words
            .iter()
            .filter_map(|word| word.strip_prefix(&format!("{sender} "))?.parse().ok())
            .collect();
        assert_eq!(own, (0..EACH).collect::<Vec<_>>(), "of sender {sender}, in its order");
    }
}

fn send(mut link: Link, sender: u8, count: usize) -> usize {
    let terms = Terms { capacity: 1_500, expiry_s: 60, group_expiry_s: 86_400 };
    let envelope = Envelope::new(Layer::Core { expiry_s: 60 }, Format::Msgpack, []);
    let mut uniques = Uniques::new(wall().0 as u64, [sender; 4]);
    let scripts = Scripts::default();
    let mut lost = 0;
    for at in 0..count {
        let mut ask = Commands::new(&scripts);
        ask.members("asgi:group:chat_1", wall(), terms);
        let answers = link.query(&ask.pipe.get_packed_pipeline(), 2, PATIENCE).unwrap();
        let members: Vec<String> = redis::from_redis_value(answers[1].clone()).unwrap();
        let event = format!(r#"{{"type":"chat_message","message":{{"word":"{sender} {at}"}}}}"#);
        let packed = envelope.pack(&Fields::from_json(event.as_bytes()).unwrap());
        let fresh = Fresh { unique: uniques.take(), iv: [0; 16], now: wall() };
        let bytes = envelope.seal(&packed, Recipients::Channels(&[&members[0]]), &fresh);
        let queue = crate::channel::bus::queue_name(&members[0]);
        let messages = vec![Sealed { bytes, missed_at: None }];
        let deposit = Deposit { key: format!("asgi{queue}"), node: None, messages };
        let mut put = Commands::new(&scripts);
        put.deposit(&deposit, &score(wall()), wall(), terms);
        let answers = link.query(&put.pipe.get_packed_pipeline(), 1, PATIENCE).unwrap();
        lost += 1 - deposited(answers[0].clone()).unwrap().taken;
        pause(1);
    }
    lost
}
