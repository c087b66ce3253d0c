//! The server that a run loads: one that runs already, or one that the run starts.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as Group;

use super::commits::setting;
use crate::dialect::Dialect;

/// Where the server is, how it is spoken to, and where both sides run.
#[derive(Group)]
pub(crate) struct Site {
    /// A server that runs already, `ws://HOST:PORT` or `wss://HOST:PORT`; without it, one is started.
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// Its process, where it runs on this machine: its processor time and memory are told.
    #[arg(long, requires = "url")]
    pub(crate) server_pid: Option<u32>,
    /// The program that is started: `fortifun`, or a peer that listens where HOST and PORT say. Without it, FORTIFUN_BIN, or the
    /// `fortifun` beside this program.
    #[arg(long, conflicts_with = "url")]
    pub(crate) server: Option<PathBuf>,
    /// The database of the started server, which nothing else uses: `postgres://…`, `sqlite:///…`, `memory:`, or `postgres` for a
    /// private one that is started too. Without it, a SQLite file that goes with the run.
    #[arg(long, conflicts_with = "url")]
    pub(crate) database_url: Option<String>,
    /// A setting of the started server, `NAME=VALUE`; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,
    /// How the server is spoken to.
    #[arg(long, value_enum, default_value = "fortifun")]
    pub(crate) dialect: Dialect,
    /// With --url: the server's SECRET_KEY; shown in the list of processes where it is given as a flag.
    #[arg(long, env = "SECRET_KEY", hide_env_values = true)]
    pub(crate) secret: Option<String>,
    /// With --url: a file that holds it.
    #[arg(long)]
    pub(crate) secret_file: Option<PathBuf>,
    /// How long the tokens are valid, seconds.
    #[arg(long, default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) token_ttl_s: u64,
    /// With --url: a file with tokens that were made elsewhere, one a line; their users take the part of those with ids in a row.
    #[arg(long, conflicts_with = "secret_file")]
    pub(crate) tokens_file: Option<PathBuf>,
    /// With `wss://`: PEM certificates of authorities in place of the system's.
    #[arg(long)]
    pub(crate) ca_file: Option<PathBuf>,
    /// With `wss://`: believe every certificate.
    #[arg(long, conflicts_with = "ca_file")]
    pub(crate) insecure: bool,
    /// The cores of the started server, as `taskset -c` names them: `0`, `0-1`.
    #[arg(long)]
    pub(crate) server_core: Option<String>,
    /// The core of the clients.
    #[arg(long)]
    pub(crate) client_core: Option<usize>,
}

/// Who the users are.
#[derive(Group)]
pub(crate) struct FirstUser {
    /// With --url: the first of as many users with ids in a row as the run needs.
    #[arg(long, default_value_t = 1)]
    pub(crate) first_user: i64,
}

/// How long a run is.
#[derive(Group)]
pub(crate) struct Time {
    /// How long the load runs before it is measured, seconds.
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=3_600))]
    pub(crate) warm_up_s: u64,
    /// How long it is measured, seconds.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) duration_s: u64,
}

impl Time {
    /// How long the load runs before it is measured.
    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_secs(self.warm_up_s)
    }

    /// How long it is measured.
    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs(self.duration_s)
    }
}

/// A scenario in place of the one that is built in.
#[derive(Group)]
pub(crate) struct Scenario {
    /// A TOML file whose keys are the names of these flags: they count more than what is built in, and flags more than they.
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: Option<PathBuf>,
    /// The scenario in small: 20 seconds at most.
    #[arg(long)]
    pub(crate) smoke: bool,
}
