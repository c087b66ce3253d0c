//! Which channels of one host are listened to: what is to be said to Redis, in which order, and what its confirmations mean.
//! Pure.

use std::collections::VecDeque;

use redis::Cmd;

use crate::channel::bus::{Address, Names, Ring};
use crate::channel::redis::interest::Change;
use crate::limits::{BUS_SUBSCRIBE_MAX, BUS_UNCONFIRMED_MAX};
use crate::model::Group;

/// What one connection has subscribed to and will.
#[derive(Debug)]
pub(super) struct Subscriptions {
    /// In the order in which they were told; a group may be there twice.
    waiting: VecDeque<Change>,
    /// Commands that were sent, and how many of their channels are not confirmed.
    sent: VecDeque<Sent>,
    /// Channels of all of `sent` that are not confirmed.
    unconfirmed: usize,
}

#[derive(Debug)]
struct Sent {
    left: usize,
    /// Whom it is listened to for, once it is confirmed; none where it is not listened to any more.
    groups: Vec<Group>,
}

/// Which channels are those of one host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// What is called how.
    pub(super) names: &'a Names,
    /// Which host has what.
    pub(super) ring: Ring,
    /// This one.
    pub(super) host: usize,
}

impl Subscriptions {
    /// Of a new connection, which listens to `channels` for itself from the start, and is to listen to all `groups`. The
    /// command is the first to be sent.
    pub(super) fn new(channels: &[String], groups: Vec<Group>) -> (Self, Cmd) {
        let mut first = redis::cmd("SUBSCRIBE");
        first.arg(channels);
        let wanted = |group| Change { group, is_wanted: true };
        let subscriptions = Self {
            waiting: groups.into_iter().map(wanted).collect(),
            sent: [Sent { left: channels.len(), groups: Vec::new() }].into(),
            unconfirmed: channels.len(),
        };
        (subscriptions, first)
    }

    /// What is wanted, and what is not any more.
    pub(super) fn on_changes(&mut self, changes: Vec<Change>) {
        self.waiting.extend(changes);
    }

    /// The next command, where there is one and Redis has confirmed enough of those before: what it has to say to a receiver
    /// that does not listen is bounded, and confirmations count.
    pub(super) fn next_command(&mut self, place: Place<'_>) -> Option<Cmd> {
        while let Some(Change { is_wanted, .. }) = self.waiting.front().copied() {
            if self.unconfirmed >= BUS_UNCONFIRMED_MAX {
                return None;
            }
            let mut command = redis::cmd(if is_wanted { "SUBSCRIBE" } else { "UNSUBSCRIBE" });
            let mut sent = Sent { left: 0, groups: Vec::new() };
            while sent.left < BUS_SUBSCRIBE_MAX
                && let Some(change) = self.waiting.front().copied()
                && change.is_wanted == is_wanted
            {
                self.waiting.pop_front();
                let before = sent.left;
                for channel in place.channels(change.group) {
                    command.arg(channel);
                    sent.left += 1;
                }
                if is_wanted && sent.left > before {
                    sent.groups.push(change.group);
                }
            }
            // Of a group, or of many, this host may have no channel.
            if sent.left > 0 {
                self.unconfirmed += sent.left;
                self.sent.push_back(sent);
                return Some(command);
            }
        }
        None
    }

    /// Redis confirmed one channel; gives the groups that are listened to from now on.
    pub(super) fn on_confirmed(&mut self) -> Vec<Group> {
        let Some(sent) = self.sent.front_mut() else { return Vec::new() };
        sent.left -= 1;
        self.unconfirmed -= 1;
        if sent.left > 0 {
            return Vec::new();
        }
        self.sent.pop_front().map(|sent| sent.groups).unwrap_or_default()
    }

    /// True exactly when all that was told is said and confirmed.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty()
    }
}

impl<'a> Place<'a> {
    /// The channels of `group` that are on this host.
    pub(super) fn channels(self, group: Group) -> impl Iterator<Item = String> + use<'a> {
        let channels = self.names.heard(group).map(|name| self.names.pubsub(&name));
        channels.filter(move |channel| self.ring.host(channel) == self.host)
    }

    /// The channel to `address`, where it is on this host.
    pub(super) fn channel(self, address: Address) -> Option<String> {
        let channel = self.names.pubsub(&self.names.sent(address));
        (self.ring.host(&channel) == self.host).then_some(channel)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::channel::bus::ConversationName;
    use crate::model::{ConversationId, UserId};

    fn names() -> Names {
        Names::new("asgi", ConversationName::Chat)
    }

    fn place(names: &Names, hosts: usize, host: usize) -> Place<'_> {
        Place { names, ring: Ring::new(hosts), host }
    }

    /// A Redis: its channels by what it was told. Gives how many it confirms.
    fn carry_out(channels: &mut BTreeSet<String>, command: &Cmd) -> usize {
        let mut words = command.args_iter().map(|word| match word {
            redis::Arg::Simple(word) => String::from_utf8(word.to_vec()).unwrap(),
            _ => panic!("another kind of argument"),
        });
        let is_wanted = words.next().unwrap() == "SUBSCRIBE";
        let mut confirmed = 0;
        for word in words {
            confirmed += 1;
            if is_wanted {
                channels.insert(word);
            } else {
                channels.remove(&word);
            }
        }
        confirmed
    }

    #[test]
    fn all_groups_are_subscribed_in_parts_and_each_is_heard_once() {
        let names = names();
        let groups: Vec<Group> =
            (1..=10_000).map(|id| Group::Conversation(ConversationId(id))).collect();
        let own = ["asgi__group__fortifun.node.1".to_owned()];
        let (mut subscriptions, first) = Subscriptions::new(&own, groups.clone());
        let mut channels = BTreeSet::new();
        let mut unconfirmed = carry_out(&mut channels, &first);
        let mut heard = Vec::new();
        while !subscriptions.is_settled() {
            while let Some(command) = subscriptions.next_command(place(&names, 1, 0)) {
                unconfirmed += carry_out(&mut channels, &command);
            }
            assert!(unconfirmed < BUS_UNCONFIRMED_MAX + BUS_SUBSCRIBE_MAX + 3);
            heard.extend(subscriptions.on_confirmed());
            unconfirmed -= 1;
        }
        assert_eq!((unconfirmed, channels.len()), (0, 30_001));
        assert_eq!(heard, groups);
    }

    #[test]
    fn each_channel_is_on_one_host() {
        let names = names();
        let group = Group::Conversation(ConversationId(456));
        for hosts in 1..5 {
            let mut all: Vec<String> =
                (0..hosts).flat_map(|host| place(&names, hosts, host).channels(group)).collect();
            all.sort();
            let expected = ["chat_456", "conversation_456", "fortifun.chat_456"]
                .map(|name| names.pubsub(name));
            assert_eq!(all, expected);
            let nodes =
                (0..hosts).filter_map(|host| place(&names, hosts, host).channel(Address::Nodes));
            assert_eq!(nodes.collect::<Vec<_>>(), ["asgi__group__fortifun.nodes"]);
        }
    }

    proptest! {
        #[test]
        fn redis_is_left_with_what_was_wanted_last(
            changes in proptest::collection::vec((1..20_i64, any::<bool>(), 0..4_usize), 0..200),
            hosts in 1..4_usize,
        ) {
            let names = names();
            for host in 0..hosts {
                let place = place(&names, hosts, host);
                let (mut subscriptions, first) = Subscriptions::new(&["own".to_owned()], Vec::new());
                let mut channels = BTreeSet::new();
                let mut left = carry_out(&mut channels, &first);
                let mut wanted = BTreeSet::new();
                for (id, is_wanted, steps) in &changes {
                    let group = Group::User(UserId(*id));
                    if *is_wanted { wanted.insert(*id); } else { wanted.remove(id); }
                    subscriptions.on_changes(vec![Change { group, is_wanted: *is_wanted }]);
                    for _ in 0..*steps {
                        if let Some(command) = subscriptions.next_command(place) {
                            left += carry_out(&mut channels, &command);
                        }
                    }
                }
                while !subscriptions.is_settled() {
                    if let Some(command) = subscriptions.next_command(place) {
                        left += carry_out(&mut channels, &command);
                    }
                    if left > 0 {
                        left -= 1;
                        subscriptions.on_confirmed();
                    }
                }
                let mut expected: BTreeSet<String> =
                    wanted.iter().flat_map(|id| place.channels(Group::User(UserId(*id)))).collect();
                expected.insert("own".to_owned());
                prop_assert_eq!(channels, expected);
            }
        }
    }
}
