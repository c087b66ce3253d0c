//! What a device says: commands, in order and out of it, and noise.

use fortifun_realtime::protocol::ws::Opcode;
use serde_json::{Value, json};

use super::{Asked, Device, Kind, Temper};
use crate::peer::{frame, text};
use crate::scene::Scene;

impl Device {
    pub(super) fn act(&mut self, scene: &Scene) {
        if scene.is_calm {
            return self.act_calmly(scene);
        }
        let leaves = if self.temper == Temper::Restless { 150 } else { 10 };
        if self.rng.chance(leaves) {
            return self.break_off(scene);
        }
        if self.temper == Temper::Wild && self.rng.chance(300) {
            return self.rave(scene);
        }
        if self.rng.chance(300) && self.resume_broken(scene) {
            return;
        }
        let Some(conversation) = self.place(scene) else { return self.ping(scene) };
        match self.rng.below(100) {
            0..45 => self.say(conversation, scene),
            45..52 => self.say_again(scene),
            52..68 => {
                let is_typing = self.rng.chance(600);
                self.command(
                    "typing",
                    json!({"is_typing": is_typing}),
                    conversation,
                    Asked::Plain,
                    scene,
                );
            }
            68..78 => {
                if let Some(id) = self.unread.remove(&conversation) {
                    let fields = json!({"message_id": id});
                    self.command("read_receipt", fields, conversation, Asked::Plain, scene);
                }
            }
            78..84 => self.resume(conversation, scene),
            84..90 if self.kind == Kind::Chat => self.watch(scene),
            90..93 => self.refresh(scene),
            _ => self.ping(scene),
        }
    }

    /// After the storm: what is missing is asked for again, and otherwise nothing happens.
    fn act_calmly(&mut self, scene: &Scene) {
        // What is said at the very end would not be answered before it.
        if !self.resume_broken(scene) && self.rng.chance(100) && !scene.was_calm_for(38_000) {
            self.say_again(scene);
        }
    }

    /// Asks for what is missing. True exactly when something is, in a conversation that goes on: for those that were left it was
    /// told before that there are none.
    fn resume_broken(&mut self, scene: &Scene) -> bool {
        let link = self.link.as_ref().expect("only an open device acts");
        let broken = link.streams.iter().filter(|(_, stream)| stream.is_broken);
        let broken: Vec<i64> = broken.map(|(id, _)| *id).filter(|id| scene.is_live(*id)).collect();
        if !broken.is_empty() {
            let id = self.rng.pick(&broken);
            self.resume(id, scene);
        }
        !broken.is_empty()
    }

    fn place(&mut self, scene: &Scene) -> Option<i64> {
        match self.kind {
            Kind::Conversation(id) => Some(id),
            Kind::Notifications => None,
            Kind::Chat => {
                let all = scene.conversations_of(self.user);
                // Now and then one that is not the user's, or not there.
                if all.is_empty() || self.rng.chance(20) {
                    return Some(self.rng.between(1, 12) as i64);
                }
                Some(self.rng.pick(&all))
            }
        }
    }

    fn say(&mut self, conversation: i64, scene: &Scene) {
        self.words += 1;
        let client_id = format!("{}-{}", self.name, self.words);
        let filler = if self.rng.chance(60) { self.rng.between(500, 3_500) } else { 5 };
        let content = format!("{client_id} {}", "x".repeat(filler as usize));
        let client_id = self.rng.chance(900).then_some(client_id);
        if let Some(client_id) = &client_id {
            self.outbox.insert(client_id.clone(), (conversation, content.clone()));
        }
        self.send_message(conversation, &content, client_id.as_deref(), scene);
    }

    /// Says once more what it is not sure of.
    fn say_again(&mut self, scene: &Scene) {
        if self.outbox.is_empty() {
            return;
        }
        let at = self.rng.index(self.outbox.len());
        let (client_id, (conversation, content)) =
            self.outbox.iter().nth(at).expect("below its length");
        let (client_id, conversation, content) =
            (client_id.clone(), *conversation, content.clone());
        self.send_message(conversation, &content, Some(&client_id), scene);
    }

    fn send_message(
        &mut self,
        conversation: i64,
        content: &str,
        client_id: Option<&str>,
        scene: &Scene,
    ) {
        let asked = Asked::Message(client_id.map(str::to_owned), conversation);
        let fields = json!({"content": content, "client_id": client_id});
        self.command("message", fields, conversation, asked, scene);
    }

    fn resume(&mut self, conversation: i64, scene: &Scene) {
        let link = self.link.as_mut().expect("only an open device acts");
        let Some(stream) = link.streams.get_mut(&conversation) else { return };
        let Some(newest) = stream.newest() else { return };
        let is_asked = link.since.contains(&conversation)
            || link.asked.values().any(|asked| *asked == Asked::Resume(conversation));
        if is_asked {
            return;
        }
        let back = if self.rng.chance(300) { self.rng.below(5) as i64 } else { 0 };
        let after = if stream.is_broken { newest } else { (newest - back).max(0) };
        stream.asks_after(after);
        let asked = Asked::Resume(conversation);
        let fields = if self.kind == Kind::Chat {
            json!({"after": {conversation.to_string(): after}})
        } else {
            json!({"after_seq": after})
        };
        // An answer has to come: without a `ref` a refusal could not be told from another.
        self.command_with_ref("resume", fields, asked, scene);
    }

    fn watch(&mut self, scene: &Scene) {
        let users: Vec<i64> = (1..=scene.users).filter(|user| *user != self.user).collect();
        let kind = if self.rng.chance(800) { "subscribe" } else { "unsubscribe" };
        let fields = json!({"subscription_type": "user_status", "user_ids": users});
        self.command_with_ref(kind, fields, Asked::Plain, scene);
    }

    pub(super) fn refresh(&mut self, scene: &Scene) {
        let token = self.token(scene.token_s as i64, scene);
        self.command_with_ref("auth", json!({"token": token}), Asked::Plain, scene);
    }

    fn ping(&mut self, scene: &Scene) {
        if self.rng.chance(300) {
            let bytes = frame(Opcode::Ping, b"are you there", &mut self.rng);
            self.transmit(&bytes, scene);
        } else {
            self.command_with_ref("ping", json!({}), Asked::Plain, scene);
        }
    }

    fn command(
        &mut self,
        kind: &str,
        mut fields: Value,
        conversation: i64,
        asked: Asked,
        scene: &Scene,
    ) {
        if self.kind == Kind::Chat {
            fields["conversation_id"] = conversation.into();
        }
        let is_settled = self.link.as_ref().is_some_and(|link| link.since.is_empty());
        let is_bare = match &asked {
            Asked::Message(Some(_), _) => self.rng.chance(300),
            Asked::Message(None, _) => false,
            _ => is_settled && self.rng.chance(500),
        };
        if !is_bare {
            return self.command_with_ref(kind, fields, asked, scene);
        }
        if let Asked::Message(Some(client_id), conversation) = asked {
            let link = self.link.as_mut().expect("only an open device acts");
            link.said.insert(client_id, conversation);
        }
        fields["type"] = kind.into();
        scene.say(|| format!("device {} ({}) says {fields}", self.name, self.user));
        let bytes = text(&fields.to_string(), &mut self.rng);
        self.transmit(&bytes, scene);
    }

    fn command_with_ref(&mut self, kind: &str, mut fields: Value, asked: Asked, scene: &Scene) {
        self.words += 1;
        let reference = format!("r{}-{}", self.name, self.words);
        fields["type"] = kind.into();
        fields["ref"] = reference.clone().into();
        let link = self.link.as_mut().expect("only an open device acts");
        link.asked.insert(reference, asked);
        link.asked_at = scene.ms();
        scene.say(|| format!("device {} ({}) says {fields}", self.name, self.user));
        let bytes = text(&fields.to_string(), &mut self.rng);
        self.transmit(&bytes, scene);
    }

    pub(super) fn transmit(&self, bytes: &[u8], scene: &Scene) {
        let link = self.link.as_ref().expect("only an open device sends");
        scene.net.borrow_mut().client_sends(link.sock, bytes);
    }

    fn break_off(&mut self, scene: &Scene) {
        let sock = self.link.as_ref().expect("only an open device acts").sock;
        match self.rng.below(4) {
            0 => {
                let payload: &[u8] = if self.rng.chance(500) { &[3, 232] } else { &[] };
                let bytes = frame(Opcode::Close, payload, &mut self.rng);
                self.transmit(&bytes, scene);
                self.link.as_mut().expect("still there").is_closing = true;
                if self.rng.chance(300) {
                    scene.net.borrow_mut().client_shuts(sock);
                }
            }
            1 => {
                scene.net.borrow_mut().reset(sock);
                self.lost(scene);
            }
            // It shuts its half and goes on reading.
            2 => {
                scene.net.borrow_mut().client_shuts(sock);
                self.link.as_mut().expect("still there").is_closing = true;
            }
            _ => self.lost(scene),
        }
    }

    /// What no decent client sends. The connection may end by it; nothing is owed for it.
    fn rave(&mut self, scene: &Scene) {
        let bytes = match self.rng.below(8) {
            0 => text("{not json", &mut self.rng),
            1 => text(r#"{"type":"dance"}"#, &mut self.rng),
            2 => text(r#"{"type":"message","content":7,"conversation_id":1}"#, &mut self.rng),
            3 => frame(Opcode::Binary, b"bytes", &mut self.rng),
            4 => frame(Opcode::Text, &[0xFF, 0xFE], &mut self.rng),
            5 => frame(Opcode::Text, &vec![b'x'; 40_000], &mut self.rng),
            6 => vec![0x81, 0x01, b'x'],
            _ => {
                let mut noise = vec![0; 200];
                noise.fill_with(|| self.rng.word() as u8);
                noise
            }
        };
        self.link.as_mut().expect("only an open device acts").has_raved = true;
        self.transmit(&bytes, scene);
        if self.rng.chance(200) {
            // Twenty within ten seconds are too many.
            for _ in 0..25 {
                let bytes = text("[]", &mut self.rng);
                self.transmit(&bytes, scene);
            }
        }
    }
}
