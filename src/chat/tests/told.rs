//! What each reply tells, and to whom, in order.

use super::world::*;
use crate::chat::publication;
use crate::model::{Conversation, ConversationId, Match, MatchId, Message, MessageId, Seq, UserId};
use crate::store::{Gone, Made, Opened, Reply};
use crate::wire::Encoder;

/// The deliveries of `reply`, asked for by [`me`], and whether there is an echo.
fn told(reply: &Reply) -> (Vec<String>, bool) {
    let mut deliveries = Vec::new();
    let encoder = Encoder::new("https://media");
    let echo = publication(reply, Some(me()), &encoder, &mut |delivery| {
        deliveries.push(show_delivery(&delivery));
    });
    (deliveries, echo.is_some())
}

#[track_caller]
fn check(reply: &Reply, expected: &[&str]) {
    assert_eq!(told(reply), (expected.iter().map(ToString::to_string).collect(), false));
}

fn mine(seq: i64) -> Message {
    Message { sender: card(ME), ..message(HERE, seq) }
}

fn conversation(unread_count: u64) -> Conversation {
    Conversation {
        id: HERE,
        participants: vec![card(ME), card(OTHER)],
        created_at: START,
        updated_at: START,
        is_active: true,
        last_message: None,
        last_seq: Seq(1),
        unread_count,
    }
}

const MESSAGE: [&str; 3] = [
    "chat_456 Conversation: message 7 at 456/7",
    "user_1_notifications OwnMessages: new_message 7 at 456/7 but the sender",
    "user_2_notifications Messages: new_message 7 at 456/7",
];

#[test]
fn a_message_goes_to_the_conversation_then_to_the_users() {
    let (deliveries, has_echo) = told(&appended(mine(7), false));
    assert_eq!(deliveries, MESSAGE);
    assert!(has_echo);
    check(&appended(mine(7), true), &[]);
}

#[test]
fn all_receivers_of_an_event_share_its_bytes() {
    let mut frames = Vec::new();
    let encoder = Encoder::new("https://media");
    let echo = publication(&appended(mine(7), false), None, &encoder, &mut |delivery| {
        if let crate::channel::Payload::Frame { frame, .. } = delivery.payload {
            frames.push(frame.as_ptr());
        }
    });
    assert_eq!(echo.unwrap().as_ptr(), frames[0]);
    assert_eq!(frames[1], frames[2]);
}

#[test]
fn a_receipt_that_changed_something_is_told_and_a_repeat_is_silent() {
    let receipt = |newly| Reply::MarkedRead {
        conversation: HERE,
        message: MessageId(123),
        reader: card(OTHER),
        newly,
        at: START,
        participants: vec![ME, OTHER],
    };
    check(
        &receipt(2),
        &[
            "user_1_notifications Activity: read_receipt 123 2",
            "user_2_notifications Activity: read_receipt 123 2",
            "chat_456 Conversation: read_receipt 123 2",
        ],
    );
    check(&receipt(0), &[]);
}

#[test]
fn a_like_is_told_to_the_liked_and_a_match_to_both_each_seeing_the_other() {
    let liked = |made| Reply::Liked { liker: card(ME), liked: card(OTHER), made };
    check(&liked(None), &["user_2_notifications Matches: new_like 1"]);
    let made = |welcome| {
        let made = Match { id: MatchId(1), conversation: HERE, created_at: START };
        Some(Box::new(Made { made, welcome }))
    };
    let both =
        ["user_1_notifications Matches: new_match 2", "user_2_notifications Matches: new_match 1"];
    check(&liked(made(None)), &both);
    check(
        &liked(made(Some(mine(1)))),
        &[
            both[0],
            both[1],
            "chat_456 Conversation: message 1 at 456/1",
            "user_1_notifications OwnMessages: new_message 1 at 456/1",
            "user_2_notifications Messages: new_message 1 at 456/1",
        ],
    );
}

#[test]
fn a_block_silences_evicts_and_ends_watching_both_ways() {
    let conversations = vec![HERE, ConversationId(9)];
    check(
        &Reply::Blocked { blocker: ME, blocked: OTHER, conversations: conversations.clone() },
        &[
            "chat_456: Silence(true)",
            "chat_456: Evict { user: UserId(2), code: 4403 }",
            "chat_9: Silence(true)",
            "chat_9: Evict { user: UserId(2), code: 4403 }",
            "user_1_notifications: Unwatch(UserId(2))",
            "user_2_notifications: Unwatch(UserId(1))",
        ],
    );
    check(
        &Reply::Unblocked { conversations },
        &["chat_456: Silence(false)", "chat_9: Silence(false)"],
    );
    check(&Reply::Unblocked { conversations: vec![] }, &[]);
}

#[test]
fn a_new_conversation_is_shown_to_each_as_each_sees_it_then_its_first_message() {
    let opened = |for_participant, duplicate| {
        let (conversation, message) = (conversation(0), mine(7));
        Reply::Opened(Box::new(Opened { conversation, for_participant, message, duplicate }))
    };
    let unsent = "user_1_notifications OwnMessages: new_message 7 at 456/7";
    let [to_group, _, to_other] = MESSAGE;
    check(
        &opened(Some(conversation(1)), false),
        &[
            "user_1_notifications Other: conversation_update 456 0",
            "user_2_notifications Other: conversation_update 456 1",
            to_group,
            unsent,
            to_other,
        ],
    );
    check(&opened(None, false), &[to_group, unsent, to_other]);
    check(&opened(None, true), &[]);
}

#[test]
fn whoever_leaves_disbands_the_conversation() {
    check(&Reply::Left { conversation: HERE }, &["chat_456: Disband { code: 4404 }"]);
}

#[test]
fn presence_goes_to_who_watches_and_to_the_conversations() {
    let reply = |is_changed| Reply::Presence {
        user: card(UserId(2)),
        is_online: false,
        is_changed,
        at: START,
        conversations: vec![HERE],
    };
    let told = [
        "presence_2 UserStatus: user_status 2 offline (sheddable)",
        "chat_456 Conversation: user_status 2 offline (sheddable)",
    ];
    check(&reply(true), &told);
    check(&reply(false), &[]);
    let gone = Gone { user: card(UserId(2)), at: START, conversations: vec![HERE] };
    let offline = vec![gone];
    check(&Reply::Lease { was_held: true, offline, has_more: false }, &told);
}

#[test]
fn what_was_only_read_is_told_to_nobody() {
    check(&Reply::Done, &[]);
    check(&Reply::Watched(vec![status(OTHER)]), &[]);
    check(&Reply::History { messages: vec![mine(1)], last_seq: Seq(1) }, &[]);
    check(&Reply::Conversations(vec![conversation(0)]), &[]);
}
