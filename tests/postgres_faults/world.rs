//! Two users, their two conversations, and a store that writes into them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fortifun_fixtures::{Database, Postgres};
use fortifun_realtime::config::{self, Config, PostgresSettings};
use fortifun_realtime::model::{ConversationId, UserId};
use fortifun_realtime::server;
use fortifun_realtime::store::postgres::PostgresStore;
use fortifun_realtime::store::{
    Failure, Lane, Outcome, Page, Reply, Request, Store as _, StoreError, StoreErrorKind,
};
use fortifun_realtime::time::Timestamp;
use postgres::Client;

/// How long a store may take to find its database again.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// What a statement may take in these tests; a wait for a lock takes half of it at most.
pub(crate) const STATEMENT_MS: u64 = 2_000;

/// What became of a message, as far as its sender was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Stored,
    NotStored,
    Nothing,
}

/// See the module.
pub(crate) struct World {
    pub(crate) store: PostgresStore,
    pub(crate) settings: PostgresSettings,
    pub(crate) database: Database,
    pub(crate) alice: UserId,
    pub(crate) conversations: [ConversationId; 2],
    /// What was committed last, and when.
    pub(crate) last: (Vec<Request>, Timestamp),
    told: BTreeMap<String, Told>,
}

impl World {
    /// A migrated database of its own on `server`, in which alice talks with bob and with carol.
    pub(crate) fn on(server: &Postgres) -> Self {
        let database = server.database();
        server::migrate(&config(&database.url()), &mut |_| {}).unwrap();
        let settings = settings(&database.url());
        let mut store = PostgresStore::new(&settings, Lane::Write);
        PostgresStore::check(&settings).unwrap();
        let user = |username: &str| Request::AddUser {
            username: username.to_owned(),
            first_name: String::new(),
            last_name: String::new(),
        };
        let users = store.commit(&["alice", "bob", "carol"].map(user), now()).unwrap();
        let ids: Vec<_> = users
            .into_iter()
            .map(|outcome| match outcome {
                Ok(Reply::UserAdded(card)) => card.id,
                other => panic!("{other:?}"),
            })
            .collect();
        let open = |participant| Request::Open {
            creator: ids[0],
            participant,
            content: "hello".to_owned(),
            client_id: None,
        };
        let opened = store.commit(&[open(ids[1]), open(ids[2])], now()).unwrap();
        let mut opened = opened.into_iter().map(|outcome| match outcome {
            Ok(Reply::Opened(opened)) => opened.conversation.id,
            other => panic!("{other:?}"),
        });
        let conversations = [opened.next().unwrap(), opened.next().unwrap()];
        drop(opened);
        Self {
            store,
            settings,
            database,
            alice: ids[0],
            conversations,
            last: (Vec::new(), Timestamp(0)),
            told: BTreeMap::new(),
        }
    }

    /// A message of alice's in the first conversation; its content is its `client_id`.
    pub(crate) fn message(&self, word: &str) -> Request {
        Request::Append {
            conversation: self.conversations[0],
            sender: self.alice,
            content: word.to_owned(),
            attachment: None,
            client_id: Some(word.to_owned()),
        }
    }

    /// Commits one message in the first conversation.
    pub(crate) fn say(&mut self, word: &str) -> Result<(), StoreError> {
        let message = self.message(word);
        self.commit(&[message]).map(|outcomes| {
            assert!(matches!(outcomes[..], [Ok(Reply::Appended { .. })]), "{outcomes:?}");
        })
    }

    /// Commits, and remembers what was told of each message.
    pub(crate) fn commit(&mut self, batch: &[Request]) -> Result<Vec<Outcome>, StoreError> {
        self.last = (batch.to_vec(), now());
        let result = self.store.commit(batch, self.last.1);
        for (nth, request) in batch.iter().enumerate() {
            let Request::Append { client_id: Some(word), .. } = request else { continue };
            let told = match &result {
                Ok(outcomes) if outcomes[nth].is_ok() => Told::Stored,
                Err(error) if error.kind == StoreErrorKind::Unknown => Told::Nothing,
                _ => Told::NotStored,
            };
            self.told.insert(word.clone(), told);
        }
        result
    }

    /// Commits one message, which has to fail like this.
    pub(crate) fn fails(&mut self, word: &str, kind: StoreErrorKind) -> StoreError {
        let start = Instant::now();
        let error = self.say(word).expect_err(word);
        println!("{word}: {error}, after {:?}", start.elapsed());
        assert_eq!(error.kind, kind, "{word}: {error}");
        assert!(!error.detail.is_empty());
        error
    }

    /// The same store works, now or within moments, and holds what it said it holds.
    pub(crate) fn works(&mut self) {
        let start = Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            match self.say(&format!("works {} {tries}", self.told.len())) {
                Ok(()) => break,
                Err(error) => {
                    assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
                    assert!(start.elapsed() < PATIENCE, "after {:?}: {error}", start.elapsed());
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
        self.store.ping().unwrap();
        self.holds();
    }

    /// Places without holes, and of each message what was told.
    pub(crate) fn holds(&self) {
        let mut stored: BTreeMap<String, usize> = BTreeMap::new();
        let mut client = self.database.connect();
        for conversation in self.conversations {
            let sql = "SELECT seq, coalesce(client_id, ''), last_seq FROM conversations_message m
                JOIN conversations_conversation c ON c.id = m.conversation_id
                WHERE c.id = $1 ORDER BY seq";
            let rows = client.query(sql, &[&conversation.0]).unwrap();
            for (place, row) in (1..).zip(&rows) {
                assert_eq!(row.get::<_, i64>(0), place, "a hole");
                assert_eq!(row.get::<_, i64>(2), rows.len() as i64);
                *stored.entry(row.get(1)).or_default() += 1;
            }
        }
        for (word, told) in &self.told {
            let times = stored.get(word).copied().unwrap_or_default();
            match told {
                Told::Stored => assert_eq!(times, 1, "told stored: {word}"),
                Told::NotStored => assert_eq!(times, 0, "told not stored: {word}"),
                Told::Nothing => assert!(times <= 1, "stored twice: {word}"),
            }
        }
    }

    /// Reads the first conversation on a reader's connection.
    pub(crate) fn read(&self, reader: &mut PostgresStore) -> Result<usize, StoreError> {
        let history = Request::History {
            user: self.alice,
            conversation: self.conversations[0],
            page: Page::Latest,
            limit: 50,
        };
        match reader.read(&history, now()) {
            Ok(Reply::History { messages, .. }) => Ok(messages.len()),
            Err(Failure::Store(error)) => Err(error),
            other => panic!("{other:?}"),
        }
    }

    /// Commits one message while its connection is lost.
    pub(crate) fn fails_lost(&mut self, word: &str) {
        let error = self.say(word).expect_err(word);
        println!("{word}: {error}");
        let lost = [StoreErrorKind::Unavailable, StoreErrorKind::Unknown];
        assert!(lost.contains(&error.kind), "{word}: {error}");
    }

    /// How often the message is stored.
    pub(crate) fn times_stored(&self, word: &str) -> i64 {
        let sql = "SELECT count(*) FROM conversations_message WHERE client_id = $1";
        self.database.connect().query_one(sql, &[&word]).unwrap().get(0)
    }

    /// Runs SQL of somebody else's.
    pub(crate) fn run(&self, sql: &str) {
        self.database.connect().batch_execute(sql).unwrap();
    }

    /// Has every insert of a message do `body`, in PL/pgSQL, before it is done.
    pub(crate) fn before_insert(&self, body: &str) {
        self.run(&format!(
            "CREATE OR REPLACE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN {body} RETURN NEW; END $$;
             CREATE OR REPLACE TRIGGER fault BEFORE INSERT ON conversations_message
             FOR EACH ROW EXECUTE FUNCTION fault()"
        ));
    }

    /// Undoes [`World::before_insert`].
    pub(crate) fn mend(&self) {
        self.run("DROP TRIGGER fault ON conversations_message");
    }

    /// A session of somebody else's, in a transaction that holds the row of a conversation.
    pub(crate) fn holding(&self, conversation: ConversationId) -> Client {
        let mut other = self.database.connect();
        let sql = format!(
            "SET deadlock_timeout = '30s'; BEGIN;
             SELECT FROM conversations_conversation WHERE id = {} FOR UPDATE",
            conversation.0
        );
        other.batch_execute(&sql).unwrap();
        other
    }

    /// Somebody who watches the store from aside.
    pub(crate) fn bystander(&self) -> Bystander {
        Bystander(self.database.connect())
    }
}

/// See [`World::bystander`].
pub(crate) struct Bystander(Client);

impl Bystander {
    /// Ends the store's own backend as soon as it waits for `what`: an event, or a kind of event, of `pg_stat_activity`.
    pub(crate) fn terminate_when_waiting_for(&mut self, what: &str) {
        let pid = self.wait_until_somebody_waits_for(what);
        self.0.execute("SELECT pg_terminate_backend($1)", &[&pid]).unwrap();
    }

    /// Waits until a backend of the store's waits for `what`; its process id.
    pub(crate) fn wait_until_somebody_waits_for(&mut self, what: &str) -> i32 {
        let sql = "SELECT pid FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE 'fortifun-write%'
              AND $1 IN (wait_event, wait_event_type)";
        let start = Instant::now();
        loop {
            if let Some(row) = self.0.query(sql, &[&what]).unwrap().first() {
                return row.get(0);
            }
            assert!(start.elapsed() < PATIENCE, "nobody waits for {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The settings of a store on the database that `url` names.
pub(crate) fn settings(url: &str) -> PostgresSettings {
    match config(url).store.database {
        config::Database::Postgres(settings) => {
            PostgresSettings { statement_timeout_ms: STATEMENT_MS, ..*settings }
        }
        other => panic!("{other:?}"),
    }
}

/// Checked settings whose database is `url`.
pub(crate) fn config(url: &str) -> Config {
    let secret = "a-secret-of-32-bytes-and-some-more";
    Config::from_pairs(&[("DATABASE_URL", url), ("SECRET_KEY", secret)]).unwrap()
}

/// The clock on the wall.
pub(crate) fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64)
}
