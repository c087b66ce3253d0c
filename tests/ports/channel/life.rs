//! Coming, going, and what is missed meanwhile.

use fortifun_realtime::ids::ShardId;
use fortifun_realtime::model::{Control, ConversationId, Group, Seq, UserId};

use crate::inbox::Handed;
use crate::world::{World, user};
use crate::{Rule, rules};

pub(crate) const RULES: &[Rule] = rules![
    one_who_left_hears_nothing_and_the_others_do,
    one_who_comes_back_hears_again,
    what_is_stored_while_somebody_joins_is_not_missed,
    a_layer_that_works_has_no_trouble,
];

fn one_who_left_hears_nothing_and_the_others_do(world: &mut World) {
    let (last, group) = (world.last(), user(3));
    world.join(0, 0, group);
    world.join(0, 1, group);
    world.join(last, 1, group);
    world.leave(0, 0, group);
    for from in world.all() {
        let text = format!("after one left, from {from}");
        world.say(from, group, &text);
        world.inbox(0, 1).until(&text);
        world.inbox(last, 1).until(&text);
    }
    world.leave(0, 1, group);
    world.leave(last, 1, group);
    let before = world.inbox(0, 1).so_far().len();
    for from in world.all() {
        world.say(from, group, "after all left");
    }
    world.settle("after all left");
    assert!(world.heard(0, 0).is_empty());
    assert!(
        world.inboxes().all(|inbox| inbox.so_far().iter().all(|one| one.text != "after all left"))
    );
    assert_eq!(world.heard(0, 1).len(), before);
}

fn one_who_comes_back_hears_again(world: &mut World) {
    let (last, group) = (world.last(), Group::Conversation(ConversationId(3)));
    world.join(0, 0, group);
    for round in 0..20 {
        world.leave(0, 0, group);
        world.nodes[0].layer.join(group, ShardId(0));
        // It never stopped being listened to: at once, and without a second's doubt.
        let text = format!("round {round}");
        world.say(last, group, &text);
        world.inbox(0, 0).until(&text);
    }
    world.settle("");
    assert_eq!(world.heard(0, 0), (0..20).map(|n| format!("round {n}")).collect::<Vec<_>>());
}

fn what_is_stored_while_somebody_joins_is_not_missed(world: &mut World) {
    let last = world.last();
    for id in 1..=20 {
        let (conversation, participant) = (ConversationId(1_000 + id), UserId(2_000 + id));
        let groups = [Group::Conversation(conversation), Group::User(participant)];
        for group in groups {
            world.nodes[0].layer.join(group, ShardId(0));
        }
        // Not yet listened to, in all likelihood.
        let texts: Vec<_> = (1..=3).map(|n| format!("{n} of {id}")).collect();
        for text in &texts {
            for delivery in world.book.commit(conversation, &[participant], text) {
                world.nodes[last].publish(delivery);
            }
        }
        // The user's sessions get the messages; those of the conversation do, or are told how far it reaches.
        let handed = world.inbox(0, 0).when(&format!("all of {id}"), |all| {
            let has = |group, text: &String| {
                all.iter().any(|one| one.delivery.group == group && one.text == *text)
            };
            let reaches = |one: &Handed| {
                let is_all = matches!(one.control(), Some(Control::Reaches(Seq(3))));
                is_all && one.delivery.group == groups[0]
            };
            texts.iter().all(|text| has(groups[1], text))
                && (has(groups[0], &texts[2]) || all.iter().any(reaches))
        });
        let own = handed.iter().filter(|one| one.delivery.group == groups[1]);
        assert_eq!(own.map(|one| one.text.clone()).collect::<Vec<_>>(), texts);
    }
}

fn a_layer_that_works_has_no_trouble(world: &mut World) {
    world.settle("");
    assert!(world.nodes.iter().all(|node| node.layer.trouble().is_none()));
}
