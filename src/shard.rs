//! One event loop: a thread with its own listener, connections and timers, and the fixed order of its turn.
//!
//! A turn: poll, clock, notes, stalled requests, hungry connections, ready connections, timers, flush, free. A shard blocks
//! in [`Io::poll`] and nowhere else. It shares inboxes, the group registry, the directory of users and counters with the
//! other shards, and nothing else. Generic over [`Io`], so that the simulation runs this code and no copy of it.

mod accept;
pub mod core;
mod deliver;
mod drain;
pub mod groups;
pub mod inbox;
pub mod io;
pub mod latch;
mod lease;
pub mod meters;
pub mod mio_io;
pub mod node;
mod presence;
mod pump;
mod requests;
mod revocation;
mod run;
pub mod slot;
pub mod stalled;
pub mod table;
pub mod timers;
pub mod write_delay;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::conn::Phase;
use crate::ids::{ConnKey, ShardId};
use crate::limits::{NOTES_PER_TURN_MAX, RECV_BUFFER_BYTES, STALL_MS};
use crate::time::{Mono, Now};
use crate::worker::Ticket;

use self::core::Core;
use deliver::end_panicked;
use drain::Drain;
use inbox::{Note, Notes};
use io::{Io, Ready};
use node::Node;
use pump::{read, read_on, send};
use run::Run;
use slot::{Line, Slot};
use table::Table;

/// See the module.
pub struct Shard<I: Io> {
    io: I,
    table: Table<Slot<I::Socket>>,
    core: Core,
    notes: Notes,
    /// The receive buffer that all connections share.
    buffer: Box<[u8]>,
    ready: Vec<Ready>,
    fired: Vec<u32>,
    /// What was taken from the inbox and is not delivered yet; empty between the parts of a turn.
    run: Run,
    /// Connections that are just flushed; kept for its room.
    flushing: Vec<ConnKey>,
    accepting: Accepting,
    /// True exactly when descriptors ran out, and clients may still wait because of it; said in the log when it changes.
    is_exhausted: bool,
    drain: Option<Drain>,
    /// When the housekeeping of every second is next due.
    housekeeping_at: Mono,
}

/// Whether connections are accepted now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Accepting {
    /// The next readiness says when.
    Idle,
    /// More wait than a turn takes.
    Hungry,
    /// No descriptor is left; until then, or until a connection of this shard ends.
    Paused(Mono),
    /// No more.
    Never,
}

/// Ready connections that are read from before those with an answer are written to: what a read has brought into the caches is still
/// there for the write.
const SERVED_AT_ONCE: usize = 32;

/// How often a shard looks after what no event reminds it of.
const HOUSEKEEPING_MS: u64 = 1_000;

impl<I: Io> Shard<I> {
    /// A shard with no connection.
    pub fn new(id: ShardId, mut io: I, node: Arc<Node>, notes: Notes) -> Self {
        let now = io.now();
        Self {
            io,
            table: Table::default(),
            core: Core::new(id, node, now),
            notes,
            buffer: vec![0; RECV_BUFFER_BYTES].into_boxed_slice(),
            ready: Vec::new(),
            fired: Vec::new(),
            run: Run::default(),
            flushing: Vec::new(),
            accepting: Accepting::Idle,
            is_exhausted: false,
            drain: None,
            housekeeping_at: now.mono,
        }
    }

    /// One turn. False when the shard has drained and is done.
    ///
    /// # Panics
    ///
    /// Where the system refuses to poll: a shard cannot go on without.
    pub fn turn(&mut self) -> bool {
        let timeout = self.timeout();
        self.ready.clear();
        if let Err(error) = self.io.poll(Some(timeout), &mut self.ready) {
            panic!("the system refuses to poll: {error}");
        }
        self.notes.awake();
        let now = self.io.now();
        self.core.now = now;
        self.core.random = self.io.random();
        self.take_notes();
        self.retry_stalled();
        self.feed_hungry();
        self.serve_ready();
        self.fire_timers();
        self.advance_drain();
        // Before what is slow: others begin while this thread writes to its sockets.
        self.core.ring();
        self.flush();
        self.free();
        self.core.ring();
        self.notes.doze();
        let busy = self.io.now().wall.0.saturating_sub(now.wall.0).max(0);
        self.core.meters.turn(busy as u64);
        let is_done = self.is_done();
        if is_done {
            self.core.node.stage.shard_done();
        }
        !is_done
    }

    /// What the shard knows besides sockets; for the simulation's invariants.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// The system under the shard.
    pub fn io_mut(&mut self) -> &mut I {
        &mut self.io
    }

    /// Every connection, with its key.
    pub fn lines_mut(&mut self) -> impl Iterator<Item = (ConnKey, &mut Line)> {
        self.table.iter_mut().map(|(key, slot)| (key, &mut slot.line))
    }

    /// How long the next turn may wait for readiness.
    pub fn timeout(&self) -> Duration {
        if self.notes.has_more()
            || !self.core.hungry.is_empty()
            || !self.core.dirty.is_empty()
            || self.accepting == Accepting::Hungry
        {
            return Duration::ZERO;
        }
        let now = self.core.now.mono;
        let mut ms = self.housekeeping_at.since(now);
        if !self.core.stalled.is_empty() {
            ms = ms.min(STALL_MS);
        }
        if let Some(presence) = self.core.until_presence() {
            ms = ms.min(presence);
        }
        if self.core.shard == ShardId(0) {
            ms = ms.min(self.core.revocations.next_at().since(now));
        }
        if let Accepting::Paused(until) = self.accepting {
            ms = ms.min(until.since(now));
        }
        if let Some(drain) = &self.drain {
            ms = ms.min(drain.until_next(now));
        }
        if let Some(timer) = self.core.wheel.until_next(now) {
            ms = ms.min(timer);
        }
        if let Some(late) = self.core.write_delay.until_next(now) {
            ms = ms.min(late);
        }
        Duration::from_millis(ms)
    }

    /// Lets `what` happen to the connection of `key`, and settles it afterwards. A panic ends this connection alone.
    fn with(
        &mut self,
        key: ConnKey,
        what: impl FnOnce(&mut Core, &mut I, &mut Slot<I::Socket>, &mut [u8]),
    ) {
        let Self { table, core, io, buffer, .. } = self;
        let Some(slot) = table.get_mut(key) else { return };
        let result = catch_unwind(AssertUnwindSafe(|| what(core, io, slot, buffer)));
        if result.is_err() {
            end_panicked(core, key, &mut slot.line);
        }
        core.settle(key, &mut slot.line);
    }

    /// True exactly when the shard has drained. Shard 0 goes last: it keeps house for all.
    fn is_done(&self) -> bool {
        let Some(drain) = &self.drain else { return false };
        let is_free = self.core.shard != ShardId(0) || self.core.node.is_last_shard();
        drain.is_done(self.core.now.mono, self.table.is_empty() && is_free)
    }

    // Notes.

    fn take_notes(&mut self) {
        for _ in 0..NOTES_PER_TURN_MAX {
            let Some(note) = self.notes.take() else { break };
            self.mend();
            match &note {
                Note::Delivery(_) => {}
                // Most are of a message that its sender hears with the others of its run.
                Note::Answered(answered) if answered.says_nothing() => continue,
                _ => self.deliver_run(),
            }
            match note {
                Note::Delivery(delivery) => self.gather(delivery),
                Note::Answered(answered) => {
                    let (key, outcome) = (answered.to.key, &answered.outcome);
                    match answered.ticket {
                        Ticket::Presence { user, is_online } => {
                            self.core.on_presence(user, is_online, outcome);
                        }
                        Ticket::Lease => self.core.on_lease(outcome),
                        Ticket::Revocations => self.core.on_revocations(outcome),
                        _ => self.with(key, |core, io, slot, buffer| {
                            core.on_answered(key, &mut slot.line, *answered);
                            read_on(core, io, key, slot, buffer);
                        }),
                    }
                }
                Note::Close { conn, code, reason } => {
                    let key = conn.key;
                    self.with(key, |core, _, slot, _| {
                        core.close(key, &mut slot.line, code, reason);
                    });
                }
                Note::Revoked => self.close_revoked(),
                Note::Drain { within_ms } => self.begin_drain(within_ms),
            }
        }
        self.deliver_run();
        self.mend();
    }

    // Reading.

    fn retry_stalled(&mut self) {
        let mut freed = Vec::new();
        let core = &mut self.core;
        core.stalled.retry(&core.node.queues, &mut freed);
        core.tell_waiting_presence();
        for key in freed {
            self.with(key, |core, io, slot, buffer| {
                slot.line.flags.stalled = false;
                read_on(core, io, key, slot, buffer);
            });
        }
    }

    fn feed_hungry(&mut self) {
        for _ in 0..self.core.hungry.len() {
            let Some(key) = self.core.hungry.pop_front() else { break };
            self.with(key, |core, io, slot, buffer| {
                slot.line.flags.hungry = false;
                read(core, io, key, slot, buffer);
            });
        }
    }

    fn serve_ready(&mut self) {
        if matches!(self.accepting, Accepting::Paused(until) if until <= self.core.now.mono) {
            self.accepting = Accepting::Hungry;
        }
        let mut ready = std::mem::take(&mut self.ready);
        if self.accepting == Accepting::Hungry || ready.contains(&Ready::Listener) {
            self.accept();
        }
        // Connections that were dirty before may become so again; they are flushed once, in the end.
        let kept = self.core.dirty.len();
        for events in ready.chunks(SERVED_AT_ONCE) {
            for event in events {
                self.serve(event);
            }
            self.flush_from(kept);
        }
        ready.clear();
        self.ready = ready;
    }

    fn serve(&mut self, event: &Ready) {
        let &Ready::Conn { key, readable, ended, writable } = event else { return };
        self.with(key, |core, io, slot, buffer| {
            slot.line.flags.ended |= ended;
            if writable && !slot.line.conn.outbound().is_empty() {
                core.mark_dirty(key, &mut slot.line);
            }
            if readable {
                read(core, io, key, slot, buffer);
            }
        });
    }

    // Time.

    fn fire_timers(&mut self) {
        let now = self.core.now.mono;
        let mut fired = std::mem::take(&mut self.fired);
        self.core.wheel.expire(now, &mut fired);
        for index in fired.drain(..) {
            if let Some((key, _)) = self.table.at_mut(index) {
                self.with(key, |core, _, slot, _| core.on_timer(key, &mut slot.line));
            }
        }
        self.fired = fired;
        self.end_write_delays();
        if self.housekeeping_at <= now {
            self.housekeeping_at = now.plus(HOUSEKEEPING_MS);
            self.keep_house();
        }
        if self.core.shard == ShardId(0) {
            self.core.poll_revocations();
        }
    }

    /// What was late leaves with this turn, where it has not left before.
    fn end_write_delays(&mut self) {
        let Self { core, table, .. } = self;
        let dirty = &mut core.dirty;
        core.write_delay.expire(core.now.mono, |key| {
            let Some(Slot { line, .. }) = table.get_mut(key) else { return };
            line.flags.late = false;
            if !line.flags.dirty && !line.conn.outbound().is_empty() {
                line.flags.dirty = true;
                dirty.push(key);
            }
        });
    }

    fn keep_house(&mut self) {
        let Self { core, table, .. } = self;
        core.meters.depths(
            table.len(),
            core.wheel.armed(),
            core.node.inboxes[usize::from(core.shard.0)].len(),
            core.stalled.len(),
        );
        core.retry_unkept();
        if core.shard == ShardId(0) {
            core.expire_presence();
            core.keep_lease();
            let (write, read) = core.node.queues.depths();
            core.meters.queues(write, read);
        }
    }

    // Writing.

    /// One `writev` for each dirty connection: everything that came together for it in this turn leaves together.
    fn flush(&mut self) {
        self.flush_from(0);
    }

    /// The same for those that became dirty after the first `kept`.
    fn flush_from(&mut self, kept: usize) {
        if self.core.dirty.len() == kept {
            return;
        }
        let mut dirty = std::mem::take(&mut self.flushing);
        dirty.extend(self.core.dirty.drain(kept..));
        for key in dirty.drain(..) {
            self.with(key, |core, io, slot, buffer| {
                slot.line.flags.dirty = false;
                send(core, io, slot);
                let is_short =
                    slot.line.conn.outbound().len() <= core.node.conn.outbound.short_bytes();
                if is_short && let Some(job) = slot.line.deferred.take() {
                    core.submit(key, &mut slot.line, *job);
                }
                if is_short && slot.line.conn.phase() == Phase::Head {
                    read_on(core, io, key, slot, buffer);
                }
            });
        }
        // What became dirty meanwhile is flushed later in this turn, or in the next one, which does not wait.
        self.flushing = dirty;
    }

    fn free(&mut self) {
        let mut doomed = std::mem::take(&mut self.core.doomed);
        for key in doomed.drain(..) {
            self.core.wheel.cancel(key.index);
            if let Some(slot) = self.table.remove(key) {
                if let Some(address) = slot.line.address {
                    self.core.node.addresses.release(address, self.core.now.mono);
                }
                self.io.close(slot.socket);
                if let Accepting::Paused(_) = self.accepting {
                    self.accepting = Accepting::Hungry;
                }
            }
        }
        self.core.doomed = doomed;
    }

    /// When the shard's clocks were last read.
    pub fn now(&self) -> Now {
        self.core.now
    }
}
