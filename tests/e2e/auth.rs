//! Who may open a socket, how the others are told, and what becomes of a session whose token ends.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::http::handshake;
use crate::support::server::{PREVIOUS_SECRET, SECRET};
use crate::support::users::{Pair, sign, wall_clock};
use crate::support::{Answer, Got, Http, Server, Ws, token_of};

const FOREIGN_SECRET: &str = "somebody-else-signs-with-this-secret";

/// A token with claims of the test's own.
fn forge(secret: &str, algorithm: Algorithm, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

fn claims(user: impl Into<Value>) -> Value {
    let exp = wall_clock().unix_seconds() + 3_600;
    json!({"token_type": "access", "exp": exp, "user_id": user.into(), "jti": "a"})
}

fn with(mut claims: Value, name: &str, value: impl Into<Value>) -> Value {
    claims[name] = value.into();
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// `token` with its header replaced by `{"alg":"none","typ":"JWT"}`, and its signature by nothing.
fn unsigned(token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap();
    format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.")
}

/// `token` with one letter of its payload changed.
fn tampered(token: &str) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let last = parts[1].pop().unwrap();
    parts[1].push(if last == 'A' { 'B' } else { 'A' });
    parts.join(".")
}

/// Asks for a socket in plain HTTP.
fn knock(server: &Server, path: &str, fields: &str) -> Answer {
    let mut http = Http::connect(server.address);
    http.send(handshake(path, fields));
    http.answer(false)
}

/// Checks a refusal in all of its three forms: a response before the upgrade, and for clients that offer `fortifun.v1` or
/// ask for `?reject=close`, a close code after it.
fn refused(server: &Server, path: &str, token: &str, status: u16, code: &str, close: u16) {
    let told = format!("{path} {token}");
    let bearer =
        if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let answer = knock(server, path, &bearer);
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{told}");
    if status == 401 {
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert!(challenge.starts_with("Bearer"), "{challenge}");
    }
    let joint = if path.contains('?') { '&' } else { '?' };
    let query = format!("{path}{joint}reject=close&token={token}");
    let mut by_query = Ws::open(server.address, &query, None).unwrap();
    assert_eq!(by_query.got(), Got::Closed(close, code.to_owned()), "{told}");
    let mut by_v1 = Ws::v1_token(server, token, path);
    assert_eq!(by_v1.subprotocol.as_deref(), Some("fortifun.v1"));
    assert_eq!(by_v1.got(), Got::Closed(close, code.to_owned()), "{told}");
    assert_eq!(by_v1.got(), Got::Lost, "{told}");
}

#[test]
fn a_token_is_taken_from_header_subprotocol_and_query_in_this_order() {
    let server = Server::start();
    let Pair { alice, bob, .. } = server.pair();
    let hello_of = |path: &str, fields: &str| {
        let mut http = Http::connect(server.address);
        http.send(handshake(path, fields));
        http.answer(false)
    };
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    assert_eq!(hello_of("/ws/chat/", &bearer(&alice.token)).status, 101);
    assert_eq!(hello_of("/ws/chat", &bearer(&alice.token)).status, 101, "the slash is optional");
    // The first source that has a token counts, and no other is asked.
    let path = format!("/ws/chat/?token={}", alice.token);
    assert_eq!(hello_of(&path, &bearer("nonsense")).status, 401);
    assert_eq!(hello_of(&path, "").status, 101);
    let offered = format!("Sec-WebSocket-Protocol: fortifun.v1, bearer.{}\r\n", bob.token);
    let answer = hello_of("/ws/chat/?token=nonsense", &offered);
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-protocol"), Some("fortifun.v1"));
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let (_, hello) = Ws::v1_with_hello(&server, &bob, "/ws/chat/?token=nonsense");
    assert_eq!(hello["user_id"], bob.id);
}

#[test]
fn a_token_that_proves_nobody_is_refused_everywhere_and_in_every_form() {
    let server = Server::start();
    let Pair { alice, conversation, .. } = server.pair();
    let id = alice.id;
    let now = wall_clock().unix_seconds();
    let invalid = [
        "nonsense".to_owned(),
        "a.b.c".to_owned(),
        unsigned(&alice.token),
        tampered(&alice.token),
        sign(FOREIGN_SECRET, id, 3_600),
        forge(SECRET, Algorithm::HS512, &claims(id)),
        forge(SECRET, Algorithm::HS256, &with(claims(id), "token_type", "refresh")),
        forge(SECRET, Algorithm::HS256, &with(claims(id), "nbf", now + 600)),
        forge(SECRET, Algorithm::HS256, &without(claims(id), "exp")),
        forge(SECRET, Algorithm::HS256, &without(claims(id), "user_id")),
        forge(SECRET, Algorithm::HS256, &claims("alice")),
        forge(SECRET, Algorithm::HS256, &claims(-1)),
        // Nobody of that id.
        token_of(id + 1_000),
        "x".repeat(5_000),
    ];
    let path = format!("/ws/conversations/{conversation}/");
    for token in &invalid {
        // Too long for a head is another matter.
        if token.len() < 4_000 {
            refused(&server, &path, token, 401, "token_invalid", 4401);
        }
        let answer = server.ask("GET", "/api/v1/conversations/", token, None);
        assert_eq!((answer.status, answer.code().as_str()), (401, "token_invalid"), "{token}");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
    }
    for path in ["/ws/chat/", "/ws/notifications/", path.as_str()] {
        refused(&server, path, "nonsense", 401, "token_invalid", 4401);
        refused(&server, path, &sign(SECRET, id, -1), 401, "token_expired", 4401);
        refused(&server, path, "", 401, "token_missing", 4401);
    }
}

#[test]
fn every_form_of_a_token_that_simplejwt_writes_is_accepted() {
    let server = Server::with(&[("SECRET_KEY_PREVIOUS", PREVIOUS_SECRET)]);
    let alice = &server.users(&["alice"])[0];
    for token in [
        sign(SECRET, alice.id, 60),
        sign(PREVIOUS_SECRET, alice.id, 60),
        forge(SECRET, Algorithm::HS256, &claims(alice.id)),
        forge(SECRET, Algorithm::HS256, &claims(alice.id.to_string())),
        forge(SECRET, Algorithm::HS256, &without(claims(alice.id), "token_type")),
        server.cli(&["token", "--user", "alice"]),
        server.cli(&["token", "--user", &alice.id.to_string(), "--ttl", "90s"]),
    ] {
        let mut ws = Ws::v1_token(&server, &token, "/ws/chat/");
        assert_eq!(ws.expect("hello")["user_id"], alice.id);
        assert_eq!(server.ask("GET", "/api/v1/conversations/", &token, None).status, 200);
    }
    refused(&server, "/ws/chat/", &sign(FOREIGN_SECRET, alice.id, 60), 401, "token_invalid", 4401);
}

#[test]
fn audience_and_issuer_are_respected_where_they_are_configured() {
    let server = Server::with(&[("JWT_AUDIENCE", "app"), ("JWT_ISSUER", "django")]);
    let alice = &server.users(&["alice"])[0];
    let good = with(with(claims(alice.id), "aud", "app"), "iss", "django");
    let signed = |claims: &Value| forge(SECRET, Algorithm::HS256, claims);
    let mut ws = Ws::v1_token(&server, &signed(&good), "/ws/chat/");
    ws.expect("hello");
    for claims in [
        without(good.clone(), "aud"),
        without(good.clone(), "iss"),
        with(good.clone(), "aud", "other"),
        with(good.clone(), "iss", "other"),
    ] {
        refused(&server, "/ws/chat/", &signed(&claims), 401, "token_invalid", 4401);
    }
    let token = server.cli(&["token", "--user", "alice"]);
    Ws::v1_token(&server, &token, "/ws/chat/").expect("hello");
}

#[test]
fn an_inactive_user_is_nobody() {
    let server = Server::start();
    let Pair { alice, conversation, .. } = server.pair();
    let database = rusqlite::Connection::open(server.database()).unwrap();
    let deactivate = "UPDATE accounts_user SET is_active = 0 WHERE id = ?1";
    assert_eq!(database.execute(deactivate, [alice.id]).unwrap(), 1);
    let path = format!("/ws/conversations/{conversation}/");
    for path in ["/ws/chat/", "/ws/notifications/", path.as_str()] {
        refused(&server, path, &alice.token, 401, "token_invalid", 4401);
    }
    for path in ["/api/v1/conversations/", "/api/v1/matching/matches/"] {
        let answer = server.ask("GET", path, &alice.token, None);
        assert_eq!((answer.status, answer.code().as_str()), (401, "token_invalid"), "{path}");
    }
}

#[test]
fn only_participants_get_into_a_conversation_that_exists() {
    let server = Server::start();
    let Pair { alice, conversation, .. } = server.pair();
    let carol = &server.users(&["carol"])[0];
    let path = format!("/ws/conversations/{conversation}/");
    refused(&server, &path, &carol.token, 403, "not_a_participant", 4403);
    let unknown = conversation + 1_000;
    let path = format!("/ws/conversations/{unknown}/");
    refused(&server, &path, &alice.token, 404, "conversation_not_found", 4404);
    for id in ["0", "-1", "x", "9223372036854775808", ""] {
        let path = format!("/ws/conversations/{id}/");
        let answer = knock(&server, &path, &format!("Authorization: Bearer {}\r\n", alice.token));
        assert_eq!(answer.status, 404, "{path}");
    }
    refused(&server, "/ws/elsewhere/", &alice.token, 404, "not_found", 4404);
    // The echo is there for those who ask for it in the settings.
    refused(&server, "/_echo", &alice.token, 404, "not_found", 4404);
}

#[test]
fn a_handshake_that_is_none_is_refused_as_http() {
    let server = Server::start();
    let alice = &server.users(&["alice"])[0];
    let bearer = format!("Authorization: Bearer {}\r\n", alice.token);
    let good = handshake("/ws/chat/", &bearer);
    for (from, to, status) in [
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: c2hvcnQ=", 400),
        ("Sec-WebSocket-Version: 13\r\n", "", 426),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", 426),
        ("Upgrade: websocket\r\n", "", 426),
        ("Connection: Upgrade\r\n", "", 400),
        ("GET ", "POST ", 400),
    ] {
        assert!(good.contains(from));
        let mut http = Http::connect(server.address);
        http.send(good.replacen(from, to, 1));
        let answer = http.answer(false);
        assert_eq!(answer.status, status, "{from:?} -> {to:?}: {}", answer.text());
        if status == 426 {
            assert_eq!(answer.header("upgrade"), Some("websocket"));
            assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        } else {
            assert_eq!(answer.code(), "bad_handshake");
        }
    }
    for since in ["x", "-1", "1:2"] {
        let mut http = Http::connect(server.address);
        http.send(handshake(&format!("/ws/chat/?since={since}x"), &bearer));
        assert_eq!(http.answer(false).status, 400, "{since}");
    }
}

#[test]
fn host_and_origin_are_those_that_are_allowed() {
    let settings =
        [("ALLOWED_HOSTS", "localhost,.example.com"), ("CORS_ALLOWED_ORIGINS", "https://a.test")];
    let server = Server::with(&settings);
    let alice = &server.users(&["alice"])[0];
    let open = |host: &str, origin: &str| {
        let origin =
            if origin.is_empty() { String::new() } else { format!("Origin: {origin}\r\n") };
        let fields = format!("Authorization: Bearer {}\r\n{origin}", alice.token);
        let request = handshake("/ws/chat/", &fields);
        let mut http = Http::connect(server.address);
        http.send(request.replacen("Host: localhost", &format!("Host: {host}"), 1));
        let answer = http.answer(false);
        let code = if answer.status == 101 { String::new() } else { answer.code() };
        (answer.status, code)
    };
    for (host, origin) in [
        ("localhost", ""),
        ("localhost:8000", ""),
        ("chat.example.com", ""),
        ("example.com", "https://www.example.com"),
        ("localhost", "http://localhost:3000"),
        ("localhost", "https://a.test"),
    ] {
        assert_eq!(open(host, origin), (101, String::new()), "{host} {origin}");
    }
    for host in ["evil.test", "localhost.evil.test", "example.com.evil.test", "127.0.0.1"] {
        assert_eq!(open(host, ""), (400, "host_not_allowed".to_owned()), "{host}");
    }
    for origin in ["https://evil.test", "null", "https://a.test.evil.test", "https://b.test"] {
        assert_eq!(open("localhost", origin), (403, "origin_not_allowed".to_owned()), "{origin}");
    }
    let mut http = Http::connect(server.address);
    let request = format!(
        "GET /api/v1/conversations/ HTTP/1.1\r\nHost: evil.test\r\nAuthorization: Bearer {}\r\n\r\n",
        alice.token
    );
    http.send(request);
    assert_eq!(http.answer(false).code(), "host_not_allowed");
}

#[test]
fn a_session_ends_with_its_token_and_is_warned_before() {
    let server = Server::start();
    let Pair { alice, conversation, .. } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    for path in ["/ws/chat/", "/ws/notifications/", path.as_str()] {
        let mut v1 = Ws::v1_token(&server, &sign(SECRET, alice.id, 2), path);
        let hello = v1.expect("hello");
        let expiring = v1.until("token_expiring");
        assert_eq!(expiring["expires_at"], hello["token_expires_at"]);
        let token = sign(SECRET, alice.id, 2);
        let mut plain = Ws::open(server.address, &format!("{path}?token={token}"), None).unwrap();
        assert_eq!(v1.closed(), 4401, "{path}");
        assert_eq!(plain.got(), Got::Closed(4401, "token expired".to_owned()), "{path}");
    }
}

#[test]
fn a_fresh_token_keeps_a_session_and_a_bad_one_changes_nothing() {
    let server = Server::start();
    let Pair { alice, bob, conversation } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    for path in ["/ws/chat/", "/ws/notifications/", path.as_str()] {
        let mut ws = Ws::v1_token(&server, &sign(SECRET, alice.id, 2), path);
        ws.expect("hello");
        ws.until("token_expiring");
        for (token, code) in [
            (sign(FOREIGN_SECRET, alice.id, 3_600), "invalid_field"),
            (sign(SECRET, alice.id, -1), "invalid_field"),
            (unsigned(&alice.token), "invalid_field"),
            (bob.token.clone(), "forbidden"),
        ] {
            ws.send(&json!({"type": "auth", "token": token, "ref": "r"}));
            let error = ws.expect_error(code);
            assert_eq!(error["ref"], "r");
        }
        ws.send(&json!({"type": "auth", "token": sign(SECRET, alice.id, 3_600), "ref": "a"}));
        let ok = ws.expect("auth_ok");
        assert!(ok["expires_at"].as_str().unwrap().ends_with('Z'), "{ok}");
        assert_eq!(ws.expect("ack")["ref"], "a");
        // Beyond the first token's end: another session with such a token has seen it.
        let mut other = Ws::v1_token(&server, &sign(SECRET, alice.id, 2), "/ws/notifications/");
        assert_eq!(other.closed(), 4401);
        ws.expect_nothing();
        // A token that ends sooner is believed too.
        ws.send(&json!({"type": "auth", "token": sign(SECRET, alice.id, 1)}));
        ws.expect("auth_ok");
        assert_eq!(ws.closed(), 4401, "{path}");
    }
}
