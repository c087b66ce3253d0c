//! Every way in which a request has no reply, as its client is told of it.

use super::world::*;
use crate::model::{Command, Endpoint, MessageId, Refused, Topic};
use crate::store::{Failure, StoreError, StoreErrorKind};

const CONVERSATION: Endpoint = Endpoint::Conversation(HERE);

const REFUSALS: [(Refused, &str); 9] = [
    (Refused::ConversationNotFound, "not_found"),
    (Refused::NotParticipant, "forbidden"),
    (Refused::Silenced, "forbidden"),
    (Refused::MessageNotFound, "not_found"),
    (Refused::UserNotFound, "not_found"),
    (Refused::Oneself, "invalid_field"),
    (Refused::UserBlocked, "forbidden"),
    (Refused::AlreadyLiked, "invalid_field"),
    (Refused::NameTaken, "invalid_field"),
];

const STORE_ERRORS: [(StoreErrorKind, &str); 8] = [
    (StoreErrorKind::Unavailable, "store_unavailable"),
    (StoreErrorKind::Unknown, "store_unavailable"),
    (StoreErrorKind::Contended, "store_unavailable"),
    (StoreErrorKind::TimedOut, "store_unavailable"),
    (StoreErrorKind::NotWritable, "store_unavailable"),
    (StoreErrorKind::Schema, "store_unavailable"),
    (StoreErrorKind::Poisoned, "invalid_field"),
    (StoreErrorKind::Internal, "store_unavailable"),
];

fn failures() -> Vec<(Failure, &'static str)> {
    let error = |kind| Failure::Store(StoreError { kind, detail: "secret detail".to_owned() });
    let refused = REFUSALS.map(|(refused, code)| (Failure::Refused(refused), code));
    let store = STORE_ERRORS.map(|(kind, code)| (error(kind), code));
    refused.into_iter().chain(store).collect()
}

/// Each command that asks the store, and what of it an error carries back.
fn commands() -> Vec<(Endpoint, Command<'static>, &'static str)> {
    let say = |conversation| Command::Message {
        conversation,
        content: "hi".into(),
        client_id: Some("k1".into()),
        attachment: None,
    };
    let read = Command::ReadReceipt { conversation: None, message: MessageId(123) };
    let typing = Command::Typing { conversation: Some(HERE), is_typing: true };
    let watch = Command::Subscribe { topic: Topic::UserStatus, on: true, users: vec![OTHER] };
    vec![
        (Endpoint::Chat, say(Some(HERE)), " r k1"),
        (CONVERSATION, say(None), " r k1"),
        (CONVERSATION, read, " r"),
        (Endpoint::Chat, typing, " r"),
        (Endpoint::Chat, watch, " r"),
    ]
}

#[test]
fn every_failure_of_every_command_has_its_code_and_carries_back_ref_and_client_id() {
    for (endpoint, command, names) in commands() {
        for (failure, code) in failures() {
            let mut world = World::on(endpoint);
            world.asks("r", command.clone());
            let effects = world.answers(Err(failure.clone()));
            assert_eq!(effects, [format!("error {code}{names}")], "{command:?} {failure:?}");
            let is_temporary = code == "store_unavailable";
            assert_eq!(world.last_words("/temporary"), is_temporary.to_string());
            assert!(!world.last_frame().contains("secret"), "the detail is for the log");
            assert!(world.session.extra.is_none(), "nothing is left of {command:?}");
            if is_temporary {
                let ms: u64 = world.last_words("/retry_after_ms").parse().expect("a number");
                assert!((1_000..2_000).contains(&ms), "{ms}");
            }
        }
    }
}

#[test]
fn a_full_queue_is_told_as_busy_and_leaves_nothing_behind() {
    for (endpoint, command, names) in commands() {
        let mut world = World::on(endpoint);
        world.asks("r", command.clone());
        assert_eq!(world.is_busy(), [format!("error busy{names}")], "{command:?}");
        assert!(world.session.extra.is_none());
        assert_eq!(world.last_words("/temporary"), "true");
    }
}

#[test]
fn temporary_errors_end_no_session() {
    let mut world = World::on(CONVERSATION);
    for _ in 0..50 {
        world.says(Command::ReadReceipt { conversation: None, message: MessageId(1) });
        assert_eq!(world.is_busy(), ["error busy"]);
    }
}

#[test]
fn typing_that_is_no_longer_allowed_is_over() {
    let typing = || Command::Typing { conversation: Some(HERE), is_typing: true };
    let mut world = World::on(Endpoint::Chat);
    world.says(typing());
    world.answers(Ok(may_speak()));
    world.says(typing());
    assert_eq!(world.is_busy(), ["error busy"], "it goes on until its time is over");
    world.says(typing());
    let effects = world.answers(Err(Refused::Silenced.into()));
    assert_eq!(effects, [OVER[0], OVER[1], "error forbidden"]);
    assert!(world.session.extra.is_none());
}
