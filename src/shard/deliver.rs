//! From a group's delivery to the outbound of its sessions here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use super::Shard;
use super::core::Core;
use super::inbox::Lost;
use super::io::Io;
use super::run::{Run, Span};
use super::slot::{Line, Role, Slot};
use crate::channel::{Delivery, Payload};
use crate::chat::{self, Admit};
use crate::conn::Phase;
use crate::ids::ConnKey;
use crate::limits::RUN_MAX;
use crate::model::{Endpoint, Group, close};

/// Members of a group for whom making one piece of several messages costs less than it saves.
const WHOLE_MEMBERS_MIN: usize = 2;

impl<I: Io> Shard<I> {
    /// Takes `delivery` to what was gathered before, where it goes on from there; else that is delivered first.
    pub(super) fn gather(&mut self, delivery: Arc<Delivery>) {
        if let Err(delivery) = self.run.push(delivery) {
            self.deliver_run();
            let is_taken = self.run.push(delivery).is_ok();
            debug_assert!(is_taken, "an empty run takes everything");
        }
    }

    /// Delivers what was gathered.
    pub(super) fn deliver_run(&mut self) {
        if self.run.deliveries().is_empty() {
            return;
        }
        let mut run = std::mem::take(&mut self.run);
        let Delivery { group, payload, .. } = &*run.deliveries()[0];
        let (group, is_frame) = (*group, matches!(payload, Payload::Frame { .. }));
        let dirty = self.core.dirty.len();
        match run.deliveries() {
            [first, ..] if self.core.groups.members(group).len() >= WHOLE_MEMBERS_MIN => {
                match run.whole() {
                    Some((span, frames)) => self.deliver_whole(&run, span, &frames),
                    None => self.deliver(first),
                }
            }
            each => each.iter().for_each(|delivery| self.deliver(delivery)),
        }
        if is_frame && group != Group::General {
            self.hold_late(group, dirty);
        }
        run.clear();
        self.run = run;
    }

    /// Takes connections that are to be flushed only for what was just said in `group` out of the dirty ones, those behind the first
    /// `dirty`: where the group is busy, they are flushed when its window ends. Those that have much waiting, and those that close,
    /// stay: a delay makes nobody a slow consumer.
    fn hold_late(&mut self, group: Group, dirty: usize) {
        let Self { table, core, .. } = self;
        if core.dirty.len() == dirty {
            return;
        }
        let Some(mut late) = core.write_delay.late(group, core.now.mono) else { return };
        let short_bytes = core.node.conn.outbound.short_bytes();
        let mut stay = dirty;
        for at in dirty..core.dirty.len() {
            let key = core.dirty[at];
            let Some(Slot { line, .. }) = table.get_mut(key) else { continue };
            if line.conn.phase() != Phase::Open || line.conn.outbound().len() > short_bytes {
                core.dirty[stay] = key;
                stay += 1;
                continue;
            }
            line.flags.dirty = false;
            if !line.flags.late {
                line.flags.late = true;
                late.push(key);
            }
        }
        core.dirty.truncate(stay);
        core.write_delay.put_back(group, late);
    }

    /// Gives every session of a group the messages of a run: in one piece, where it misses none before them; else one by one.
    fn deliver_whole(&mut self, run: &Run, span: Span, frames: &Bytes) {
        let Self { table, core, .. } = self;
        let mut members = std::mem::take(core.groups.scratch());
        members.clear();
        members.extend_from_slice(core.groups.members(run.deliveries()[0].group));
        let mut reached = [0; RUN_MAX];
        let mut reached_by_all = 0;
        for &index in &members {
            let Some((key, slot)) = table.at_mut(index) else { continue };
            let line = &mut slot.line;
            match catch_unwind(AssertUnwindSafe(|| send_whole(core, key, line, span, frames))) {
                Ok(true) => reached_by_all += 1,
                Ok(false) => {
                    for (delivery, reached) in run.deliveries().iter().zip(&mut reached) {
                        *reached += u64::from(deliver_one(core, key, line, delivery));
                    }
                }
                Err(_) => {
                    end_panicked(core, key, line);
                    core.settle(key, line);
                }
            }
        }
        *core.groups.scratch() = members;
        for (delivery, reached) in run.deliveries().iter().zip(reached) {
            count(core, delivery, reached_by_all + reached);
        }
    }

    /// Gives every session of a group what was published to it.
    fn deliver(&mut self, delivery: &Delivery) {
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
            count(core, delivery, reached);
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
        // What was gathered came before.
        self.deliver_run();
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

/// So many sessions got a frame.
fn count(core: &Core, delivery: &Delivery, reached: u64) {
    core.meters.fanned_out(reached);
    if let Some(at) = delivery.committed_at {
        core.meters.delivered(core.now.wall.0.saturating_sub(at.0).max(0) as u64);
    }
}

/// Gives one session the messages of a run in one piece. False where it does not want exactly all of them: then nothing was done.
fn send_whole(core: &mut Core, key: ConnKey, line: &mut Line, span: Span, frames: &Bytes) -> bool {
    let Role::Session(session) = &mut line.role else { return false };
    let Span { topic, conversation, first, last } = span;
    let is_wanted = session.admits_all(topic, conversation, first, last);
    if is_wanted {
        core.send(key, line, frames.clone(), false);
    }
    is_wanted
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
