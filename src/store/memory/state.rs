//! The tables of the memory store, and what every request asks of them: who somebody is, and whether they may.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::limits::{ATTACHMENT_CHARS_MAX, JTI_BYTES_MAX};
use crate::model::{
    Card, Conversation, ConversationId, MatchId, Message, MessageId, NodeId, Refused, Revocation,
    Revoked, Seq, UserId,
};
use crate::store::{Request, Status};
use crate::time::Timestamp;

/// Characters of a name: the width of Django's columns.
const NAME_CHARS_MAX: usize = 150;

/// Everything that is stored.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) users: BTreeMap<UserId, User>,
    pub(super) names: BTreeMap<Arc<str>, UserId>,
    /// Liker and liked.
    pub(super) likes: BTreeSet<(UserId, UserId)>,
    /// Blocker and blocked.
    pub(super) blocks: BTreeSet<(UserId, UserId)>,
    pub(super) talks: BTreeMap<ConversationId, Talk>,
    pub(super) talks_of: BTreeMap<UserId, BTreeSet<ConversationId>>,
    /// Where each message is: its conversation and its index there.
    pub(super) places: BTreeMap<MessageId, (ConversationId, usize)>,
    pub(super) reads: BTreeSet<(MessageId, UserId)>,
    /// By both users, the smaller id first.
    pub(super) matches: BTreeMap<(UserId, UserId), Pairing>,
    pub(super) nodes: BTreeMap<NodeId, Lease>,
    /// Who is here, and where.
    pub(super) presence: BTreeSet<(UserId, NodeId)>,
    /// By id.
    pub(super) revocations: Vec<Revocation>,
    pub(super) last_revocation: i64,
}

/// A row of `accounts_user`.
#[derive(Clone)]
pub(super) struct User {
    pub(super) username: Arc<str>,
    pub(super) first_name: String,
    pub(super) last_name: String,
    pub(super) is_active: bool,
    pub(super) is_online: bool,
    pub(super) last_activity: Option<Timestamp>,
}

/// A row of `conversations_conversation`, and what is linked to it.
#[derive(Clone)]
pub(super) struct Talk {
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) is_active: bool,
    pub(super) participants: BTreeSet<UserId>,
    /// By `seq`, from 1.
    pub(super) posts: Vec<Post>,
    /// Index of the post that a sender's `client_id` names.
    pub(super) known: BTreeMap<(UserId, String), usize>,
}

/// A row of `conversations_message`.
#[derive(Clone)]
pub(super) struct Post {
    pub(super) id: MessageId,
    pub(super) sender: UserId,
    pub(super) content: String,
    pub(super) created_at: Timestamp,
    pub(super) is_read: bool,
    pub(super) attachment: Option<String>,
    pub(super) client_id: Option<String>,
}

/// A row of `matching_match`.
#[derive(Clone)]
pub(super) struct Pairing {
    pub(super) id: MatchId,
    pub(super) created_at: Timestamp,
    pub(super) is_active: bool,
}

/// A row of `fortifun_node`.
#[derive(Clone, Copy)]
pub(super) struct Lease {
    /// True exactly when the node asked for it.
    pub(super) is_held: bool,
    pub(super) expires_at: Timestamp,
}

/// True exactly when a database would refuse to store what `request` holds.
pub(super) fn is_too_wide(request: &Request) -> bool {
    let over = |text: &str, most| text.chars().count() > most;
    match request {
        Request::Append { attachment: Some(attachment), .. } => {
            over(attachment, ATTACHMENT_CHARS_MAX)
        }
        Request::AddUser { username, first_name, last_name } => {
            username.is_empty()
                || [username, first_name, last_name].iter().any(|name| over(name, NAME_CHARS_MAX))
        }
        Request::Revoke { revoked: Revoked::Token(jti), .. } => {
            !(1..=JTI_BYTES_MAX).contains(&jti.len())
        }
        _ => false,
    }
}

impl Talk {
    pub(super) fn last_seq(&self) -> Seq {
        Seq(self.posts.len() as i64)
    }
}

impl State {
    /// The card of a user that some row names.
    pub(super) fn card(&self, id: UserId) -> Card {
        let user = self.users.get(&id).expect("rows name stored users");
        Card { id, username: Arc::clone(&user.username), profile_picture: None }
    }

    /// The presence of a user that some row names.
    pub(super) fn status(&self, id: UserId) -> Status {
        let user = self.users.get(&id).expect("rows name stored users");
        Status { user: self.card(id), is_online: user.is_online, last_activity: user.last_activity }
    }

    /// The card of an active user.
    pub(super) fn active(&self, id: UserId) -> Result<Card, Refused> {
        match self.users.get(&id) {
            Some(user) if user.is_active => Ok(self.card(id)),
            _ => Err(Refused::UserNotFound),
        }
    }

    /// The cards of two different, active users.
    pub(super) fn two(&self, a: UserId, b: UserId) -> Result<(Card, Card), Refused> {
        if a == b {
            return Err(Refused::Oneself);
        }
        Ok((self.active(a)?, self.active(b)?))
    }

    /// True exactly when one of the two blocks the other.
    pub(super) fn blocked_either_way(&self, a: UserId, b: UserId) -> bool {
        self.blocks.contains(&(a, b)) || self.blocks.contains(&(b, a))
    }

    /// The active conversation that `user` takes part in and may read: nobody in it blocks them.
    pub(super) fn readable(
        &self,
        user: UserId,
        conversation: ConversationId,
    ) -> Result<&Talk, Refused> {
        let talk = self.joined(user, conversation)?;
        if self.is_blocked_in(user, talk) { Err(Refused::NotParticipant) } else { Ok(talk) }
    }

    /// The active conversation that `user` takes part in and may speak in: no block either way.
    pub(super) fn speakable(
        &self,
        user: UserId,
        conversation: ConversationId,
    ) -> Result<&Talk, Refused> {
        let talk = self.joined(user, conversation)?;
        if self.is_silent_in(user, talk) { Err(Refused::Silenced) } else { Ok(talk) }
    }

    /// True exactly when somebody in `talk` blocks `user`.
    pub(super) fn is_blocked_in(&self, user: UserId, talk: &Talk) -> bool {
        talk.participants.iter().any(|&other| self.blocks.contains(&(other, user)))
    }

    /// True exactly when somebody in `talk` blocks `user` or is blocked by them.
    pub(super) fn is_silent_in(&self, user: UserId, talk: &Talk) -> bool {
        talk.participants.iter().any(|&other| self.blocked_either_way(other, user))
    }

    /// The conversations of which both are participants, active or not, by id.
    pub(super) fn shared(&self, a: UserId, b: UserId) -> Vec<ConversationId> {
        let theirs = self.talks_of.get(&b);
        let mine = self.talks_of.get(&a).into_iter().flatten();
        mine.filter(|id| theirs.is_some_and(|set| set.contains(id))).copied().collect()
    }

    /// The message at `index` of a stored conversation.
    pub(super) fn message(&self, conversation: ConversationId, index: usize) -> Message {
        let talk = self.talks.get(&conversation).expect("asked for a stored one");
        let post = &talk.posts[index];
        Message {
            id: post.id,
            conversation,
            seq: Seq(index as i64 + 1),
            sender: self.card(post.sender),
            content: post.content.clone(),
            created_at: post.created_at,
            is_read: post.is_read,
            attachment: post.attachment.clone(),
            client_id: post.client_id.clone(),
        }
    }

    /// A stored conversation as `viewer` sees it.
    pub(super) fn view(&self, id: ConversationId, viewer: UserId) -> Conversation {
        let talk = self.talks.get(&id).expect("asked for a stored one");
        let unread =
            |post: &&Post| post.sender != viewer && !self.reads.contains(&(post.id, viewer));
        Conversation {
            id,
            participants: talk.participants.iter().map(|&user| self.card(user)).collect(),
            created_at: talk.created_at,
            updated_at: talk.updated_at,
            is_active: talk.is_active,
            last_message: talk.posts.len().checked_sub(1).map(|index| self.message(id, index)),
            last_seq: talk.last_seq(),
            unread_count: talk.posts.iter().filter(unread).count() as u64,
        }
    }

    fn joined(&self, user: UserId, conversation: ConversationId) -> Result<&Talk, Refused> {
        match self.talks.get(&conversation) {
            Some(talk) if !talk.is_active => Err(Refused::ConversationNotFound),
            Some(talk) if !talk.participants.contains(&user) => Err(Refused::NotParticipant),
            // Whoever was deactivated is nobody, whatever their token says.
            Some(talk) => self.active(user).map(|_| talk),
            None => Err(Refused::ConversationNotFound),
        }
    }
}
