//! Identifiers as newtypes, so that a user is never passed where a conversation is meant.
//!
//! Ids of stored rows are the database's `bigint`, positive. Keys of connections are this process's own.

use std::fmt;

macro_rules! row_id {
    ($(#[$doc:meta] $name:ident),+ $(,)?) => {$(
        #[$doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )+};
}

row_id! {
    /// A row of `accounts_user`.
    UserId,
    /// A row of `conversations_conversation`.
    ConversationId,
    /// A row of `conversations_message`.
    MessageId,
    /// A row of `matching_match`.
    MatchId,
    /// The place of a message within its conversation: 1, 2, 3 … without holes. 0 stands before the first.
    Seq,
}

/// A slot of one shard's connection table and the slot's generation, so that a key kept past its connection's end finds
/// nothing instead of a stranger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnKey {
    /// Index into the table.
    pub index: u32,
    /// Counts the slot's tenants.
    pub generation: u32,
}

impl ConnKey {
    /// Names no connection: where a shard itself is meant.
    pub const NONE: Self = Self { index: u32::MAX, generation: u32::MAX };

    /// The key as one word, for `epoll_data`.
    pub const fn to_token(self) -> usize {
        ((self.generation as usize) << 32) | self.index as usize
    }

    /// The key that [`ConnKey::to_token`] made.
    pub const fn from_token(token: usize) -> Self {
        Self { index: token as u32, generation: (token >> 32) as u32 }
    }
}

/// A shard's number, 0 up to [`crate::limits::SHARDS_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub u16);

/// A connection anywhere on this node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnRef {
    /// The shard that owns it.
    pub shard: ShardId,
    /// Its key there.
    pub key: ConnKey,
}

/// One life of one node: 128 random bits. On the bus its 32 hexadecimal digits say who sent something, and name its queue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u128);

impl NodeId {
    /// The node that 32 lower-case hexadecimal digits name.
    pub fn parse(digits: &str) -> Option<Self> {
        let is_written_so = digits.len() == 32
            && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_written_so.then(|| u128::from_str_radix(digits, 16).ok()).flatten().map(Self)
    }

    /// A quarter of it, for names that need not be unique beyond a few nodes.
    pub const fn short(self) -> u32 {
        (self.0 >> 96) as u32
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_token() {
        for (index, generation) in [(0, 0), (1, 7), (u32::MAX, 0), (5, u32::MAX - 1)] {
            let key = ConnKey { index, generation };
            assert_eq!(ConnKey::from_token(key.to_token()), key);
        }
    }
}
