//! What a node asks that may have missed something of what the others published.

use std::collections::BTreeSet;

use super::state::{State, Talk};
use crate::model::{ConversationId, Message, MessageId, Seq, Standing, UserId};
use crate::time::Timestamp;

impl State {
    /// Answers [`crate::store::Request::Standings`].
    pub(super) fn standings(&self, conversations: &[ConversationId]) -> Vec<Standing> {
        let asked: BTreeSet<_> = conversations.iter().copied().collect();
        let found = asked.into_iter().filter_map(|id| Some((id, self.talks.get(&id)?)));
        found.map(|(id, talk)| self.standing(id, talk)).collect()
    }

    /// Answers [`crate::store::Request::Since`].
    pub(super) fn since(
        &self,
        users: &[UserId],
        since: Timestamp,
        after: Option<(ConversationId, Seq)>,
        limit: usize,
    ) -> Vec<(Message, Vec<UserId>)> {
        let heard: BTreeSet<ConversationId> = users
            .iter()
            .filter(|&&user| self.active(user).is_ok())
            .flat_map(|&user| {
                let heard = self
                    .active_talks(user)
                    .filter(move |(_, talk)| !self.is_blocked_in(user, talk));
                heard.map(|(id, _)| id)
            })
            .collect();
        let said = heard.into_iter().flat_map(|id| {
            let talk = &self.talks[&id];
            let older = talk.posts.iter().rposition(|post| post.created_at < since);
            let first = older.map_or(0, |index| index + 1);
            (first..talk.posts.len()).map(move |index| {
                (self.message(id, index), talk.participants.iter().copied().collect())
            })
        });
        let is_behind = |(message, _): &(Message, Vec<UserId>)| {
            after.is_none_or(|after| (message.conversation, message.seq) > after)
        };
        said.filter(is_behind).take(limit).collect()
    }

    /// Answers [`crate::store::Request::Places`].
    pub(super) fn places_of(
        &self,
        messages: &[MessageId],
    ) -> Vec<(MessageId, ConversationId, Seq)> {
        let asked: BTreeSet<_> = messages.iter().copied().collect();
        let place = |id: MessageId| {
            let &(conversation, index) = self.places.get(&id)?;
            Some((id, conversation, Seq(index as i64 + 1)))
        };
        asked.into_iter().filter_map(place).collect()
    }

    fn standing(&self, conversation: ConversationId, talk: &Talk) -> Standing {
        let blocked_by = |&blocker: &UserId| {
            let all = talk.participants.iter().map(move |&blocked| (blocker, blocked));
            all.filter(|pair| self.blocks.contains(pair))
        };
        Standing {
            conversation,
            last_seq: talk.last_seq(),
            is_active: talk.is_active,
            blocks: talk.participants.iter().flat_map(blocked_by).collect(),
        }
    }
}
