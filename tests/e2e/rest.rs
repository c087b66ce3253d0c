//! The REST API: every route, its pages, and what it says of a request that is wrong.

use serde_json::{Value, json};

use crate::support::http::request;
use crate::support::server::UNLIMITED;
use crate::support::users::Pair;
use crate::support::{Http, Server, Ws};

fn seqs(page: &Value) -> Vec<i64> {
    page.as_array().unwrap().iter().map(|message| message["seq"].as_i64().unwrap()).collect()
}

#[test]
fn conversations_are_opened_listed_and_shown() {
    let server = Server::start();
    let users = server.users(&["alice", "bob", "carol"]);
    let [alice, bob, carol] = &users[..] else { unreachable!() };
    assert_eq!(server.json("/api/v1/conversations/", &alice.token), json!([]));
    let mut bob_chat = Ws::v1(&server, bob, "/ws/chat/");
    let mut alice_chat = Ws::v1(&server, alice, "/ws/chat/");
    let open = |with: i64, text: &str| {
        let body = json!({"participant_id": with, "message": text});
        server.ask("POST", "/api/v1/conversations/", &alice.token, Some(&body))
    };
    let answer = open(bob.id, " first ");
    assert_eq!(answer.status, 201);
    let opened = answer.json();
    assert_eq!(
        answer.header("location"),
        Some(&*format!("/api/v1/conversations/{}/", opened["id"]))
    );
    assert_eq!(opened["participants"].as_array().unwrap().len(), 2);
    assert_eq!(opened["last_message"]["content"], "first");
    assert_eq!((&opened["last_seq"], &opened["is_active"]), (&json!(1), &json!(true)));
    for ws in [&mut alice_chat, &mut bob_chat] {
        let update = ws.expect("conversation_update");
        assert_eq!(update["event"], "conversation.create");
        assert_eq!(update["data"]["id"], opened["id"]);
        ws.expect("new_message");
    }
    let again = open(bob.id, "second").json();
    assert_eq!((&again["id"], &again["last_seq"]), (&opened["id"], &json!(2)), "it is reused");
    assert_eq!(bob_chat.expect("new_message")["message"]["content"], "second");
    bob_chat.expect_nothing();
    let newest = open(carol.id, "to carol").json();
    let list = server.json("/api/v1/conversations/", &alice.token);
    let ids: Vec<_> = list.as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, [newest["id"].clone(), opened["id"].clone()], "newest activity first");
    let mut keys: Vec<_> = list[0].as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "created_at",
            "id",
            "is_active",
            "last_message",
            "last_seq",
            "participants",
            "unread_count",
            "updated_at"
        ]
    );
    let path = format!("/api/v1/conversations/{}/", opened["id"]);
    let shown = server.json(&path, &bob.token);
    assert_eq!((&shown["unread_count"], &shown["last_seq"]), (&json!(2), &json!(2)));
    assert_eq!(server.json(path.trim_end_matches('/'), &bob.token), shown, "the slash is optional");
    let answer = server.ask("GET", &path, &carol.token, None);
    assert_eq!((answer.status, answer.code().as_str()), (403, "not_a_participant"));
    let answer = server.ask("GET", "/api/v1/conversations/999999/", &carol.token, None);
    assert_eq!((answer.status, answer.code().as_str()), (404, "conversation_not_found"));
    for with in [alice.id, 999_999] {
        assert_eq!(open(with, "?").status, 400);
    }
}

#[test]
fn history_is_paged_both_ways_and_names_its_next_page() {
    let server = Server::with(UNLIMITED);
    let Pair { alice, conversation, .. } = server.pair();
    let path = format!("/api/v1/conversations/{conversation}/messages/");
    let mut http = Http::connect(server.address);
    for number in 2..=120 {
        let body = json!({"content": format!("m {number}")});
        assert_eq!(http.ask("POST", &path, &alice.token, Some(&body)).json()["seq"], number);
    }
    let latest = http.ask("GET", &path, &alice.token, None);
    assert_eq!(seqs(&latest.json()), (71..=120).collect::<Vec<_>>());
    let next_of = |link: &str| {
        let (url, rel) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
        assert_eq!(rel, "; rel=\"next\"");
        url.to_owned()
    };
    for (first, expected) in [
        (path.clone(), (1..=120).rev().collect::<Vec<_>>()),
        (format!("{path}?after_seq=0&limit=33"), (1..=120).collect()),
    ] {
        let (mut next, mut seen) = (Some(first), Vec::new());
        while let Some(url) = next {
            let page = http.ask("GET", &url, &alice.token, None);
            let mut page_seqs = seqs(&page.json());
            if !url.contains("after_seq") {
                page_seqs.reverse();
            }
            seen.extend(page_seqs);
            next = page.header("link").map(next_of);
        }
        assert_eq!(seen, expected);
    }
    for (query, expected) in [
        ("?limit=3", 118..121),
        ("?before_seq=10&limit=4", 6..10),
        ("?after_seq=10&limit=4", 11..15),
        ("?limit=5000", 1..121),
        ("?before_seq=1", 0..0),
        ("?after_seq=120", 0..0),
    ] {
        let page = server.json(&format!("{path}{query}"), &alice.token);
        assert_eq!(seqs(&page), expected.collect::<Vec<_>>(), "{query}");
    }
    for query in
        ["?limit=0", "?limit=x", "?before_seq=-1", "?after_seq=1.5", "?after_seq=1&before_seq=2"]
    {
        let answer = server.ask("GET", &format!("{path}{query}"), &alice.token, None);
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_field"), "{query}");
    }
}

#[test]
fn a_message_by_rest_is_told_and_stored_like_a_sockets() {
    let server = Server::start();
    let Pair { alice, bob, conversation } = server.pair();
    let path = format!("/api/v1/conversations/{conversation}/messages/");
    let mut there = Ws::v1(&server, &bob, &format!("/ws/conversations/{conversation}/"));
    let mut alice_chat = Ws::v1(&server, &alice, "/ws/chat/");
    let body = json!({"content": "by REST", "attachment": "https://cdn.test/a.png"});
    let mut http = Http::connect(server.address);
    let key = "Idempotency-Key: \"8e03978e-40d5-43dd-bc93-6894a57f9324\"\r\nContent-Type";
    let with_key =
        request("POST", &path, &alice.token, Some(&body)).replacen("Content-Type", key, 1);
    http.send(&with_key);
    let answer = http.answer(false);
    assert_eq!(answer.status, 201);
    let message = answer.json();
    assert_eq!(message["client_id"], "8e03978e-40d5-43dd-bc93-6894a57f9324");
    assert_eq!(there.expect("message")["message"], message);
    assert_eq!(alice_chat.expect("new_message")["message"], message);
    // A client that lost the answer gets it again.
    http.send(&with_key);
    let again = http.answer(false);
    assert_eq!((again.status, again.json()), (201, message));
    there.expect_nothing();
    alice_chat.expect_nothing();
    for name in ["ratelimit", "ratelimit-policy"] {
        assert!(again.header(name).unwrap().starts_with("\"messages\";"), "{name}");
    }
    assert_eq!(server.json(&path, &bob.token).as_array().unwrap().len(), 2);
    for key in ["", "  ", &"k".repeat(65), "caf\u{e9}", "a b"] {
        let fields = format!("Idempotency-Key: {key}\r\nContent-Type");
        let request = request("POST", &path, &alice.token, Some(&body));
        http.send(request.replacen("Content-Type", &fields, 1));
        let answer = http.answer(false);
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_field"), "{key:?}");
    }
}

#[test]
fn matches_are_listed_recent_ones_apart_and_all_in_pages() {
    let server = Server::start();
    let mut names: Vec<_> = (0..45).map(|number| format!("user{number}")).collect();
    names.push("alice".to_owned());
    let mut users = server.users(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let alice = users.pop().unwrap();
    let talks: Vec<_> = users.iter().map(|user| server.matched(&alice, user)).collect();
    let recent = server.json("/api/v1/matching/recent-matches/", &alice.token);
    let recent = recent.as_array().unwrap();
    assert_eq!(recent.len(), 45);
    assert_eq!(recent[0]["id"], users[44].id, "newest first, and the other's id");
    assert_eq!(recent[0]["conversation_id"], talks[44]);
    let mut keys: Vec<_> = recent[0].as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "bio",
            "conversation_id",
            "first_name",
            "id",
            "is_online",
            "last_activity",
            "last_name",
            "location",
            "match_created_at",
            "match_id",
            "profile_picture",
            "username"
        ]
    );
    let mut url = Some("/api/v1/matching/matches/".to_owned());
    let mut seen = Vec::new();
    let mut pages = 0;
    while let Some(path) = url {
        let page = server.json(&path, &alice.token);
        assert_eq!(page["count"], 45);
        assert_eq!(page["previous"].is_null(), pages == 0);
        let results = page["results"].as_array().unwrap();
        seen.extend(results.iter().map(|one| one["matched_user"]["id"].as_i64().unwrap()));
        assert_eq!(results[0]["is_active"], true);
        url = page["next"].as_str().map(|next| next.replacen("http://localhost", "", 1));
        pages += 1;
    }
    assert_eq!(pages, 3);
    let mut expected: Vec<_> = users.iter().map(|user| user.id).collect();
    expected.reverse();
    assert_eq!(seen, expected);
    let sized = server.json("/api/v1/matching/matches/?page_size=10&page=5", &alice.token);
    assert_eq!(sized["results"].as_array().unwrap().len(), 5);
    for page in ["4", "0", "x", "-1"] {
        let path = format!("/api/v1/matching/matches/?page={page}");
        let answer = server.ask("GET", &path, &alice.token, None);
        assert_eq!((answer.status, answer.code().as_str()), (404, "invalid_page"), "{page}");
    }
}

#[test]
fn a_body_that_is_wrong_is_refused_and_the_field_named() {
    let server = Server::with(UNLIMITED);
    let Pair { alice, conversation, .. } = server.pair();
    let messages = format!("/api/v1/conversations/{conversation}/messages/");
    let long = "x".repeat(4_001);
    let url = format!("https://{}", "x".repeat(100));
    let mut http = Http::connect(server.address);
    for (path, body, field) in [
        (messages.as_str(), json!({}), "content"),
        (&messages, json!({"content": null}), "content"),
        (&messages, json!({"content": 1}), "content"),
        (&messages, json!({"content": " \n"}), "content"),
        (&messages, json!({"content": long}), "content"),
        (&messages, json!({"content": "a\u{0}b"}), "content"),
        (&messages, json!({"content": "a", "attachment": 1}), "attachment"),
        (&messages, json!({"content": "a", "attachment": "javascript:x"}), "attachment"),
        (&messages, json!({"content": "a", "attachment": url}), "attachment"),
        (&messages, json!({"content": "a", "client_id": ""}), "client_id"),
        (&messages, json!({"content": "a", "client_id": "c".repeat(65)}), "client_id"),
        ("/api/v1/conversations/", json!({"message": "m"}), "participant_id"),
        (
            "/api/v1/conversations/",
            json!({"participant_id": "1", "message": "m"}),
            "participant_id",
        ),
        ("/api/v1/conversations/", json!({"participant_id": 1}), "message"),
        ("/api/v1/conversations/", json!({"participant_id": 1, "message": ""}), "message"),
        ("/api/v1/matching/like/", json!({}), "user_id"),
        ("/api/v1/matching/like/", json!({"user_id": "2"}), "user_id"),
        ("/api/v1/matching/like/", json!({"user_id": 0}), "user_id"),
        ("/api/v1/matching/unlike/", json!({"user_id": 1.5}), "user_id"),
        ("/api/v1/matching/block/", json!({"user_id": null}), "user_id"),
        ("/api/v1/matching/unblock/", json!({"user_id": [1]}), "user_id"),
    ] {
        let answer = http.ask("POST", path, &alice.token, Some(&body));
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_field"), "{body}");
        assert!(answer.json()["detail"].as_str().unwrap().starts_with(field), "{answer:?}");
    }
    for body in ["", "{", "[]", "1", "{\"content\":\"a\"} x", "nul"] {
        let len = body.len();
        http.send(format!(
            "POST {messages} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {len}\r\n\r\n{body}",
            alice.token
        ));
        let answer = http.answer(false);
        assert_eq!(answer.status, 400, "{body:?}");
        assert!(["invalid_json", "invalid_field"].contains(&&*answer.code()), "{answer:?}");
    }
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"]
    {
        let request = request("POST", &messages, &alice.token, Some(&json!({"content": "a"})));
        let other = format!("Content-Type: {content_type}\r\n");
        http.send(request.replacen("Content-Type: application/json\r\n", &other, 1));
        let answer = http.answer(false);
        assert_eq!((answer.status, answer.code().as_str()), (415, "unsupported_media_type"));
        assert_eq!(answer.header("accept"), Some("application/json"));
    }
    let charset = "Content-Type: application/json; charset=utf-8\r\n";
    let request = request("POST", &messages, &alice.token, Some(&json!({"content": "a"})));
    http.send(request.replacen("Content-Type: application/json\r\n", charset, 1));
    assert_eq!(http.answer(false).status, 201);
    assert_eq!(server.json(&messages, &alice.token).as_array().unwrap().len(), 2);
}

#[test]
fn every_route_wants_a_token_and_its_own_methods() {
    let server = Server::start();
    let alice = &server.users(&["alice"])[0];
    for (path, allow) in [
        ("/api/v1/conversations/", "GET, HEAD, POST, OPTIONS"),
        ("/api/v1/conversations/1/", "GET, HEAD, OPTIONS"),
        ("/api/v1/conversations/1/messages/", "GET, HEAD, POST, OPTIONS"),
        ("/api/v1/conversations/1/messages/1/mark_read/", "POST, OPTIONS"),
        ("/api/v1/conversations/1/leave/", "DELETE, OPTIONS"),
        ("/api/v1/matching/recent-matches/", "GET, HEAD, OPTIONS"),
        ("/api/v1/matching/matches/", "GET, HEAD, OPTIONS"),
        ("/api/v1/matching/like/", "POST, OPTIONS"),
        ("/api/v1/matching/unlike/", "POST, OPTIONS"),
        ("/api/v1/matching/block/", "POST, OPTIONS"),
        ("/api/v1/matching/unblock/", "POST, OPTIONS"),
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/readyz", "GET, HEAD, OPTIONS"),
        ("/metrics", "GET, HEAD, OPTIONS"),
    ] {
        let mut http = Http::connect(server.address);
        let answer = http.ask("PATCH", path, &alice.token, None);
        assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"), "{path}");
        assert_eq!(answer.header("allow"), Some(allow), "{path}");
        let answer = http.ask("OPTIONS", path, "", None);
        assert_eq!((answer.status, answer.header("allow")), (204, Some(allow)), "{path}");
        let method = allow.split(", ").next().unwrap();
        let answer = http.ask(method, path, "", None);
        if path.starts_with("/api") {
            assert_eq!((answer.status, answer.code().as_str()), (401, "token_missing"), "{path}");
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
        } else {
            assert_eq!(answer.status, 200, "{path}");
        }
        assert_eq!(answer.header("cache-control").is_some(), path != "/metrics", "{path}");
    }
    for path in
        ["/api/v1/", "/api/v1/conversations/x/", "/nothing", "/api/v1/matching/like/1/", "/"]
    {
        let answer = server.ask("GET", path, &alice.token, None);
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
    }
    let answer = server.ask("GET", "/ws/chat/", &alice.token, None);
    assert_eq!(answer.status, 426);
}
