//! What a device hears, and whether that is what it may and must hear.

use fortifun_realtime::limits::TYPING_MS;
use fortifun_realtime::protocol::ws::Opcode;
use serde_json::{Value, json};

use super::{Asked, Device, Kind, Temper};
use crate::net::Arrived;
use crate::peer::{Frame, frame, take_answer, take_frame};
use crate::scene::Scene;
use crate::stream::Stream;

/// How a resume is refused, or fails: other errors are about what the device raved.
const REFUSALS: &[&str] = &["busy", "forbidden", "not_found", "store_unavailable"];

impl Device {
    pub(super) fn receive(&mut self, scene: &Scene) {
        let Some(link) = &mut self.link else { return };
        let is_slow = self.temper == Temper::Slow && !scene.is_calm;
        let max = if is_slow { 1 + self.rng.index(400) } else { usize::MAX };
        self.reads_at =
            scene.ms() + if is_slow { self.rng.between(50, 400) } else { self.rng.below(5) };
        let arrived = scene.net.borrow_mut().client_receives(link.sock, max);
        match arrived {
            Arrived::Bytes(bytes) => link.bytes.extend(bytes),
            // Perhaps within a frame: a server that gives a peer up has no time for the rest of it.
            Arrived::End | Arrived::Reset => return self.lost(scene),
        }
        if !link.is_open && !self.open(scene) {
            return;
        }
        while let Some(link) = &mut self.link
            && let Some(frame) = take_frame(&mut link.bytes)
        {
            self.on_frame(&frame, scene);
        }
    }

    /// Reads the answer to the handshake. True exactly when the socket is open.
    fn open(&mut self, scene: &Scene) -> bool {
        let link = self.link.as_mut().expect("receive has one");
        let Some(answer) = take_answer(&mut link.bytes) else { return false };
        if answer.status == 101 {
            link.is_open = true;
            return true;
        }
        scene.check(matches!(answer.status, 401 | 403 | 404 | 408 | 429 | 503), || {
            format!("device {}: refused by {answer:?}", self.name)
        });
        self.lost(scene);
        if matches!(answer.status, 403 | 404) {
            self.next_at += 3_000;
        }
        false
    }

    fn on_frame(&mut self, received: &Frame, scene: &Scene) {
        let link = self.link.as_mut().expect("receive has one");
        match received.opcode {
            9 => {
                let bytes = frame(Opcode::Pong, &received.payload, &mut self.rng);
                scene.net.borrow_mut().client_sends(link.sock, &bytes);
            }
            10 => {}
            8 => self.on_close(&received.payload, scene),
            _ => {
                let event = serde_json::from_slice::<Value>(&received.payload);
                let event = event.expect("the server's texts are JSON");
                scene.say(|| format!("device {} ({}) hears {event}", self.name, self.user));
                self.on_event(&event, scene);
            }
        }
    }

    fn on_close(&mut self, payload: &[u8], scene: &Scene) {
        let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
        let link = self.link.as_mut().expect("receive has one");
        scene.check(link.bytes.is_empty(), || format!("something came after close {code}"));
        scene.note_close(code);
        scene.say(|| format!("device {} ({}) is closed by {code}", self.name, self.user));
        if !link.is_closing {
            let allowed = match code {
                1000 | 1005 | 1012 | 1013 | 4403 | 4404 | 4409 | 4429 => true,
                4401 => scene.clock.now().wall.0 >= link.expires_us,
                // For 4400, speaking where one may not, again and again, is enough.
                4400 | 4408 | 4480 => link.has_raved || !scene.was_calm_for(15_000),
                1002 | 1003 | 1007 | 1009 => link.has_raved,
                _ => false,
            };
            scene.check(allowed, || format!("device {}: closed by {code}", self.name));
            link.is_closing = true;
            if self.rng.chance(900) || scene.is_calm {
                let bytes = frame(Opcode::Close, payload, &mut self.rng);
                scene.net.borrow_mut().client_sends(link.sock, &bytes);
            }
        }
        if code == 4409 && scene.is_calm {
            self.is_gone = true;
        }
        if matches!(code, 4403 | 4404) {
            self.next_at = scene.ms() + 3_000;
        }
    }

    fn on_event(&mut self, event: &Value, scene: &Scene) {
        let name = self.name;
        let user = self.user;
        let kind = event["type"].as_str().expect("events have a type");
        scene.count(kind);
        let link = self.link.as_mut().expect("receive has one");
        if self.is_v1 && !link.has_hello {
            scene.check(kind == "hello", || format!("device {name}: {kind} before hello"));
        }
        match kind {
            "hello" => {
                scene.check(!link.has_hello && self.is_v1, || "hello comes once, to v1".to_owned());
                link.has_hello = true;
                if let (Kind::Conversation(id), Some(seq)) =
                    (self.kind, event["conversation"]["last_seq"].as_i64())
                {
                    link.streams.entry(id).or_insert_with(|| Stream::starts_after(seq));
                }
            }
            "message" | "new_message" => self.on_message(event, scene),
            "ack" | "error" => self.on_answer(event, scene),
            "resumed" => {
                let id = event["conversation_id"].as_i64().expect("an id");
                let last_seq = event["last_seq"].as_i64().expect("a seq");
                let complete = event["complete"].as_bool().expect("a boolean");
                if !complete {
                    scene.count("resumed in part");
                }
                link.since.remove(&id);
                let stream = link.streams.entry(id).or_default();
                if let Err(why) = stream.resumed(last_seq, complete) {
                    scene.fail(&format!("device {name} in {id}: {why}"));
                }
            }
            "typing" => {
                let id = event["conversation_id"].as_i64().expect("an id");
                let typist = event["user_id"].as_i64().expect("a user");
                scene.check_member(name, user, id);
                if event["is_typing"] == json!(true) {
                    link.typing.insert((id, typist), scene.ms());
                } else if let Some(since) = link.typing.remove(&(id, typist)) {
                    let is_prompt = scene.ms() - since < TYPING_MS + 2_000;
                    let is_slow = matches!(self.temper, Temper::Slow | Temper::Deaf);
                    scene.check(is_prompt || is_slow || scene.is_halting, || {
                        format!("device {name}: {typist} typed in {id} since {since}")
                    });
                }
            }
            "read_receipt" => {
                scene.check_member(name, user, event["conversation_id"].as_i64().expect("an id"));
            }
            "user_status" => {
                let other = event["user_id"].as_i64().expect("a user");
                let at = event["timestamp"].as_str().expect("a time");
                scene.check_presence(name, user, other, at);
            }
            "auth_ok" => link.expires_us = i64::MIN,
            "conversation_update" => {
                scene.check_member(name, user, event["data"]["id"].as_i64().expect("an id"));
            }
            "new_match" => {
                let id = event["data"]["match"]["conversation_id"].as_i64().expect("an id");
                scene.check_member(name, user, id);
            }
            "token_expiring" => {
                if self.rng.chance(700) && !link.is_closing {
                    self.refresh(scene);
                }
            }
            "reconnect" | "pong" | "subscribed" | "unsubscribed" | "new_like" => {}
            other => scene.fail(&format!("device {name}: unknown event {other}")),
        }
    }

    fn on_message(&mut self, event: &Value, scene: &Scene) {
        let (name, user) = (self.name, self.user);
        let message = &event["message"];
        let id = message["conversation_id"].as_i64().expect("an id");
        let seq = message["seq"].as_i64().expect("a seq");
        scene.check_member(name, user, id);
        scene.tell(message);
        let link = self.link.as_mut().expect("receive has one");
        let is_mine = message["sender"]["id"].as_i64() == Some(user);
        if let Some(client_id) = message["client_id"].as_str().filter(|_| is_mine) {
            self.outbox.remove(client_id);
            link.said.remove(client_id);
        }
        if event["duplicate"] == json!(true) {
            return;
        }
        match self.kind {
            Kind::Conversation(own) => scene.check(own == id && event["type"] == "message", || {
                format!("device {name}: a message of {id} in {own}")
            }),
            Kind::Chat => scene.check(event["type"] == "new_message" || is_mine, || {
                format!("device {name}: a message as the echo of another")
            }),
            // Without resume: in order is all that can be asked.
            Kind::Notifications => return,
        }
        let is_chat = self.kind == Kind::Chat;
        let stream = link.streams.entry(id).or_default();
        // What opened a conversation and was told to nobody is known only to who sees its successor, or asks.
        if let Err(why) = stream.take(seq, |place| is_chat && scene.is_untold(id, place)) {
            scene.fail(&format!("device {name} in {id}: {why}"));
        }
        if !is_mine {
            self.unread.insert(id, message["id"].as_i64().expect("an id"));
        }
    }

    fn on_answer(&mut self, event: &Value, scene: &Scene) {
        let name = self.name;
        let link = self.link.as_mut().expect("receive has one");
        let client_id = event["client_id"].as_str();
        let is_error = event["type"] == "error";
        if is_error {
            scene.count(event["code"].as_str().expect("a code"));
        }
        let Some(reference) = event["ref"].as_str() else {
            if let Some(client_id) = client_id {
                link.said.remove(client_id);
            } else if REFUSALS.iter().any(|code| event["code"] == *code) {
                // Of what `?since=` asked for; where it was more than one, each is answered by `resumed` as well.
                if link.since.len() == 1
                    && let Some(id) = link.since.pop_first()
                {
                    link.streams.entry(id).or_default().refused();
                }
            }
            return;
        };
        match link.asked.remove(reference) {
            None => scene.fail(&format!("device {name}: {reference} is answered twice: {event}")),
            Some(Asked::Resume(id)) if is_error => {
                link.streams.entry(id).or_default().refused();
                // Whoever asks again and again is sent away.
                self.next_at += 3_000;
            }
            Some(Asked::Message(client_id, id)) if !is_error => {
                let place = (id, event["seq"].as_i64().expect("a seq"));
                scene.acknowledged(place, event["message_id"].as_i64(), client_id.as_deref());
                if let Some(client_id) = client_id {
                    self.outbox.remove(&client_id);
                }
            }
            Some(_) => {}
        }
    }

    /// What an open connection still owes at the end.
    pub(crate) fn check_owed(&self, scene: &Scene) {
        let Some(link) = self.link.as_ref().filter(|link| link.is_owed()) else {
            return;
        };
        // It came a moment ago, and is still being told.
        if link.opened_at + 12_000 > scene.ms() {
            return;
        }
        let name = self.name;
        let was_just_asked = link.asked_at + 1_000 > scene.ms();
        scene.check(link.asked.len() <= usize::from(was_just_asked), || {
            format!("device {name}: never answered: {:?}", link.asked)
        });
        scene.check(link.said.is_empty(), || {
            format!("device {name}: never echoed: {:?}", link.said)
        });
        for (id, stream) in &link.streams {
            let last_seq = scene.last_seq(*id);
            if scene.is_live(*id) && self.kind != Kind::Notifications {
                scene.check(!stream.is_broken && stream.newest() == Some(last_seq), || {
                    format!("device {name}: conversation {id} has {last_seq} messages: {stream:?}")
                });
            }
        }
        if scene.may_not_lose_typing() {
            scene.check(link.typing.is_empty(), || {
                format!("device {name}: still typing: {:?}", link.typing)
            });
        }
    }
}
