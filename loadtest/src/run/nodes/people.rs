//! Who talks, from which device, and where each device is first.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::hearing::Hearing;
use crate::pairs::Pair;
use crate::swarm::Key;

/// Every so manieth user has a second device.
const SECOND_DEVICE_EVERY: usize = 5;

/// One socket of one device, through all its connections.
pub(super) struct Session {
    /// Its conversation, which is all that its user has.
    pub(super) pair: usize,
    /// Which user of the pair: 0 or 1.
    pub(super) side: usize,
    /// Which device of the user.
    pub(super) device: usize,
    /// `/ws/chat/`; otherwise the conversation's.
    pub(super) is_chat: bool,
    /// The node it is on, or was last.
    pub(super) node: usize,
    /// How often that node had been killed when it connected.
    pub(super) node_life: u32,
    /// Its connection.
    pub(super) key: Option<Key>,
    pub(super) phase: Phase,
    pub(super) hearing: Hearing,
    /// Connections that were made.
    pub(super) connections: u32,
    /// Messages to be sent once it can.
    pub(super) outbox: VecDeque<usize>,
    /// Messages that were sent and not told to be committed.
    pub(super) waiting: BTreeSet<usize>,
    /// Before that nothing is sent.
    pub(super) pause_until: Duration,
}

/// How far a session is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// There is no connection; the next one is made then.
    Away { until: Duration },
    /// The handshake or `hello` is to come; then a resume is asked for by a command, or nothing is.
    Opening { asks: bool },
    /// The command that asks for a resume is to be sent.
    Asking,
    /// A resume was asked for.
    Resuming,
    /// It sends and hears.
    Live,
}

impl Session {
    fn new(
        pair: usize,
        side: usize,
        device: usize,
        is_chat: bool,
        node: usize,
        known: u64,
    ) -> Self {
        Self {
            pair,
            side,
            device,
            is_chat,
            node,
            node_life: 0,
            key: None,
            phase: Phase::Away { until: Duration::ZERO },
            hearing: Hearing::new(known),
            connections: 0,
            outbox: VecDeque::new(),
            waiting: BTreeSet::new(),
            pause_until: Duration::ZERO,
        }
    }
}

/// A conversation's socket and a chat socket for each device of both users of each pair: partners on different nodes, and so
/// are the devices of one user, where there are several nodes. `known`: the `seq` up to which everything is known, by pair.
pub(super) fn sessions(pairs: &[Pair], known: &[u64], nodes: usize) -> Vec<Session> {
    let mut sessions = Vec::new();
    for pair in 0..pairs.len() {
        for side in 0..2 {
            let has_second = (2 * pair + side) % SECOND_DEVICE_EVERY == 0;
            for device in 0..=usize::from(has_second) {
                // A second device stands where the partner's first one is.
                let node = (pair + (side + device) % 2) % nodes;
                for is_chat in [false, true] {
                    let known = known[pair];
                    sessions.push(Session::new(pair, side, device, is_chat, node, known));
                }
            }
        }
    }
    sessions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partners_and_devices_are_on_different_nodes() {
        let pair = |n| Pair { conversation: n, users: [2 * n, 2 * n + 1] };
        let pairs: Vec<_> = (0..15).map(pair).collect();
        let known = vec![1; 15];
        let all = sessions(&pairs, &known, 3);
        // 30 users and 6 second devices, two sockets each.
        assert_eq!(all.len(), 72);
        let find = |pair, side, device| {
            let is_it = |s: &&Session| (s.pair, s.side, s.device) == (pair, side, device);
            all.iter().find(is_it).map(|session| session.node)
        };
        for pair in 0..15 {
            let (first, second) = (find(pair, 0, 0), find(pair, 1, 0));
            assert!(first.is_some() && first != second);
            for side in 0..2 {
                let second = find(pair, side, 1);
                assert!(second != find(pair, side, 0), "{pair} {side}");
            }
        }
        assert!((0..3).all(|node| all.iter().any(|session| session.node == node)));
        assert!(sessions(&pairs, &known, 1).iter().all(|session| session.node == 0));
    }
}
