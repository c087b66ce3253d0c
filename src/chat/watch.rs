//! Whose presence a chat session watches: only those whom the store allows, and until one of the two blocks the other.

use super::answers::{ack, answer, complain, too_busy};
use super::open::tell_status;
use super::{Ctx, Effect, Session, Then};
use crate::limits::SUBSCRIBE_USERS_MAX;
use crate::model::{Answer, Complaint, Group, Topic, UserId};
use crate::store::{Request, Status};

/// Subscriptions of one session that wait for the store.
const READS_MAX: u8 = 4;

/// Whom a session watches, and whom it has asked to.
#[derive(Default, Debug)]
pub(super) struct Watching {
    /// Sorted; at most [`SUBSCRIBE_USERS_MAX`].
    users: Vec<UserId>,
    /// Those the store is being asked about and who have not been unsubscribed or blocked meanwhile.
    asked: Vec<UserId>,
    /// Questions to the store.
    reads: u8,
}

impl Watching {
    pub(super) fn is_idle(&self) -> bool {
        self.users.is_empty() && self.reads == 0
    }

    /// The groups of those watched.
    pub(super) fn groups(&self) -> impl Iterator<Item = Group> {
        self.users.iter().map(|user| Group::Presence(*user))
    }

    /// True exactly when `user` was not watched before and is now.
    fn add(&mut self, user: UserId) -> bool {
        match self.users.binary_search(&user) {
            Err(at) if self.users.len() < SUBSCRIBE_USERS_MAX => {
                self.users.insert(at, user);
                true
            }
            _ => false,
        }
    }

    fn is_watching(&self, user: UserId) -> bool {
        self.users.binary_search(&user).is_ok()
    }
}

/// `subscribe` or `unsubscribe` of `user_status`. To unsubscribe nobody is to unsubscribe all.
pub(super) fn on_command(
    session: &mut Session,
    on: bool,
    users: &[UserId],
    reference: Option<&str>,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) -> Result<(), Complaint<'static>> {
    let topic = Topic::UserStatus;
    if on && !users.is_empty() {
        let watching = &mut session.extra().watching;
        if watching.reads >= READS_MAX {
            return Err(too_busy(ctx));
        }
        watching.reads += 1;
        watching.asked.extend_from_slice(users);
        out.push(Effect::Store {
            request: Request::Watch { user: session.user, users: users.to_vec() },
            then: Then::Watch { reference: reference.map(Box::from) },
        });
        return Ok(());
    }
    if !on && users.is_empty() {
        let watching = &mut session.extra().watching;
        watching.asked.clear();
        let all = watching.users.clone();
        unwatch(session, &all, out);
    } else {
        unwatch(session, users, out);
    }
    answer(ctx, out, &Answer::Subscribed { topic, on, users: Some(users) });
    ack(ctx, out, reference);
    Ok(())
}

/// The store says whom of those asked for the user may watch: they are, and how each stands is told once.
pub(super) fn on_watched(
    session: &mut Session,
    found: &[Status],
    reference: Option<&str>,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) {
    let watching = &mut session.extra().watching;
    for Status { user, .. } in found {
        if watching.asked.contains(&user.id) && watching.add(user.id) {
            out.push(Effect::Join(Group::Presence(user.id)));
        }
    }
    let watched: Vec<_> =
        found.iter().filter(|status| watching.is_watching(status.user.id)).collect();
    let users: Vec<UserId> = watched.iter().map(|status| status.user.id).collect();
    answered(watching);
    answer(
        ctx,
        out,
        &Answer::Subscribed { topic: Topic::UserStatus, on: true, users: Some(&users) },
    );
    for status in watched {
        tell_status(status, ctx, out);
    }
    ack(ctx, out, reference);
}

/// The store said nothing.
pub(super) fn on_failure(
    session: &mut Session,
    complaint: Complaint<'_>,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) {
    answered(&mut session.extra().watching);
    complain(session, complaint, ctx, out);
}

/// Stops watching `users`, also those the store is still being asked about.
pub(super) fn unwatch(session: &mut Session, users: &[UserId], out: &mut Vec<Effect>) {
    let Some(extra) = &mut session.extra else { return };
    let watching = &mut extra.watching;
    watching.asked.retain(|user| !users.contains(user));
    for user in users {
        if let Ok(at) = watching.users.binary_search(user) {
            watching.users.remove(at);
            out.push(Effect::Leave(Group::Presence(*user)));
        }
    }
}

fn answered(watching: &mut Watching) {
    debug_assert!(watching.reads > 0, "a reply to a question that was asked");
    watching.reads = watching.reads.saturating_sub(1);
    if watching.reads == 0 {
        watching.asked = Vec::new();
    }
}
