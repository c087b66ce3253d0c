//! What goes out, and when.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use parking_lot::Mutex as Lock;
use proptest::prelude::*;

use super::*;
use crate::channel::redis::world::{message, place};
use crate::ids::UserId;
use crate::limits::{BUS_COLD_MS, BUS_EARLY_MS, BUS_HELD_MAX, BUS_REPAIR_MS};

const ROOM: ConversationId = ConversationId(7);
const ROOM_GROUP: Group = Group::Conversation(ROOM);
const USER_GROUP: Group = Group::User(UserId(1));

/// One group on one shard, what went out to it, and a clock.
struct Stage {
    sequence: Sequence,
    group: Group,
    now: u64,
    /// When and what.
    out: Vec<(u64, i64)>,
    /// When what was said to be late came.
    late: Vec<(u64, i64)>,
    /// What the store answers when it is asked; `None` where it does not.
    store: Option<Vec<i64>>,
    asked: u32,
    /// True exactly when the group may have missed something.
    is_unsure: bool,
}

impl Stage {
    fn new(group: Group) -> Self {
        let sequence = Sequence::default();
        assert!(sequence.join(group, ShardId(0)));
        Self {
            sequence,
            group,
            now: 1_000,
            out: Vec::new(),
            late: Vec::new(),
            store: None,
            asked: 0,
            is_unsure: false,
        }
    }

    fn arrive(&mut self, seq: i64) -> Verdict {
        self.admit(seq, Source::Live)
    }

    fn admit(&mut self, seq: i64, source: Source) -> Verdict {
        let item = item(self.group, seq);
        let arrival = Arrival { conversation: ROOM, seq: Seq(seq), source };
        let (now, log) = (self.now, &mut self.out);
        let out = &mut |_, item: Item| log.push((now, seq_of(&item)));
        let verdict = self.sequence.admit(item, arrival, Mono(now), out);
        if verdict == Verdict::Late {
            self.late.push((now, seq));
        }
        verdict
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now += 1;
            let (now, log) = (self.now, &mut self.out);
            let mut asked = 0;
            let out = &mut |_, item: Item| log.push((now, seq_of(&item)));
            let is_unsure = self.is_unsure;
            self.sequence.expire(Mono(now), |_| is_unsure, out, &mut |_, _| asked += 1);
            self.asked += asked;
            for _ in 0..asked {
                self.answer();
            }
        }
    }

    fn answer(&mut self) {
        let Some(stored) = self.store.clone() else { return };
        for seq in stored {
            self.admit(seq, Source::Hole);
        }
        let (now, log) = (self.now, &mut self.out);
        let out = &mut |_, item: Item| log.push((now, seq_of(&item)));
        self.sequence.answered(self.group, ROOM, Mono(now), out);
    }

    /// The store has said all that it had when `newest` was the newest question.
    fn catch_up(&mut self, newest: Ticket) {
        let (now, log) = (self.now, &mut self.out);
        let out = &mut |_, item: Item| log.push((now, seq_of(&item)));
        self.sequence.caught_up(USER_GROUP, newest, Mono(now), out);
    }

    fn take(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.out).into_iter().map(|(_, seq)| seq).collect()
    }
}

fn item(group: Group, seq: i64) -> Item {
    Item { delivery: Arc::new(message(group, ROOM, seq)), patient: true }
}

fn seq_of(item: &Item) -> i64 {
    place(&item.delivery).unwrap().1.0
}

#[test]
fn an_early_message_waits_for_the_one_before_it() {
    let mut stage = Stage::new(ROOM_GROUP);
    assert_eq!(stage.arrive(5), Verdict::Next, "a conversation's first goes out at once");
    assert_eq!(stage.arrive(7), Verdict::Held(Mono(stage.now + BUS_EARLY_MS)));
    assert_eq!(stage.arrive(8), Verdict::Held(Mono(stage.now + BUS_EARLY_MS)));
    assert_eq!(stage.take(), [5]);
    assert_eq!(stage.arrive(6), Verdict::Next);
    assert_eq!(stage.take(), [6, 7, 8]);
    for seq in [5, 6, 8] {
        assert_eq!(stage.arrive(seq), Verdict::Double);
    }
    assert_eq!(stage.arrive(4), Verdict::Late);
    assert_eq!(stage.take(), [4]);
}

#[test]
fn a_conversations_hole_is_given_up_and_what_was_in_it_still_goes_out_once() {
    let mut stage = Stage::new(ROOM_GROUP);
    stage.arrive(5);
    stage.arrive(8);
    stage.pass(BUS_EARLY_MS - 1);
    assert_eq!(stage.take(), [5]);
    stage.pass(1);
    assert_eq!((stage.take(), stage.asked), (vec![8], 0));
    assert_eq!(stage.arrive(6), Verdict::Late);
    assert_eq!((stage.arrive(6), stage.arrive(8)), (Verdict::Double, Verdict::Double));
    assert_eq!(stage.arrive(7), Verdict::Late);
    assert_eq!(stage.take(), [6, 7]);
    assert_eq!(stage.arrive(9), Verdict::Next);
}

#[test]
fn a_users_first_message_waits_a_moment_for_an_earlier_one() {
    let mut stage = Stage::new(USER_GROUP);
    assert!(matches!(stage.arrive(6), Verdict::Held(_)));
    stage.pass(BUS_COLD_MS - 1);
    assert!(matches!(stage.arrive(5), Verdict::Held(_)));
    assert_eq!(stage.take(), Vec::<i64>::new());
    stage.pass(1);
    assert_eq!(stage.take(), [5, 6]);
    assert_eq!(stage.arrive(7), Verdict::Next);
    let mut stage = Stage::new(USER_GROUP);
    assert_eq!(stage.arrive(1), Verdict::Next, "nothing is before it");
}

#[test]
fn the_store_is_asked_before_a_users_hole_is_given_up() {
    let mut stage = Stage::new(USER_GROUP);
    stage.arrive(1);
    stage.arrive(4);
    stage.pass(BUS_EARLY_MS);
    assert_eq!((stage.take(), stage.asked), (vec![1], 1));
    // The answer comes, and knows of one of the two.
    stage.store = Some(vec![1, 3, 4]);
    stage.answer();
    assert_eq!(stage.take(), [3, 4]);
    assert_eq!(stage.arrive(2), Verdict::Late);
    assert_eq!(stage.arrive(3), Verdict::Double);
}

#[test]
fn what_came_after_the_store_was_asked_waits_as_long_as_it_would_have() {
    let mut stage = Stage::new(USER_GROUP);
    stage.arrive(1);
    stage.arrive(3);
    stage.pass(BUS_EARLY_MS);
    stage.arrive(5);
    stage.store = Some(vec![1, 2, 3]);
    stage.answer();
    assert_eq!(stage.take(), [1, 2, 3], "5 may be before 4 by a moment");
    stage.arrive(4);
    assert_eq!(stage.take(), [4, 5]);
    // The same where the store does not know of 6.
    stage.store = None;
    stage.arrive(7);
    stage.pass(BUS_EARLY_MS);
    stage.arrive(9);
    stage.store = Some(vec![5, 7]);
    stage.answer();
    assert_eq!((stage.take(), stage.asked), (vec![7], 2));
    stage.pass(BUS_EARLY_MS - 1);
    assert_eq!((stage.take(), stage.asked), (vec![], 2));
    stage.pass(1);
    assert_eq!((stage.take(), stage.asked), (vec![9], 3));
}

#[test]
fn what_waits_for_the_store_waits_together() {
    let mut stage = Stage::new(USER_GROUP);
    stage.arrive(1);
    stage.arrive(3);
    stage.pass(20);
    stage.arrive(5);
    stage.pass(BUS_EARLY_MS);
    assert_eq!((stage.take(), stage.asked), (vec![1], 1), "the time of 5 is not that of 3");
    stage.pass(BUS_REPAIR_MS);
    assert_eq!(stage.take(), [3, 5]);
}

#[test]
fn a_message_that_comes_while_the_one_before_it_is_sent_is_left_to_its_sender() {
    let sequence = Sequence::default();
    sequence.join(USER_GROUP, ShardId(0));
    let bring = |seq, out: &mut dyn FnMut(i64)| {
        let arrival = Arrival { conversation: ROOM, seq: Seq(seq), source: Source::Live };
        let item = item(USER_GROUP, seq);
        sequence.admit(item, arrival, Mono(1), &mut |_, item| out(seq_of(&item)));
    };
    let mut sent = Vec::new();
    bring(1, &mut |seq| {
        if seq == 1 {
            for next in [2, 3] {
                bring(next, &mut |seq| panic!("{seq} is sent beside 1"));
            }
        }
        sent.push(seq);
    });
    assert_eq!(sent, [1, 2, 3]);
    bring(4, &mut |seq| sent.push(seq));
    assert_eq!(sent, [1, 2, 3, 4]);
}

#[test]
fn a_store_that_does_not_answer_keeps_nothing_for_ever() {
    let mut stage = Stage::new(USER_GROUP);
    stage.arrive(1);
    stage.arrive(3);
    stage.pass(BUS_EARLY_MS + BUS_REPAIR_MS - 1);
    assert_eq!(stage.take(), [1]);
    stage.pass(1);
    assert_eq!((stage.take(), stage.asked), (vec![3], 1));
    // It answers when it is back.
    stage.store = Some(vec![1, 2, 3]);
    stage.answer();
    assert_eq!(stage.take(), [2]);
}

#[test]
fn what_is_held_is_bounded() {
    for group in [ROOM_GROUP, USER_GROUP] {
        let mut stage = Stage::new(group);
        stage.arrive(1);
        let early: Vec<i64> = (0..=BUS_HELD_MAX as i64).map(|n| 3 + n).collect();
        let (last, held) = early.split_last().unwrap();
        assert!(held.iter().all(|seq| matches!(stage.arrive(*seq), Verdict::Held(_))));
        assert_eq!(stage.arrive(*last), Verdict::GivenUp);
        assert_eq!(stage.take()[1..], early);
        assert_eq!(stage.arrive(2), Verdict::Late);
    }
}

#[test]
fn a_conversation_that_reached_a_place_does_not_need_what_is_before_it() {
    let mut stage = Stage::new(ROOM_GROUP);
    let out = &mut |_, item: Item| panic!("{item:?}");
    assert_eq!(stage.sequence.reach(ROOM_GROUP, ROOM, Seq(5), out), None);
    stage.arrive(8);
    assert_eq!(stage.sequence.reach(ROOM_GROUP, ROOM, Seq(8), out), Some(Seq(5)));
    assert_eq!(stage.arrive(7), Verdict::Double);
    stage.arrive(11);
    let mut sent = Vec::new();
    let out = &mut |_, item: Item| sent.push(seq_of(&item));
    assert_eq!(stage.sequence.reach(ROOM_GROUP, ROOM, Seq(10), out), Some(Seq(8)));
    assert_eq!(sent, [11]);
    let out = &mut |_, item: Item| panic!("{item:?}");
    assert_eq!(stage.sequence.reach(ROOM_GROUP, ROOM, Seq(9), out), Some(Seq(11)));
    assert_eq!(stage.arrive(12), Verdict::Next, "what was read earlier takes nothing back");
}

#[test]
fn what_is_known_of_a_group_ends_with_its_last_session_or_when_it_is_idle() {
    let mut stage = Stage::new(ROOM_GROUP);
    assert!(!stage.sequence.join(ROOM_GROUP, ShardId(63)));
    stage.arrive(5);
    assert_eq!(stage.sequence.places(), 1);
    let shards: Vec<u16> = stage.sequence.shards(ROOM_GROUP).iter().map(|shard| shard.0).collect();
    assert_eq!(shards, [0, 63]);
    // By a clock that was read before the message came.
    stage.sequence.forget(Mono(stage.now - 1_000), 60);
    stage.sequence.forget(Mono(stage.now + 59_000), 60);
    assert_eq!(stage.sequence.places(), 1);
    stage.sequence.forget(Mono(stage.now + 61_000), 60);
    assert_eq!(stage.sequence.places(), 0);
    stage.arrive(6);
    assert!(!stage.sequence.leave(ROOM_GROUP, ShardId(0)));
    assert!(stage.sequence.leave(ROOM_GROUP, ShardId(63)));
    assert!(!stage.sequence.leave(ROOM_GROUP, ShardId(63)));
    assert_eq!((stage.sequence.places(), stage.sequence.groups()), (0, vec![]));
    assert_eq!(stage.arrive(7), Verdict::Nobody);
}

#[test]
fn from_the_store_comes_what_is_missing_and_not_what_is_before_it() {
    let mut stage = Stage::new(USER_GROUP);
    assert_eq!(stage.admit(4, Source::Hole), Verdict::Double, "nothing is missing yet");
    assert_eq!(stage.admit(4, Source::Gap), Verdict::Next, "all before it is from before the gap");
    assert_eq!(stage.admit(5, Source::Gap), Verdict::Next);
    assert_eq!(stage.admit(3, Source::Hole), Verdict::Double);
    assert_eq!(stage.admit(3, Source::Gap), Verdict::Late);
    assert_eq!(stage.take(), [4, 5, 3]);
}

#[test]
fn a_users_first_message_waits_for_the_store_where_something_before_it_may_have_been_missed() {
    let mut stage = Stage::new(USER_GROUP);
    stage.is_unsure = true;
    stage.arrive(6);
    let before = stage.sequence.newest_ticket();
    stage.pass(BUS_COLD_MS);
    stage.arrive(7);
    stage.pass(BUS_COLD_MS);
    assert_eq!((stage.take(), stage.asked), (vec![], 1));
    stage.catch_up(before);
    assert_eq!(stage.take(), [0; 0], "the store was asked before the question came up");
    for seq in [4, 5, 6] {
        stage.admit(seq, Source::Gap);
    }
    stage.catch_up(stage.sequence.newest_ticket());
    assert_eq!(stage.take(), [4, 5, 6, 7]);
    stage.pass(2 * BUS_REPAIR_MS);
    assert_eq!((stage.take(), stage.asked), (vec![], 1));
    // A hole is another question.
    stage.arrive(9);
    stage.pass(BUS_EARLY_MS);
    assert_eq!((stage.take(), stage.asked), (vec![], 2));
}

#[test]
fn a_first_message_goes_out_when_the_store_has_nothing_before_it_or_does_not_answer() {
    for answers in [true, false] {
        let mut stage = Stage::new(USER_GROUP);
        stage.is_unsure = true;
        stage.arrive(6);
        stage.pass(BUS_COLD_MS);
        assert_eq!((stage.take(), stage.asked), (vec![], 1));
        if answers {
            stage.catch_up(stage.sequence.newest_ticket());
        } else {
            stage.pass(BUS_REPAIR_MS);
        }
        assert_eq!(stage.take(), [6]);
    }
}

#[test]
fn what_one_gap_brought_from_before_all_that_went_out_the_next_one_does_not_bring_again() {
    let mut stage = Stage::new(USER_GROUP);
    assert_eq!(stage.admit(6, Source::Gap), Verdict::Next);
    for gap in [&[3, 5, 6][..], &[3, 5, 6], &[1, 3, 4, 5, 6]] {
        for seq in gap {
            stage.admit(*seq, Source::Gap);
        }
    }
    assert_eq!(stage.take(), [6, 3, 5, 1, 4]);
}

/// Messages from 1 on as several nodes send them: about in order, some lost, some twice; and how long until each.
fn messages() -> impl Strategy<Value = (Vec<(i64, u64)>, i64)> {
    let message = (0i64..6, 0u32..10, 0u64..40);
    (proptest::collection::vec(message, 1..16), 0i64..3).prop_map(|(drawn, first)| {
        let last = first + drawn.len() as i64;
        let mut all: Vec<(i64, i64, u64)> = Vec::new();
        for (place, (shift, fate, ms)) in drawn.into_iter().enumerate() {
            let seq = first + place as i64 + 1;
            let copies = match fate {
                0 | 1 => 0,
                2 => 2,
                _ => 1,
            };
            all.extend((0..copies).map(|copy| (seq + shift + 3 * copy, seq, ms)));
        }
        all.sort_by_key(|(order, ..)| *order);
        (all.into_iter().map(|(_, seq, ms)| (seq, ms)).collect(), last)
    })
}

/// What came, when, and what went out: nothing is lost or late, and out of order is only what came after it was given up.
fn check(
    stage: &mut Stage,
    messages: &[(i64, u64)],
    patience_ms: u64,
) -> Result<(), TestCaseError> {
    let mut came = BTreeMap::new();
    for (seq, ms) in messages {
        came.entry(*seq).or_insert(stage.now);
        match stage.arrive(*seq) {
            Verdict::Nobody | Verdict::GivenUp => prop_assert!(false, "there is room for {seq}"),
            Verdict::Next | Verdict::Held(_) | Verdict::Late | Verdict::Double => {}
        }
        stage.pass(*ms);
    }
    stage.pass(2 * patience_ms);
    let base = stage.out.first().map_or(0, |(_, seq)| *seq);
    for (seq, at) in came {
        let sent: Vec<u64> = stage.out.iter().filter(|out| out.1 == seq).map(|out| out.0).collect();
        prop_assert!(!sent.is_empty(), "{seq} went out");
        prop_assert!(sent[0] <= at + patience_ms, "{seq} of {at} went out at {}", sent[0]);
        prop_assert!(sent.len() == 1 || seq < base, "{seq} went out at {sent:?}");
    }
    let mut newest = 0;
    for (at, seq) in &stage.out {
        prop_assert!(
            *seq > newest || stage.late.contains(&(*at, *seq)),
            "{seq} in {:?}",
            stage.out
        );
        newest = newest.max(*seq);
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_conversations_messages_go_out_in_order_and_soon((messages, _) in messages()) {
        check(&mut Stage::new(ROOM_GROUP), &messages, BUS_EARLY_MS)?;
    }

    #[test]
    fn a_users_messages_go_out_in_order_though_the_store_is_away((messages, _) in messages()) {
        check(&mut Stage::new(USER_GROUP), &messages, BUS_EARLY_MS + BUS_REPAIR_MS)?;
    }

    /// What the store has by then is not missing: from the first on nothing is left out.
    #[test]
    fn a_users_messages_are_whole_where_the_store_answers((messages, last) in messages()) {
        let mut stage = Stage::new(USER_GROUP);
        stage.store = Some((1..=last).collect());
        check(&mut stage, &messages, BUS_EARLY_MS)?;
        let sent: Vec<i64> = stage.take();
        let Some(first) = sent.first() else { return Ok(()) };
        let above: Vec<i64> = sent.iter().filter(|seq| *seq >= first).copied().collect();
        let newest = above.last().copied().unwrap_or(0);
        prop_assert_eq!(above, (*first..=newest).collect::<Vec<_>>());
    }
}

/// Each thread draws the next place and brings it when it gets to it, as workers and the bus do.
#[test]
fn threads_that_bring_messages_at_once_deliver_them_in_order() {
    const LAST: i64 = 20_000;
    let sequence = Sequence::default();
    sequence.join(USER_GROUP, ShardId(0));
    let next = AtomicI64::new(1);
    let inside = AtomicUsize::new(0);
    let log = Lock::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut out = |_, item: Item| {
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "one sends at a time");
                    log.lock().push(seq_of(&item));
                    inside.fetch_sub(1, Ordering::SeqCst);
                };
                loop {
                    let seq = next.fetch_add(1, Ordering::SeqCst);
                    if seq > LAST {
                        break;
                    }
                    let arrival =
                        Arrival { conversation: ROOM, seq: Seq(seq), source: Source::Live };
                    // So many may be held, where a thread is put aside; and before 1 nothing goes out.
                    while seq > log.lock().len() as i64 + BUS_HELD_MAX as i64 {
                        std::thread::yield_now();
                    }
                    while seq > 1 && sequence.places() == 0 {
                        std::thread::yield_now();
                    }
                    sequence.admit(item(USER_GROUP, seq), arrival, Mono(1), &mut out);
                }
            });
        }
    });
    let log = log.into_inner();
    assert_eq!(log.windows(2).find(|pair| pair[1] != pair[0] + 1), None);
    assert_eq!(log.len(), LAST as usize);
}
