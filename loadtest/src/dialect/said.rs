//! What was said in a room, as each dialect tells it.

use std::borrow::Cow;

use super::Dialect;
use crate::wire::{self, Incoming};

/// A message as a session of its room hears it.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Said<'a> {
    /// Its place in the room, where the dialect has one.
    pub(crate) seq: Option<u64>,
    /// Its id, where the dialect has one.
    pub(crate) id: Option<i64>,
    /// What was said.
    pub(crate) content: Cow<'a, str>,
}

impl<'a> Said<'a> {
    /// The message in `text`; `None`: it tells of something else.
    ///
    /// # Errors
    ///
    /// The server refused a command, or `text` is nothing that it may tell.
    pub(crate) fn read(dialect: Dialect, text: &'a str) -> Result<Option<Self>, String> {
        match dialect {
            Dialect::Plain | Dialect::Raw => {
                Ok(Some(Self { seq: None, id: None, content: Cow::Borrowed(text) }))
            }
            Dialect::Socketio => {
                let Some(event) = text.strip_prefix("42") else { return Ok(None) };
                let (name, content): (&str, Cow<'a, str>) =
                    serde_json::from_str(event).map_err(|error| format!("{error}: {text}"))?;
                if name != "message" {
                    return Err(format!("an event {name}"));
                }
                Ok(Some(Self { seq: None, id: None, content: Cow::Owned(content.into_owned()) }))
            }
            Dialect::Fortifun => match wire::read(text) {
                Ok(Incoming::Message(message, false)) => Ok(Some(Self {
                    seq: Some(message.seq),
                    id: Some(message.id),
                    content: message.content,
                })),
                Ok(Incoming::Message(_, true)) => Err(format!("a duplicate: {text}")),
                Ok(Incoming::Error(failure)) => Err(format!("error {}", failure.code)),
                Ok(_) => Ok(None),
                Err(error) => Err(format!("{error}: {text}")),
            },
            Dialect::Django => django(text),
        }
    }
}

/// Django tells no `seq` and no client id.
fn django(text: &str) -> Result<Option<Said<'_>>, String> {
    #[derive(serde::Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        r#type: Cow<'a, str>,
        #[serde(borrow)]
        message: Option<Content<'a>>,
    }
    #[derive(serde::Deserialize)]
    struct Content<'a> {
        id: i64,
        #[serde(borrow)]
        content: Cow<'a, str>,
    }
    let event: Event<'_> =
        serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))?;
    match (&*event.r#type, event.message) {
        ("message", Some(message)) => {
            Ok(Some(Said { seq: None, id: Some(message.id), content: message.content }))
        }
        ("error", _) => Err(format!("refused: {text}")),
        _ => Ok(None),
    }
}

/// How long, in bytes, a text of the dialect's rooms is that carries `content`: of ours what the server makes of it, so that
/// a plain server sends as many bytes for the same content.
pub(crate) fn room_text_bytes(content: &str) -> usize {
    let event = r#"{"type":"message","message":{"id":123456,"conversation_id":100,"seq":123456,"#;
    let sender = r#""sender":{"id":100,"username":"load-12345","profile_picture":null},"content":"#;
    let rest = r#","created_at":"2024-01-01T00:00:00.000000Z","is_read":false,"attachment":null,"#;
    let end = r#""client_id":null}}"#;
    let content = serde_json::to_string(content).expect("a text is JSON");
    event.len() + sender.len() + content.len() + rest.len() + end.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dialect: Dialect, text: &str, (seq, id): (Option<u64>, Option<i64>)) {
        let said = Said { seq, id, content: "a\"b".into() };
        assert_eq!(Said::read(dialect, text), Ok(Some(said)), "{dialect:?}");
    }

    #[test]
    fn what_was_said_is_found_in_every_dialect() {
        let ours = r#"{"type":"message","message":{"id":1,"conversation_id":4,"seq":9,
            "sender":{"id":1},"content":"a\"b","client_id":null}}"#;
        check(Dialect::Fortifun, ours, (Some(9), Some(1)));
        let django = r#"{"type": "message", "message": {"id": 1, "content": "a\"b"}}"#;
        check(Dialect::Django, django, (None, Some(1)));
        check(Dialect::Socketio, r#"42["message","a\"b"]"#, (None, None));
        check(Dialect::Plain, "a\"b", (None, None));
    }

    #[test]
    fn what_is_not_said_is_passed_over_and_a_refusal_is_not() {
        let status = r#"{"type":"user_status","user_id":1}"#;
        for dialect in [Dialect::Fortifun, Dialect::Django] {
            assert_eq!(Said::read(dialect, status), Ok(None));
            assert!(Said::read(dialect, r#"{"type":"error","code":"busy"}"#).is_err());
            assert!(Said::read(dialect, "x").is_err());
        }
        assert_eq!(Said::read(Dialect::Socketio, "2"), Ok(None));
        assert!(Said::read(Dialect::Socketio, r#"42["other","x"]"#).is_err());
    }
}
