//! `/api/v1/conversations/`: which there are, opening one, leaving one.

use super::input::Call;
use super::then::{About, Asked};
use super::{Ctx, failure};
use crate::limits::CONVERSATIONS_MAX;
use crate::model::{Conversation, ConversationId};
use crate::protocol::http::Response;
use crate::store::{Opened, Request};
use crate::wire;

/// `GET /api/v1/conversations/`.
#[expect(clippy::unnecessary_wraps, reason = "the routes' common type")]
pub(super) fn list(call: &Call<'_>) -> Result<Asked, Response> {
    let request = Request::Conversations { user: call.user, limit: CONVERSATIONS_MAX };
    Ok(Asked { request, about: About::Conversations })
}

/// `POST /api/v1/conversations/`.
pub(super) fn open(call: &Call<'_>) -> Result<Asked, Response> {
    let body = call.json(wire::rest::new_conversation)?;
    let request = Request::Open {
        creator: call.user,
        participant: body.participant,
        content: body.message.into_owned(),
        client_id: call.client_id(body.client_id)?,
    };
    Ok(Asked { request, about: About::Open })
}

/// `GET /api/v1/conversations/{id}/`.
#[expect(clippy::unnecessary_wraps, reason = "the routes' common type")]
pub(super) fn one(call: &Call<'_>) -> Result<Asked, Response> {
    let request = Request::Conversation { user: call.user, conversation: conversation(call) };
    Ok(Asked { request, about: About::Conversation })
}

/// `DELETE /api/v1/conversations/{id}/leave/`.
#[expect(clippy::unnecessary_wraps, reason = "the routes' common type")]
pub(super) fn leave(call: &Call<'_>) -> Result<Asked, Response> {
    let request = Request::Leave { conversation: conversation(call), user: call.user };
    Ok(Asked { request, about: About::Leave })
}

/// The conversation that the path names first.
pub(super) fn conversation(call: &Call<'_>) -> ConversationId {
    ConversationId(call.ids[0])
}

pub(super) fn listed(conversations: &[Conversation], ctx: &Ctx<'_>) -> Response {
    Response::json(200, ctx.encoder.conversations_body(conversations))
}

pub(super) fn shown(conversations: &[Conversation], ctx: &Ctx<'_>) -> Response {
    match conversations {
        [conversation] => Response::json(200, ctx.encoder.conversation_body(conversation)),
        _ => failure::internal(),
    }
}

/// 201 whether it was there before or not, as Django answered.
pub(super) fn opened(opened: &Opened, ctx: &Ctx<'_>) -> Response {
    let conversation = &opened.conversation;
    Response::json(201, ctx.encoder.conversation_body(conversation))
        .header("Location", format!("/api/v1/conversations/{}/", conversation.id))
}

pub(super) fn left() -> Response {
    Response::json(200, wire::rest::detail_body("You left the conversation."))
}
