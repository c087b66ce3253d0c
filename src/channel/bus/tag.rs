//! What a node adds to its own events, under a key that Django's consumers do not look at: who sent it, and what a receiving
//! node could not tell from the event.

use super::names::NodeId;
use super::value::{Fields, Value};
use crate::model::{ConversationId, Seq, Topic};
use crate::time::Timestamp;

/// The key.
pub(super) const TAG_KEY: &str = "fortifun";
/// Raised when the meaning of what is under the key changes, and not when something is added.
const VERSION: i64 = 1;

/// What a node tells other nodes with an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Tag {
    /// Who sent it.
    pub(super) node: NodeId,
    /// The event's own name, where Django's handler has another.
    pub(super) event: Option<String>,
    /// What it is about.
    pub(super) topic: Topic,
    /// True exactly when it may be shed.
    pub(super) sheddable: bool,
    /// The place of the message in it.
    pub(super) place: Option<(ConversationId, Seq)>,
    /// When the message in it was committed.
    pub(super) committed_at: Option<Timestamp>,
}

const TOPICS: [(Topic, &str); 8] = [
    (Topic::Matches, "matches"),
    (Topic::Messages, "messages"),
    (Topic::OwnMessages, "own_messages"),
    (Topic::Alerts, "alerts"),
    (Topic::UserStatus, "user_status"),
    (Topic::Conversation, "conversation"),
    (Topic::Other, "other"),
    (Topic::Activity, "activity"),
];

/// What every message of a node has under [`TAG_KEY`].
pub(super) fn sender_fields(node: NodeId) -> Fields {
    [("v", VERSION.into()), ("node", node.to_string().into())].into()
}

/// The node that sent what has `tag`; `None` where the tag is not of this version.
pub(super) fn sender(tag: &Fields) -> Option<NodeId> {
    let is_known = tag.get("v").and_then(Value::as_int) == Some(VERSION);
    let node = tag.get("node").and_then(Value::as_text).filter(|_| is_known)?;
    NodeId::parse(node)
}

impl Tag {
    /// As it goes under [`TAG_KEY`]; what is not there is left out.
    pub(super) fn to_fields(&self) -> Fields {
        let mut fields = sender_fields(self.node);
        if let Some(event) = &self.event {
            fields.push("event", &**event);
        }
        let named = TOPICS.iter().find(|(topic, _)| *topic == self.topic);
        fields.push("topic", named.expect("every topic has a name").1);
        if self.sheddable {
            fields.push("sheddable", true);
        }
        if let Some((ConversationId(conversation), Seq(seq))) = self.place {
            fields.push("place", Value::List(vec![conversation.into(), seq.into()]));
        }
        if let Some(Timestamp(micros)) = self.committed_at {
            fields.push("committed_at", micros);
        }
        fields
    }

    /// The tag that `value` is; `None` where it is none, or one that this version does not know. Then the event is taken for
    /// one of Django's.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let fields = value.as_map()?;
        let topic = fields.get("topic").and_then(Value::as_text)?;
        Some(Self {
            node: sender(fields)?,
            event: fields.get("event").and_then(Value::as_text).map(str::to_owned),
            topic: TOPICS.iter().find(|(_, name)| *name == topic)?.0,
            sheddable: fields.get("sheddable") == Some(&Value::Bool(true)),
            place: fields.get("place").and_then(place),
            committed_at: fields.get("committed_at").and_then(Value::as_int).map(Timestamp),
        })
    }
}

fn place(value: &Value) -> Option<(ConversationId, Seq)> {
    let [conversation, seq] = value.as_list()? else { return None };
    Some((ConversationId(conversation.as_int()?), Seq(seq.as_int()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(0xabc);

    fn tag() -> Tag {
        Tag {
            node: NODE,
            event: None,
            topic: Topic::Conversation,
            sheddable: false,
            place: None,
            committed_at: None,
        }
    }

    #[test]
    fn a_tag_is_read_as_it_was_written() {
        for (topic, _) in TOPICS {
            for tag in [
                Tag { topic, ..tag() },
                Tag {
                    topic,
                    event: Some("new_like".into()),
                    sheddable: true,
                    place: Some((ConversationId(456), Seq(120))),
                    committed_at: Some(Timestamp(1)),
                    ..tag()
                },
            ] {
                assert_eq!(Tag::read(&tag.to_fields().into()), Some(tag));
            }
        }
    }

    #[test]
    fn a_tag_of_another_version_is_none() {
        let json = |text: &str| Value::Map(Fields::from_json(text.as_bytes()).unwrap());
        let node = "00000000000000000000000000000abc";
        let known = format!(r#"{{"v":1,"node":"{node}","topic":"other","more":[1]}}"#);
        assert!(Tag::read(&json(&known)).is_some(), "what is added does not matter");
        for (from, to) in [
            (r#""v":1"#, r#""v":2"#),
            (r#""v":1"#, r#""v":"1""#),
            (r#""v":1,"#, ""),
            (node, "ABC"),
            (node, &*node.to_uppercase()),
            (r#""topic":"other""#, r#""topic":"weather""#),
        ] {
            assert_eq!(Tag::read(&json(&known.replace(from, to))), None, "{to}");
        }
        assert_eq!(Tag::read(&Value::Null), None);
    }
}
