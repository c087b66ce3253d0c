//! How long a peer is given, and from when.

use super::super::*;
use crate::protocol::ws::Opcode;
use crate::protocol::ws::encoder::client_frame;

const LIMITS: ConnLimits = ConnLimits {
    http: http::Limits { head_bytes: 1_000, headers: 8, target_bytes: 500, body_bytes: 1_000 },
    ws: ws::Limits { text_bytes: 1_000, binary_bytes: 1_000, fragments: 4 },
    outbound: OutboundLimits { hard_bytes: 1_000, soft_bytes: 400, soft_ms: 10_000 },
    request_ms: 10_000,
    idle_ms: 75_000,
    decide_ms: 30_000,
    heartbeat_ms: 25_000,
    close_ms: 5_000,
};
const ACCEPTED_AT: Mono = Mono(1_000);

/// A connection whose request is answered at once with a body of 1,000 bytes.
fn answered(request: &str) -> Conn {
    let mut conn = Conn::new(ACCEPTED_AT, &LIMITS);
    let mut pos = 0;
    assert!(matches!(
        conn.next_request(request.as_bytes(), &mut pos, ACCEPTED_AT, &LIMITS),
        Some(Ok(_))
    ));
    let response = Response::with_body(200, "text/plain", vec![b'x'; 1_000]);
    conn.respond(&response, "now", ACCEPTED_AT, &LIMITS);
    conn
}

fn open() -> Conn {
    let mut conn = Conn::new(ACCEPTED_AT, &LIMITS);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert!(matches!(conn.next_request(request, &mut 0, ACCEPTED_AT, &LIMITS), Some(Ok(_))));
    conn.upgrade(b"101".to_vec(), ACCEPTED_AT);
    conn.on_sent(3, ACCEPTED_AT, &LIMITS);
    conn
}

#[test]
fn a_response_may_leave_slowly_as_long_as_it_leaves() {
    let cases = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", LIMITS.idle_ms, Drained::GoesOn),
        ("GET / HTTP/1.0\r\n\r\n", LIMITS.close_ms, Drained::Shut),
    ];
    for (request, patience_ms, end) in cases {
        let mut conn = answered(request);
        let mut now = ACCEPTED_AT;
        while conn.outbound().len() > 100 {
            now = now.plus(patience_ms - 1);
            assert_eq!(conn.on_deadline(now, &LIMITS), Due::Nothing, "{request}");
            assert_eq!(conn.on_sent(100, now, &LIMITS), Drained::GoesOn);
        }
        assert_eq!(conn.on_sent(conn.outbound().len(), now, &LIMITS), end, "{request}");
        assert_eq!(conn.on_deadline(now.plus(patience_ms), &LIMITS), Due::Lost, "{request}");
    }
}

#[test]
fn a_peer_that_takes_nothing_of_its_response_is_given_up() {
    let mut conn = answered("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(conn.on_sent(10, ACCEPTED_AT, &LIMITS), Drained::GoesOn);
    assert_eq!(conn.on_deadline(ACCEPTED_AT.plus(LIMITS.close_ms), &LIMITS), Due::Lost);
    assert_eq!(conn.phase(), Phase::Closed);
}

#[test]
fn a_peer_that_shuts_its_half_gets_its_answer_and_then_the_end() {
    let mut conn = answered("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    conn.on_shut(ACCEPTED_AT, &LIMITS);
    assert_eq!(conn.phase(), Phase::Closing);
    assert_eq!(conn.on_sent(conn.outbound().len(), ACCEPTED_AT, &LIMITS), Drained::Lost);
    let mut idle = Conn::new(ACCEPTED_AT, &LIMITS);
    idle.on_shut(ACCEPTED_AT, &LIMITS);
    assert_eq!(idle.phase(), Phase::Closed);
}

#[test]
fn whoever_sends_one_long_text_slowly_is_not_silent() {
    let mut conn = open();
    let mut frame = Vec::new();
    client_frame(Opcode::Text, true, [0; 4], &[b'x'; 900], &mut frame);
    let mut now = ACCEPTED_AT;
    for piece in frame.chunks_mut(100) {
        now = now.plus(LIMITS.heartbeat_ms - 1);
        assert_eq!(conn.on_deadline(now, &LIMITS), Due::Nothing);
        let is_whole = conn.next_text(&mut &mut *piece, now, &LIMITS).is_some();
        assert_eq!(is_whole, piece.len() < 100);
    }
}

#[test]
fn a_close_frame_is_answered_once_and_then_the_connection_is_over() {
    let mut conn = open();
    let mut frame = Vec::new();
    client_frame(Opcode::Close, true, [0; 4], &1000_u16.to_be_bytes(), &mut frame);
    let mut bytes = &mut frame[..];
    assert!(matches!(conn.next_text(&mut bytes, ACCEPTED_AT, &LIMITS), Some(Received::Control)));
    conn.close(4401, "expired", ACCEPTED_AT, &LIMITS);
    assert_eq!((conn.phase(), conn.close_code()), (Phase::Closing, 1000));
    assert_eq!(conn.on_sent(conn.outbound().len(), ACCEPTED_AT, &LIMITS), Drained::Lost);
}
