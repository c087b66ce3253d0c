//! The handshake of a socket, from request to admission: who asks, for what, and why not.
//!
//! [`Gate::judge`] looks at the request alone; whether the user exists and takes part in the conversation, a worker finds out
//! meanwhile ([`Knock`] travels with that question). Pure: no I/O, no clock. A refusal comes before the upgrade as a problem
//! document, which browsers cannot read: a client that offers `fortifun.v1` or asks for `?reject=close` is upgraded and closed
//! with the matching code instead.

use std::borrow::Cow;

use crate::auth::{self, AuthError, Claims, SUBPROTOCOL, Stamp, Verifier};
use crate::ids::{ConversationId, Seq};
use crate::model::{Endpoint, Refused, close};
use crate::protocol::http::host::AllowedHosts;
use crate::protocol::http::{Head, Problem, Response};
use crate::protocol::ws::handshake::{self, Offer, Upgrade};
use crate::store::{Failure, Request};
use crate::time::Timestamp;

/// The socket for benchmarks and conformance tests.
pub const ECHO_PATH: &str = "/_echo";

/// What a handshake is judged by.
pub struct Gate {
    /// Of tokens.
    pub verifier: Verifier,
    /// Of `Host` and `Origin`.
    pub hosts: AllowedHosts,
    /// Web origins that may connect besides those of `hosts`: `CORS_ALLOWED_ORIGINS`.
    pub origins: Vec<String>,
    /// Whether [`ECHO_PATH`] exists.
    pub is_echo_on: bool,
}

/// A handshake that waits for the store.
#[derive(Clone, PartialEq, Debug)]
pub struct Knock {
    /// Who the token says the client is.
    pub user: crate::ids::UserId,
    /// Where they want in.
    pub endpoint: Endpoint,
    /// True exactly when `fortifun.v1` was offered: it is selected.
    pub is_v1: bool,
    /// True exactly when a refusal is told by close code.
    pub closes: bool,
    /// What the client has seen of which conversation: it resumes from there.
    pub since: Vec<(Option<ConversationId>, Seq)>,
    /// The token's `exp`.
    pub expires_at: Timestamp,
    /// What else is remembered of the token.
    pub stamp: Stamp,
    /// The head of `101 Switching Protocols`.
    pub accept: Vec<u8>,
}

/// What is to be done with a handshake.
#[derive(Debug)]
pub enum Verdict {
    /// Ask the store, and go on with a session, or with [`Refusal::of`] what it said.
    Ask(Box<Knock>, Request),
    /// Upgrade to an echo.
    Echo(Vec<u8>),
    /// Refuse; with a head to upgrade with, by close code.
    Refuse(Refusal, Option<Vec<u8>>),
}

/// Why a handshake fails, as HTTP and as WebSocket tell it.
#[derive(Clone, PartialEq, Debug)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub detail: Cow<'static, str>,
    /// Close code.
    pub close_code: u16,
    /// When to come back, seconds.
    pub retry_after_s: Option<u64>,
}

/// True exactly when `path` is a socket's, existing or not.
pub fn is_socket(path: &str) -> bool {
    path.starts_with("/ws/") || path == "/ws" || path == ECHO_PATH
}

impl Gate {
    /// Judges a request for a socket.
    pub fn judge(&self, head: &Head<'_>, now: Timestamp) -> Verdict {
        let offer = match handshake::judge(head.method(), 1, head.fields()) {
            Upgrade::Yes(offer) => offer,
            Upgrade::Bad(why) => {
                let refusal = Refusal::new(why.status(), "bad_handshake", 1002, why.to_string());
                return Verdict::Refuse(refusal, None);
            }
            Upgrade::No => {
                let detail = "this address is a WebSocket: send Upgrade: websocket";
                return Verdict::Refuse(Refusal::new(426, "bad_handshake", 1002, detail), None);
            }
        };
        let (accept, is_v1) = accept(head, &offer);
        let closes = closes(head, is_v1);
        match self.ask(head, now) {
            Err(refusal) => Verdict::Refuse(refusal, closes.then_some(accept)),
            Ok(Asked::Echo) => Verdict::Echo(accept),
            Ok(Asked::For { endpoint, since, claims }) => {
                let conversation = match endpoint {
                    Endpoint::Conversation(id) => Some(id),
                    Endpoint::Chat | Endpoint::Notifications => None,
                };
                let user = claims.user;
                let (expires_at, stamp) = (claims.expires_at, Stamp::of(&claims));
                let knock =
                    Knock { user, endpoint, is_v1, closes, since, expires_at, stamp, accept };
                Verdict::Ask(Box::new(knock), Request::Admit { user, conversation })
            }
        }
    }

    fn ask(&self, head: &Head<'_>, now: Timestamp) -> Result<Asked, Refusal> {
        let place = place(head.path(), self.is_echo_on)?;
        self.check_hosts(head)?;
        let Place::Endpoint(endpoint) = place else { return Ok(Asked::Echo) };
        let query_token = head.query_value("token");
        let offered = head.values("sec-websocket-protocol").collect::<Vec<_>>();
        let sources = (head.values("authorization"), offered, query_token.as_deref());
        let token = auth::token_source(sources.0, sources.1, sources.2)
            .ok_or(Refusal::unauthenticated(AuthError::Missing))?;
        let claims = self.verifier.verify(token, now).map_err(Refusal::unauthenticated)?;
        let since = match head.query_value("since") {
            Some(text) => since(&text, endpoint)?,
            None => Vec::new(),
        };
        Ok(Asked::For { endpoint, since, claims })
    }

    fn check_hosts(&self, head: &Head<'_>) -> Result<(), Refusal> {
        if !head.host().is_some_and(|host| self.hosts.allows_host(host)) {
            let detail = "the Host header names no host of this server (ALLOWED_HOSTS)";
            return Err(Refusal::new(400, "host_not_allowed", close::FORBIDDEN, detail));
        }
        let is_listed =
            |origin: &str| self.origins.iter().any(|own| own.eq_ignore_ascii_case(origin));
        let is_welcome = |origin: &str| self.hosts.allows_origin(origin) || is_listed(origin);
        if !head.values("origin").all(is_welcome) {
            let detail = "the Origin header names no host of this server (ALLOWED_HOSTS)";
            return Err(Refusal::new(403, "origin_not_allowed", close::FORBIDDEN, detail));
        }
        Ok(())
    }
}

/// The head to upgrade with, for a client that is refused before it was judged and reads close codes alone.
pub fn accept_to_close(head: &Head<'_>) -> Option<Vec<u8>> {
    let Upgrade::Yes(offer) = handshake::judge(head.method(), 1, head.fields()) else {
        return None;
    };
    let (accept, is_v1) = accept(head, &offer);
    closes(head, is_v1).then_some(accept)
}

/// The head of `101 Switching Protocols`, and whether it selects `fortifun.v1`.
fn accept(head: &Head<'_>, offer: &Offer<'_>) -> (Vec<u8>, bool) {
    let is_v1 = handshake::subprotocols(head.fields()).any(|name| name == SUBPROTOCOL);
    let mut accept = Vec::new();
    handshake::write_accept(offer, is_v1.then_some(SUBPROTOCOL), &mut accept);
    (accept, is_v1)
}

/// True exactly when the client reads refusals as close codes.
fn closes(head: &Head<'_>, is_v1: bool) -> bool {
    is_v1 || head.query_value("reject").is_some_and(|how| how == "close")
}

impl Refusal {
    fn new(
        status: u16,
        code: &'static str,
        close_code: u16,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code, detail: detail.into(), close_code, retry_after_s: None }
    }

    /// The store said no.
    pub fn of(failure: &Failure) -> Self {
        match failure {
            Failure::Refused(Refused::ConversationNotFound) => {
                Self::new(404, "conversation_not_found", close::NOT_FOUND, "no such conversation")
            }
            Failure::Refused(Refused::UserNotFound) => Self::unauthenticated(AuthError::Invalid),
            Failure::Refused(_) => {
                let detail = "you are not a participant of this conversation";
                Self::new(403, "not_a_participant", close::FORBIDDEN, detail)
            }
            Failure::Store(_) => {
                Self::overloaded("store_unavailable", "the database cannot be reached")
            }
        }
    }

    /// The token does not prove anybody.
    pub fn unauthenticated(error: AuthError) -> Self {
        Self::new(401, error.code(), close::UNAUTHENTICATED, error.to_string())
    }

    /// Too many connections from one address, or more than it may open so fast.
    pub fn too_many(detail: &'static str, retry_after_s: u64) -> Self {
        let refusal = Self::new(429, "rate_limited", close::RATE_LIMITED, detail);
        Self { retry_after_s: Some(retry_after_s), ..refusal }
    }

    /// The server cannot now.
    pub fn overloaded(code: &'static str, detail: &'static str) -> Self {
        Self { retry_after_s: Some(1), ..Self::new(503, code, 1013, detail) }
    }

    /// As HTTP tells it.
    pub fn response(&self) -> Response {
        let problem = Problem::new(self.status, self.code, self.detail.clone());
        let mut response = Response::problem(&problem);
        if let Some(delay_s) = self.retry_after_s {
            response = response.retry_after(delay_s);
        }
        if self.status == 426 {
            response = response
                .header("Upgrade", "websocket")
                .header("Sec-WebSocket-Version", handshake::VERSION);
        }
        response
    }
}

enum Asked {
    Echo,
    For { endpoint: Endpoint, since: Vec<(Option<ConversationId>, Seq)>, claims: Claims },
}

enum Place {
    Echo,
    Endpoint(Endpoint),
}

/// Which socket a path names; the trailing slash is optional.
fn place(path: &str, is_echo_on: bool) -> Result<Place, Refusal> {
    let no_such_socket = || Refusal::new(404, "not_found", close::NOT_FOUND, "no such socket");
    if path == ECHO_PATH && is_echo_on {
        return Ok(Place::Echo);
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    let endpoint = match path.strip_prefix("/ws/").ok_or_else(no_such_socket)? {
        "chat" => Endpoint::Chat,
        "notifications" => Endpoint::Notifications,
        other => {
            let id = other.strip_prefix("conversations/").ok_or_else(no_such_socket)?;
            let id = id.parse().ok().filter(|id| *id > 0).ok_or_else(|| {
                let detail = "a conversation's id is a positive integer";
                Refusal::new(404, "conversation_not_found", close::NOT_FOUND, detail)
            })?;
            Endpoint::Conversation(ConversationId(id))
        }
    };
    Ok(Place::Endpoint(endpoint))
}

/// `?since=118` on a conversation's socket, `?since=456:118,457:3` on the chat socket.
fn since(text: &str, endpoint: Endpoint) -> Result<Vec<(Option<ConversationId>, Seq)>, Refusal> {
    let seq = |text: &str| text.parse().ok().filter(|seq| *seq >= 0).map(Seq);
    let pair = |part: &str| {
        let (id, after) = part.split_once(':')?;
        let id = id.parse().ok().filter(|id| *id > 0).map(ConversationId)?;
        Some((Some(id), seq(after)?))
    };
    let list = match endpoint {
        Endpoint::Conversation(_) => seq(text).map(|after| vec![(None, after)]),
        Endpoint::Chat => text.split(',').map(pair).collect(),
        Endpoint::Notifications => Some(Vec::new()),
    };
    list.filter(|list| list.len() <= crate::limits::RESUME_CONVERSATIONS_MAX).ok_or_else(|| {
        let detail = "since: expected a seq, or on /ws/chat/ a list of conversation:seq";
        Refusal::new(400, "bad_handshake", close::BAD_COMMANDS, detail)
    })
}
