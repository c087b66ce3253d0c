//! What servers of different kinds are told and tell, so that one run measures them all.
//!
//! Every session goes to a [`Place`]. A text that is said in a room goes to every session there, the one who said it included;
//! on an echo socket it comes back.

mod said;

use clap::ValueEnum;

pub(crate) use self::said::{Said, room_text_bytes};
use crate::target::Target;
use crate::wire;
use crate::ws::Upgrade;

/// The `Sec-WebSocket-Key` of sessions with a server whose answer is fixed.
pub(crate) const FIXED_KEY: &str = "Zm9ydGlmdW4tbG9hZHRlc3Q=";

/// How a server is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Dialect {
    /// fortifun's own: tokens, JSON, stored messages with a `seq`.
    Fortifun,
    /// `/_echo` and `/room/N`: a text comes back as it went. No tokens.
    Plain,
    /// As plain, to a program that answers with fixed bytes: what comes is counted and not looked at.
    Raw,
    /// Socket.IO over its WebSocket transport: the event `message` with one text; `?room=N` joins.
    Socketio,
    /// fortifun's URLs, tokens and JSON as clients of the Django server speak them: no `hello`, no `seq`.
    Django,
}

/// Where a session goes, and as whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Where every text comes back.
    Echo,
    /// Where nothing is said: a user's own socket, or what the dialect has like it.
    Own { user: i64 },
    /// A conversation.
    Room { room: i64, user: i64 },
}

/// What a text from the server means before a session is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Greeting {
    /// It stands; the last `seq` of its room, where the dialect has one.
    Ready(u64),
    /// This is to be sent.
    Answer(&'static str),
    /// Nothing of interest.
    Aside,
}

impl Dialect {
    /// The handshake of a session.
    pub(crate) fn upgrade(self, place: Place, target: &Target) -> Upgrade {
        let token = |user| target.signer.token(user);
        let (path, token) = match (self, place) {
            (Self::Socketio, Place::Room { room, .. }) => {
                (format!("/socket.io/?EIO=4&transport=websocket&room={room}"), String::new())
            }
            (Self::Socketio, _) => {
                ("/socket.io/?EIO=4&transport=websocket".to_owned(), String::new())
            }
            (Self::Plain | Self::Raw, Place::Room { room, .. }) => {
                (format!("/room/{room}"), String::new())
            }
            (_, Place::Echo) | (Self::Plain | Self::Raw, _) => ("/_echo".to_owned(), String::new()),
            (_, Place::Own { user }) => ("/ws/chat/".to_owned(), token(user)),
            (_, Place::Room { room, user }) => (format!("/ws/conversations/{room}/"), token(user)),
        };
        Upgrade { path, is_v1: self == Self::Fortifun && !token.is_empty(), token }
    }

    /// True exactly where users, tokens and conversations have to exist.
    pub(crate) const fn has_people(self) -> bool {
        matches!(self, Self::Fortifun | Self::Django)
    }

    /// True exactly where what comes is compared with what was said.
    pub(crate) const fn is_checked(self) -> bool {
        !matches!(self, Self::Raw)
    }

    /// The `Sec-WebSocket-Key` of all sessions, where the server's answer is fixed.
    pub(crate) fn fixed_key(self) -> Option<&'static str> {
        (self == Self::Raw).then_some(FIXED_KEY)
    }

    /// True exactly where a session stands only once the server has said so.
    pub(crate) const fn greets(self, place: Place) -> bool {
        match self {
            Self::Fortifun => !matches!(place, Place::Echo),
            Self::Socketio => true,
            Self::Plain | Self::Raw | Self::Django => false,
        }
    }

    /// What `text` means to a session that does not stand yet.
    pub(crate) fn greeting(self, text: &str) -> Greeting {
        match self {
            Self::Fortifun => match wire::read(text) {
                Ok(wire::Incoming::Hello(last_seq)) => Greeting::Ready(last_seq.unwrap_or(0)),
                _ => Greeting::Aside,
            },
            Self::Socketio if text.starts_with("0{") => Greeting::Answer("40"),
            Self::Socketio if text.starts_with("40{") => Greeting::Ready(0),
            _ => Greeting::Aside,
        }
    }

    /// What is to be sent back for a text that keeps the connection alive.
    pub(crate) fn pong(self, text: &str) -> Option<&'static str> {
        (self == Self::Socketio && text == "2").then_some("3")
    }

    /// Writes the text that says `content` on an echo socket, and that comes back.
    pub(crate) fn write_echo(self, out: &mut String, content: &str) {
        out.clear();
        if self == Self::Socketio {
            out.push_str(r#"42["message",""#);
            out.push_str(content);
            out.push_str(r#""]"#);
        } else {
            out.push_str(content);
        }
    }

    /// The text that says `content` in a room.
    pub(crate) fn say(self, content: &str) -> String {
        match self {
            Self::Fortifun | Self::Django => wire::unnamed_message(content),
            Self::Plain | Self::Raw => content.to_owned(),
            Self::Socketio => {
                let text = serde_json::to_string(content).expect("a text is JSON");
                format!(r#"42["message",{text}]"#)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Signer;

    const ROOM: Place = Place::Room { room: 7, user: 3 };

    fn upgrade(dialect: Dialect, place: Place) -> Upgrade {
        let target = Target {
            address: "127.0.0.1:1".parse().unwrap(),
            host: String::new(),
            signer: Signer::new(b"k", 0, 1),
            tls: None,
            first_source: 0,
        };
        dialect.upgrade(place, &target)
    }

    #[test]
    fn each_goes_where_its_server_expects_it() {
        for (dialect, echo, room, has_token, is_v1) in [
            (Dialect::Fortifun, "/_echo", "/ws/conversations/7/", true, true),
            (Dialect::Django, "/_echo", "/ws/conversations/7/", true, false),
            (Dialect::Plain, "/_echo", "/room/7", false, false),
            (Dialect::Raw, "/_echo", "/room/7", false, false),
        ] {
            assert_eq!(upgrade(dialect, Place::Echo).path, echo);
            let upgrade = upgrade(dialect, ROOM);
            assert_eq!((&*upgrade.path, !upgrade.token.is_empty()), (room, has_token));
            assert_eq!(upgrade.is_v1, is_v1, "{dialect:?}");
        }
        assert!(upgrade(Dialect::Socketio, ROOM).path.ends_with("&room=7"));
    }

    #[test]
    fn a_session_of_socket_io_stands_when_its_connect_is_answered() {
        let dialect = Dialect::Socketio;
        assert_eq!(dialect.greeting(r#"0{"sid":"a"}"#), Greeting::Answer("40"));
        assert_eq!(dialect.greeting(r#"40{"sid":"b"}"#), Greeting::Ready(0));
        assert_eq!((dialect.pong("2"), dialect.pong("42[]")), (Some("3"), None));
        let mut text = String::new();
        dialect.write_echo(&mut text, "x");
        assert_eq!((&*text, &*dialect.say("x")), (r#"42["message","x"]"#, r#"42["message","x"]"#));
    }

    #[test]
    fn a_session_of_ours_stands_with_its_hello() {
        let hello = r#"{"type":"hello","conversation":{"id":4,"last_seq":120}}"#;
        assert_eq!(Dialect::Fortifun.greeting(hello), Greeting::Ready(120));
        assert_eq!(Dialect::Fortifun.greeting(r#"{"type":"typing"}"#), Greeting::Aside);
        assert!(!Dialect::Fortifun.greets(Place::Echo) && Dialect::Fortifun.greets(ROOM));
    }
}
