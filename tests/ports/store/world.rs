//! A store in a world of its own, and the words that the rules speak in.

use std::any::Any;
use std::cell::RefCell;
use std::path::PathBuf;

use fortifun_fixtures::{Database, Postgres};
use fortifun_realtime::config::{PostgresSettings, Secret, TlsMode};
use fortifun_realtime::model::{ConversationId, Message, MessageId, Refused, Seq, UserId};
use fortifun_realtime::store::memory::MemoryStore;
use fortifun_realtime::store::postgres::PostgresStore;
use fortifun_realtime::store::sqlite::SqliteStore;
use fortifun_realtime::store::{
    Failure, Lane, Made, Open, Opened, Outcome, Reply, Request, Store, StoreErrorKind, schema,
};
use fortifun_realtime::time::Timestamp;
use postgres::Client;
use rusqlite::{Connection, Row};

/// The first instant of every world.
pub(crate) const BEGINNING: Timestamp = Timestamp(1_704_067_200_000_000);
/// The first message of every match.
pub(crate) const WELCOME: &str = "Vous avez matché !";

/// An empty store with a writer and a reader on it, and a clock that ticks with each call.
pub(crate) struct World {
    /// Opens further connections.
    pub(crate) open: Open,
    /// What no request asks: all rows, and what operators do.
    pub(crate) backdoor: Box<dyn Backdoor>,
    pub(crate) now: Timestamp,
    writer: Box<dyn Store>,
    reader: Box<dyn Store>,
    /// Lives as long as the store.
    _ground: Box<dyn Any>,
}

/// The way into a store beside its port.
pub(crate) trait Backdoor {
    /// All rows, by their keys.
    fn tables(&self) -> Tables;
    /// Makes a user inactive.
    fn deactivate(&self, user: UserId);
    /// Takes every user offline.
    fn reset_presence(&self);
    /// Gives the ids out again that a batch took and did not keep, where the store counts them as gone.
    fn rewind(&self) {}
}

/// What is stored.
#[derive(PartialEq, Debug)]
pub(crate) struct Tables {
    /// By conversation and place.
    pub(crate) messages: Vec<Line>,
    pub(crate) conversations: Vec<ConversationId>,
    pub(crate) reads: Vec<(MessageId, UserId)>,
    /// Both users, the smaller id first, and whether it is active.
    pub(crate) matches: Vec<(UserId, UserId, bool)>,
    pub(crate) likes: Vec<(UserId, UserId)>,
    pub(crate) blocks: Vec<(UserId, UserId)>,
}

/// A stored message, bare.
#[derive(PartialEq, Debug)]
pub(crate) struct Line {
    pub(crate) conversation: ConversationId,
    pub(crate) seq: Seq,
    pub(crate) id: MessageId,
    pub(crate) sender: UserId,
    pub(crate) content: String,
    pub(crate) is_read: bool,
    pub(crate) client_id: Option<String>,
}

/// A memory store.
pub(crate) fn memory() -> World {
    let store = MemoryStore::new();
    World::new(store.opener(), Box::new(store), Box::new(()))
}

/// An SQLite store in a file that goes with its world.
pub(crate) fn sqlite() -> World {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db.sqlite3");
    schema::sqlite::migrate(&path, BEGINNING, &mut |_| ()).unwrap();
    let file = path.clone();
    let open: Open = std::sync::Arc::new(move |lane| Ok(Box::new(SqliteStore::open(&file, lane)?)));
    World::new(open, Box::new(SqliteFile(path)), Box::new(folder))
}

/// A migrated Postgres database for worlds that come one after the other: to make one takes longer than most rules do.
pub(crate) struct PostgresGround(Database);

impl PostgresGround {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let database = Postgres::shared().database();
        schema::postgres::migrate(&mut database.connect(), BEGINNING, &mut |_| ()).unwrap();
        Self(database)
    }

    /// A Postgres store that is as empty as the first. The world before must be gone.
    pub(crate) fn world(&self) -> World {
        let mut admin = self.0.connect();
        admin
            .batch_execute(
                "TRUNCATE accounts_user, accounts_user_blocked_users, accounts_user_liked_users,
                     conversations_conversation, conversations_conversation_participants,
                     conversations_message, conversations_messageread, matching_match,
                     fortifun_node, fortifun_presence, fortifun_revocation
                 RESTART IDENTITY CASCADE",
            )
            .unwrap();
        let settings = PostgresSettings {
            url: Secret::new(&self.0.url()),
            tls: TlsMode::Disable,
            ca_file: None,
            connect_timeout_ms: 10_000,
            statement_timeout_ms: 10_000,
        };
        let open: Open =
            std::sync::Arc::new(move |lane| Ok(Box::new(PostgresStore::new(&settings, lane))));
        World::new(open, Box::new(PostgresDatabase(RefCell::new(admin))), Box::new(()))
    }
}

impl World {
    fn new(open: Open, backdoor: Box<dyn Backdoor>, ground: Box<dyn Any>) -> Self {
        let writer = open(Lane::Write).unwrap();
        let reader = open(Lane::Read).unwrap();
        Self { open, backdoor, now: BEGINNING, writer, reader, _ground: ground }
    }

    /// Commits a batch, a second after the last call.
    pub(crate) fn commit(&mut self, batch: &[Request]) -> Result<Vec<Outcome>, StoreErrorKind> {
        self.now = self.now.plus_ms(1_000);
        self.writer.commit(batch, self.now).map_err(|error| {
            self.backdoor.rewind();
            error.kind
        })
    }

    /// What was stored of a batch that was committed at `at`, if it was; and that asking changed no row.
    pub(crate) fn settle(&mut self, batch: &[Request], at: Timestamp) -> Vec<Option<Reply>> {
        let before = self.backdoor.tables();
        let found = self.writer.settle(batch, at).unwrap();
        assert_eq!(self.backdoor.tables(), before, "{batch:?} was changed");
        found
    }

    /// Carries out one write or read, each on its lane.
    pub(crate) fn ask(&mut self, request: &Request) -> Outcome {
        match request.lane() {
            Lane::Write => self.commit(std::slice::from_ref(request)).unwrap().remove(0),
            Lane::Read => self.reader.read(request, self.now),
        }
    }

    /// The reply to what must succeed.
    pub(crate) fn reply(&mut self, request: &Request) -> Reply {
        self.ask(request).unwrap_or_else(|failure| panic!("{request:?}: {failure:?}"))
    }

    /// Why it is refused, and that it changed no row.
    pub(crate) fn refusal(&mut self, request: &Request) -> Refused {
        let before = self.backdoor.tables();
        match self.ask(request) {
            Err(Failure::Refused(why)) => {
                assert_eq!(self.backdoor.tables(), before, "{request:?} changed something");
                why
            }
            outcome => panic!("{request:?} is not refused: {outcome:?}"),
        }
    }

    /// Why a reader fails.
    pub(crate) fn misread(&mut self, request: &Request) -> StoreErrorKind {
        match self.reader.read(request, self.now) {
            Err(Failure::Store(error)) => error.kind,
            outcome => panic!("{request:?} does not fail: {outcome:?}"),
        }
    }

    pub(crate) fn ping(&mut self) {
        self.writer.ping().unwrap();
        self.reader.ping().unwrap();
    }

    /// A new user.
    pub(crate) fn user(&mut self, username: &str) -> UserId {
        match self.reply(&add_user(username)) {
            Reply::UserAdded(card) => card.id,
            reply => panic!("{reply:?}"),
        }
    }

    /// Two new users.
    pub(crate) fn two(&mut self) -> (UserId, UserId) {
        (self.user("ada"), self.user("bea"))
    }

    /// Two new users and their conversation with one message of the first, "first".
    pub(crate) fn talk(&mut self) -> (UserId, UserId, ConversationId) {
        let (a, b) = self.two();
        let opened = self.opened(a, b);
        (a, b, opened.conversation.id)
    }

    /// `creator` opens a conversation and says "first".
    pub(crate) fn opened(&mut self, creator: UserId, participant: UserId) -> Opened {
        match self.reply(&open(creator, participant, None)) {
            Reply::Opened(opened) => *opened,
            reply => panic!("{reply:?}"),
        }
    }

    /// `sender` says `content`.
    pub(crate) fn say(
        &mut self,
        conversation: ConversationId,
        sender: UserId,
        content: &str,
    ) -> Message {
        match self.reply(&append(conversation, sender, content)) {
            Reply::Appended { message, duplicate: false, .. } => message,
            reply => panic!("{reply:?}"),
        }
    }

    /// How many messages `reader` read anew.
    pub(crate) fn newly(
        &mut self,
        conversation: ConversationId,
        reader: UserId,
        message: MessageId,
    ) -> u64 {
        match self.reply(&Request::MarkRead { conversation, reader, message }) {
            Reply::MarkedRead { newly, .. } => newly,
            reply => panic!("{reply:?}"),
        }
    }

    /// The match that a like made.
    pub(crate) fn like(&mut self, liker: UserId, liked: UserId) -> Option<Made> {
        match self.reply(&like(liker, liked)) {
            Reply::Liked { made, .. } => made.map(|made| *made),
            reply => panic!("{reply:?}"),
        }
    }

    /// The messages of a page, as their places.
    pub(crate) fn seqs(&mut self, request: &Request) -> Vec<i64> {
        match self.reply(request) {
            Reply::History { messages, .. } => messages.iter().map(|m| m.seq.0).collect(),
            reply => panic!("{reply:?}"),
        }
    }
}

pub(crate) fn add_user(username: &str) -> Request {
    Request::AddUser {
        username: username.to_owned(),
        first_name: "First".to_owned(),
        last_name: String::new(),
    }
}

pub(crate) fn append(conversation: ConversationId, sender: UserId, content: &str) -> Request {
    let content = content.to_owned();
    Request::Append { conversation, sender, content, attachment: None, client_id: None }
}

pub(crate) fn append_as(
    conversation: ConversationId,
    sender: UserId,
    content: &str,
    client_id: &str,
) -> Request {
    Request::Append {
        conversation,
        sender,
        content: content.to_owned(),
        attachment: None,
        client_id: Some(client_id.to_owned()),
    }
}

pub(crate) fn open(creator: UserId, participant: UserId, client_id: Option<&str>) -> Request {
    Request::Open {
        creator,
        participant,
        content: "first".to_owned(),
        client_id: client_id.map(str::to_owned),
    }
}

pub(crate) fn like(liker: UserId, liked: UserId) -> Request {
    Request::Like { liker, liked, welcome: WELCOME.into() }
}

impl Backdoor for MemoryStore {
    fn tables(&self) -> Tables {
        let conversations = self.conversations();
        let messages = conversations.iter().flat_map(|&id| self.messages(id)).map(|message| Line {
            conversation: message.conversation,
            seq: message.seq,
            id: message.id,
            sender: message.sender.id,
            content: message.content,
            is_read: message.is_read,
            client_id: message.client_id,
        });
        Tables {
            messages: messages.collect(),
            reads: self.reads(),
            matches: self.matches(),
            likes: self.likes(),
            blocks: self.blocks(),
            conversations,
        }
    }

    fn deactivate(&self, user: UserId) {
        Self::deactivate(self, user);
    }

    fn reset_presence(&self) {
        Self::reset_presence(self);
    }
}

/// The file of an SQLite store.
struct SqliteFile(PathBuf);

impl Backdoor for SqliteFile {
    fn tables(&self) -> Tables {
        fn rows<T>(
            file: &Connection,
            sql: &str,
            map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
        ) -> Vec<T> {
            let mut statement = file.prepare(sql).unwrap();
            statement.query_map([], map).unwrap().collect::<Result<_, _>>().unwrap()
        }
        let users = |row: &Row<'_>| Ok((UserId(row.get(0)?), UserId(row.get(1)?)));
        let file = Connection::open(&self.0).unwrap();
        Tables {
            messages: rows(
                &file,
                "SELECT conversation_id, seq, id, sender_id, content, is_read, client_id
                 FROM conversations_message ORDER BY conversation_id, seq",
                |row| {
                    Ok(Line {
                        conversation: ConversationId(row.get(0)?),
                        seq: Seq(row.get(1)?),
                        id: MessageId(row.get(2)?),
                        sender: UserId(row.get(3)?),
                        content: row.get(4)?,
                        is_read: row.get(5)?,
                        client_id: row.get(6)?,
                    })
                },
            ),
            conversations: rows(
                &file,
                "SELECT id FROM conversations_conversation ORDER BY id",
                |row| Ok(ConversationId(row.get(0)?)),
            ),
            reads: rows(
                &file,
                "SELECT message_id, user_id FROM conversations_messageread ORDER BY 1, 2",
                |row| Ok((MessageId(row.get(0)?), UserId(row.get(1)?))),
            ),
            matches: rows(
                &file,
                "SELECT user1_id, user2_id, is_active FROM matching_match ORDER BY 1, 2",
                |row| Ok((UserId(row.get(0)?), UserId(row.get(1)?), row.get(2)?)),
            ),
            likes: rows(
                &file,
                "SELECT from_user_id, to_user_id FROM accounts_user_liked_users ORDER BY 1, 2",
                users,
            ),
            blocks: rows(
                &file,
                "SELECT from_user_id, to_user_id FROM accounts_user_blocked_users ORDER BY 1, 2",
                users,
            ),
        }
    }

    fn deactivate(&self, user: UserId) {
        let file = Connection::open(&self.0).unwrap();
        file.execute("UPDATE accounts_user SET is_active = 0 WHERE id = ?1", [user.0]).unwrap();
    }

    fn reset_presence(&self) {
        SqliteStore::open(&self.0, Lane::Write).unwrap().reset_presence().unwrap();
    }
}

/// A superuser in the database of a Postgres store.
struct PostgresDatabase(RefCell<Client>);

impl PostgresDatabase {
    fn rows<T>(&self, sql: &str, map: impl FnMut(postgres::Row) -> T) -> Vec<T> {
        self.0.borrow_mut().query(sql, &[]).unwrap().into_iter().map(map).collect()
    }
}

impl Backdoor for PostgresDatabase {
    fn tables(&self) -> Tables {
        let users = |row: postgres::Row| (UserId(row.get(0)), UserId(row.get(1)));
        Tables {
            messages: self.rows(
                "SELECT conversation_id, seq, id, sender_id, content, is_read, client_id
                 FROM conversations_message ORDER BY conversation_id, seq",
                |row| Line {
                    conversation: ConversationId(row.get(0)),
                    seq: Seq(row.get(1)),
                    id: MessageId(row.get(2)),
                    sender: UserId(row.get(3)),
                    content: row.get(4),
                    is_read: row.get(5),
                    client_id: row.get(6),
                },
            ),
            conversations: self
                .rows("SELECT id FROM conversations_conversation ORDER BY id", |row| {
                    ConversationId(row.get(0))
                }),
            reads: self.rows(
                "SELECT message_id, user_id FROM conversations_messageread ORDER BY 1, 2",
                |row| (MessageId(row.get(0)), UserId(row.get(1))),
            ),
            matches: self.rows(
                "SELECT user1_id, user2_id, is_active FROM matching_match ORDER BY 1, 2",
                |row| (UserId(row.get(0)), UserId(row.get(1)), row.get(2)),
            ),
            likes: self.rows(
                "SELECT from_user_id, to_user_id FROM accounts_user_liked_users ORDER BY 1, 2",
                users,
            ),
            blocks: self.rows(
                "SELECT from_user_id, to_user_id FROM accounts_user_blocked_users ORDER BY 1, 2",
                users,
            ),
        }
    }

    fn deactivate(&self, user: UserId) {
        let sql = "UPDATE accounts_user SET is_active = false WHERE id = $1";
        self.0.borrow_mut().execute(sql, &[&user.0]).unwrap();
    }

    fn reset_presence(&self) {
        // The store's own way leaves users alone while any connection of a node lives, as one does here.
        let sql = "UPDATE accounts_user SET is_online = false WHERE is_online;
                   TRUNCATE fortifun_node, fortifun_presence";
        self.0.borrow_mut().batch_execute(sql).unwrap();
    }

    fn rewind(&self) {
        for table in [
            "accounts_user",
            "conversations_conversation",
            "conversations_message",
            "matching_match",
            "fortifun_revocation",
        ] {
            let sql = format!(
                "SELECT setval(pg_get_serial_sequence('{table}', 'id'),
                               coalesce(max(id), 0) + 1, false) FROM {table}"
            );
            self.0.borrow_mut().query(&sql, &[]).unwrap();
        }
    }
}
