//! What this node delivers to a group becomes a message on the bus: under a name that Django's consumers have a handler for,
//! or where they do not listen.
//!
//! | event | to Django |
//! |---|---|
//! | `message` | `chat_message {message}` |
//! | `typing` | `user_typing {conversation_id, user_id, username, is_typing}` |
//! | `new_match` | `match_notification {data}` |
//! | `new_like` | `notification {notification}`: no handler is named for likes |
//! | `new_message` `read_receipt` `user_status` `conversation_update` `system_alert` `notification` `send_notification` | as it is |
//! | what only sockets of this server hear: a user's own messages, the typing and receipts of all conversations | nothing |
//! | an order; an event of any other name | nothing |

use super::names::{Address, NodeId};
use super::order;
use super::tag::{TAG_KEY, Tag};
use super::value::{Fields, Value};
use crate::channel::{Delivery, Payload};
use crate::model::Topic;
use crate::protocol::ws::encoder;

/// A message, and where it goes.
#[derive(Clone, PartialEq, Debug)]
pub struct Outbound {
    /// The delivery's group, shared with Django or not.
    pub to: Address,
    /// The message.
    pub fields: Fields,
}

/// Why a delivery is none for the bus. Only our own code can cause it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unsendable {
    /// Its frame is no text.
    #[error("the frame is no whole text frame")]
    NoText,
    /// Its text is no object.
    #[error("the text is no event: {0}")]
    NoObject(String),
    /// The event has no name.
    #[error("the event has no type")]
    NoType,
    /// It is an order among the threads of one node.
    #[error("the order is this node's own")]
    Local,
}

/// Our events and the handlers of Django's consumers for them.
const HANDLERS: [(&str, &str); 11] = [
    ("message", "chat_message"),
    ("typing", "user_typing"),
    ("new_match", "match_notification"),
    ("new_like", "notification"),
    ("new_message", "new_message"),
    ("read_receipt", "read_receipt"),
    ("user_status", "user_status"),
    ("conversation_update", "conversation_update"),
    ("system_alert", "system_alert"),
    ("notification", "notification"),
    ("send_notification", "send_notification"),
];

/// `delivery` as the node `me` sends it. [`inbound`](super::inbound()) at another node makes the same delivery of it, byte for
/// byte; but for `except`, which names a session of this node.
///
/// # Errors
/// The delivery is none that the encoder of events makes.
pub fn outbound(delivery: &Delivery, me: NodeId) -> Result<Outbound, Unsendable> {
    let Delivery { group, payload, committed_at } = delivery;
    let (frame, topic, place, sheddable) = match payload {
        Payload::Frame { frame, topic, place, sheddable, .. } => {
            (frame, *topic, *place, *sheddable)
        }
        Payload::Control(control) => {
            let fields = order::write(*group, *control, me).ok_or(Unsendable::Local)?;
            return Ok(Outbound { to: Address::Own(*group), fields });
        }
    };
    let text = encoder::text_of(frame).ok_or(Unsendable::NoText)?;
    let mut fields = Fields::from_json(text.as_bytes())
        .map_err(|error| Unsendable::NoObject(error.to_string()))?;
    let Some(Value::Text(event)) = fields.take("type") else { return Err(Unsendable::NoType) };
    let handler = handler(&event, topic);
    let name = handler.unwrap_or(&event).to_owned();
    if event == "new_like" && handler.is_some() {
        let data = fields.take("data").unwrap_or(Value::Null);
        fields.push("notification", data);
    }
    fields.push_first("type", &*name);
    let event = (name != event).then_some(event);
    let tag = Tag { node: me, event, topic, sheddable, place, committed_at: *committed_at };
    fields.push(TAG_KEY, tag.to_fields());
    let to = if handler.is_some() { Address::Shared(*group) } else { Address::Own(*group) };
    Ok(Outbound { to, fields })
}

/// The handler that Django's consumers in the group have for `event`; `None` where they shall not hear it.
fn handler(event: &str, topic: Topic) -> Option<&'static str> {
    if matches!(topic, Topic::OwnMessages | Topic::Activity) {
        return None;
    }
    HANDLERS.iter().find(|(name, _)| *name == event).map(|(_, handler)| *handler)
}

#[cfg(test)]
mod tests;
