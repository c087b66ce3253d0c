//! What was stored of a batch whose end was not told.

use fortifun_realtime::model::{ConversationId, NodeId, UserId};
use fortifun_realtime::store::{Reply, Request};
use fortifun_realtime::time::Timestamp;

use super::world::{World, append, append_as, like, open};
use super::{Rule, rules};

pub(crate) const RULES: &[Rule] = rules![
    what_a_batch_stored_is_found_as_it_was_answered,
    what_was_not_stored_is_not_found,
    equal_messages_are_told_apart_by_their_number,
    a_repeat_of_something_earlier_and_a_refusal_stored_nothing,
    a_repeat_within_a_batch_is_told_so,
    of_other_requests_nothing_is_said,
    who_said_it_before_a_block_is_found_after_it,
    a_crowd_of_conversations_is_settled_at_once,
];

/// The places of what is found.
fn seqs(found: &[Option<Reply>]) -> Vec<Option<i64>> {
    let seq = |reply: &Reply| match reply {
        Reply::Appended { message, .. } => message.seq.0,
        reply => panic!("{reply:?}"),
    };
    found.iter().map(|reply| reply.as_ref().map(seq)).collect()
}

fn what_a_batch_stored_is_found_as_it_was_answered(world: &mut World) {
    let (a, b, talk) = world.talk();
    let mut with_picture = append(talk, b, "look");
    if let Request::Append { attachment, .. } = &mut with_picture {
        *attachment = Some("a/b c.png".to_owned());
    }
    let batch = [append_as(talk, a, "héllo ✓", "k"), with_picture, append(talk, a, "bye")];
    let outcomes = world.commit(&batch).unwrap();
    let at = world.now;
    // What comes later changes nothing.
    world.say(talk, b, "later");
    world.commit(&batch[1..]).unwrap();
    let told: Vec<_> = outcomes.into_iter().map(Result::ok).collect();
    assert_eq!(world.settle(&batch, at), told);
    assert_eq!(world.settle(&batch, at), told, "asking again is harmless");
}

fn what_was_not_stored_is_not_found(world: &mut World) {
    let (a, b, talk) = world.talk();
    let other_talk = world.user("cleo");
    let other_talk = world.opened(a, other_talk).conversation.id;
    let (bare, named) = (append(talk, a, "hello"), append_as(talk, a, "hello", "k"));
    world.commit(&[bare.clone(), named.clone()]).unwrap();
    let at = world.now;
    assert_eq!(seqs(&world.settle(&[bare.clone(), named.clone()], at)), [Some(2), Some(3)]);
    for wrong in [
        append(talk, a, "Hello"),
        append(talk, b, "hello"),
        append(other_talk, a, "hello"),
        append(ConversationId(99), a, "hello"),
        append(talk, UserId(99), "hello"),
        append_as(talk, a, "hello", "K"),
        append_as(talk, a, "hello, hello", "k"),
    ] {
        assert_eq!(world.settle(std::slice::from_ref(&wrong), at), [None], "{wrong:?}");
    }
    for micros in [-1_000_000, -1, 1, 1_000_000] {
        let batch = [bare.clone(), named.clone()];
        assert_eq!(world.settle(&batch, Timestamp(at.0 + micros)), [None, None], "{micros}");
    }
}

fn equal_messages_are_told_apart_by_their_number(world: &mut World) {
    let (a, b, talk) = world.talk();
    let same = append(talk, a, "ha");
    world.commit(&[same.clone(), append(talk, b, "ha"), same.clone()]).unwrap();
    let batch = [same.clone(), same.clone(), append_as(talk, a, "ha", "k"), same];
    let found = world.settle(&batch, world.now);
    assert_eq!(seqs(&found), [Some(2), Some(4), None, None]);
}

fn a_repeat_of_something_earlier_and_a_refusal_stored_nothing(world: &mut World) {
    let (a, b, talk) = world.talk();
    let stranger = world.user("cleo");
    world.reply(&append_as(talk, b, "early", "e"));
    let batch = [
        append_as(talk, b, "early", "e"),
        append(talk, a, "kept"),
        append(talk, stranger, "me too"),
        append(ConversationId(99), a, "nowhere"),
    ];
    world.commit(&batch).unwrap();
    let found = world.settle(&batch, world.now);
    assert_eq!(seqs(&found), [None, Some(3), None, None]);
}

fn a_repeat_within_a_batch_is_told_so(world: &mut World) {
    let (a, b, talk) = world.talk();
    let batch = [
        append_as(talk, a, "once", "k"),
        append_as(talk, b, "once", "k"),
        append_as(talk, a, "once", "k"),
        append_as(talk, a, "otherwise", "k"),
        append(talk, a, "once"),
        append(talk, a, "once"),
    ];
    let outcomes = world.commit(&batch).unwrap();
    let told: Vec<_> = outcomes.into_iter().map(Result::ok).collect();
    assert_eq!(seqs(&told), [2, 3, 2, 2, 4, 5].map(Some));
    assert_eq!(world.settle(&batch, world.now), told);
}

fn of_other_requests_nothing_is_said(world: &mut World) {
    let (a, b, talk) = world.talk();
    assert_eq!(world.settle(&[], world.now), []);
    let batch = [
        like(a, b),
        open(b, a, None),
        append(talk, a, "hello"),
        Request::Block { blocker: a, blocked: b },
        Request::SetPresence { user: a, is_online: true, node: NodeId(1) },
    ];
    world.commit(&batch).unwrap();
    let found = world.settle(&batch, world.now);
    assert_eq!(seqs(&found), [None, None, Some(3), None, None]);
}

fn who_said_it_before_a_block_is_found_after_it(world: &mut World) {
    let (a, b, talk) = world.talk();
    let batch = [append(talk, a, "hello")];
    let told: Vec<_> = world.commit(&batch).unwrap().into_iter().map(Result::ok).collect();
    let at = world.now;
    world.reply(&Request::Leave { conversation: talk, user: a });
    world.reply(&Request::Block { blocker: b, blocked: a });
    world.backdoor.deactivate(a);
    assert_eq!(world.settle(&batch, at), told);
}

fn a_crowd_of_conversations_is_settled_at_once(world: &mut World) {
    let host = world.user("host");
    let guests: Vec<_> = (0..20).map(|n| world.user(&format!("guest{n}"))).collect();
    let talks: Vec<_> =
        guests.iter().map(|guest| world.opened(host, *guest).conversation.id).collect();
    let batch: Vec<_> = (0..200)
        .map(|n| {
            let at = (n * 7) % talks.len();
            append(talks[at], if n % 3 == 0 { host } else { guests[at] }, &(n / 50).to_string())
        })
        .collect();
    let told: Vec<_> = world.commit(&batch).unwrap().into_iter().map(Result::ok).collect();
    assert_eq!(world.settle(&batch, world.now), told);
}
