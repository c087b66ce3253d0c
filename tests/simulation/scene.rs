//! What clients see of the world, and where they report what they saw.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use fortifun_realtime::ids::{ConversationId, Seq, UserId};
use fortifun_realtime::store::memory::MemoryStore;
use fortifun_realtime::store::{Request, Store};
use serde_json::Value;

use crate::net::{Clock, Net};
use crate::store::{Log, open};

/// See the module.
pub(crate) struct Scene {
    pub(crate) net: Rc<RefCell<Net>>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) log: Arc<Mutex<Log>>,
    pub(crate) memory: MemoryStore,
    pub(crate) users: i64,
    pub(crate) token_s: u64,
    pub(crate) blocks: bool,
    pub(crate) leaves: bool,
    pub(crate) opens: bool,
    /// Threads stand still for seconds.
    pub(crate) is_halting: bool,
    pub(crate) is_loud: bool,
    /// The storm is over.
    pub(crate) is_calm: bool,
    pub(crate) calm_since: u64,
    /// Something that may be lost was lost.
    pub(crate) has_lost: Cell<bool>,
    /// Messages as clients got them: id, sender, `client_id`, content.
    pub(crate) told: RefCell<BTreeMap<(i64, i64), Told>>,
    /// Messages that a client was told are stored: place, id and `client_id`.
    pub(crate) acknowledged: RefCell<Vec<Acknowledged>>,
    pub(crate) counts: RefCell<BTreeMap<String, u64>>,
}

pub(crate) type Told = (i64, i64, Option<String>, String);
pub(crate) type Acknowledged = ((i64, i64), Option<i64>, Option<String>);

impl Scene {
    pub(crate) fn ms(&self) -> u64 {
        self.clock.ms()
    }

    pub(crate) fn fail(&self, why: &str) -> ! {
        panic!("at {} ms: {why}", self.ms());
    }

    #[track_caller]
    pub(crate) fn check(&self, holds: bool, why: impl FnOnce() -> String) {
        if !holds {
            self.fail(&why());
        }
    }

    pub(crate) fn was_calm_for(&self, ms: u64) -> bool {
        self.is_calm && self.ms() >= self.calm_since + ms
    }

    /// The conversations of a user, as the store's log knows them.
    pub(crate) fn conversations_of(&self, user: i64) -> Vec<i64> {
        let log = open(&self.log);
        let all = log.participants.iter().filter(|(_, members)| members.contains(&user));
        all.map(|(id, _)| *id).collect()
    }

    /// Nobody is told of a conversation that is not theirs.
    pub(crate) fn check_member(&self, device: usize, user: i64, conversation: i64) {
        let log = open(&self.log);
        let is_member =
            log.participants.get(&conversation).is_some_and(|members| members.contains(&user));
        drop(log);
        self.check(is_member, || format!("device {device}: user {user} hears of {conversation}"));
    }

    /// Nobody is told of the presence of who blocked them, or whom they blocked.
    pub(crate) fn check_presence(&self, device: usize, user: i64, other: i64, at: &str) {
        // What was on its way between threads when they were told to stop may still arrive.
        const UNDER_WAY_MS: i64 = 15_000;
        let log = open(&self.log);
        for pair in [(user, other), (other, user)].map(|(a, b)| (UserId(a), UserId(b))) {
            let since =
                log.blocked_at.get(&pair).map(|since| since.plus_ms(UNDER_WAY_MS).to_string());
            if since.is_some_and(|since| at > since.as_str()) {
                self.fail(&format!(
                    "device {device}: {user} is told of {other}: blocked, {pair:?}"
                ));
            }
        }
    }

    /// All who get a message get the same.
    pub(crate) fn tell(&self, message: &Value) {
        let number = |field: &str| message[field].as_i64().expect("a number");
        let place = (number("conversation_id"), number("seq"));
        let told = (
            number("id"),
            message["sender"]["id"].as_i64().expect("a sender"),
            message["client_id"].as_str().map(str::to_owned),
            message["content"].as_str().expect("a content").to_owned(),
        );
        let mut all = self.told.borrow_mut();
        let first = all.entry(place).or_insert_with(|| told.clone());
        self.check(*first == told, || format!("two messages at {place:?}: {first:?} and {told:?}"));
    }

    pub(crate) fn acknowledged(&self, place: (i64, i64), id: Option<i64>, client_id: Option<&str>) {
        self.acknowledged.borrow_mut().push((place, id, client_id.map(str::to_owned)));
    }

    pub(crate) fn is_untold(&self, conversation: i64, seq: i64) -> bool {
        open(&self.log).untold.contains(&(ConversationId(conversation), Seq(seq)))
    }

    pub(crate) fn last_seq(&self, conversation: i64) -> i64 {
        self.memory.messages(ConversationId(conversation)).len() as i64
    }

    /// True exactly when both may speak there.
    pub(crate) fn is_live(&self, conversation: i64) -> bool {
        let log = open(&self.log);
        let Some(user) = log.participants.get(&conversation).and_then(|all| all.first().copied())
        else {
            return false;
        };
        drop(log);
        let request =
            Request::MaySpeak { user: UserId(user), conversation: ConversationId(conversation) };
        self.memory.clone().read(&request, self.clock.now().wall).is_ok()
    }

    pub(crate) fn may_not_lose_typing(&self) -> bool {
        !self.has_lost.get()
    }

    /// For whoever replays a run with `SIM_LOUD=1`.
    #[expect(clippy::print_stdout, reason = "asked for")]
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.is_loud {
            println!("{:>6} {}", self.ms(), what());
        }
    }

    pub(crate) fn note_close(&self, code: u16) {
        self.count(&format!("close {code}"));
    }

    pub(crate) fn count(&self, what: &str) {
        self.count_many(what, 1);
    }

    pub(crate) fn count_many(&self, what: &str, times: u64) {
        *self.counts.borrow_mut().entry(what.to_owned()).or_default() += times;
    }
}
