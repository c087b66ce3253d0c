//! What operators see: figures that move, health, a log without secrets, commands and their exit codes.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::json;

use crate::support::http::handshake;
use crate::support::server::{SECRET, UNLIMITED};
use crate::support::users::{Pair, sign};
use crate::support::{Http, Server, Ws};

/// Prometheus' text as a map of samples; fails where a line is none.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut families = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            match (words.next(), words.next()) {
                (Some("TYPE"), Some(name)) => families.push(name.to_owned()),
                (Some("HELP" | "UNIT"), Some(_)) | (Some("EOF"), None) => {}
                _ => panic!("{line}"),
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let bare = name.split('{').next().unwrap();
        assert!(families.iter().any(|family| bare.starts_with(family.as_str())), "{line}");
        assert!(bare.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
        let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(samples.insert(name.to_owned(), value).is_none(), "twice: {line}");
    }
    samples
}

fn scrape(server: &Server) -> BTreeMap<String, f64> {
    let answer = server.ask("GET", "/metrics", "", None);
    let content_type = answer.header("content-type").unwrap();
    assert!(content_type.starts_with("application/openmetrics-text; version=1"), "{content_type}");
    parse(answer.text())
}

#[test]
fn figures_can_be_parsed_and_move_with_what_happens() {
    let server = Server::with(UNLIMITED);
    let Pair { alice, bob, conversation } = server.pair();
    let before = scrape(&server);
    let path = format!("/ws/conversations/{conversation}/");
    let mut mouth = Ws::v1(&server, &alice, &path);
    let mut ear = Ws::v1(&server, &bob, &path);
    let mut chat = Ws::v1(&server, &bob, "/ws/chat/");
    for _ in 0..3 {
        mouth.say(&json!({"type": "message", "content": "m"}));
    }
    ear.drain();
    chat.drain();
    mouth.send_text("no command");
    mouth.expect_error("invalid_json");
    let refused = handshake("/ws/chat/", "Authorization: Bearer nonsense\r\n");
    let mut http = Http::connect(server.address);
    http.send(refused);
    assert_eq!(http.answer(false).status, 401);
    server.json("/api/v1/conversations/", &alice.token);
    chat.close();
    let after = scrape(&server);
    let grown = |name: &str| {
        let at = |samples: &BTreeMap<String, f64>| samples.get(name).copied().unwrap_or(0.0);
        at(&after) - at(&before)
    };
    for (name, by) in [
        (r#"fortifun_handshakes_total{outcome="accepted"}"#, 3.0),
        (r#"fortifun_handshakes_total{outcome="token_invalid"}"#, 1.0),
        ("fortifun_messages_committed_total", 3.0),
        (r#"fortifun_refused_total{reason="invalid_json"}"#, 1.0),
        (r#"fortifun_disconnects_total{code="1005"}"#, 1.0),
        (r#"fortifun_connections_open{endpoint="conversation"}"#, 2.0),
        (r#"fortifun_connections_open{endpoint="chat"}"#, 0.0),
        (r#"fortifun_http_requests_total{route="conversations",status="2xx"}"#, 1.0),
        ("fortifun_slow_consumers_total", 0.0),
        ("fortifun_inbox_dropped_total", 0.0),
        ("fortifun_log_lines_dropped_total", 0.0),
    ] {
        assert_eq!(grown(name).to_string(), by.to_string(), "{name}");
    }
    for name in [
        r#"fortifun_frames_total{direction="in"}"#,
        r#"fortifun_frames_total{direction="out"}"#,
        r#"fortifun_bytes_total{direction="in"}"#,
        r#"fortifun_bytes_total{direction="out"}"#,
        r#"fortifun_auth_total{outcome="accepted"}"#,
        "fortifun_commit_seconds_count",
        "fortifun_commit_seconds_sum",
        "fortifun_batch_requests_count",
        "fortifun_fanout_sessions_count",
        "fortifun_delivery_seconds_count",
        "fortifun_shard_turns_total",
    ] {
        assert!(grown(name) > 0.0, "{name}: {}", grown(name));
    }
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(after[name] > 0.0, "{name}");
    }
    assert!(after.keys().any(|name| name.starts_with("fortifun_build_info{version=")));
    for (name, count) in after.iter().filter(|(name, _)| name.ends_with("_count")) {
        let bucket = format!("{}_bucket{{le=\"+Inf\"}}", name.strip_suffix("_count").unwrap());
        assert_eq!(after[&bucket].to_string(), count.to_string(), "{name}");
    }
}

#[test]
fn health_is_told_without_a_token_and_by_address() {
    let server = Server::start();
    let mut http = Http::connect(server.address);
    for (path, body) in
        [("/healthz", json!({"status": "ok"})), ("/readyz", json!({"status": "ok"}))]
    {
        // A probe asks by address, which is no host of ours.
        http.send(format!("GET {path} HTTP/1.1\r\nHost: 10.1.2.3:8000\r\n\r\n"));
        let answer = http.answer(false);
        assert_eq!((answer.status, answer.json()), (200, body));
    }
}

#[test]
fn no_token_gets_into_the_log() {
    for format in ["text", "json"] {
        let mut server =
            Server::with(&[("LOG_LEVEL", "debug"), ("LOG_FORMAT", format), ("DRAIN_S", "0")]);
        let Pair { alice, conversation, .. } = server.pair();
        let expired = sign(SECRET, alice.id, -5);
        let foreign = sign("another-secret-that-is-long-enough!", alice.id, 60);
        let path = format!("/ws/conversations/{conversation}/");
        let tokens = [alice.token.as_str(), &expired, &foreign];
        for token in tokens {
            for path in ["/ws/chat/", "/ws/nowhere/", "/ws/conversations/x/", path.as_str()] {
                for more in ["", "&reject=close", "&since=x"] {
                    let request = handshake(&format!("{path}?token={token}{more}"), "");
                    let mut http = Http::connect(server.address);
                    http.send(request);
                    http.answer(false);
                }
                drop(Ws::v1_token(&server, token, path));
            }
            for path in ["/api/v1/conversations/", "/nothing"] {
                server.ask("GET", &format!("{path}?token={token}"), token, None);
                server.ask("POST", path, token, Some(&json!({"user_id": token})));
            }
            let mut ws = Ws::v1(&server, &alice, "/ws/chat/");
            ws.send(&json!({"type": "auth", "token": token}));
            ws.next();
            ws.send_text(&format!("{{\"token\":\"{token}\","));
            ws.expect_error("invalid_json");
            let mut http = Http::connect(server.address);
            http.send(format!(
                "GET /ws/chat/?token={token} HTTP/9.9\r\nAuthorization {token}\r\n\r\n"
            ));
            http.answer(false);
        }
        server.terminate();
        assert_eq!(server.wait().code(), Some(0));
        let log = server.log();
        assert!(log.lines().count() > 10, "debug says something: {log}");
        for token in tokens {
            for part in token.split('.').chain([token]) {
                assert!(!log.contains(part), "{part} is in the log:\n{log}");
            }
        }
        assert!(!log.contains(SECRET));
        if format == "json" {
            for line in log.lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
            }
        }
    }
}

#[test]
fn the_echo_is_there_for_those_who_ask_for_it() {
    use tungstenite::Message;

    let server = Server::with(&[("ECHO", "1")]);
    let stream = std::net::TcpStream::connect(server.address).unwrap();
    let (mut ws, _) = tungstenite::client("ws://localhost/_echo", stream).unwrap();
    let large = "é".repeat(500_000);
    for message in [
        Message::text("a"),
        Message::text(large),
        Message::binary(vec![0; 300_000]),
        Message::text(""),
    ] {
        ws.send(message.clone()).unwrap();
        assert_eq!(ws.read().unwrap(), message);
    }
}

#[test]
fn the_page_is_served_with_debug_and_asks_nobody_else() {
    let server = Server::with(&[("DEBUG", "1")]);
    let answer = server.ask("GET", "/", "", None);
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/html"));
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    for outside in ["src=\"http", "href=\"http", "@import", "url(http"] {
        assert!(!answer.text().contains(outside), "{outside}");
    }
}

#[test]
fn commands_do_what_they_say_and_end_with_their_codes() {
    let server = Server::start();
    let id: i64 = server.cli(&["user", "add", "alice", "--first-name", "Alice"]).parse().unwrap();
    let token = server.cli(&["token", "--user", "alice", "--ttl", "5m"]);
    assert_eq!(Ws::v1_token(&server, &token, "/ws/chat/").expect("hello")["user_id"], id);
    let run = |settings: &[(&str, &str)], args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fortifun"));
        let database = format!("sqlite:///{}", server.database().display());
        command.args(args).env_clear().env("DATABASE_URL", database).env("SECRET_KEY", SECRET);
        let output = command.envs(settings.iter().copied()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), told, String::from_utf8(output.stdout).unwrap())
    };
    let (code, told, _) = run(&[], &["user", "add", "alice"]);
    assert_eq!(code, Some(1), "{told}");
    let (code, told, _) = run(&[], &["token", "--user", "nobody"]);
    assert_eq!(code, Some(1), "{told}");
    for (name, value) in [("SECRET_KEY", "short"), ("HEARTBEAT_S", "0"), ("PORT", "x")] {
        let (code, told, _) = run(&[(name, value)], &["serve"]);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains(name), "{told}");
    }
    let (code, _, _) = run(&[], &["serve", "--no-such-flag"]);
    assert_eq!(code, Some(2));
    let (code, told, _) = run(&[("DATABASE_URL", "sqlite:////nowhere/at/all.db")], &["serve"]);
    assert_eq!(code, Some(3), "{told}");
    let port = server.address.port().to_string();
    let (code, told, _) = run(&[("PORT", &port), ("HOST", "127.0.0.1")], &["serve"]);
    assert_eq!(code, Some(4), "{told}");
    let (code, _, shown) = run(&[("DATABASE_URL", "sqlite:///x.db")], &["check-config"]);
    assert_eq!(code, Some(0));
    assert!(!shown.contains(SECRET) && shown.to_lowercase().contains("secret_key"), "{shown}");
}
