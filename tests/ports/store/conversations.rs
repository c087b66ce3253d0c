//! Conversations: opened, listed, counted, left.

use fortifun_realtime::model::{Conversation, ConversationId, Refused, Seq, UserId};
use fortifun_realtime::store::{Reply, Request};

use super::world::{World, append, open};
use super::{Rule, rules};

pub(crate) const RULES: &[Rule] = rules![
    opening_makes_a_conversation_and_says_the_first_message,
    opening_again_says_a_message_in_the_same_conversation,
    opening_again_with_a_known_client_id_says_nothing,
    opening_one_that_was_left_makes_it_active_again,
    who_may_not_open_is_refused,
    leaving_makes_it_inactive_for_both,
    who_may_not_leave_is_refused,
    the_list_is_by_newest_activity,
    the_newest_are_listed_whatever_hour_they_were_active_in,
    the_list_leaves_out_what_was_left_and_who_blocks,
    unread_counts_the_messages_of_others,
    one_conversation_is_seen_as_in_the_list,
];

impl World {
    fn list(&mut self, user: UserId, limit: usize) -> Vec<Conversation> {
        match self.reply(&Request::Conversations { user, limit }) {
            Reply::Conversations(list) => list,
            reply => panic!("{reply:?}"),
        }
    }

    fn listed(&mut self, user: UserId) -> Vec<ConversationId> {
        self.list(user, 100).iter().map(|conversation| conversation.id).collect()
    }

    fn unread(&mut self, user: UserId) -> u64 {
        self.list(user, 1)[0].unread_count
    }

    fn leave(&mut self, conversation: ConversationId, user: UserId) {
        let reply = self.reply(&Request::Leave { conversation, user });
        assert_eq!(reply, Reply::Left { conversation });
    }
}

fn opening_makes_a_conversation_and_says_the_first_message(world: &mut World) {
    let (a, b) = world.two();
    let opened = world.opened(b, a);
    let mine = &opened.conversation;
    let names: Vec<_> = mine.participants.iter().map(|card| (card.id, &*card.username)).collect();
    assert_eq!(names, [(a, "ada"), (b, "bea")]);
    assert_eq!((mine.created_at, mine.updated_at), (world.now, world.now));
    assert!(mine.is_active && !opened.duplicate);
    assert_eq!((mine.last_seq, mine.unread_count), (Seq(1), 0));
    assert_eq!(mine.last_message.as_ref(), Some(&opened.message));
    assert_eq!((opened.message.sender.id, &*opened.message.content), (b, "first"));
    let theirs = opened.for_participant.clone().unwrap();
    assert_eq!(theirs, Conversation { unread_count: 1, ..mine.clone() });
    assert_eq!(world.list(a, 10), [theirs]);
}

fn opening_again_says_a_message_in_the_same_conversation(world: &mut World) {
    let (a, b, talk) = world.talk();
    for (creator, participant, seq) in [(a, b, 2), (b, a, 3)] {
        let opened = world.opened(creator, participant);
        assert_eq!((opened.conversation.id, opened.message.seq), (talk, Seq(seq)));
        assert_eq!(opened.for_participant, None);
        assert_eq!(opened.conversation.updated_at, world.now);
    }
}

fn opening_again_with_a_known_client_id_says_nothing(world: &mut World) {
    let (a, b) = world.two();
    let request = open(a, b, Some("k"));
    let Reply::Opened(first) = world.reply(&request) else { panic!() };
    let stored = world.backdoor.tables();
    let Reply::Opened(again) = world.reply(&request) else { panic!() };
    assert!(again.duplicate && again.for_participant.is_none());
    assert_eq!(again.message, first.message);
    assert_eq!(again.conversation, first.conversation);
    assert_eq!(world.backdoor.tables(), stored);
}

fn opening_one_that_was_left_makes_it_active_again(world: &mut World) {
    let (a, b, talk) = world.talk();
    world.leave(talk, a);
    let opened = world.opened(b, a);
    assert_eq!((opened.conversation.id, opened.message.seq), (talk, Seq(2)));
    assert!(opened.conversation.is_active);
    assert_eq!(opened.for_participant.unwrap().unread_count, 1);
    world.say(talk, a, "hello again");
}

fn who_may_not_open_is_refused(world: &mut World) {
    let (a, b) = world.two();
    let gone = world.user("gone");
    world.backdoor.deactivate(gone);
    for (creator, participant, why) in [
        (a, a, Refused::Oneself),
        (a, UserId(99), Refused::UserNotFound),
        (UserId(99), a, Refused::UserNotFound),
        (a, gone, Refused::UserNotFound),
        (gone, a, Refused::UserNotFound),
    ] {
        assert_eq!(world.refusal(&open(creator, participant, None)), why);
    }
    world.reply(&Request::Block { blocker: b, blocked: a });
    assert_eq!(world.refusal(&open(a, b, None)), Refused::UserBlocked);
    assert_eq!(world.refusal(&open(b, a, None)), Refused::UserBlocked);
}

fn leaving_makes_it_inactive_for_both(world: &mut World) {
    let (a, b, talk) = world.talk();
    world.leave(talk, b);
    assert_eq!((world.listed(a), world.listed(b)), (vec![], vec![]));
    let again = Request::Leave { conversation: talk, user: a };
    assert_eq!(world.refusal(&again), Refused::ConversationNotFound);
}

fn who_may_not_leave_is_refused(world: &mut World) {
    let (a, b, talk) = world.talk();
    let stranger = world.user("cleo");
    let leave = |conversation, user| Request::Leave { conversation, user };
    assert_eq!(world.refusal(&leave(ConversationId(99), a)), Refused::ConversationNotFound);
    assert_eq!(world.refusal(&leave(talk, stranger)), Refused::NotParticipant);
    world.reply(&Request::Block { blocker: a, blocked: b });
    assert_eq!(world.refusal(&leave(talk, b)), Refused::NotParticipant);
    world.leave(talk, a);
}

fn the_list_is_by_newest_activity(world: &mut World) {
    let (a, b, first) = world.talk();
    let c = world.user("cleo");
    let second = world.opened(a, c).conversation.id;
    assert_eq!(world.listed(a), [second, first]);
    world.say(first, b, "back to the top");
    assert_eq!(world.listed(a), [first, second]);
    assert_eq!(world.list(a, 1).len(), 1);
    assert_eq!(world.list(a, 0), []);
    let people = world.list(a, 9).into_iter().map(|view| view.participants);
    let people: Vec<Vec<_>> = people.map(|all| all.iter().map(|card| card.id).collect()).collect();
    assert_eq!(people, [vec![a, b], vec![a, c]]);
}

fn the_newest_are_listed_whatever_hour_they_were_active_in(world: &mut World) {
    let a = world.user("ada");
    let others: Vec<_> = (0..12).map(|n| world.user(&format!("user{n}"))).collect();
    let mut talks = Vec::new();
    for (n, &other) in others.iter().enumerate() {
        talks.push(world.opened(other, a).conversation.id);
        if n % 3 == 2 {
            world.now = world.now.plus_ms(3_600_000);
        }
    }
    // What was left and what blockers share is among the newest, and among those of every hour.
    for n in [1, 4, 11] {
        world.leave(talks[n], a);
    }
    for n in [2, 7, 9] {
        world.reply(&Request::Block { blocker: others[n], blocked: a });
    }
    let expect = |order: &[usize]| order.iter().map(|&n| talks[n]).collect::<Vec<_>>();
    let check = |world: &mut World, order: &[usize]| {
        for limit in 0..=order.len() + 1 {
            let list: Vec<_> = world.list(a, limit).iter().map(|talk| talk.id).collect();
            assert_eq!(list, expect(&order[..limit.min(order.len())]), "{limit}");
        }
    };
    check(world, &[10, 8, 6, 5, 3, 0]);
    world.say(talks[3], a, "back");
    world.now = world.now.plus_ms(3_600_000);
    world.say(talks[0], a, "back");
    world.say(talks[6], others[6], "back");
    check(world, &[6, 0, 3, 10, 8, 5]);
    world.opened(a, others[4]);
    world.reply(&Request::Unblock { blocker: others[2], blocked: a });
    check(world, &[4, 6, 0, 3, 10, 8, 5, 2]);
}

fn the_list_leaves_out_what_was_left_and_who_blocks(world: &mut World) {
    let (a, b, blocked) = world.talk();
    let c = world.user("cleo");
    let left = world.opened(a, c).conversation.id;
    world.leave(left, a);
    world.reply(&Request::Block { blocker: a, blocked: b });
    assert_eq!(world.listed(a), [blocked]);
    assert_eq!(world.listed(b), []);
    assert_eq!(world.listed(c), []);
    world.backdoor.deactivate(c);
    for user in [c, UserId(99)] {
        let request = Request::Conversations { user, limit: 9 };
        assert_eq!(world.refusal(&request), Refused::UserNotFound);
    }
}

fn unread_counts_the_messages_of_others(world: &mut World) {
    let (a, b, talk) = world.talk();
    let second = world.say(talk, a, "second");
    let answer = world.say(talk, b, "answer");
    let third = world.say(talk, a, "third");
    assert_eq!((world.unread(a), world.unread(b)), (1, 3));
    world.newly(talk, b, second.id);
    assert_eq!((world.unread(a), world.unread(b)), (1, 1));
    world.newly(talk, b, answer.id);
    assert_eq!(world.unread(b), 1);
    world.newly(talk, b, third.id);
    world.newly(talk, a, third.id);
    assert_eq!((world.unread(a), world.unread(b)), (0, 0));
    world.reply(&append(talk, b, "more"));
    assert_eq!((world.unread(a), world.unread(b)), (1, 0));
}

fn one_conversation_is_seen_as_in_the_list(world: &mut World) {
    let (a, b, talk) = world.talk();
    let stranger = world.user("cleo");
    let one = |user, conversation| Request::Conversation { user, conversation };
    for user in [a, b] {
        let list = world.list(user, 10);
        assert_eq!(world.reply(&one(user, talk)), Reply::Conversations(list));
    }
    assert_eq!(world.refusal(&one(stranger, talk)), Refused::NotParticipant);
    assert_eq!(world.refusal(&one(a, ConversationId(99))), Refused::ConversationNotFound);
    world.reply(&Request::Block { blocker: a, blocked: b });
    assert_eq!(world.refusal(&one(b, talk)), Refused::NotParticipant);
    world.reply(&one(a, talk));
    world.leave(talk, a);
    assert_eq!(world.refusal(&one(a, talk)), Refused::ConversationNotFound);
}
