//! What is made of requests.

use super::world::{NOW, ORIGIN, USER, WELCOME, World, check_problem, expired, respond, token};
use crate::model::{ConversationId, MessageId, Seq, UserId};
use crate::rest::{Handled, Ops, ROUTES};
use crate::store::{Page, Request};
use crate::time::Timestamp;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"];

/// What each method of [`METHODS`] does at a path: `ask` the store, `ops` of the server, or a status.
const TABLE: &str = "
/api/v1/conversations/                                       ask ask ask 405 405 405 204
/api/v1/conversations/{id}/                                  ask ask 405 405 405 405 204
/api/v1/conversations/{id}/messages/                         ask ask ask 405 405 405 204
/api/v1/conversations/{id}/messages/{message_id}/mark_read/  405 405 ask 405 405 405 204
/api/v1/conversations/{id}/leave/                            405 405 405 ask 405 405 204
/api/v1/matching/recent-matches/                             ask ask 405 405 405 405 204
/api/v1/matching/matches/                                    ask ask 405 405 405 405 204
/api/v1/matching/like/                                       405 405 ask 405 405 405 204
/api/v1/matching/unlike/                                     405 405 ask 405 405 405 204
/api/v1/matching/block/                                      405 405 ask 405 405 405 204
/api/v1/matching/unblock/                                    405 405 ask 405 405 405 204
/healthz                                                     ops ops 405 405 405 405 204
/readyz                                                      ops ops 405 405 405 405 204
/metrics                                                     ops ops 405 405 405 405 204
/                                                            ops ops 405 405 405 405 204
/ws/chat/                                                    426 426 405 405 405 405 204
/ws/conversations/{id}/                                      426 426 405 405 405 405 204
/ws/notifications/                                           426 426 405 405 405 405 204
/api/v1/                                                     404 404 404 404 404 404 404
";

/// Fields every route takes.
const BODY: &str = r#"{"participant_id":2,"message":"hi","content":"hi","user_id":2}"#;

#[test]
fn every_method_does_at_every_path_what_the_table_says() {
    let world = World::unlimited();
    for line in TABLE.trim().lines() {
        let mut words = line.split_whitespace();
        let path = words.next().unwrap().replace("{id}", "4").replace("{message_id}", "9");
        for (method, expect) in METHODS.into_iter().zip(words) {
            let found = match world.ask(method, &path, "", BODY) {
                Handled::Await { .. } => "ask".to_owned(),
                Handled::Ops(_) => "ops".to_owned(),
                Handled::Respond(response) => {
                    let allows = response.header_value("Allow").is_some();
                    assert_eq!(allows, [204, 405].contains(&response.status()), "{method} {path}");
                    assert_eq!(response.header_value("Cache-Control"), Some("no-store"));
                    response.status().to_string()
                }
            };
            assert_eq!(found, expect, "{method} {path}");
        }
    }
    for route in ROUTES {
        assert!(
            TABLE.contains(&format!("\n{} ", route.path)),
            "{} is not in the table",
            route.path
        );
    }
}

#[test]
fn each_request_becomes_its_question() {
    let world = World::new();
    let check = |method: &str, path: &str, body: &str, expect: Request| {
        assert_eq!(world.question(method, path, body).0, expect, "{method} {path}");
    };
    let conversation = ConversationId(4);
    let history = |page, limit| Request::History { user: USER, conversation, page, limit };
    check("GET", "/api/v1/conversations/", "", Request::Conversations { user: USER, limit: 500 });
    check(
        "POST",
        "/api/v1/conversations/",
        r#"{"participant_id":2,"message":" hi ","client_id":"c"}"#,
        Request::Open {
            creator: USER,
            participant: UserId(2),
            content: "hi".to_owned(),
            client_id: Some("c".to_owned()),
        },
    );
    check("GET", "/api/v1/conversations/4", "", Request::Conversation { user: USER, conversation });
    for (query, page, limit) in [
        ("", Page::Latest, 50),
        ("?limit=1", Page::Latest, 1),
        ("?limit=200", Page::Latest, 200),
        ("?limit=100000", Page::Latest, 200),
        ("?before_seq=71&limit=20", Page::Before(Seq(71)), 20),
        ("?before_seq=0", Page::Before(Seq(0)), 50),
        ("?after_seq=0", Page::After(Seq(0)), 50),
        ("?format=json&after_seq=9", Page::After(Seq(9)), 50),
    ] {
        let path = format!("/api/v1/conversations/4/messages/{query}");
        check("GET", &path, "", history(page, limit));
    }
    check(
        "POST",
        "/api/v1/conversations/4/messages/",
        r#"{"content":"hi","attachment":"https://a.example/b","x":1}"#,
        Request::Append {
            conversation,
            sender: USER,
            content: "hi".to_owned(),
            attachment: Some("https://a.example/b".to_owned()),
            client_id: None,
        },
    );
    check(
        "POST",
        "/api/v1/conversations/4/messages/9/mark_read/",
        "",
        Request::MarkRead { conversation, reader: USER, message: MessageId(9) },
    );
    check(
        "DELETE",
        "/api/v1/conversations/4/leave/",
        "",
        Request::Leave { conversation, user: USER },
    );
    let since = Timestamp::from_unix_seconds(NOW.unix_seconds() - 30 * 86_400);
    check(
        "GET",
        "/api/v1/matching/recent-matches/",
        "",
        Request::RecentMatches { user: USER, since, limit: 500 },
    );
    for (query, offset, limit) in [
        ("", 0, 20),
        ("?page=3", 40, 20),
        ("?page=3&page_size=7", 14, 7),
        ("?page_size=1000", 0, 100),
        ("?page=4294967295&page_size=100", 429_496_729_400, 100),
    ] {
        let path = format!("/api/v1/matching/matches/{query}");
        check("GET", &path, "", Request::Matches { user: USER, offset, limit });
    }
    let (one, two, body) = (USER, UserId(2), r#"{"user_id":2}"#);
    let welcome = WELCOME.into();
    check(
        "POST",
        "/api/v1/matching/like/",
        body,
        Request::Like { liker: one, liked: two, welcome },
    );
    check("POST", "/api/v1/matching/unlike/", body, Request::Unlike { liker: one, liked: two });
    check("POST", "/api/v1/matching/block/", body, Request::Block { blocker: one, blocked: two });
    check(
        "POST",
        "/api/v1/matching/unblock/",
        body,
        Request::Unblock { blocker: one, blocked: two },
    );
}

#[test]
fn an_unauthenticated_request_learns_how_to_authenticate() {
    let world = World::new();
    let other = "eyJhbGciOiJub25lIn0.eyJ1c2VyX2lkIjoxfQ.";
    let expired = format!("Authorization: Bearer {}\r\n", expired());
    let missing = ("token_missing", "Bearer");
    let invalid = ("token_invalid", r#"Bearer error="invalid_token""#);
    let late = (
        "token_expired",
        r#"Bearer error="invalid_token", error_description="The token has expired""#,
    );
    for (fields, (code, challenge)) in [
        ("", missing),
        ("Authorization: Bearer\r\n", missing),
        ("Authorization: Basic dXNlcjpw\r\n", missing),
        ("Authorization: Bearer x\r\n", invalid),
        (&format!("Authorization: Bearer {other}\r\n"), invalid),
        (&format!("authorization: bearer {}x\r\n", token(USER)), invalid),
        (&expired, late),
    ] {
        for route in ROUTES.iter().filter(|route| route.path.starts_with("/api/")) {
            let path = route.path.replace("{id}", "4").replace("{message_id}", "9");
            let fields = format!("Host: api.example\r\n{fields}");
            let response = respond(world.raw(route.method, &path, &fields, ""));
            assert_eq!(check_problem(&response, 401, code), None);
            assert_eq!(response.header_value("WWW-Authenticate"), Some(challenge), "{fields}");
        }
    }
}

#[test]
fn a_token_in_the_query_opens_no_api() {
    let target = format!("/api/v1/conversations/?token={}", token(USER));
    let response = respond(World::new().raw("GET", &target, "Host: api.example\r\n", ""));
    check_problem(&response, 401, "token_missing");
}

#[test]
fn only_probes_may_name_any_host() {
    let world = World::new();
    for route in ROUTES {
        let path = route.path.replace("{id}", "4").replace("{message_id}", "9");
        match world.raw(route.method, &path, "Host: 10.0.0.7:8000\r\n", "") {
            Handled::Ops(Ops::Healthz | Ops::Readyz | Ops::Metrics) => {}
            handled => {
                check_problem(&respond(handled), 400, "host_not_allowed");
            }
        }
    }
    check_problem(&respond(world.raw("GET", "/x", "Host: evil\r\n", "")), 400, "host_not_allowed");
    assert!(matches!(
        world.raw("GET", "/", "Host: API.example:80\r\n", ""),
        Handled::Ops(Ops::Page)
    ));
}

#[test]
fn the_page_is_there_where_it_is_served() {
    let world = World::without_page();
    for method in METHODS {
        check_problem(&world.refusal(method, "/", "", ""), 404, "not_found");
    }
}

#[test]
fn a_body_is_json_and_says_so() {
    let world = World::new();
    let check = |fields: &str, body: &str, status: u16| {
        let token = token(USER);
        let fields = format!("Host: api.example\r\nAuthorization: Bearer {token}\r\n{fields}");
        let found = match world.raw("POST", "/api/v1/matching/unlike/", &fields, body) {
            Handled::Await { .. } => 200,
            handled => respond(handled).status(),
        };
        assert_eq!(found, status, "{fields} {body}");
    };
    let body = r#"{"user_id":2}"#;
    check("Content-Type: application/json\r\n", body, 200);
    check("Content-Type: Application/JSON; charset=utf-8\r\n", body, 200);
    check("Content-Type: application/json\r\nContent-Encoding: identity\r\n", body, 200);
    check("", body, 415);
    check("Content-Type: text/plain\r\n", body, 415);
    check("Content-Type: application/vnd.api+json\r\n", body, 415);
    check("Content-Type: application/x-www-form-urlencoded\r\n", "user_id=2", 415);
    check("Content-Type: application/json\r\nContent-Encoding: gzip\r\n", body, 415);
    check("", "", 400);
    check("Content-Type: text/plain\r\n", "", 400);
    let response = world.refusal("POST", "/api/v1/matching/like/", "Content-Encoding: br\r\n", "x");
    check_problem(&response, 415, "unsupported_media_type");
    assert_eq!(response.header_value("Accept"), Some("application/json"));
}

#[test]
fn a_body_that_nobody_reads_may_be_of_any_type() {
    let world = World::new();
    let token = token(USER);
    let fields = format!(
        "Host: api.example\r\nAuthorization: Bearer {token}\r\nContent-Type: text/plain\r\n"
    );
    let path = "/api/v1/conversations/4/messages/9/mark_read/";
    assert!(matches!(world.raw("POST", path, &fields, "x"), Handled::Await { .. }));
    let path = "/api/v1/conversations/4/leave/";
    assert!(matches!(world.raw("DELETE", path, &fields, "x"), Handled::Await { .. }));
}

#[test]
fn a_wrong_body_names_the_field() {
    let world = World::new();
    let (open, send) = ("/api/v1/conversations/", "/api/v1/conversations/4/messages/");
    let like = "/api/v1/matching/like/";
    let long = format!(r#"{{"content":"{}"}}"#, "x".repeat(4_001));
    for (path, body, field) in [
        (open, r#"{"message":"hi"}"#, "participant_id"),
        (open, r#"{"participant_id":"2","message":"hi"}"#, "participant_id"),
        (open, r#"{"participant_id":2}"#, "message"),
        (open, r#"{"participant_id":2,"message":"  "}"#, "message"),
        (send, "{}", "content"),
        (send, r#"{"content":7}"#, "content"),
        (send, &long, "content"),
        (send, r#"{"content":"hi","attachment":"javascript:x"}"#, "attachment"),
        (send, r#"{"content":"hi","client_id":""}"#, "client_id"),
        (like, "{}", "user_id"),
        (like, r#"{"user_id":0}"#, "user_id"),
        (like, r#"{"user_id":null}"#, "user_id"),
    ] {
        let response = world.refusal("POST", path, "", body);
        let found = check_problem(&response, 400, "invalid_field");
        assert_eq!(found.as_deref(), Some(field), "{body}");
    }
    for body in ["", "{", "[]", "7", r#"{"content":"hi"} x"#, r#"{"content":}"#] {
        let response = world.refusal("POST", send, "", body);
        assert_eq!(check_problem(&response, 400, "invalid_json"), None, "{body}");
    }
}

#[test]
fn an_idempotency_key_is_the_client_id_where_the_body_has_none() {
    let world = World::unlimited();
    let client_id = |path: &str, key: &str, body: &str| {
        let fields = format!("Idempotency-Key: {key}\r\n");
        match world.ask("POST", path, &fields, body) {
            Handled::Await {
                request: Request::Append { client_id, .. } | Request::Open { client_id, .. },
                ..
            } => client_id,
            other => panic!("{key} {body}: {other:?}"),
        }
    };
    let send = "/api/v1/conversations/4/messages/";
    let content = r#"{"content":"hi"}"#;
    let open = "/api/v1/conversations/";
    assert_eq!(client_id(send, "k-1", content).as_deref(), Some("k-1"));
    assert_eq!(client_id(send, "\"k-1\"", content).as_deref(), Some("k-1"));
    let both = r#"{"content":"hi","client_id":"c"}"#;
    assert_eq!(client_id(send, "k-1", both).as_deref(), Some("c"));
    let body = r#"{"participant_id":2,"message":"hi"}"#;
    assert_eq!(client_id(open, "k-1", body).as_deref(), Some("k-1"));
    let longest = "k".repeat(64);
    assert_eq!(client_id(send, &longest, content), Some(longest));

    for key in ["", "\"\"", "a b", "é", &"k".repeat(65)] {
        let fields = format!("Idempotency-Key: {key}\r\n");
        let response = world.refusal("POST", send, &fields, content);
        let field = check_problem(&response, 400, "invalid_field");
        assert_eq!(field.as_deref(), Some("Idempotency-Key"), "{key}");
    }
}

#[test]
fn a_wrong_query_names_the_parameter() {
    let world = World::new();
    let history = "/api/v1/conversations/4/messages/";
    let matches = "/api/v1/matching/matches/";
    for (path, query, field) in [
        (history, "limit=0", "limit"),
        (history, "limit=", "limit"),
        (history, "limit=x", "limit"),
        (history, "limit=-1", "limit"),
        (history, "before_seq=1.5", "before_seq"),
        (history, "before_seq=-1", "before_seq"),
        (history, "after_seq=99999999999999999999", "after_seq"),
        (history, "before_seq=9&after_seq=1", "after_seq"),
        (matches, "page_size=0", "page_size"),
        (matches, "page_size=x", "page_size"),
    ] {
        let response = world.refusal("GET", &format!("{path}?{query}"), "", "");
        let found = check_problem(&response, 400, "invalid_field");
        assert_eq!(found.as_deref(), Some(field), "{query}");
    }
    for page in ["0", "x", "-1", "", "4294967296"] {
        let response = world.refusal("GET", &format!("{matches}?page={page}"), "", "");
        check_problem(&response, 404, "invalid_page");
    }
}

#[test]
fn a_limited_route_takes_from_the_allowance_and_the_others_do_not() {
    let limited = [
        ("POST", "/api/v1/conversations/"),
        ("POST", "/api/v1/conversations/4/messages/"),
        ("POST", "/api/v1/matching/like/"),
    ];
    let free = [("GET", "/api/v1/conversations/"), ("POST", "/api/v1/matching/block/")];
    for (method, path) in limited {
        let world = World::new();
        for _ in 0..10 {
            // What is wrong in itself costs nothing, and neither does another route.
            world.refusal(method, path, "", "{}");
            for (method, path) in free {
                world.question(method, path, BODY);
            }
            world.question(method, path, BODY);
        }
        let response = world.refusal(method, path, "", BODY);
        check_problem(&response, 429, "rate_limited");
        for (name, expect) in [
            ("Retry-After", "1"),
            ("RateLimit-Policy", "\"messages\";q=10;w=2"),
            ("RateLimit", "\"messages\";r=0;t=1"),
        ] {
            assert_eq!(response.header_value(name), Some(expect));
        }
        for (method, path) in free {
            world.question(method, path, BODY);
        }
    }
}

#[test]
fn a_page_of_an_allowed_origin_may_read_every_answer() {
    let world = World::new();
    let origin = format!("Origin: {ORIGIN}\r\n");
    let check = |response: &crate::protocol::http::Response| {
        let allowed = response.header_value("Access-Control-Allow-Origin");
        assert_eq!(allowed, Some(ORIGIN), "{response:?}");
        assert_eq!(response.header_value("Vary"), Some("Origin"));
    };
    check(&respond(world.raw("GET", "/x", &format!("Host: evil\r\n{origin}"), "")));
    check(&respond(world.raw(
        "GET",
        "/api/v1/conversations/",
        &format!("Host: api.example\r\n{origin}"),
        "",
    )));
    check(&world.refusal("GET", "/api/v1/", &origin, ""));
    check(&world.refusal("PUT", "/api/v1/conversations/", &origin, ""));
    check(&world.refusal("POST", "/api/v1/matching/like/", &origin, "{}"));
    check(&world.refusal("OPTIONS", "/api/v1/matching/like/", &origin, ""));
    let preflight = format!("{origin}Access-Control-Request-Method: POST\r\n");
    let response = world.refusal("OPTIONS", "/api/v1/matching/like/", &preflight, "");
    check(&response);
    assert_eq!(response.status(), 204);
    assert!(response.header_value("Access-Control-Allow-Headers").is_some());
    let foreign = world.refusal("GET", "/api/v1/", "Origin: https://evil.example\r\n", "");
    assert_eq!(foreign.header_value("Access-Control-Allow-Origin"), None);
}

#[test]
fn the_server_as_a_whole_has_options() {
    let response = respond(World::new().raw("OPTIONS", "*", "Host: api.example\r\n", ""));
    assert_eq!(response.status(), 204);
    assert!(response.header_value("Allow").is_some());
}

#[test]
fn a_socket_in_plain_http_is_told_to_upgrade() {
    let response = World::new().refusal("GET", "/ws/chat", "", "");
    check_problem(&response, 426, "upgrade_required");
    assert_eq!(response.header_value("Upgrade"), Some("websocket"));
    assert_eq!(response.header_value("Sec-WebSocket-Version"), Some("13"));
}
