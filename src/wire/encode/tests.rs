use proptest::prelude::*;

use super::*;
use crate::model::{Card, Conversation, ErrorCode, Match, MatchId, Message, Topic};

/// 2024-01-01T00:00:00Z.
const AT: Timestamp = Timestamp(1_704_067_200_000_000);
const AT_JSON: &str = "2024-01-01T00:00:00Z";

fn encoder() -> Encoder {
    Encoder::new("https://cdn/m")
}

fn john() -> Card {
    let profile_picture = Some("p/j d.png".into());
    Card { id: UserId(1), username: "john_doe".into(), profile_picture }
}

fn jane() -> Card {
    Card { id: UserId(2), username: "jane_doe".into(), profile_picture: None }
}

fn message() -> Message {
    Message {
        id: MessageId(123),
        conversation: ConversationId(456),
        seq: Seq(120),
        sender: john(),
        content: "Hello, \"you\"\n é😀".into(),
        created_at: AT,
        is_read: false,
        attachment: None,
        client_id: Some("c1".into()),
    }
}

const MESSAGE_JSON: &str = r#"{"id":123,"conversation_id":456,"seq":120,"sender":{"id":1,"username":"john_doe","profile_picture":"https://cdn/m/p/j%20d.png"},"content":"Hello, \"you\"\n é😀","created_at":"2024-01-01T00:00:00Z","is_read":false,"attachment":null,"client_id":"c1"}"#;

/// A frame's text: what follows its header, whose length must fit.
fn text_of(frame: &[u8]) -> &str {
    assert_eq!(frame[0], 0x81, "FIN and text");
    let (len, payload) = match frame[1] {
        127 => (u64::from_be_bytes(frame[2..10].try_into().unwrap()), &frame[10..]),
        126 => (u64::from(u16::from_be_bytes(frame[2..4].try_into().unwrap())), &frame[4..]),
        len => (u64::from(len), &frame[2..]),
    };
    assert_eq!(payload.len() as u64, len);
    std::str::from_utf8(payload).unwrap()
}

#[test]
fn events_are_written_as_the_contract_shows_them() {
    let (john, jane, message) = (john(), jane(), message());
    let made = Match { id: MatchId(1), conversation: ConversationId(456), created_at: AT };
    let conversation = Conversation {
        id: ConversationId(456),
        participants: vec![john.clone(), jane.clone()],
        created_at: AT,
        updated_at: Timestamp(AT.0 + 1),
        is_active: true,
        last_message: Some(message.clone()),
        last_seq: Seq(120),
        unread_count: 3,
    };
    let typing = Event::Typing {
        conversation: ConversationId(456),
        user: UserId(1),
        username: "john_doe",
        is_typing: true,
    };
    let receipt = Event::ReadReceipt {
        conversation: ConversationId(456),
        message: MessageId(123),
        reader: &john,
        at: AT,
    };
    let status = |is_online, last_activity| Event::UserStatus {
        user: &jane,
        is_online,
        last_activity,
        at: AT,
    };
    for (event, json) in [
        (Event::Message(&message), format!(r#"{{"type":"message","message":{MESSAGE_JSON}}}"#)),
        (
            Event::Duplicate(&message),
            format!(r#"{{"type":"message","message":{MESSAGE_JSON},"duplicate":true}}"#),
        ),
        (
            Event::NewMessage(&message),
            format!(r#"{{"type":"new_message","conversation_id":456,"message":{MESSAGE_JSON}}}"#),
        ),
        (
            typing,
            r#"{"type":"typing","conversation_id":456,"user_id":1,"username":"john_doe","is_typing":true}"#.into(),
        ),
        (
            receipt,
            format!(r#"{{"type":"read_receipt","conversation_id":456,"message_id":123,"user_id":1,"username":"john_doe","timestamp":"{AT_JSON}"}}"#),
        ),
        (
            status(true, Some(AT)),
            format!(r#"{{"type":"user_status","user_id":2,"username":"jane_doe","status":"online","is_online":true,"last_activity":"{AT_JSON}","timestamp":"{AT_JSON}"}}"#),
        ),
        (
            status(false, None),
            format!(r#"{{"type":"user_status","user_id":2,"username":"jane_doe","status":"offline","is_online":false,"last_activity":null,"timestamp":"{AT_JSON}"}}"#),
        ),
        (
            Event::NewMatch { made: &made, other: &jane },
            format!(r#"{{"type":"new_match","data":{{"type":"new_match","match":{{"id":1,"conversation_id":456,"user":{{"id":2,"username":"jane_doe","profile_picture":null}},"created_at":"{AT_JSON}"}}}}}}"#),
        ),
        (
            Event::NewLike { liker: &john },
            r#"{"type":"new_like","data":{"type":"new_like","liker":{"id":1,"username":"john_doe","profile_picture":"https://cdn/m/p/j%20d.png"}}}"#.into(),
        ),
        (
            Event::ConversationCreated(&conversation),
            format!(r#"{{"type":"conversation_update","event":"conversation.create","data":{{"id":456,"participants":[{{"id":1,"username":"john_doe","profile_picture":"https://cdn/m/p/j%20d.png"}},{{"id":2,"username":"jane_doe","profile_picture":null}}],"created_at":"{AT_JSON}","updated_at":"2024-01-01T00:00:00.000001Z","is_active":true,"last_message":{MESSAGE_JSON},"last_seq":120,"unread_count":3}}}}"#),
        ),
    ] {
        assert_eq!(text_of(&encoder().event(&event)), json);
    }
}

#[test]
fn answers_are_written_as_the_contract_shows_them() {
    let hello = |conversation, messages_per_second| Answer::Hello {
        connection_id: "k7",
        user: UserId(1),
        heartbeat_ms: 25_000,
        at: AT,
        expires_at: AT,
        message_bytes: 65_536,
        messages_per_second,
        conversation,
    };
    let stored = Stored {
        message: MessageId(123),
        conversation: ConversationId(456),
        seq: Seq(120),
        created_at: AT,
        duplicate: false,
    };
    let complaint = |code, reference, client_id, retry_after_ms| {
        Answer::Error(Complaint {
            code,
            message: "why".into(),
            reference,
            client_id,
            retry_after_ms,
        })
    };
    for (answer, json) in [
        (
            hello(Some((ConversationId(456), Seq(120))), 5.0),
            format!(r#"{{"type":"hello","connection_id":"k7","user_id":1,"heartbeat_interval_ms":25000,"server_time":"{AT_JSON}","token_expires_at":"{AT_JSON}","limits":{{"message_bytes":65536,"messages_per_second":5}},"conversation":{{"id":456,"last_seq":120}}}}"#),
        ),
        (
            hello(None, 0.5),
            format!(r#"{{"type":"hello","connection_id":"k7","user_id":1,"heartbeat_interval_ms":25000,"server_time":"{AT_JSON}","token_expires_at":"{AT_JSON}","limits":{{"message_bytes":65536,"messages_per_second":0.5}}}}"#),
        ),
        (
            Answer::Pong { echo: None, at: AT },
            format!(r#"{{"type":"pong","timestamp":"{AT_JSON}"}}"#),
        ),
        (
            Answer::Pong { echo: Some("1.50e3"), at: AT },
            r#"{"type":"pong","timestamp":1.50e3}"#.into(),
        ),
        (
            Answer::Pong { echo: Some("not json"), at: AT },
            format!(r#"{{"type":"pong","timestamp":"{AT_JSON}"}}"#),
        ),
        (Answer::Ack { reference: "r\"1", stored: None }, r#"{"type":"ack","ref":"r\"1"}"#.into()),
        (
            Answer::Ack { reference: "r1", stored: Some(stored) },
            format!(r#"{{"type":"ack","ref":"r1","message_id":123,"conversation_id":456,"seq":120,"created_at":"{AT_JSON}","duplicate":false}}"#),
        ),
        (
            complaint(ErrorCode::InvalidField, None, None, None),
            r#"{"type":"error","code":"invalid_field","message":"why","ref":null,"client_id":null,"temporary":false,"retry_after_ms":null}"#.into(),
        ),
        (
            complaint(ErrorCode::RateLimited, Some("r1"), Some("c1"), Some(200)),
            r#"{"type":"error","code":"rate_limited","message":"why","ref":"r1","client_id":"c1","temporary":true,"retry_after_ms":200}"#.into(),
        ),
        (
            Answer::Subscribed { topic: Topic::Matches, on: true, users: None },
            r#"{"type":"subscribed","subscription_type":"match_notifications"}"#.into(),
        ),
        (
            Answer::Subscribed { topic: Topic::UserStatus, on: false, users: Some(&[UserId(2)]) },
            r#"{"type":"unsubscribed","subscription_type":"user_status","user_ids":[2]}"#.into(),
        ),
        (
            Answer::Resumed { conversation: ConversationId(456), last_seq: Seq(120), complete: true },
            r#"{"type":"resumed","conversation_id":456,"last_seq":120,"complete":true}"#.into(),
        ),
        (
            Answer::AuthOk { expires_at: AT },
            format!(r#"{{"type":"auth_ok","expires_at":"{AT_JSON}"}}"#),
        ),
        (
            Answer::TokenExpiring { expires_at: AT },
            format!(r#"{{"type":"token_expiring","expires_at":"{AT_JSON}"}}"#),
        ),
        (
            Answer::Reconnect { reason: "drain", delay_ms: 1_234 },
            r#"{"type":"reconnect","reason":"drain","delay_ms":1234}"#.into(),
        ),
    ] {
        assert_eq!(text_of(&encoder().answer(&answer)), json);
    }
}

#[test]
fn an_attachment_is_shown_as_a_url() {
    for (stored, shown) in [
        (Some("a/b.png"), r#""attachment":"https://cdn/m/a/b.png""#),
        (Some("https://x/y.png"), r#""attachment":"https://x/y.png""#),
        (Some(""), r#""attachment":null"#),
    ] {
        let message = Message { attachment: stored.map(Into::into), client_id: None, ..message() };
        let frame = encoder().event(&Event::Message(&message));
        assert!(text_of(&frame).contains(shown), "{}", text_of(&frame));
        assert!(text_of(&frame).contains(r#""client_id":null"#));
    }
}

proptest! {
    #[test]
    fn any_content_survives_the_wire(content in any::<String>(), echoes in 0..3_usize) {
        let content = content.repeat(1 + echoes * 400);
        let message = Message { content: content.clone(), ..message() };
        let frame = encoder().event(&Event::Message(&message));
        let value: serde_json::Value = serde_json::from_str(text_of(&frame)).unwrap();
        prop_assert_eq!(value["message"]["content"].as_str(), Some(&*content));
        let both = [frame, encoder().event(&Event::NewMessage(&message))];
        prop_assert_eq!(encoder().message(&message), both);
    }

    #[test]
    fn what_a_ping_sent_comes_back(number in any::<f64>(), text in ".{0,10}") {
        for scalar in [serde_json::json!(number), serde_json::json!(text), true.into()] {
            let ping = serde_json::json!({"type": "ping", "timestamp": scalar}).to_string();
            let Ok(crate::model::Envelope { command: crate::model::Command::Ping { timestamp }, .. }) =
                crate::wire::decode(&ping)
            else {
                panic!("{ping}")
            };
            if let Some(echo) = timestamp.as_deref() {
                let frame = encoder().answer(&Answer::Pong { echo: Some(echo), at: AT });
                let pong = format!(r#"{{"type":"pong","timestamp":{scalar}}}"#);
                prop_assert_eq!(text_of(&frame), pong);
            }
        }
    }
}
