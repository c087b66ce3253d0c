//! `/api/v1/conversations/{id}/messages/`: what was said, saying something, having read it.

use super::Ctx;
use super::conversations::conversation;
use super::input::Call;
use super::paging::HistoryPage;
use super::then::{About, Asked};
use crate::model::{ConversationId, Message, MessageId, Seq};
use crate::protocol::http::Response;
use crate::store::Request;
use crate::wire;

/// `GET /api/v1/conversations/{id}/messages/`.
pub(super) fn history(call: &Call<'_>) -> Result<Asked, Response> {
    let conversation = conversation(call);
    let (at, page) = HistoryPage::read(call, conversation)?;
    let request = Request::History { user: call.user, conversation, page, limit: at.limit() };
    Ok(Asked { request, about: About::History(at) })
}

/// `POST /api/v1/conversations/{id}/messages/`.
pub(super) fn send(call: &Call<'_>) -> Result<Asked, Response> {
    let body = call.json(wire::rest::new_message)?;
    let request = Request::Append {
        conversation: conversation(call),
        sender: call.user,
        content: body.content.into_owned(),
        attachment: body.attachment.map(Into::into),
        client_id: call.client_id(body.client_id)?,
    };
    Ok(Asked { request, about: About::Send })
}

/// `POST /api/v1/conversations/{id}/messages/{message_id}/mark_read/`. There is nothing to say in a body: it is not read.
#[expect(clippy::unnecessary_wraps, reason = "the routes' common type")]
pub(super) fn mark_read(call: &Call<'_>) -> Result<Asked, Response> {
    let request = Request::MarkRead {
        conversation: conversation(call),
        reader: call.user,
        message: MessageId(call.ids[1]),
    };
    Ok(Asked { request, about: About::MarkRead })
}

/// The messages, and in `Link` where more are.
pub(super) fn told(
    at: HistoryPage,
    messages: &[Message],
    last_seq: Seq,
    ctx: &Ctx<'_>,
) -> Response {
    let response = Response::json(200, ctx.encoder.messages_body(messages));
    match at.next(messages, last_seq) {
        Some(link) => response.header("Link", link),
        None => response,
    }
}

/// 201 for a repeated `client_id` too: a client that lost the first answer gets it now, and need not tell the two apart.
pub(super) fn sent(message: &Message, ctx: &Ctx<'_>) -> Response {
    Response::json(201, ctx.encoder.message_body(message))
}

pub(super) fn marked_read(
    conversation: ConversationId,
    message: MessageId,
    newly: u64,
) -> Response {
    let detail = "The messages are marked as read.";
    Response::json(200, wire::rest::marked_read_body(detail, conversation, message, newly))
}
