//! From a group's delivery to the outbound of its sessions here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Shard;
use super::core::Core;
use super::inbox::Lost;
use super::io::Io;
use super::slot::{Line, Role};
use crate::channel::{Delivery, Payload};
use crate::chat::{self, Admit};
use crate::ids::ConnKey;
use crate::model::{Endpoint, Group, close};

impl<I: Io> Shard<I> {
    /// Gives every session of a group what was published to it.
    pub(super) fn deliver(&mut self, delivery: &Delivery) {
        if delivery.group == Group::General {
            return self.deliver_to_all(delivery);
        }
        let Self { table, core, .. } = self;
        let mut members = std::mem::take(core.groups.scratch());
        members.clear();
        members.extend_from_slice(core.groups.members(delivery.group));
        let mut reached = 0;
        for &index in &members {
            let Some((key, slot)) = table.at_mut(index) else { continue };
            reached += u64::from(deliver_one(core, key, &mut slot.line, delivery));
        }
        *core.groups.scratch() = members;
        if let Payload::Frame { .. } = delivery.payload {
            core.meters.fanned_out(reached);
            if let Some(at) = delivery.committed_at {
                core.meters.delivered(core.now.wall.0.saturating_sub(at.0).max(0) as u64);
            }
        }
    }

    fn deliver_to_all(&mut self, delivery: &Delivery) {
        let Self { table, core, .. } = self;
        let mut reached = 0;
        for index in 0..table.extent() {
            let Some((key, slot)) = table.at_mut(index) else { continue };
            if slot.line.role.endpoint() == Some(Endpoint::Chat) {
                reached += u64::from(deliver_one(core, key, &mut slot.line, delivery));
            }
        }
        core.meters.fanned_out(reached);
    }

    /// Notes were lost on the way: whoever they were for comes back and resumes.
    pub(super) fn mend(&mut self) {
        let Some(lost) = self.notes.take_lost() else { return };
        let Lost { groups, conns, users, is_own, is_everything } = lost;
        if is_everything {
            let keys: Vec<ConnKey> = self.table.iter_mut().map(|(key, _)| key).collect();
            for key in keys {
                self.send_back(key, close::SLOW_CONSUMER);
            }
        }
        for group in groups {
            for index in self.core.groups.members(group).to_vec() {
                if let Some((key, _)) = self.table.at_mut(index) {
                    self.send_back(key, close::SLOW_CONSUMER);
                }
            }
        }
        for (key, code) in conns {
            self.send_back(key, code);
        }
        for user in users {
            self.core.tell_presence(user);
        }
        if is_own || is_everything {
            self.core.on_own_lost();
            self.close_revoked();
        }
    }

    fn send_back(&mut self, key: ConnKey, code: u16) {
        self.with(key, |core, _, slot, _| match slot.line.role {
            Role::Session(_) => {
                let reason = "events were lost: reconnect and resume";
                core.close(key, &mut slot.line, code, reason);
            }
            // It has promised nothing yet, so its client begins anew.
            Role::Knocking { .. } => slot.line.conn.on_lost(),
            // A request without an answer is given one when its time is up.
            Role::Http | Role::Echo | Role::Ended => {}
        });
    }
}

/// A panic in what happened to one connection ends that connection, and no other.
pub(super) fn end_panicked(core: &mut Core, key: ConnKey, line: &mut Line) {
    tracing::error!(?key, "a panic ended this connection");
    core.effects.clear();
    line.conn.on_lost();
}

/// Gives one session what its group got. True exactly when a frame was queued.
fn deliver_one(core: &mut Core, key: ConnKey, line: &mut Line, delivery: &Delivery) -> bool {
    let result = catch_unwind(AssertUnwindSafe(|| try_deliver(core, key, line, delivery)));
    result.unwrap_or_else(|_| {
        end_panicked(core, key, line);
        core.settle(key, line);
        false
    })
}

fn try_deliver(core: &mut Core, key: ConnKey, line: &mut Line, delivery: &Delivery) -> bool {
    let me = core.here(key);
    match (&delivery.payload, &mut line.role) {
        (Payload::Frame { frame, topic, place, except, sheddable }, Role::Session(session)) => {
            match session.admits(me, *topic, *place, *except) {
                Admit::Deliver => {
                    core.send(key, line, frame.clone(), *sheddable);
                    return true;
                }
                Admit::Skip | Admit::Hold => {}
                Admit::Gap => {
                    core.with_session(key, line, |session, _, out| chat::on_gap(session, out));
                }
            }
        }
        (Payload::Frame { place, .. }, Role::Knocking { pending, .. }) => {
            if let Some((_, seq)) = place {
                pending.hold(*seq);
            }
        }
        (Payload::Control(control), Role::Session(_)) => {
            core.with_session(key, line, |session, ctx, out| {
                chat::on_control(session, *control, ctx, out);
            });
            core.settle(key, line);
        }
        (Payload::Control(control), Role::Knocking { user, pending, .. }) => {
            pending.on_control(*user, *control);
        }
        (_, Role::Http | Role::Echo | Role::Ended) => {}
    }
    false
}
