//! A shard's inbox that keeps all it was handed.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use fortifun_realtime::channel::{Delivery, Payload, Sink};
use fortifun_realtime::model::Control;
use fortifun_realtime::protocol::ws::encoder;
use fortifun_realtime::time::Timestamp;
use serde_json::Value;

use crate::PATIENCE;
use crate::world::wall;

/// What a probe's text begins with: those are kept apart from what the rules see.
pub(crate) const PROBE: &str = "probe ";

/// Where a shard takes its deliveries.
#[derive(Clone, Default)]
pub(crate) struct Inbox(Arc<Inner>);

#[derive(Default)]
struct Inner {
    handed: Mutex<Kept>,
    changed: Condvar,
}

#[derive(Default)]
struct Kept {
    all: Vec<Handed>,
    probes: HashSet<String>,
}

/// One delivery, as a shard is handed it.
#[derive(Clone)]
pub(crate) struct Handed {
    /// What is said in it: `data.text` of its frame; the empty text of an order.
    pub(crate) text: String,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) patient: bool,
    /// When.
    pub(crate) at: Timestamp,
}

impl Sink for Inbox {
    fn accept(&self, delivery: Arc<Delivery>, patient: bool) {
        let text = text(&delivery);
        let mut kept = self.0.handed.lock().unwrap();
        if text.starts_with(PROBE) {
            kept.probes.insert(text);
        } else {
            kept.all.push(Handed { text, delivery, patient, at: wall() });
        }
        self.0.changed.notify_all();
    }

    /// Whoever waits for what is handed in is woken by each.
    fn ring(&self) {}
}

impl Inbox {
    /// All that was handed in, once the text `last` is.
    pub(crate) fn until(&self, last: &str) -> Vec<Handed> {
        self.when(last, |all| all.iter().any(|one| one.text == last))
    }

    /// All that was handed in, once `what` holds of it.
    pub(crate) fn when(&self, told: &str, what: impl Fn(&[Handed]) -> bool) -> Vec<Handed> {
        let found = self.wait(PATIENCE, |kept| what(&kept.all));
        let all = self.so_far();
        if !found {
            let texts: Vec<_> = all.iter().map(|one| &one.text).collect();
            panic!("not within {PATIENCE:?}: {told}, but {texts:?}");
        }
        all
    }

    /// All that was handed in until now.
    pub(crate) fn so_far(&self) -> Vec<Handed> {
        self.0.handed.lock().unwrap().all.clone()
    }

    /// Returns once so many deliveries were handed in; how many there are.
    pub(crate) fn wait_for(&self, count: usize) -> usize {
        let found = self.wait(PATIENCE, |kept| kept.all.len() >= count);
        assert!(found, "not within {PATIENCE:?}: {count} deliveries");
        self.0.handed.lock().unwrap().all.len()
    }

    /// True exactly when this probe is handed in within this time.
    pub(crate) fn hears_probe(&self, time: Duration, probe: &str) -> bool {
        self.wait(time, |kept| kept.probes.contains(probe))
    }

    fn wait(&self, time: Duration, what: impl Fn(&Kept) -> bool) -> bool {
        let deadline = Instant::now() + time;
        let mut guard = self.0.handed.lock().unwrap();
        while !what(&guard) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            guard = self.0.changed.wait_timeout(guard, left).unwrap().0;
        }
        true
    }
}

impl Handed {
    /// The order in it.
    pub(crate) fn control(&self) -> Option<Control> {
        match self.delivery.payload {
            Payload::Control(control) => Some(control),
            Payload::Frame { .. } => None,
        }
    }
}

fn text(delivery: &Delivery) -> String {
    let Payload::Frame { frame, .. } = &delivery.payload else { return String::new() };
    let event: Value = serde_json::from_str(encoder::text_of(frame).unwrap()).unwrap();
    event["data"]["text"].as_str().unwrap_or_default().to_owned()
}
