//! Every command on every kind of socket.

use std::borrow::Cow;

use super::world::*;
use crate::auth::Rate;
use crate::chat::ChatLimits;
use crate::limits::{RESUME_CONVERSATIONS_MAX, TYPING_CONVERSATIONS_MAX};
use crate::model::{Command, ConversationId, Endpoint, ErrorCode, MessageId, Seq, Topic};
use crate::store::Reply;
use crate::wire::Fault;

const CONVERSATION: Endpoint = Endpoint::Conversation(HERE);
const THERE: ConversationId = ConversationId(9);

fn say(conversation: Option<ConversationId>) -> Command<'static> {
    let content = Cow::Borrowed("hi");
    Command::Message { conversation, content, client_id: Some("k1".into()), attachment: None }
}

fn typing(conversation: Option<ConversationId>, is_typing: bool) -> Command<'static> {
    Command::Typing { conversation, is_typing }
}

fn read(conversation: Option<ConversationId>) -> Command<'static> {
    Command::ReadReceipt { conversation, message: MessageId(123) }
}

fn resume(after: &[(Option<ConversationId>, i64)]) -> Command<'static> {
    Command::Resume { after: after.iter().map(|(at, seq)| (*at, Seq(*seq))).collect() }
}

fn subscribe(topic: Topic, on: bool) -> Command<'static> {
    Command::Subscribe { topic, on, users: vec![] }
}

#[test]
fn every_command_has_its_effect_on_every_kind_of_socket() {
    let ping =
        |timestamp: Option<&'static str>| Command::Ping { timestamp: timestamp.map(Cow::Borrowed) };
    let refused: &[&str] = &["error invalid_command r"];
    let cases: Vec<(Endpoint, Command<'_>, &[&str])> = vec![
        (Endpoint::Chat, ping(None), &["pong", "ack r"]),
        (CONVERSATION, ping(Some("17")), &["pong", "ack r"]),
        (Endpoint::Notifications, ping(None), &["pong", "ack r"]),
        // Subscriptions are the chat socket's.
        (
            Endpoint::Chat,
            subscribe(Topic::Matches, true),
            &["subscribed match_notifications", "ack r"],
        ),
        (Endpoint::Chat, subscribe(Topic::Alerts, false), &["unsubscribed system_alerts", "ack r"]),
        (
            Endpoint::Chat,
            subscribe(Topic::UserStatus, true),
            &["subscribed user_status []", "ack r"],
        ),
        (CONVERSATION, subscribe(Topic::Matches, true), refused),
        (Endpoint::Notifications, subscribe(Topic::Matches, true), refused),
        // A message needs a conversation, named or implied.
        (Endpoint::Chat, say(Some(THERE)), &["ask append 9 hi k1"]),
        (Endpoint::Chat, say(None), &["error invalid_field r k1"]),
        (CONVERSATION, say(None), &["ask append 456 hi k1"]),
        (CONVERSATION, say(Some(HERE)), &["ask append 456 hi k1"]),
        (CONVERSATION, say(Some(THERE)), &["error forbidden r k1"]),
        (Endpoint::Notifications, say(Some(HERE)), &["error invalid_command r k1"]),
        // So does typing; a chat socket asks first.
        (Endpoint::Chat, typing(Some(THERE), true), &["ask may speak 9"]),
        (Endpoint::Chat, typing(Some(THERE), false), &["ask may speak 9"]),
        (Endpoint::Chat, typing(None, true), &["error invalid_field r"]),
        (
            CONVERSATION,
            typing(None, false),
            &[
                "publish chat_456 Conversation: typing user1 false (sheddable)",
                "publish user_2_notifications Activity: typing user1 false (sheddable)",
                "ack r",
            ],
        ),
        (
            CONVERSATION,
            typing(Some(HERE), true),
            &[
                "publish chat_456 Conversation: typing user1 true (sheddable)",
                "publish user_2_notifications Activity: typing user1 true (sheddable)",
                "ack r",
            ],
        ),
        (CONVERSATION, typing(Some(THERE), true), &["error forbidden r"]),
        (Endpoint::Notifications, typing(Some(HERE), true), refused),
        (Endpoint::Chat, read(Some(THERE)), &["ask read 9 123"]),
        (Endpoint::Chat, read(None), &["error invalid_field r"]),
        (CONVERSATION, read(None), &["ask read 456 123"]),
        (CONVERSATION, read(Some(THERE)), &["error forbidden r"]),
        (Endpoint::Notifications, read(Some(HERE)), refused),
        (Endpoint::Chat, resume(&[(Some(THERE), 5)]), &["ask history 9 After(Seq(5)) 32"]),
        (Endpoint::Chat, resume(&[(None, 5)]), &["error invalid_field r"]),
        (Endpoint::Chat, resume(&[]), &["ack r"]),
        (CONVERSATION, resume(&[(None, 118)]), &["ask history 456 After(Seq(118)) 32"]),
        (CONVERSATION, resume(&[(Some(THERE), 118)]), &["error forbidden r"]),
        (Endpoint::Notifications, resume(&[(Some(HERE), 118)]), refused),
    ];
    for (endpoint, command, expected) in cases {
        let mut world = World::on(endpoint);
        let effects = world.asks("r", command.clone());
        assert_eq!(effects, expected, "{command:?} on {endpoint:?}");
    }
}

#[test]
fn an_objection_names_the_field() {
    let cases = [
        (Endpoint::Chat, say(None), "conversation_id: missing on this socket"),
        (Endpoint::Chat, resume(&[(None, 5)]), "after: missing on this socket"),
        (CONVERSATION, read(Some(THERE)), "conversation_id: not the conversation of this socket"),
    ];
    for (endpoint, command, expected) in cases {
        let mut world = World::on(endpoint);
        world.says(command);
        assert_eq!(world.last_words("/message"), expected);
    }
}

#[test]
fn a_pong_echoes_the_timestamp_as_it_was_written() {
    let mut world = World::on(Endpoint::Chat);
    world.says(Command::Ping { timestamp: Some("17.50".into()) });
    assert_eq!(world.last_frame(), r#"{"type":"pong","timestamp":17.50}"#);
    world.says(Command::Ping { timestamp: None });
    assert_eq!(world.last_words("/timestamp"), "2024-01-01T00:00:00Z");
}

#[test]
fn a_command_that_succeeds_is_acknowledged_after_the_commit_if_it_has_a_ref() {
    let mut world = World::on(CONVERSATION);
    world.asks("r", say(None));
    assert_eq!(world.answers(Ok(appended(message(HERE, 121), false))), ["ack r 121"]);
    world.says(say(None));
    assert_eq!(world.answers(Ok(appended(message(HERE, 122), false))), [""; 0]);
    world.asks("r", read(None));
    let marked = Reply::MarkedRead {
        conversation: HERE,
        message: MessageId(123),
        reader: card(ME),
        newly: 1,
        at: START,
        participants: vec![ME, OTHER],
    };
    assert_eq!(world.answers(Ok(marked)), ["ack r"]);
}

#[test]
fn a_chat_socket_gets_the_echo_of_its_own_message_before_the_ack() {
    let mut world = World::on(Endpoint::Chat);
    world.asks("r", say(Some(HERE)));
    assert_eq!(
        world.answers(Ok(appended(message(HERE, 121), false))),
        ["message 121", "ack r 121"]
    );
}

#[test]
fn a_repeated_client_id_answers_the_stored_message_to_its_sender_alone() {
    for (endpoint, conversation) in [(Endpoint::Chat, Some(HERE)), (CONVERSATION, None)] {
        let mut world = World::on(endpoint);
        world.asks("r", say(conversation));
        let effects = world.answers(Ok(appended(message(HERE, 7), true)));
        assert_eq!(effects, ["message 7 true", "ack r 7 true"], "{endpoint:?}");
    }
}

#[test]
fn typing_from_a_chat_socket_is_told_once_the_store_allows_it() {
    let shown = |is| {
        [
            format!("publish chat_9 Conversation: typing user1 {is} (sheddable)"),
            format!("publish user_2_notifications Activity: typing user1 {is} (sheddable)"),
        ]
    };
    let acknowledged = |is| [shown(is).as_slice(), &["ack r".to_owned()]].concat();
    let mut world = World::on(Endpoint::Chat);
    world.asks("r", typing(Some(THERE), true));
    assert_eq!(world.answers(Ok(may_speak())), acknowledged(true));
    assert_eq!(world.due_in(), 10_000);
    let effects = world.asks("r", typing(Some(THERE), false));
    assert_eq!(effects, acknowledged(false), "its end needs no question");
    assert!(world.session.extra.is_none());
    // An end that overtakes the answer wins.
    world.says(typing(Some(THERE), true));
    assert_eq!(world.says(typing(Some(THERE), false)), [""; 0]);
    assert_eq!(world.answers(Ok(may_speak())), [""; 0]);
    // Without a beginning it is asked and told.
    world.says(typing(Some(THERE), false));
    assert_eq!(world.answers(Ok(may_speak())), shown(false));
    // And it is over by itself.
    world.says(typing(Some(THERE), true));
    world.answers(Ok(may_speak()));
    assert_eq!(world.wakes(9_999), [""; 0]);
    assert_eq!(world.wakes(1), shown(false));
}

#[test]
fn a_chat_socket_types_in_a_bounded_number_of_conversations() {
    let mut world = World::on(Endpoint::Chat);
    for id in 0..TYPING_CONVERSATIONS_MAX as i64 {
        world.pass(1);
        world.says(typing(Some(ConversationId(id)), true));
        world.answers(Ok(may_speak()));
    }
    assert_eq!(
        world.says(typing(Some(THERE_TOO), true)),
        [
            "publish chat_0 Conversation: typing user1 false (sheddable)",
            "publish user_2_notifications Activity: typing user1 false (sheddable)",
            "ask may speak 777",
        ]
    );
}

const THERE_TOO: ConversationId = ConversationId(777);

#[test]
fn each_rate_is_kept_and_says_when_there_is_room() {
    let one = Rate::new(1.0, 1);
    let cases = [
        (ChatLimits { commands: one, ..unlimited() }, Command::Ping { timestamp: None }),
        (ChatLimits { messages: one, ..unlimited() }, say(None)),
        (ChatLimits { typing: one, ..unlimited() }, typing(None, true)),
        (ChatLimits { receipts: one, ..unlimited() }, read(None)),
    ];
    for (limits, command) in cases {
        let mut world = World::on(CONVERSATION).limited(limits);
        assert_ne!(world.asks("r", command.clone())[0], "error rate_limited r", "{command:?}");
        let effects = world.asks("r", command.clone());
        assert!(effects[0].starts_with("error rate_limited r"), "{command:?}: {effects:?}");
        assert_eq!(world.last_words("/retry_after_ms"), "1000");
        assert_eq!(world.last_words("/temporary"), "true");
        world.pass(1_000);
        assert_ne!(world.asks("r", command.clone())[0], "error rate_limited r", "{command:?}");
    }
}

#[test]
fn the_end_of_typing_is_never_over_a_limit() {
    let limits = ChatLimits { typing: Rate::new(1.0, 1), ..unlimited() };
    let mut world = World::on(CONVERSATION).limited(limits);
    assert_eq!(world.asks("r", typing(None, true)).len(), 3);
    assert_eq!(world.asks("r", typing(None, false)).len(), 3);
    assert_eq!(world.asks("r", typing(None, false)), ["error rate_limited r"]);
}

#[test]
fn twenty_errors_within_ten_seconds_end_a_session_and_slower_ones_do_not() {
    let fault = Fault {
        code: ErrorCode::InvalidJson,
        message: "broken".into(),
        reference: None,
        client_id: None,
    };
    let mut world = World::on(Endpoint::Chat);
    for _ in 0..19 {
        assert_eq!(world.faults(&fault), ["error invalid_json"]);
    }
    world.pass(9_999);
    assert_eq!(world.faults(&fault), ["error invalid_json", "close 4400"]);

    let mut world = World::on(Endpoint::Chat);
    for _ in 0..100 {
        world.pass(1_000);
        assert_eq!(world.says(say(None)), ["error invalid_field k1"]);
    }
}

#[test]
fn whoever_ignores_a_rate_limit_is_sent_away() {
    let limits = ChatLimits { commands: Rate::new(1.0, 1), ..unlimited() };
    let mut world = World::on(Endpoint::Chat).limited(limits);
    let ping = || Command::Ping { timestamp: None };
    world.says(ping());
    for _ in 0..99 {
        assert_eq!(world.says(ping()), ["error rate_limited"]);
    }
    assert_eq!(world.says(ping()), ["error rate_limited", "close 4429"]);
}

#[test]
fn no_more_conversations_wait_for_a_resume_than_one_command_may_name() {
    let many: Vec<_> =
        (1..=RESUME_CONVERSATIONS_MAX as i64).map(|id| (Some(ConversationId(id)), 0)).collect();
    let mut world = World::on(Endpoint::Chat);
    assert_eq!(world.asks("r", resume(&many)).len(), 1, "one page at a time");
    assert_eq!(world.asks("s", resume(&many[..2])), ["error busy s"]);
    assert_eq!(world.asked.len(), 1);
}
