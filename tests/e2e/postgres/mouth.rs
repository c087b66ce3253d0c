//! A client that writes as a careful phone does: what was not stored is sent again, with its `client_id`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Got, Server, User, Ws};

/// Messages of one writer that are not echoed yet.
const IN_FLIGHT: usize = 8;
/// How long a sender may wait for an answer, whichever: longer than a store may look for what became of a commit.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// A message that is not echoed yet.
struct Pending {
    /// When it was last sent; `None` while it waits to be sent again.
    sent: Option<Instant>,
    again: Instant,
}

/// One of those who write into a conversation, on one socket that has to stay open.
pub(crate) struct Mouth {
    pub(crate) conversation: i64,
    user: User,
    ws: Ws,
    words: usize,
    pending: BTreeMap<String, Pending>,
    /// By `client_id`, as they were told.
    pub(crate) echoed: BTreeMap<String, Value>,
    /// `seq`s of everybody's messages, in the order in which they came.
    pub(crate) heard: Vec<u64>,
    /// How often something was sent again.
    pub(crate) resent: usize,
    /// The longest wait for an answer.
    pub(crate) waited: Duration,
}

impl Mouth {
    pub(crate) fn open(server: &Server, user: &User, conversation: i64) -> Self {
        Self {
            conversation,
            user: user.clone(),
            ws: Ws::v1(server, user, &format!("/ws/conversations/{conversation}/")),
            words: 0,
            pending: BTreeMap::new(),
            echoed: BTreeMap::new(),
            heard: Vec::new(),
            resent: 0,
            waited: Duration::ZERO,
        }
    }

    /// Writes while `goes_on`, then waits until all is echoed. `on_echo` is called for each echo.
    pub(crate) fn run(&mut self, goes_on: impl Fn() -> bool, on_echo: impl Fn()) {
        loop {
            let is_going = goes_on();
            while is_going && self.pending.len() < IN_FLIGHT {
                self.words += 1;
                self.send(format!("{}-{}", self.user.name, self.words));
            }
            if !is_going && self.pending.is_empty() {
                return;
            }
            let now = Instant::now();
            let due: BTreeSet<_> = self
                .pending
                .iter()
                .filter(|(_, pending)| pending.sent.is_none() && pending.again <= now)
                .map(|(id, _)| id.clone())
                .collect();
            self.resent += due.len();
            for id in due {
                self.send(id);
            }
            for (id, pending) in &self.pending {
                let waits = pending.sent.map_or(Duration::ZERO, |sent| now - sent);
                assert!(waits < ANSWER_MAX, "no answer to {id} within {waits:?}");
            }
            // A short wait: something may have to be sent again.
            match self.ws.got_within(Duration::from_millis(20)) {
                Some(Got::Event(event)) => self.hear(&event, &on_echo),
                None => {}
                other => panic!("the socket of {} ended: {other:?}", self.user.name),
            }
        }
    }

    fn send(&mut self, id: String) {
        self.ws.send(&json!({"type": "message", "content": format!("content of {id}"),
            "client_id": id}));
        let now = Instant::now();
        self.pending.insert(id, Pending { sent: Some(now), again: now });
    }

    fn hear(&mut self, event: &Value, on_echo: &impl Fn()) {
        match event["type"].as_str() {
            Some("message") => {
                let mut message = event["message"].clone();
                // An answer to a repeat says so.
                let is_repeat = message.as_object_mut().unwrap().remove("duplicate").is_some()
                    || event["duplicate"] == true;
                if !is_repeat {
                    self.heard.push(message["seq"].as_u64().unwrap());
                }
                if message["sender"]["id"] != self.user.id {
                    return;
                }
                let id = message["client_id"].as_str().unwrap().to_owned();
                if let Some(pending) = self.pending.remove(&id) {
                    self.answered(&pending);
                    on_echo();
                }
                let before = self.echoed.insert(id, message.clone());
                assert!(before.is_none_or(|before| before == message), "told otherwise: {event}");
            }
            Some("error") => {
                assert_eq!(event["code"], "store_unavailable", "{event}");
                assert_eq!(event["temporary"], true, "{event}");
                let retry_ms = event["retry_after_ms"].as_u64().unwrap();
                assert!((1..=10_000).contains(&retry_ms), "{event}");
                let id = event["client_id"].as_str().unwrap();
                // The echo may have overtaken it: what became of the commit was found out later.
                let Some(pending) = self.pending.remove(id) else { return };
                self.answered(&pending);
                let again = Instant::now() + Duration::from_millis(retry_ms);
                self.pending.insert(id.to_owned(), Pending { sent: None, again });
            }
            _ => {}
        }
    }

    fn answered(&mut self, pending: &Pending) {
        if let Some(sent) = pending.sent {
            self.waited = self.waited.max(sent.elapsed());
        }
    }

    /// Places without a hole from the first on: a session that stays hears everything, in order.
    pub(crate) fn expect_all_heard(&mut self, last: u64) {
        let mut next = self.heard.first().copied().unwrap_or(last + 1);
        for &seq in &self.heard {
            assert!(seq <= next, "{} was told {seq} before {next}", self.user.name);
            next = next.max(seq + 1);
        }
        while next <= last {
            let event = self.ws.until("message");
            let seq = event["message"]["seq"].as_u64().unwrap();
            assert!(seq <= next, "{} was told {seq} before {next}", self.user.name);
            next = next.max(seq + 1);
        }
    }
}

/// Holds everything that is stored in a conversation against what its writers were told; how many messages are stored.
pub(crate) fn check_history(server: &Server, mouths: &[&Mouth]) -> usize {
    let stored = server.history(mouths[0].conversation, &mouths[0].user);
    let mut by_id = BTreeMap::new();
    for (place, message) in stored.iter().enumerate() {
        assert_eq!(message["seq"], place + 1, "a hole");
        if let Some(id) = message["client_id"].as_str() {
            assert!(by_id.insert(id, message).is_none(), "stored twice: {id}");
        }
    }
    for mouth in mouths {
        assert_eq!(mouth.echoed.len(), mouth.words, "everything was echoed in the end");
        for (id, echo) in &mouth.echoed {
            assert_eq!(by_id.get(id.as_str()), Some(&echo), "echoed and not stored: {id}");
        }
    }
    let words: usize = mouths.iter().map(|mouth| mouth.words).sum();
    assert_eq!(by_id.len(), words, "nothing else is stored");
    stored.len()
}
