//! In what order, and how often.

use std::sync::Mutex;

use fortifun_realtime::limits::{BUS_EARLY_MS, BUS_HELD_MAX};
use fortifun_realtime::model::{Control, ConversationId, Group, Seq, UserId};

use crate::inbox::Handed;
use crate::world::{World, user};
use crate::{Rule, rules};

pub(crate) const RULES: &[Rule] = rules![
    deliveries_of_one_thread_arrive_in_order_and_once,
    threads_do_not_disturb_each_other,
    messages_arrive_in_the_order_of_their_places_whoever_publishes_them,
];

/// Deliveries of one thread.
const BATCH: usize = 500;
/// Messages that are under way at once: fewer than wait for an earlier one.
const AHEAD_MAX: usize = BUS_HELD_MAX / 4;

fn deliveries_of_one_thread_arrive_in_order_and_once(world: &mut World) {
    let groups = [user(1), Group::Conversation(ConversationId(1)), Group::General];
    for node in world.all() {
        world.join(node, 0, groups[0]);
        world.join(node, 0, groups[1]);
    }
    for group in groups {
        for from in world.all() {
            for n in 0..BATCH {
                world.say(from, group, &format!("{group} {from} {n}"));
            }
            world.say(from, group, &format!("{group} {from} end"));
            for node in world.all() {
                world.inbox(node, 0).until(&format!("{group} {from} end"));
            }
        }
    }
    world.settle("");
    for node in world.all() {
        let texts = world.heard(node, 0);
        for group in groups {
            for from in world.all() {
                let expected: Vec<_> = (0..BATCH)
                    .map(|n| format!("{group} {from} {n}"))
                    .chain([format!("{group} {from} end")])
                    .collect();
                let start = format!("{group} {from} ");
                let heard: Vec<_> = texts.iter().filter(|text| text.starts_with(&start)).collect();
                assert_eq!(heard, expected.iter().collect::<Vec<_>>(), "node {node}");
            }
        }
    }
}

fn threads_do_not_disturb_each_other(world: &mut World) {
    const THREADS: usize = 4;
    let group = user(1);
    for node in world.all() {
        world.join(node, 1, group);
    }
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let world = &*world;
            scope.spawn(move || {
                let from = thread % world.nodes.len();
                for n in 0..BATCH {
                    world.say(from, group, &format!("{thread} {n}"));
                }
            });
        }
    });
    for node in world.all() {
        let handed = world.inbox(node, 1).when("all of all threads", |all| {
            all.iter().filter(|one| one.delivery.group == group).count() >= THREADS * BATCH
        });
        let texts: Vec<_> = handed.iter().map(|one| one.text.clone()).collect();
        for thread in 0..THREADS {
            let start = format!("{thread} ");
            let own = texts.iter().filter_map(|text| text.strip_prefix(&start));
            let own: Vec<usize> = own.map(|n| n.parse().unwrap()).collect();
            assert_eq!(own, (0..BATCH).collect::<Vec<_>>(), "{thread} at node {node}");
        }
    }
}

fn messages_arrive_in_the_order_of_their_places_whoever_publishes_them(world: &mut World) {
    let (conversation, users) = (ConversationId(77), [UserId(1), UserId(2)]);
    let groups = [Group::Conversation(conversation), user(1), user(2)];
    for node in world.all() {
        for group in groups {
            world.join(node, 0, group);
        }
    }
    // Where a conversation begins is known to all nodes before they speak at once.
    for delivery in world.book.commit(conversation, &users, "0") {
        world.nodes[0].publish(delivery);
    }
    let arrives = |text: &str| {
        for node in world.all() {
            world.inbox(node, 0).when(&format!("{text} in all groups"), |all| {
                let has =
                    |group| all.iter().any(|one| one.delivery.group == group && one.text == text);
                groups.into_iter().all(has)
            });
        }
    };
    arrives("0");
    let begun: Vec<_> = world.all().map(|node| world.inbox(node, 0).wait_for(0)).collect();
    // As the workers of the nodes do: places are given in turn, and each publishes what it committed.
    let next = Mutex::new(1);
    std::thread::scope(|scope| {
        for from in world.all() {
            let (next, begun, world) = (&next, &begun, &*world);
            scope.spawn(move || {
                loop {
                    let mut next = next.lock().unwrap();
                    if *next > BATCH {
                        return;
                    }
                    let deliveries = world.book.commit(conversation, &users, &next.to_string());
                    let arrived = (*next).saturating_sub(AHEAD_MAX) * deliveries.len();
                    *next += 1;
                    drop(next);
                    for delivery in deliveries {
                        world.nodes[from].publish(delivery);
                    }
                    for (node, begun) in begun.iter().enumerate() {
                        world.inbox(node, 0).wait_for(begun + arrived);
                    }
                }
            });
        }
    });
    arrives(&BATCH.to_string());
    world.settle("");
    for node in world.all() {
        let handed = world.inbox(node, 0).so_far();
        for group in groups {
            let own = handed.iter().filter(|one| one.delivery.group == group);
            expect_all_in_order(own, BATCH, &format!("{group} at node {node}"));
        }
    }
}

/// All from 0 to `last`, each once and in order, but for what came too late to be waited for. What a conversation's sessions are told
/// to read from the store need not be delivered.
pub(crate) fn expect_all_in_order<'a>(
    handed: impl Iterator<Item = &'a Handed>,
    last: usize,
    told: &str,
) {
    let mut times = vec![0; last + 1];
    let (mut newest, mut read) = (0, None);
    for one in handed {
        if let Some(control) = one.control() {
            if let Control::Reaches(Seq(seq)) = control {
                read = read.max(Some(seq as usize));
            }
            continue;
        }
        let place: usize = one.text.parse().unwrap();
        times[place] += 1;
        let under_way_us = one.at.0 - one.delivery.committed_at.unwrap().0;
        let is_late = under_way_us >= BUS_EARLY_MS as i64 * 1_000;
        assert!(
            place >= newest || is_late,
            "{told}: {place} after {newest}, {under_way_us} us old"
        );
        newest = newest.max(place);
    }
    let is_right = |(place, times)| times == 1 || times == 0 && Some(place) <= read;
    let odd: Vec<_> = times.into_iter().enumerate().filter(|one| !is_right(*one)).collect();
    assert!(odd.is_empty(), "{told}: place and times: {odd:?}");
}
