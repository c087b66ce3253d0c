//! Which stored messages are those of a batch whose end was not told.

use super::Request;
use crate::model::{ConversationId, Message};

/// The conversations that `batch` appends to, each once, by id: what rows to look at, and in which order to lock them.
pub(super) fn conversations(batch: &[Request]) -> Vec<ConversationId> {
    let mut ids: Vec<_> = batch
        .iter()
        .filter_map(|request| match request {
            Request::Append { conversation, .. } => Some(*conversation),
            _ => None,
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// For each request of `batch` the message that it stored, or that an earlier one of the batch stored under the same `client_id`
/// (then it is a repeat: true). Out of `stored`: all messages of [`conversations`] with the batch's own time, in `seq` order
/// within each; of several alike, the first asked for is the first stored.
pub(super) fn pair(batch: &[Request], stored: Vec<Message>) -> Vec<Option<(Message, bool)>> {
    let mut stored: Vec<Option<Message>> = stored.into_iter().map(Some).collect();
    let mut found: Vec<Option<(Message, bool)>> = Vec::with_capacity(batch.len());
    for request in batch {
        let original = found.iter().flatten().find(|(message, _)| is_repeat(request, message));
        let reply = match original {
            Some((message, _)) => Some((message.clone(), true)),
            None => take(&mut stored, request).map(|message| (message, false)),
        };
        found.push(reply);
    }
    found
}

fn take(stored: &mut [Option<Message>], request: &Request) -> Option<Message> {
    let is_its = |message: &&mut Option<Message>| {
        message.as_ref().is_some_and(|message| is_stored_as(request, message))
    };
    stored.iter_mut().find(is_its)?.take()
}

fn is_stored_as(request: &Request, message: &Message) -> bool {
    match request {
        Request::Append { conversation, sender, content, client_id, .. } => {
            *conversation == message.conversation
                && *sender == message.sender.id
                && *client_id == message.client_id
                && *content == message.content
        }
        _ => false,
    }
}

/// Whatever it says.
fn is_repeat(request: &Request, message: &Message) -> bool {
    match request {
        Request::Append { conversation, sender, client_id: Some(client_id), .. } => {
            *conversation == message.conversation
                && *sender == message.sender.id
                && message.client_id.as_ref() == Some(client_id)
        }
        _ => false,
    }
}
