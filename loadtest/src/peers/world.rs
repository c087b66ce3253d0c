//! What a server needs beside it: a database with users, Redis, a key. Made anew for each run, and gone with it.

use anyhow::{Context, ensure};
use fortifun_fixtures::{Database, Durability, Postgres, Redis, django};

use super::Peer;
use crate::launch;

/// Room as a server of production has it.
const ROOM: [&str; 3] = ["shared_buffers=256MB", "max_wal_size=4GB", "checkpoint_timeout=15min"];

/// A conversation of each two users with ids in a row: 1 and 2, 3 and 4.
const CONVERSATIONS: &str = "
    WITH pairs AS (
        INSERT INTO conversations_conversation (created_at, updated_at, is_active)
        SELECT now(), now(), true FROM generate_series(1, $1::bigint / 2) RETURNING id
    )
    INSERT INTO conversations_conversation_participants (conversation_id, user_id)
    SELECT id, 2 * id - side FROM pairs, generate_series(0, 1) side";

/// What was made for one run, and the settings that lead there.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) settings: Vec<(&'static str, String)>,
    /// The key of tokens, where there are any.
    pub(super) secret: Option<String>,
    // They go in this order, after the server.
    _database: Option<Database>,
    _postgres: Option<Postgres>,
    _redis: Option<Redis>,
}

impl World {
    /// Makes what `peer` needs; its users have the ids 1 to `users`, and two after two a conversation.
    ///
    /// # Errors
    ///
    /// A program is missing or fails.
    pub(super) fn of(peer: Peer, users: u32) -> anyhow::Result<Self> {
        if peer == Peer::Django { Self::of_django(users) } else { Ok(Self::default()) }
    }

    fn of_django(users: u32) -> anyhow::Result<Self> {
        ensure!(
            Postgres::is_installed(),
            "Django needs Postgres, which is not installed: apt-get install postgresql"
        );
        let postgres = Postgres::start_with(Durability::Full, &ROOM);
        let database = postgres.database();
        let mut client = database.connect();
        client.batch_execute(django::SCHEMA).context("Django's tables cannot be made")?;
        let users = i64::from(users);
        django::users(&mut client, users);
        client.execute(CONVERSATIONS, &[&users]).context("conversations cannot be opened")?;
        let redis = Redis::start();
        let secret = launch::secret();
        Ok(Self {
            settings: vec![
                ("DATABASE_URL", database.url()),
                ("REDIS_URL", redis.url()),
                ("SECRET_KEY", secret.clone()),
            ],
            secret: Some(secret),
            _database: Some(database),
            _postgres: Some(postgres),
            _redis: Some(redis),
        })
    }
}
