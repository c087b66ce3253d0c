//! Whole exchanges over the memory store.

use serde_json::Value;

use super::world::{NOW, World, check_problem, json, respond, token};
use crate::model::UserId;
use crate::protocol::http::Response;
use crate::rest::Handled;
use crate::store::memory::MemoryStore;
use crate::store::{Lane, Request, Store};

const JANE: UserId = UserId(1);
const JOHN: UserId = UserId(2);
const EVE: UserId = UserId(3);

struct Server {
    world: World,
    store: MemoryStore,
}

impl Server {
    /// Three users, and nothing said.
    fn new() -> Self {
        let mut store = MemoryStore::new();
        for username in ["jane", "john", "eve"] {
            let request = Request::AddUser {
                username: username.to_owned(),
                first_name: String::new(),
                last_name: String::new(),
            };
            store.commit(&[request], NOW).unwrap()[0].clone().unwrap();
        }
        Self { world: World::unlimited(), store }
    }

    fn ask(&mut self, user: UserId, method: &str, target: &str, body: &str) -> Response {
        let fields = format!(
            "Host: api.example\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n",
            token(user)
        );
        match self.world.raw(method, target, &fields, body) {
            Handled::Await { request, then } => {
                let outcome = match request.lane() {
                    Lane::Read => self.store.read(&request, NOW),
                    Lane::Write => self.store.commit(&[request], NOW).unwrap().remove(0),
                };
                self.world.complete(then, outcome)
            }
            handled => respond(handled),
        }
    }

    fn check(&mut self, user: UserId, line: &str, body: &str, status: u16) -> Value {
        let (method, path) = line.split_once(' ').unwrap();
        let target = format!("/api/v1/{path}");
        let response = self.ask(user, method, &target, body);
        let body = json(&response);
        assert_eq!(response.status(), status, "{line}: {body}");
        body
    }

    fn refuse(&mut self, user: UserId, line: &str, body: &str, status: u16, code: &str) {
        let (method, path) = line.split_once(' ').unwrap();
        let response = self.ask(user, method, &format!("/api/v1/{path}"), body);
        check_problem(&response, status, code);
    }
}

#[test]
fn two_likes_make_a_match_with_a_conversation_in_which_both_speak() {
    let mut server = Server::new();
    let like = "POST matching/like/";
    let body = server.check(JANE, like, r#"{"user_id":2}"#, 201);
    assert_eq!(body["is_match"], false);
    server.refuse(JANE, like, r#"{"user_id":2}"#, 400, "already_liked");
    server.refuse(JANE, like, r#"{"user_id":1}"#, 400, "invalid_field");
    server.refuse(JANE, like, r#"{"user_id":99}"#, 400, "user_not_found");
    let body = server.check(JOHN, like, r#"{"user_id":1}"#, 201);
    assert_eq!(body["is_match"], true);
    assert_eq!(body["match"]["user"]["username"], "jane");
    let id = body["match"]["conversation_id"].as_i64().unwrap();

    let matches = server.check(JANE, "GET matching/matches/", "", 200);
    assert_eq!(matches["count"], 1);
    assert_eq!(matches["results"][0]["matched_user"]["username"], "john");
    let recent = server.check(JANE, "GET matching/recent-matches/", "", 200);
    assert_eq!((&recent[0]["id"], &recent[0]["conversation_id"]), (&2.into(), &id.into()));

    let messages = format!("POST conversations/{id}/messages/");
    let said = server.check(JANE, &messages, r#"{"content":" hi ","client_id":"c"}"#, 201);
    assert_eq!((&said["content"], &said["seq"]), (&"hi".into(), &2.into()));
    let again = server.check(JANE, &messages, r#"{"content":"ho","client_id":"c"}"#, 201);
    assert_eq!(again, said);
    server.refuse(EVE, &messages, r#"{"content":"hi"}"#, 403, "not_a_participant");
    let list = server.check(JOHN, "GET conversations/", "", 200);
    assert_eq!((&list[0]["unread_count"], &list[0]["last_seq"]), (&1.into(), &2.into()));

    let mark = format!("POST conversations/{id}/messages/{}/mark_read/", said["id"]);
    assert_eq!(server.check(JOHN, &mark, "", 200)["newly_read"], 1);
    assert_eq!(server.check(JOHN, &mark, "", 200)["newly_read"], 0);
    let one = server.check(JOHN, &format!("GET conversations/{id}/"), "", 200);
    assert_eq!(one["unread_count"], 0);
    let mark = format!("POST conversations/{id}/messages/999/mark_read/");
    server.refuse(JOHN, &mark, "", 404, "message_not_found");
}

#[test]
fn a_block_silences_and_its_end_lets_speak_again() {
    let mut server = Server::new();
    let open = "POST conversations/";
    let body = server.check(JANE, open, r#"{"participant_id":2,"message":"hi"}"#, 201);
    let messages = format!("POST conversations/{}/messages/", body["id"]);
    server.check(JANE, "POST matching/block/", r#"{"user_id":2}"#, 200);
    server.refuse(JANE, &messages, r#"{"content":"hi"}"#, 403, "forbidden");
    server.refuse(JOHN, open, r#"{"participant_id":1,"message":"hi"}"#, 400, "user_blocked");
    server.refuse(JOHN, "POST matching/like/", r#"{"user_id":1}"#, 400, "user_blocked");
    server.check(JANE, "POST matching/unblock/", r#"{"user_id":2}"#, 200);
    server.check(JOHN, &messages, r#"{"content":"hi"}"#, 201);
    server.check(JOHN, "POST matching/unlike/", r#"{"user_id":1}"#, 200);
}

#[test]
fn one_conversation_is_reused_and_gone_once_left() {
    let mut server = Server::new();
    let open = "POST conversations/";
    let one = server.check(JANE, open, r#"{"participant_id":2,"message":"hi"}"#, 201);
    let two = server.check(JOHN, open, r#"{"participant_id":1,"message":"ho"}"#, 201);
    assert_eq!((&one["id"], &two["last_seq"]), (&two["id"], &2.into()));
    let leave = format!("DELETE conversations/{}/leave/", one["id"]);
    server.refuse(EVE, &leave, "", 403, "not_a_participant");
    server.check(JOHN, &leave, "", 200);
    server.refuse(JANE, &leave, "", 404, "conversation_not_found");
    assert_eq!(server.check(JANE, "GET conversations/", "", 200), Value::Array(Vec::new()));
}

#[test]
fn a_walk_along_the_links_sees_every_message_once() {
    let mut server = Server::new();
    let open = r#"{"participant_id":2,"message":"1"}"#;
    let id = server.check(JANE, "POST conversations/", open, 201)["id"].as_i64().unwrap();
    let path = format!("/api/v1/conversations/{id}/messages/");
    for text in 2..=7 {
        let body = format!(r#"{{"content":"{text}"}}"#);
        assert_eq!(server.ask(JANE, "POST", &path, &body).status(), 201);
    }
    let mut walk = |query: &str| {
        let (mut seen, mut next) = (Vec::new(), Some(format!("{path}?{query}")));
        while let Some(target) = next {
            let response = server.ask(JOHN, "GET", &target, "");
            let page = json(&response);
            seen.extend(page.as_array().unwrap().iter().map(|m| m["seq"].as_i64().unwrap()));
            next = response.header_value("Link").map(|link| {
                let (target, _) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
                target.to_owned()
            });
        }
        seen
    };
    assert_eq!(walk("limit=3"), [5, 6, 7, 2, 3, 4, 1]);
    assert_eq!(walk("limit=3&after_seq=0"), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(walk("limit=7"), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(walk("before_seq=1"), Vec::<i64>::new());
}

#[test]
fn who_is_no_longer_active_is_told_that_the_token_is_worth_nothing() {
    let mut server = Server::new();
    server.store.deactivate(EVE);
    server.refuse(EVE, "GET conversations/", "", 401, "token_invalid");
    server.refuse(EVE, "GET matching/matches/", "", 401, "token_invalid");
    server.refuse(JANE, "POST matching/like/", r#"{"user_id":3}"#, 400, "user_not_found");
}
