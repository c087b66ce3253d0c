//! A client of the REST API: keep-alive, pipelining, requests in pieces, and some that never end.

use fortifun_realtime::auth::jwt;
use fortifun_realtime::ids::UserId;
use serde_json::{Value, json};

use crate::net::{Arrived, SockId, address};
use crate::peer::take_answer;
use crate::rng::Rng;
use crate::scene::Scene;
use crate::server::SECRET;

pub(crate) struct Caller {
    name: usize,
    user: i64,
    rng: Rng,
    line: Option<Line>,
    pub(crate) next_at: u64,
    pub(crate) is_gone: bool,
    words: u64,
}

struct Line {
    sock: SockId,
    bytes: Vec<u8>,
    /// Requests that were not answered: what statuses they may get, and the messages they send.
    asked: std::collections::VecDeque<Request>,
    /// It began a request and does not go on.
    is_stuck: bool,
    is_shut: bool,
}

#[derive(Debug)]
#[expect(dead_code, reason = "what it was is told where its answer is wrong")]
struct Request {
    what: String,
    statuses: &'static [u16],
    /// Conversation and `client_id` of a message.
    message: Option<(i64, String)>,
}

/// Whatever the request: the server may be unable to.
const UNABLE: &[u16] = &[429, 500, 503];

impl Caller {
    pub(crate) fn new(name: usize, user: i64, mut rng: Rng) -> Self {
        let next_at = rng.below(3_000);
        Self { name, user, rng, line: None, next_at, is_gone: false, words: 0 }
    }

    pub(crate) fn is_ready(&self, scene: &Scene) -> bool {
        let has_news =
            self.line.as_ref().is_some_and(|line| scene.net.borrow().has_news(line.sock));
        has_news || (!self.is_gone && self.next_at <= scene.ms())
    }

    pub(crate) fn run(&mut self, scene: &Scene) {
        self.receive(scene);
        if self.is_gone || self.next_at > scene.ms() {
            return;
        }
        self.next_at = scene.ms() + self.rng.between(50, 1_500);
        if scene.is_calm && self.rng.chance(900) {
            return;
        }
        match &self.line {
            None => self.connect(scene),
            Some(line) if line.is_stuck || line.is_shut => {}
            Some(line) if line.asked.len() < 3 => self.ask(scene),
            Some(_) => {}
        }
    }

    pub(crate) fn leave(&mut self, scene: &Scene) {
        self.is_gone = true;
        if let Some(line) = self.line.take() {
            if self.rng.chance(500) {
                scene.net.borrow_mut().client_closes(line.sock);
            } else {
                scene.net.borrow_mut().reset(line.sock);
            }
        }
    }

    /// What an open connection still owes at the end.
    pub(crate) fn check_owed(&self, scene: &Scene) {
        if let Some(line) = self.line.as_ref().filter(|line| !line.is_stuck) {
            scene.check(line.asked.is_empty(), || {
                format!("caller {}: never answered: {:?}", self.name, line.asked)
            });
        }
    }

    fn connect(&mut self, scene: &Scene) {
        let sock = scene.net.borrow_mut().connect(address(self.user));
        if let Some(sock) = sock {
            let asked = std::collections::VecDeque::new();
            let line = Line { sock, bytes: Vec::new(), asked, is_stuck: false, is_shut: false };
            self.line = Some(line);
        }
    }

    fn ask(&mut self, scene: &Scene) {
        if !scene.is_calm && self.rng.chance(60) {
            return self.break_off(scene);
        }
        let other = self.rng.between(1, scene.users as u64) as i64;
        let conversation = match scene.conversations_of(self.user) {
            all if all.is_empty() || self.rng.chance(50) => self.rng.between(1, 12) as i64,
            all => self.rng.pick(&all),
        };
        let mut message = None;
        let (method, path, body, statuses): (_, String, Option<Value>, &'static [u16]) = match self
            .rng
            .below(100)
        {
            0..10 => ("GET", "/api/v1/conversations/".into(), None, &[200]),
            10..20 => {
                let path = format!("/api/v1/conversations/{conversation}/messages/?limit=20");
                ("GET", path, None, &[200, 403, 404])
            }
            20..26 => ("GET", "/api/v1/matching/matches/".into(), None, &[200]),
            26..30 => ("GET", "/api/v1/matching/recent-matches/".into(), None, &[200]),
            30..34 => ("GET", "/readyz".into(), None, &[200]),
            34..37 => ("GET", "/healthz".into(), None, &[200]),
            37..39 => ("GET", "/nowhere".into(), None, &[404]),
            39..45 => {
                ("GET", format!("/api/v1/conversations/{conversation}/"), None, &[200, 403, 404])
            }
            45..60 if !scene.is_calm => {
                let path = "/api/v1/matching/like/".into();
                ("POST", path, Some(json!({"user_id": other})), &[201, 400])
            }
            60..64 => {
                let path = "/api/v1/matching/unlike/".into();
                ("POST", path, Some(json!({"user_id": other})), &[200, 400])
            }
            64..68 if scene.blocks && !scene.is_calm => {
                let path = "/api/v1/matching/block/".into();
                ("POST", path, Some(json!({"user_id": other})), &[200, 400])
            }
            68..74 => {
                let path = "/api/v1/matching/unblock/".into();
                ("POST", path, Some(json!({"user_id": other})), &[200, 400])
            }
            74..76 if scene.leaves && !scene.is_calm => {
                let path = format!("/api/v1/conversations/{conversation}/leave/");
                ("DELETE", path, None, &[200, 403, 404])
            }
            76..82 if scene.opens && !scene.is_calm => {
                let body = json!({"participant_id": other, "message": "hello again"});
                ("POST", "/api/v1/conversations/".into(), Some(body), &[201, 400])
            }
            82..84 => {
                // More than a shard receives of one connection in a turn.
                let content = "x".repeat(self.rng.between(300_000, 900_000) as usize);
                let path = format!("/api/v1/conversations/{conversation}/messages/");
                ("POST", path, Some(json!({"content": content})), &[400])
            }
            _ => {
                self.words += 1;
                let client_id = format!("c{}-{}", self.name, self.words);
                message = Some((conversation, client_id.clone()));
                let body = json!({"content": client_id, "client_id": client_id});
                let path = format!("/api/v1/conversations/{conversation}/messages/");
                ("POST", path, Some(body), &[201, 403, 404])
            }
        };
        let bytes = self.request(method, &path, body, scene);
        let line = self.line.as_mut().expect("asked with one");
        if !scene.is_calm && self.rng.chance(20) {
            // A slow loris.
            let cut = 1 + self.rng.index(bytes.len() - 1);
            line.is_stuck = true;
            scene.net.borrow_mut().client_sends(line.sock, &bytes[..cut]);
            return;
        }
        line.asked.push_back(Request { what: format!("{method} {path}"), statuses, message });
        scene.net.borrow_mut().client_sends(line.sock, &bytes);
        if !scene.is_calm && self.rng.chance(40) {
            // One request, and nothing more will come.
            line.is_shut = true;
            scene.net.borrow_mut().client_shuts(line.sock);
        }
    }

    fn request(&mut self, method: &str, path: &str, body: Option<Value>, scene: &Scene) -> Vec<u8> {
        let now = scene.clock.now().wall;
        let token = jwt::issue(SECRET, UserId(self.user), 600, now, self.rng.word().into());
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        );
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        if !body.is_empty() {
            head.push_str("Content-Type: application/json\r\nContent-Length: ");
            head.push_str(&body.len().to_string());
            head.push_str("\r\n");
            if self.rng.chance(100) {
                head += "Expect: 100-continue\r\n";
            }
        }
        (head + "\r\n" + &body).into_bytes()
    }

    fn break_off(&mut self, scene: &Scene) {
        let Some(line) = self.line.take() else { return };
        if self.rng.chance(500) {
            scene.net.borrow_mut().reset(line.sock);
        } else {
            scene.net.borrow_mut().client_closes(line.sock);
        }
    }

    fn receive(&mut self, scene: &Scene) {
        let Some(line) = &mut self.line else { return };
        let arrived = scene.net.borrow_mut().client_receives(line.sock, usize::MAX);
        match arrived {
            Arrived::Bytes(bytes) => line.bytes.extend(bytes),
            Arrived::End | Arrived::Reset => {
                scene.net.borrow_mut().client_closes(line.sock);
                self.line = None;
                return;
            }
        }
        let name = self.name;
        while let Some(answer) = take_answer(&mut line.bytes) {
            if answer.status == 100 {
                continue;
            }
            scene.count(&format!("http {}", answer.status));
            let Some(request) = line.asked.pop_front() else {
                scene.check(matches!(answer.status, 400 | 408 | 429 | 503), || {
                    format!("caller {name}: an answer to nothing: {answer:?}")
                });
                line.is_stuck = true;
                continue;
            };
            let is_allowed = request.statuses.contains(&answer.status);
            let is_late = answer.status == 408 && scene.is_halting;
            scene.check(is_allowed || is_late || UNABLE.contains(&answer.status), || {
                format!("caller {name}: {request:?} was answered {answer:?}")
            });
            if let (Some((id, client_id)), 201) = (&request.message, answer.status) {
                let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
                let seq = body["seq"].as_i64().expect("a seq");
                scene.acknowledged((*id, seq), body["id"].as_i64(), Some(client_id));
            }
            if answer.closes {
                line.is_stuck = true;
            }
        }
    }
}
