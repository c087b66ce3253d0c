//! The command line of `commits`.

use std::path::PathBuf;

use clap::Args as Group;

/// Where messages are committed, by whom, and for how long.
#[derive(Group)]
pub(crate) struct Commits {
    /// The program `fortifun`; without it, FORTIFUN_BIN, or the one beside this program.
    #[arg(long)]
    pub(crate) server: Option<PathBuf>,
    /// A database to be migrated and written to, which nothing else uses: `postgres://…` without TLS. Without it, a private
    /// Postgres is started.
    #[arg(long)]
    pub(crate) database_url: Option<String>,
    /// Use a SQLite file of its own instead of Postgres.
    #[arg(long, conflicts_with_all = ["database_url", "unix_socket", "light"])]
    pub(crate) sqlite: bool,
    /// Reach the private Postgres through a Unix socket instead of TCP.
    #[arg(long, conflicts_with = "database_url")]
    pub(crate) unix_socket: bool,
    /// A setting of the servers, `NAME=VALUE`; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,
    /// Conversations, each of two users who both send.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) conversations: u32,
    /// Messages of one sender that may wait for their echo.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) in_flight: u16,
    /// Length of a message, bytes; at most 3,500.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(..=3_500))]
    pub(crate) bytes: u16,
    /// How often all that is compared takes its turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,
    /// How long each is measured, each time, seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// How long each runs before it is measured, each time, seconds.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=3_600))]
    pub(crate) warm_up_s: u64,
    /// Threads of the server that commit, and connections of the store's bench; without it, as many as are the server's default.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) write_workers: Option<u16>,
    /// The bench `store_batch`; without it, the newest in `deps` beside this program: `cargo build --release --bench store_batch`.
    #[arg(long)]
    pub(crate) store_batch: Option<PathBuf>,
    /// Leave out the store without sockets.
    #[arg(long, conflicts_with = "store_batch")]
    pub(crate) sockets_only: bool,
    /// Instead: one sender with pauses. From send to echo beside a bare commit of one row by a plain client of the database.
    #[arg(long)]
    pub(crate) light: bool,
    /// With --light: messages, and as many bare commits.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) samples: u32,
    /// With --light: pause before each of them, ms.
    #[arg(long, default_value_t = 2)]
    pub(crate) pause_ms: u64,
}

pub(super) fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_name_and_a_value() {
        assert_eq!(setting("SHARDS=2"), Ok(("SHARDS".to_owned(), "2".to_owned())));
        assert_eq!(setting("X=a=b"), Ok(("X".to_owned(), "a=b".to_owned())));
        assert!(setting("SHARDS").is_err() && setting("=2").is_err());
    }
}
