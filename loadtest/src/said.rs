//! What was said in one conversation, put together from what its sessions heard: all of them the same, and nothing stored twice.

use std::collections::HashMap;

use crate::ledger::Sight;
use crate::wire::{Message, hash};

/// The messages of a conversation that anybody heard.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The highest `seq` of them, or one that was told otherwise.
    last: u64,
    log: HashMap<u64, Entry>,
    /// By sender and client id: where it is stored.
    by_client_id: HashMap<(i64, String), u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    id: i64,
    sender: i64,
    content: u64,
}

/// How a message contradicts what was heard before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Contradiction {
    /// Under that `seq` another message was heard.
    Differs,
    /// That client id was heard under `first`, and now under another `seq`.
    StoredTwice { client_id: String, first: u64 },
}

impl Said {
    /// Somebody hears `message`. Answers what is wrong with that; mostly nothing.
    pub(crate) fn note(&mut self, message: &Message<'_>) -> Vec<Contradiction> {
        let seq = message.seq;
        self.reach(seq);
        let mut found = Vec::new();
        let entry =
            Entry { id: message.id, sender: message.sender.id, content: hash(&message.content) };
        if *self.log.entry(seq).or_insert(entry) != entry {
            found.push(Contradiction::Differs);
        }
        if let Some(client_id) = &message.client_id {
            let name = (message.sender.id, client_id.clone());
            let first = *self.by_client_id.entry(name).or_insert(seq);
            if first != seq {
                found.push(Contradiction::StoredTwice { client_id: client_id.clone(), first });
            }
        }
        found
    }

    /// There are messages up to `seq`.
    pub(crate) fn reach(&mut self, seq: u64) {
        self.last = self.last.max(seq);
    }

    /// The highest `seq` that is known of.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Messages that were heard, each counted once.
    pub(crate) fn count(&self) -> u64 {
        self.log.len() as u64
    }

    /// What was heard of those who name their messages.
    pub(crate) fn sights(&self, conversation: i64) -> Vec<Sight> {
        let sight = |((sender, client_id), seq): (&(i64, String), &u64)| Sight {
            conversation,
            seq: *seq,
            sender: *sender,
            client_id: client_id.clone(),
            content: self.log[seq].content,
        };
        self.by_client_id.iter().map(sight).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::User;

    fn message(seq: u64, client_id: &str) -> Message<'static> {
        Message {
            id: 100 + seq as i64,
            conversation_id: 7,
            seq,
            sender: User { id: 1 },
            content: "hello".into(),
            client_id: Some(client_id.to_owned()),
        }
    }

    #[test]
    fn what_several_hear_counts_once() {
        let mut said = Said::default();
        for message in [message(2, "a"), message(3, "b"), message(2, "a")] {
            assert_eq!(said.note(&message), []);
        }
        said.reach(2);
        assert_eq!((said.count(), said.last(), said.sights(7).len()), (2, 3, 2));
        said.reach(9);
        assert_eq!((said.count(), said.last()), (2, 9));
    }

    #[test]
    fn another_message_in_the_same_place_is_a_contradiction() {
        let mut said = Said::default();
        assert_eq!(said.note(&message(1, "a")), []);
        let other = Message { content: "other".into(), ..message(1, "a") };
        assert_eq!(said.note(&other), [Contradiction::Differs]);
        let twice = Contradiction::StoredTwice { client_id: "a".to_owned(), first: 1 };
        assert_eq!(said.note(&message(2, "a")), [twice]);
    }
}
