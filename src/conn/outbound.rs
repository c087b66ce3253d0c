//! What waits to be sent to one peer, in order and bounded.
//!
//! One frame waits in place, without an allocation; a second one brings a queue, which goes when it is empty.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use crate::limits::IOVEC_MAX;
use crate::time::Mono;

/// The bounds of [`Outbound`], by the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutboundLimits {
    /// Never more than this, bytes.
    pub hard_bytes: usize,
    /// Not more than this for longer than `soft_ms`, bytes. Typing and presence are not queued beyond it.
    pub soft_bytes: usize,
    /// See `soft_bytes`.
    pub soft_ms: u64,
}

impl OutboundLimits {
    /// A queue of no more than this is short: more may be fetched for it, or what is in it may wait.
    pub const fn short_bytes(&self) -> usize {
        self.soft_bytes / 4
    }
}

/// A queue of frames whose sum is bounded.
#[derive(Debug, Default)]
pub struct Outbound {
    first: Option<Bytes>,
    /// What comes after `first`; never kept empty.
    #[expect(clippy::box_collection, reason = "one word in a slot that is nearly always empty")]
    rest: Option<Box<VecDeque<Frame>>>,
    /// Bytes of `first` that have left.
    sent: u32,
    /// Bytes that wait.
    bytes: u32,
    /// Since when more than the soft bound waits.
    soft_since: Option<Since>,
    /// True exactly when `first` may be shed.
    is_first_sheddable: bool,
}

type Since = std::num::NonZeroU32;

#[derive(Debug)]
struct Frame {
    bytes: Bytes,
    sheddable: bool,
}

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pushed {
    /// It waits, and this many sheddable ones were dropped for it.
    Queued {
        /// Frames dropped.
        shed: u32,
    },
    /// It was sheddable, and too much waits: it was dropped.
    Shed,
    /// There is no room even without the sheddable ones: the peer is a slow consumer. It was dropped.
    Overflow,
}

impl Outbound {
    /// Queues `bytes`, a whole frame.
    pub fn push(
        &mut self,
        bytes: Bytes,
        sheddable: bool,
        now: Mono,
        limits: &OutboundLimits,
    ) -> Pushed {
        let len = bytes.len();
        let mut shed = 0;
        if self.len() + len > limits.soft_bytes {
            if sheddable && !self.is_empty() {
                return Pushed::Shed;
            }
            if self.len() + len > limits.hard_bytes {
                shed = self.shed();
                if self.len() + len > limits.hard_bytes {
                    return Pushed::Overflow;
                }
            }
            if self.soft_since.is_none() {
                self.soft_since = Some(since(now));
            }
        }
        self.append(bytes, sheddable);
        Pushed::Queued { shed }
    }

    /// Queues `bytes` whatever waits: a response, of which a client has one at a time, or a close frame, which is the last.
    pub fn push_always(&mut self, bytes: Bytes) {
        self.append(bytes, false);
    }

    /// Queues `bytes` in place of what waits, but for a frame that has partly left.
    pub fn push_instead(&mut self, bytes: Bytes) {
        self.rest = None;
        if self.sent == 0 {
            self.first = None;
        }
        self.bytes = self.first.as_ref().map_or(0, |frame| frame.len() as u32 - self.sent);
        self.soft_since = None;
        self.append(bytes, false);
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes as usize
    }

    /// True exactly when nothing waits; then nothing is allocated either.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// When the soft bound's time is up; `None` below it.
    pub fn deadline(&self, limits: &OutboundLimits) -> Option<Mono> {
        Some(Mono(u64::from(self.soft_since?.get()) * SINCE_MS).plus(limits.soft_ms))
    }

    /// The first frames as slices for one `writev`, at most [`IOVEC_MAX`]; returns how many.
    pub fn slices<'a>(&'a self, out: &mut [IoSlice<'a>; IOVEC_MAX]) -> usize {
        let Some(first) = &self.first else { return 0 };
        out[0] = IoSlice::new(&first[self.sent as usize..]);
        let rest = self.rest.iter().flat_map(|rest| rest.iter());
        let mut count = 1;
        for (slice, frame) in out[1..].iter_mut().zip(rest) {
            *slice = IoSlice::new(&frame.bytes);
            count += 1;
        }
        count
    }

    /// The first frame's bytes, when it is the only one.
    pub fn single(&self) -> Option<&[u8]> {
        match (&self.first, &self.rest) {
            (Some(frame), None) => Some(&frame[self.sent as usize..]),
            _ => None,
        }
    }

    /// `count` bytes have left.
    pub fn advance(&mut self, count: usize, limits: &OutboundLimits) {
        let mut left = count as u32;
        debug_assert!(left <= self.bytes, "more left than waited");
        self.bytes = self.bytes.saturating_sub(left);
        while let Some(first) = &self.first {
            let remaining = first.len() as u32 - self.sent;
            if left < remaining {
                self.sent += left;
                break;
            }
            left -= remaining;
            self.sent = 0;
            self.first = None;
            self.move_up();
        }
        if self.len() <= limits.soft_bytes {
            self.soft_since = None;
        }
    }

    /// Drops every sheddable frame of which nothing has left; returns how many.
    fn shed(&mut self) -> u32 {
        let mut shed = 0;
        if self.sent == 0
            && self.is_first_sheddable
            && let Some(first) = self.first.take()
        {
            self.bytes -= first.len() as u32;
            shed += 1;
        }
        if let Some(rest) = &mut self.rest {
            let bytes = &mut self.bytes;
            rest.retain(|frame| {
                if frame.sheddable {
                    *bytes -= frame.bytes.len() as u32;
                    shed += 1;
                }
                !frame.sheddable
            });
        }
        self.move_up();
        shed
    }

    /// Moves the next frame to the front where there is none, and frees the queue behind it where it is empty.
    fn move_up(&mut self) {
        let Some(rest) = &mut self.rest else { return };
        if self.first.is_none()
            && let Some(Frame { bytes, sheddable }) = rest.pop_front()
        {
            self.first = Some(bytes);
            self.is_first_sheddable = sheddable;
        }
        if rest.is_empty() {
            self.rest = None;
        }
    }

    fn append(&mut self, bytes: Bytes, sheddable: bool) {
        if bytes.is_empty() {
            return;
        }
        self.bytes += bytes.len() as u32;
        if self.first.is_none() {
            self.first = Some(bytes);
            self.is_first_sheddable = sheddable;
        } else {
            self.rest.get_or_insert_default().push_back(Frame { bytes, sheddable });
        }
    }
}

/// The unit of `soft_since`, rounded up and never 0: four bytes last for two years of uptime.
const SINCE_MS: u64 = 16;

fn since(now: Mono) -> Since {
    Since::new(now.0.div_ceil(SINCE_MS) as u32).unwrap_or(Since::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: OutboundLimits =
        OutboundLimits { hard_bytes: 100, soft_bytes: 40, soft_ms: 10_000 };

    fn frame(len: usize, fill: u8) -> Bytes {
        Bytes::from(vec![fill; len])
    }

    #[test]
    fn typing_is_shed_before_a_message_overflows() {
        let mut outbound = Outbound::default();
        for _ in 0..4 {
            assert_eq!(
                outbound.push(frame(10, 1), true, Mono(0), &LIMITS),
                Pushed::Queued { shed: 0 }
            );
        }
        assert_eq!(outbound.push(frame(10, 1), true, Mono(0), &LIMITS), Pushed::Shed);
        assert_eq!(
            outbound.push(frame(60, 2), false, Mono(0), &LIMITS),
            Pushed::Queued { shed: 0 }
        );
        assert_eq!(
            outbound.push(frame(30, 3), false, Mono(0), &LIMITS),
            Pushed::Queued { shed: 4 }
        );
        assert_eq!(outbound.push(frame(11, 4), false, Mono(0), &LIMITS), Pushed::Overflow);
        assert_eq!(outbound.len(), 90);
    }

    #[test]
    fn the_soft_bound_has_a_time_and_forgets_it_when_the_queue_shrinks() {
        let mut outbound = Outbound::default();
        outbound.push(frame(50, 1), false, Mono(1_000), &LIMITS);
        let deadline = outbound.deadline(&LIMITS).expect("above the soft bound");
        assert!((11_000..11_000 + 2 * SINCE_MS).contains(&deadline.0));
        outbound.advance(10, &LIMITS);
        assert_eq!(outbound.deadline(&LIMITS), None);
    }

    #[test]
    fn a_last_frame_replaces_what_waits_but_not_what_has_begun() {
        let mut outbound = Outbound::default();
        outbound.push(frame(30, 1), false, Mono(0), &LIMITS);
        outbound.push(frame(30, 2), false, Mono(0), &LIMITS);
        outbound.advance(5, &LIMITS);
        outbound.push_instead(frame(4, 9));
        assert_eq!(outbound.len(), 29);
        outbound.advance(25, &LIMITS);
        assert_eq!(outbound.single(), Some(&[9u8; 4][..]));
    }

    #[test]
    fn an_empty_queue_owns_nothing() {
        let mut outbound = Outbound::default();
        for fill in 0..20 {
            outbound.push(frame(2, fill), false, Mono(0), &LIMITS);
        }
        outbound.advance(40, &LIMITS);
        assert!(outbound.is_empty() && outbound.rest.is_none());
        assert!(size_of::<Outbound>() <= 56, "{}", size_of::<Outbound>());
    }

    proptest! {
        #[test]
        fn bytes_leave_in_order_whatever_the_peer_takes(
            ops in proptest::collection::vec((any::<bool>(), 1usize..40), 1..200),
        ) {
            let limits = OutboundLimits { hard_bytes: 1_000_000, soft_bytes: 1_000_000, soft_ms: 1 };
            let mut outbound = Outbound::default();
            let (mut pushed, mut taken, mut fill) = (Vec::new(), Vec::new(), 0u8);
            for (push, len) in ops {
                if push {
                    fill = fill.wrapping_add(1);
                    outbound.push(frame(len, fill), false, Mono(0), &limits);
                    pushed.extend(vec![fill; len]);
                } else {
                    let mut slices = [IoSlice::new(&[]); IOVEC_MAX];
                    let count = outbound.slices(&mut slices);
                    let all: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
                    let take = len.min(all.len());
                    taken.extend_from_slice(&all[..take]);
                    outbound.advance(take, &limits);
                }
                prop_assert_eq!(outbound.len(), pushed.len() - taken.len());
                prop_assert_eq!(&pushed[..taken.len()], &taken[..]);
                prop_assert_eq!(outbound.is_empty(), pushed.len() == taken.len());
            }
        }
    }
}
