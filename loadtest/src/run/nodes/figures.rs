//! What a run counts.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::run::latencies;

/// What was counted.
pub(super) struct Figures {
    /// From the first sending to each session of the other user that was live, microseconds.
    pub(super) delivery: Histogram<u64>,
    /// Clients that had to come back, by [`Cause`].
    pub(super) reconnects: [u64; 3],
    /// Messages sent again because their answer never came.
    pub(super) sent_again: u64,
    /// Messages that were refused for now.
    pub(super) refused: u64,
    /// Answers that said `"duplicate":true`.
    pub(super) duplicates: u64,
    /// How long the clients themselves did not get to their sockets, at most: what a machine has no time for is late everywhere.
    pub(super) stall: Duration,
    /// What was broken: how often Redis was killed,
    pub(super) redis_kills: u64,
    /// cut connections,
    pub(super) redis_cuts: u64,
    /// and how often a node was killed.
    pub(super) node_kills: u64,
    /// Of all nodes, those before their deaths included.
    pub(super) counters: Counters,
}

impl Figures {
    /// Nothing has happened yet.
    pub(super) fn new() -> Self {
        Self {
            delivery: latencies(),
            reconnects: [0; 3],
            sent_again: 0,
            refused: 0,
            duplicates: 0,
            stall: Duration::ZERO,
            redis_kills: 0,
            redis_cuts: 0,
            node_kills: 0,
            counters: Counters::default(),
        }
    }
}

/// Why clients had to come back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cause {
    /// Their node was killed.
    NodeKilled,
    /// Their own end was cut.
    Cut,
    /// The node told them to, by 4480.
    Told,
}

/// What each [`Cause`] is, for people.
pub(super) const CAUSES: [&str; 3] = ["after a node's death", "after a cut", "told by the server"];

/// Counters of all nodes, added up over their lives; by series.
#[derive(Debug, Default)]
pub(super) struct Counters(BTreeMap<String, f64>);

impl Counters {
    /// Adds those of one life of a node.
    pub(super) fn add(&mut self, counters: &[(String, f64)]) {
        for (series, value) in counters {
            *self.0.entry(series.clone()).or_default() += value;
        }
    }

    /// Those that count anything, by series.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0
            .iter()
            .map(|(series, value)| (series.as_str(), *value as u64))
            .filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_added_up_and_what_never_happened_is_left_out() {
        let mut counters = Counters::default();
        let of = |a, b| [("a_total".to_owned(), a), ("b_total".to_owned(), b)];
        counters.add(&of(1.0, 0.0));
        counters.add(&of(2.0, 0.0));
        assert_eq!(counters.iter().collect::<Vec<_>>(), [("a_total", 3)]);
    }
}
