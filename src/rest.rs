//! The REST API (contract in `README.md`): a request becomes a response at once, or a question to the store whose outcome is
//! completed into one later.
//!
//! ```text
//!            handle                    (store)              complete
//!  Request ----------> Await{request} - - - - -> Outcome -------------> Response
//!             |------> Respond                                busy ----> Response, where no queue took the request
//!             `------> Ops             the server's own matters
//! ```
//!
//! Pure: no clock, no I/O, no log. It knows no socket, no session and no JSON; bodies are `wire::rest`'s matter, bytes are
//! `protocol::http`'s. What may be said to whom is decided by the store, as it is for a socket's commands.

mod allowance;
mod conversations;
mod failure;
mod input;
mod matching;
mod messages;
mod ops;
mod paging;
mod problem;
mod route;
#[cfg(test)]
mod tests;
mod then;

use std::fmt;
use std::sync::Arc;

use crate::auth::{AuthError, Verifier, token_source};
use crate::model::{Refused, UserId};
use crate::protocol::http::{Head, Request, Response, cors, host::AllowedHosts};
use crate::store::{self, Failure, Outcome};
use crate::time::Now;
use crate::wire::Encoder;

pub use allowance::Allowance;
pub use ops::{Ops, Part, healthz, readyz};
pub use route::{ROUTES, Route, UNKNOWN, route_name};
pub use then::Then;

use allowance::Quota;
use input::Call;
use route::{Action, Found};
use then::Asked;

/// What a shard knows when it hands a request over.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    /// Both clocks.
    pub now: Now,
    /// Writes bodies.
    pub encoder: &'a Encoder,
    /// Verifies tokens.
    pub verifier: &'a Verifier,
    /// `ALLOWED_HOSTS`.
    pub hosts: &'a AllowedHosts,
    /// `CORS_ALLOWED_ORIGINS`.
    pub cors: &'a cors::Policy,
    /// Takes one message of a user's allowance. Called at most once a request, and not for one that is wrong in itself.
    pub allowance: &'a dyn Fn(UserId) -> Allowance,
    /// The first message of the conversation that a match opens.
    pub welcome: &'a Arc<str>,
    /// True exactly when the client's own connection is TLS, at a trusted proxy: the scheme of URLs in bodies. Looked at by
    /// [`handle`] alone.
    pub is_https: bool,
    /// True exactly when `GET /` serves the page.
    pub has_page: bool,
}

impl fmt::Debug for Ctx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx")
            .field("now", &self.now)
            .field("is_https", &self.is_https)
            .field("has_page", &self.has_page)
            .finish_non_exhaustive()
    }
}

/// What is to be done about a request.
#[derive(Debug)]
pub enum Handled {
    /// Answer with this.
    Respond(Response),
    /// Ask the store, and answer with what [`complete`] makes of its outcome.
    Await {
        /// What is asked.
        request: store::Request,
        /// Travels with it.
        then: Then,
    },
    /// A matter of the server's own, which it answers itself.
    Ops(Ops),
}

/// Decides about a request. Checked in this order: host, path, preflight, method, token, body and query, allowance; so a
/// malformed request costs its user nothing.
///
/// `HEAD` is handled as `GET`: that its body stays away is [`Response::encode`]'s matter.
pub fn handle(request: &Request<'_>, ctx: &Ctx<'_>) -> Handled {
    decide(request, ctx).unwrap_or_else(|response| {
        Handled::Respond(finish(response, request.head.header("origin"), ctx))
    })
}

/// What the store's outcome is over HTTP. An outcome that does not belong to `then` is our own fault: 500.
pub fn complete(then: Then, outcome: Outcome, ctx: &Ctx<'_>) -> Response {
    let Then { about, origin, quota } = then;
    let response = match outcome {
        Ok(reply) => about.answer(reply, ctx),
        // Whoever asks was known when the token was signed, and is no longer.
        Err(Failure::Refused(Refused::UserNotFound)) if about.named_user().is_none() => {
            problem::unauthenticated(AuthError::Invalid)
        }
        Err(Failure::Refused(refused)) => failure::refused(refused, about.named_user()),
        Err(Failure::Store(error)) => failure::store(error.kind),
    };
    let response = response.headers(quota.into_iter().flat_map(Quota::headers));
    finish(response, origin.as_deref(), ctx)
}

/// The answer to a request that found its queue full: 503.
pub fn busy(then: &Then, ctx: &Ctx<'_>) -> Response {
    finish(failure::busy(), then.origin.as_deref(), ctx)
}

fn decide(request: &Request<'_>, ctx: &Ctx<'_>) -> Result<Handled, Response> {
    let head = &request.head;
    if head.path() == "*" {
        // RFC 9110 §9.3.7: OPTIONS about the server as a whole; the decoder lets no other method name it.
        return Err(Response::new(204).allow("GET, HEAD, POST, DELETE, OPTIONS"));
    }
    let found = route::find(head.path());
    let is_probe = found.as_ref().is_some_and(Found::is_probe);
    // A probe asks by address.
    if !is_probe && !head.host().is_some_and(|host| ctx.hosts.allows_host(host)) {
        return Err(problem::host_not_allowed());
    }
    let is_served = |found: &Found| ctx.has_page || !found.is_page();
    let found = found.filter(is_served).ok_or_else(problem::not_found)?;
    if let Some(preflight) = ctx.cors.preflight(head) {
        return Ok(Handled::Respond(preflight));
    }
    match head.method() {
        "OPTIONS" => Err(Response::new(204).header("Allow", found.allow())),
        method => match found.action(method) {
            None => Err(problem::method_not_allowed(&found)),
            Some((Action::Ops(ops), _)) => Ok(Handled::Ops(ops)),
            Some((Action::Socket, _)) => Err(problem::upgrade_required()),
            Some((Action::Ask(ask), is_limited)) => {
                let user = authenticate(head, ctx)?;
                let call = Call { head, body: &request.body, user, ids: found.ids, ctx };
                let Asked { request, about } = ask(&call)?;
                let quota =
                    if is_limited { allowance::spend(&(ctx.allowance)(user))? } else { None };
                let origin = head.header("origin").map(Box::from);
                Ok(Handled::Await { request, then: Then { about, origin, quota } })
            }
        },
    }
}

/// Who the token in `Authorization` says is asking. The other sources are for sockets, whose clients cannot set headers.
fn authenticate(head: &Head<'_>, ctx: &Ctx<'_>) -> Result<UserId, Response> {
    let token = token_source(head.values("authorization"), [], None);
    let claims = match token {
        None => Err(AuthError::Missing),
        Some(token) => ctx.verifier.verify(token, ctx.now.wall),
    };
    claims.map(|claims| claims.user).map_err(problem::unauthenticated)
}

/// What every response carries. Whatever is said here is one user's, or soon wrong: no cache keeps it.
fn finish(response: Response, origin: Option<&str>, ctx: &Ctx<'_>) -> Response {
    response.header("Cache-Control", "no-store").headers(ctx.cors.fields(origin))
}
