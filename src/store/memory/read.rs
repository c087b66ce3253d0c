//! What changes nothing: admission, presence, history and lists.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::state::{Pairing, State, Talk};
use crate::model::{ConversationId, MatchPage, MatchView, Message, Profile, Refused, Seq, UserId};
use crate::store::{Admission, Page, Reply, Request, Status, settle};
use crate::time::Timestamp;

impl State {
    /// Answers one request of [`crate::store::Lane::Read`].
    pub(super) fn answer(&self, request: &Request, now: Timestamp) -> Result<Reply, Refused> {
        match request {
            Request::Admit { user, conversation } => self.admit(*user, *conversation),
            Request::MaySpeak { user, conversation } => {
                let talk = self.speakable(*user, *conversation)?;
                Ok(Reply::MaySpeak(talk.participants.iter().copied().collect()))
            }
            Request::Watch { user, users } => Ok(Reply::Watched(self.watch(*user, users))),
            Request::History { user, conversation, page, limit } => {
                self.history(*user, *conversation, *page, *limit)
            }
            Request::Conversations { user, limit } => self.list(*user, *limit),
            Request::Conversation { user, conversation } => {
                self.readable(*user, *conversation)?;
                Ok(Reply::Conversations(vec![self.view(*conversation, *user)]))
            }
            Request::RecentMatches { user, since, limit } => {
                self.recent_matches(*user, *since, *limit)
            }
            Request::Matches { user, offset, limit } => self.matches(*user, *offset, *limit),
            Request::Ping => Ok(Reply::Done),
            Request::FindUser { username } => {
                let id = self.names.get(username.as_str()).ok_or(Refused::UserNotFound)?;
                Ok(Reply::UserAdded(self.active(*id)?))
            }
            Request::Revocations { after } => Ok(Reply::Revocations(self.revocations(*after, now))),
            Request::Standings { conversations } => {
                Ok(Reply::Standings(self.standings(conversations)))
            }
            Request::Since { users, since, after, limit } => {
                Ok(Reply::Since(self.since(users, *since, *after, *limit)))
            }
            Request::Places { messages } => Ok(Reply::Places(self.places_of(messages))),
            write => unreachable!("{write:?} is carried out, not answered"),
        }
    }

    /// See [`crate::store::Store::settle`].
    pub(super) fn settle(&self, batch: &[Request], at: Timestamp) -> Vec<Option<Reply>> {
        let mut stored = Vec::new();
        for id in settle::conversations(batch) {
            let posts = self.talks.get(&id).into_iter().flat_map(|talk| &talk.posts).enumerate();
            let of_batch = posts.filter(|(_, post)| post.created_at == at);
            stored.extend(of_batch.map(|(index, _)| self.message(id, index)));
        }
        let appended = |(message, duplicate): (Message, bool)| {
            let participants = self.talks[&message.conversation].participants.iter();
            let participants = participants.copied().collect();
            Reply::Appended { message, participants, duplicate }
        };
        settle::pair(batch, stored).into_iter().map(|message| message.map(appended)).collect()
    }

    /// The active conversations of `user`, by id.
    pub(super) fn active_talks(
        &self,
        user: UserId,
    ) -> impl Iterator<Item = (ConversationId, &Talk)> {
        let ids = self.talks_of.get(&user).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.talks.get(id)?))).filter(|(_, talk)| talk.is_active)
    }

    fn admit(&self, user: UserId, conversation: Option<ConversationId>) -> Result<Reply, Refused> {
        let card = self.active(user)?;
        let Some(id) = conversation else {
            return Ok(Reply::Admitted { user: card, conversation: None });
        };
        let talk = self.readable(user, id)?;
        let silenced = self.is_silent_in(user, talk);
        let others = talk.participants.iter().filter(|&&other| other != user && !silenced);
        let others = others.map(|&other| self.status(other)).collect();
        let admission = Admission { id, last_seq: talk.last_seq(), silenced, others };
        Ok(Reply::Admitted { user: card, conversation: Some(admission) })
    }

    fn watch(&self, user: UserId, users: &[UserId]) -> Vec<Status> {
        let companions: BTreeSet<UserId> = self
            .active_talks(user)
            .flat_map(|(_, talk)| talk.participants.iter().copied())
            .collect();
        let asked: BTreeSet<UserId> = users.iter().copied().collect();
        asked
            .intersection(&companions)
            .filter(|&&other| other != user && !self.blocked_either_way(user, other))
            .map(|&other| self.status(other))
            .collect()
    }

    fn history(
        &self,
        user: UserId,
        conversation: ConversationId,
        page: Page,
        limit: usize,
    ) -> Result<Reply, Refused> {
        let talk = self.readable(user, conversation)?;
        let count = talk.posts.len();
        let index = |seq: Seq| usize::try_from(seq.0).unwrap_or(0).min(count);
        let range = match page {
            Page::Latest => count.saturating_sub(limit)..count,
            Page::Before(seq) => {
                let end = index(Seq(seq.0.saturating_sub(1)));
                end.saturating_sub(limit)..end
            }
            Page::After(seq) => index(seq)..index(seq).saturating_add(limit).min(count),
        };
        Ok(Reply::History {
            messages: range.map(|index| self.message(conversation, index)).collect(),
            last_seq: talk.last_seq(),
        })
    }

    fn list(&self, user: UserId, limit: usize) -> Result<Reply, Refused> {
        self.active(user)?;
        let mut talks: Vec<_> =
            self.active_talks(user).filter(|(_, talk)| !self.is_blocked_in(user, talk)).collect();
        talks.sort_by_key(|(id, talk)| Reverse((talk.updated_at, *id)));
        let views = talks.into_iter().take(limit).map(|(id, _)| self.view(id, user));
        Ok(Reply::Conversations(views.collect()))
    }

    fn recent_matches(
        &self,
        user: UserId,
        since: Timestamp,
        limit: usize,
    ) -> Result<Reply, Refused> {
        self.active(user)?;
        let results: Vec<_> = self
            .active_matches(user)
            .into_iter()
            .filter(|(other, pairing)| {
                pairing.created_at >= since && !self.blocked_either_way(user, *other)
            })
            .take(limit)
            .map(|(other, pairing)| self.match_view(user, other, pairing))
            .collect();
        Ok(Reply::Matches(MatchPage { count: results.len() as u64, results }))
    }

    fn matches(&self, user: UserId, offset: usize, limit: usize) -> Result<Reply, Refused> {
        self.active(user)?;
        let matches = self.active_matches(user);
        let count = matches.len() as u64;
        let page = matches.into_iter().skip(offset).take(limit);
        let results = page.map(|(other, pairing)| self.match_view(user, other, pairing)).collect();
        Ok(Reply::Matches(MatchPage { count, results }))
    }

    /// The other user and the match, newest first.
    fn active_matches(&self, user: UserId) -> Vec<(UserId, &Pairing)> {
        let mut matches: Vec<_> = self
            .matches
            .iter()
            .filter(|((a, b), pairing)| pairing.is_active && (*a == user || *b == user))
            .map(|((a, b), pairing)| (if *a == user { *b } else { *a }, pairing))
            .collect();
        matches.sort_by_key(|(_, pairing)| Reverse((pairing.created_at, pairing.id)));
        matches
    }

    fn match_view(&self, viewer: UserId, other: UserId, pairing: &Pairing) -> MatchView {
        let user = self.users.get(&other).expect("matches name stored users");
        let is_active = |id: &ConversationId| self.talks[id].is_active;
        MatchView {
            id: pairing.id,
            created_at: pairing.created_at,
            is_active: pairing.is_active,
            other: Profile {
                card: self.card(other),
                first_name: user.first_name.clone(),
                last_name: user.last_name.clone(),
                bio: None,
                location: None,
                is_online: user.is_online,
                last_activity: user.last_activity,
            },
            conversation: self.shared(viewer, other).into_iter().find(is_active),
        }
    }
}
