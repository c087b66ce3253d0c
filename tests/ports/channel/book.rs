//! A store of messages for the layer to ask, as much of one as it needs.

use std::sync::{Arc, Mutex};

use fortifun_realtime::channel::{Delivery, Ledger, Unavailable};
use fortifun_realtime::model::{ConversationId, Group, MessageId, Seq, Standing, UserId};
use fortifun_realtime::time::Timestamp;

use crate::world::{stored, wall};

/// What was committed, for all nodes of a world.
#[derive(Clone, Default)]
pub(crate) struct Book(Arc<Mutex<Vec<Line>>>);

#[derive(Clone)]
struct Line {
    conversation: ConversationId,
    seq: Seq,
    participants: Vec<UserId>,
    at: Timestamp,
    text: String,
}

impl Book {
    /// Commits a message; returns what its worker publishes: one delivery for the conversation, one for each participant.
    pub(crate) fn commit(
        &self,
        conversation: ConversationId,
        participants: &[UserId],
        text: &str,
    ) -> Vec<Delivery> {
        let mut lines = self.0.lock().unwrap();
        let before = lines.iter().filter(|line| line.conversation == conversation).count();
        let line = Line {
            conversation,
            seq: Seq(before as i64 + 1),
            participants: participants.to_vec(),
            at: wall(),
            text: text.to_owned(),
        };
        let deliveries = line.deliveries();
        lines.push(line);
        deliveries
    }
}

impl Line {
    fn deliveries(&self) -> Vec<Delivery> {
        let groups = self.participants.iter().map(|user| Group::User(*user));
        std::iter::once(Group::Conversation(self.conversation))
            .chain(groups)
            .map(|group| stored(group, self.conversation, self.seq, &self.text, self.at))
            .collect()
    }
}

impl Ledger for Book {
    fn standings(
        &mut self,
        conversations: &[ConversationId],
    ) -> Result<Vec<Standing>, Unavailable> {
        let lines = self.0.lock().unwrap();
        let standing = |conversation: &ConversationId| {
            let own = lines.iter().filter(|line| line.conversation == *conversation);
            Some(Standing {
                conversation: *conversation,
                last_seq: own.map(|line| line.seq).max()?,
                is_active: true,
                blocks: Vec::new(),
            })
        };
        Ok(conversations.iter().filter_map(standing).collect())
    }

    fn since(
        &mut self,
        users: &[UserId],
        since: Timestamp,
        f: &mut dyn FnMut(Delivery),
    ) -> Result<(), Unavailable> {
        let mut lines = self.0.lock().unwrap().clone();
        lines.retain(|line| line.at >= since);
        lines.retain(|line| line.participants.iter().any(|user| users.contains(user)));
        lines.sort_by_key(|line| (line.conversation, line.seq));
        lines.iter().flat_map(Line::deliveries).for_each(f);
        Ok(())
    }

    fn places(
        &mut self,
        _messages: &[MessageId],
    ) -> Result<Vec<(MessageId, ConversationId, Seq)>, Unavailable> {
        Ok(Vec::new())
    }
}
