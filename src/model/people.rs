//! What is stored: users, conversations, messages, matches.

use std::sync::Arc;

use super::{ConversationId, MatchId, MessageId, Seq, UserId};
use crate::time::Timestamp;

/// A user as others see one in passing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Card {
    /// Who.
    pub id: UserId,
    /// At most 150 characters.
    pub username: Arc<str>,
    /// A storage key or an absolute URL, as Django stored it; `None` where it stored nothing or an empty text.
    pub profile_picture: Option<Arc<str>>,
}

/// A stored message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its row.
    pub id: MessageId,
    /// Where it was said.
    pub conversation: ConversationId,
    /// Its place there.
    pub seq: Seq,
    /// Who said it.
    pub sender: Card,
    /// 1 to 4,000 characters.
    pub content: String,
    /// When it was stored.
    pub created_at: Timestamp,
    /// True exactly when a participant other than the sender has read it.
    pub is_read: bool,
    /// A storage key or an absolute URL.
    pub attachment: Option<String>,
    /// The sender's own word for it.
    pub client_id: Option<String>,
}

/// A conversation as one of its participants sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conversation {
    /// Its row.
    pub id: ConversationId,
    /// Everyone in it, the viewer included, by id.
    pub participants: Vec<Card>,
    /// When it began.
    pub created_at: Timestamp,
    /// Its last activity.
    pub updated_at: Timestamp,
    /// False once somebody left.
    pub is_active: bool,
    /// The newest message.
    pub last_message: Option<Message>,
    /// The newest message's place; 0 where there is none.
    pub last_seq: Seq,
    /// Messages of others that the viewer has not read.
    pub unread_count: u64,
}

/// Two users who like each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Match {
    /// Its row.
    pub id: MatchId,
    /// Where they talk.
    pub conversation: ConversationId,
    /// When it came to be, or came to be again.
    pub created_at: Timestamp,
}

/// A user as a match sees one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// Id, name and picture.
    pub card: Card,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    /// About the user.
    pub bio: Option<String>,
    /// A place's name.
    pub location: Option<String>,
    /// True exactly when some session of the user is open.
    pub is_online: bool,
    /// When the user was last here.
    pub last_activity: Option<Timestamp>,
}

/// A match as one of the two sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MatchView {
    /// Its row.
    pub id: MatchId,
    /// When.
    pub created_at: Timestamp,
    /// False once it was ended.
    pub is_active: bool,
    /// The other user.
    pub other: Profile,
    /// Where they talk; `None` where they share no active conversation.
    pub conversation: Option<ConversationId>,
}

/// One page of a user's active matches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MatchPage {
    /// Matches in all.
    pub count: u64,
    /// Those of this page, newest first.
    pub results: Vec<MatchView>,
}
