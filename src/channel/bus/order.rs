//! Orders between nodes: they go where Django does not listen, because no consumer has a handler for them.

use super::names::{Address, NodeId};
use super::tag::{TAG_KEY, sender, sender_fields};
use super::value::{Fields, Value};
use crate::model::{Control, Group, UserId};

/// The `type` of an order.
pub(super) const ORDER: &str = "fortifun_order";

/// `control` for the sessions of `group`, from the node `me`.
pub(super) fn write(group: Group, control: Control, me: NodeId) -> Fields {
    let mut fields: Fields = [
        ("type", ORDER.into()),
        (TAG_KEY, sender_fields(me).into()),
        ("group", group.to_string().into()),
    ]
    .into();
    match control {
        Control::Evict { user, code } => {
            fields.push("order", "evict");
            fields.push("user_id", user.0);
            fields.push("code", i64::from(code));
        }
        Control::Disband { code } => {
            fields.push("order", "disband");
            fields.push("code", i64::from(code));
        }
        Control::Silence(silenced) => {
            fields.push("order", "silence");
            fields.push("silenced", silenced);
        }
        Control::Unwatch(user) => {
            fields.push("order", "unwatch");
            fields.push("user_id", user.0);
        }
    }
    fields
}

/// The order that `fields` are, and who gave it; `None` where they are none that this version knows.
pub(super) fn read(fields: &Fields) -> Option<(NodeId, Group, Control)> {
    let text = |key| fields.get(key).and_then(Value::as_text);
    let int = |key| fields.get(key).and_then(Value::as_int);
    let user = || int("user_id").filter(|id| *id > 0).map(UserId);
    let code = || int("code").and_then(|code| u16::try_from(code).ok());
    let node = sender(fields.get(TAG_KEY)?.as_map()?)?;
    let Some(Address::Shared(group)) = Address::parse(text("group")?) else { return None };
    let control = match text("order")? {
        "evict" => Control::Evict { user: user()?, code: code()? },
        "disband" => Control::Disband { code: code()? },
        "silence" => match fields.get("silenced")? {
            Value::Bool(silenced) => Control::Silence(*silenced),
            _ => return None,
        },
        "unwatch" => Control::Unwatch(user()?),
        _ => return None,
    };
    Some((node, group, control))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ConversationId;

    const NODE: NodeId = NodeId(7);

    #[test]
    fn an_order_is_read_as_it_was_given() {
        for control in [
            Control::Evict { user: UserId(7), code: 4403 },
            Control::Disband { code: 4404 },
            Control::Silence(true),
            Control::Silence(false),
            Control::Unwatch(UserId(9)),
        ] {
            for group in [Group::Conversation(ConversationId(456)), Group::User(UserId(1))] {
                assert_eq!(read(&write(group, control, NODE)), Some((NODE, group, control)));
            }
        }
    }

    #[test]
    fn half_an_order_is_none() {
        let evict = Control::Evict { user: UserId(7), code: 4403 };
        let whole = write(Group::General, evict, NODE);
        for key in [TAG_KEY, "group", "order", "user_id", "code"] {
            let mut part = whole.clone();
            part.take(key);
            assert_eq!(read(&part), None, "without {key}");
            for other in [Value::Null, "x".into(), Value::Int(-1), Value::Int(70_000)] {
                let is_an_id = key == "user_id" && other == Value::Int(70_000);
                let mut part = part.clone();
                part.push(key, other.clone());
                assert_eq!(read(&part).is_some(), is_an_id, "{key} {other:?}");
            }
        }
    }
}
