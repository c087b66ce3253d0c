//! The command line of `compare`.

use std::path::PathBuf;

use clap::{Args as Group, ValueEnum};

use super::commits::setting;
use crate::peers::Peer;

/// What is compared: a subcommand that measures one server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Compared {
    /// What an echo costs.
    Echo,
    /// What a delivery costs.
    Fanout,
    /// What a session at rest takes.
    Idle,
    /// What a handshake costs.
    Handshakes,
    /// Stored messages.
    Chat,
    /// All come back at once.
    Storm,
}

impl Compared {
    /// The subcommand.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Fanout => "fanout",
            Self::Idle => "idle",
            Self::Handshakes => "handshakes",
            Self::Chat => "chat",
            Self::Storm => "storm",
        }
    }

    /// True exactly when it is about stored messages, so that a server without a store has no part in it.
    pub(crate) const fn needs_a_store(self) -> bool {
        matches!(self, Self::Chat | Self::Storm)
    }
}

#[derive(Group)]
pub(crate) struct Compare {
    /// What is compared.
    #[arg(long, value_enum)]
    pub(crate) scenario: Compared,
    /// The servers, in the order of a round.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "fortifun,raw",
        conflicts_with = "builds"
    )]
    pub(crate) peers: Vec<Peer>,
    /// Instead: programs of fortifun, each a build of it.
    #[arg(long, value_delimiter = ',', value_name = "PATH")]
    pub(crate) builds: Vec<PathBuf>,
    /// The one that the others are held against: a peer, or the number of a build from 1; without it `raw` where it takes part,
    /// else the first.
    #[arg(long, value_name = "NAME")]
    pub(crate) base: Option<String>,
    /// Rounds; in each, every server is measured once, started anew.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) rounds: u16,
    /// The cores of each server, as `taskset -c` names them: `0`, `0-1`.
    #[arg(long)]
    pub(crate) server_core: Option<String>,
    /// The core of the clients.
    #[arg(long)]
    pub(crate) client_core: Option<u16>,
    /// The program `fortifun`; without it, FORTIFUN_BIN, or the one beside this program.
    #[arg(long, value_name = "PATH")]
    pub(crate) server: Option<PathBuf>,
    /// The database of fortifun, as the scenario takes it; without it `postgres` for `chat` and `storm`, a SQLite file for the
    /// others.
    #[arg(long)]
    pub(crate) database_url: Option<String>,
    /// A setting of fortifun, `NAME=VALUE`; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,
    /// Users of the Django server.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub(crate) users: u32,
    /// Where peers are made, once.
    #[arg(long, value_name = "DIR", default_value = "target/peers")]
    pub(crate) cache: PathBuf,
    /// What the scenario is told besides.
    #[arg(last = true, value_name = "FLAGS OF THE SCENARIO")]
    pub(crate) flags: Vec<String>,
}
