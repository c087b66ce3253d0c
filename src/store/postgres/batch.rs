//! How a batch of mixed requests is carried out in few round trips, as if one by one in order. Pure.
//!
//! What is sent most is carried out set by set. Between two requests that may touch anything (a barrier), messages, receipts and
//! presence are gathered into one set each: they do not get in each other's way but for what [`Step`] says.

use std::collections::HashMap;
use std::hash::Hash;

use crate::model::{ConversationId, UserId};
use crate::store::Request;

/// What is carried out by one statement, or as one request. Each holds places in the batch, in order.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Messages.
    Appends(Vec<usize>),
    /// Receipts, none twice of the same reader in the same conversation. They come after the messages of their segment, though
    /// some were asked for before: those must not know the messages, and a repeat among the messages tells what they marked.
    Receipts(Vec<usize>),
    /// Who is here, no user twice.
    Presence(Vec<usize>),
    /// A barrier: any other request.
    Alone(usize),
}

/// The steps of `batch`, in order.
pub(super) fn plan(batch: &[Request]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut segment = Segment::default();
    for (place, request) in batch.iter().enumerate() {
        match request {
            Request::Append { .. } => segment.appends.push(place),
            Request::MarkRead { conversation, reader, .. } => {
                segment.receipts.push(place, (*conversation, *reader));
            }
            Request::SetPresence { user, .. } => segment.presence.push(place, *user),
            _ => {
                segment.close(&mut steps);
                steps.push(Step::Alone(place));
            }
        }
    }
    segment.close(&mut steps);
    steps
}

/// What stands between two barriers.
#[derive(Default)]
struct Segment {
    appends: Vec<usize>,
    receipts: Rounds<(ConversationId, UserId)>,
    presence: Rounds<UserId>,
}

/// Places in rounds, each key once a round, in order.
struct Rounds<K> {
    rounds: Vec<Vec<usize>>,
    /// By how many of the same key came before.
    round_of: HashMap<K, usize>,
}

impl Segment {
    fn close(&mut self, steps: &mut Vec<Step>) {
        let Self { appends, receipts, presence } = std::mem::take(self);
        if !appends.is_empty() {
            steps.push(Step::Appends(appends));
        }
        steps.extend(receipts.rounds.into_iter().map(Step::Receipts));
        steps.extend(presence.rounds.into_iter().map(Step::Presence));
    }
}

impl<K: Hash + Eq> Rounds<K> {
    fn push(&mut self, place: usize, key: K) {
        let round = self.round_of.entry(key).or_default();
        if *round == self.rounds.len() {
            self.rounds.push(Vec::new());
        }
        self.rounds[*round].push(place);
        *round += 1;
    }
}

impl<K> Default for Rounds<K> {
    fn default() -> Self {
        Self { rounds: Vec::new(), round_of: HashMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::model::{MessageId, NodeId};

    fn append(conversation: i64) -> Request {
        Request::Append {
            conversation: ConversationId(conversation),
            sender: UserId(1),
            content: "x".to_owned(),
            attachment: None,
            client_id: None,
        }
    }

    fn mark(conversation: i64, reader: i64) -> Request {
        let (conversation, reader) = (ConversationId(conversation), UserId(reader));
        Request::MarkRead { conversation, reader, message: MessageId(1) }
    }

    fn presence(user: i64) -> Request {
        Request::SetPresence { user: UserId(user), is_online: true, node: NodeId(1) }
    }

    fn leave(conversation: i64) -> Request {
        Request::Leave { conversation: ConversationId(conversation), user: UserId(1) }
    }

    #[test]
    fn what_stands_between_barriers_is_gathered_by_kind() {
        use Step::{Alone, Appends, Presence, Receipts};
        for (batch, expect) in [
            (vec![], vec![]),
            (vec![append(1), append(1)], vec![Appends(vec![0, 1])]),
            (
                vec![presence(1), mark(1, 1), append(1), mark(1, 2), presence(1), append(2)],
                vec![
                    Appends(vec![2, 5]),
                    Receipts(vec![1, 3]),
                    Presence(vec![0]),
                    Presence(vec![4]),
                ],
            ),
            (
                vec![mark(1, 1), mark(1, 1), mark(2, 1), mark(1, 1)],
                vec![Receipts(vec![0, 2]), Receipts(vec![1]), Receipts(vec![3])],
            ),
            (
                vec![append(1), leave(1), append(1), Request::Ping, Request::Ping],
                vec![Appends(vec![0]), Alone(1), Appends(vec![2]), Alone(3), Alone(4)],
            ),
            (
                vec![mark(1, 1), leave(2), mark(1, 1)],
                vec![Receipts(vec![0]), Alone(1), Receipts(vec![2])],
            ),
        ] {
            assert_eq!(plan(&batch), expect, "{batch:?}");
        }
    }

    #[test]
    fn every_request_is_in_one_step_and_its_kind_keeps_its_order() {
        let batch: Vec<_> = (0..300)
            .map(|n| match n * 7 % 11 {
                0 => leave(n),
                1..4 => mark(n % 3, n % 2),
                4..6 => presence(n % 5),
                _ => append(n % 4),
            })
            .collect();
        let mut seen = HashSet::new();
        for step in plan(&batch) {
            let places = match step {
                Step::Appends(places) | Step::Receipts(places) | Step::Presence(places) => places,
                Step::Alone(place) => vec![place],
            };
            assert!(places.is_sorted() && !places.is_empty());
            for place in places {
                assert!(seen.insert(place));
            }
        }
        assert_eq!(seen.len(), batch.len());
    }
}
