//! How much one user, one connection and one address may do, and that coming back does not help.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::http::handshake;
use crate::support::users::Pair;
use crate::support::{Got, Http, Server, User, Ws, eventually};

fn assert_limited(error: &Value) {
    assert_eq!(error["code"], "rate_limited", "{error}");
    assert_eq!(error["temporary"], true);
    assert!(error["retry_after_ms"].as_u64().unwrap() > 0, "{error}");
}

#[test]
fn messages_are_counted_by_user_whatever_way_they_come() {
    // Slow enough that nothing comes back during the test: three, and one every four seconds.
    let server = Server::with(&[("MESSAGES_PER_SECOND", "0.25"), ("MESSAGES_BURST", "3")]);
    let Pair { alice, bob, conversation } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let rest = format!("/api/v1/conversations/{conversation}/messages/");
    let message = json!({"type": "message", "content": "m", "conversation_id": conversation});
    let mut first = Ws::v1(&server, &alice, &path);
    first.say(&message);
    first.close();
    Ws::v1(&server, &alice, "/ws/chat/").say(&message);
    let body = json!({"content": "m"});
    let answer = server.ask("POST", &rest, &alice.token, Some(&body));
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("ratelimit-policy"), Some("\"messages\";q=3;w=12"));
    assert!(answer.header("ratelimit").unwrap().starts_with("\"messages\";r=0;t="));
    for endpoint in ["/ws/chat/", path.as_str()] {
        let mut again = Ws::v1(&server, &alice, endpoint);
        let mut told = message.clone();
        told["client_id"] = "c".into();
        told["ref"] = "r".into();
        again.send(&told);
        let error = again.expect("error");
        assert_limited(&error);
        assert_eq!((&error["ref"], &error["client_id"]), (&json!("r"), &json!("c")));
    }
    let answer = server.ask("POST", &rest, &alice.token, Some(&body));
    assert_eq!((answer.status, answer.code().as_str()), (429, "rate_limited"));
    let retry_after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=4).contains(&retry_after));
    // The other's are the other's, and what is wrong in itself costs nothing.
    let mut there = Ws::v1(&server, &bob, &path);
    for _ in 0..5 {
        there.send(&json!({"type": "message", "content": ""}));
        there.expect_error("invalid_field");
    }
    for _ in 0..3 {
        there.say(&message);
    }
    let history = server.json(&rest, &bob.token);
    assert_eq!(history.as_array().unwrap().len(), 7);
}

#[test]
fn typing_and_receipts_have_limits_of_their_own() {
    let settings = [("TYPING_PER_SECOND", "0.2"), ("READ_RECEIPTS_PER_SECOND", "0.2")];
    let server = Server::with(&settings);
    let Pair { alice, conversation, .. } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    for command in [
        json!({"type": "typing", "is_typing": true, "ref": "r"}),
        json!({"type": "read_receipt", "message_id": 1, "ref": "r"}),
    ] {
        let mut refused = None;
        for _ in 0..3 {
            let mut ws = Ws::v1(&server, &alice, &path);
            ws.send(&command);
            let answer = loop {
                let event = ws.next();
                if event["ref"] == "r" {
                    break event;
                }
            };
            if answer["type"] == "error" {
                refused = Some(answer);
            }
        }
        assert_limited(&refused.expect("the third in a row is one too many"));
    }
    let mut ws = Ws::v1(&server, &alice, &path);
    ws.say(&json!({"type": "message", "content": "messages are counted apart"}));
}

#[test]
fn commands_are_counted_by_connection_and_whoever_goes_on_is_closed() {
    let server = Server::start();
    let alice = &server.users(&["alice"])[0];
    let mut ws = Ws::v1(&server, alice, "/ws/chat/");
    let mut other = Ws::v1(&server, alice, "/ws/chat/");
    let ping = json!({"type": "ping"});
    for _ in 0..60 {
        ws.send(&ping);
    }
    let mut pongs = 0;
    for _ in 0..60 {
        let event = ws.next();
        if event["type"] == "pong" {
            pongs += 1;
        } else {
            assert_limited(&event);
        }
    }
    // Forty at once, and twenty a second.
    assert!((40..60).contains(&pongs), "{pongs}");
    other.send(&ping);
    other.expect("pong");
    for _ in 0..2_000 {
        ws.send(&ping);
    }
    assert_eq!(ws.closed(), 4429);
    Ws::v1(&server, alice, "/ws/chat/").drain();
}

#[test]
fn twenty_bad_commands_end_a_session() {
    let server = Server::start();
    let alice = &server.users(&["alice"])[0];
    for path in ["/ws/chat/", "/ws/notifications/"] {
        let mut ws = Ws::v1(&server, alice, path);
        for _ in 0..20 {
            ws.send_text("no JSON");
        }
        for _ in 0..20 {
            ws.expect_error("invalid_json");
        }
        assert_eq!(ws.got(), Got::Closed(4400, "too many bad commands".to_owned()));
    }
}

#[test]
fn one_connection_too_many_of_a_user_replaces_the_oldest() {
    let server = Server::with(&[("CONNECTIONS_PER_USER", "3"), ("SHARDS", "4")]);
    let Pair { alice, bob, conversation } = server.pair();
    let mut of_bob = Ws::v1(&server, &bob, "/ws/chat/");
    let paths = [
        "/ws/chat/".to_owned(),
        "/ws/notifications/".to_owned(),
        format!("/ws/conversations/{conversation}/"),
    ];
    let mut open: Vec<_> =
        paths.iter().chain(&paths).take(3).map(|path| Ws::v1(&server, &alice, path)).collect();
    for path in &paths {
        open.push(Ws::v1(&server, &alice, path));
        assert_eq!(open.remove(0).closed(), 4409);
    }
    for ws in open.iter_mut().chain([&mut of_bob]) {
        ws.expect_nothing();
    }
}

/// Whether a handshake is accepted now; the socket stays open.
fn knock(server: &Server, user: &User, fields: &str) -> (u16, Http) {
    let mut http = Http::connect(server.address);
    http.send(handshake("/ws/chat/", &format!("Authorization: Bearer {}\r\n{fields}", user.token)));
    let answer = http.answer(false);
    if answer.status == 429 {
        assert_eq!(answer.code(), "rate_limited");
        assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    }
    (answer.status, http)
}

#[test]
fn one_address_has_so_many_connections() {
    let server = Server::with(&[("CONNECTIONS_PER_IP", "3")]);
    let mut open: Vec<_> = (0..3).map(|_| Http::connect(server.address)).collect();
    for http in &mut open {
        assert_eq!(http.ask("GET", "/healthz", "", None).status, 200);
    }
    let mut refused = Http::connect(server.address);
    let answer = refused.answer(false);
    assert_eq!(answer.status, 429);
    assert!(answer.header("retry-after").is_some());
    assert!(refused.is_ended());
    open.pop();
    eventually("room again", || {
        let mut http = Http::connect(server.address);
        http.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        (http.try_answer(false)?.status == 200).then_some(())
    });
}

#[test]
fn one_address_connects_only_so_fast() {
    let server = Server::with(&[("CONNECTS_PER_SECOND_PER_IP", "1")]);
    let alice = &server.users(&["alice"])[0];
    let path = format!("/ws/chat/?token={}&reject=close", alice.token);
    let codes: Vec<_> = (0..8)
        .map(|_| {
            let mut ws = Ws::open(server.address, &path, None).unwrap();
            ws.send(&json!({"type": "ping"}));
            match ws.got() {
                Got::Event(_) => 0,
                Got::Closed(code, _) => code,
                Got::Lost => 1006,
            }
        })
        .collect();
    assert_eq!(codes[..2], [0, 0], "two at once");
    assert!(codes[2..].contains(&4429), "{codes:?}");
    assert!(codes.iter().all(|code| [0, 4429].contains(code)), "{codes:?}");
    let refused = (0..8).map(|_| knock(&server, alice, "").0).filter(|status| *status == 429);
    assert!(refused.count() > 0);
}

#[test]
fn connections_that_come_too_fast_stay_within_their_addresss_bound() {
    let settings = [("CONNECTS_PER_SECOND_PER_IP", "1"), ("CONNECTIONS_PER_IP", "4")];
    let server = Server::with(&settings);
    let mut open: Vec<_> = (0..20).map(|_| Http::connect(server.address)).collect();
    // Whoever came too fast is told so when it asks; whoever is one too many, at once.
    open.retain_mut(|http| http.hears_nothing_for(Duration::from_millis(100)));
    assert_eq!(open.len(), 4);
    let mut statuses: Vec<_> =
        open.iter_mut().map(|http| http.ask("GET", "/healthz", "", None).status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200);
    assert_eq!(statuses[3], 429);
}

#[test]
fn behind_a_trusted_proxy_the_clients_are_counted_and_not_the_proxy() {
    let server = Server::with(&[("TRUSTED_PROXIES", "127.0.0.0/8"), ("CONNECTIONS_PER_IP", "2")]);
    let alice = &server.users(&["alice"])[0];
    let mut open = Vec::new();
    for client in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2", "2001:db8::1"] {
        let (status, http) = knock(&server, alice, &format!("X-Forwarded-For: {client}\r\n"));
        assert_eq!(status, 101, "{client}");
        open.push(http);
    }
    // What a client says of itself stands to the left of what the proxy says of it.
    let spoofed = "X-Forwarded-For: 192.0.2.99, 192.0.2.1\r\n";
    assert_eq!(knock(&server, alice, spoofed).0, 429);
    drop(open);
    eventually("room again", || (knock(&server, alice, spoofed).0 == 101).then_some(()));
}

#[test]
fn without_a_trusted_proxy_nobody_speaks_for_others() {
    let server = Server::with(&[("CONNECTIONS_PER_IP", "2")]);
    let alice = &server.users(&["alice"])[0];
    let _open = [1, 2].map(|n| knock(&server, alice, &format!("X-Forwarded-For: 192.0.2.{n}\r\n")));
    let mut refused = Http::connect(server.address);
    assert_eq!(refused.answer(false).status, 429);
}

#[test]
fn a_text_has_its_bound_and_a_server_its_connections() {
    let server = Server::with(&[("CONNECTIONS_MAX", "3"), ("SHARDS", "1")]);
    let alice = &server.users(&["alice"])[0];
    let mut ws = Ws::v1(&server, alice, "/ws/chat/");
    let text = |len: usize| {
        let bare = json!({"type": "ping", "pad": ""}).to_string();
        json!({"type": "ping", "pad": "x".repeat(len - bare.len())}).to_string()
    };
    ws.send_text(&text(65_536));
    ws.expect("pong");
    ws.send_text(&text(65_537));
    assert_eq!(ws.closed(), 1009);
    let mut open: Vec<_> = (0..3).map(|_| Http::connect(server.address)).collect();
    let over = eventually("one too many", || {
        let mut http = Http::connect(server.address);
        http.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let status = http.try_answer(false)?.status;
        open.push(http);
        (status != 200).then_some(status)
    });
    assert_eq!(over, 503);
}

#[test]
fn a_session_that_answers_no_ping_is_closed_and_the_others_are_not() {
    let server = Server::with(&[("HEARTBEAT_S", "1")]);
    let users = server.users(&["alice", "bob"]);
    // The client answers pings when it reads, and this one does not read.
    let mut silent = Ws::v1(&server, &users[0], "/ws/chat/");
    let mut alive = Ws::v1(&server, &users[1], "/ws/chat/");
    let closed = r#"fortifun_disconnects_total{code="4408"}"#;
    eventually("the silent one is closed", || {
        // Nothing but pings comes, which are answered on the way.
        assert_eq!(alive.got_within(Duration::from_millis(50)), None);
        (server.metric(closed) == 1).then_some(())
    });
    assert_eq!(silent.closed(), 4408);
    alive.expect_nothing();
}
