//! Several nodes on one private Postgres and one private Redis.

use std::path::PathBuf;

use anyhow::ensure;
use fortifun_fixtures::{Database, Durability, Postgres, Redis};

use crate::args::{Fleet as Args, Layer};
use crate::http::Connection;
use crate::launch::{self, Launched, RAISED};
use crate::output;
use crate::pairs::Pair;
use crate::rest;
use crate::run::{parallel, run_name};
use crate::target::Target;

/// Connections that open conversations.
const CONCURRENCY: usize = 8;
/// What is said first in each conversation.
const FIRST: &str = "Salut !";

/// How nodes are started; all are alike.
pub(crate) struct Fleet {
    program: PathBuf,
    secret: String,
    settings: Vec<(String, String)>,
    // They go in this order.
    _database: Database,
    _postgres: Postgres,
}

impl Fleet {
    /// Starts Postgres, and Redis where the layer needs it, and brings the tables up to date. `own` are settings of the run; what the
    /// command line says counts more.
    ///
    /// # Errors
    ///
    /// A program is missing or fails.
    pub(crate) fn set(args: &Args, own: &[(&str, &str)]) -> anyhow::Result<(Self, Option<Redis>)> {
        let program = launch::program(args.server.as_deref())?;
        ensure!(Postgres::is_installed(), "Postgres is not installed: apt-get install postgresql");
        let redis = (args.layer != Layer::Memory).then(Redis::start);
        let postgres = Postgres::start(Durability::Full);
        let database = postgres.database();
        let secret = launch::secret();
        let url = database.url();
        let mut settings = Vec::new();
        let mut put = |name: &str, value: &str| settings.push((name.to_owned(), value.to_owned()));
        RAISED.iter().chain(own).for_each(|(name, value)| put(name, value));
        put("DATABASE_URL", &url);
        put("SECRET_KEY", &secret);
        put("DRAIN_S", "0");
        if let Some(redis) = &redis {
            put("CHANNEL_LAYER", args.layer.name());
            put("REDIS_URL", &redis.url());
        }
        settings.extend(args.settings.iter().cloned());
        launch::output(&program, &["migrate"], &settings)?;
        let fleet = Self { program, secret, settings, _database: database, _postgres: postgres };
        Ok((fleet, redis))
    }

    /// Starts a node, and waits until it listens.
    pub(crate) fn serve(&self) -> anyhow::Result<Launched> {
        Launched::serve(&self.program, &self.settings)
    }

    /// Starts so many.
    pub(crate) fn serve_all(&self, count: usize) -> anyhow::Result<Vec<Launched>> {
        (0..count).map(|_| self.serve()).collect()
    }

    /// How a node is spoken to.
    pub(crate) fn target(&self, node: &Launched) -> Target {
        Target::local(node.address, &self.secret)
    }

    /// Adds so many users; answers the first one's id.
    pub(crate) fn add_users(&self, count: u32) -> anyhow::Result<i64> {
        let prefix = format!("load-{}-", run_name());
        launch::add_users(&self.program, &self.settings, &prefix, count)
    }

    /// Adds so many pairs of users, each with a conversation in which one message was said.
    pub(crate) fn pairs(&self, count: usize, node: &Launched) -> anyhow::Result<Vec<Pair>> {
        let first = self.add_users(2 * count as u32)?;
        let target = self.target(node);
        let bar = output::bar(count as u64, "opening conversations");
        let pairs = parallel(
            count,
            CONCURRENCY,
            || Connection::new(&target),
            |connection, n| {
                let users = [first + 2 * n as i64, first + 2 * n as i64 + 1];
                let opened = rest::open_conversation(connection, users[0], users[1], FIRST)?;
                bar.inc(1);
                Ok(Pair { conversation: opened.id, users })
            },
        );
        bar.finish_and_clear();
        pairs
    }
}
