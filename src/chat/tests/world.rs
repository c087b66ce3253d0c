//! One session, what the rules may look at beside it, and effects in words.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::Value;

use crate::auth::{Rate, Stamp, Verifier, jwt};
use crate::channel::{Delivery, Payload};
use crate::chat::{Admit, ChatLimits, Ctx, Directory, Effect, Opening, Pending, Session, Then};
use crate::chat::{busy, close, complete, handle, on_control, on_deadline, on_gap, open, refuse};
use crate::model::{
    Card, Command, ConnKey, ConnRef, Control, ConversationId, Endpoint, Envelope, Group, Message,
    MessageId, Seq, ShardId, Topic, UserId,
};
use crate::store::{
    Admission, Failure, Outcome, Reply, Request, Status, StoreError, StoreErrorKind,
};
use crate::time::{Mono, Now, Timestamp};
use crate::wire::{Encoder, Fault};

pub(super) const ME: UserId = UserId(1);
pub(super) const OTHER: UserId = UserId(2);
pub(super) const HERE: ConversationId = ConversationId(456);
pub(super) const SECRET: &[u8] = b"an hs256 secret of 32 bytes or so";
/// 2024-01-01T00:00:00Z.
pub(super) const START: Timestamp = Timestamp::from_unix_seconds(1_704_067_200);
/// What a token lasts, seconds.
pub(super) const TTL_S: i64 = 3_600;

/// Everything the rules see, and what they said last.
pub(super) struct World {
    pub(super) session: Session,
    pub(super) directory: Directory,
    pub(super) limits: ChatLimits,
    pub(super) now: Now,
    encoder: Encoder,
    verifier: Verifier,
    last: Option<Bytes>,
    /// The frames sent since they were last taken.
    pub(super) frames: Vec<Bytes>,
    /// What the session waits for, oldest first.
    pub(super) asked: Vec<(Request, Then)>,
}

/// Limits that never refuse.
pub(super) fn unlimited() -> ChatLimits {
    ChatLimits {
        commands: Rate::UNLIMITED,
        messages: Rate::UNLIMITED,
        typing: Rate::UNLIMITED,
        receipts: Rate::UNLIMITED,
        ..ChatLimits::default()
    }
}

pub(super) const fn me() -> ConnRef {
    ConnRef { shard: ShardId(0), key: ConnKey { index: 3, generation: 5 } }
}

pub(super) fn card(user: UserId) -> Card {
    let username = format!("user{user}").into();
    Card { id: user, username, profile_picture: None }
}

pub(super) fn message(conversation: ConversationId, seq: i64) -> Message {
    Message {
        id: MessageId(1_000 + seq),
        conversation,
        seq: Seq(seq),
        sender: card(OTHER),
        content: "hello".to_owned(),
        created_at: START,
        is_read: false,
        attachment: None,
        client_id: None,
    }
}

/// "Is typing" begins in [`HERE`], as it is told to the conversation and to the other's chat sockets.
pub(super) const BEGUN: [&str; 2] = [
    "publish chat_456 Conversation: typing user1 true (sheddable)",
    "publish user_2_notifications Activity: typing user1 true (sheddable)",
];

/// And it ends.
pub(super) const OVER: [&str; 2] = [
    "publish chat_456 Conversation: typing user1 false (sheddable)",
    "publish user_2_notifications Activity: typing user1 false (sheddable)",
];

/// Both may speak.
pub(super) fn may_speak() -> Reply {
    Reply::MaySpeak(vec![ME, OTHER])
}

pub(super) fn appended(message: Message, duplicate: bool) -> Reply {
    Reply::Appended { message, participants: vec![ME, OTHER], duplicate }
}

pub(super) fn status(user: UserId) -> Status {
    Status { user: card(user), is_online: true, last_activity: None }
}

/// How one takes part in [`HERE`], whose newest place is 120.
pub(super) fn admission() -> Admission {
    Admission { id: HERE, last_seq: Seq(120), silenced: false, others: vec![status(OTHER)] }
}

pub(super) fn opening(endpoint: Endpoint) -> Opening<'static> {
    Opening {
        user: ME,
        endpoint,
        v1: true,
        expires_at: START.plus_ms(TTL_S * 1_000),
        stamp: Stamp::default(),
        connection_id: "c1",
        since: None,
        pending: Pending::default(),
    }
}

impl World {
    /// A session that has just begun, and how; nothing limits it.
    pub(super) fn opened(opening: &Opening<'_>) -> (Self, Vec<String>) {
        let mut world = Self {
            session: Session::new(
                opening.user,
                opening.endpoint,
                (opening.expires_at, opening.stamp),
                opening.v1,
                crate::chat::place::Place::live(Seq(0)),
            ),
            directory: Directory::new(unlimited()),
            limits: unlimited(),
            now: Now { mono: Mono(1_000), wall: START },
            encoder: Encoder::new("https://media"),
            verifier: Verifier::new(&[SECRET], None, None),
            last: None,
            frames: Vec::new(),
            asked: Vec::new(),
        };
        world.directory.open(&card(ME), me());
        let admission = matches!(opening.endpoint, Endpoint::Conversation(_)).then(admission);
        let mut session = None;
        let effects = world.run(|_, ctx, out| {
            session = Some(open(opening, admission.as_ref(), ctx, out));
        });
        world.session = session.expect("it was opened");
        (world, effects)
    }

    /// A `fortifun.v1` session on this socket.
    pub(super) fn on(endpoint: Endpoint) -> Self {
        Self::opened(&opening(endpoint)).0
    }

    pub(super) fn limited(mut self, limits: ChatLimits) -> Self {
        self.directory = Directory::new(limits);
        self.directory.open(&card(ME), me());
        self.limits = limits;
        self
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.now.mono = self.now.mono.plus(ms);
        self.now.wall = self.now.wall.plus_ms(ms as i64);
    }

    /// A command with this `ref`.
    pub(super) fn asks(&mut self, reference: &str, command: Command<'_>) -> Vec<String> {
        self.sends(&Envelope { reference: Some(reference.into()), command })
    }

    /// A command without a `ref`.
    pub(super) fn says(&mut self, command: Command<'_>) -> Vec<String> {
        self.sends(&Envelope { reference: None, command })
    }

    fn sends(&mut self, envelope: &Envelope<'_>) -> Vec<String> {
        self.run(|session, ctx, out| handle(session, envelope, ctx, out))
    }

    pub(super) fn faults(&mut self, fault: &Fault<'_>) -> Vec<String> {
        self.run(|session, ctx, out| refuse(session, fault, ctx, out))
    }

    /// The oldest request's outcome.
    pub(super) fn answers(&mut self, outcome: Outcome) -> Vec<String> {
        let (_, then) = self.asked.remove(0);
        self.completes(then, outcome)
    }

    /// The oldest request's reply.
    pub(super) fn reads(&mut self, reply: Reply) -> Vec<String> {
        self.answers(Ok(reply))
    }

    /// The outcome of a request that was taken from [`World::asked`].
    pub(super) fn completes(&mut self, then: Then, outcome: Outcome) -> Vec<String> {
        let echo = match &outcome {
            Ok(reply) => crate::chat::publication(reply, Some(me()), &self.encoder, &mut |_| {}),
            Err(_) => None,
        };
        self.run(|session, ctx, out| complete(session, then, outcome, echo, ctx, out))
    }

    /// The oldest request found its queue full.
    pub(super) fn is_busy(&mut self) -> Vec<String> {
        let (_, then) = self.asked.remove(0);
        self.finds_full(then)
    }

    /// The queue of a request that was taken from [`World::asked`] was full.
    pub(super) fn finds_full(&mut self, then: Then) -> Vec<String> {
        self.run(|session, ctx, out| busy(session, then, ctx, out))
    }

    pub(super) fn hears(&mut self, control: Control) -> Vec<String> {
        self.run(|session, ctx, out| on_control(session, control, ctx, out))
    }

    /// `ms` pass, and the deadline is looked at.
    pub(super) fn wakes(&mut self, ms: u64) -> Vec<String> {
        self.pass(ms);
        self.run(on_deadline)
    }

    /// Milliseconds until the session's deadline.
    pub(super) fn due_in(&self) -> u64 {
        self.session.deadline(self.now).since(self.now.mono)
    }

    pub(super) fn misses(&mut self) -> Vec<String> {
        self.run(|session, _, out| on_gap(session, out))
    }

    pub(super) fn ends(&mut self) -> Vec<String> {
        self.run(close)
    }

    pub(super) fn token(&self, secret: &[u8], user: UserId, ttl_s: i64) -> String {
        jwt::issue(secret, user, ttl_s, self.now.wall, 7)
    }

    /// The last frame sent, as JSON.
    pub(super) fn last_frame(&self) -> String {
        let frame = self.last.as_ref().expect("a frame was sent");
        String::from_utf8(text(frame).to_vec()).expect("JSON is UTF-8")
    }

    /// One field of the last frame sent.
    pub(super) fn last_words(&self, pointer: &str) -> String {
        match json(self.last.as_ref().expect("a frame was sent")).pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        }
    }

    fn run(&mut self, act: impl FnOnce(&mut Session, &Ctx<'_>, &mut Vec<Effect>)) -> Vec<String> {
        let mut out = Vec::new();
        let ctx = Ctx {
            me: me(),
            now: self.now,
            encoder: &self.encoder,
            directory: &self.directory,
            verifier: &self.verifier,
            limits: &self.limits,
        };
        act(&mut self.session, &ctx, &mut out);
        let shown = out.iter().map(show).collect();
        for effect in out {
            match effect {
                Effect::Store { request, then } => self.asked.push((request, then)),
                Effect::Send(frame) | Effect::Complain { frame, .. } => {
                    self.last = Some(frame.clone());
                    self.frames.push(frame);
                }
                _ => {}
            }
        }
        shown
    }
}

/// `resume` of each conversation after this place.
pub(super) fn resume(after: &[(Option<ConversationId>, i64)]) -> Command<'static> {
    Command::Resume { after: after.iter().map(|(at, seq)| (*at, Seq(*seq))).collect() }
}

/// A page, read when the newest place was `last_seq`.
pub(super) fn history(
    conversation: ConversationId,
    seqs: impl Iterator<Item = i64>,
    last_seq: i64,
) -> Reply {
    let messages = seqs.map(|seq| message(conversation, seq)).collect();
    Reply::History { messages, last_seq: Seq(last_seq) }
}

/// The database is away.
pub(super) fn unavailable() -> Failure {
    Failure::Store(StoreError { kind: StoreErrorKind::Unavailable, detail: String::new() })
}

/// A live message arrives.
pub(super) fn live(world: &mut World, conversation: ConversationId, seq: i64) -> Admit {
    let topic = match world.session.endpoint() {
        Endpoint::Conversation(_) => Topic::Conversation,
        Endpoint::Chat | Endpoint::Notifications => Topic::Messages,
    };
    world.session.admits(me(), topic, Some((conversation, Seq(seq))), None)
}

/// An effect in words.
pub(super) fn show(effect: &Effect) -> String {
    match effect {
        Effect::Send(frame) | Effect::Complain { frame, .. } => words(frame),
        Effect::Close { code, .. } => format!("close {code}"),
        Effect::Store { request, .. } => format!("ask {}", ask(request)),
        Effect::Publish(delivery) => format!("publish {}", show_delivery(delivery)),
        Effect::Join(group) => format!("join {group}"),
        Effect::Leave(group) => format!("leave {group}"),
    }
}

/// A delivery in words.
pub(super) fn show_delivery(Delivery { group, payload, .. }: &Delivery) -> String {
    match payload {
        Payload::Frame { frame, topic, place, except, sheddable } => {
            let mut text = format!("{group} {topic:?}: {}", words(frame));
            if let Some((conversation, seq)) = place {
                _ = write!(text, " at {conversation}/{seq}");
            }
            if except.is_some() {
                text += " but the sender";
            }
            if *sheddable {
                text += " (sheddable)";
            }
            text
        }
        Payload::Control(control) => format!("{group}: {control:?}"),
    }
}

/// A frame's payload (RFC 6455 §5.2).
fn text(frame: &Bytes) -> &[u8] {
    assert_eq!(frame[0], 0x81, "one whole text frame");
    let header = match frame[1] {
        0..=125 => 2,
        126 => 4,
        _ => 10,
    };
    &frame[header..]
}

/// A frame's JSON.
pub(super) fn json(frame: &Bytes) -> Value {
    serde_json::from_slice(text(frame)).expect("the encoder writes JSON")
}

/// A frame in words: its type and what tells it from others of its type.
fn words(frame: &Bytes) -> String {
    let json = json(frame);
    let kind = json["type"].as_str().expect("every frame has a type");
    let keys: &[&str] = match kind {
        "message" | "new_message" => &["/message/seq", "/message/duplicate", "/duplicate"],
        "ack" => &["/ref", "/seq", "/duplicate"],
        "error" => &["/code", "/ref", "/client_id"],
        "hello" => &["/conversation/last_seq"],
        "resumed" => &["/conversation_id", "/last_seq", "/complete"],
        "subscribed" | "unsubscribed" => &["/subscription_type", "/user_ids"],
        "typing" => &["/username", "/is_typing"],
        "user_status" => &["/user_id", "/status"],
        "read_receipt" => &["/message_id", "/user_id"],
        "new_match" => &["/data/match/user/id"],
        "new_like" => &["/data/liker/id"],
        "conversation_update" => &["/data/id", "/data/unread_count"],
        _ => &[],
    };
    let mut text = kind.to_owned();
    for key in keys {
        match json.pointer(key) {
            None | Some(Value::Null) => {}
            Some(Value::Bool(false)) if kind != "typing" && kind != "resumed" => {}
            Some(Value::String(value)) => _ = write!(text, " {value}"),
            Some(value) => _ = write!(text, " {value}"),
        }
    }
    text
}

fn ask(request: &Request) -> String {
    match request {
        Request::Append { conversation, content, client_id, .. } => {
            format!("append {conversation} {content} {}", client_id.as_deref().unwrap_or("-"))
        }
        Request::MarkRead { conversation, message, .. } => format!("read {conversation} {message}"),
        Request::MaySpeak { conversation, .. } => format!("may speak {conversation}"),
        Request::Watch { users, .. } => format!("watch {users:?}"),
        Request::History { conversation, page, limit, .. } => {
            format!("history {conversation} {page:?} {limit}")
        }
        other => panic!("no session asks {other:?}"),
    }
}

/// The group of the user's own sockets.
pub(super) const fn own_group() -> Group {
    Group::User(ME)
}
