//! What is to be published on one host, encoded: sent in parts, and kept until Redis has answered. Pure.

use std::collections::VecDeque;

use crate::limits::{BUS_BATCH_BYTES_MAX, BUS_BATCH_MAX};
use crate::time::Timestamp;

/// A queue of commands that publish, of which the first ones may be under way.
#[derive(Debug, Default)]
pub(super) struct Pipeline {
    /// The commands of `entries`, one after another.
    bytes: Vec<u8>,
    entries: VecDeque<Entry>,
    /// How many of the first entries were sent and are not answered.
    under_way: usize,
    /// How many of the first bytes belong to entries that were answered.
    done_bytes: usize,
}

/// One command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    what: What,
    /// Of its channel, in a cluster.
    slot: u16,
    /// How many bytes it has.
    len: usize,
}

/// A command that is to go to another host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Moved {
    pub(super) what: What,
    pub(super) slot: u16,
    bytes: Vec<u8>,
}

/// What a command is, and what it means that it was not carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// Typing or presence, or a nudge to this node's own receiver: nothing.
    Sheddable,
    /// A message, committed then: whoever should have heard it looks into the store.
    Message(Timestamp),
    /// The order to look into the store for what was sent since then: it is owed still.
    Gap(Timestamp),
}

impl Pipeline {
    /// Adds "`publish` `payload` on `channel`", which has `slot` in a cluster.
    pub(super) fn push(
        &mut self,
        publish: &str,
        channel: &str,
        payload: &[u8],
        slot: u16,
        what: What,
    ) {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(b"*3\r\n");
        for argument in [publish.as_bytes(), channel.as_bytes(), payload] {
            let mut digits = [0; 20];
            self.bytes.push(b'$');
            self.bytes.extend_from_slice(decimal(argument.len(), &mut digits));
            self.bytes.extend_from_slice(b"\r\n");
            self.bytes.extend_from_slice(argument);
            self.bytes.extend_from_slice(b"\r\n");
        }
        self.entries.push_back(Entry { what, slot, len: self.bytes.len() - before });
    }

    /// Adds what was to go elsewhere.
    pub(super) fn push_moved(&mut self, moved: &Moved) {
        let Moved { what, slot, bytes } = moved;
        self.bytes.extend_from_slice(bytes);
        self.entries.push_back(Entry { what: *what, slot: *slot, len: bytes.len() });
    }

    /// Entries that are not answered.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// True exactly when every entry was answered.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The commands to send now, none where there is nothing: at most [`BUS_BATCH_MAX`] and, but for the first of them, at most
    /// [`BUS_BATCH_BYTES_MAX`]. They are under way from now on; nothing may be before.
    pub(super) fn next_part(&mut self) -> &[u8] {
        debug_assert_eq!(self.under_way, 0, "a part is sent when the one before is answered");
        // Now and then, so that a queue that is never empty does not keep what it sent.
        if self.done_bytes > self.bytes.len() / 2 {
            self.bytes.drain(..self.done_bytes);
            self.done_bytes = 0;
        }
        let mut len = 0;
        for entry in self.entries.iter().take(BUS_BATCH_MAX) {
            if self.under_way > 0 && len + entry.len > BUS_BATCH_BYTES_MAX {
                break;
            }
            self.under_way += 1;
            len += entry.len;
        }
        &self.bytes[self.done_bytes..self.done_bytes + len]
    }

    /// Commands that are under way.
    pub(super) const fn under_way(&self) -> usize {
        self.under_way
    }

    /// The first command under way was answered; gives what it was.
    pub(super) fn on_answer(&mut self) -> Option<What> {
        self.under_way = self.under_way.checked_sub(1)?;
        let entry = self.entries.pop_front()?;
        self.pass(entry.len);
        Some(entry.what)
    }

    /// The first command under way was answered, and not carried out: it belongs elsewhere.
    pub(super) fn on_moved(&mut self) -> Option<Moved> {
        self.under_way = self.under_way.checked_sub(1)?;
        self.take_first()
    }

    /// Takes all that is not answered: the host is none any more. What may be shed is lost.
    pub(super) fn take_all(&mut self) -> Vec<Moved> {
        self.on_lost();
        std::iter::from_fn(|| self.take_first()).collect()
    }

    fn take_first(&mut self) -> Option<Moved> {
        let Entry { what, slot, len } = self.entries.pop_front()?;
        let bytes = self.bytes[self.done_bytes..self.done_bytes + len].to_vec();
        self.pass(len);
        Some(Moved { what, slot, bytes })
    }

    /// The first `len` bytes are done with.
    fn pass(&mut self, len: usize) {
        self.done_bytes += len;
        if self.entries.is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(BUS_BATCH_BYTES_MAX);
            self.done_bytes = 0;
        }
    }

    /// The connection is lost: what is not answered may have been carried out or not, and is sent again on the next one; what
    /// may be shed is not, nor, of what waits behind it, what would come late. Gives how many were shed.
    pub(super) fn on_lost(&mut self) -> usize {
        self.under_way = 0;
        let before = self.entries.len();
        let mut from = self.done_bytes;
        let mut to = 0;
        let bytes = &mut self.bytes;
        self.entries.retain(|entry| {
            let range = from..from + entry.len;
            from = range.end;
            let is_kept = entry.what != What::Sheddable;
            if is_kept {
                bytes.copy_within(range, to);
                to += entry.len;
            }
            is_kept
        });
        bytes.truncate(to);
        self.done_bytes = 0;
        before - self.entries.len()
    }
}

/// `number` in decimal.
fn decimal(mut number: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MESSAGE: What = What::Message(Timestamp(7));

    fn push(pipeline: &mut Pipeline, channel: &str, payload: &[u8], what: What) {
        pipeline.push("PUBLISH", channel, payload, 7, what);
    }

    fn command(channel: &str, payload: &[u8]) -> Vec<u8> {
        redis::cmd("PUBLISH").arg(channel).arg(payload).get_packed_command()
    }

    #[test]
    fn a_command_is_encoded_as_the_crate_does() {
        for len in [0, 1, 9, 10, 99, 100, 12_345] {
            let payload = vec![7; len];
            let mut pipeline = Pipeline::default();
            push(&mut pipeline, "asgi__group__chat_1", &payload, MESSAGE);
            assert_eq!(pipeline.next_part(), command("asgi__group__chat_1", &payload));
        }
    }

    #[test]
    fn what_is_not_answered_is_sent_again_without_what_may_be_shed() {
        let mut pipeline = Pipeline::default();
        push(&mut pipeline, "a", b"1", MESSAGE);
        push(&mut pipeline, "b", b"2", What::Sheddable);
        push(&mut pipeline, "c", b"3", What::Gap(Timestamp(1)));
        push(&mut pipeline, "d", b"4", What::Sheddable);
        push(&mut pipeline, "e", b"5", MESSAGE);
        let _ = pipeline.next_part();
        assert_eq!(pipeline.on_answer(), Some(MESSAGE));
        assert_eq!(pipeline.on_lost(), 2);
        assert_eq!(pipeline.next_part(), [command("c", b"3"), command("e", b"5")].concat());
        assert_eq!(pipeline.on_answer(), Some(What::Gap(Timestamp(1))));
        assert_eq!(pipeline.on_answer(), Some(MESSAGE));
        assert_eq!(pipeline.on_answer(), None);
        assert!(pipeline.is_empty() && pipeline.next_part().is_empty());
    }

    #[test]
    fn a_part_is_bounded_by_number_and_by_bytes() {
        let mut pipeline = Pipeline::default();
        for _ in 0..=BUS_BATCH_MAX {
            push(&mut pipeline, "a", b"1", MESSAGE);
        }
        assert_eq!(pipeline.next_part().len(), BUS_BATCH_MAX * command("a", b"1").len());
        assert_eq!(pipeline.under_way(), BUS_BATCH_MAX);
        let mut pipeline = Pipeline::default();
        let large = vec![0; BUS_BATCH_BYTES_MAX];
        for _ in 0..2 {
            push(&mut pipeline, "a", &large, MESSAGE);
        }
        assert_eq!(
            pipeline.next_part(),
            command("a", &large),
            "the first goes whatever its length"
        );
        assert_eq!(pipeline.under_way(), 1);
    }

    #[test]
    fn what_belongs_elsewhere_is_sent_there() {
        let (mut pipeline, mut other) = (Pipeline::default(), Pipeline::default());
        for payload in [b"1", b"2", b"3"] {
            push(&mut pipeline, "a", payload, MESSAGE);
        }
        push(&mut pipeline, "a", b"4", What::Sheddable);
        let _ = pipeline.next_part();
        let moved = pipeline.on_moved().unwrap();
        assert_eq!((moved.slot, pipeline.under_way()), (7, 3));
        other.push_moved(&moved);
        assert_eq!(pipeline.on_answer(), Some(MESSAGE));
        for moved in pipeline.take_all() {
            other.push_moved(&moved);
        }
        assert!(pipeline.is_empty() && pipeline.next_part().is_empty());
        assert_eq!(other.next_part(), [command("a", b"1"), command("a", b"3")].concat());
    }

    proptest! {
        #[test]
        fn each_is_answered_once_or_sent_again_in_order(
            steps in proptest::collection::vec((0..4_u8, 0..200_usize), 1..200),
        ) {
            let mut pipeline = Pipeline::default();
            let mut model: VecDeque<(Vec<u8>, What)> = VecDeque::new();
            for (step, size) in steps {
                match step {
                    0 | 1 => {
                        let what = if step == 0 { MESSAGE } else { What::Sheddable };
                        let payload = vec![size as u8; size];
                        push(&mut pipeline, "c", &payload, what);
                        model.push_back((command("c", &payload), what));
                    }
                    2 => {
                        let answered = size;
                        if pipeline.under_way() == 0 {
                            let part = pipeline.next_part().to_vec();
                            let expected = model.iter().take(pipeline.under_way());
                            let expected: Vec<u8> = expected.flat_map(|(bytes, _)| bytes.clone()).collect();
                            prop_assert_eq!(part, expected);
                        }
                        for _ in 0..answered.min(pipeline.under_way()) {
                            prop_assert_eq!(pipeline.on_answer(), model.pop_front().map(|(_, what)| what));
                        }
                    }
                    _ => {
                        let before = model.len();
                        model.retain(|(_, what)| *what != What::Sheddable);
                        prop_assert_eq!(pipeline.on_lost(), before - model.len());
                    }
                }
                prop_assert_eq!(pipeline.len(), model.len());
            }
        }
    }
}
