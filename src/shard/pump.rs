//! Between one connection and its socket: receiving within a budget, and sending what waits.

use std::io::{ErrorKind, IoSlice};

use super::core::Core;
use super::io::Io;
use super::slot::Slot;
use crate::conn::{Drained, Phase};
use crate::ids::ConnKey;
use crate::limits::{IOVEC_MAX, RECV_BUDGET};

/// Receives within the budget of a turn, and walks what came.
pub(super) fn read<I: Io>(
    core: &mut Core,
    io: &mut I,
    key: ConnKey,
    slot: &mut Slot<I::Socket>,
    buffer: &mut [u8],
) {
    for _ in 0..RECV_BUDGET {
        if !slot.line.may_read() {
            slot.line.flags.unread = true;
            return;
        }
        slot.line.flags.unread = false;
        match io.recv(&mut slot.socket, buffer) {
            Ok(0) => {
                slot.line.conn.on_shut(core.now.mono, &core.node.conn);
                return;
            }
            Ok(count) => {
                core.meters.received(count);
                core.walk(key, &mut slot.line, &mut buffer[..count]);
                if count < buffer.len() && !slot.line.flags.ended {
                    // Nothing more is there: what comes from now on is a new edge. An end is no edge of its own when it came
                    // together with the last bytes.
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => {
                slot.line.conn.on_lost();
                return;
            }
        }
    }
    core.mark_hungry(key, &mut slot.line);
}

/// A connection may go on: walks what it kept, then reads what arrived meanwhile, whose edge is past.
pub(super) fn read_on<I: Io>(
    core: &mut Core,
    io: &mut I,
    key: ConnKey,
    slot: &mut Slot<I::Socket>,
    buffer: &mut [u8],
) {
    if slot.line.conn.phase() == Phase::Deciding || slot.line.flags.stalled {
        return;
    }
    if let Some(mut kept) = slot.line.conn.take_kept() {
        core.walk(key, &mut slot.line, &mut kept);
    }
    if slot.line.flags.unread {
        read(core, io, key, slot, buffer);
    }
}

/// Sends until everything has left or the socket is full.
pub(super) fn send<I: Io>(core: &Core, io: &mut I, slot: &mut Slot<I::Socket>) {
    let Slot { socket, line } = slot;
    let limits = core.node.limits(&line.role);
    let mut drained = line.conn.settle();
    while !line.conn.outbound().is_empty() {
        let outbound = line.conn.outbound();
        let result = if let Some(bytes) = outbound.single() {
            io.send(socket, &[IoSlice::new(bytes)])
        } else {
            let mut slices = [IoSlice::new(&[]); IOVEC_MAX];
            let count = outbound.slices(&mut slices);
            io.send(socket, &slices[..count])
        };
        match result {
            Ok(count) => {
                core.meters.sent(count);
                drained = line.conn.on_sent(count, core.now.mono, limits);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return line.conn.on_lost(),
        }
    }
    match drained {
        Drained::GoesOn => {}
        Drained::Shut => io.shut(socket),
        Drained::Lost => line.conn.on_lost(),
    }
}
