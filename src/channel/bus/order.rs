//! Orders between nodes: they go where Django does not listen, because no consumer has a handler for them.

use super::names::{Address, NodeId};
use super::outbound::Outbound;
use super::tag::{TAG_KEY, sender, sender_fields};
use super::value::{Fields, Value};
use crate::model::{Control, Group, UserId};
use crate::time::Timestamp;

/// The `type` of an order.
pub(super) const ORDER: &str = "fortifun_order";
/// The order to compare with the store.
const GAP: &str = "gap";

/// `control` for the sessions of `group`, from the node `me`; `None` where it is none for other nodes.
pub(super) fn write(group: Group, control: Control, me: NodeId) -> Option<Fields> {
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
        Control::Reaches(_) => return None,
    }
    Some(fields)
}

/// Tells every node that what `me` sent since `since` may not have reached it.
pub fn write_gap(since: Timestamp, me: NodeId) -> Outbound {
    let fields = [
        ("type", ORDER.into()),
        (TAG_KEY, sender_fields(me).into()),
        ("order", GAP.into()),
        ("since", since.0.into()),
    ]
    .into();
    Outbound { to: Address::Nodes, fields }
}

/// What [`write_gap`] wrote: who missed to tell, and since when; `None` where `fields` are something else.
pub fn read_gap(fields: &Fields) -> Option<(NodeId, Timestamp)> {
    let text = |key| fields.get(key).and_then(Value::as_text);
    if text("type") != Some(ORDER) || text("order") != Some(GAP) {
        return None;
    }
    let node = sender(fields.get(TAG_KEY)?.as_map()?)?;
    let since = fields.get("since").and_then(Value::as_int).filter(|micros| *micros >= 0)?;
    Some((node, Timestamp(since)))
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
    use crate::model::{ConversationId, Seq};

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
                let fields = write(group, control, NODE).unwrap();
                assert_eq!(read(&fields), Some((NODE, group, control)));
            }
        }
    }

    #[test]
    fn half_an_order_is_none() {
        let evict = Control::Evict { user: UserId(7), code: 4403 };
        let whole = write(Group::General, evict, NODE).unwrap();
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

    #[test]
    fn a_gap_is_read_as_it_was_told_and_an_order_to_a_group_is_none() {
        let told = write_gap(Timestamp(12), NODE);
        assert_eq!(told.to, Address::Nodes);
        assert_eq!(read_gap(&told.fields), Some((NODE, Timestamp(12))));
        assert_eq!(read(&told.fields), None);
        for key in ["type", TAG_KEY, "order", "since"] {
            let mut part = told.fields.clone();
            part.take(key);
            assert_eq!(read_gap(&part), None, "without {key}");
        }
        let silence = write(Group::General, Control::Silence(true), NODE).unwrap();
        assert_eq!(read_gap(&silence), None);
    }

    #[test]
    fn what_a_node_found_in_the_store_is_not_told_to_others() {
        assert_eq!(write(Group::General, Control::Reaches(Seq(1)), NODE), None);
    }
}
