//! What holds over a Redis Cluster alone: slots move, and its masters come and go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fortifun_fixtures::RedisCluster;
use fortifun_realtime::model::{ConversationId, Group, UserId};

use crate::inbox::Handed;
use crate::order::expect_all_in_order;
use crate::redis::{Ground, Layer};

/// A conversation and its participant.
const CONVERSATION: ConversationId = ConversationId(6);
const PARTICIPANT: UserId = UserId(5);

/// The three masters of a cluster.
pub(crate) fn ground(cluster: RedisCluster) -> Ground {
    let urls = cluster.urls();
    Ground::of(Layer::PubSub, cluster.nodes, urls)
}

/// Messages flow while the slots of their channels move from master to master: a user on the other node is given each once, and a
/// conversation there each once, or is told to read it from the store.
pub(crate) fn slots_move() {
    let cluster = RedisCluster::start(0);
    let world = Ground::of(Layer::PubSub, Vec::new(), cluster.urls()).world_of("asgi");
    world.wait_for_the_bus();
    let groups = [Group::Conversation(CONVERSATION), Group::User(PARTICIPANT)];
    for group in groups {
        world.join(1, 0, group);
    }
    let slots = ["chat_6", "fortifun.chat_6", "user_5_notifications"]
        .map(|name| cluster.slot_of(&format!("asgi__group__{name}")));
    let has_moved = AtomicBool::new(false);
    let mut sent = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for to in [1, 2, 0, 1, 0] {
                for slot in slots {
                    cluster.move_slot(slot, to);
                }
                std::thread::sleep(Duration::from_millis(300));
            }
            has_moved.store(true, Ordering::Relaxed);
        });
        while !has_moved.load(Ordering::Relaxed) {
            for delivery in world.book.commit(CONVERSATION, &[PARTICIPANT], &sent.to_string()) {
                world.nodes[0].publish(delivery);
            }
            sent += 1;
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    world.wait_for_the_bus();
    let of = |group| move |one: &&Handed| one.delivery.group == group;
    world
        .inbox(1, 0)
        .when("all of the user's", |all| all.iter().filter(of(groups[1])).count() >= sent);
    world.settle("");
    let handed = world.inbox(1, 0).so_far();
    for group in groups {
        expect_all_in_order(handed.iter().filter(of(group)), sent - 1, &group.to_string());
    }
}
