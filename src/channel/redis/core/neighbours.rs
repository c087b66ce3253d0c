//! What a sender knows of the other nodes: which of them died and left members behind, and which missed something because
//! their queue was full. Pure.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::deposit::Readers;
use crate::channel::bus::NodeId;
use crate::limits::{BUS_MEMBERS_MET_MAX, BUS_NODES_MAX};
use crate::time::Timestamp;

/// The nodes whose members were met in groups of one host. The member of a node that is dead costs every sender a queue, until
/// `group_expiry` has passed.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// Since the last round, [`BUS_NODES_MAX`] at most.
    met: BTreeSet<NodeId>,
    /// Of the last round.
    dead: HashSet<NodeId>,
    /// Members of those that were met since, [`BUS_MEMBERS_MET_MAX`] at most: the group's name, and whose.
    left_behind: HashSet<(String, NodeId)>,
}

/// What is to be asked and done once in a while.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Round {
    /// Whether they live.
    pub(super) nodes: Vec<NodeId>,
    /// Members that are to go unless their node lives: the group's name, and whose.
    pub(super) members: Vec<(String, NodeId)>,
}

/// Nodes that are to be told that they may have missed something, since when each.
#[derive(Debug, Default)]
pub(super) struct Owed {
    nodes: BTreeMap<NodeId, Timestamp>,
}

impl Neighbours {
    /// `readers` are members of the group called `name`.
    pub(super) fn on_met(&mut self, name: &str, readers: &[Readers]) {
        for node in readers.iter().filter_map(|readers| readers.node) {
            if self.met.len() < BUS_NODES_MAX {
                self.met.insert(node);
            }
            if self.dead.contains(&node) && self.left_behind.len() < BUS_MEMBERS_MET_MAX {
                self.left_behind.insert((name.to_owned(), node));
            }
        }
    }

    /// What to ask and do now.
    pub(super) fn round(&mut self) -> Round {
        Round {
            nodes: std::mem::take(&mut self.met).into_iter().collect(),
            members: self.left_behind.drain().collect(),
        }
    }

    /// Of the nodes of the last round these are dead.
    pub(super) fn on_round(&mut self, dead: HashSet<NodeId>) {
        self.dead = dead;
    }
}

impl Owed {
    /// `node` may have missed what was sent at `since` or later. Beyond [`BUS_NODES_MAX`] of them it is not remembered.
    pub(super) fn owe(&mut self, node: NodeId, since: Timestamp) {
        if let Some(earlier) = self.nodes.get_mut(&node) {
            *earlier = since.min(*earlier);
        } else if self.nodes.len() < BUS_NODES_MAX {
            self.nodes.insert(node, since);
        }
    }

    /// True exactly when nobody is to be told.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// All that are to be told, who are then told.
    pub(super) fn take(&mut self) -> BTreeMap<NodeId, Timestamp> {
        std::mem::take(&mut self.nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(7);

    fn reader(node: Option<NodeId>) -> Readers {
        Readers { queue: String::new(), node, channels: Vec::new() }
    }

    #[test]
    fn a_member_goes_when_its_node_was_found_dead_and_is_met_again() {
        let mut neighbours = Neighbours::default();
        neighbours.on_met("chat_1", &[reader(Some(NODE)), reader(None)]);
        neighbours.on_met("chat_2", &[reader(Some(NODE))]);
        let first = neighbours.round();
        assert_eq!((first.nodes, first.members), (vec![NODE], Vec::new()));
        neighbours.on_round([NODE].into());
        neighbours.on_met("chat_1", &[reader(Some(NODE)), reader(Some(NodeId(8)))]);
        let second = neighbours.round();
        assert_eq!(second.nodes, [NODE, NodeId(8)]);
        assert_eq!(second.members, [("chat_1".to_owned(), NODE)]);
    }

    #[test]
    fn a_node_that_lives_again_keeps_its_members() {
        let mut neighbours = Neighbours::default();
        neighbours.on_round([NODE].into());
        neighbours.on_round(HashSet::new());
        neighbours.on_met("chat_1", &[reader(Some(NODE))]);
        assert_eq!(neighbours.round().members, []);
    }

    #[test]
    fn what_is_known_of_nodes_is_bounded() {
        let mut neighbours = Neighbours::default();
        let mut owed = Owed::default();
        neighbours.on_round([NODE].into());
        for id in 0..=BUS_NODES_MAX.max(BUS_MEMBERS_MET_MAX) as u128 {
            neighbours.on_met(&format!("chat_{id}"), &[reader(Some(NODE))]);
            neighbours.on_met("chat_1", &[reader(Some(NodeId(id)))]);
            owed.owe(NodeId(id), Timestamp(5));
        }
        let round = neighbours.round();
        assert_eq!(round.nodes.len(), BUS_NODES_MAX);
        assert_eq!(round.members.len(), BUS_MEMBERS_MET_MAX);
        assert_eq!(owed.take().len(), BUS_NODES_MAX);
    }

    #[test]
    fn a_node_is_told_the_earliest_that_it_may_have_missed() {
        let mut owed = Owed::default();
        for at in [5, 3, 9] {
            owed.owe(NODE, Timestamp(at));
        }
        assert!(!owed.is_empty());
        assert_eq!(owed.take(), [(NODE, Timestamp(3))].into());
        assert!(owed.is_empty());
    }
}
