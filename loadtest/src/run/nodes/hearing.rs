//! What one session hears of its conversation, through all its connections, held to the contract: everything once and in `seq`
//! order, except that after a resume what is known may come once more.
//!
//! ```text
//!             on_returned                on_resumed, complete
//!  Away ----------------------> CatchingUp -------------------> Live
//!   ^ ^ |                           |                          ^ |
//!   | | +----- on_joined -----------|--------------------------+ |
//!   | +-------- on_cut -------------+                            |
//!   +---------- on_cut ------------------------------------------+
//! ```

use std::collections::BTreeSet;
use std::fmt;

use crate::wire::Resumed;

/// Gaps wider than this are told by their edges only.
const SKIPPED_MAX: u64 = 10_000;

/// What a session heard, and what it may hear next.
#[derive(Debug)]
pub(super) struct Hearing {
    /// The next `seq` that is to come; all before it are known.
    next: u64,
    /// What was passed over and has not come since.
    skipped: BTreeSet<u64>,
    /// Own messages that were echoed to a chat socket before their place.
    ahead: BTreeSet<u64>,
    /// What of the known came again on this connection.
    again: BTreeSet<u64>,
    phase: Phase,
    /// Figures.
    pub(super) counts: Counts,
}

#[derive(Debug)]
enum Phase {
    /// There is no connection.
    Away,
    /// What comes is new, or up to `again_to` and comes once more.
    Live { again_to: u64 },
    /// A resume from `after` is under way; what came since the connection was made.
    CatchingUp { after: u64, heard: Vec<u64> },
}

/// What was heard, counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Counts {
    /// New messages, live.
    pub(super) live: u64,
    /// New messages, by a resume.
    pub(super) replayed: u64,
    /// Known ones that came again where they may.
    pub(super) repeated: u64,
    /// Echoes of own messages before what was said before them.
    pub(super) ahead: u64,
    /// Resumes that were complete.
    pub(super) resumed: u64,
}

/// What is against the contract.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Wrong {
    /// A `seq` came where an earlier one was due.
    Hole { expected: u64, got: u64 },
    /// A `seq` came behind a later one.
    Late { seq: u64 },
    /// A known `seq` came where nothing was resumed, or a second time after a resume.
    Again { seq: u64, is_echo: bool },
    /// What came between a resume and its end is not what it says.
    Replay { after: u64, last_seq: u64, heard: Vec<u64> },
    /// `resumed` where nothing was asked for.
    Unasked,
    /// A message on a connection that is over.
    Ghost { seq: u64 },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hole { expected, got } => write!(f, "seq {got} came where {expected} was due"),
            Self::Late { seq } => write!(f, "seq {seq} came late"),
            Self::Again { seq, is_echo: false } => write!(f, "seq {seq} came again"),
            Self::Again { seq, is_echo: true } => write!(f, "seq {seq} came again as its echo"),
            Self::Replay { after, last_seq, heard } => {
                let tail = &heard[heard.len().saturating_sub(20)..];
                write!(f, "resumed after {after} to {last_seq}, and what came ends with {tail:?}")
            }
            Self::Unasked => write!(f, "resumed, and nothing was asked for"),
            Self::Ghost { seq } => write!(f, "seq {seq} came after the end"),
        }
    }
}

impl Hearing {
    /// Nothing is connected yet; everything up to `known` counts as heard.
    pub(super) fn new(known: u64) -> Self {
        Self {
            next: known + 1,
            skipped: BTreeSet::new(),
            ahead: BTreeSet::new(),
            again: BTreeSet::new(),
            phase: Phase::Away,
            counts: Counts::default(),
        }
    }

    /// The last `seq` up to which everything is known: where a resume begins.
    pub(super) fn known(&self) -> u64 {
        self.skipped.first().map_or(self.next, |first| *first) - 1
    }

    /// A connection was made that asks for nothing. Up to `again_to` what is known may come once more.
    pub(super) fn on_joined(&mut self, again_to: u64) {
        self.again.clear();
        self.phase = Phase::Live { again_to };
    }

    /// A connection was made that asks for what came after [`Hearing::known`].
    pub(super) fn on_returned(&mut self) {
        self.again.clear();
        self.phase = Phase::CatchingUp { after: self.known(), heard: Vec::new() };
    }

    /// The connection is over. What came in order during a resume is known all the same.
    pub(super) fn on_cut(&mut self) {
        let phase = std::mem::replace(&mut self.phase, Phase::Away);
        if let Phase::CatchingUp { heard, .. } = phase {
            for seq in heard {
                if seq == self.next {
                    self.counts.replayed += 1;
                    self.advance();
                }
            }
        }
        // Echoes that came too early are asked for again like the rest.
        self.ahead.clear();
    }

    /// A message came; `is_echo`: the session's own, on a chat socket.
    pub(super) fn on_message(&mut self, seq: u64, is_echo: bool) -> Option<Wrong> {
        let again_to = match &mut self.phase {
            Phase::Away => return Some(Wrong::Ghost { seq }),
            Phase::CatchingUp { .. } if is_echo => {
                self.ahead.insert(seq);
                return None;
            }
            Phase::CatchingUp { heard, .. } => {
                heard.push(seq);
                return None;
            }
            Phase::Live { again_to } => *again_to,
        };
        if seq == self.next {
            self.counts.live += 1;
            self.advance();
            return None;
        }
        if seq > self.next && is_echo {
            self.counts.ahead += 1;
            return (!self.ahead.insert(seq)).then_some(Wrong::Again { seq, is_echo });
        }
        if seq > self.next {
            let expected = self.next;
            self.skipped.extend((expected..seq).take(SKIPPED_MAX as usize));
            self.next = seq;
            self.advance();
            return Some(Wrong::Hole { expected, got: seq });
        }
        if self.skipped.remove(&seq) {
            return Some(Wrong::Late { seq });
        }
        self.counts.repeated += 1;
        (seq > again_to || !self.again.insert(seq)).then_some(Wrong::Again { seq, is_echo })
    }

    /// A resume has ended. With `complete` false the client has to ask again from [`Hearing::known`].
    pub(super) fn on_resumed(&mut self, resumed: Resumed) -> Option<Wrong> {
        let Phase::CatchingUp { after, heard } = &mut self.phase else {
            return Some(Wrong::Unasked);
        };
        let (after, heard) = (*after, std::mem::take(heard));
        let last_seq = resumed.last_seq;
        let count = last_seq.saturating_sub(after) as usize;
        // What was live already when the resume began comes before it.
        let (early, replay) = heard.split_at(heard.len().saturating_sub(count));
        let is_whole = last_seq >= after
            && replay.iter().copied().eq(after + 1..=last_seq)
            && early.is_sorted_by(|a, b| a < b)
            && early.last().is_none_or(|newest| *newest <= last_seq || !resumed.complete);
        if is_whole {
            self.counts.replayed += count as u64;
            self.skipped.clear();
        } else {
            let heard: BTreeSet<u64> = heard.iter().copied().collect();
            let due = after + 1..=last_seq;
            self.skipped = due.filter(|seq| !heard.contains(seq)).collect();
        }
        self.next = self.next.max(last_seq + 1);
        self.phase = if resumed.complete {
            self.counts.resumed += 1;
            self.skip_ahead();
            Phase::Live { again_to: last_seq }
        } else {
            Phase::CatchingUp { after: self.known(), heard: early.to_vec() }
        };
        (!is_whole).then_some(Wrong::Replay { after, last_seq, heard })
    }

    /// How many up to `last` never came, and the first of them.
    pub(super) fn missing(&self, last: u64) -> Option<(u64, u64)> {
        let behind = (self.next..=last).filter(|seq| !self.ahead.contains(seq)).count() as u64;
        let count = self.skipped.len() as u64 + behind;
        (count > 0).then(|| (count, self.known() + 1))
    }

    /// `next` has come.
    fn advance(&mut self) {
        self.next += 1;
        self.skip_ahead();
    }

    fn skip_ahead(&mut self) {
        while self.ahead.remove(&self.next) {
            self.counts.live += 1;
            self.next += 1;
        }
        // A page brought the others.
        self.ahead = self.ahead.split_off(&self.next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session that knows 10 and is live, without a resume.
    fn live() -> Hearing {
        let mut hearing = Hearing::new(10);
        hearing.on_joined(0);
        hearing
    }

    /// A session that knows 10 and has asked for what came after.
    fn back() -> Hearing {
        let mut hearing = live();
        hearing.on_cut();
        hearing.on_returned();
        hearing
    }

    fn hear(hearing: &mut Hearing, seqs: &[u64]) -> Vec<Wrong> {
        seqs.iter().filter_map(|seq| hearing.on_message(*seq, false)).collect()
    }

    fn again(seq: u64) -> Wrong {
        Wrong::Again { seq, is_echo: false }
    }

    fn resumed(last_seq: u64, complete: bool) -> Resumed {
        Resumed { conversation_id: 1, last_seq, complete }
    }

    #[test]
    fn each_once_and_in_order_is_right() {
        let mut hearing = live();
        assert_eq!(hear(&mut hearing, &[11, 12, 13]), []);
        assert_eq!((hearing.counts.live, hearing.missing(13)), (3, None));
        assert_eq!(hearing.missing(15), Some((2, 14)));
    }

    #[test]
    fn a_hole_is_wrong_and_stays_missing_until_it_comes_late() {
        let mut hearing = live();
        assert_eq!(hear(&mut hearing, &[13]), [Wrong::Hole { expected: 11, got: 13 }]);
        assert_eq!((hearing.missing(13), hearing.known()), (Some((2, 11)), 10));
        assert_eq!(hear(&mut hearing, &[12]), [Wrong::Late { seq: 12 }]);
        assert_eq!(hearing.missing(14), Some((2, 11)));
    }

    #[test]
    fn a_repeat_without_a_resume_is_wrong() {
        let mut hearing = live();
        assert_eq!(hear(&mut hearing, &[11, 11]), [again(11)]);
        assert_eq!(hear(&mut hearing, &[10]), [again(10)]);
    }

    #[test]
    fn what_was_said_just_before_a_first_connection_may_come() {
        let mut hearing = Hearing::new(10);
        hearing.on_joined(10);
        assert_eq!(hear(&mut hearing, &[10, 11]), []);
        assert_eq!(hear(&mut hearing, &[10]), [again(10)]);
    }

    #[test]
    fn a_resume_brings_all_and_then_what_is_new() {
        let mut hearing = back();
        assert_eq!(hear(&mut hearing, &[11, 12]), []);
        assert_eq!(hearing.on_resumed(resumed(12, true)), None);
        assert_eq!(hear(&mut hearing, &[13]), []);
        let counts = hearing.counts;
        assert_eq!((counts.replayed, counts.live, counts.resumed), (2, 1, 1));
        assert_eq!(hearing.missing(13), None);
    }

    #[test]
    fn what_was_live_before_the_resume_may_come_before_it() {
        let mut hearing = back();
        assert_eq!(hear(&mut hearing, &[12, 13, 11, 12, 13, 14]), []);
        assert_eq!(hearing.on_resumed(resumed(14, true)), None);
        let mut unordered = back();
        hear(&mut unordered, &[13, 12, 11, 12, 13]);
        assert!(matches!(unordered.on_resumed(resumed(13, true)), Some(Wrong::Replay { .. })));
    }

    #[test]
    fn a_resume_with_a_hole_or_without_its_end_is_wrong() {
        for heard in [&[11, 13][..], &[11, 12], &[12, 13], &[13, 12, 11], &[]] {
            let mut hearing = back();
            hear(&mut hearing, heard);
            assert!(matches!(hearing.on_resumed(resumed(13, true)), Some(Wrong::Replay { .. })));
            assert_eq!(hearing.missing(13).is_some(), heard.len() < 3, "{heard:?}");
        }
        // Told of more than the resume ends with.
        let mut hearing = back();
        hear(&mut hearing, &[14, 11, 12]);
        assert!(hearing.on_resumed(resumed(12, true)).is_some());
        assert!(back().on_resumed(resumed(9, true)).is_some());
        assert_eq!(live().on_resumed(resumed(10, true)), Some(Wrong::Unasked));
    }

    #[test]
    fn after_a_resume_a_known_one_may_come_again_once() {
        let mut hearing = back();
        hear(&mut hearing, &[11]);
        assert_eq!(hearing.on_resumed(resumed(11, true)), None);
        assert_eq!(hear(&mut hearing, &[11, 12, 9]), []);
        assert_eq!(hearing.counts.repeated, 2);
        assert_eq!(hear(&mut hearing, &[11]), [again(11)]);
        // What came live comes once.
        assert_eq!(hear(&mut hearing, &[12]), [again(12)]);
        // On the next connection that counts anew.
        hearing.on_cut();
        hearing.on_returned();
        assert_eq!(hearing.on_resumed(resumed(12, true)), None);
        assert_eq!(hear(&mut hearing, &[11]), []);
    }

    #[test]
    fn a_long_resume_goes_on_where_it_stopped() {
        let mut hearing = back();
        hear(&mut hearing, &[11, 12]);
        assert_eq!(hearing.on_resumed(resumed(12, false)), None);
        assert_eq!(hearing.known(), 12);
        hear(&mut hearing, &[15, 13, 14, 15]);
        assert_eq!(hearing.on_resumed(resumed(15, true)), None);
        assert_eq!(hearing.missing(15), None);
    }

    #[test]
    fn a_cut_during_a_resume_keeps_what_came_in_order() {
        let mut hearing = back();
        hear(&mut hearing, &[14, 11, 12]);
        hearing.on_cut();
        assert_eq!(hearing.known(), 12);
        assert_eq!(hearing.on_message(13, false), Some(Wrong::Ghost { seq: 13 }));
    }

    #[test]
    fn an_echo_may_run_ahead_and_what_was_passed_over_has_to_follow() {
        let mut hearing = live();
        assert_eq!(hearing.on_message(12, true), None);
        assert_eq!((hearing.counts.ahead, hearing.missing(12)), (1, Some((1, 11))));
        assert_eq!(hear(&mut hearing, &[11, 13]), []);
        assert_eq!(hearing.missing(13), None);
        // One of another is not an echo, and an echo comes once.
        assert_eq!(hearing.on_message(15, true), None);
        assert_eq!(hearing.on_message(15, true), Some(Wrong::Again { seq: 15, is_echo: true }));
        assert_eq!(hear(&mut hearing, &[16]), [Wrong::Hole { expected: 14, got: 16 }]);
    }
}
