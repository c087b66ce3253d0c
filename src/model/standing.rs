//! How a conversation stands.

use super::{ConversationId, Seq, UserId};

/// How a conversation stands, for a node that may have missed something of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Which.
    pub conversation: ConversationId,
    /// The newest message's place; 0 where there is none.
    pub last_seq: Seq,
    /// False once somebody left.
    pub is_active: bool,
    /// Who blocks whom among its participants: the blocker, then the blocked.
    pub blocks: Vec<(UserId, UserId)>,
}
