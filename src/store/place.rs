//! How somebody stands to a conversation, and what that lets them do. Pure: each database says what is so, this says what follows.

use super::Status;
use crate::model::{Refused, Seq, UserId};

/// A conversation as `asker` stands to it.
pub(super) struct Place {
    /// Its newest place.
    pub(super) last_seq: Seq,
    /// Everyone in it, by id.
    pub(super) members: Vec<Member>,
    /// Who looks.
    pub(super) asker: UserId,
    /// False where it was left.
    pub(super) is_active: bool,
}

/// A participant.
pub(super) struct Member {
    /// Who, and whether they are here.
    pub(super) status: Status,
    /// Up to where they have read.
    pub(super) last_read_seq: Seq,
    /// False where the account was closed.
    pub(super) is_active: bool,
    /// The one way.
    pub(super) is_blocked_by_asker: bool,
    /// The other.
    pub(super) blocks_asker: bool,
}

impl Place {
    /// The asker's own row, where they take part, the conversation is active and nobody in it blocks them.
    pub(super) fn readable(&self) -> Result<&Member, Refused> {
        let own = self.own()?;
        let is_blocked = self.members.iter().any(|member| member.blocks_asker);
        if is_blocked { Err(Refused::NotParticipant) } else { Ok(own) }
    }

    /// The asker's own row, where they take part, the conversation is active and there is no block either way.
    pub(super) fn speakable(&self) -> Result<&Member, Refused> {
        let own = self.own()?;
        if self.is_silent() { Err(Refused::Silenced) } else { Ok(own) }
    }

    /// True exactly when somebody here blocks the asker or is blocked by them.
    pub(super) fn is_silent(&self) -> bool {
        self.members.iter().any(|member| member.blocks_asker || member.is_blocked_by_asker)
    }

    /// Everyone here, by id.
    pub(super) fn participants(&self) -> Vec<UserId> {
        self.members.iter().map(|member| member.status.user.id).collect()
    }

    fn own(&self) -> Result<&Member, Refused> {
        if !self.is_active {
            return Err(Refused::ConversationNotFound);
        }
        let is_own = |member: &&Member| member.status.user.id == self.asker;
        let own = self.members.iter().find(is_own).ok_or(Refused::NotParticipant)?;
        // Whoever was deactivated is nobody, whatever their token says.
        if own.is_active { Ok(own) } else { Err(Refused::UserNotFound) }
    }
}
