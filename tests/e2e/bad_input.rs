//! Peers that send nonsense, too much, too slowly, or nothing: each is told what the contract says, and nobody else notices.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::support::http::handshake;
use crate::support::server::UNLIMITED;
use crate::support::users::Pair;
use crate::support::{Got, Http, PATIENCE, Server, Ws, eventually};

/// Values that are wrong wherever a positive integer is wanted.
fn no_ids() -> Vec<Value> {
    vec![
        json!("1"),
        json!(1.5),
        json!(0),
        json!(-1),
        json!(true),
        json!([1]),
        json!({}),
        json!(18_446_744_073_709_551_615_u64),
    ]
}

/// Every command with everything that can be wrong in one field of it: the command, the field, and the wrong values;
/// `None` is the field's absence.
fn wrong_commands(conversation: i64) -> Vec<(Value, &'static str, Vec<Option<Value>>)> {
    let some = |values: Vec<Value>| values.into_iter().map(Some).collect::<Vec<_>>();
    let required = |values: Vec<Value>| {
        let mut all = some(values);
        all.extend([None, Some(Value::Null)]);
        all
    };
    let text = |longest: usize| {
        vec![json!(1), json!(true), json!([]), json!({"a": 1}), json!("x".repeat(longest + 1))]
    };
    let content = || {
        let mut values = text(4_000);
        values.extend([
            json!(""),
            json!(" \t\n\u{a0}"),
            json!("a\u{0}b"),
            json!("é".repeat(4_001)),
        ]);
        values
    };
    let attachment = vec![
        json!(1),
        json!("ftp://a.test/x"),
        json!("javascript:alert(1)"),
        json!("https://"),
        json!("https://a b"),
        json!(format!("https://{}", "x".repeat(100))),
    ];
    let message = json!({"type": "message", "content": "m", "conversation_id": conversation});
    let mut client_ids = text(64);
    client_ids.extend([json!(""), json!("a\u{0}")]);
    let typing = json!({"type": "typing", "is_typing": true, "conversation_id": conversation});
    let receipt = json!({"type": "read_receipt", "message_id": 1, "conversation_id": conversation});
    let resume = json!({"type": "resume", "after_seq": 0, "conversation_id": conversation});
    let after = vec![
        json!(1),
        json!("x"),
        json!([]),
        json!({"x": 1}),
        json!({"1": -1}),
        json!({"1": "1"}),
        json!({"0": 1}),
        json!({"-1": 1}),
        json!({"1": null}),
        (1..=101).map(|id| (id.to_string(), json!(0))).collect::<serde_json::Map<_, _>>().into(),
    ];
    let subscribe = json!({"type": "subscribe", "subscription_type": "user_status",
        "user_ids": [1]});
    let users = vec![
        json!(1),
        json!("1"),
        json!([]),
        json!(["1"]),
        json!([0]),
        json!([1.5]),
        json!({"1": 1}),
        json!((1..=201).collect::<Vec<_>>()),
    ];
    vec![
        (message.clone(), "content", required(content())),
        (
            json!({"type": "chat_message", "message": "m", "conversation_id": conversation}),
            "message",
            required(content()),
        ),
        (message.clone(), "client_id", some(client_ids)),
        (message.clone(), "attachment", some(attachment)),
        (message.clone(), "conversation_id", some(no_ids())),
        (message, "ref", some(text(64))),
        (
            typing.clone(),
            "is_typing",
            required(vec![json!(1), json!("true"), json!([]), json!({})]),
        ),
        (typing, "conversation_id", some(no_ids())),
        (receipt.clone(), "message_id", required(no_ids())),
        (receipt, "conversation_id", some(no_ids())),
        (resume.clone(), "after_seq", required(vec![json!(-1), json!("0"), json!(0.5), json!([])])),
        (resume, "conversation_id", some(no_ids())),
        (json!({"type": "resume", "after": {}}), "after", some(after)),
        (
            subscribe.clone(),
            "subscription_type",
            required(vec![json!(1), json!("weather"), json!(""), json!([]), json!({})]),
        ),
        (subscribe, "user_ids", required(users)),
        (
            json!({"type": "unsubscribe", "subscription_type": "system_alerts"}),
            "subscription_type",
            required(vec![json!(1), json!("weather"), json!([])]),
        ),
        (
            json!({"type": "ping"}),
            "timestamp",
            some(vec![json!([]), json!({}), json!("t".repeat(64))]),
        ),
        (json!({"type": "ping"}), "ref", some(text(64))),
        (
            json!({"type": "auth", "token": "t"}),
            "token",
            required(vec![
                json!(1),
                json!(""),
                json!([]),
                json!({}),
                json!("x"),
                json!("x".repeat(5_000)),
            ]),
        ),
    ]
}

#[test]
fn every_command_that_is_wrong_in_a_field_is_told_which_and_changes_nothing() {
    let server = Server::with(UNLIMITED);
    let Pair { alice, bob, conversation } = server.pair();
    let mut there = Ws::v1(&server, &bob, &format!("/ws/conversations/{conversation}/"));
    let mut told = 0;
    for (command, field, values) in wrong_commands(conversation) {
        // A session bears twenty errors in ten seconds.
        for values in values.chunks(15) {
            let mut ws = Ws::v1(&server, &alice, "/ws/chat/");
            for value in values {
                let mut wrong = command.clone();
                wrong["ref"] = "r".into();
                wrong["client_id"] = "c".into();
                match value {
                    Some(value) => wrong[field] = value.clone(),
                    None => _ = wrong.as_object_mut().unwrap().remove(field),
                }
                ws.send(&wrong);
                let error = ws.expect_error("invalid_field");
                let message = error["message"].as_str().unwrap();
                assert!(message.starts_with(&format!("{field}:")), "{wrong}: {error}");
                let expected = if field == "ref" { Value::Null } else { json!("r") };
                assert_eq!(error["ref"], expected, "{wrong}");
                let expected = match field {
                    "client_id" => Value::Null,
                    _ => json!("c"),
                };
                assert!(
                    error["client_id"] == expected || error["client_id"].is_null(),
                    "{wrong}: {error}"
                );
                assert_eq!(error["temporary"], false);
                told += 1;
            }
            ws.expect_nothing();
        }
    }
    println!("{told} wrong commands");
    there.expect_nothing();
    let history = format!("/api/v1/conversations/{conversation}/messages/");
    assert_eq!(server.json(&history, &bob.token).as_array().unwrap().len(), 1);
}

#[test]
fn a_text_that_is_no_command_is_told_so_and_the_session_goes_on() {
    let server = Server::with(UNLIMITED);
    let Pair { alice, conversation, .. } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    for path in ["/ws/chat/", path.as_str(), "/ws/notifications/"] {
        let mut ws = Ws::v1(&server, &alice, path);
        for (text, code) in [
            ("", "invalid_json"),
            ("{", "invalid_json"),
            ("{\"type\":\"ping\"} x", "invalid_json"),
            ("{\"type\":\"ping\",}", "invalid_json"),
            ("\u{feff}{\"type\":\"ping\"}", "invalid_json"),
            ("nul", "invalid_json"),
            (deep.as_str(), "invalid_command"),
            ("null", "invalid_command"),
            ("[]", "invalid_command"),
            ("\"ping\"", "invalid_command"),
            ("1", "invalid_command"),
            ("{}", "invalid_command"),
            ("{\"type\":1}", "invalid_command"),
            ("{\"type\":null}", "invalid_command"),
            ("{\"type\":\"\"}", "unknown_type"),
            ("{\"type\":\"pong\"}", "unknown_type"),
            ("{\"type\":\"Ping\"}", "unknown_type"),
        ] {
            ws.send_text(text);
            let error = ws.expect("error");
            assert_eq!(error["code"], code, "{text:.40}: {error}");
            assert!(!error["message"].as_str().unwrap().is_empty());
        }
        ws.send_text(&format!("{{\"type\":\"ping\",\"deep\":{deep}}}"));
        ws.expect("pong");
        ws.send_text("{\"type\":\"ping\",\"ref\":\"kept\",\"unknown\":[{}],\"content\":7}");
        ws.expect("pong");
        assert_eq!(ws.expect("ack")["ref"], "kept");
    }
}

/// Frames as a client must not send them: the bytes, and the close code that answers them.
fn broken_frames() -> Vec<(&'static str, Vec<u8>, u16)> {
    vec![
        ("not masked", vec![0x81, 2, b'{', b'}'], 1002),
        ("a reserved bit", vec![0xc1, 0x80, 0, 0, 0, 0], 1002),
        ("a reserved opcode", vec![0x83, 0x80, 0, 0, 0, 0], 1002),
        ("a long ping", [&[0x89, 0xfe, 0, 126, 0, 0, 0, 0][..], &[0; 126]].concat(), 1002),
        ("a ping in pieces", vec![0x09, 0x80, 0, 0, 0, 0], 1002),
        ("a continuation of nothing", vec![0x80, 0x80, 0, 0, 0, 0], 1002),
        ("a close of one byte", vec![0x88, 0x81, 0, 0, 0, 0, 3], 1002),
        ("a close code nobody may send", vec![0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed], 1002),
        (
            "a length with its top bit set",
            vec![0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            1002,
        ),
        ("bad UTF-8", vec![0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], 1007),
        ("bad UTF-8 in what is not finished", vec![0x01, 0x81, 0, 0, 0, 0, 0xff], 1007),
        (
            "a text that is announced as 4 GiB",
            vec![0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            1009,
        ),
    ]
}

#[test]
fn whoever_breaks_the_protocol_is_told_by_code_and_is_rid_of_at_once() {
    let server = Server::start();
    let alice = &server.users(&["alice"])[0];
    let mut good = Ws::v1(&server, alice, "/ws/chat/");
    for (told, mut bytes, code) in broken_frames() {
        let mut ws = Ws::plain(&server, alice, "/ws/chat/");
        // What follows is not looked at.
        bytes.extend_from_slice(b"\x81\x80\0\0\0\0 and more");
        ws.stream().write_all(&bytes).unwrap();
        let since = Instant::now();
        assert_eq!(ws.closed(), code, "{told}");
        assert_eq!(ws.got(), Got::Lost, "{told}");
        assert!(since.elapsed() < Duration::from_secs(4), "{told}: it waits for a close frame");
        good.expect_nothing();
    }
}

/// Xorshift: bytes that look random and are the same in every run.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = (self.0 >> 32) as u8;
        }
    }
}

#[test]
fn ten_megabytes_of_noise_on_a_thousand_connections_disturb_nobody() {
    const CONNECTIONS: usize = 1_000;
    const BYTES: usize = 10_000;
    const NOISY: usize = 4;
    let settings = [UNLIMITED, &[("CONNECTIONS_PER_USER", "10000"), ("CONNECTIONS_PER_IP", "0")]];
    let server = Server::with(&settings.concat());
    let Pair { alice, bob, conversation } = server.pair();
    let mallory = &server.users(&["mallory"])[0];
    let path = format!("/ws/conversations/{conversation}/");
    let is_over = AtomicBool::new(false);
    let left = AtomicUsize::new(NOISY);
    let spoken = thread::scope(|scope| {
        for thread in 0..NOISY {
            let (server, is_over, left) = (&server, &is_over, &left);
            scope.spawn(move || {
                let mut bytes = vec![0; BYTES];
                for number in (thread..CONNECTIONS).step_by(NOISY) {
                    Noise(0x9E37_79B9 + number as u64).fill(&mut bytes);
                    // A third each: to the port, behind the head of a request, and to a socket that is open.
                    let mut stream = match number % 3 {
                        0 => TcpStream::connect(server.address).unwrap(),
                        1 => {
                            let mut stream = TcpStream::connect(server.address).unwrap();
                            let head = "POST / HTTP/1.1\r\nHost: localhost\r\n";
                            stream.write_all(head.as_bytes()).unwrap();
                            stream
                        }
                        _ => {
                            let ws = Ws::plain(server, mallory, "/ws/chat/");
                            ws.stream().try_clone().unwrap()
                        }
                    };
                    // It may be closed before all of it is sent.
                    let _ = stream.write_all(&bytes);
                }
                if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                    is_over.store(true, Ordering::SeqCst);
                }
            });
        }
        let mut mouth = Ws::v1(&server, &alice, &path);
        let mut ear = Ws::v1(&server, &bob, &path);
        let mut spoken = 0_u64;
        while !is_over.load(Ordering::SeqCst) {
            spoken += 1;
            let content = format!("message {spoken}");
            mouth.send(&json!({"type": "message", "content": content}));
            for ws in [&mut mouth, &mut ear] {
                let heard = ws.expect("message")["message"].clone();
                assert_eq!(
                    (&heard["content"], &heard["seq"]),
                    (&json!(content), &json!(spoken + 1))
                );
            }
        }
        spoken
    });
    println!("{CONNECTIONS} connections of {BYTES} bytes of noise, {spoken} messages meanwhile");
    assert!(spoken > 0);
    // Nothing of it stays, and nothing of it was a message.
    let chat = r#"fortifun_connections_open{endpoint="chat"}"#;
    eventually("mallory's sockets are gone", || (server.metric(chat) == 0).then_some(()));
    let resident = server.metric("process_resident_memory_bytes");
    assert!(resident < 150_000_000, "{resident}");
    assert_eq!(server.metric("fortifun_messages_committed_total"), spoken);
    assert!(!server.log().contains("panic"), "{}", server.log());
}

/// A connection whose receive buffer is as small as the system lets it be.
fn narrow(server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&server.address.into()).unwrap();
    socket.into()
}

#[test]
fn a_client_that_never_reads_is_closed_and_the_others_hear_everything() {
    let server = Server::with(UNLIMITED);
    let Pair { alice, bob, conversation } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let of_bob = format!("{path}?token={}", bob.token);
    let mut mouth = Ws::v1(&server, &alice, &path);
    let mut ear = Ws::v1(&server, &bob, &path);
    let mut deaf = Ws::over(narrow(&server), &of_bob, None).unwrap();
    let dead = Ws::over(narrow(&server), &of_bob, None).unwrap();
    let before = server.metric("process_resident_memory_bytes");
    let open = || server.metric(r#"fortifun_connections_open{endpoint="conversation"}"#);
    assert_eq!(open(), 4);
    // Four bytes a character: 16 KB a message.
    let message = json!({"type": "message", "content": "😀".repeat(4_000)});
    let mut spoken = 0;
    while server.metric("fortifun_slow_consumers_total") < 2 {
        for _ in 0..20 {
            mouth.send(&message);
        }
        for _ in 0..20 {
            spoken += 1;
            for ws in [&mut mouth, &mut ear] {
                assert_eq!(ws.expect("message")["message"]["seq"], spoken + 1);
            }
        }
        assert!(spoken < 5_000, "{spoken} messages of 16 KB wait for one client");
    }
    let after = server.metric("process_resident_memory_bytes");
    println!("{spoken} messages; {before} bytes before, {after} after");
    assert!(after.saturating_sub(before) < 64_000_000, "{before} {after}");
    // Whoever begins to read finds why; whoever does not is gone all the same.
    assert_eq!(deaf.closed(), 4480);
    eventually("both are gone", || (open() == 2).then_some(()));
    assert_eq!(server.metric(r#"fortifun_disconnects_total{code="4480"}"#), 2);
    drop(dead);
    // And nothing is lost: what was missed comes with a resume.
    let mut back = Ws::plain(&server, &bob, &format!("{path}?since={spoken}"));
    assert_eq!(back.expect("message")["message"]["seq"], spoken + 1);
    assert_eq!(back.expect("resumed")["complete"], true);
}

#[test]
fn a_head_that_does_not_end_is_given_up_and_others_are_served() {
    let server = Server::with(&[("HANDSHAKE_TIMEOUT_S", "1"), ("CONNECTIONS_PER_IP", "0")]);
    let alice = &server.users(&["alice"])[0];
    let fields =
        format!("Authorization: Bearer {}\r\nX-Pad: {}\r\n", alice.token, "a".repeat(6_000));
    let head = handshake("/ws/chat/", &fields);
    let mut slow: Vec<_> = (0..50)
        .map(|number| {
            let mut http = Http::connect(server.address);
            http.send(&head[..number]);
            http
        })
        .collect();
    let mut silent = Http::connect(server.address);
    let since = Instant::now();
    // One byte at a time keeps none of them: the time is that of the whole request. Each round waits for another's answer.
    let mut dripped = 0;
    while since.elapsed() < Duration::from_millis(900) {
        assert_eq!(server.ask("GET", "/healthz", "", None).status, 200);
        // A fast machine would come to the head's end.
        if slow.len() + dripped < head.len() - 4 {
            for (number, http) in slow.iter_mut().enumerate().skip(40) {
                http.send(&head[number + dripped..=number + dripped]);
            }
            dripped += 1;
        }
    }
    let mut ws = Ws::v1(&server, alice, "/ws/chat/");
    for (number, http) in slow.iter_mut().enumerate() {
        match http.try_answer(false) {
            Some(answer) => {
                assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"));
                assert_eq!(answer.header("connection"), Some("close"));
                assert!(http.is_ended());
            }
            // Whoever said nothing is told nothing.
            None => assert_eq!(number, 0),
        }
    }
    assert!(silent.is_ended());
    assert!(since.elapsed() < PATIENCE / 2, "{:?}", since.elapsed());
    ws.expect_nothing();
}
