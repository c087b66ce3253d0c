//! What is made of outcomes.

use super::world::{
    NOW, ORIGIN, World, card, check_problem, conversation, json, made, match_view, message,
};
use crate::model::{MatchPage, MessageId, Refused, Seq, UserId};
use crate::protocol::http::Response;
use crate::rest::{Handled, Then};
use crate::store::{Failure, Made, Opened, Reply, StoreError, StoreErrorKind};

const BODY: &str = r#"{"participant_id":2,"message":"hi","content":"hi","user_id":2}"#;

/// Every question, by method and path.
const QUESTIONS: [(&str, &str); 13] = [
    ("GET", "/api/v1/conversations/"),
    ("POST", "/api/v1/conversations/"),
    ("GET", "/api/v1/conversations/4/"),
    ("GET", "/api/v1/conversations/4/messages/"),
    ("POST", "/api/v1/conversations/4/messages/"),
    ("POST", "/api/v1/conversations/4/messages/9/mark_read/"),
    ("DELETE", "/api/v1/conversations/4/leave/"),
    ("GET", "/api/v1/matching/recent-matches/"),
    ("GET", "/api/v1/matching/matches/"),
    ("POST", "/api/v1/matching/like/"),
    ("POST", "/api/v1/matching/unlike/"),
    ("POST", "/api/v1/matching/block/"),
    ("POST", "/api/v1/matching/unblock/"),
];

/// The reply that belongs to a question.
fn reply(method: &str, path: &str) -> Reply {
    let conversation_id = conversation(4).id;
    match (method, path) {
        ("GET", "/api/v1/conversations/") => {
            Reply::Conversations(vec![conversation(5), conversation(4)])
        }
        ("POST", "/api/v1/conversations/") => Reply::Opened(Box::new(Opened {
            conversation: conversation(4),
            for_participant: None,
            message: message(1),
            duplicate: false,
        })),
        ("GET", "/api/v1/conversations/4/") => Reply::Conversations(vec![conversation(4)]),
        ("GET", "/api/v1/conversations/4/messages/") => {
            Reply::History { messages: vec![message(1), message(2)], last_seq: Seq(2) }
        }
        ("POST", "/api/v1/conversations/4/messages/") => Reply::Appended {
            message: message(3),
            participants: vec![UserId(1), UserId(2)],
            duplicate: false,
        },
        ("POST", path) if path.ends_with("mark_read/") => Reply::MarkedRead {
            conversation: conversation_id,
            message: MessageId(9),
            reader: card(1),
            newly: 3,
            at: NOW,
            participants: vec![UserId(1), UserId(2)],
        },
        ("DELETE", _) => Reply::Left { conversation: conversation_id },
        ("GET", _) => Reply::Matches(MatchPage { count: 1, results: vec![match_view(5)] }),
        ("POST", path) if path.ends_with("/like/") => {
            Reply::Liked { liker: card(1), liked: card(2), made: None }
        }
        ("POST", path) if path.ends_with("/unlike/") => Reply::Done,
        ("POST", path) if path.ends_with("/block/") => {
            Reply::Blocked { blocker: UserId(1), blocked: UserId(2), conversations: Vec::new() }
        }
        _ => Reply::Unblocked { conversations: Vec::new() },
    }
}

fn answer(method: &str, path: &str, reply: Reply) -> Response {
    let world = World::unlimited();
    let then = world.question(method, path, BODY).1;
    world.complete(then, Ok(reply))
}

#[test]
fn every_reply_is_answered_as_the_contract_says() {
    for (method, path) in QUESTIONS {
        let response = answer(method, path, reply(method, path));
        let is_new = ["/conversations/", "/messages/", "/like/"];
        let created = method == "POST" && is_new.iter().any(|end| path.ends_with(end));
        assert_eq!(response.status(), if created { 201 } else { 200 }, "{method} {path}");
        assert_eq!(response.header_value("Content-Type"), Some("application/json"));
        assert_eq!(response.header_value("Cache-Control"), Some("no-store"));
        let body = json(&response);
        let is_list = method == "GET"
            && ["/conversations/", "/messages/", "/recent-matches/"]
                .iter()
                .any(|end| path.ends_with(end));
        assert_eq!(body.is_array(), is_list, "{method} {path}: {body}");
    }
}

#[test]
fn a_reply_of_another_question_is_our_fault() {
    for (method, path) in QUESTIONS {
        let then = World::unlimited().question(method, path, BODY).1;
        let other = Reply::Presence {
            user: card(1),
            is_online: true,
            is_changed: true,
            at: NOW,
            conversations: Vec::new(),
        };
        check_problem(&World::unlimited().complete(then, Ok(other)), 500, "internal");
    }
    let response = answer("GET", "/api/v1/conversations/4/", Reply::Conversations(Vec::new()));
    check_problem(&response, 500, "internal");
}

#[test]
fn conversations_keep_their_order_and_a_new_one_says_where_it_is() {
    let (get, post) = ("GET", "POST");
    let path = "/api/v1/conversations/";
    let list = json(&answer(get, path, reply(get, path)));
    assert_eq!((&list[0]["id"], &list[1]["id"]), (&5.into(), &4.into()));
    let response = answer(post, path, reply(post, path));
    assert_eq!(response.header_value("Location"), Some("/api/v1/conversations/4/"));
    assert_eq!(json(&response)["participants"][1]["username"], "user2");
}

#[test]
fn a_repeated_message_is_answered_as_the_first_was() {
    let path = "/api/v1/conversations/4/messages/";
    let say = |duplicate| {
        let reply = Reply::Appended { message: message(3), participants: Vec::new(), duplicate };
        answer("POST", path, reply)
    };
    assert_eq!(say(false), say(true));
    assert_eq!(json(&say(true))["seq"], 3);
}

#[test]
fn a_read_mark_counts_what_it_changed() {
    let path = "/api/v1/conversations/4/messages/9/mark_read/";
    let body = json(&answer("POST", path, reply("POST", path)));
    assert_eq!(body["conversation_id"], 4);
    assert_eq!(body["message_id"], 9);
    assert_eq!(body["newly_read"], 3);
}

#[test]
fn a_full_page_of_history_links_to_the_next() {
    let history = |query: &str, seqs: std::ops::RangeInclusive<i64>| {
        let world = World::unlimited();
        let path = format!("/api/v1/conversations/4/messages/{query}");
        let messages = seqs.map(message).collect();
        let then = world.question("GET", &path, "").1;
        let response = world.complete(then, Ok(Reply::History { messages, last_seq: Seq(90) }));
        response.header_value("Link").map(str::to_owned)
    };
    let link = |query| Some(format!("</api/v1/conversations/4/messages/?{query}>; rel=\"next\""));
    assert_eq!(history("", 41..=90), link("limit=50&before_seq=41"));
    assert_eq!(history("?limit=2&before_seq=9", 7..=8), link("limit=2&before_seq=7"));
    assert_eq!(history("?limit=2&before_seq=3", 1..=2), None);
    assert_eq!(history("?limit=2&after_seq=7", 8..=9), link("limit=2&after_seq=9"));
    assert_eq!(history("?limit=2&after_seq=88", 89..=90), None);
}

#[test]
fn a_page_of_matches_names_its_neighbours_by_url() {
    let world = World::unlimited();
    let page = |query: &str, count, len| {
        let path = format!("/api/v1/matching/matches/{query}");
        let then = world.question("GET", &path, "").1;
        let results = (0..len).map(match_view).collect();
        world.complete(then, Ok(Reply::Matches(MatchPage { count, results })))
    };
    let url = "https://api.example/api/v1/matching/matches/";
    let body = json(&page("?page=2&page_size=2&token=x", 5, 2));
    assert_eq!(body["count"], 5);
    assert_eq!(body["next"], format!("{url}?page=3&page_size=2"));
    assert_eq!(body["previous"], format!("{url}?page_size=2"));
    assert_eq!(body["results"][1]["matched_user"]["username"], "user2");
    let body = json(&page("", 0, 0));
    assert!(body["next"].is_null() && body["previous"].is_null());
    check_problem(&page("?page=2", 20, 0), 404, "invalid_page");
}

#[test]
fn a_like_says_whether_it_is_a_match() {
    let path = "/api/v1/matching/like/";
    let body = json(&answer("POST", path, reply("POST", path)));
    assert_eq!(body["is_match"], false);
    assert!(body.get("match").is_none());
    let made = Some(Box::new(Made { made: made(), welcome: None }));
    let reply = Reply::Liked { liker: card(1), liked: card(2), made };
    let body = json(&answer("POST", path, reply));
    assert_eq!(body["is_match"], true);
    assert_eq!(body["match"]["conversation_id"], 4);
    assert_eq!(body["match"]["user"]["id"], 2);
}

#[test]
fn every_refusal_has_its_status_and_code() {
    let refused = |method: &str, path: &str, refused| {
        let world = World::unlimited();
        let then = world.question(method, path, BODY).1;
        world.complete(then, Err(Failure::Refused(refused)))
    };
    let (get, post) = ("GET", "POST");
    let send = "/api/v1/conversations/4/messages/";
    let read = "/api/v1/conversations/4/messages/9/mark_read/";
    for (method, path, why, status, code) in [
        (get, send, Refused::ConversationNotFound, 404, "conversation_not_found"),
        (get, send, Refused::NotParticipant, 403, "not_a_participant"),
        (post, send, Refused::Silenced, 403, "forbidden"),
        (post, read, Refused::MessageNotFound, 404, "message_not_found"),
        (get, send, Refused::NameTaken, 409, "name_taken"),
    ] {
        assert_eq!(check_problem(&refused(method, path, why), status, code), None);
    }
    for (path, field) in [
        ("/api/v1/conversations/", "participant_id"),
        ("/api/v1/matching/like/", "user_id"),
        ("/api/v1/matching/unlike/", "user_id"),
        ("/api/v1/matching/block/", "user_id"),
        ("/api/v1/matching/unblock/", "user_id"),
    ] {
        for (why, code) in [
            (Refused::UserNotFound, "user_not_found"),
            (Refused::Oneself, "invalid_field"),
            (Refused::UserBlocked, "user_blocked"),
            (Refused::AlreadyLiked, "already_liked"),
        ] {
            let found = check_problem(&refused(post, path, why), 400, code);
            assert_eq!(found.as_deref(), Some(field), "{path} {why:?}");
        }
    }
    for path in ["/api/v1/conversations/", "/api/v1/matching/recent-matches/"] {
        let response = refused(get, path, Refused::UserNotFound);
        check_problem(&response, 401, "token_invalid");
        let challenge = response.header_value("WWW-Authenticate");
        assert_eq!(challenge, Some(r#"Bearer error="invalid_token""#));
    }
}

#[test]
fn a_store_that_cannot_is_worth_another_try() {
    for kind in [
        StoreErrorKind::Unavailable,
        StoreErrorKind::Unknown,
        StoreErrorKind::Contended,
        StoreErrorKind::TimedOut,
        StoreErrorKind::NotWritable,
        StoreErrorKind::Schema,
        StoreErrorKind::Internal,
    ] {
        let world = World::unlimited();
        let then = world.question("POST", "/api/v1/matching/like/", BODY).1;
        let detail = "password of the database".to_owned();
        let response = world.complete(then, Err(StoreError { kind, detail }.into()));
        check_problem(&response, 503, "store_unavailable");
        assert_eq!(response.header_value("Retry-After"), Some("1"));
        assert!(!String::from_utf8_lossy(response.body()).contains("password"));
    }
    let world = World::unlimited();
    let then = world.question("POST", "/api/v1/matching/like/", BODY).1;
    let error = StoreError { kind: StoreErrorKind::Poisoned, detail: String::new() };
    check_problem(&world.complete(then, Err(error.into())), 500, "internal");
}

#[test]
fn an_answer_carries_what_its_request_left_behind() {
    let world = World::new();
    let fields = format!("Origin: {ORIGIN}\r\n");
    let path = "/api/v1/conversations/4/messages/";
    let then = || -> Then {
        match world.ask("POST", path, &fields, BODY) {
            Handled::Await { then, .. } => then,
            other => panic!("{other:?}"),
        }
    };
    let response = world.complete(then(), Ok(reply("POST", path)));
    assert_eq!(response.header_value("RateLimit-Policy"), Some("\"messages\";q=10;w=2"));
    assert_eq!(response.header_value("RateLimit"), Some("\"messages\";r=9;t=1"));
    assert_eq!(response.header_value("Access-Control-Allow-Origin"), Some(ORIGIN));
    let response = world.complete(then(), Err(Failure::Refused(Refused::Silenced)));
    assert_eq!(response.header_value("RateLimit"), Some("\"messages\";r=8;t=1"));
    let response = world.busy(&then());
    check_problem(&response, 503, "busy");
    assert_eq!(response.header_value("Retry-After"), Some("1"));
    assert_eq!(response.header_value("Access-Control-Allow-Origin"), Some(ORIGIN));
}
