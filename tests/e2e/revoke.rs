//! Tokens that are revoked: their sockets close, and they open nothing any more.

use std::time::{Duration, Instant};

use fortifun_realtime::auth::jwt;
use fortifun_realtime::ids::UserId;
use serde_json::json;

use crate::support::server::SECRET;
use crate::support::users::{Pair, wall_clock};
use crate::support::{Got, Server, Ws, eventually, token_of};

/// From the command's end to the last close frame.
const WITHIN: Duration = Duration::from_secs(1);

/// A token of a user with this `jti`, as the command line takes it.
fn named(user: i64, jti: u128) -> (String, String) {
    let token = jwt::issue(SECRET.as_bytes(), UserId(user), 3_600, wall_clock(), jti);
    (token, format!("{jti:032x}"))
}

/// That the socket is closed because its token was revoked; events before it are dropped.
pub(crate) fn expect_revoked(ws: &mut Ws) {
    loop {
        match ws.got() {
            Got::Event(event) => assert_eq!(event["type"], "user_status", "{event}"),
            other => return assert_eq!(other, Got::Closed(4401, "token revoked".to_owned())),
        }
    }
}

/// That a token opens nothing.
pub(crate) fn expect_refused(server: &Server, token: &str) {
    let mut ws = Ws::v1_token(server, token, "/ws/chat/");
    assert_eq!(ws.got(), Got::Closed(4401, "token_invalid".to_owned()));
    assert_eq!(
        Ws::open(server.address, &format!("/ws/chat/?token={token}"), None).err(),
        Some(401)
    );
    let answer = server.ask("GET", "/api/v1/conversations/", token, None);
    assert_eq!((answer.status, answer.code().as_str()), (401, "token_invalid"));
    assert!(answer.text().contains("revoked"), "{}", answer.text());
    assert!(answer.header("www-authenticate").unwrap().contains("revoked"));
}

/// A token that was issued in a later second than this one.
pub(crate) fn fresh_token(user: i64) -> String {
    let second = wall_clock().unix_seconds();
    while wall_clock().unix_seconds() == second {
        std::thread::yield_now();
    }
    token_of(user)
}

#[test]
fn a_user_who_is_revoked_is_out_everywhere_until_a_fresh_token() {
    let mut server = Server::start();
    let Pair { alice, bob, conversation } = server.pair();
    let there = format!("/ws/conversations/{conversation}/");
    let paths = ["/ws/chat/", "/ws/notifications/", there.as_str()];
    let mut open = paths.map(|path| Ws::v1(&server, &alice, path));
    let mut plain = Ws::plain(&server, &alice, "/ws/chat/");
    let mut other = Ws::v1(&server, &bob, &there);
    let told = server.cli(&["revoke", "--user", &alice.id.to_string()]);
    let since = Instant::now();
    assert!(told.contains(&format!("tokens of user {}", alice.id)), "{told}");
    open.iter_mut().chain([&mut plain]).for_each(expect_revoked);
    assert!(since.elapsed() < WITHIN, "{:?}", since.elapsed());
    expect_refused(&server, &alice.token);
    other.say(&json!({"type": "message", "content": "still here"}));
    let fresh = fresh_token(alice.id);
    let mut again = Ws::v1_token(&server, &fresh, &there);
    again.expect("hello");
    again.say(&json!({"type": "message", "content": "again"}));
    assert_eq!(server.ask("GET", "/api/v1/conversations/", &fresh, None).status, 200);
    // What is revoked stays so, from the first moment of another process on.
    server.kill_and_restart();
    eventually("the store answers", || {
        (server.ask("GET", "/api/v1/conversations/", &fresh, None).status == 200).then_some(())
    });
    expect_refused(&server, &alice.token);
    let mut again = Ws::v1_token(&server, &fresh, "/ws/chat/");
    again.expect("hello");
    // A poll later it is still there.
    let next = server.cli(&["revoke", "--jti", "nobodys"]);
    assert!(next.contains("`nobodys`"), "{next}");
    again.hears_presence = true;
    assert_eq!(again.got_within(WITHIN), None);
}

#[test]
fn one_token_is_revoked_and_the_others_of_its_user_are_good() {
    let server = Server::start();
    let alice = &server.users(&["alice"])[0];
    let (first, first_jti) = named(alice.id, 0xa11ce);
    let (second, second_jti) = named(alice.id, 0xb0b);
    let open = |token: &str| {
        let mut ws = Ws::v1_token(&server, token, "/ws/chat/");
        ws.expect("hello");
        ws
    };
    let (mut by_first, mut renewed, mut by_second) = (open(&first), open(&first), open(&second));
    renewed.send(&json!({"type": "auth", "token": second}));
    renewed.expect("auth_ok");
    server.cli(&["revoke", "--jti", &first_jti, "--keep-days", "1"]);
    let since = Instant::now();
    expect_revoked(&mut by_first);
    assert!(since.elapsed() < WITHIN, "{:?}", since.elapsed());
    expect_refused(&server, &first);
    for ws in [&mut renewed, &mut by_second] {
        ws.expect_nothing();
    }
    by_second.send(&json!({"type": "auth", "token": first}));
    assert!(
        by_second.expect_error("invalid_field")["message"].as_str().unwrap().contains("revoked")
    );
    server.cli(&["revoke", "--jti", &second_jti]);
    for ws in [&mut renewed, &mut by_second] {
        expect_revoked(ws);
    }
    let _good = open(&token_of(alice.id));
}
