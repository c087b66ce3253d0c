//! What changes the state: messages, receipts and conversations. People are in `people`.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{Post, State, Talk, is_too_wide};
use crate::model::{ConversationId, Message, MessageId, Refused, UserId};
use crate::store::{Failure, Opened, Reply, Request, StoreError, StoreErrorKind};
use crate::time::Timestamp;

/// A message on its way into a conversation.
struct Said<'a> {
    sender: UserId,
    content: &'a str,
    attachment: Option<&'a str>,
    client_id: Option<&'a str>,
}

impl State {
    /// Carries out one request. A refusal changed nothing; a failure may have, and is undone by the caller.
    pub(super) fn carry_out(
        &mut self,
        request: &Request,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        let reply = match request {
            Request::Append { conversation, sender, content, attachment, client_id } => {
                let said = Said {
                    sender: *sender,
                    content,
                    attachment: attachment.as_deref(),
                    client_id: client_id.as_deref(),
                };
                return self.append(*conversation, &said, is_too_wide(request), now);
            }
            Request::AddUser { username, first_name, last_name } => {
                self.is_free(username)?;
                fits(is_too_wide(request))?;
                self.add_user(username, first_name, last_name)
            }
            Request::MarkRead { conversation, reader, message } => {
                self.mark_read(*conversation, *reader, *message, now)?
            }
            Request::Like { liker, liked, welcome } => self.like(*liker, *liked, welcome, now)?,
            Request::Unlike { liker, liked } => self.unlike(*liker, *liked)?,
            Request::Block { blocker, blocked } => self.block(*blocker, *blocked)?,
            Request::Unblock { blocker, blocked } => self.unblock(*blocker, *blocked)?,
            Request::Open { creator, participant, content, client_id } => {
                self.open(*creator, *participant, content, client_id.as_deref(), now)?
            }
            Request::Leave { conversation, user } => self.leave(*conversation, *user)?,
            Request::SetPresence { user, is_online, node } => {
                self.set_presence(*user, *is_online, *node, now)?
            }
            Request::Lease { node, lease_s, reap } => self.lease(*node, *lease_s, *reap, now),
            Request::Revoke { revoked, until } => {
                fits(is_too_wide(request))?;
                self.revoke(revoked, *until, now)?
            }
            read => self.answer(read, now)?,
        };
        Ok(reply)
    }

    /// The conversation of the two, new or active again, and whether it was not there or not active before.
    pub(super) fn bring_together(
        &mut self,
        a: UserId,
        b: UserId,
        now: Timestamp,
    ) -> (ConversationId, Found) {
        let shared = self.shared(a, b);
        let is_active =
            |id: &&ConversationId| self.talks.get(id).is_some_and(|talk| talk.is_active);
        if let Some(&id) = shared.iter().find(is_active) {
            return (id, Found::Active);
        }
        if let Some(&id) = shared.first() {
            let talk = self.talks.get_mut(&id).expect("shared conversations are stored");
            talk.is_active = true;
            talk.updated_at = now;
            return (id, Found::Inactive);
        }
        let id = ConversationId(self.talks.len() as i64 + 1);
        for user in [a, b] {
            self.talks_of.entry(user).or_default().insert(id);
        }
        self.talks.insert(
            id,
            Talk {
                created_at: now,
                updated_at: now,
                is_active: true,
                participants: BTreeSet::from([a, b]),
                posts: Vec::new(),
                known: BTreeMap::new(),
            },
        );
        (id, Found::Nothing)
    }

    /// Stores the first message of a new conversation.
    pub(super) fn welcome(
        &mut self,
        conversation: ConversationId,
        sender: UserId,
        content: &str,
        now: Timestamp,
    ) -> Message {
        let said = Said { sender, content, attachment: None, client_id: None };
        self.post(conversation, &said, now)
    }

    fn append(
        &mut self,
        conversation: ConversationId,
        said: &Said<'_>,
        is_too_wide: bool,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        let stored = self.known(conversation, said);
        let duplicate = stored.is_some();
        let message = if let Some(message) = stored {
            message
        } else {
            self.speakable(said.sender, conversation)?;
            fits(is_too_wide)?;
            self.post(conversation, said, now)
        };
        let participants = self.talks[&conversation].participants.iter().copied().collect();
        Ok(Reply::Appended { message, participants, duplicate })
    }

    fn known(&self, conversation: ConversationId, said: &Said<'_>) -> Option<Message> {
        let key = (said.sender, said.client_id?.to_owned());
        let index = *self.talks.get(&conversation)?.known.get(&key)?;
        Some(self.message(conversation, index))
    }

    fn post(&mut self, conversation: ConversationId, said: &Said<'_>, now: Timestamp) -> Message {
        let id = MessageId(self.places.len() as i64 + 1);
        let talk = self.talks.get_mut(&conversation).expect("checked before");
        let index = talk.posts.len();
        talk.updated_at = now;
        if let Some(client_id) = said.client_id {
            talk.known.insert((said.sender, client_id.to_owned()), index);
        }
        talk.posts.push(Post {
            id,
            sender: said.sender,
            content: said.content.to_owned(),
            created_at: now,
            is_read: false,
            attachment: said.attachment.filter(|key| !key.is_empty()).map(str::to_owned),
            client_id: said.client_id.map(str::to_owned),
        });
        self.places.insert(id, (conversation, index));
        self.message(conversation, index)
    }

    fn mark_read(
        &mut self,
        conversation: ConversationId,
        reader: UserId,
        message: MessageId,
        now: Timestamp,
    ) -> Result<Reply, Refused> {
        self.readable(reader, conversation)?;
        let Some(&(place, index)) = self.places.get(&message) else {
            return Err(Refused::MessageNotFound);
        };
        if place != conversation {
            return Err(Refused::MessageNotFound);
        }
        let talk = self.talks.get_mut(&conversation).expect("readable");
        let mut newly = 0;
        for post in talk.posts[..=index].iter_mut().filter(|post| post.sender != reader) {
            if self.reads.insert((post.id, reader)) {
                post.is_read = true;
                newly += 1;
            }
        }
        let participants = talk.participants.iter().copied().collect();
        let reader = self.card(reader);
        Ok(Reply::MarkedRead { conversation, message, reader, newly, at: now, participants })
    }

    fn open(
        &mut self,
        creator: UserId,
        participant: UserId,
        content: &str,
        client_id: Option<&str>,
        now: Timestamp,
    ) -> Result<Reply, Refused> {
        self.two(creator, participant)?;
        if self.blocked_either_way(creator, participant) {
            return Err(Refused::UserBlocked);
        }
        let (id, found) = self.bring_together(creator, participant, now);
        let said = Said { sender: creator, content, attachment: None, client_id };
        let stored = self.known(id, &said);
        let duplicate = stored.is_some();
        let message = stored.unwrap_or_else(|| self.post(id, &said, now));
        Ok(Reply::Opened(Box::new(Opened {
            conversation: self.view(id, creator),
            for_participant: (found != Found::Active).then(|| self.view(id, participant)),
            message,
            duplicate,
        })))
    }

    fn leave(&mut self, conversation: ConversationId, user: UserId) -> Result<Reply, Refused> {
        self.readable(user, conversation)?;
        self.talks.get_mut(&conversation).expect("readable").is_active = false;
        Ok(Reply::Left { conversation })
    }
}

/// What two users shared before they were brought together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Inactive,
    Active,
}

fn fits(is_too_wide: bool) -> Result<(), StoreError> {
    if is_too_wide {
        return Err(StoreError {
            kind: StoreErrorKind::Poisoned,
            detail: "a field is too wide".to_owned(),
        });
    }
    Ok(())
}
