//! Commits that end without an answer.

use super::*;
use crate::limits::{SETTLE_MS, SETTLE_PAUSE_MAX_MS, SETTLE_TRIES_MAX};
use crate::metrics::Settlement;

const AWAY: StoreErrorKind = StoreErrorKind::Unavailable;

fn append_as(content: &str, client_id: &str) -> Request {
    let mut request = append(content);
    if let Request::Append { client_id: own, .. } = &mut request {
        *own = Some(client_id.to_owned());
    }
    request
}

/// The store cannot say what it stored, the next `times`.
fn fail(desk: &Desk, kind: StoreErrorKind, times: usize) {
    desk.plan.lock().unwrap().settles = vec![kind; times].into();
}

/// A worker whose first batch was stored without an answer, and whose store was away for too long; its askers were told.
fn unsettled(requests: &[Request]) -> Desk {
    let mut desk = Desk::new(&[Fate::IsLost], &[AWAY; 1_000]);
    let happened = desk.commit(requests);
    assert_eq!(happened.last().unwrap(), &format!("answer {} unknown", requests.len() - 1));
    assert!(desk.worker.is_unsettled());
    fail(&desk, AWAY, 0);
    desk
}

/// Counted so far: stored, not stored, given up.
fn counts(desk: &Desk) -> [u64; 3] {
    [Settlement::Stored, Settlement::NotStored, Settlement::GivenUp]
        .map(|outcome| desk.metrics.counter(Counter::Settled(outcome)))
}

#[test]
fn what_was_stored_is_published_and_answered_as_the_commit_would_have_been() {
    let mut desk = Desk::new(&[Fate::IsLost], &[]);
    let happened = desk.commit(&[append("one"), user("a"), append("two")]);
    assert_eq!(
        happened,
        [
            "commit 3 unknown",
            "report unknown",
            "settle 3",
            "publish chat_1 2",
            "answer 0 done with echo",
            "answer 1 unknown",
            "publish chat_1 3",
            "answer 2 done with echo",
        ]
    );
    assert!(!desk.step(), "nothing is left to settle");
    assert_eq!(counts(&desk), [2, 0, 0]);
    assert_eq!(desk.metrics.counter(Counter::MessagesCommitted), 2);
}

#[test]
fn what_was_not_stored_is_unknown_to_its_sender_and_told_to_nobody() {
    let mut desk = Desk::new(&[Fate::Fails(StoreErrorKind::Unknown)], &[]);
    let happened = desk.commit(&[append("one"), append("two")]);
    assert_eq!(
        happened,
        ["commit 2 unknown", "report unknown", "settle 2", "answer 0 unknown", "answer 1 unknown"]
    );
    assert!(!desk.worker.is_unsettled());
    assert_eq!(counts(&desk), [0, 2, 0]);
}

#[test]
fn a_repeat_within_the_batch_is_answered_and_told_once() {
    let mut desk = Desk::new(&[Fate::IsLost], &[]);
    let happened = desk.commit(&[append_as("one", "k"), append_as("one", "k")]);
    assert_eq!(
        happened[2..],
        ["settle 2", "publish chat_1 2", "answer 0 done with echo", "answer 1 done"]
    );
}

#[test]
fn a_batch_without_messages_is_not_asked_about() {
    let mut desk = Desk::new(&[Fate::IsLost], &[]);
    let happened = desk.commit(&[user("c")]);
    assert_eq!(happened, ["commit 1 unknown", "report unknown", "answer 0 unknown"]);
}

#[test]
fn a_store_that_is_away_for_a_moment_is_asked_again_before_anybody_is_told() {
    let mut desk = Desk::new(&[Fate::IsLost], &[AWAY; 2]);
    let happened = desk.commit(&[append("one")]);
    assert_eq!(
        happened,
        [
            "commit 1 unknown",
            "report unknown",
            "settle 1 unavailable",
            "report unavailable",
            "pause 10",
            "settle 1 unavailable",
            "report unavailable",
            "pause 20",
            "settle 1",
            "publish chat_1 2",
            "answer 0 done with echo",
        ]
    );
}

#[test]
fn a_store_that_stays_away_is_waited_for_so_long_and_not_longer() {
    let mut desk = Desk::new(&[Fate::IsLost], &[AWAY; 1_000]);
    let happened = desk.commit(&[append("one")]);
    let pauses: Vec<u64> = happened
        .iter()
        .filter_map(|what| what.strip_prefix("pause "))
        .map(|ms| ms.parse().unwrap())
        .collect();
    let waited: u64 = pauses.iter().sum();
    assert!((SETTLE_MS..SETTLE_MS + SETTLE_PAUSE_MAX_MS).contains(&waited), "{pauses:?}");
    assert_eq!(happened.last().unwrap(), "answer 0 unknown");
    assert!(happened.iter().all(|what| !what.starts_with("publish")));
}

#[test]
fn what_is_found_late_is_published_before_anything_later() {
    let mut desk = unsettled(&[append("one"), append("two")]);
    let happened = desk.commit(&[append("three")]);
    assert_eq!(
        happened,
        [
            "settle 2",
            "publish chat_1 2",
            "publish chat_1 3",
            "commit 1",
            "publish chat_1 4",
            "answer 2 done with echo",
        ]
    );
    assert_eq!(counts(&desk), [2, 0, 0]);
}

#[test]
fn nothing_is_committed_while_an_earlier_end_is_unknown_and_nobody_waits() {
    let mut desk = unsettled(&[append("one")]);
    fail(&desk, AWAY, 2);
    for n in 1..=2 {
        let happened = desk.commit(&[append("later")]);
        let answer = format!("answer {n} unavailable");
        assert_eq!(happened, ["settle 1 unavailable", "report unavailable", &answer]);
    }
    let happened = desk.commit(&[append("later")]);
    assert_eq!(
        happened,
        ["settle 1", "publish chat_1 2", "commit 1", "publish chat_1 3", "answer 3 done with echo"]
    );
}

#[test]
fn what_is_found_late_is_published_though_nobody_asks_for_anything_and_once() {
    let mut desk = unsettled(&[append("one"), user("c"), append("two")]);
    fail(&desk, AWAY, 1);
    assert!(desk.step() && desk.worker.is_unsettled());
    assert!(desk.step() && !desk.worker.is_unsettled());
    let happened = desk.happened();
    // Of the batch, the messages alone are kept.
    assert_eq!(happened[..2], ["settle 2 unavailable", "report unavailable"]);
    assert_eq!(happened[2..], ["settle 2", "publish chat_1 2", "publish chat_1 3"]);
    assert!(!desk.step());
    assert_eq!(desk.happened(), [""; 0]);
}

#[test]
fn a_repeat_of_what_was_stored_is_a_repeat_and_the_message_is_told_once() {
    let mut desk = unsettled(&[append_as("one", "k")]);
    let happened = desk.commit(&[append_as("one", "k")]);
    assert_eq!(happened, ["settle 1", "publish chat_1 2", "commit 1", "answer 1 done"]);
}

#[test]
fn a_batch_that_the_database_cannot_settle_is_given_up_and_its_conversation_told() {
    let mut desk = unsettled(&[append("one"), append("two")]);
    // Away does not count: it comes back.
    fail(&desk, AWAY, 100);
    (0..100).for_each(|_| assert!(desk.step()));
    let tries = SETTLE_TRIES_MAX as usize;
    fail(&desk, StoreErrorKind::TimedOut, tries);
    (1..tries).for_each(|_| assert!(desk.step() && desk.worker.is_unsettled()));
    desk.happened();
    let happened = desk.commit(&[append("three")]);
    assert_eq!(
        happened,
        [
            "settle 2 timed_out",
            "report timed_out",
            "close chat_1 4480",
            "commit 1",
            "publish chat_1 4",
            "answer 2 done with echo",
        ]
    );
    assert_eq!(counts(&desk), [0, 0, 2]);
}

#[test]
fn one_of_a_poisoned_batch_is_settled_before_the_next_is_committed() {
    let fates = [Fate::Fails(StoreErrorKind::Poisoned), Fate::Works, Fate::IsLost];
    let mut desk = Desk::new(&fates, &[AWAY; 1_000]);
    let batch = [append("one"), append("two"), append("three")];
    let happened = desk.commit(&batch);
    assert_eq!(
        happened[..4],
        ["commit 3 poisoned", "report poisoned", "commit 1", "publish chat_1 2"]
    );
    let end =
        ["answer 1 unknown", "settle 1 unavailable", "report unavailable", "answer 2 unavailable"];
    assert_eq!(happened[happened.len() - 4..], end);
    fail(&desk, AWAY, 0);
    assert!(desk.step());
    assert_eq!(desk.happened(), ["settle 1", "publish chat_1 3"]);
}

#[test]
fn a_worker_that_ends_settles_first() {
    let desk = unsettled(&[append("one")]);
    fail(&desk, AWAY, 1);
    let Desk { worker, queues, queue, log, .. } = desk;
    drop(queues);
    worker.run_writes(&queue);
    let happened = std::mem::take(&mut *log.lock().unwrap());
    assert_eq!(
        happened,
        ["settle 1 unavailable", "report unavailable", "pause 10", "settle 1", "publish chat_1 2"]
    );
}

#[test]
fn a_worker_that_waits_for_work_settles_meanwhile() {
    let desk = unsettled(&[append("one")]);
    let Desk { worker, queues, queue, log, .. } = desk;
    log.lock().unwrap().clear();
    std::thread::scope(|scope| {
        scope.spawn(move || worker.run_writes(&queue));
        // The log is looked at until it says so; a worker that does not settle is waited for in vain.
        while log.lock().unwrap().is_empty() {
            let _ = crossbeam_channel::after(Duration::from_millis(10)).recv();
        }
        drop(queues);
    });
    assert_eq!(*log.lock().unwrap(), ["settle 1", "publish chat_1 2"]);
}
