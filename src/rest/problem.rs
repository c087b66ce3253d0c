//! Refusals of a request that never reaches the store.

use std::borrow::Cow;

use super::route::Found;
use crate::auth::AuthError;
use crate::model::ErrorCode;
use crate::protocol::http::{Problem, Response};
use crate::wire::Fault;

/// 400: `Host` is none of ours.
pub(super) fn host_not_allowed() -> Response {
    respond(400, "host_not_allowed", "This server does not answer for that host.")
}

/// 404: no such path.
pub(super) fn not_found() -> Response {
    respond(404, "not_found", "There is nothing at this path.")
}

/// 404: no such page of a list.
pub(super) fn invalid_page() -> Response {
    respond(404, "invalid_page", "Invalid page.")
}

/// 405 with `Allow`.
pub(super) fn method_not_allowed(found: &Found) -> Response {
    respond(405, "method_not_allowed", "This method does nothing at this path.")
        .header("Allow", found.allow())
}

/// 415 with `Accept` (RFC 9110 §15.5.16).
pub(super) fn unsupported_media_type() -> Response {
    respond(415, "unsupported_media_type", "The body must be application/json, not compressed.")
        .header("Accept", "application/json")
}

/// 426: a WebSocket was asked for in plain HTTP (RFC 9110 §15.5.22).
pub(super) fn upgrade_required() -> Response {
    respond(426, "upgrade_required", "This path speaks WebSocket.")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
}

/// 401. Where a token was given, the challenge says that it was the token (RFC 6750 §3.1).
pub(super) fn unauthenticated(error: AuthError) -> Response {
    let (detail, challenge) = match error {
        AuthError::Missing => ("Authentication credentials were not provided.", "Bearer"),
        AuthError::Invalid => ("The token is not valid.", r#"Bearer error="invalid_token""#),
        AuthError::Expired => (
            "The token has expired.",
            r#"Bearer error="invalid_token", error_description="The token has expired""#,
        ),
        AuthError::Revoked => (
            "The token was revoked.",
            r#"Bearer error="invalid_token", error_description="The token was revoked""#,
        ),
    };
    let problem = Problem::new(401, error.code(), detail);
    Response::with_body(401, "application/problem+json", problem.to_json())
        .header("WWW-Authenticate", challenge)
}

/// 400: a body that cannot be used, naming the field where one is at fault.
pub(super) fn fault(fault: &Fault<'_>) -> Response {
    match (fault.code, fault.message.split_once(':')) {
        (ErrorCode::InvalidField, Some((field, _))) => {
            invalid_field(field.to_owned(), fault.message.clone())
        }
        _ => respond(400, ErrorCode::InvalidJson.name(), format!("body: {}", fault.message)),
    }
}

/// 400: one field, parameter or header is wrong.
pub(super) fn invalid_field(
    field: impl Into<Cow<'static, str>>,
    detail: impl Into<Cow<'static, str>>,
) -> Response {
    let code = ErrorCode::InvalidField.name();
    Response::problem(&Problem::new(400, code, detail).with_field(field))
}

fn respond(status: u16, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Response {
    Response::problem(&Problem::new(status, code, detail))
}
