//! What is on its way into queues, and whose queues the members of a group read.

use std::collections::{HashMap, VecDeque};

use crate::channel::bus::{Address, Names, NodeId, Packed, local_name, queue_name};
use crate::limits::BUS_BATCH_BYTES_MAX;
use crate::time::Timestamp;

/// A message for a group, before its members are known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Item {
    /// The group's name.
    pub(super) name: String,
    /// The message.
    pub(super) packed: Packed,
    /// About its length, bytes.
    pub(super) size: usize,
    /// See [`Sealed::missed_at`].
    pub(super) missed_at: Option<Timestamp>,
}

/// A message as it lies in a queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sealed {
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
    /// From when on whoever does not get it looks into the store; `None` where nobody needs to: typing and presence.
    pub(super) missed_at: Option<Timestamp>,
}

/// Messages for one queue, in their order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Deposit {
    /// The queue's key.
    pub(super) key: String,
    /// Whose it is, where it is a node's.
    pub(super) node: Option<NodeId>,
    /// The messages.
    pub(super) messages: Vec<Sealed>,
}

/// What waits to be put into the queues of one host, in its order.
#[derive(Debug, Default)]
pub(super) struct Deposits {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    key: String,
    node: Option<NodeId>,
    message: Sealed,
}

/// The members of one group that read the same queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Readers {
    /// The queue's name: the channels' names up to and including the `!`.
    pub(super) queue: String,
    /// Whose it is, where it is a node's.
    pub(super) node: Option<NodeId>,
    /// The channels: what `__asgi_channel__` says.
    pub(super) channels: Vec<String>,
}

impl Deposit {
    /// Since when the queue's reader missed something, where only the first `taken` messages found room; `None` where it is
    /// nothing that matters.
    pub(super) fn missed_since(&self, taken: usize) -> Option<Timestamp> {
        self.messages.iter().skip(taken).filter_map(|message| message.missed_at).min()
    }
}

impl Deposits {
    /// Adds `message` for the queue at `key`, which is that of `node` where it is a node's.
    pub(super) fn push(&mut self, key: String, node: Option<NodeId>, message: Sealed) {
        self.bytes += message.bytes.len();
        self.waiting.push_back(Waiting { key, node, message });
    }

    /// Messages that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Their bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the first messages, by queue: of [`BUS_BATCH_BYTES_MAX`] together, or one.
    pub(super) fn take_part(&mut self) -> Vec<Deposit> {
        let mut part: Vec<Deposit> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut taken = 0;
        while let Some(first) = self.waiting.front() {
            if taken > 0 && taken + first.message.bytes.len() > BUS_BATCH_BYTES_MAX {
                break;
            }
            let Some(Waiting { key, node, message }) = self.waiting.pop_front() else { break };
            taken += message.bytes.len();
            if let Some(place) = places.get(&key) {
                let deposit = &mut part[*place];
                deposit.node = deposit.node.or(node);
                deposit.messages.push(message);
            } else {
                places.insert(key.clone(), part.len());
                part.push(Deposit { key, node, messages: vec![message] });
            }
        }
        self.bytes -= taken;
        part
    }

    /// What was taken goes back, before all others: it may or may not have been put there.
    pub(super) fn restore(&mut self, part: Vec<Deposit>) {
        for Deposit { key, node, messages } in part.into_iter().rev() {
            for message in messages.into_iter().rev() {
                self.bytes += message.bytes.len();
                self.waiting.push_front(Waiting { key: key.clone(), node, message });
            }
        }
    }

    /// Takes out typing and presence: how many.
    pub(super) fn shed(&mut self) -> usize {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.message.missed_at.is_some());
        self.bytes = self.waiting.iter().map(|waiting| waiting.message.bytes.len()).sum();
        before - self.waiting.len()
    }
}

/// The members of the group called `name` by the queue they read, in the order of the first of each, without those of the
/// node `me`: its own sessions have the message already.
pub(super) fn readers(name: &str, members: Vec<String>, me: NodeId) -> Vec<Readers> {
    let mut all: Vec<Readers> = Vec::new();
    let mut places = HashMap::new();
    for channel in members {
        let node = node_of(name, &channel);
        if node == Some(me) {
            continue;
        }
        let queue = queue_name(&channel);
        if let Some(place) = places.get(queue) {
            let readers: &mut Readers = &mut all[*place];
            readers.node = readers.node.or(node);
            readers.channels.push(channel);
        } else {
            places.insert(queue.to_owned(), all.len());
            all.push(Readers { queue: queue.to_owned(), node, channels: vec![channel] });
        }
    }
    all
}

/// The node that is a member of the group called `name` by `channel`; `None` where that is a channel of Django's.
///
/// A node's channel has the group's own name behind the `!`; Django's have 32 random digits there.
pub(super) fn node_of(name: &str, channel: &str) -> Option<NodeId> {
    let node = channel.strip_prefix("specific.")?.split_once('!')?.0;
    let is_ours = local_name(channel) == Some(name) && Address::parse(name).is_some();
    NodeId::parse(node).filter(|_| is_ours)
}

/// The key that says that `node` lives, on each host where it is a member of groups.
pub(super) fn sign_key(names: &Names, node: NodeId) -> String {
    names.queue_key(&format!(":fortifun:alive:{node}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::bus::{ConversationName, channel_name};

    const ME: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);
    const NOW: Timestamp = Timestamp(9);

    #[test]
    fn members_of_one_process_share_a_queue_and_ones_own_is_left_out() {
        let group = "chat_7";
        let django = |local: &str| format!("specific.{:032x}!{local}", 9);
        let members = vec![
            django("0123456789abcdef0123456789abcdef"),
            channel_name(ME, group),
            channel_name(OTHER, group),
            django("fedcba9876543210fedcba9876543210"),
        ];
        let readers = readers(group, members.clone(), ME);
        assert_eq!(readers.len(), 2);
        assert_eq!(readers[0].queue, format!("specific.{:032x}!", 9));
        assert_eq!(readers[0].channels, [members[0].clone(), members[3].clone()]);
        assert_eq!(readers[0].node, None);
        assert_eq!(readers[1].node, Some(OTHER));
        assert_eq!(readers[1].channels, [channel_name(OTHER, group)]);
    }

    #[test]
    fn only_a_channel_named_for_its_group_is_a_nodes() {
        assert_eq!(node_of("chat_7", &channel_name(OTHER, "chat_7")), Some(OTHER));
        assert_eq!(node_of("chat_8", &channel_name(OTHER, "chat_7")), None);
        let digits = "0123456789abcdef0123456789abcdef";
        assert_eq!(node_of("chat_7", &channel_name(OTHER, digits)), None);
        // A group of Django's own, one of whose channels has its name by chance.
        assert_eq!(node_of(digits, &channel_name(OTHER, digits)), None);
        assert_eq!(node_of("chat_7", "specific.short!chat_7"), None);
        assert_eq!(node_of("chat_7", "chat_7"), None);
    }

    #[test]
    fn a_sign_of_life_is_under_the_prefix() {
        let names = Names::new("asgi", ConversationName::Chat);
        assert_eq!(
            sign_key(&names, NodeId(0xa)),
            "asgi:fortifun:alive:0000000000000000000000000000000a"
        );
    }

    fn waiting(messages: &[(&str, u8, Option<i64>)]) -> Deposits {
        let mut deposits = Deposits::default();
        for (queue, byte, at) in messages {
            let message = Sealed { bytes: vec![*byte], missed_at: at.map(Timestamp) };
            deposits.push((*queue).to_owned(), Some(OTHER), message);
        }
        deposits
    }

    fn shown(part: &[Deposit]) -> Vec<(&str, Vec<u8>)> {
        let bytes = |deposit: &Deposit| deposit.messages.iter().map(|it| it.bytes[0]).collect();
        part.iter().map(|deposit| (&*deposit.key, bytes(deposit))).collect()
    }

    #[test]
    fn dropped_typing_is_not_missed_and_a_dropped_message_is() {
        let part = waiting(&[("q", 1, Some(5)), ("q", 2, Some(3)), ("q", 3, None)]).take_part();
        let missed = |taken| part[0].missed_since(taken).map(|since| since.0);
        assert_eq!([0, 1, 2, 3].map(missed), [Some(3), Some(3), None, None]);
    }

    #[test]
    fn what_is_sent_again_has_no_typing_and_its_order() {
        let mut deposits = waiting(&[
            ("a", 1, None),
            ("b", 2, Some(1)),
            ("b", 3, None),
            ("c", 4, Some(1)),
            ("b", 5, Some(2)),
        ]);
        let part = deposits.take_part();
        assert_eq!(shown(&part), [("a", vec![1]), ("b", vec![2, 3, 5]), ("c", vec![4])]);
        assert_eq!((deposits.len(), deposits.bytes()), (0, 0));
        deposits.push("b".to_owned(), None, Sealed { bytes: vec![6], missed_at: Some(NOW) });
        deposits.restore(part);
        assert_eq!((deposits.len(), deposits.bytes()), (6, 6));
        assert_eq!(deposits.shed(), 2);
        assert_eq!((deposits.len(), deposits.bytes()), (4, 4));
        assert_eq!(shown(&deposits.take_part()), [("b", vec![2, 5, 6]), ("c", vec![4])]);
    }

    #[test]
    fn a_part_is_bounded_and_never_empty() {
        let mut deposits = Deposits::default();
        for len in [BUS_BATCH_BYTES_MAX + 1, BUS_BATCH_BYTES_MAX, 1] {
            let message = Sealed { bytes: vec![0; len], missed_at: None };
            deposits.push("q".to_owned(), None, message);
        }
        for left in [2, 1, 0] {
            assert_eq!((deposits.take_part()[0].messages.len(), deposits.len()), (1, left));
        }
        assert!(deposits.take_part().is_empty());
    }
}
