//! Where deliveries go.

use super::*;
use crate::channel::bus::{Fresh, Outbound, Recipients, outbound};
use crate::channel::redis::world::{ME, OTHER, World, event, message};
use crate::limits::{BUS_LINGER_MS, BUS_OUTBOX_MAX};
use crate::model::UserId;

const ROOM: ConversationId = ConversationId(7);
const ROOM_GROUP: Group = Group::Conversation(ROOM);

fn drops(world: &World, reason: BusDrop) -> u64 {
    world.metrics.counter(Counter::BusDropped(reason))
}

#[test]
fn what_is_published_reaches_the_shards_that_have_sessions_and_waits_for_the_bus() {
    let world = World::new();
    world.hub.join(ROOM_GROUP, ShardId(0));
    world.hub.join(ROOM_GROUP, ShardId(2));
    world.hub.publish(message(ROOM_GROUP, ROOM, 1), true);
    world.hub.publish(event(ROOM_GROUP, true), false);
    assert_eq!([0, 1, 2].map(|shard| world.given(shard).len()), [2, 0, 2]);
    world.hub.publish(event(Group::General, false), false);
    assert_eq!([0, 1, 2].map(|shard| world.given(shard).len()), [1, 1, 1]);
    assert_eq!(world.hub.outbox().len(), 3);
}

#[test]
fn a_message_of_another_node_comes_once_and_in_its_turn_and_our_own_never() {
    let world = World::new();
    world.hub.join(ROOM_GROUP, ShardId(0));
    world.hub.publish(message(ROOM_GROUP, ROOM, 1), true);
    let receive = |node, seq| {
        let Outbound { to, fields } = outbound(&message(ROOM_GROUP, ROOM, seq), node).unwrap();
        world.hub.receive(to, fields);
    };
    receive(ME, 2);
    for seq in [3, 1, 2, 3] {
        receive(OTHER, seq);
    }
    assert_eq!(world.seqs(), [1, 2, 3]);
    assert_eq!(drops(&world, BusDrop::Own), 1);
    let turns = |turn| world.metrics.counter(Counter::BusTurns(turn));
    assert_eq!((turns(BusTurn::Held), turns(BusTurn::Double)), (1, 2));
    assert_eq!(world.metrics.counter(Counter::BusReceived(BusSource::Node)), 4);
}

#[test]
fn a_message_of_this_node_is_known_by_its_bytes() {
    let world = World::new();
    let sent = |node| {
        let Outbound { fields, .. } = outbound(&message(ROOM_GROUP, ROOM, 1), node).unwrap();
        let envelope = world.hub.envelope();
        let fresh = Fresh { unique: [0; 12], iv: [0; 16], now: world.now().wall };
        envelope.seal(&envelope.pack(&fields), Recipients::Listeners, &fresh)
    };
    assert!(world.hub.is_own(&sent(ME)) && !world.hub.is_own(&sent(OTHER)));
    assert_eq!(drops(&world, BusDrop::Own), 1);
}

#[test]
fn a_full_outbox_makes_nobody_wait_and_remembers_since_when_it_lost() {
    let world = World::new();
    for _ in 0..BUS_OUTBOX_MAX {
        world.hub.publish(event(ROOM_GROUP, false), false);
    }
    world.hub.publish(event(ROOM_GROUP, true), false);
    assert_eq!(world.hub.outbox().take_lost(), None, "typing may be lost");
    let lost_at = world.now().wall;
    world.hub.publish(event(ROOM_GROUP, false), false);
    world.pass(5);
    world.hub.publish(event(ROOM_GROUP, false), false);
    assert_eq!(world.hub.outbox().take_lost(), Some(lost_at));
    assert_eq!(world.hub.outbox().take_lost(), None);
    assert_eq!(drops(&world, BusDrop::NoRoom), 3);
}

#[test]
fn a_group_is_listened_to_from_its_first_session_to_a_while_after_its_last() {
    let world = World::new();
    let reader = world.hub.interest().reader();
    let group = Group::User(UserId(1));
    world.hub.join(group, ShardId(0));
    world.hub.join(group, ShardId(1));
    assert_eq!(world.hub.interest().changes(reader, 9).len(), 1);
    world.hub.leave(group, ShardId(0));
    world.hub.leave(group, ShardId(1));
    world.pass(BUS_LINGER_MS - 1);
    world.hub.expire_interest(world.now().mono);
    assert!(!world.hub.interest().has_changes(reader));
    world.pass(1);
    world.hub.expire_interest(world.now().mono);
    assert!(!world.hub.interest().changes(reader, 9)[0].is_wanted);
}

#[test]
fn readyz_and_the_figures_say_which_side_is_down() {
    let world = World::new();
    assert_eq!(world.hub.trouble().as_deref(), Some("redis://h: not connected yet"));
    world.hub.is_up(Side::In(0));
    world.hub.is_up(Side::Out(0));
    assert_eq!(world.hub.trouble(), None);
    world.hub.is_down(Side::In(0), "connection reset");
    assert_eq!(world.hub.trouble().as_deref(), Some("redis://h: connection reset"));
    let up = |direction| world.metrics.gauge(Gauge::BusUp(direction));
    assert_eq!((up(Direction::In), up(Direction::Out)), (0, 1));
}
