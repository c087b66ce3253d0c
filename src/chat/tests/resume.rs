//! What a session missed, at each seam between what was stored and what comes live.

use super::world::*;
use crate::chat::{Admit, Opening, Pending, Then};
use crate::limits::{ECHOES_HELD_MAX, RESUME_MESSAGES_MAX, RESUME_PAGE};
use crate::model::{Command, Control, ConversationId, Endpoint, Refused, Seq, UserId};
use crate::store::Request;

const CONVERSATION: Endpoint = Endpoint::Conversation(HERE);
const THERE: ConversationId = ConversationId(9);

#[test]
fn a_resume_replays_in_the_live_form_and_is_live_from_there() {
    let mut world = World::on(CONVERSATION);
    world.asks("r", resume(&[(None, 118)]));
    assert_eq!(live(&mut world, HERE, 121), Admit::Hold);
    let page = world.reads(history(HERE, 119..=120, 120));
    assert_eq!(page, ["message 119", "message 120", "ask history 456 After(Seq(120)) 32"]);
    let page = world.reads(history(HERE, 121..=121, 121));
    assert_eq!(page, ["message 121", "resumed 456 121 true", "ack r"]);
    assert_eq!(live(&mut world, HERE, 121), Admit::Skip, "a repeat");
    assert_eq!(live(&mut world, HERE, 122), Admit::Deliver);
    assert!(world.session.extra.is_none());
}

#[test]
fn a_chat_socket_resumes_several_conversations_one_page_at_a_time() {
    let mut world = World::on(Endpoint::Chat);
    let effects = world.asks("r", resume(&[(Some(HERE), 5), (Some(THERE), 0)]));
    assert_eq!(effects, ["ask history 456 After(Seq(5)) 32"]);
    assert_eq!(live(&mut world, THERE, 1), Admit::Hold, "held from the command on");
    assert_eq!(
        world.reads(history(HERE, 6..=6, 6)),
        ["new_message 6", "resumed 456 6 true", "ask history 9 After(Seq(0)) 32"]
    );
    assert_eq!(
        world.reads(history(THERE, 1..=1, 1)),
        ["new_message 1", "resumed 9 1 true", "ack r"]
    );
    assert_eq!(live(&mut world, HERE, 6), Admit::Skip);
    assert_eq!(live(&mut world, HERE, 7), Admit::Deliver);
    assert_eq!(world.due_in(), 30_000);
    world.wakes(30_000);
    assert!(world.session.extra.is_none(), "what it replayed is forgotten");
}

#[test]
fn what_is_held_out_of_order_is_owed_up_to_the_newest() {
    let mut pending = Pending::default();
    pending.hold(Seq(122));
    pending.hold(Seq(121));
    let (mut world, _) = World::opened(&Opening { pending, ..opening(CONVERSATION) });
    assert_eq!(
        world.reads(history(HERE, 121..=121, 121)),
        ["message 121", "ask history 456 After(Seq(121)) 32"]
    );
    assert_eq!(live(&mut world, HERE, 124), Admit::Hold);
    assert_eq!(live(&mut world, HERE, 123), Admit::Hold);
    assert_eq!(
        world.reads(history(HERE, 122..=123, 123)),
        ["message 122", "message 123", "ask history 456 After(Seq(123)) 32"]
    );
}

#[test]
fn since_on_the_url_resumes_at_connect() {
    let since = Some(Seq(118));
    let (mut world, effects) = World::opened(&Opening { since, ..opening(CONVERSATION) });
    assert_eq!(effects.last().unwrap(), "ask history 456 After(Seq(118)) 32");
    assert_eq!(
        world.reads(history(HERE, 119..=120, 120)),
        ["message 119", "message 120", "resumed 456 120 true"]
    );
    // On a chat socket there is no conversation it could mean.
    let (world, _) = World::opened(&Opening { since, ..opening(Endpoint::Chat) });
    assert!(world.asked.is_empty());
}

#[test]
fn a_place_that_does_not_exist_yet_skips_nothing() {
    let mut world = World::on(CONVERSATION);
    world.says(resume(&[(None, 999)]));
    assert_eq!(world.reads(history(HERE, 0..0, 120)), ["resumed 456 120 true"]);
    assert_eq!(live(&mut world, HERE, 121), Admit::Deliver);
}

#[test]
fn a_resume_gives_a_thousand_and_says_that_there_is_more() {
    let mut world = World::on(CONVERSATION);
    let mut effects = world.asks("r", resume(&[(None, 0)]));
    let mut next = 1;
    while effects.last().unwrap().starts_with("ask") {
        let Request::History { limit, .. } = world.asked[0].0 else { unreachable!() };
        assert!(limit <= RESUME_PAGE);
        let end = next + limit as i64;
        effects = world.reads(history(HERE, next..end, 5_000));
        next = end;
    }
    assert_eq!(next, RESUME_MESSAGES_MAX as i64 + 1);
    assert_eq!(effects[effects.len() - 2..], ["resumed 456 1000 false", "ack r"]);
    assert_eq!(live(&mut world, HERE, 5_001), Admit::Deliver, "live again from the newest on");
    // Exactly as many as there is room for are all of them.
    let mut world = World::on(CONVERSATION);
    world.says(resume(&[(None, 0)]));
    let mut next = 1;
    while let Some((Request::History { limit, .. }, _)) = world.asked.first() {
        let end = next + *limit as i64;
        effects = world.reads(history(HERE, next..end, 1_000));
        next = end;
    }
    assert_eq!(effects.last().unwrap(), "resumed 456 1000 true");
}

#[test]
fn asked_again_the_first_resume_stands() {
    let mut world = World::on(CONVERSATION);
    world.asks("r", resume(&[(None, 118)]));
    assert_eq!(world.asks("s", resume(&[(None, 110)])), ["ack s"]);
    assert_eq!(world.asked.len(), 1);
}

#[test]
fn a_resume_that_comes_during_a_repair_follows_it() {
    let mut pending = Pending::default();
    pending.hold(Seq(121));
    let (mut world, _) = World::opened(&Opening { pending, ..opening(CONVERSATION) });
    assert_eq!(world.asks("r", resume(&[(None, 119)])), [""; 0]);
    assert_eq!(
        world.reads(history(HERE, 121..=121, 121)),
        ["message 121", "ask history 456 After(Seq(119)) 32"]
    );
    assert_eq!(live(&mut world, HERE, 122), Admit::Hold);
    assert_eq!(
        world.reads(history(HERE, 120..=122, 122)),
        ["message 120", "message 121", "message 122", "resumed 456 122 true", "ack r"]
    );
}

#[test]
fn a_conversation_that_is_refused_does_not_stop_the_others_of_its_command() {
    let mut world = World::on(Endpoint::Chat);
    world.asks("r", resume(&[(Some(HERE), 5), (Some(THERE), 0)]));
    assert_eq!(
        world.answers(Err(Refused::NotParticipant.into())),
        ["error forbidden r", "ask history 9 After(Seq(0)) 32"]
    );
    assert_eq!(world.reads(history(THERE, 1..=1, 1)), ["new_message 1", "resumed 9 1 true"]);
    // The next command is its own.
    world.asks("s", resume(&[(Some(THERE), 1)]));
    assert_eq!(world.reads(history(THERE, 0..0, 1)), ["resumed 9 1 true", "ack s"]);
}

#[test]
fn a_resume_that_fails_says_how_far_it_got_and_what_waits_is_given_up() {
    let mut world = World::on(Endpoint::Chat);
    world.asks("r", resume(&[(Some(HERE), 5), (Some(THERE), 3)]));
    world.asks("s", resume(&[(Some(ConversationId(10)), 7)]));
    world.reads(history(HERE, 6..=37, 100));
    assert_eq!(
        world.answers(Err(unavailable())),
        [
            "error store_unavailable r",
            "resumed 456 37 false",
            "resumed 9 3 false",
            "error store_unavailable s",
            "resumed 10 7 false",
        ]
    );
    assert!(world.asked.is_empty());
    for conversation in [HERE, THERE, ConversationId(10)] {
        assert_eq!(live(&mut world, conversation, 101), Admit::Deliver, "{conversation:?}");
    }
}

#[test]
fn what_was_held_when_a_resume_failed_is_repaired_on_a_conversation_socket() {
    let mut world = World::on(CONVERSATION);
    world.asks("r", resume(&[(None, 118)]));
    assert_eq!(live(&mut world, HERE, 121), Admit::Hold);
    assert_eq!(world.is_busy(), ["error busy r", "resumed 456 118 false"]);
    assert_eq!(live(&mut world, HERE, 122), Admit::Hold, "121 comes first");
    let due = world.due_in();
    assert!((1_000..2_000).contains(&due), "{due}");
    assert_eq!(world.wakes(due), ["ask history 456 After(Seq(120)) 32"]);
    assert_eq!(world.is_busy(), [""; 0], "a repair fails silently, and is tried again");
    let due = world.due_in();
    world.wakes(due);
    assert_eq!(world.reads(history(HERE, 121..=122, 122)), ["message 121", "message 122"]);
    assert!(world.session.extra.is_none());
}

#[test]
fn a_store_that_lacks_what_was_announced_is_not_asked_for_ever() {
    let mut world = World::on(CONVERSATION);
    assert_eq!(live(&mut world, HERE, 125), Admit::Gap);
    assert_eq!(world.misses(), ["ask history 456 After(Seq(120)) 32"]);
    assert_eq!(world.reads(history(HERE, 0..0, 120)), ["resumed 456 120 false"]);
    assert_eq!(live(&mut world, HERE, 126), Admit::Deliver);
}

#[test]
fn whoever_cannot_be_repaired_is_sent_to_resume() {
    for endpoint in [Endpoint::Chat, Endpoint::Notifications] {
        assert_eq!(World::on(endpoint).misses(), ["close 4480"], "{endpoint:?}");
    }
}

#[test]
fn what_is_missed_while_a_page_is_read_is_repaired_after_it() {
    let mut world = World::on(CONVERSATION);
    world.says(resume(&[(None, 120)]));
    assert_eq!(world.misses(), [""; 0]);
    assert_eq!(
        world.reads(history(HERE, 0..0, 120)),
        ["resumed 456 120 true", "ask history 456 After(Seq(120)) 32"]
    );
    assert_eq!(world.reads(history(HERE, 121..=121, 121)), ["message 121"]);
}

/// A chat session with a resume of [`HERE`] after 120 under way; it has said something without `ref` and without answer.
#[test]
fn a_session_that_has_fewer_than_the_conversation_reads_the_rest() {
    let mut world = World::on(Endpoint::Conversation(HERE));
    let nothing: [&str; 0] = [];
    assert_eq!(world.hears(Control::Reaches(Seq(120))), nothing, "it has as many");
    assert_eq!(
        world.hears(Control::Reaches(Seq(122))),
        ["ask history 456 After(Seq(120)) 32"],
        "as after a gap"
    );
    assert_eq!(live(&mut world, HERE, 121), Admit::Hold);
    assert_eq!(world.hears(Control::Reaches(Seq(123))), nothing, "the page goes on until then");
    let effects = world.reads(history(HERE, 121..=122, 122));
    assert_eq!(effects, ["message 121", "message 122", "ask history 456 After(Seq(122)) 32"]);
    assert_eq!(world.reads(history(HERE, 123..=123, 123)), ["message 123"]);
    assert_eq!(live(&mut world, HERE, 124), Admit::Deliver);
    for endpoint in [Endpoint::Chat, Endpoint::Notifications] {
        assert_eq!(World::on(endpoint).hears(Control::Reaches(Seq(999))), nothing);
    }
}

#[test]
fn what_a_conversation_reaches_while_a_connection_is_deciding_is_not_lost() {
    let mut pending = Pending::default();
    pending.on_control(UserId(1), Control::Reaches(Seq(121)));
    let endpoint = Endpoint::Conversation(HERE);
    let (mut world, effects) = World::opened(&Opening { pending, v1: false, ..opening(endpoint) });
    assert_eq!(effects, ["ask history 456 After(Seq(120)) 32"]);
    assert_eq!(world.reads(history(HERE, 121..=121, 121)), ["message 121"]);
}

fn speaking() -> (World, Then) {
    let mut world = World::on(Endpoint::Chat);
    world.asks("r", resume(&[(Some(HERE), 120)]));
    let then = speaks(&mut world);
    (world, then)
}

/// The session says something in [`HERE`].
fn speaks(world: &mut World) -> Then {
    world.says(Command::Message {
        conversation: Some(HERE),
        content: "hi".into(),
        client_id: Some("k1".into()),
        attachment: None,
    });
    world.asked.pop().expect("it asks for a place").1
}

/// What the session said was stored at this place.
fn stores(world: &mut World, then: Then, seq: i64) -> Vec<String> {
    world.completes(then, Ok(appended(message(HERE, seq), false)))
}

#[test]
fn an_own_message_is_held_with_its_conversation() {
    let (mut world, then) = speaking();
    assert_eq!(stores(&mut world, then, 121), [""; 0]);
    let page = world.reads(history(HERE, 0..0, 120));
    assert_eq!(page, ["ask history 456 After(Seq(120)) 32"], "the page was older than it");
    assert_eq!(
        world.reads(history(HERE, 121..=121, 121)),
        ["new_message 121", "resumed 456 121 true", "ack r"]
    );
    world.wakes(30_000);
    assert!(world.session.extra.is_none(), "nothing of it is kept");
}

#[test]
fn an_own_message_is_echoed_whatever_becomes_of_the_resume() {
    let failed = &["error store_unavailable r", "resumed 456 120 false", "message 121"][..];
    for (failure, told) in [
        (Refused::ConversationNotFound.into(), &["error not_found r", "message 121"][..]),
        (Refused::NotParticipant.into(), &["error forbidden r", "message 121"]),
        (unavailable(), failed),
    ] {
        // Stored before the resume ends, and after it.
        let (mut world, then) = speaking();
        assert_eq!(stores(&mut world, then, 121), [""; 0]);
        assert_eq!(world.answers(Err(failure)), told);
        let late = speaks(&mut world);
        assert_eq!(stores(&mut world, late, 122), ["message 122"]);
        world.wakes(30_000);
        assert!(world.session.extra.is_none());
    }
    // One that never got its turn, and another conversation's is none of its business.
    let mut world = World::on(Endpoint::Chat);
    world.says(resume(&[(Some(THERE), 0), (Some(HERE), 120)]));
    let then = speaks(&mut world);
    assert_eq!(stores(&mut world, then, 121), [""; 0]);
    assert_eq!(
        world.answers(Err(Refused::NotParticipant.into())),
        ["error forbidden", "ask history 456 After(Seq(120)) 32"]
    );
    assert_eq!(
        world.is_busy(),
        ["resumed 456 120 false", "message 121"],
        "the command's failure has been told"
    );
}

#[test]
fn an_own_message_beyond_a_thousand_is_echoed_after_them() {
    let mut world = World::on(Endpoint::Chat);
    world.asks("r", resume(&[(Some(HERE), 0)]));
    let (early, late) = (speaks(&mut world), speaks(&mut world));
    stores(&mut world, early, 5_001);
    let (mut next, mut effects) = (1, Vec::new());
    while let Some((Request::History { limit, .. }, _)) = world.asked.first() {
        let end = next + *limit as i64;
        effects = world.reads(history(HERE, next..end, 5_002));
        next = end;
    }
    assert_eq!(effects[effects.len() - 3..], ["resumed 456 1000 false", "message 5001", "ack r"]);
    // The last page knew of it, and its own answer comes after that page.
    assert_eq!(stores(&mut world, late, 5_002), ["message 5002"]);
}

#[test]
fn an_own_message_that_a_page_brought_is_not_echoed_again() {
    let (mut world, then) = speaking();
    world.reads(history(HERE, 121..=121, 122));
    assert_eq!(stores(&mut world, then, 121), [""; 0]);
    assert_eq!(world.answers(Err(Refused::ConversationNotFound.into())), ["error not_found r"]);
}

#[test]
fn whoever_says_too_much_during_a_resume_is_sent_to_resume() {
    let (mut world, first) = speaking();
    stores(&mut world, first, 121);
    for seq in 122..121 + ECHOES_HELD_MAX as i64 {
        let then = speaks(&mut world);
        assert_eq!(stores(&mut world, then, seq), [""; 0]);
    }
    let then = speaks(&mut world);
    assert_eq!(stores(&mut world, then, 121 + ECHOES_HELD_MAX as i64), ["close 4480"]);
}
