//! Messages of one conversation that came one right after the other: each session's outbound takes them as one piece, and what
//! is done for a session and a message is done once for all of them.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::channel::{Delivery, Payload};
use crate::limits::{RUN_BYTES_MAX, RUN_MAX};
use crate::model::{ConversationId, Seq, Topic};

/// Deliveries in the order they came, to one group. One at least is of any kind; those behind it are messages, each the next of its
/// conversation.
#[derive(Debug, Default)]
pub(super) struct Run {
    deliveries: Vec<Arc<Delivery>>,
    bytes: usize,
}

/// What the messages of a run have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    /// What they are about.
    pub(super) topic: Topic,
    /// Whose they are.
    pub(super) conversation: ConversationId,
    /// The place of the first.
    pub(super) first: Seq,
    /// The place of the last.
    pub(super) last: Seq,
}

impl Run {
    /// Puts `delivery` behind the others, where it goes on from them; else it comes back, for another run.
    pub(super) fn push(&mut self, delivery: Arc<Delivery>) -> Result<(), Arc<Delivery>> {
        let bytes = message(&delivery).map_or(0, |(_, frame)| frame.len());
        if let Some(last) = self.deliveries.last() {
            let has_room = self.deliveries.len() < RUN_MAX && self.bytes + bytes <= RUN_BYTES_MAX;
            if !has_room || !goes_on(last, &delivery) {
                return Err(delivery);
            }
        }
        self.bytes += bytes;
        self.deliveries.push(delivery);
        Ok(())
    }

    /// What is here.
    pub(super) fn deliveries(&self) -> &[Arc<Delivery>] {
        &self.deliveries
    }

    /// Where several messages stand, and their frames in one piece; `None` for one.
    pub(super) fn whole(&self) -> Option<(Span, Bytes)> {
        let (first, last) = match &*self.deliveries {
            [first, .., last] => (message(first)?.0, message(last)?.0),
            _ => return None,
        };
        let mut frames = BytesMut::with_capacity(self.bytes);
        let parts = self.deliveries.iter().filter_map(|delivery| message(delivery));
        parts.for_each(|(_, frame)| frames.extend_from_slice(frame));
        Some((Span { last: last.last, ..first }, frames.freeze()))
    }

    /// Nothing is here any more; the room stays.
    pub(super) fn clear(&mut self) {
        self.deliveries.clear();
        self.bytes = 0;
    }
}

/// A message that all sessions of the group may get.
fn message(delivery: &Delivery) -> Option<(Span, &Bytes)> {
    match &delivery.payload {
        Payload::Frame { frame, topic, place: Some(place), except: None, sheddable: false } => {
            let &(conversation, seq) = place;
            Some((Span { topic: *topic, conversation, first: seq, last: seq }, frame))
        }
        _ => None,
    }
}

fn goes_on(last: &Delivery, next: &Delivery) -> bool {
    let (Some((last_at, _)), Some((next_at, _))) = (message(last), message(next)) else {
        return false;
    };
    let first = Seq(last_at.last.0 + 1);
    last.group == next.group && next_at == Span { first, last: first, ..last_at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ConnKey, ConnRef, ShardId};
    use crate::model::{Control, Group};

    const ROOM: ConversationId = ConversationId(7);

    fn delivery(group: i64, seq: i64) -> Delivery {
        let payload = Payload::Frame {
            frame: Bytes::from(format!("<{seq}>")),
            topic: Topic::Conversation,
            place: Some((ROOM, Seq(seq))),
            except: None,
            sheddable: false,
        };
        Delivery::new(Group::Conversation(ConversationId(group)), payload)
    }

    fn is_taken(run: &mut Run, delivery: Delivery) -> bool {
        run.push(Arc::new(delivery)).is_ok()
    }

    #[test]
    fn messages_that_follow_each_other_are_one_piece() {
        let mut run = Run::default();
        assert!((118..=120).all(|seq| is_taken(&mut run, delivery(7, seq))));
        let (span, frames) = run.whole().unwrap();
        assert_eq!((span.conversation, span.first, span.last), (ROOM, Seq(118), Seq(120)));
        assert_eq!(frames, "<118><119><120>");
        run.clear();
        assert!(run.deliveries().is_empty() && is_taken(&mut run, delivery(7, 5)));
        assert_eq!(run.whole(), None);
    }

    #[test]
    fn whatever_does_not_go_on_from_the_last_begins_another() {
        let mut other = delivery(7, 6);
        let Payload::Frame { except, .. } = &mut other.payload else { unreachable!() };
        let key = ConnKey { index: 1, generation: 0 };
        *except = Some(ConnRef { shard: ShardId(0), key });
        let order = Delivery::new(other.group, Payload::Control(Control::Silence(true)));
        for next in [delivery(7, 5), delivery(7, 7), delivery(8, 6), other, order.clone()] {
            let mut run = Run::default();
            assert!(is_taken(&mut run, delivery(7, 5)));
            assert!(!is_taken(&mut run, next.clone()), "{next:?}");
        }
        let mut run = Run::default();
        assert!(is_taken(&mut run, order) && !is_taken(&mut run, delivery(7, 1)));
    }

    #[test]
    fn a_run_is_bounded() {
        let mut run = Run::default();
        let taken = (1..1_000).take_while(|seq| is_taken(&mut run, delivery(7, *seq))).count();
        assert_eq!(taken, RUN_MAX);
        let long = |seq| {
            let mut long = delivery(7, seq);
            let Payload::Frame { frame, .. } = &mut long.payload else { unreachable!() };
            *frame = Bytes::from(vec![0; RUN_BYTES_MAX / 3]);
            long
        };
        run.clear();
        assert_eq!((1..1_000).take_while(|seq| is_taken(&mut run, long(*seq))).count(), 3);
    }
}
