//! A server's surroundings, and requests as their bytes.

use std::cell::RefCell;
use std::sync::Arc;

use crate::auth::{Bucket, Rate, Verifier, jwt};
use crate::model::{
    Card, Conversation, ConversationId, Match, MatchId, MatchView, Message, MessageId, Profile,
    Seq, UserId,
};
use crate::protocol::http::{Decoder, Event, Limits, Response, cors, host::AllowedHosts};
use crate::rest::{Allowance, Ctx, Handled, Then, busy, complete, handle};
use crate::store::{self, Outcome};
use crate::time::{Mono, Now, Timestamp};
use crate::wire::Encoder;

const SECRET: &[u8] = b"a secret of thirty-two bytes here";
pub(crate) const WELCOME: &str = "Say hello.";
/// 2024-01-31T00:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_706_659_200);
pub(crate) const ORIGIN: &str = "https://app.example";
/// The user that requests are of.
pub(crate) const USER: UserId = UserId(1);

pub(crate) struct World {
    verifier: Verifier,
    encoder: Encoder,
    hosts: AllowedHosts,
    cors: cors::Policy,
    welcome: Arc<str>,
    bucket: RefCell<Bucket>,
    rate: Rate,
    has_page: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            verifier: Verifier::new(&[SECRET], None, None),
            encoder: Encoder::new("/media/"),
            hosts: AllowedHosts::new(["api.example"]),
            cors: cors::Policy::new([ORIGIN]),
            welcome: WELCOME.into(),
            bucket: RefCell::default(),
            rate: Rate::new(5.0, 10),
            has_page: true,
        }
    }

    /// One without limits.
    pub(crate) fn unlimited() -> Self {
        Self { rate: Rate::UNLIMITED, ..Self::new() }
    }

    /// One that serves no page.
    pub(crate) fn without_page() -> Self {
        Self { has_page: false, ..Self::new() }
    }

    /// Handles the request with these fields as they are.
    pub(crate) fn raw(&self, method: &str, target: &str, fields: &str, body: &str) -> Handled {
        let length = body.len();
        let text =
            format!("{method} {target} HTTP/1.1\r\n{fields}Content-Length: {length}\r\n\r\n{body}");
        let event = Decoder::new().next(text.as_bytes(), &mut 0, &Limits::default());
        let Some(Ok(Event::Request(request))) = event else { panic!("{text}: {event:?}") };
        self.with(true, |ctx| handle(&request, ctx))
    }

    /// Handles a request of [`USER`] with a JSON body and these further fields.
    pub(crate) fn ask(&self, method: &str, target: &str, fields: &str, body: &str) -> Handled {
        let token = token(USER);
        let fields = format!(
            "Host: api.example\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n{fields}"
        );
        self.raw(method, target, &fields, body)
    }

    /// The question that such a request becomes.
    pub(crate) fn question(
        &self,
        method: &str,
        target: &str,
        body: &str,
    ) -> (store::Request, Then) {
        match self.ask(method, target, "", body) {
            Handled::Await { request, then } => (request, then),
            other => panic!("{method} {target}: {other:?}"),
        }
    }

    /// The response that such a request gets at once.
    pub(crate) fn refusal(&self, method: &str, target: &str, fields: &str, body: &str) -> Response {
        respond(self.ask(method, target, fields, body))
    }

    pub(crate) fn complete(&self, then: Then, outcome: Outcome) -> Response {
        self.with(false, |ctx| complete(then, outcome, ctx))
    }

    pub(crate) fn busy(&self, then: &Then) -> Response {
        self.with(false, |ctx| busy(then, ctx))
    }

    /// `is_https` is known while the request is at hand, and no longer when its answer is.
    fn with<T>(&self, is_https: bool, act: impl FnOnce(&Ctx<'_>) -> T) -> T {
        let mono = Mono(1_000);
        let allowance = |_| take(&mut self.bucket.borrow_mut(), &self.rate, mono);
        act(&Ctx {
            now: Now { mono, wall: NOW },
            encoder: &self.encoder,
            verifier: &self.verifier,
            hosts: &self.hosts,
            cors: &self.cors,
            allowance: &allowance,
            welcome: &self.welcome,
            is_https,
            has_page: self.has_page,
        })
    }
}

/// Takes one message.
pub(crate) fn take(bucket: &mut Bucket, rate: &Rate, now: Mono) -> Allowance {
    let taken = bucket.take(now, rate);
    Allowance { rate: *rate, remaining: bucket.remaining(now, rate), taken }
}

pub(crate) fn respond(handled: Handled) -> Response {
    match handled {
        Handled::Respond(response) => response,
        other => panic!("{other:?}"),
    }
}

/// A token of `user` that is valid for an hour.
pub(crate) fn token(user: UserId) -> String {
    jwt::issue(SECRET, user, 3_600, NOW, 1)
}

/// A token that ends now.
pub(crate) fn expired() -> String {
    jwt::issue(SECRET, USER, 0, NOW, 1)
}

/// Checks a problem and returns what it names as the wrong field.
pub(crate) fn check_problem(response: &Response, status: u16, code: &str) -> Option<String> {
    let problem = json(response);
    assert_eq!(response.status(), status, "{problem}");
    assert_eq!(response.header_value("Content-Type"), Some("application/problem+json"));
    assert_eq!(response.header_value("Cache-Control"), Some("no-store"));
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["status"], status);
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
    problem["field"].as_str().map(str::to_owned)
}

pub(crate) fn json(response: &Response) -> serde_json::Value {
    serde_json::from_slice(response.body()).unwrap()
}

pub(crate) fn card(id: i64) -> Card {
    let picture = format!("p/{id}.jpg");
    Card {
        id: UserId(id),
        username: format!("user{id}").into(),
        profile_picture: Some(picture.into()),
    }
}

/// The message at that place of conversation 4.
pub(crate) fn message(seq: i64) -> Message {
    Message {
        id: MessageId(100 + seq),
        conversation: ConversationId(4),
        seq: Seq(seq),
        sender: card(1),
        content: "hi".to_owned(),
        created_at: NOW,
        is_read: false,
        attachment: None,
        client_id: None,
    }
}

pub(crate) fn conversation(id: i64) -> Conversation {
    Conversation {
        id: ConversationId(id),
        participants: vec![card(1), card(2)],
        created_at: NOW,
        updated_at: NOW,
        is_active: true,
        last_message: None,
        last_seq: Seq(0),
        unread_count: 0,
    }
}

pub(crate) fn made() -> Match {
    Match { id: MatchId(5), conversation: ConversationId(4), created_at: NOW }
}

pub(crate) fn match_view(id: i64) -> MatchView {
    MatchView {
        id: MatchId(id),
        created_at: NOW,
        is_active: true,
        other: Profile {
            card: card(2),
            first_name: "Jane".to_owned(),
            last_name: String::new(),
            bio: None,
            location: None,
            is_online: true,
            last_activity: Some(NOW),
        },
        conversation: Some(ConversationId(4)),
    }
}
