//! After the upgrade: frames, heartbeats, bounds and the closing handshake.

use super::*;

#[test]
fn texts_binaries_and_fragments_come_in() {
    let mut world = World::open();
    let mut bytes = text("one");
    bytes.extend(frame(Opcode::Binary, b"two"));
    client_frame(Opcode::Text, false, [7; 4], b"th", &mut bytes);
    bytes.extend(frame(Opcode::Pong, b""));
    client_frame(Opcode::Continuation, true, [7; 4], b"ree", &mut bytes);
    assert_eq!(world.receives(bytes), ["text one", "binary 3", "control", "text three"]);
    assert!(world.leaves().is_empty());
}

#[test]
fn frames_may_come_with_the_handshake() {
    let mut world = World::new();
    let mut bytes = GET.as_bytes().to_vec();
    bytes.extend(text("early"));
    assert_eq!(world.receives(bytes), ["GET /a "]);
    world.conn.upgrade(HELLO.to_vec(), world.now);
    assert_eq!(world.receives(""), ["text early"]);
}

/// RFC 6455 §5.5.3.
#[test]
fn a_ping_is_answered_with_its_payload() {
    let mut world = World::open();
    assert_eq!(world.receives(frame(Opcode::Ping, b"abc")), ["control"]);
    assert_eq!(world.leaves(), b"\x8a\x03abc");
}

/// RFC 6455 §7.1.5 and §7.4.1.
#[test]
fn a_close_is_answered_with_its_code_and_ends_the_connection() {
    for (payload, code, answer) in [
        (&[3, 232][..], 1000, close_frame(1000, "")),
        (&[15, 160, b'x'], 4000, close_frame(4000, "")),
        (&[], 1005, vec![0x88, 0]),
    ] {
        let mut world = World::open();
        let mut bytes = frame(Opcode::Close, payload);
        bytes.extend(text("too late"));
        assert_eq!(world.receives(bytes), ["control"]);
        assert_eq!(world.conn.close_code(), code);
        assert_eq!(world.sends(3, false), Pushed::Shed, "nothing goes out behind a close");
        assert_eq!(world.leaves(), answer);
        assert_eq!((world.conn.phase(), world.drained), (Phase::Closed, Drained::Lost));
    }
}

#[test]
fn our_close_goes_behind_what_is_queued_and_waits_for_theirs() {
    let mut world = World::open();
    world.sends(3, false);
    world.closes(4401);
    world.closes(4480);
    assert_eq!(world.conn.close_code(), 4401, "the first one counts");
    assert_eq!(world.leaves(), [b"...".to_vec(), close_frame(4401, "bye")].concat());
    assert_eq!((world.conn.phase(), world.drained), (Phase::Closing, Drained::GoesOn));
    assert_eq!(world.receives(text("crossed")), ["control"], "it is not handed out");
    world.receives(frame(Opcode::Ping, b""));
    assert!(world.leaves().is_empty(), "and a ping is not answered");
    world.receives(frame(Opcode::Close, &[3, 232]));
    assert_eq!((world.conn.phase(), world.drained), (Phase::Closed, Drained::Lost));
}

#[test]
fn a_peer_that_never_answers_our_close_is_given_up() {
    let mut world = World::open();
    world.closes(1000);
    world.leaves();
    assert_eq!(world.waits(LIMITS.close_ms - 1), Due::Nothing);
    assert_eq!(world.waits(1), Due::Lost);
}

#[test]
fn a_socket_that_ends_without_a_close_frame_ended_abnormally() {
    let mut world = World::open();
    world.sends(3, false);
    assert_eq!(world.shuts(), Phase::Closed);
    assert_eq!(world.conn.close_code(), 1006);
}

/// RFC 6455 §7.4.1.
#[test]
fn what_breaks_the_protocol_is_closed_with_its_code() {
    let fragment = |opcode: Opcode, fin: bool, payload: &[u8]| {
        let mut out = Vec::new();
        client_frame(opcode, fin, [9; 4], payload, &mut out);
        out
    };
    let cases: Vec<(Vec<u8>, u16)> = vec![
        (b"\x81\x01x".to_vec(), 1002),
        (vec![0xC1, 0x80, 0, 0, 0, 0], 1002),
        (vec![0x83, 0x80, 0, 0, 0, 0], 1002),
        (fragment(Opcode::Ping, false, b""), 1002),
        (fragment(Opcode::Ping, true, &[0; 126]), 1002),
        (fragment(Opcode::Continuation, true, b""), 1002),
        ([fragment(Opcode::Text, false, b"a"), text("b")].concat(), 1002),
        (frame(Opcode::Close, &[3]), 1002),
        (frame(Opcode::Close, &1005_u16.to_be_bytes()), 1002),
        (frame(Opcode::Close, b"\x03\xe8\xff"), 1007),
        (frame(Opcode::Text, b"\xff"), 1007),
        (frame(Opcode::Text, &[b'x'; 101]), 1009),
        (frame(Opcode::Binary, &[b'x'; 101]), 1009),
        (
            [
                fragment(Opcode::Text, false, &[b'x'; 100]),
                fragment(Opcode::Continuation, true, b"x"),
            ]
            .concat(),
            1009,
        ),
        (
            (0..5)
                .flat_map(|n| {
                    fragment(if n == 0 { Opcode::Text } else { Opcode::Continuation }, false, b"")
                })
                .collect(),
            1009,
        ),
    ];
    for (bytes, code) in cases {
        for step in [1, 7, bytes.len()] {
            let mut world = World::open();
            let seen: Vec<String> =
                bytes.chunks(step).flat_map(|piece| world.receives(piece)).collect();
            assert_eq!(seen.first(), Some(&format!("broken {code}")), "{bytes:?} by {step}");
            assert_eq!(world.conn.close_code(), code);
            // What comes behind is endless and says nothing.
            assert!(world.receives(text("more")).iter().all(|word| word == "control"));
            assert_eq!(world.leaves(), close_frame(code, ""));
            assert_eq!(world.drained, Drained::Shut, "no close frame of theirs could be read");
        }
    }
}

#[test]
fn a_peer_that_is_silent_is_asked_once_and_then_given_up() {
    let mut world = World::open();
    assert_eq!(world.waits(LIMITS.heartbeat_ms - 1), Due::Nothing);
    assert_eq!(world.waits(1), Due::Queued);
    assert_eq!(world.leaves(), ws::encoder::PING);
    assert_eq!(world.waits(LIMITS.heartbeat_ms - 1), Due::Nothing);
    assert_eq!(world.waits(1), Due::Unresponsive);
}

#[test]
fn anything_that_is_heard_is_a_sign_of_life() {
    for bytes in [frame(Opcode::Pong, b""), text("hi"), frame(Opcode::Ping, b"")] {
        let mut world = World::open();
        world.waits(LIMITS.heartbeat_ms);
        world.receives(bytes);
        assert_eq!(world.waits(LIMITS.heartbeat_ms - 1), Due::Nothing);
        assert_eq!(world.waits(1), Due::Queued);
    }
}

#[test]
fn a_heartbeat_is_never_shed() {
    let mut world = World::open();
    world.sends(LIMITS.outbound.soft_bytes, false);
    assert_eq!(world.sends(1, true), Pushed::Shed);
    world.now = world.now.plus(LIMITS.heartbeat_ms);
    assert_eq!(world.conn.on_deadline(world.now, &LIMITS), Due::Queued);
    assert!(world.leaves().ends_with(ws::encoder::PING));
}

#[test]
fn a_heartbeat_without_room_finds_a_slow_consumer() {
    let limits =
        ConnLimits { outbound: OutboundLimits { soft_ms: u64::MAX, ..LIMITS.outbound }, ..LIMITS };
    let mut world = World::open();
    world.sends(LIMITS.outbound.hard_bytes, false);
    assert_eq!(world.conn.on_deadline(world.now.plus(25_000), &limits), Due::SlowConsumer);
}

#[test]
fn a_peer_over_the_soft_bound_for_too_long_is_slow() {
    let mut world = World::open();
    world.sends(LIMITS.outbound.soft_bytes + 1, false);
    let wait = world.conn.deadline(&LIMITS).since(world.now);
    assert!((3_000..3_100).contains(&wait));
    assert_eq!(world.waits(wait - 1), Due::Nothing);
    assert_eq!(world.waits(1), Due::SlowConsumer);
    let mut world = World::open();
    world.sends(LIMITS.outbound.soft_bytes + 1, false);
    world.sends_off(1);
    assert_eq!(world.waits(4_000), Due::Nothing, "it caught up");
}

#[test]
fn a_peer_that_pings_and_does_not_read_is_slow() {
    let mut world = World::open();
    world.sends(LIMITS.outbound.hard_bytes - 10, false);
    assert_eq!(world.receives(frame(Opcode::Ping, b"a")), ["control"], "its pong is shed");
    assert_eq!(world.sends(11, false), Pushed::Overflow);
    assert!(world.conn.outbound().len() <= LIMITS.outbound.hard_bytes);
}

#[test]
fn a_slow_consumer_is_told_so_behind_the_frame_that_has_begun() {
    let mut world = World::open();
    world.sends(10, false);
    world.sends(900, false);
    world.sends_off(4);
    world.conn.close_now(4480, "slow", world.now, &LIMITS);
    assert_eq!(world.leaves(), [vec![b'.'; 10], close_frame(4480, "slow")].concat());
    let mut world = World::open();
    world.sends(10, false);
    world.conn.close_now(4480, "slow", world.now, &LIMITS);
    assert_eq!(world.leaves(), close_frame(4480, "slow"), "nothing had begun");
}

#[test]
fn whoever_sends_one_long_text_slowly_is_not_silent() {
    let mut world = World::open();
    let whole = text(&"x".repeat(90));
    for piece in whole.chunks(30) {
        assert_eq!(world.waits(LIMITS.heartbeat_ms - 1), Due::Nothing);
        world.receives(piece);
    }
}
