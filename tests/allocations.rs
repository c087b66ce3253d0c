//! What must not allocate, counted: a heartbeat, and one message to a session that listens.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use fortifun_realtime::conn::outbound::{OutboundLimits, Pushed};
use fortifun_realtime::conn::{Conn, ConnLimits, Due, Received};
use fortifun_realtime::protocol::http;
use fortifun_realtime::protocol::ws::encoder::{PING, client_frame};
use fortifun_realtime::protocol::ws::{self, Opcode};
use fortifun_realtime::shard::timers::Wheel;
use fortifun_realtime::time::Mono;

/// The system's allocator, and how often this thread has asked it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "counting allocations takes an allocator")]
// SAFETY: every call is handed on to the system's allocator as it came; the counter is this thread's own and is a plain cell
// without a destructor, so that touching it never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps what `GlobalAlloc::alloc` asks of it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps what `GlobalAlloc::dealloc` asks of it.
        unsafe { System.dealloc(block, layout) }
    }
}

const LIMITS: ConnLimits = ConnLimits {
    http: http::Limits { head_bytes: 8_192, headers: 64, target_bytes: 4_096, body_bytes: 1_024 },
    ws: ws::Limits { text_bytes: 65_536, binary_bytes: 65_536, fragments: 64 },
    outbound: OutboundLimits { hard_bytes: 1 << 20, soft_bytes: 1 << 18, soft_ms: 10_000 },
    request_ms: 10_000,
    idle_ms: 75_000,
    decide_ms: 30_000,
    heartbeat_ms: 25_000,
    close_ms: 5_000,
};

/// How often `what` allocates.
fn allocations(what: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    what();
    ALLOCATIONS.get() - before
}

/// A WebSocket whose handshake has left.
fn open(now: Mono) -> Conn {
    let mut conn = Conn::new(now, &LIMITS);
    conn.upgrade(b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec(), now);
    conn.on_sent(conn.outbound().len(), now, &LIMITS);
    conn
}

#[test]
fn the_count_counts() {
    assert_eq!(allocations(|| drop(vec![1])), 1);
}

#[test]
fn a_heartbeat_allocates_nothing() {
    let mut now = Mono(1_000);
    let mut conn = open(now);
    let mut wheel = Wheel::new(now);
    wheel.set(0, conn.deadline(&LIMITS));
    let mut fired = Vec::with_capacity(1);
    let mut pong = Vec::new();
    client_frame(Opcode::Pong, true, [1, 2, 3, 4], b"", &mut pong);
    let count = allocations(|| {
        for _ in 0..100 {
            now = now.plus(LIMITS.heartbeat_ms + 32);
            wheel.expire(now, &mut fired);
            assert_eq!(fired.pop(), Some(0));
            assert_eq!(conn.on_deadline(now, &LIMITS), Due::Queued);
            assert_eq!(conn.outbound().single(), Some(PING));
            conn.on_sent(PING.len(), now, &LIMITS);
            let mut received = [0; 6];
            received.copy_from_slice(&pong);
            let mut bytes = &mut received[..];
            let pong = conn.next_text(&mut bytes, now, &LIMITS);
            assert!(matches!(pong, Some(Received::Control)));
            wheel.set(0, conn.deadline(&LIMITS));
        }
    });
    assert_eq!(count, 0);
    assert!(conn.is_at_rest());
}

#[test]
fn a_message_to_a_session_that_listens_allocates_nothing() {
    let now = Mono(1_000);
    let mut conn = open(now);
    let frame = ws::encoder::text("shared by all who hear it");
    // The first who shares a frame pays for its count; the others, however many, do not.
    assert_eq!(allocations(|| drop(Bytes::clone(&frame))), 1);
    let count = allocations(|| {
        for _ in 0..100 {
            let pushed = conn.send(Bytes::clone(&frame), false, now, &LIMITS);
            assert_eq!(pushed, Pushed::Queued { shed: 0 });
            conn.on_sent(frame.len(), now, &LIMITS);
        }
    });
    assert_eq!(count, 0);
    assert!(conn.is_at_rest());
}
