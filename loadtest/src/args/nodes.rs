//! The command lines of the runs that start several nodes: `nodes`, `latency`, `publishes` and `churn`.

use std::path::PathBuf;

use clap::{Args as Group, ValueEnum};

use super::commits::setting;
use super::rate;
use super::site::Scenario;

/// What carries events from node to node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Layer {
    /// Redis PUBLISH and SUBSCRIBE.
    RedisPubsub,
    /// Lists of Redis, as `channels_redis.core` keeps them.
    RedisCore,
    /// Nothing: for one node.
    Memory,
}

impl Layer {
    /// The value of CHANNEL_LAYER.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RedisPubsub => "redis-pubsub",
            Self::RedisCore => "redis-core",
            Self::Memory => "memory",
        }
    }
}

/// The nodes of a run and what lies below them: a private Postgres with `fsync` on, and a private Redis.
#[derive(Group)]
pub(crate) struct Fleet {
    /// The program `fortifun`; without it, FORTIFUN_BIN, or the one beside this program.
    #[arg(long)]
    pub(crate) server: Option<PathBuf>,
    /// What carries events from node to node.
    #[arg(long, value_enum, default_value = "redis-pubsub")]
    pub(crate) layer: Layer,
    /// A setting of the nodes, `NAME=VALUE`; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,
}

#[derive(Group)]
pub(crate) struct Nodes {
    #[command(flatten)]
    pub(crate) scenario: Scenario,
    #[command(flatten)]
    pub(crate) fleet: Fleet,
    /// How many nodes.
    #[arg(long = "nodes", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) count: u16,
    /// How many users, two and two together; every fifth has two devices on two nodes.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=20_000))]
    pub(crate) users: u32,
    /// Messages a second of all users together, sent whatever became of those before.
    #[arg(long, value_parser = rate)]
    pub(crate) rate: f64,
    /// How long they talk.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// How often Redis is killed, and started again 0.5 to 5 seconds later.
    #[arg(long)]
    pub(crate) redis_kills: u32,
    /// How often connections are cut: all nodes' to Redis, or those of every tenth client.
    #[arg(long)]
    pub(crate) cuts: u32,
    /// How often a node is killed, and started again.
    #[arg(long)]
    pub(crate) node_kills: u32,
    /// Break nothing.
    #[arg(long, conflicts_with_all = ["redis_kills", "cuts", "node_kills"])]
    pub(crate) no_chaos: bool,
    /// Decides what is broken when, and who comes back where.
    #[arg(long)]
    pub(crate) seed: u64,
    /// How many faults are told in words.
    #[arg(long)]
    pub(crate) faults: u16,
    /// Say what is broken when it is.
    #[arg(long)]
    pub(crate) verbose: bool,
}
