//! The end of a shard: it takes nothing new, tells its clients to come back elsewhere, and closes them a few at a time, so that
//! they do not all knock at the other nodes at once.

use super::io::Io;
use super::slot::Role;
use super::{Accepting, Shard};
use crate::conn::Phase;
use crate::ids::ConnKey;
use crate::limits::DRAIN_STEP_MS;
use crate::model::Answer;
use crate::time::Mono;

/// RFC 6455's registry: "service restart".
const SERVICE_RESTART: u16 = 1012;

/// A drain under way.
#[derive(Debug)]
pub(super) struct Drain {
    /// The end of the last step.
    end: Mono,
    next: Mono,
    /// Connections before this index were closed.
    cursor: u32,
    /// When the shard ends whatever is still open.
    deadline: Mono,
}

impl Drain {
    pub(super) fn until_next(&self, now: Mono) -> u64 {
        self.next.since(now)
    }

    pub(super) fn is_done(&self, now: Mono, is_empty: bool) -> bool {
        is_empty || now >= self.deadline
    }
}

impl<I: Io> Shard<I> {
    pub(super) fn begin_drain(&mut self, within_ms: u64) {
        if self.drain.is_some() {
            return;
        }
        let now = self.core.now.mono;
        self.io.stop_listening();
        self.accepting = Accepting::Never;
        self.drain = Some(Drain {
            end: now.plus(within_ms),
            next: now,
            cursor: 0,
            deadline: now.plus(within_ms).plus(self.core.node.conn.close_ms),
        });
        for index in 0..self.table.extent() {
            let Some((key, slot)) = self.table.at_mut(index) else { continue };
            let idle = slot.line.conn.phase() == Phase::Head && slot.line.conn.is_at_rest();
            if idle {
                self.with(key, |_, _, slot, _| slot.line.conn.on_lost());
            } else {
                self.announce(key, within_ms);
            }
        }
    }

    /// Tells a `fortifun.v1` client to come back after a delay of its own.
    fn announce(&mut self, key: ConnKey, within_ms: u64) {
        let delay_ms = self.io.random() % within_ms.max(1);
        self.with(key, |core, _, slot, _| {
            let Role::Session(session) = &slot.line.role else { return };
            if session.is_v1() {
                let answer = Answer::Reconnect { reason: "drain", delay_ms };
                let frame = core.node.encoder.answer(&answer);
                core.send(key, &mut slot.line, frame, false);
            }
        });
    }

    /// Closes the share of connections whose time has come.
    pub(super) fn advance_drain(&mut self) {
        let now = self.core.now.mono;
        let Some(drain) = &mut self.drain else { return };
        if now < drain.next {
            return;
        }
        let extent = self.table.extent();
        let steps_left = (drain.end.since(now) / DRAIN_STEP_MS).max(1) as usize;
        drain.next = now.plus(DRAIN_STEP_MS);
        let mut cursor = drain.cursor;
        let mut share = self.table.len().div_ceil(steps_left);
        while share > 0 && cursor < extent {
            cursor += 1;
            let Some((key, _)) = self.table.at_mut(cursor - 1) else { continue };
            share -= 1;
            self.with(key, |core, _, slot, _| match slot.line.conn.phase() {
                Phase::Open => core.close(key, &mut slot.line, SERVICE_RESTART, "restarting"),
                Phase::Head if slot.line.conn.is_at_rest() => slot.line.conn.on_lost(),
                _ => {}
            });
        }
        if let Some(drain) = &mut self.drain {
            // After the last one the walk begins again: an upgrade may have been under way when it began.
            drain.cursor = if cursor == extent { 0 } else { cursor };
        }
    }
}
