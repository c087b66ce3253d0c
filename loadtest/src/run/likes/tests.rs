//! The check of one pair: what is right, and each way of being wrong.

use super::*;
use crate::rest::Made;
use crate::wire::User;

const COUPLE: [i64; 2] = [1, 2];

fn likes(completed: [bool; 2]) -> [Liked; 2] {
    completed.map(|is_match| Liked {
        is_match,
        r#match: is_match.then_some(Made { id: 9, conversation_id: 7 }),
    })
}

fn found() -> Found {
    let conversation = || Conversation {
        id: 7,
        participants: vec![User { id: 1 }, User { id: 2 }],
        is_active: true,
    };
    let recent = |id| RecentMatch { id, match_id: 9, conversation_id: Some(7) };
    Found {
        matches: [vec![recent(2)], vec![recent(1)]],
        conversations: [vec![conversation()], vec![conversation()]],
        messages: vec![Row { seq: 1, sender: 2, client_id: None, content: 0 }],
    }
}

/// How many faults there are where `change` has been made to what is right.
fn faults(change: impl FnOnce(&mut Found)) -> usize {
    let mut found = found();
    change(&mut found);
    check(COUPLE, &likes([false, true]), &found).len()
}

#[test]
fn one_match_one_conversation_and_one_welcome_are_right() {
    assert_eq!(faults(|_| {}), 0);
}

#[test]
fn the_one_who_completed_it_welcomes() {
    assert_eq!(check(COUPLE, &likes([true, false]), &found()).len(), 1);
    assert_eq!(faults(|found| found.messages[0].sender = 1), 1);
}

#[test]
fn one_like_and_no_more_completes_the_match() {
    assert_eq!(check(COUPLE, &likes([true, true]), &found()).len(), 1);
    assert_eq!(check(COUPLE, &likes([false, false]), &found()).len(), 1);
    let mut nameless = likes([false, true]);
    nameless[1].r#match = None;
    assert_eq!(check(COUPLE, &nameless, &found()).len(), 1);
}

#[test]
fn none_and_two_are_faults() {
    assert_eq!(faults(|found| found.matches[0].clear()), 1);
    let second = RecentMatch { id: 1, match_id: 10, conversation_id: Some(7) };
    assert_eq!(faults(|found| found.matches[1].push(second)), 1);
    assert_eq!(faults(|found| found.conversations[1].clear()), 1);
    let second = Conversation { id: 8, participants: Vec::new(), is_active: true };
    assert_eq!(faults(|found| found.conversations[0].push(second)), 1);
    assert_eq!(faults(|found| found.messages.clear()), 1);
    let second = Row { seq: 2, sender: 1, client_id: None, content: 0 };
    assert_eq!(faults(|found| found.messages.push(second)), 1);
}

#[test]
fn what_is_shown_must_be_what_was_told() {
    assert_eq!(faults(|found| found.matches[0][0].match_id = 10), 1);
    assert_eq!(faults(|found| found.matches[1][0].conversation_id = None), 1);
    assert_eq!(faults(|found| found.conversations[0][0].id = 8), 1);
    assert_eq!(faults(|found| found.conversations[1][0].is_active = false), 1);
    assert_eq!(faults(|found| found.conversations[0][0].participants.truncate(1)), 1);
    assert_eq!(faults(|found| found.messages[0].seq = 2), 1);
}
