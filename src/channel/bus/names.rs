//! What groups, channels and queues are called: on the bus, and in Redis.
//!
//! | | pub/sub layer | core layer |
//! |---|---|---|
//! | a group | channel `{prefix}__group__{group}` | sorted set `{prefix}:group:{group}` of channel names |
//! | what is sent to one process | – | sorted set `{prefix}{channel name up to and including "!"}` |

pub use crate::ids::NodeId;
use crate::model::{ConversationId, Group, UserId};

/// A name has fewer characters than this.
const NAME_CHARS_BOUND: usize = 100;
/// Before a group's name: what nodes tell each other about it. Nothing of Django's listens there.
const OWN: &str = "fortifun.";
/// What nodes tell each other about no group.
const NODES: &str = "fortifun.nodes";
/// Ids have this many bits at most, as [`GroupKey`](crate::model::GroupKey) keeps them.
const ID_BITS: u32 = 62;

/// What a name on the bus stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Address {
    /// A group, to Django's consumers and all nodes.
    Shared(Group),
    /// A group, to nodes alone.
    Own(Group),
    /// Every node.
    Nodes,
}

/// What Django's code calls the group of a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ConversationName {
    /// `chat_{id}`.
    #[default]
    Chat,
    /// `conversation_{id}`.
    Conversation,
}

/// Names with one deployment's prefix and spelling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Names {
    prefix: Box<str>,
    conversation: ConversationName,
}

impl Address {
    /// What `name` stands for; `None` where it is no name of ours. Both spellings of a conversation's group are known.
    pub fn parse(name: &str) -> Option<Self> {
        match name.strip_prefix(OWN) {
            Some(_) if name == NODES => Some(Self::Nodes),
            Some(group) => parse_group(group).map(Self::Own),
            None => parse_group(name).map(Self::Shared),
        }
    }
}

impl Names {
    /// `prefix` as in Django's settings, where it is `asgi` unless told otherwise.
    pub fn new(prefix: &str, conversation: ConversationName) -> Self {
        Self { prefix: prefix.into(), conversation }
    }

    /// The name under which something is sent to `address`.
    pub fn sent(&self, address: Address) -> String {
        match address {
            Address::Shared(group) => self.group(group),
            // However Django spells it, nodes find each other.
            Address::Own(group) => format!("{OWN}{group}"),
            Address::Nodes => NODES.to_owned(),
        }
    }

    /// The names to listen to for all that concerns `group`: as Django spells it, one or both ways, and what nodes tell each
    /// other.
    pub fn heard(&self, group: Group) -> impl Iterator<Item = String> {
        let other = match (group, self.conversation) {
            (Group::Conversation(id), ConversationName::Chat) => Some(format!("conversation_{id}")),
            (Group::Conversation(id), ConversationName::Conversation) => Some(format!("chat_{id}")),
            _ => None,
        };
        [self.sent(Address::Shared(group)), self.sent(Address::Own(group))].into_iter().chain(other)
    }

    /// With the pub/sub layer: the Redis channel of the group called `name`.
    pub fn pubsub(&self, name: &str) -> String {
        format!("{}__group__{name}", self.prefix)
    }

    /// The name of the group whose Redis channel this is.
    pub fn of_pubsub<'a>(&self, redis_channel: &'a str) -> Option<&'a str> {
        redis_channel.strip_prefix(&*self.prefix)?.strip_prefix("__group__")
    }

    /// With the core layer: the key of the set of the members of the group called `name`.
    pub fn members_key(&self, name: &str) -> String {
        format!("{}:group:{name}", self.prefix)
    }

    /// With the core layer: the key of the queue of the channel called `channel`. No colon stands after the prefix.
    pub fn queue_key(&self, channel: &str) -> String {
        format!("{}{}", self.prefix, queue_name(channel))
    }

    fn group(&self, group: Group) -> String {
        match (group, self.conversation) {
            (Group::Conversation(id), ConversationName::Conversation) => {
                format!("conversation_{id}")
            }
            (group, _) => group.to_string(),
        }
    }
}

/// With the core layer: the one channel by which `node` is a member of the group called `name`, so that what arrives says
/// which group it is for. With an empty `name`, what its queue is named by.
pub fn channel_name(node: NodeId, name: &str) -> String {
    format!("specific.{node}!{name}")
}

/// The part of a channel's name that names its process: up to and including the `!`, or all of it where there is none.
pub fn queue_name(channel: &str) -> &str {
    channel.find('!').map_or(channel, |at| &channel[..=at])
}

/// The part of a channel's name that a process gave it: what follows the `!`.
pub fn local_name(channel: &str) -> Option<&str> {
    channel.split_once('!').map(|(_, local)| local)
}

/// True exactly when Channels takes `name` for a group: `[a-zA-Z0-9_.-]+`, under 100 characters.
///
/// The library also takes digits of other scripts, and a line break at the end. Both are its regular expression's accident and
/// contradict its own words; nothing of ours is named so.
pub fn is_group_name(name: &str) -> bool {
    !name.is_empty() && name.len() < NAME_CHARS_BOUND && name.bytes().all(is_name_byte)
}

/// True exactly when Channels takes `name` for a channel: as [`is_group_name`], and at most one `!` behind the first
/// character, after which nothing need follow.
pub fn is_channel_name(name: &str) -> bool {
    let (process, local) = name.split_once('!').unwrap_or((name, ""));
    name.len() < NAME_CHARS_BOUND && is_group_name(process) && local.bytes().all(is_name_byte)
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn parse_group(name: &str) -> Option<Group> {
    if name == "general_chat_notifications" {
        return Some(Group::General);
    }
    let (kind, rest) = name.split_once('_')?;
    match kind {
        "user" => id(rest.strip_suffix("_notifications")?).map(|id| Group::User(UserId(id))),
        "chat" | "conversation" => id(rest).map(|id| Group::Conversation(ConversationId(id))),
        "presence" => id(rest).map(|id| Group::Presence(UserId(id))),
        _ => None,
    }
}

/// A row's id as it is written: decimal digits, the first not 0.
fn id(digits: &str) -> Option<i64> {
    let is_written_so =
        !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    let id = is_written_so.then(|| digits.parse::<i64>().ok()).flatten()?;
    (id >> ID_BITS == 0).then_some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::channel::bus::golden::section;
    use crate::model::GroupKey;

    const NODE: NodeId = NodeId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);

    #[test]
    fn keys_and_channels_are_those_of_channels_redis() {
        for entry in section("keys") {
            let text = |key: &str| entry[key].as_str().unwrap();
            let names = Names::new(text("prefix"), ConversationName::Chat);
            assert_eq!(names.pubsub(text("group")), text("pubsub"));
            assert_eq!(names.of_pubsub(text("pubsub")), Some(text("group")));
            assert_eq!(names.members_key(text("group")), text("core"));
        }
        for entry in section("sent") {
            let group = entry["group"].as_str().unwrap();
            let names = Names::new("asgi", ConversationName::Chat);
            let channel = channel_name(NODE, group);
            assert_eq!(entry["core"]["channel"], *channel);
            assert_eq!(entry["core"]["queue"], *names.queue_key(&channel));
            assert_eq!(entry["pubsub"]["channel"], *names.pubsub(group));
            assert_eq!(local_name(&channel), Some(group));
        }
    }

    #[test]
    fn names_are_valid_where_channels_says_so() {
        for entry in section("names") {
            let name = entry["name"].as_str().unwrap();
            let is_plain = name.is_ascii() && !name.ends_with('\n');
            let says = |key: &str| entry[key].as_bool().unwrap() && is_plain;
            assert_eq!(is_group_name(name), says("group"), "{name:?}");
            assert_eq!(is_channel_name(name), says("channel"), "{name:?}");
            assert_eq!(queue_name(name), entry["queue"].as_str().unwrap());
        }
    }

    #[test]
    fn both_spellings_of_a_conversation_are_heard_and_one_is_sent() {
        let group = Group::Conversation(ConversationId(456));
        for (spelling, sent, other) in [
            (ConversationName::Chat, "chat_456", "conversation_456"),
            (ConversationName::Conversation, "conversation_456", "chat_456"),
        ] {
            let names = Names::new("asgi", spelling);
            assert_eq!(names.sent(Address::Shared(group)), sent);
            let heard: Vec<String> = names.heard(group).collect();
            assert_eq!(heard, [sent, "fortifun.chat_456", other]);
        }
        let names = Names::new("asgi", ConversationName::Conversation);
        let user = Group::User(UserId(7));
        let heard: Vec<String> = names.heard(user).collect();
        assert_eq!(heard, ["user_7_notifications", "fortifun.user_7_notifications"]);
    }

    #[test]
    fn a_node_is_named_by_32_digits() {
        let digits = "0123456789abcdef0123456789abcdef";
        assert_eq!(NODE.to_string(), digits);
        assert_eq!(NodeId::parse(digits), Some(NODE));
        assert_eq!(NodeId::parse(&NodeId(7).to_string()), Some(NodeId(7)));
        let upper = digits.to_uppercase();
        for other in ["", &digits[1..], &*upper, "+123456789abcdef0123456789abcdef"] {
            assert_eq!(NodeId::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_no_name_of_ours_stands_for_nothing() {
        for name in [
            "",
            "chat_",
            "chat_0",
            "chat_-1",
            "chat_+1",
            "chat_007",
            "chat_1_2",
            "chat_1 ",
            "chat_\u{0663}",
            "chat_4611686018427387904",
            "chat_9223372036854775807",
            "chat_99999999999999999999",
            "Chat_1",
            "user_7",
            "user__notifications",
            "user_x_notifications",
            "presence_",
            "room_1",
            "fortifun.",
            "fortifun.node",
            "fortifun.fortifun.chat_1",
        ] {
            assert_eq!(Address::parse(name), None, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn every_address_is_found_by_its_names(id in 1..1_i64 << ID_BITS, kind in 0..4, spelling in any::<bool>()) {
            let group = match kind {
                0 => Group::User(UserId(id)),
                1 => Group::Conversation(ConversationId(id)),
                2 => Group::Presence(UserId(id)),
                _ => Group::General,
            };
            let spelling = if spelling { ConversationName::Chat } else { ConversationName::Conversation };
            let names = Names::new("asgi", spelling);
            for address in [Address::Shared(group), Address::Own(group), Address::Nodes] {
                let name = names.sent(address);
                prop_assert!(is_group_name(&name));
                prop_assert!(is_channel_name(&channel_name(NODE, &name)));
                prop_assert_eq!(Address::parse(&name), Some(address));
            }
            for name in names.heard(group) {
                let heard = Address::parse(&name);
                prop_assert!(heard == Some(Address::Shared(group)) || heard == Some(Address::Own(group)));
            }
            // It fits into a table's word.
            let _ = GroupKey::from(group);
        }

        #[test]
        fn any_name_is_judged(name in any::<String>()) {
            let _ = (Address::parse(&name), is_group_name(&name), queue_name(&name), local_name(&name));
            let channel = is_channel_name(&name);
            prop_assert!(!channel || name.len() < NAME_CHARS_BOUND);
        }
    }
}
