//! The store against real servers: what one statement does while others do the same.

mod pairs;
mod plans;
mod presence;
mod scale;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;

use fortifun_fixtures::{Database, Durability, Postgres};
use postgres::Client;

use super::*;
use crate::config::{Secret, TlsMode};
use crate::model::{ConversationId, MessageId, NodeId, UserId};

pub(super) const NOW: Timestamp = Timestamp(1_704_067_200_000_000);

pub(super) fn settings(url: &str) -> PostgresSettings {
    PostgresSettings {
        url: Secret::new(url),
        tls: TlsMode::Disable,
        ca_file: None,
        connect_timeout_ms: 2_000,
        statement_timeout_ms: 10_000,
    }
}

/// A migrated database with `pairs` conversations: of users 1 and 2, 3 and 4, and so on.
fn talks(server: &Postgres, pairs: i64) -> Database {
    let database = server.database();
    let mut admin = database.connect();
    schema::postgres::migrate(&mut admin, NOW, &mut |_| ()).unwrap();
    admin
        .batch_execute(&format!(
            "INSERT INTO accounts_user (password, is_superuser, username, first_name, last_name,
                 email, is_staff, is_active, date_joined)
             SELECT '!', false, 'user' || n, '', '', '', false, true, now()
             FROM generate_series(1, 2 * {pairs}) n;
             INSERT INTO conversations_conversation (created_at, updated_at, is_active)
             SELECT now(), now(), true FROM generate_series(1, {pairs});
             INSERT INTO conversations_conversation_participants (conversation_id, user_id)
             SELECT (n + 1) / 2, n FROM generate_series(1, 2 * {pairs}) n"
        ))
        .unwrap();
    database
}

fn writer(database: &Database) -> PostgresStore {
    PostgresStore::new(&settings(&database.url()), Lane::Write)
}

fn say(conversation: i64, sender: i64, client_id: Option<&str>) -> Request {
    Request::Append {
        conversation: ConversationId(conversation),
        sender: UserId(sender),
        content: "hello".to_owned(),
        attachment: None,
        client_id: client_id.map(str::to_owned),
    }
}

fn mark(conversation: i64, reader: i64, message: i64) -> Request {
    let (conversation, reader) = (ConversationId(conversation), UserId(reader));
    Request::MarkRead { conversation, reader, message: MessageId(message) }
}

/// Commits as the worker does: again while others are in the way.
fn commit(store: &mut PostgresStore, batch: &[Request]) -> Vec<Outcome> {
    for _ in 0..1_000 {
        match store.commit(batch, NOW) {
            Ok(outcomes) => return outcomes,
            Err(error) => assert_eq!(error.kind, StoreErrorKind::Contended, "{error}"),
        }
    }
    panic!("others are always in the way");
}

/// That places have no holes, counts are exact and hours are those of their conversations.
fn check(client: &mut Client) {
    let holes = "SELECT c.id FROM conversations_conversation c
        WHERE c.last_seq <> (SELECT count(*) FROM conversations_message m WHERE m.conversation_id = c.id)
           OR c.last_seq <> (SELECT coalesce(max(m.seq), 0) FROM conversations_message m
                             WHERE m.conversation_id = c.id)";
    assert_eq!(client.query(holes, &[]).unwrap().len(), 0, "places have holes");
    let miscounted = "SELECT p.unread, p.conversation_id, p.user_id
        FROM conversations_conversation_participants p
        WHERE p.unread <> (SELECT count(*) FROM conversations_message m
                           WHERE m.conversation_id = p.conversation_id AND m.sender_id <> p.user_id
                             AND NOT EXISTS (SELECT FROM conversations_messageread r
                                             WHERE r.message_id = m.id AND r.user_id = p.user_id))";
    assert_eq!(client.query(miscounted, &[]).unwrap().len(), 0, "unread is not exact");
    let mistimed = "SELECT p.id FROM conversations_conversation_participants p
        JOIN conversations_conversation c ON c.id = p.conversation_id
        WHERE p.active_hour <> floor(extract(epoch FROM c.updated_at) / 3600)";
    assert_eq!(client.query(mistimed, &[]).unwrap().len(), 0, "an hour is another");
}

#[test]
fn nodes_in_the_same_conversations_neither_deadlock_nor_leave_holes_nor_store_twice() {
    const TALKS: i64 = 10;
    const ROUNDS: i64 = 60;
    let database = talks(Postgres::shared(), TALKS);
    let start = Barrier::new(4);
    let deadlocks = std::sync::atomic::AtomicU32::new(0);
    let tries = std::sync::atomic::AtomicU32::new(0);
    let work = |worker: i64| {
        let mut store = writer(&database);
        let mut outcomes = Vec::new();
        start.wait();
        for round in 0..ROUNDS {
            // An hour passes with every round.
            let now = NOW.plus_ms(round * 3_600_000);
            // Each worker in an order of its own, with words that the others say as well, and receipts among them.
            let mut batch = Vec::new();
            for n in 0..30 {
                let talk = 1 + (n * (2 * worker + 1) + worker) % TALKS;
                let sender = 2 * talk - n % 2;
                batch.push(say(talk, sender, Some(&format!("{round} {}", n % 7))));
                if n % 3 == 0 {
                    batch.push(say(talk, sender, None));
                }
                if worker % 2 == 0 && n % 5 == 0 {
                    batch.push(mark(talk, 2 * talk, 1 + round * 20 + n));
                }
            }
            loop {
                match store.commit(&batch, now) {
                    Ok(found) => break outcomes.extend(found),
                    Err(error) => {
                        assert_eq!(error.kind, StoreErrorKind::Contended, "{error}");
                        tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if error.detail.starts_with("40P01") {
                            deadlocks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                }
            }
        }
        outcomes
    };
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let work = &work;
                scope.spawn(move || work(worker))
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(deadlocks.into_inner(), 0);
    println!("{} tries more", tries.into_inner());
    let (mut places, mut told) = (BTreeSet::new(), BTreeSet::new());
    let mut named = BTreeMap::new();
    for outcome in outcomes {
        if let Ok(Reply::Appended { message, duplicate, .. }) = outcome {
            let place = (message.conversation, message.seq, message.id);
            if !duplicate {
                assert!(places.insert(place), "a message was told twice as new");
            }
            told.insert(place);
            if let Some(client_id) = message.client_id {
                let key = (message.conversation, message.sender.id, client_id);
                assert_eq!(*named.entry(key).or_insert(message.id), message.id);
            }
        }
    }
    assert_eq!(places, told);
    let mut client = database.connect();
    check(&mut client);
    let stored: i64 =
        client.query_one("SELECT count(*) FROM conversations_message", &[]).unwrap().get(0);
    assert_eq!(stored, places.len() as i64);
}

#[test]
fn messages_of_a_batch_are_one_statement_and_a_mixed_batch_is_one_transaction() {
    let database = talks(Postgres::shared(), 2);
    let mut store = writer(&database);
    let outcomes = commit(
        &mut store,
        &[
            say(1, 1, Some("a")),
            say(1, 3, None),
            say(9, 1, None),
            say(1, 2, None),
            say(1, 1, Some("a")),
        ],
    );
    let refused = |why| Err(Failure::Refused(why));
    assert_eq!(outcomes[1], refused(crate::model::Refused::NotParticipant));
    assert_eq!(outcomes[2], refused(crate::model::Refused::ConversationNotFound));
    let seqs: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Ok(Reply::Appended { message, duplicate, .. }) => Some((message.seq.0, *duplicate)),
            _ => None,
        })
        .collect();
    assert_eq!(seqs, [(1, false), (2, false), (1, true)]);
    let outcomes = commit(
        &mut store,
        &[
            Request::SetPresence { user: UserId(1), is_online: true, node: NodeId(1) },
            mark(1, 2, 1),
            mark(1, 1, 3),
            mark(1, 1, 2),
            say(1, 1, Some("a")),
            say(1, 1, None),
            Request::SetPresence { user: UserId(1), is_online: false, node: NodeId(1) },
        ],
    );
    assert!(
        matches!(&outcomes[0], Ok(Reply::Presence { is_online: true, conversations, .. })
            if *conversations == [ConversationId(1)]),
        "{outcomes:?}"
    );
    assert!(matches!(outcomes[1], Ok(Reply::MarkedRead { newly: 1, .. })), "{outcomes:?}");
    assert_eq!(outcomes[2], refused(crate::model::Refused::MessageNotFound));
    assert!(matches!(outcomes[3], Ok(Reply::MarkedRead { newly: 1, .. })), "{outcomes:?}");
    assert!(
        matches!(&outcomes[4], Ok(Reply::Appended { duplicate: true, message, .. }) if message.is_read),
        "{outcomes:?}"
    );
    assert!(matches!(&outcomes[6], Ok(Reply::Presence { is_online: false, .. })), "{outcomes:?}");
    let mut client = database.connect();
    check(&mut client);
    let online: bool =
        client.query_one("SELECT is_online FROM accounts_user WHERE id = 1", &[]).unwrap().get(0);
    assert!(!online);
}

#[test]
fn a_poison_undoes_its_batch_and_the_session_goes_on() {
    let database = talks(Postgres::shared(), 1);
    let mut store = writer(&database);
    for content in ["nul\0", "fine"] {
        let poison = Request::Append {
            conversation: ConversationId(1),
            sender: UserId(1),
            content: content.to_owned(),
            attachment: Some("x".repeat(101)),
            client_id: None,
        };
        for batch in
            [vec![say(1, 1, None), poison.clone()], vec![mark(1, 1, 1), say(1, 1, None), poison]]
        {
            let error = store.commit(&batch, NOW).unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Poisoned, "{error}");
            assert!(!error.detail.contains("xxx"), "{error}");
        }
    }
    assert!(commit(&mut store, &[say(1, 1, None)])[0].is_ok());
    check(&mut database.connect());
}

#[test]
fn a_lost_connection_is_made_again_and_an_unknown_end_is_settled() {
    let mut server = Postgres::start(Durability::Full);
    let database = talks(&server, 1);
    let mut store = writer(&database);
    let mut reader = PostgresStore::new(&settings(&database.url()), Lane::Read);
    reader.ping().unwrap();
    let batch = [say(1, 1, Some("a")), say(1, 1, None), say(1, 1, None), say(7, 1, None)];
    let told = store.commit(&batch, NOW).unwrap();
    // What is not prepared yet is known not to have been sent.
    store.commit(&[say(1, 2, None)], NOW.plus_ms(1)).unwrap();
    server.kill();
    let later = NOW.plus_ms(1_000);
    let error = store.commit(&[say(1, 1, None)], later).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unknown, "{error}");
    let mixed = [say(1, 1, None), mark(1, 1, 1)];
    let error = store.commit(&mixed, later).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
    assert_eq!(reader.ping().unwrap_err().kind, StoreErrorKind::Unavailable);
    server.resume();
    let settled = store.settle(&batch, NOW).unwrap();
    for (told, settled) in told.iter().zip(settled) {
        assert_eq!(told.clone().ok(), settled);
    }
    assert_eq!(store.settle(&[say(1, 1, None)], later).unwrap(), [None]);
    assert!(store.commit(&[say(1, 1, None)], later.plus_ms(10_000)).unwrap()[0].is_ok());
    reader.ping().unwrap();
}

#[test]
fn users_are_taken_offline_only_where_no_node_is_alive() {
    let database = talks(Postgres::shared(), 1);
    let settings = settings(&database.url());
    let mut node = writer(&database);
    commit(
        &mut node,
        &[Request::SetPresence { user: UserId(1), is_online: true, node: NodeId(1) }],
    );
    let online = || -> i64 {
        let counted = "SELECT count(*) FROM accounts_user WHERE is_online";
        database.connect().query_one(counted, &[]).unwrap().get(0)
    };
    assert_eq!(PostgresStore::reset_presence(&settings), Ok(false));
    assert_eq!(online(), 1);
    drop(node);
    // The server hears of the end of a connection a moment later.
    let gone = (0..1_000).any(|_| PostgresStore::reset_presence(&settings).unwrap());
    assert!(gone);
    assert_eq!(online(), 0);
}
