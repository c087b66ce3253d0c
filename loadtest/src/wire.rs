//! The server's events as far as a client checks them, and the command that sends a message.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// An event of a conversation socket.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    /// The first frame: the conversation's last `seq`, where the socket has a conversation.
    Hello(Option<u64>),
    /// A message was committed; true: it had been before.
    Message(Message<'a>, bool),
    /// Of a chat socket: a message was committed.
    NewMessage(Message<'a>),
    /// A resume has told what there was.
    Resumed(Resumed),
    /// A command failed.
    Error(Failure<'a>),
    /// Anything else.
    Other,
}

/// A message, in events and REST alike.
#[derive(Debug, Deserialize)]
pub(crate) struct Message<'a> {
    /// Its id.
    pub(crate) id: i64,
    /// Where it was said.
    pub(crate) conversation_id: i64,
    /// Its place there, from 1.
    pub(crate) seq: u64,
    /// Who said it.
    pub(crate) sender: User,
    /// What was said.
    #[serde(borrow)]
    pub(crate) content: Cow<'a, str>,
    /// The sender's own name for it.
    pub(crate) client_id: Option<String>,
}

/// A user in passing.
#[derive(Debug, Deserialize)]
pub(crate) struct User {
    /// The id.
    pub(crate) id: i64,
}

/// The end of a resume.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct Resumed {
    /// Of what.
    pub(crate) conversation_id: i64,
    /// Up to where.
    pub(crate) last_seq: u64,
    /// True: there is no more.
    pub(crate) complete: bool,
}

/// Why a command failed.
#[derive(Debug, Deserialize)]
pub(crate) struct Failure<'a> {
    /// `rate_limited`, and others.
    #[serde(borrow)]
    pub(crate) code: Cow<'a, str>,
    /// Of the message that was not sent.
    pub(crate) client_id: Option<String>,
    /// True: the same may succeed later.
    #[serde(default)]
    pub(crate) temporary: bool,
    /// When.
    pub(crate) retry_after_ms: Option<u64>,
}

/// Reads an event.
///
/// # Errors
///
/// Not JSON, or not of the contract's shape.
pub(crate) fn read(text: &str) -> serde_json::Result<Incoming<'_>> {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
    }
    #[derive(Deserialize)]
    struct Hello {
        conversation: Option<Place>,
    }
    #[derive(Deserialize)]
    struct Place {
        last_seq: u64,
    }
    #[derive(Deserialize)]
    struct Told<'a> {
        #[serde(borrow)]
        message: Message<'a>,
        #[serde(default)]
        duplicate: bool,
    }
    let kind: Kind<'_> = serde_json::from_str(text)?;
    Ok(match &*kind.kind {
        "hello" => {
            let hello: Hello = serde_json::from_str(text)?;
            Incoming::Hello(hello.conversation.map(|place| place.last_seq))
        }
        "message" => {
            let told: Told<'_> = serde_json::from_str(text)?;
            Incoming::Message(told.message, told.duplicate)
        }
        "new_message" => {
            let told: Told<'_> = serde_json::from_str(text)?;
            Incoming::NewMessage(told.message)
        }
        "resumed" => Incoming::Resumed(serde_json::from_str(text)?),
        "error" => Incoming::Error(serde_json::from_str(text)?),
        _ => Incoming::Other,
    })
}

/// The command that sends `content` on a conversation's socket.
pub(crate) fn message(content: &str, client_id: &str) -> String {
    message_to(None, content, client_id)
}

/// The command that sends `content` without a name for it.
pub(crate) fn unnamed_message(content: &str) -> String {
    let content = serde_json::to_string(content).expect("a text is JSON");
    format!(r#"{{"type":"message","content":{content}}}"#)
}

/// The same as [`message`] for a conversation that is named, as on the chat socket.
pub(crate) fn message_to(conversation: Option<i64>, content: &str, client_id: &str) -> String {
    #[derive(Serialize)]
    struct Command<'a> {
        r#type: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        conversation_id: Option<i64>,
        content: &'a str,
        client_id: &'a str,
    }
    let command = Command { r#type: "message", conversation_id: conversation, content, client_id };
    serde_json::to_string(&command).expect("texts are JSON")
}

/// The command that says whether somebody is typing on a conversation's socket.
pub(crate) fn typing(is_typing: bool) -> String {
    format!(r#"{{"type":"typing","is_typing":{is_typing}}}"#)
}

/// The command that says that a message and all before it were read.
pub(crate) fn read_receipt(message: i64) -> String {
    format!(r#"{{"type":"read_receipt","message_id":{message}}}"#)
}

/// The command that asks for what came after a `seq`: on the chat socket of a conversation that is named.
pub(crate) fn resume(conversation: Option<i64>, after: u64) -> String {
    match conversation {
        Some(id) => format!(r#"{{"type":"resume","after":{{"{id}":{after}}}}}"#),
        None => format!(r#"{{"type":"resume","after_seq":{after}}}"#),
    }
}

/// FNV-1a of 64 bits: the same in every run, so that contents can be compared across processes.
pub(crate) fn hash(content: &str) -> u64 {
    content.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// What is said in the message of that name: filled to `bytes` where it is shorter, with no white space for the server to trim.
pub(crate) fn content(client_id: &str, bytes: usize) -> String {
    let mut content = format!("Salut \"{client_id}\" é:");
    while content.len() < bytes {
        content.push((b'a' + (content.len() % 26) as u8) as char);
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_the_contract_are_read() {
        let hello =
            r#"{"type":"hello","connection_id":"c","conversation":{"id":4,"last_seq":120}}"#;
        assert!(matches!(read(hello), Ok(Incoming::Hello(Some(120)))));
        let text = r#"{"type":"message","message":{"id":123,"conversation_id":456,"seq":120,
            "sender":{"id":1,"username":"john_doe","profile_picture":null},"content":"a\nb",
            "created_at":"2024-01-01T00:00:00Z","is_read":false,"attachment":null,"client_id":"x"}}"#;
        let Ok(Incoming::Message(message, false)) = read(text) else { panic!() };
        assert_eq!((message.id, message.conversation_id, message.seq), (123, 456, 120));
        assert_eq!((message.sender.id, &*message.content), (1, "a\nb"));
        assert_eq!(message.client_id.as_deref(), Some("x"));
        let text = r#"{"type":"error","code":"rate_limited","message":"m","ref":null,
            "client_id":"x","temporary":true,"retry_after_ms":200}"#;
        let Ok(Incoming::Error(error)) = read(text) else { panic!() };
        assert_eq!(
            (&*error.code, error.temporary, error.retry_after_ms),
            ("rate_limited", true, Some(200))
        );
        let text = r#"{"type":"new_message","conversation_id":456,"message":{"id":1,"conversation_id":456,
            "seq":2,"sender":{"id":1},"content":"a","client_id":null}}"#;
        let Ok(Incoming::NewMessage(message)) = read(text) else { panic!() };
        assert_eq!((message.seq, message.client_id), (2, None));
        let text = r#"{"type":"resumed","conversation_id":4,"last_seq":9,"complete":false}"#;
        let resumed = Resumed { conversation_id: 4, last_seq: 9, complete: false };
        assert!(matches!(read(text), Ok(Incoming::Resumed(found)) if found == resumed));
        assert!(matches!(read(r#"{"type":"typing"}"#), Ok(Incoming::Other)));
        assert!(read(r#"{"type":"message","message":{"id":1}}"#).is_err());
        assert!(read("hello").is_err());
    }

    #[test]
    fn a_command_escapes_its_content() {
        let command = message("a\"b", "x-1");
        assert_eq!(command, r#"{"type":"message","content":"a\"b","client_id":"x-1"}"#);
        let command = message_to(Some(4), "a", "x");
        let expected = r#"{"type":"message","conversation_id":4,"content":"a","client_id":"x"}"#;
        assert_eq!(command, expected);
        assert_eq!(resume(Some(4), 9), r#"{"type":"resume","after":{"4":9}}"#);
        assert_eq!(resume(None, 9), r#"{"type":"resume","after_seq":9}"#);
        assert_eq!(read_receipt(5), r#"{"type":"read_receipt","message_id":5}"#);
        assert_eq!(unnamed_message("a\"b"), r#"{"type":"message","content":"a\"b"}"#);
        assert_eq!(typing(true), r#"{"type":"typing","is_typing":true}"#);
    }

    #[test]
    fn contents_are_filled_named_and_told_apart() {
        assert!(content("r-1", 100).len() >= 100);
        assert_eq!(content("r-1", 64), content("r-1", 64));
        assert!((0..100).all(|bytes| content("r-1", bytes).trim() == content("r-1", bytes)));
        assert_ne!(hash(&content("r-1", 64)), hash(&content("r-2", 64)));
        // The published value for "a".
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
