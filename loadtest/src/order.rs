//! What the sessions of one conversation hear, checked as it comes: every session the same messages, each once, in `seq` order
//! without holes, and no message stored twice.

use std::collections::BTreeSet;
use std::fmt;

use crate::ledger::Sight;
use crate::said::{Contradiction, Said};
use crate::wire::Message;

/// What all sessions of a conversation heard.
#[derive(Debug, Default)]
pub(crate) struct Order {
    conversation: i64,
    sessions: Vec<Heard>,
    said: Said,
}

/// What one session heard.
#[derive(Debug)]
struct Heard {
    /// The next `seq` that is to come.
    next: u64,
    /// What was passed over.
    skipped: BTreeSet<u64>,
}

/// The wrong that a session or the store did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// A `seq` was passed over.
    Hole { conversation: i64, session: usize, expected: u64, got: u64 },
    /// A `seq` came behind a later one.
    Reordered { conversation: i64, session: usize, seq: u64 },
    /// A `seq` came twice, or from before the session.
    Repeated { conversation: i64, session: usize, seq: u64 },
    /// Two sessions heard different messages under one `seq`.
    Differs { conversation: i64, session: usize, seq: u64 },
    /// One client id is stored twice.
    StoredTwice { conversation: i64, client_id: String, first: u64, second: u64 },
    /// A message of another conversation.
    Stray { conversation: i64, other: i64 },
    /// At the end a session had not heard what others had: how many, and the first.
    Missing { conversation: i64, session: usize, count: u64, first: u64 },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hole { conversation, session, expected, got } => write!(
                f,
                "conversation {conversation}, session {session}: seq {got} came where {expected} was due"
            ),
            Self::Reordered { conversation, session, seq } => {
                write!(f, "conversation {conversation}, session {session}: seq {seq} came late")
            }
            Self::Repeated { conversation, session, seq } => {
                write!(f, "conversation {conversation}, session {session}: seq {seq} came again")
            }
            Self::Differs { conversation, session, seq } => write!(
                f,
                "conversation {conversation}, session {session}: seq {seq} is not what others heard"
            ),
            Self::StoredTwice { conversation, client_id, first, second } => write!(
                f,
                "conversation {conversation}: client_id {client_id} has seq {first} and {second}"
            ),
            Self::Stray { conversation, other } => {
                write!(f, "conversation {conversation}: heard a message of conversation {other}")
            }
            Self::Missing { conversation, session, count, first } => write!(
                f,
                "conversation {conversation}, session {session}: {count} messages never came, from seq {first} on"
            ),
        }
    }
}

impl Order {
    /// Nobody has joined yet.
    pub(crate) fn new(conversation: i64) -> Self {
        Self { conversation, ..Self::default() }
    }

    /// A session joins; `last_seq` is what its `hello` says. Answers its number.
    pub(crate) fn join(&mut self, last_seq: u64) -> usize {
        self.said.reach(last_seq);
        self.sessions.push(Heard { next: last_seq + 1, skipped: BTreeSet::new() });
        self.sessions.len() - 1
    }

    /// Session `session` hears `message`. Answers what is wrong with that; mostly nothing.
    pub(crate) fn hear(&mut self, session: usize, message: &Message<'_>) -> Vec<Fault> {
        let conversation = self.conversation;
        if message.conversation_id != conversation {
            return vec![Fault::Stray { conversation, other: message.conversation_id }];
        }
        let seq = message.seq;
        let mut faults = Vec::new();
        faults.extend(self.sessions[session].place(conversation, session, seq));
        faults.extend(self.said.note(message).into_iter().map(|found| match found {
            Contradiction::Differs => Fault::Differs { conversation, session, seq },
            Contradiction::StoredTwice { client_id, first } => {
                Fault::StoredTwice { conversation, client_id, first, second: seq }
            }
        }));
        faults
    }

    /// True exactly when every session has heard all that any has.
    pub(crate) fn is_level(&self) -> bool {
        let last = self.said.last();
        self.sessions.iter().all(|heard| heard.next == last + 1 && heard.skipped.is_empty())
    }

    /// What sessions have not heard that others have.
    pub(crate) fn missing(&self) -> impl Iterator<Item = Fault> + '_ {
        let (conversation, last) = (self.conversation, self.said.last());
        self.sessions.iter().enumerate().filter_map(move |(session, heard)| {
            let count = heard.skipped.len() as u64 + (last + 1).saturating_sub(heard.next);
            let first = heard.skipped.first().copied().unwrap_or(heard.next);
            (count > 0).then_some(Fault::Missing { conversation, session, count, first })
        })
    }

    /// What was heard of those who name their messages.
    pub(crate) fn sights(&self) -> Vec<Sight> {
        self.said.sights(self.conversation)
    }

    /// Messages that were heard, each counted once.
    pub(crate) fn count(&self) -> u64 {
        self.said.count()
    }
}

/// Gaps wider than this are told by their edges only.
const SKIPPED_MAX: u64 = 10_000;

impl Heard {
    fn place(&mut self, conversation: i64, session: usize, seq: u64) -> Option<Fault> {
        if seq == self.next {
            self.next += 1;
            return None;
        }
        if seq > self.next {
            let expected = self.next;
            self.skipped.extend((expected..seq).take(SKIPPED_MAX as usize));
            self.next = seq + 1;
            return Some(Fault::Hole { conversation, session, expected, got: seq });
        }
        Some(if self.skipped.remove(&seq) {
            Fault::Reordered { conversation, session, seq }
        } else {
            Fault::Repeated { conversation, session, seq }
        })
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
            content: format!("content of {seq}").into(),
            client_id: Some(client_id.to_owned()),
        }
    }

    /// Two sessions that joined at 10: the first hears 11 to 13, the second `heard`.
    fn check(heard: &[u64], faults: &[Fault]) {
        let mut order = Order::new(7);
        assert_eq!((order.join(10), order.join(10)), (0, 1));
        let mut hear = |session, seq: u64| order.hear(session, &message(seq, &format!("c{seq}")));
        let first: Vec<_> = (11..=13).flat_map(|seq| hear(0, seq)).collect();
        assert_eq!(first, []);
        let mut found: Vec<_> = heard.iter().flat_map(|seq| hear(1, *seq)).collect();
        let is_level = order.is_level();
        found.extend(order.missing());
        assert_eq!(found, faults, "{heard:?}");
        assert_eq!(is_level, !faults.iter().any(|f| matches!(f, Fault::Missing { .. })));
        assert_eq!(order.count(), 3);
    }

    const AT: (i64, usize) = (7, 1);

    fn hole(expected: u64, got: u64) -> Fault {
        Fault::Hole { conversation: AT.0, session: AT.1, expected, got }
    }

    fn missing(count: u64, first: u64) -> Fault {
        Fault::Missing { conversation: AT.0, session: AT.1, count, first }
    }

    #[test]
    fn each_once_and_in_order_is_right() {
        check(&[11, 12, 13], &[]);
    }

    #[test]
    fn a_hole_is_a_fault() {
        check(&[11, 13], &[hole(12, 13), missing(1, 12)]);
    }

    #[test]
    fn an_end_that_never_comes_is_a_fault() {
        check(&[11], &[missing(2, 12)]);
        check(&[], &[missing(3, 11)]);
    }

    #[test]
    fn a_double_is_a_fault() {
        let again = |seq| Fault::Repeated { conversation: AT.0, session: AT.1, seq };
        check(&[11, 12, 12, 13], &[again(12)]);
        check(&[11, 12, 13, 11], &[again(11)]);
    }

    #[test]
    fn a_message_from_before_the_session_is_a_fault() {
        let mut order = Order::new(7);
        order.join(10);
        let faults = order.hear(0, &message(10, "c"));
        assert_eq!(faults, [Fault::Repeated { conversation: 7, session: 0, seq: 10 }]);
    }

    #[test]
    fn a_reorder_is_a_fault() {
        let late = Fault::Reordered { conversation: AT.0, session: AT.1, seq: 12 };
        check(&[11, 13, 12], &[hole(12, 13), late]);
    }

    #[test]
    fn sessions_that_hear_different_messages_are_a_fault() {
        let mut order = Order::new(7);
        order.join(0);
        order.join(0);
        assert_eq!(order.hear(0, &message(1, "c")), []);
        let mut other = message(1, "c");
        other.content = "something else".into();
        let differs = Fault::Differs { conversation: 7, session: 1, seq: 1 };
        assert_eq!(order.hear(1, &other), [differs]);
    }

    #[test]
    fn a_client_id_with_two_places_is_a_fault() {
        let mut order = Order::new(7);
        order.join(0);
        assert_eq!(order.hear(0, &message(1, "c")), []);
        let twice =
            Fault::StoredTwice { conversation: 7, client_id: "c".into(), first: 1, second: 2 };
        assert_eq!(order.hear(0, &message(2, "c")), [twice]);
    }

    #[test]
    fn a_message_of_another_conversation_is_a_fault() {
        let mut order = Order::new(8);
        order.join(0);
        let stray = Fault::Stray { conversation: 8, other: 7 };
        assert_eq!(order.hear(0, &message(1, "c")), [stray]);
    }
}
