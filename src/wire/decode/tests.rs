use proptest::prelude::*;

use super::*;
use crate::limits::{
    ATTACHMENT_CHARS_MAX, CLIENT_ID_BYTES_MAX, CONTENT_CHARS_MAX, PING_TIMESTAMP_BYTES_MAX,
    REF_BYTES_MAX, RESUME_CONVERSATIONS_MAX, SUBSCRIBE_USERS_MAX,
};
use crate::model::UserId;

fn command_of(text: &str) -> Command<'_> {
    decode(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}")).command
}

/// The code and the message of what is wrong with `text`.
fn wrong(text: &str) -> (ErrorCode, String) {
    let fault = decode(text).expect_err(text);
    (fault.code, fault.message.into_owned())
}

fn message(content: &str) -> Command<'_> {
    let content = Cow::Borrowed(content);
    Command::Message { conversation: None, content, client_id: None, attachment: None }
}

#[test]
fn every_command_is_read() {
    let subscribe = |topic, on, users| Command::Subscribe { topic, on, users };
    let cases = [
        (r#"{"type":"ping"}"#, Command::Ping { timestamp: None }),
        (r#" {"type":"message","content":" hi\t","unknown":[{"a":1}]} "#, message("hi")),
        (r#"{"type":"chat_message","message":"hi","content":7}"#, message("hi")),
        (
            r#"{"type":"message","content":"hi","client_id":"c1","conversation_id":456,"attachment":"https://x/y.png"}"#,
            Command::Message {
                conversation: Some(ConversationId(456)),
                content: "hi".into(),
                client_id: Some("c1".into()),
                attachment: Some("https://x/y.png".into()),
            },
        ),
        (
            r#"{"type":"message","content":"hi","client_id":null,"conversation_id":null,"attachment":null,"ref":null}"#,
            message("hi"),
        ),
        (r#"{"type":"message","content":"hi","attachment":""}"#, message("hi")),
        (
            r#"{"type":"typing","is_typing":true}"#,
            Command::Typing { conversation: None, is_typing: true },
        ),
        (
            r#"{"type":"typing","is_typing":false,"conversation_id":1}"#,
            Command::Typing { conversation: Some(ConversationId(1)), is_typing: false },
        ),
        (
            r#"{"type":"read_receipt","message_id":9223372036854775807}"#,
            Command::ReadReceipt { conversation: None, message: MessageId(i64::MAX) },
        ),
        (
            r#"{"type":"subscribe","subscription_type":"match_notifications"}"#,
            subscribe(Topic::Matches, true, vec![]),
        ),
        (
            r#"{"type":"unsubscribe","subscription_type":"system_alerts","user_ids":"ignored"}"#,
            subscribe(Topic::Alerts, false, vec![]),
        ),
        (
            r#"{"type":"subscribe","subscription_type":"user_status","user_ids":[3,1,3]}"#,
            subscribe(Topic::UserStatus, true, vec![UserId(3), UserId(1)]),
        ),
        (r#"{"type":"resume","after_seq":0}"#, Command::Resume { after: vec![(None, Seq(0))] }),
        (r#"{"type":"resume","after":{}}"#, Command::Resume { after: vec![] }),
        (
            r#"{"type":"resume","after":{"456":118,"7":0,"456":119},"after_seq":3,"conversation_id":8}"#,
            Command::Resume {
                after: vec![
                    (Some(ConversationId(456)), Seq(119)),
                    (Some(ConversationId(7)), Seq(0)),
                    (Some(ConversationId(8)), Seq(3)),
                ],
            },
        ),
        (r#"{"type":"auth","token":"a.b.c"}"#, Command::Auth { token: "a.b.c".into() }),
    ];
    for (text, command) in cases {
        assert_eq!(command_of(text), command, "{text}");
    }
}

#[test]
fn a_ping_keeps_its_timestamp_as_it_was_written() {
    for written in ["1.50e3", r#""2024\u002d01""#, "true", "-0", "18446744073709551616", "\"\""] {
        let text = format!(r#"{{"type":"ping","timestamp": {written} }}"#);
        assert_eq!(command_of(&text), Command::Ping { timestamp: Some(written.into()) });
    }
    let null = r#"{"type":"ping","timestamp":null}"#;
    assert_eq!(command_of(null), Command::Ping { timestamp: None });
    let longest = format!("\"{}\"", "x".repeat(PING_TIMESTAMP_BYTES_MAX - 2));
    assert!(decode(&format!(r#"{{"type":"ping","timestamp":{longest}}}"#)).is_ok());
}

#[test]
fn a_text_that_is_no_command_is_told_why() {
    for (text, code, message) in [
        ("", ErrorCode::InvalidJson, "EOF while parsing a value at line 1 column 0"),
        ("hello", ErrorCode::InvalidJson, "expected value at line 1 column 1"),
        ("[1,", ErrorCode::InvalidJson, "EOF while parsing a value at line 1 column 3"),
        (r#"{"type":"ping"}x"#, ErrorCode::InvalidJson, "trailing characters at line 1 column 16"),
        ("[]", ErrorCode::InvalidCommand, "expected an object"),
        ("null", ErrorCode::InvalidCommand, "expected an object"),
        ("\"ping\"", ErrorCode::InvalidCommand, "expected an object"),
        ("{}", ErrorCode::InvalidCommand, "type: missing"),
        (r#"{"type":7}"#, ErrorCode::InvalidCommand, "type: expected a string, got number"),
        (r#"{"type":null}"#, ErrorCode::InvalidCommand, "type: expected a string, got null"),
        (r#"{"type":"Message"}"#, ErrorCode::UnknownType, "type: unknown"),
    ] {
        assert_eq!(wrong(text), (code, message.to_owned()), "{text}");
    }
}

/// What a field's fault says of each kind of value; `good` is left out.
fn kinds(what: &str, good: &str) -> Vec<(String, String)> {
    [
        ("null", "null"),
        ("true", "boolean"),
        ("\"x\"", "string"),
        ("7", "number"),
        ("[1]", "array"),
        ("{\"a\":[]}", "object"),
    ]
    .into_iter()
    .filter(|(_, kind)| *kind != good)
    .map(|(json, kind)| (json.to_owned(), format!("expected {what}, got {kind}")))
    .collect()
}

#[test]
fn every_field_that_is_missing_or_of_the_wrong_type_is_named() {
    let required = [
        (r#""type":"message""#, "content", "a string", "string"),
        (r#""type":"chat_message""#, "message", "a string", "string"),
        (r#""type":"typing""#, "is_typing", "true or false", "boolean"),
        (r#""type":"read_receipt""#, "message_id", "an integer", "number"),
        (r#""type":"subscribe""#, "subscription_type", "a string", "string"),
        (r#""type":"unsubscribe""#, "subscription_type", "a string", "string"),
        (r#""type":"resume""#, "after_seq", "an integer", "number"),
        (r#""type":"auth""#, "token", "a string", "string"),
    ];
    for (head, name, what, good) in required {
        let missing = format!("{{{head}}}");
        assert_eq!(wrong(&missing), (ErrorCode::InvalidField, format!("{name}: missing")));
        for (json, says) in kinds(what, good) {
            let text = format!(r#"{{{head},"{name}":{json}}}"#);
            assert_eq!(
                wrong(&text),
                (ErrorCode::InvalidField, format!("{name}: {says}")),
                "{text}"
            );
        }
    }
    let optional = [
        (r#""type":"message","content":"hi""#, "client_id", "a string", "string"),
        (r#""type":"message","content":"hi""#, "attachment", "a string", "string"),
        (r#""type":"message","content":"hi""#, "conversation_id", "an integer", "number"),
        (r#""type":"typing","is_typing":true"#, "conversation_id", "an integer", "number"),
        (r#""type":"read_receipt","message_id":1"#, "conversation_id", "an integer", "number"),
        (r#""type":"resume","after_seq":1"#, "conversation_id", "an integer", "number"),
        (r#""type":"ping""#, "ref", "a string", "string"),
    ];
    for (head, name, what, good) in optional {
        for (json, says) in kinds(what, good) {
            let text = format!(r#"{{{head},"{name}":{json}}}"#);
            if json == "null" {
                assert!(decode(&text).is_ok(), "{text}");
            } else {
                let fault = (ErrorCode::InvalidField, format!("{name}: {says}"));
                assert_eq!(wrong(&text), fault, "{text}");
            }
        }
    }
}

#[test]
fn every_field_out_of_bounds_is_named() {
    let with = |name: &str, json: &str| {
        format!(r#"{{"type":"message","content":"hi","conversation_id":1,"{name}":{json}}}"#)
    };
    let quoted = |c: &str, n: usize| format!("\"{}\"", c.repeat(n));
    let url = |chars: usize| format!("\"https://{}\"", "é".repeat(chars - 8));
    let cases = [
        (with("content", "\"\""), "content: empty"),
        (with("content", r#"" \n\t\u2003\u00a0""#), "content: empty"),
        (with("content", &quoted("é", CONTENT_CHARS_MAX + 1)), "content: over 4000 characters"),
        (with("content", r#""a\u0000b""#), "content: holds a NUL"),
        (with("client_id", "\"\""), "client_id: expected 1 to 64 bytes"),
        (with("client_id", &quoted("é", 33)), "client_id: expected 1 to 64 bytes"),
        (with("client_id", r#""\u0000""#), "client_id: holds a NUL"),
        (with("ref", &quoted("x", REF_BYTES_MAX + 1)), "ref: over 64 bytes"),
        (with("conversation_id", "0"), "conversation_id: expected at least 1"),
        (with("conversation_id", "-7"), "conversation_id: expected at least 1"),
        (with("conversation_id", "1.0"), "conversation_id: expected an integer"),
        (with("conversation_id", "1e2"), "conversation_id: expected an integer"),
        (with("conversation_id", "9223372036854775808"), "conversation_id: expected an integer"),
        (with("conversation_id", "\"7\""), "conversation_id: expected an integer, got string"),
        (with("attachment", &url(ATTACHMENT_CHARS_MAX + 1)), "attachment: over 100 characters"),
        (
            with("attachment", r#""https://x/\u0007""#),
            "attachment: holds whitespace or a control character",
        ),
        (
            with("attachment", r#""https://x/a b""#),
            "attachment: holds whitespace or a control character",
        ),
        (
            with("attachment", r#""javascript:alert(1)""#),
            "attachment: expected an http or https URL",
        ),
        (with("attachment", r#""https://""#), "attachment: expected an http or https URL"),
        (with("attachment", r#""photos/a.png""#), "attachment: expected an http or https URL"),
        (with("attachment", r#""éééé://x""#), "attachment: expected an http or https URL"),
        (r#"{"type":"resume","after_seq":-1}"#.into(), "after_seq: expected at least 0"),
        (r#"{"type":"auth","token":""}"#.into(), "token: empty"),
        (
            r#"{"type":"subscribe","subscription_type":"weather"}"#.into(),
            "subscription_type: unknown",
        ),
        (r#"{"type":"ping","timestamp":[1]}"#.into(), "timestamp: expected a string or a number"),
        (
            format!(r#"{{"type":"ping","timestamp":{}}}"#, "1".repeat(65)),
            "timestamp: over 64 bytes",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(wrong(&text), (ErrorCode::InvalidField, message.to_owned()), "{text}");
    }
    for text in [
        with("content", &quoted("é", CONTENT_CHARS_MAX)),
        with("content", &format!("\"  {}  \"", "x".repeat(CONTENT_CHARS_MAX))),
        with("client_id", &quoted("x", CLIENT_ID_BYTES_MAX)),
        with("ref", &quoted("x", REF_BYTES_MAX)),
        with("attachment", &url(ATTACHMENT_CHARS_MAX)),
        with("attachment", r#""HTTP://x""#),
    ] {
        assert!(decode(&text).is_ok(), "{text}");
    }
}

#[test]
fn a_list_of_users_is_bounded_and_holds_ids() {
    let text = |list: &str| {
        format!(r#"{{"type":"subscribe","subscription_type":"user_status","user_ids":{list}}}"#)
    };
    let numbers = |n: usize| {
        let all: Vec<_> = (1..=n).map(|id| id.to_string()).collect();
        format!("[{}]", all.join(","))
    };
    assert!(decode(&text(&numbers(SUBSCRIBE_USERS_MAX))).is_ok());
    for (list, message) in [
        (numbers(SUBSCRIBE_USERS_MAX + 1), "user_ids: expected 1 to 200 ids"),
        (format!("[{}1]", "1,".repeat(SUBSCRIBE_USERS_MAX)), "user_ids: expected 1 to 200 ids"),
        ("[]".into(), "user_ids: expected 1 to 200 ids"),
        ("null".into(), "user_ids: missing"),
        ("7".into(), "user_ids: expected an array of ids"),
        ("{\"1\":1}".into(), "user_ids: expected an array of ids"),
        ("[1,0]".into(), "user_ids: expected an array of ids"),
        ("[1,\"2\",3]".into(), "user_ids: expected an array of ids"),
        ("[1,2.5]".into(), "user_ids: expected an array of ids"),
        ("[[1],[2]]".into(), "user_ids: expected an array of ids"),
        (r#"[1,"\ud800"]"#.into(), "user_ids: expected an array of ids"),
    ] {
        assert_eq!(wrong(&text(&list)), (ErrorCode::InvalidField, message.to_owned()), "{list}");
    }
}

#[test]
fn the_places_of_a_resume_are_bounded_and_have_ids() {
    let text = |map: &str| format!(r#"{{"type":"resume","after":{map}}}"#);
    let places = |n: usize| {
        let all: Vec<_> = (1..=n).map(|id| format!("\"{id}\":{id}")).collect();
        format!("{{{}}}", all.join(","))
    };
    assert!(decode(&text(&places(RESUME_CONVERSATIONS_MAX))).is_ok());
    let both =
        text(&places(RESUME_CONVERSATIONS_MAX)).replace("{\"type\"", "{\"after_seq\":1,\"type\"");
    for over in [text(&places(RESUME_CONVERSATIONS_MAX + 1)), both] {
        let message = "after: over 100 conversations".to_owned();
        assert_eq!(wrong(&over), (ErrorCode::InvalidField, message));
    }
    for map in [
        "[]",
        "7",
        "{\"0\":1}",
        "{\"-1\":1}",
        "{\"+1\":1}",
        "{\"01\":1}",
        "{\"\":1}",
        "{\"x\":1}",
        "{\"9223372036854775808\":1}",
        "{\"1\":-1}",
        "{\"1\":\"2\"}",
        "{\"1\":null}",
        "{\"1\":{\"2\":3},\"4\":5}",
    ] {
        let message = "after: expected an object of seq by conversation id".to_owned();
        assert_eq!(wrong(&text(map)), (ErrorCode::InvalidField, message), "{map}");
    }
}

#[test]
fn a_fault_carries_back_what_is_usable_of_ref_and_client_id() {
    let long = "x".repeat(65);
    for (text, reference, client_id) in [
        (r#"{"type":"message","ref":"r1","client_id":"c1"}"#.into(), Some("r1"), Some("c1")),
        (r#"{"ref":"r1","client_id":"c1"}"#.into(), Some("r1"), Some("c1")),
        (r#"{"type":"x","ref":"r1"}"#.into(), Some("r1"), None),
        (r#"{"type":"message","content":"a","ref":7,"client_id":"c1"}"#.into(), None, Some("c1")),
        (r#"{"type":"message","content":"a","ref":"r1","client_id":7}"#.into(), Some("r1"), None),
        (format!(r#"{{"type":"x","ref":"{long}","client_id":"c1"}}"#), None, Some("c1")),
        (
            r#"{"type":"message","content":"\ud800","ref":"r1","client_id":"c1"}"#.into(),
            Some("r1"),
            Some("c1"),
        ),
        (r#"{"type":"message","ref":"r1","client_id":"\ud800"}"#.into(), Some("r1"), None),
        (r#"{"type":"message","ref":"r1","content":"a""#.into(), None, None),
        ("[]".into(), None, None),
    ] as [(String, _, _); 10]
    {
        let fault = decode(&text).expect_err(&text);
        let carried = (fault.reference.as_deref(), fault.client_id.as_deref());
        assert_eq!(carried, (reference, client_id), "{text}");
        let complaint = fault.complaint();
        assert_eq!((complaint.reference, complaint.client_id), (reference, client_id));
        assert_eq!((complaint.code, &*complaint.message), (fault.code, &*fault.message));
    }
    let half = r#"{"type":"message","content":"\ud800"}"#;
    let says = "content: holds half a surrogate pair, or a number out of range".to_owned();
    assert_eq!(wrong(half), (ErrorCode::InvalidField, says));
}

#[test]
fn a_successful_command_keeps_its_ref() {
    let envelope = decode(r#"{"ref":"r\n1","type":"ping"}"#).unwrap();
    assert_eq!(envelope.reference.as_deref(), Some("r\n1"));
}

#[test]
fn of_a_key_given_twice_the_last_counts() {
    let text = r#"{"type":"typing","content":7,"content":"b","type":"message"}"#;
    assert_eq!(command_of(text), message("b"));
}

#[test]
fn a_text_without_escapes_is_borrowed_and_one_with_is_not() {
    let borrowed = r#"{"type":"message","content":" é 😀 ","client_id":"c"}"#;
    let Command::Message {
        content: Cow::Borrowed("é 😀"),
        client_id: Some(Cow::Borrowed("c")),
        ..
    } = command_of(borrowed)
    else {
        panic!("copied")
    };
    let escaped = r#"{"type":"message","content":"  \"q\" \ud83d\ude00\n"}"#;
    assert_eq!(command_of(escaped), message("\"q\" 😀"));
}

#[test]
fn deep_nesting_is_ignored_or_refused_and_the_stack_holds() {
    let deep = |open: &str, close: &str| {
        let n = 200_000;
        format!("{}1{}", open.repeat(n), close.repeat(n))
    };
    let array = deep("[", "]");
    let object = deep("{\"a\":", "}");
    for value in [&array, &object] {
        assert!(decode(&format!(r#"{{"type":"ping","unknown":{value}}}"#)).is_ok());
        assert!(decode(value).is_err());
        for name in ["type", "ref", "content", "user_ids", "after", "timestamp"] {
            for kind in ["message", "ping", "resume", "subscribe"] {
                let rest = "\"subscription_type\":\"user_status\"";
                let text = format!(r#"{{"type":"{kind}",{rest},"{name}":{value}}}"#);
                let _ = decode(&text);
                let _ = decode(&text[..text.len() - 9]);
            }
        }
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let scalar = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
        "(ping|message|chat_message|typing|resume|auth|user_status)".prop_map(Into::into),
    ];
    let key = "(type|ref|client_id|content|message|message_id|after|after_seq|user_ids|subscription_type|[a-z0-9]{1,3})";
    scalar.prop_recursive(4, 32, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map(key, inner, 0..8)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = decode(&text);
    }

    #[test]
    fn no_json_panics_and_all_of_it_is_known_as_json(value in json(), cut in any::<prop::sample::Index>()) {
        let text = value.to_string();
        if let Err(fault) = decode(&text) {
            prop_assert_ne!(fault.code, ErrorCode::InvalidJson, "{}", text);
        }
        let mut end = cut.index(text.len() + 1);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let _ = decode(&text[..end]);
    }

    #[test]
    fn any_content_arrives_as_it_was_sent_but_for_the_whitespace_around_it(content in "\\PC{0,80}[\\s\"\\\\é😀]{0,4}\\PC{0,80}") {
        let text = serde_json::json!({"type": "message", "content": content}).to_string();
        let trimmed = content.trim();
        match decode(&text) {
            Ok(envelope) => prop_assert_eq!(envelope.command, message(trimmed)),
            Err(_) => prop_assert!(trimmed.is_empty()),
        }
    }
}
