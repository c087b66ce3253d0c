//! Whom a delivery reaches, and as what.

use fortifun_realtime::channel::{Delivery, Payload};
use fortifun_realtime::ids::{ConnKey, ConnRef, ShardId};
use fortifun_realtime::model::Seq;
use fortifun_realtime::model::{Control, ConversationId, Group, Topic, UserId};

use crate::world::{SHARDS, World, event, frame, stored, user, wall};
use crate::{Rule, rules};

pub(crate) const RULES: &[Rule] = rules![
    a_delivery_reaches_every_shard_that_has_the_group_and_no_other,
    general_reaches_every_shard,
    a_delivery_arrives_as_it_was_published,
    what_django_does_not_hear_reaches_sessions,
    an_order_reaches_every_shard_that_has_the_group,
    how_many_messages_there_are_is_told_to_no_other_node,
    one_who_must_not_wait_is_not_made_to,
];

fn a_delivery_reaches_every_shard_that_has_the_group_and_no_other(world: &mut World) {
    let groups = [user(7), Group::Conversation(ConversationId(7)), Group::Presence(UserId(7))];
    let last = world.last();
    // Each in another part of the world; nobody has the last one's neighbour.
    world.join(0, 0, groups[0]);
    world.join(last, 1, groups[0]);
    world.join(last, 0, groups[1]);
    world.join(0, 0, groups[2]);
    world.join(0, 1, groups[2]);
    let nobody = Group::Conversation(ConversationId(8));
    let mut expected = vec![vec![Vec::new(); SHARDS]; last + 1];
    for from in world.all() {
        for group in groups.into_iter().chain([nobody]) {
            let text = format!("{group} from {from}");
            world.say(from, group, &text);
            let members: &[_] = match group {
                group if group == groups[0] => &[(0, 0), (last, 1)],
                group if group == groups[1] => &[(last, 0)],
                group if group == groups[2] => &[(0, 0), (0, 1)],
                _ => &[],
            };
            for &(node, shard) in members {
                let own: &mut Vec<_> = &mut expected[node][shard];
                world.inbox(node, shard).until(&text);
                own.push(text.clone());
            }
        }
    }
    world.settle("");
    for node in world.all() {
        for (shard, expected) in expected[node].iter().enumerate() {
            assert_eq!(&world.heard(node, shard), expected, "shard {shard} of {node}");
        }
    }
}

fn general_reaches_every_shard(world: &mut World) {
    for from in world.all() {
        let text = format!("to all from {from}");
        world.say(from, Group::General, &text);
        for inbox in world.inboxes() {
            inbox.until(&text);
        }
    }
}

fn a_delivery_arrives_as_it_was_published(world: &mut World) {
    let (last, conversation) = (world.last(), ConversationId(456));
    let group = Group::Conversation(conversation);
    for node in world.all() {
        world.join(node, 0, group);
    }
    let deliveries = [
        stored(group, conversation, Seq(1), "a é😀\u{7f}\"\\", wall()),
        frame(group, "typing", "b", Topic::Conversation, None, true),
        frame(group, "user_status", "c", Topic::UserStatus, None, true),
        frame(group, "read_receipt", "d", Topic::Conversation, None, false),
        frame(group, "new_match", "e", Topic::Matches, None, false),
        frame(group, "new_like", "f", Topic::Matches, None, false),
        frame(group, "system_alert", &"g".repeat(70_000), Topic::Alerts, None, false),
        frame(group, "notification", "h", Topic::Other, None, false),
        event(group, "end"),
    ];
    for delivery in &deliveries {
        world.nodes[last].publish(delivery.clone());
    }
    for node in world.all() {
        let handed = world.inbox(node, 0).until("end");
        assert_eq!(handed.len(), deliveries.len(), "node {node}");
        for (handed, published) in handed.iter().zip(&deliveries) {
            assert_same(&handed.delivery, published);
        }
    }
}

fn assert_same(handed: &Delivery, published: &Delivery) {
    assert_eq!(handed.group, published.group);
    assert_eq!(handed.committed_at, published.committed_at);
    match (&handed.payload, &published.payload) {
        (
            Payload::Frame { frame, topic, place, sheddable, .. },
            Payload::Frame {
                frame: other,
                topic: of_topic,
                place: at,
                sheddable: is_sheddable,
                ..
            },
        ) => {
            assert_eq!(String::from_utf8_lossy(frame), String::from_utf8_lossy(other));
            assert_eq!((topic, place, sheddable), (of_topic, at, is_sheddable));
        }
        payloads => panic!("{payloads:?}"),
    }
}

fn what_django_does_not_hear_reaches_sessions(world: &mut World) {
    let (last, group) = (world.last(), user(7));
    world.join(0, 0, group);
    let place = Some((ConversationId(1), Seq(1)));
    let own = frame(group, "new_message", "own", Topic::OwnMessages, place, false);
    let typing = frame(group, "typing", "typing", Topic::Activity, None, true);
    let unheard = frame(group, "of_no_handler", "end", Topic::Other, None, false);
    for delivery in [&own, &typing, &unheard] {
        world.nodes[last].publish(delivery.clone());
    }
    let handed = world.inbox(0, 0).until("end");
    assert_eq!(handed.len(), 3);
    for (handed, published) in handed.iter().zip([own, typing, unheard]) {
        assert_same(&handed.delivery, &published);
    }
}

fn an_order_reaches_every_shard_that_has_the_group(world: &mut World) {
    let (last, group) = (world.last(), Group::Conversation(ConversationId(9)));
    for node in world.all() {
        world.join(node, 1, group);
    }
    let orders = [
        Control::Evict { user: UserId(4), code: 4403 },
        Control::Silence(true),
        Control::Silence(false),
        Control::Unwatch(UserId(5)),
        Control::Disband { code: 4404 },
    ];
    for order in orders {
        world.nodes[last].publish(Delivery::new(group, Payload::Control(order)));
    }
    for node in world.all() {
        let handed = world.inbox(node, 1).when("all orders", |all| {
            all.iter().filter(|one| one.control().is_some()).count() == orders.len()
        });
        let given: Vec<_> = handed.iter().filter_map(super::inbox::Handed::control).collect();
        assert_eq!(given, orders, "node {node}");
        assert!(handed.iter().all(|one| one.delivery.group == group));
    }
    world.settle("");
    assert!(world.all().all(|node| world.heard(node, 0).is_empty()));
}

fn how_many_messages_there_are_is_told_to_no_other_node(world: &mut World) {
    let (last, group) = (world.last(), Group::Conversation(ConversationId(9)));
    for node in world.all() {
        world.join(node, 0, group);
    }
    let reaches = Control::Reaches(Seq(3));
    world.nodes[last].publish(Delivery::new(group, Payload::Control(reaches)));
    world.say(last, group, "end");
    world.settle("");
    for node in world.all() {
        let handed = world.inbox(node, 0).until("end");
        let is_told = handed.iter().any(|one| one.control() == Some(reaches));
        assert_eq!(is_told, node == last, "node {node}");
    }
}

fn one_who_must_not_wait_is_not_made_to(world: &mut World) {
    let (last, group) = (world.last(), user(7));
    for node in world.all() {
        world.join(node, 0, group);
    }
    for patient in [false, true] {
        let text = format!("patient {patient}");
        let mut delivery = event(group, &text);
        let Payload::Frame { except, .. } = &mut delivery.payload else { unreachable!() };
        let session = ConnRef { shard: ShardId(0), key: ConnKey { index: 3, generation: 1 } };
        *except = Some(session);
        world.nodes[last].layer.publish(delivery, patient);
        for node in world.all() {
            let handed = world.inbox(node, 0).until(&text);
            let handed = handed.iter().find(|one| one.text == text).unwrap();
            // What came over the bus is no shard's to drop, and a session of another node's is nobody here.
            let (is_patient, except) =
                if node == last { (patient, Some(session)) } else { (true, None) };
            assert_eq!(handed.patient, is_patient, "{text} at node {node}");
            let Payload::Frame { except: found, .. } = &handed.delivery.payload else {
                unreachable!()
            };
            assert_eq!(*found, except);
        }
    }
}
