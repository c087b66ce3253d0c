//! What is stored, checked against itself and against what clients saw committed.

use std::collections::HashMap;
use std::fmt;

use crate::ledger::Sight;

/// A stored message of one conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    /// Its place.
    pub(crate) seq: u64,
    /// Who sent it.
    pub(crate) sender: i64,
    /// The sender's own name for it.
    pub(crate) client_id: Option<String>,
    /// [`crate::wire::hash`] of what was said.
    pub(crate) content: u64,
}

/// What is wrong with a conversation's history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Where `expected` was due, `got` is.
    Seq { conversation: i64, expected: u64, got: u64 },
    /// One client id is stored twice.
    Twice { conversation: i64, client_id: String, first: u64, second: u64 },
    /// A client saw it committed, and it is not there.
    Lost { conversation: i64, client_id: String, seq: u64 },
    /// A client saw it committed as something else.
    Differs { conversation: i64, client_id: String, seq: u64 },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seq { conversation, expected, got } => {
                write!(
                    f,
                    "conversation {conversation}: seq {got} is stored where {expected} is due"
                )
            }
            Self::Twice { conversation, client_id, first, second } => write!(
                f,
                "conversation {conversation}: client_id {client_id} is stored under seq {first} and {second}"
            ),
            Self::Lost { conversation, client_id, seq } => write!(
                f,
                "conversation {conversation}: client_id {client_id} was seen with seq {seq} and is not stored"
            ),
            Self::Differs { conversation, client_id, seq } => write!(
                f,
                "conversation {conversation}: client_id {client_id}, seen with seq {seq}, is stored otherwise"
            ),
        }
    }
}

/// Checks what is stored in `conversation` behind `after`, all of it, `rows` in the order in which they were told: `seq` from
/// `after + 1` without a hole, each client id of a sender once, and every one of `sights` there as it was seen.
pub(crate) fn check(conversation: i64, after: u64, rows: &[Row], sights: &[Sight]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut expected = after + 1;
    let mut by_client_id: HashMap<(i64, &str), &Row> = HashMap::new();
    for row in rows {
        if row.seq != expected {
            faults.push(Fault::Seq { conversation, expected, got: row.seq });
        }
        expected = row.seq + 1;
        let Some(client_id) = row.client_id.as_deref() else { continue };
        if let Some(first) = by_client_id.insert((row.sender, client_id), row) {
            let (client_id, first) = (client_id.to_owned(), first.seq);
            faults.push(Fault::Twice { conversation, client_id, first, second: row.seq });
        }
    }
    for sight in sights {
        debug_assert_eq!(sight.conversation, conversation);
        let (client_id, seq) = (sight.client_id.clone(), sight.seq);
        match by_client_id.get(&(sight.sender, client_id.as_str())) {
            None => faults.push(Fault::Lost { conversation, client_id, seq }),
            Some(row) if row.seq != seq || row.content != sight.content => {
                faults.push(Fault::Differs { conversation, client_id, seq });
            }
            Some(_) => {}
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u64, client_id: &str) -> Row {
        Row { seq, sender: 1, client_id: Some(client_id.to_owned()), content: 9 }
    }

    fn sight(seq: u64, client_id: &str) -> Sight {
        Sight { conversation: 7, seq, sender: 1, client_id: client_id.to_owned(), content: 9 }
    }

    fn names(rows: &[Row], sights: &[Sight]) -> Vec<&'static str> {
        let name = |fault| match fault {
            Fault::Seq { .. } => "seq",
            Fault::Twice { .. } => "twice",
            Fault::Lost { .. } => "lost",
            Fault::Differs { .. } => "differs",
        };
        check(7, 0, rows, sights).into_iter().map(name).collect()
    }

    #[test]
    fn a_whole_history_with_all_that_was_seen_is_right() {
        let rows = [row(1, "a"), row(2, "b"), Row { client_id: None, ..row(3, "") }];
        assert_eq!(names(&rows, &[sight(2, "b"), sight(1, "a"), sight(2, "b")]), [""; 0]);
        assert_eq!(names(&[], &[]), [""; 0]);
    }

    #[test]
    fn a_hole_is_a_fault() {
        assert_eq!(names(&[row(1, "a"), row(3, "c")], &[]), ["seq"]);
        assert_eq!(names(&[row(2, "b")], &[]), ["seq"]);
        assert_eq!(check(7, 1, &[row(2, "b")], &[]), []);
    }

    #[test]
    fn a_double_is_a_fault() {
        assert_eq!(names(&[row(1, "a"), row(1, "b")], &[]), ["seq"]);
        assert_eq!(names(&[row(1, "a"), row(2, "a")], &[]), ["twice"]);
    }

    #[test]
    fn a_reorder_is_a_fault() {
        assert_eq!(names(&[row(2, "b"), row(1, "a")], &[]), ["seq", "seq"]);
    }

    #[test]
    fn a_message_that_was_seen_and_is_not_there_is_a_fault() {
        assert_eq!(names(&[row(1, "a")], &[sight(2, "b")]), ["lost"]);
        let other = Sight { sender: 2, ..sight(1, "a") };
        assert_eq!(names(&[row(1, "a")], &[other]), ["lost"]);
    }

    #[test]
    fn a_message_that_was_seen_otherwise_is_a_fault() {
        assert_eq!(names(&[row(1, "a"), row(2, "b")], &[sight(1, "b")]), ["differs"]);
        let other = Sight { content: 8, ..sight(1, "a") };
        assert_eq!(names(&[row(1, "a")], &[other]), ["differs"]);
    }

    #[test]
    fn two_senders_may_use_one_client_id() {
        let other = Row { sender: 2, ..row(2, "a") };
        assert_eq!(names(&[row(1, "a"), other], &[sight(1, "a")]), [""; 0]);
    }
}
