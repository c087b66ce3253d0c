//! How the connections of one side of a host stand, or of all masters of a cluster: the worst of them counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::channel::redis::{Hub, Side};

/// See the module.
pub(super) struct Health {
    hub: Arc<Hub>,
    side: Side,
    /// By whom the connection is to; why it is of no use, where it is not.
    found: Mutex<BTreeMap<String, Option<String>>>,
}

impl Health {
    /// Of a side of which nothing is known yet.
    pub(super) fn new(hub: &Arc<Hub>, side: Side) -> Arc<Self> {
        Arc::new(Self { hub: Arc::clone(hub), side, found: Mutex::default() })
    }

    /// From now on these count, and no others.
    pub(super) fn expect(&self, all: &[&str]) {
        let mut found = self.found.lock();
        found.retain(|who, _| all.contains(&&**who));
        for who in all {
            let unknown = || Some("not connected yet".to_owned());
            found.entry((*who).to_owned()).or_insert_with(unknown);
        }
    }

    /// The connection to `who` works.
    pub(super) fn is_up(&self, who: &str) {
        self.find(who, None);
    }

    /// The connection to `who` does not work; `why` is for people.
    pub(super) fn is_down(&self, who: &str, why: &str) {
        self.find(who, Some(why.to_owned()));
    }

    fn find(&self, who: &str, why: Option<String>) {
        let mut found = self.found.lock();
        found.insert(who.to_owned(), why);
        let is_alone = found.len() == 1;
        let worst = found.iter().find_map(|(who, why)| Some((who, why.as_ref()?)));
        match worst {
            None => self.hub.is_up(self.side),
            Some((_, why)) if is_alone => self.hub.is_down(self.side, why),
            Some((who, why)) => self.hub.is_down(self.side, &format!("{who}: {why}")),
        }
    }
}
