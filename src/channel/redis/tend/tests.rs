//! What is found in the store.

use super::*;
use crate::channel::bus::{Address, Fields};
use crate::channel::redis::world::{ME, OTHER, World, message, place};
use crate::ids::ShardId;
use crate::limits::{BUS_CHECK_MAX, BUS_EARLY_MS, BUS_HOLE_MS, BUS_REPAIR_MS};
use crate::metrics::{BusTurn, Counter};
use crate::model::Seq;

fn room(id: i64) -> Group {
    Group::Conversation(ConversationId(id))
}

fn user(id: i64) -> Group {
    Group::User(UserId(id))
}

fn standing(id: i64, last_seq: i64) -> (ConversationId, Standing) {
    let conversation = ConversationId(id);
    let blocks = Vec::new();
    (conversation, Standing { conversation, last_seq: Seq(last_seq), is_active: true, blocks })
}

fn says(world: &World, user: i64, conversation: i64, seq: i64, ago_ms: i64) {
    let message = (world.ago(ago_ms), UserId(user), ConversationId(conversation), Seq(seq));
    world.store.messages.lock().push(message);
}

fn deliver(world: &World, group: Group, conversation: i64, seqs: &[i64]) {
    for seq in seqs {
        let message = message(group, ConversationId(conversation), *seq);
        world.hub.deliver(Arc::new(message), true, Origin::Bus);
    }
}

#[test]
fn after_a_gap_each_conversation_is_told_how_far_it_reaches_if_it_is_behind() {
    let world = World::new();
    let mut tend = world.tend();
    for id in 1..=3 {
        world.hub.join(room(id), ShardId(0));
        deliver(&world, room(id), id, &[1, 2]);
    }
    world.store.standings.lock().extend([standing(1, 2), standing(2, 5), standing(9, 9)]);
    world.given(0);
    world.hub.gap(world.ago(5_000));
    assert!(world.hub.notes().is_behind());
    world.live(&mut tend, BUS_GATHER_MS + 5);
    let reaches: Vec<(Group, Control)> = world
        .orders()
        .into_iter()
        .filter(|(_, order)| !matches!(order, Control::Silence(_)))
        .collect();
    assert_eq!(reaches, [(room(2), Control::Reaches(Seq(5)))]);
    assert!(!world.hub.notes().is_behind());
    assert_eq!(world.metrics.counter(Counter::BusChecked), 3);
    assert_eq!(world.metrics.counter(Counter::BusRepaired), 1);
    deliver(&world, room(2), 2, &[4, 5, 6]);
    assert_eq!(world.seqs(), [6], "what the sessions read from the store is not theirs again");
}

#[test]
fn after_a_gap_a_user_is_given_exactly_what_is_missing_and_in_order() {
    let world = World::new();
    let mut tend = world.tend();
    world.hub.join(user(1), ShardId(0));
    deliver(&world, user(1), 7, &[1, 2]);
    for (seq, ago_ms) in [(1, 9_000), (2, 4_000), (3, 3_000), (4, 2_000)] {
        says(&world, 1, 7, seq, ago_ms);
    }
    says(&world, 1, 8, 21, 4_500);
    says(&world, 1, 8, 20, 9_000);
    says(&world, 2, 7, 3, 3_000);
    world.given(0);
    world.hub.gap(world.ago(5_000));
    world.live(&mut tend, BUS_GATHER_MS + 5);
    let given = world.given(0);
    let places: Vec<(i64, i64)> = given
        .iter()
        .filter_map(|delivery| place(delivery))
        .map(|(id, seq)| (id.0, seq.0))
        .collect();
    assert_eq!(places, [(7, 3), (7, 4), (8, 21)]);
    assert!(given.iter().all(|delivery| delivery.group == user(1)));
    assert_eq!(world.metrics.counter(Counter::BusRepaired), 3);
    deliver(&world, user(1), 7, &[3, 4]);
    assert_eq!(world.seqs(), Vec::<i64>::new(), "what the bus brings later is known");
}

#[test]
fn a_hole_is_mended_from_the_store_before_what_follows_it_goes_out() {
    let world = World::new();
    let mut tend = world.tend();
    world.hub.join(user(1), ShardId(0));
    deliver(&world, user(1), 7, &[1]);
    says(&world, 1, 7, 2, BUS_HOLE_MS - 5_000);
    deliver(&world, user(1), 7, &[3]);
    world.live(&mut tend, BUS_EARLY_MS + 3);
    assert_eq!(world.seqs(), [1, 2, 3]);
    assert_eq!(world.store.asked.load(Ordering::SeqCst), 1);
    assert_eq!(world.metrics.counter(Counter::BusTurns(BusTurn::Hole)), 0);
    // The store does not know of it either.
    deliver(&world, user(1), 7, &[5]);
    world.live(&mut tend, BUS_EARLY_MS + 3);
    assert_eq!(world.seqs(), [5]);
    assert_eq!(world.metrics.counter(Counter::BusTurns(BusTurn::Hole)), 1);
}

#[test]
fn while_the_store_is_away_nothing_is_forgotten_and_nothing_waits_for_it() {
    let world = World::new();
    let mut tend = world.tend();
    world.store.is_away.store(true, Ordering::SeqCst);
    world.hub.join(user(1), ShardId(0));
    world.hub.join(room(7), ShardId(0));
    deliver(&world, user(1), 7, &[1, 3]);
    says(&world, 1, 7, 2, 1_000);
    world.store.standings.lock().extend([standing(7, 3)]);
    world.live(&mut tend, BUS_EARLY_MS + BUS_REPAIR_MS + 3);
    assert_eq!(world.seqs(), [1, 3]);
    world.hub.gap(world.ago(100));
    world.live(&mut tend, 60_000);
    let tries = world.store.asked.load(Ordering::SeqCst);
    assert!((25..3_000).contains(&tries), "{tries} tries in a minute");
    world.store.is_away.store(false, Ordering::SeqCst);
    world.live(&mut tend, BUS_RETRY_MS_MAX + 10);
    let given = world.given(0);
    let found: Vec<_> = given.iter().filter_map(|delivery| place(delivery)).collect();
    assert_eq!(found, [(ConversationId(7), Seq(2))]);
    let reaches = |delivery: &Arc<Delivery>| {
        matches!(delivery.payload, Payload::Control(Control::Reaches(Seq(3))))
    };
    assert!(given.iter().any(reaches));
    assert!(!world.hub.notes().is_behind());
    let asked = world.store.asked.load(Ordering::SeqCst);
    world.live(&mut tend, 5_000);
    assert_eq!(world.store.asked.load(Ordering::SeqCst), asked, "all is known");
}

#[test]
fn groups_are_heard_in_bulk() {
    const GROUPS: i64 = 2 * BUS_CHECK_MAX as i64 + 1;
    let world = World::new();
    let mut tend = world.tend();
    let groups: Vec<Group> = (1..=GROUPS).map(room).chain((1..=GROUPS).map(user)).collect();
    for group in &groups {
        world.hub.join(*group, ShardId(0));
    }
    says(&world, 5, 7, 40, 1_000);
    says(&world, 5, 7, 39, 10_000);
    world.store.standings.lock().extend([standing(4, 2)]);
    world.hub.heard(&groups);
    world.live(&mut tend, BUS_GATHER_MS + 20);
    assert_eq!(world.store.asked.load(Ordering::SeqCst), 6);
    let given = world.given(0);
    assert_eq!(
        given.iter().filter_map(|delivery| place(delivery)).collect::<Vec<_>>(),
        [(ConversationId(7), Seq(40))]
    );
    let reaches = |delivery: &&Arc<Delivery>| {
        matches!(delivery.payload, Payload::Control(Control::Reaches(_)))
    };
    assert_eq!(given.iter().filter(reaches).count(), 1);
    // Nobody is here any more.
    for group in &groups {
        world.hub.leave(*group, ShardId(0));
    }
    world.hub.heard(&groups);
    world.live(&mut tend, BUS_GATHER_MS + 20);
    assert_eq!(world.store.asked.load(Ordering::SeqCst), 6);
}

/// What was said to a user long before they came is not theirs, though another is asked about at the same time.
#[test]
fn a_user_is_given_what_was_said_since_they_came() {
    // Apart by how much, and so in how many questions.
    for (ms, questions) in [(2_000, 1), (10_000, 2)] {
        let world = World::new();
        let mut tend = world.tend();
        says(&world, 1, 7, 40, 500);
        says(&world, 2, 8, 40, 500);
        world.hub.join(user(1), ShardId(0));
        world.pass(ms);
        world.hub.join(user(2), ShardId(1));
        world.hub.heard(&[user(1), user(2)]);
        world.live(&mut tend, BUS_GATHER_MS + 5);
        assert_eq!((world.seqs(), world.given(1).len()), (vec![40], 0), "{ms} ms apart");
        assert_eq!(world.store.asked.load(Ordering::SeqCst), questions, "{ms} ms apart");
    }
}

#[test]
fn a_conversation_is_told_what_was_ordered_meanwhile() {
    let world = World::new();
    let mut tend = world.tend();
    let blocked = Control::Evict { user: UserId(3), code: close::FORBIDDEN };
    let mut standings = [standing(1, 0), standing(2, 0), standing(3, 0)];
    standings[1].1.is_active = false;
    standings[2].1.blocks.push((UserId(2), UserId(3)));
    world.store.standings.lock().extend(standings);
    for id in 1..=3 {
        world.hub.join(room(id), ShardId(0));
    }
    world.hub.gap(world.ago(0));
    world.live(&mut tend, BUS_GATHER_MS + 5);
    let expected = [
        (room(1), Control::Silence(false)),
        (room(2), Control::Disband { code: close::NOT_FOUND }),
        (room(3), Control::Silence(true)),
        (room(3), blocked),
    ];
    assert_eq!(world.orders(), expected);
}

#[test]
fn an_order_that_comes_while_the_store_is_read_is_newer_than_what_was_read() {
    let world = World::new();
    let mut tend = world.tend();
    world.hub.join(room(1), ShardId(0));
    world.store.standings.lock().extend([standing(1, 0)]);
    let (hub, store) = (Arc::clone(&world.hub), Arc::clone(&world.store));
    *world.store.meanwhile.lock() = Some(Box::new(move || {
        let mut blocked = standing(1, 0).1;
        blocked.blocks.push((UserId(2), UserId(3)));
        store.standings.lock().insert(ConversationId(1), blocked);
        let silence = Payload::Control(Control::Silence(true));
        hub.publish(Delivery::new(room(1), silence), true);
    }));
    world.hub.gap(world.ago(0));
    world.live(&mut tend, BUS_GATHER_MS + 5);
    let orders: Vec<Control> = world.orders().into_iter().map(|(_, order)| order).collect();
    assert!(!orders.contains(&Control::Silence(false)), "{orders:?}");
    assert_eq!(world.store.asked.load(Ordering::SeqCst), 2);
}

/// Django's event as its serializer writes it, without a place.
fn of_django(id: i64) -> Fields {
    let json = format!(
        r#"{{"type":"chat_message","message":{{"id":{id},"conversation_id":7,"sender":{{"id":1}},"content":"é"}}}}"#
    );
    Fields::from_json(json.as_bytes()).unwrap()
}

#[test]
fn djangos_message_gets_its_place_and_goes_as_it_came_where_there_is_none() {
    let world = World::new();
    let mut tend = world.tend();
    world.hub.join(room(7), ShardId(0));
    world.store.places.lock().push((MessageId(11), ConversationId(7), Seq(4)));
    let texts = |world: &World| -> Vec<String> {
        let text = |delivery: &Arc<Delivery>| match &delivery.payload {
            Payload::Frame { frame, .. } => String::from_utf8_lossy(frame).into_owned(),
            Payload::Control(_) => String::new(),
        };
        world.given(0).iter().map(text).collect()
    };
    world.hub.receive(Address::Shared(room(7)), of_django(11));
    world.hub.receive(Address::Shared(room(7)), of_django(12));
    world.hub.receive(Address::Shared(room(8)), of_django(11));
    world.live(&mut tend, 2);
    assert_eq!(world.store.asked.load(Ordering::SeqCst), 1, "nobody is in the other conversation");
    let given = texts(&world);
    assert!(given[0].ends_with(r#""content":"é","seq":4}}"#), "{}", given[0]);
    assert!(given[1].ends_with(r#""content":"é"}}"#) && given[1].contains(r#""id":12"#));
    deliver(&world, room(7), 7, &[4, 5]);
    assert_eq!(world.seqs(), [5], "it had the place");
    world.store.is_away.store(true, Ordering::SeqCst);
    for id in [11, 12] {
        world.hub.receive(Address::Shared(room(7)), of_django(id));
        world.live(&mut tend, 2);
    }
    assert_eq!(texts(&world).len(), 2, "they do not wait for the store");
}

#[test]
fn what_there_is_no_room_to_note_is_looked_for_with_everything_else() {
    let world = World::new();
    let mut tend = world.tend();
    world.hub.join(user(1), ShardId(0));
    while world.hub.notes().push(Note::Look) {}
    world.hub.heard(&[user(1)]);
    says(&world, 1, 7, 9, 1_000);
    world.live(&mut tend, BUS_GATHER_MS + 5);
    assert_eq!(world.seqs(), [9]);
}

#[test]
fn another_nodes_gap_is_ours_and_our_own_is_not() {
    let world = World::new();
    for (node, gaps) in [(ME, 0), (OTHER, 1)] {
        let told = crate::channel::bus::write_gap(world.ago(0), node);
        world.hub.receive(told.to, told.fields);
        assert_eq!(world.metrics.counter(Counter::BusGaps), gaps);
    }
}
