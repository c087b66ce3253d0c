//! The condition of each connection to the bus: one line in the log for each change, and what `readyz` says.

use parking_lot::Mutex;

use super::hub::Side;

/// What was last found of each side of each host.
#[derive(Debug)]
pub(super) struct Condition {
    /// The hosts, for people.
    hosts: Vec<String>,
    /// By [`Side`]: in, then out, of each host in turn.
    found: Mutex<Vec<Found>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Found {
    /// Nothing yet.
    New,
    Up,
    Down(String),
}

impl Condition {
    /// Of `hosts`, as people know them; nothing is known of them yet.
    pub(super) fn new(hosts: Vec<String>) -> Self {
        let found = Mutex::new(vec![Found::New; 2 * hosts.len()]);
        Self { hosts, found }
    }

    /// `side` answers. True exactly when that is new.
    pub(super) fn is_up(&self, side: Side) -> bool {
        let before = std::mem::replace(&mut self.found.lock()[place(side)], Found::Up);
        let bus = self.name(side);
        match before {
            Found::New => tracing::info!(bus, side = side.name(), "connected to the bus"),
            Found::Down(_) => tracing::info!(bus, side = side.name(), "the bus works again"),
            Found::Up => {}
        }
        before != Found::Up
    }

    /// `side` does not answer, `why` says more. True exactly when that is new.
    pub(super) fn is_down(&self, side: Side, why: &str) -> bool {
        let before =
            std::mem::replace(&mut self.found.lock()[place(side)], Found::Down(why.to_owned()));
        let is_new = !matches!(before, Found::Down(_));
        if is_new {
            let bus = self.name(side);
            tracing::error!(bus, side = side.name(), why, "the bus fails: this node is on its own");
        }
        is_new
    }

    /// What is wrong, for people; `None` when nothing is.
    pub(super) fn trouble(&self) -> Option<String> {
        let found = self.found.lock();
        let (at, why) = found.iter().enumerate().find_map(|(at, found)| match found {
            Found::New => Some((at, "not connected yet")),
            Found::Down(why) => Some((at, &**why)),
            Found::Up => None,
        })?;
        Some(format!("{}: {why}", self.hosts[at / 2]))
    }

    /// Hosts that answer, of those that are received from and of those that are sent to.
    pub(super) fn up(&self) -> (u64, u64) {
        let found = self.found.lock();
        let count = |first| {
            found.iter().skip(first).step_by(2).filter(|found| **found == Found::Up).count() as u64
        };
        (count(0), count(1))
    }

    fn name(&self, side: Side) -> &str {
        let (Side::In(host) | Side::Out(host)) = side;
        &self.hosts[host]
    }
}

fn place(side: Side) -> usize {
    match side {
        Side::In(host) => 2 * host,
        Side::Out(host) => 2 * host + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_and_all_sides_must_answer() {
        let condition = Condition::new(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(condition.trouble().as_deref(), Some("a: not connected yet"));
        for side in [Side::In(0), Side::Out(0), Side::In(1)] {
            assert!(condition.is_up(side) && !condition.is_up(side));
        }
        assert_eq!(condition.up(), (2, 1));
        assert_eq!(condition.trouble().as_deref(), Some("b: not connected yet"));
        assert!(condition.is_up(Side::Out(1)));
        assert_eq!(condition.trouble(), None);
        assert!(condition.is_down(Side::Out(1), "refused"));
        assert!(!condition.is_down(Side::Out(1), "timed out"));
        assert_eq!(condition.trouble().as_deref(), Some("b: timed out"));
        assert_eq!(condition.up(), (2, 1));
        assert!(condition.is_up(Side::Out(1)));
        assert_eq!(condition.trouble(), None);
    }
}
