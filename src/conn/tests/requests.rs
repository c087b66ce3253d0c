//! Before a WebSocket: requests, responses and their times.

use super::*;

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let mut world = World::new();
    for _ in 0..3 {
        assert_eq!(world.receives(GET), ["GET /a "]);
        assert_eq!(world.conn.phase(), Phase::Deciding);
        world.responds(&Response::new(204));
        assert_eq!(world.status(), "HTTP/1.1 204 No Content");
        assert_eq!((world.conn.phase(), world.drained), (Phase::Head, Drained::GoesOn));
    }
}

#[test]
fn pipelined_requests_are_answered_one_after_the_other() {
    let mut world = World::new();
    let two = format!("{GET}{}", GET.replace("/a", "/b"));
    assert_eq!(world.receives(&two), ["GET /a "]);
    assert!(world.conn.holds_kept());
    world.responds(&Response::new(204));
    assert_eq!(world.receives(""), ["GET /b "]);
    assert!(!world.conn.holds_kept());
    world.responds(&Response::new(404));
    let sent = String::from_utf8(world.leaves()).unwrap();
    let statuses: Vec<&str> =
        sent.matches("HTTP/1.1 204").chain(sent.matches("HTTP/1.1 404")).collect();
    assert_eq!(statuses.len(), 2);
    assert!(sent.find("204") < sent.find("404"));
}

#[test]
fn a_client_that_pipelines_and_does_not_read_gets_no_more_responses() {
    let mut world = World::new();
    assert_eq!(world.receives(format!("{GET}{GET}")), ["GET /a "]);
    world.responds(&Response::text(200, vec![b'x'; LIMITS.outbound.soft_bytes]));
    assert!(world.receives("").is_empty());
    assert!(world.conn.holds_kept());
    world.leaves();
    assert_eq!(world.receives(""), ["GET /a "]);
}

#[test]
fn the_last_response_shuts_our_half_and_waits_for_theirs() {
    let asked =
        [GET.replace("Host", "Connection: close\r\nHost"), GET.replace("HTTP/1.1", "HTTP/1.0")];
    for request in asked {
        let mut world = World::new();
        world.receives(&request);
        world.responds(&Response::new(200));
        assert_eq!(world.conn.phase(), Phase::Closing);
        world.leaves();
        assert_eq!((world.conn.phase(), world.drained), (Phase::Lingering, Drained::Shut));
        assert!(world.receives(GET).is_empty(), "what comes now is nobody's");
        assert_eq!(world.shuts(), Phase::Closed);
    }
}

#[test]
fn keep_alive_can_be_taken_back() {
    let mut world = World::new();
    world.receives(GET);
    world.conn.forbid_keep_alive();
    world.responds(&Response::new(200));
    assert!(String::from_utf8(world.leaves()).unwrap().contains("Connection: close"));
    assert_eq!(world.drained, Drained::Shut);
}

#[test]
fn a_request_whose_sender_has_shut_is_answered_and_is_the_last() {
    let mut world = World::new();
    world.receives(GET);
    assert_eq!(world.shuts(), Phase::Deciding);
    world.responds(&Response::new(200));
    assert_eq!(world.status(), "HTTP/1.1 200 OK");
    assert_eq!(world.drained, Drained::Lost);
}

#[test]
fn a_handshake_whose_sender_has_shut_opens_nothing() {
    let mut world = World::new();
    world.receives(GET);
    world.shuts();
    world.conn.upgrade(HELLO.to_vec(), world.now);
    assert_eq!(world.conn.phase(), Phase::Closed);
}

#[test]
fn what_is_malformed_is_refused_and_nothing_behind_it_is_believed() {
    let mut world = World::new();
    assert_eq!(world.receives(format!("GET /\r\n\r\n{GET}")), ["BadRequestLine"]);
    assert!(world.status().starts_with("HTTP/1.1 400"));
    assert_eq!(world.drained, Drained::Shut);
}

#[test]
fn a_client_that_waits_is_told_to_go_on() {
    let mut world = World::new();
    let head = "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    assert!(world.receives(head).is_empty());
    assert_eq!(world.leaves(), http::CONTINUE);
    assert_eq!(world.conn.phase(), Phase::Head);
    assert_eq!(world.receives("hi"), ["POST /a hi"]);
}

#[test]
fn a_request_has_a_time_from_its_first_byte_to_its_last() {
    let mut world = World::new();
    world.now = world.now.plus(9_999);
    world.receives(&GET[..4]);
    for _ in 0..3 {
        // A slow loris: each byte comes in time, and the request does not.
        world.now = world.now.plus(3_000);
        world.receives("x");
    }
    assert_eq!(world.waits(999), Due::Nothing);
    assert_eq!(world.waits(1), Due::RequestTimeout);
    world.responds(&Response::new(408));
    assert_eq!(world.status(), "HTTP/1.1 408 Request Timeout");
    assert_eq!(world.drained, Drained::Shut);
}

#[test]
fn an_idle_connection_ends_without_a_word() {
    let mut world = World::new();
    assert_eq!(world.waits(LIMITS.request_ms), Due::Lost);
    let mut world = World::new();
    world.receives(GET);
    world.responds(&Response::new(204));
    world.leaves();
    assert_eq!(world.waits(LIMITS.idle_ms - 1), Due::Nothing);
    assert_eq!(world.waits(1), Due::Lost);
    assert!(world.leaves().is_empty());
}

#[test]
fn a_request_that_finds_no_answer_is_answered_503_and_is_the_last() {
    let mut world = World::new();
    world.receives(GET);
    assert_eq!(world.waits(LIMITS.decide_ms), Due::DecisionTimeout);
    world.responds(&Response::new(503));
    assert!(world.status().starts_with("HTTP/1.1 503"));
    assert_eq!(world.conn.phase(), Phase::Lingering);
}

#[test]
fn a_peer_that_does_not_end_is_given_up() {
    let mut world = World::new();
    world.receives(GET.replace("Host", "Connection: close\r\nHost"));
    world.responds(&Response::new(200));
    assert_eq!(world.waits(LIMITS.close_ms), Due::Lost, "it does not even read");
    assert_eq!(world.conn.phase(), Phase::Closed);
}

#[test]
fn a_response_may_leave_slowly_as_long_as_it_leaves() {
    let once = GET.replace("HTTP/1.1", "HTTP/1.0");
    let cases =
        [(GET, LIMITS.idle_ms, Drained::GoesOn), (once.as_str(), LIMITS.close_ms, Drained::Shut)];
    for (request, patience_ms, end) in cases {
        let mut world = World::new();
        world.receives(request);
        world.responds(&Response::text(200, vec![b'x'; 900]));
        while world.conn.outbound().len() > 100 {
            assert_eq!(world.waits(patience_ms - 1), Due::Nothing, "{request}");
            world.sends_off(100);
        }
        world.leaves();
        assert_eq!(world.drained, end, "{request}");
        assert_eq!(world.waits(patience_ms), Due::Lost, "{request}");
    }
}

#[test]
fn a_peer_that_takes_no_more_of_its_response_is_given_up() {
    let mut world = World::new();
    world.receives(GET.replace("HTTP/1.1", "HTTP/1.0"));
    world.responds(&Response::text(200, vec![b'x'; 900]));
    world.sends_off(100);
    assert_eq!(world.waits(LIMITS.close_ms), Due::Lost);
}
