//! Which channels of one host are listened to: what is to be said to Redis, in which order, and what its confirmations mean.
//! Pure.

use std::collections::VecDeque;

use redis::Cmd;

use super::route::{Place, Words};
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

/// What was asked for some groups.
#[derive(Debug)]
struct Sent {
    is_wanted: bool,
    left: usize,
    /// Whom it is listened to for, once it is confirmed; none where it is not listened to any more.
    groups: Vec<Group>,
}

impl Subscriptions {
    /// Of a new connection, which listens to `channels` for itself from the start, and is to listen to all `groups`. The
    /// commands are the first to be sent.
    pub(super) fn new(words: &Words, channels: &[String], groups: Vec<Group>) -> (Self, Vec<u8>) {
        let wanted = |group| Change { group, is_wanted: true };
        let sent = Sent { is_wanted: true, left: channels.len(), groups: Vec::new() };
        let subscriptions = Self {
            waiting: groups.into_iter().map(wanted).collect(),
            sent: Some(sent).into_iter().filter(|sent| sent.left > 0).collect(),
            unconfirmed: channels.len(),
        };
        (subscriptions, commands(words, true, channels))
    }

    /// What is wanted, and what is not any more.
    pub(super) fn on_changes(&mut self, changes: Vec<Change>) {
        self.waiting.extend(changes);
    }

    /// The next commands, where there are any and Redis has confirmed enough of those before: what it has to say to a receiver
    /// that does not listen is bounded, and confirmations count.
    pub(super) fn next_commands(&mut self, words: &Words, place: Place<'_>) -> Option<Vec<u8>> {
        while let Some(Change { is_wanted, .. }) = self.waiting.front().copied() {
            if self.unconfirmed >= BUS_UNCONFIRMED_MAX {
                return None;
            }
            let mut channels = Vec::new();
            let mut groups = Vec::new();
            while channels.len() < BUS_SUBSCRIBE_MAX
                && let Some(change) = self.waiting.front().copied()
                && change.is_wanted == is_wanted
            {
                self.waiting.pop_front();
                let before = channels.len();
                channels.extend(place.channels(change.group));
                if is_wanted && channels.len() > before {
                    groups.push(change.group);
                }
            }
            // Of a group, or of many, this host may have no channel.
            if !channels.is_empty() {
                self.unconfirmed += channels.len();
                self.sent.push_back(Sent { is_wanted, left: channels.len(), groups });
                return Some(commands(words, is_wanted, &channels));
            }
        }
        None
    }

    /// Redis confirmed that one channel is, or is not, subscribed to; gives the groups that are listened to from now on. `None`
    /// where nobody asked for it: the channel is another host's now.
    pub(super) fn on_confirmed(&mut self, is_wanted: bool) -> Option<Vec<Group>> {
        let sent = self.sent.front_mut().filter(|sent| sent.is_wanted == is_wanted)?;
        sent.left -= 1;
        self.unconfirmed -= 1;
        if sent.left > 0 {
            return Some(Vec::new());
        }
        self.sent.pop_front().map(|sent| sent.groups)
    }

    /// True exactly when all that was told is said and confirmed.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty()
    }
}

/// What is said to Redis, in as many commands as it takes.
fn commands(words: &Words, is_wanted: bool, channels: &[String]) -> Vec<u8> {
    let verb = if is_wanted { words.subscribe } else { words.unsubscribe };
    let commands = channels.chunks(words.channels_max).map(|channels| {
        let mut command: Cmd = redis::cmd(verb);
        command.arg(channels);
        command.get_packed_command()
    });
    commands.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::channel::bus::{Address, ConversationName, Names, Ring};
    use crate::channel::redis::pubsub::route::{PLAIN, Route, SHARDED};
    use crate::model::{ConversationId, UserId};

    fn names() -> Names {
        Names::new("asgi", ConversationName::Chat)
    }

    fn ring(hosts: usize) -> Route {
        Route::Ring(Ring::new(hosts))
    }

    /// A Redis: its channels by what it was told. Gives what it confirms, one after another.
    fn carry_out(channels: &mut BTreeSet<String>, mut commands: &[u8]) -> Vec<bool> {
        let mut confirmed = Vec::new();
        let mut parser = redis::Parser::new();
        while let Ok(command) = parser.parse_value(&mut commands) {
            let words: Vec<String> = redis::from_redis_value(command).unwrap();
            let (verb, names) = words.split_first().unwrap();
            let is_wanted = verb == "SUBSCRIBE";
            for name in names {
                confirmed.push(is_wanted);
                if is_wanted {
                    channels.insert(name.clone());
                } else {
                    channels.remove(name);
                }
            }
        }
        confirmed
    }

    #[test]
    fn all_groups_are_subscribed_in_parts_and_each_is_heard_once() {
        let (names, route) = (names(), ring(1));
        let place = Place { names: &names, route: &route, host: 0 };
        let groups: Vec<Group> =
            (1..=10_000).map(|id| Group::Conversation(ConversationId(id))).collect();
        let own = ["asgi__group__fortifun.node.1".to_owned()];
        let (mut subscriptions, first) = Subscriptions::new(&PLAIN, &own, groups.clone());
        let mut channels = BTreeSet::new();
        let mut unconfirmed = carry_out(&mut channels, &first).len();
        let mut heard = Vec::new();
        while !subscriptions.is_settled() {
            while let Some(commands) = subscriptions.next_commands(&PLAIN, place) {
                unconfirmed += carry_out(&mut channels, &commands).len();
            }
            assert!(unconfirmed < BUS_UNCONFIRMED_MAX + BUS_SUBSCRIBE_MAX + 3);
            heard.extend(subscriptions.on_confirmed(true).unwrap());
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
            let route = ring(hosts);
            let place = |host| Place { names: &names, route: &route, host };
            let mut all: Vec<String> =
                (0..hosts).flat_map(|host| place(host).channels(group)).collect();
            all.sort();
            let expected = ["chat_456", "conversation_456", "fortifun.chat_456"]
                .map(|name| names.pubsub(name));
            assert_eq!(all, expected);
            let nodes = (0..hosts).filter_map(|host| place(host).channel(Address::Nodes));
            assert_eq!(nodes.collect::<Vec<_>>(), ["asgi__group__fortifun.nodes"]);
        }
    }

    #[test]
    fn in_a_cluster_each_channel_has_a_command_of_its_own() {
        let channels = ["a".to_owned(), "b".to_owned()];
        let (mut subscriptions, first) = Subscriptions::new(&SHARDED, &channels, Vec::new());
        let expected = [["SSUBSCRIBE", "a"], ["SSUBSCRIBE", "b"]]
            .map(|[verb, channel]| redis::cmd(verb).arg(channel).get_packed_command());
        assert_eq!(first, expected.concat());
        assert_eq!(subscriptions.on_confirmed(true), Some(Vec::new()));
        assert_eq!(subscriptions.on_confirmed(false), None, "a slot has moved");
        assert!(!subscriptions.is_settled());
    }

    proptest! {
        #[test]
        fn redis_is_left_with_what_was_wanted_last(
            changes in proptest::collection::vec((1..20_i64, any::<bool>(), 0..4_usize), 0..200),
            hosts in 1..4_usize,
        ) {
            let (names, route) = (names(), ring(hosts));
            for host in 0..hosts {
                let place = Place { names: &names, route: &route, host };
                let own = ["own".to_owned()];
                let (mut subscriptions, first) = Subscriptions::new(&PLAIN, &own, Vec::new());
                let mut channels = BTreeSet::new();
                let mut unconfirmed = VecDeque::from(carry_out(&mut channels, &first));
                let mut wanted = BTreeSet::new();
                for (id, is_wanted, steps) in &changes {
                    let group = Group::User(UserId(*id));
                    if *is_wanted { wanted.insert(*id); } else { wanted.remove(id); }
                    subscriptions.on_changes(vec![Change { group, is_wanted: *is_wanted }]);
                    for _ in 0..*steps {
                        if let Some(commands) = subscriptions.next_commands(&PLAIN, place) {
                            unconfirmed.extend(carry_out(&mut channels, &commands));
                        }
                    }
                }
                while !subscriptions.is_settled() {
                    if let Some(commands) = subscriptions.next_commands(&PLAIN, place) {
                        unconfirmed.extend(carry_out(&mut channels, &commands));
                    }
                    if let Some(is_wanted) = unconfirmed.pop_front() {
                        prop_assert!(subscriptions.on_confirmed(is_wanted).is_some());
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
