//! A message from the bus becomes what the sessions of its group get: Django's events under the names that clients know, those
//! of other nodes as they were, and orders.

use super::flat;
use super::names::{Address, NodeId};
use super::order::{self, ORDER};
use super::tag::{TAG_KEY, Tag};
use super::value::{Fields, Value};
use crate::channel::{Delivery, Payload};
use crate::limits::BUS_MESSAGE_BYTES_MAX;
use crate::model::{ConversationId, Group, MessageId, Seq, Topic};
use crate::protocol::ws::encoder;

/// What a message is for this node's sessions.
#[derive(Clone, Debug)]
pub struct Received {
    /// For whom, and what.
    pub delivery: Delivery,
    /// A stored message whose sender did not know its place: Django's serializers do not. A session that counts places would
    /// take the next one for a gap, so the place is to be looked up.
    pub unplaced: Option<(ConversationId, MessageId)>,
    /// True exactly when another node sent it, and not Django.
    pub is_of_a_node: bool,
}

/// Why a message goes to nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Dropped {
    /// This node sent it: its sessions have it already. Not a fault.
    #[error("this node's own")]
    Own,
    /// It has no `type` that is a text, or an empty one.
    #[error("no type")]
    NoType,
    /// Its `type` begins with `_` once dots are underscores: Channels refuses those.
    #[error("a private type")]
    PrivateType,
    /// A field that its `type` needs is not there, or of the wrong kind.
    #[error("no field `{0}`")]
    NoField(&'static str),
    /// The text for clients would be too long.
    #[error("a text of {0} bytes")]
    TooLong(usize),
    /// An order where Django speaks too, or, where nodes speak alone, something that no node of this version says.
    #[error("not for this channel")]
    Misplaced,
}

impl Dropped {
    /// The reason's label in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::NoType => "no_type",
            Self::PrivateType => "private_type",
            Self::NoField(_) => "no_field",
            Self::TooLong(_) => "too_long",
            Self::Misplaced => "misplaced",
        }
    }
}

/// An event for clients, before it is written.
struct Told {
    fields: Fields,
    topic: Topic,
    sheddable: bool,
    place: Option<(ConversationId, Seq)>,
}

/// What the message `fields`, which came by `address`, is for the sessions of the node `me`.
///
/// # Errors
/// It is for nobody: to be counted by [`Dropped::name`], and never a reason to end anything.
pub fn inbound(address: Address, mut fields: Fields, me: NodeId) -> Result<Received, Dropped> {
    let kind = match fields.take("type") {
        Some(Value::Text(kind)) if !kind.is_empty() => kind,
        _ => return Err(Dropped::NoType),
    };
    let (group, is_shared) = match address {
        Address::Shared(group) => (Some(group), true),
        Address::Own(group) => (Some(group), false),
        Address::Nodes => (None, false),
    };
    if kind == ORDER {
        let (node, group, control) =
            order::read(&fields).filter(|_| !is_shared).ok_or(Dropped::Misplaced)?;
        let delivery = Delivery::new(group, Payload::Control(control));
        return if node == me {
            Err(Dropped::Own)
        } else {
            Ok(Received { delivery, unplaced: None, is_of_a_node: true })
        };
    }
    let group = group.ok_or(Dropped::Misplaced)?;
    match fields.take(TAG_KEY).as_ref().and_then(Tag::read) {
        Some(tag) if tag.node == me => Err(Dropped::Own),
        Some(tag) => {
            let committed_at = tag.committed_at;
            let mut delivery = deliver(group, of_a_node(kind, fields, tag))?;
            delivery.committed_at = committed_at;
            Ok(Received { delivery, unplaced: None, is_of_a_node: true })
        }
        None if is_shared => {
            let told = of_django(&kind, fields, group)?;
            let unplaced = unplaced(&told, group);
            Ok(Received { delivery: deliver(group, told)?, unplaced, is_of_a_node: false })
        }
        None => Err(Dropped::Misplaced),
    }
}

/// `delivery`, a message of Django's whose place was not known, with its place; as it is where it is no such message.
pub fn placed(delivery: &Delivery, conversation: ConversationId, seq: Seq) -> Delivery {
    try_placed(delivery, conversation, seq).unwrap_or_else(|| delivery.clone())
}

fn try_placed(delivery: &Delivery, conversation: ConversationId, seq: Seq) -> Option<Delivery> {
    let Payload::Frame { frame, topic, place: None, sheddable, .. } = &delivery.payload else {
        return None;
    };
    let mut fields = Fields::from_json(encoder::text_of(frame)?.as_bytes()).ok()?;
    let Some(Value::Map(mut message)) = fields.take("message") else { return None };
    message.take("seq");
    message.push("seq", seq.0);
    fields.push("message", message);
    let (topic, sheddable) = (*topic, *sheddable);
    let told = Told { fields, topic, sheddable, place: Some((conversation, seq)) };
    deliver(delivery.group, told).ok()
}

/// Another node's event, under its own name again.
fn of_a_node(kind: String, mut fields: Fields, tag: Tag) -> Told {
    let Tag { event, topic, sheddable, place, .. } = tag;
    let event = event.unwrap_or(kind);
    if event == "new_like"
        && let Some(data) = fields.take("notification")
    {
        fields.push("data", data);
    }
    fields.push_first("type", event);
    Told { fields, topic, sheddable, place }
}

fn of_django(kind: &str, mut fields: Fields, group: Group) -> Result<Told, Dropped> {
    let name = kind.replace('.', "_");
    if name.starts_with('_') {
        return Err(Dropped::PrivateType);
    }
    let (event, mut fields) = match &*name {
        "match_notification" => {
            let data = fields.take("data").ok_or(Dropped::NoField("data"))?;
            ("new_match", [("data", data)].into())
        }
        "notification" => {
            let notification =
                fields.take("notification").ok_or(Dropped::NoField("notification"))?;
            ("notification", [("notification", notification)].into())
        }
        "chat_message" => ("message", [("message", message(fields, group)?)].into()),
        "user_typing" | "typing_indicator" => {
            if let Group::Conversation(ConversationId(id)) = group
                && fields.get("conversation_id").is_none()
            {
                fields.push_first("conversation_id", id);
            }
            ("typing", fields)
        }
        name => (name, fields),
    };
    fields.push_first("type", event);
    Ok(Told {
        topic: topic(event, group),
        sheddable: matches!(event, "typing" | "user_status"),
        place: place(event, &fields),
        fields,
    })
}

/// The message of a `chat_message`, nested.
fn message(mut event: Fields, group: Group) -> Result<Value, Dropped> {
    match event.take("message") {
        Some(message) if flat::is_nested(&message) => Ok(message),
        Some(message) => {
            event.push("message", message);
            flat::nested(event, group).map(Value::Map).ok_or(Dropped::NoField("message"))
        }
        None => Err(Dropped::NoField("message")),
    }
}

/// What an event of Django's is about: it cannot say so itself.
fn topic(event: &str, group: Group) -> Topic {
    if let Group::Conversation(_) = group {
        return Topic::Conversation;
    }
    match event {
        "new_match" | "new_like" => Topic::Matches,
        "message" | "new_message" => Topic::Messages,
        "system_alert" => Topic::Alerts,
        "user_status" => Topic::UserStatus,
        _ => Topic::Other,
    }
}

/// The stored message that an event carries.
fn carried<'a>(event: &str, fields: &'a Fields) -> Option<&'a Fields> {
    let carries = matches!(event, "message" | "new_message");
    fields.get("message").filter(|_| carries)?.as_map()
}

fn place(event: &str, fields: &Fields) -> Option<(ConversationId, Seq)> {
    let message = carried(event, fields)?;
    let conversation = positive(message, "conversation_id")?;
    Some((ConversationId(conversation), Seq(positive(message, "seq")?)))
}

fn unplaced(told: &Told, group: Group) -> Option<(ConversationId, MessageId)> {
    if told.place.is_some() {
        return None;
    }
    let event = told.fields.get("type").and_then(Value::as_text)?;
    let message = carried(event, &told.fields)?;
    let conversation = positive(message, "conversation_id").map(ConversationId);
    let conversation = conversation.or(match group {
        Group::Conversation(id) => Some(id),
        _ => None,
    })?;
    Some((conversation, MessageId(positive(message, "id")?)))
}

/// A row's id or a place.
fn positive(fields: &Fields, key: &str) -> Option<i64> {
    fields.get(key).and_then(Value::as_int).filter(|number| *number > 0)
}

fn deliver(group: Group, told: Told) -> Result<Delivery, Dropped> {
    let Told { fields, topic, sheddable, place } = told;
    let frame = encoder::text_with(512, |out| {
        serde_json::to_writer(out, &fields).expect("a Vec takes every byte");
    });
    if frame.len() > BUS_MESSAGE_BYTES_MAX {
        return Err(Dropped::TooLong(frame.len()));
    }
    let payload = Payload::Frame { frame, topic, place, except: None, sheddable };
    Ok(Delivery::new(group, payload))
}

#[cfg(test)]
pub(super) mod tests;
