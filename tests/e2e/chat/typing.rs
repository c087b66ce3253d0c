//! "Is typing": told to the others, not stored, and over by itself.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::users::Pair;
use crate::support::{Server, Ws};

fn typing(is_typing: bool) -> Value {
    json!({"type": "typing", "is_typing": is_typing})
}

#[test]
fn typing_is_told_in_the_conversation_and_to_chat_sockets_that_know_it() {
    let server = Server::with(&[("TYPING_PER_SECOND", "100")]);
    let Pair { alice, bob, conversation } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let mut own = Ws::v1(&server, &alice, &path);
    let mut alice_chat = Ws::v1(&server, &alice, "/ws/chat/");
    let mut there = Ws::plain(&server, &bob, &path);
    let mut bob_chat = Ws::v1(&server, &bob, "/ws/chat/");
    let mut bob_plain_chat = Ws::plain(&server, &bob, "/ws/chat/");
    let told = |is_typing: bool| {
        json!({"type": "typing", "conversation_id": conversation, "user_id": alice.id,
            "username": "alice", "is_typing": is_typing})
    };
    for is_typing in [true, false] {
        let mut command = typing(is_typing);
        command["ref"] = "t".into();
        own.send(&command);
        // What is told to all and what is told to one come by different ways.
        let mut answers = [own.next(), own.next()];
        answers.sort_by_key(|answer| answer["type"].to_string());
        assert_eq!(answers, [json!({"type": "ack", "ref": "t"}), told(is_typing)]);
        assert_eq!(there.expect("typing"), told(is_typing));
        assert_eq!(bob_chat.expect("typing"), told(is_typing));
        command["conversation_id"] = conversation.into();
        alice_chat.send(&command);
        assert_eq!(there.expect("typing"), told(is_typing));
        assert_eq!(alice_chat.until("ack")["ref"], "t");
        assert_eq!(bob_chat.expect("typing"), told(is_typing));
        own.expect("typing");
    }
    bob_plain_chat.expect_nothing();
    there.expect_nothing();
}

#[test]
fn typing_ends_ten_seconds_after_the_last_of_it_and_with_its_socket() {
    let server = Server::with(&[("TYPING_PER_SECOND", "100")]);
    let Pair { alice, bob, conversation } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let mut there = Ws::v1(&server, &bob, &path);
    let mut own = Ws::v1(&server, &alice, &path);
    let mut chat = Ws::v1(&server, &alice, "/ws/chat/");
    own.send(&typing(true));
    assert_eq!(there.expect("typing")["is_typing"], true);
    own.close();
    assert_eq!(there.expect("typing")["is_typing"], false, "its socket has gone");
    let mut command = typing(true);
    command["conversation_id"] = conversation.into();
    chat.send(&command);
    let since = Instant::now();
    assert_eq!(there.expect("typing")["is_typing"], true);
    assert_eq!(there.expect("typing")["is_typing"], false);
    let lasted_s = since.elapsed().as_secs_f32();
    assert!((9.9..14.0).contains(&lasted_s), "{lasted_s}");
    chat.send(&command);
    assert_eq!(there.expect("typing")["is_typing"], true);
    drop(chat);
    assert_eq!(there.expect("typing")["is_typing"], false, "its connection was lost");
}
