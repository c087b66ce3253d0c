//! What users do to each other: likes, matches, blocks.

use std::sync::Arc;

use super::state::{Pairing, State, User};
use super::write::Found;
use crate::model::{Match, MatchId, Refused, UserId};
use crate::store::{Made, Reply};
use crate::time::Timestamp;

impl State {
    /// Refuses a name that another user has.
    pub(super) fn is_free(&self, username: &str) -> Result<(), Refused> {
        if self.names.contains_key(username) { Err(Refused::NameTaken) } else { Ok(()) }
    }

    /// A new active user of a free name.
    pub(super) fn add_user(&mut self, username: &str, first: &str, last: &str) -> Reply {
        let id = UserId(self.users.len() as i64 + 1);
        let username: Arc<str> = username.into();
        self.names.insert(Arc::clone(&username), id);
        self.users.insert(
            id,
            User {
                username,
                first_name: first.to_owned(),
                last_name: last.to_owned(),
                is_active: true,
                is_online: false,
                last_activity: None,
            },
        );
        Reply::UserAdded(self.card(id))
    }

    pub(super) fn like(
        &mut self,
        liker: UserId,
        liked: UserId,
        welcome: &str,
        now: Timestamp,
    ) -> Result<Reply, Refused> {
        let (liker_card, liked_card) = self.two(liker, liked)?;
        if self.blocked_either_way(liker, liked) {
            return Err(Refused::UserBlocked);
        }
        if !self.likes.insert((liker, liked)) {
            return Err(Refused::AlreadyLiked);
        }
        let made = if self.likes.contains(&(liked, liker)) {
            self.make_match(liker, liked, welcome, now)
        } else {
            None
        };
        Ok(Reply::Liked { liker: liker_card, liked: liked_card, made: made.map(Box::new) })
    }

    pub(super) fn unlike(&mut self, liker: UserId, liked: UserId) -> Result<Reply, Refused> {
        self.two(liker, liked)?;
        if self.likes.remove(&(liker, liked)) {
            self.end_match(liker, liked);
        }
        Ok(Reply::Done)
    }

    pub(super) fn block(&mut self, blocker: UserId, blocked: UserId) -> Result<Reply, Refused> {
        self.two(blocker, blocked)?;
        self.blocks.insert((blocker, blocked));
        self.likes.remove(&(blocker, blocked));
        self.likes.remove(&(blocked, blocker));
        self.end_match(blocker, blocked);
        let conversations = self.shared(blocker, blocked);
        Ok(Reply::Blocked { blocker, blocked, conversations })
    }

    pub(super) fn unblock(&mut self, blocker: UserId, blocked: UserId) -> Result<Reply, Refused> {
        self.two(blocker, blocked)?;
        self.blocks.remove(&(blocker, blocked));
        let still = self.blocks.contains(&(blocked, blocker));
        let conversations = if still { Vec::new() } else { self.shared(blocker, blocked) };
        Ok(Reply::Unblocked { conversations })
    }

    /// The match of two who like each other, and their conversation; `None` where it is active already.
    fn make_match(
        &mut self,
        liker: UserId,
        liked: UserId,
        welcome: &str,
        now: Timestamp,
    ) -> Option<Made> {
        let next = MatchId(self.matches.len() as i64 + 1);
        let fresh = Pairing { id: next, created_at: now, is_active: false };
        let pairing = self.matches.entry(ordered(liker, liked)).or_insert(fresh);
        if pairing.is_active {
            return None;
        }
        pairing.is_active = true;
        pairing.created_at = now;
        let id = pairing.id;
        let (conversation, found) = self.bring_together(liker, liked, now);
        let welcome =
            (found == Found::Nothing).then(|| self.welcome(conversation, liker, welcome, now));
        Some(Made { made: Match { id, conversation, created_at: now }, welcome })
    }

    fn end_match(&mut self, a: UserId, b: UserId) {
        if let Some(pairing) = self.matches.get_mut(&ordered(a, b)) {
            pairing.is_active = false;
        }
    }
}

fn ordered(a: UserId, b: UserId) -> (UserId, UserId) {
    (a.min(b), a.max(b))
}
