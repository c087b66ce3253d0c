//! A database that Django made: adopted in place by `fortifun migrate`, served from, and written by Django all the while.

mod migration;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fortifun_fixtures::dump::{catalog, rows};
use fortifun_fixtures::{Database, Postgres, django};
use postgres::Client;
use serde_json::{Value, json};

use crate::support::server::UNLIMITED;
use crate::support::{Server, User, Ws, token_of};
use migration::{Migration, done, fortifun};

/// All of this version's.
const MIGRATIONS: usize = 10;

/// Rows in every table, some of them awkward: equal times, reads with gaps, a match that ended, a conversation that was left,
/// a user of the older kind.
const PEOPLE: &str = "
    INSERT INTO accounts_user (id, password, is_superuser, username, first_name, last_name, email,
        is_staff, is_active, date_joined, profile_picture, bio, is_online, last_activity, gender)
    OVERRIDING SYSTEM VALUE VALUES
        (11, '!', false, 'ann', 'Ann', 'A', 'a@x.test', false, true, now(), 'pictures/ann.jpg',
         'hello', true, now(), 'f'),
        (12, '!', false, 'ben', 'Ben', 'B', '', false, true, now(), '', NULL, NULL, NULL, NULL),
        (13, '!', false, 'cat', 'Cat', 'C', '', false, true, now(), NULL, NULL, false, now(), ''),
        (14, '!', true, 'dan', 'Dan', 'D', '', true, true, now(), NULL, '', false, NULL, 'm'),
        (15, '!', false, 'eve', 'Eve', 'E', '', false, false, now(), NULL, NULL, false, NULL, NULL);
    INSERT INTO accounts_user_liked_users (from_user_id, to_user_id)
        VALUES (11, 12), (12, 11), (11, 13), (13, 11), (14, 11);
    INSERT INTO accounts_user_blocked_users (from_user_id, to_user_id) VALUES (14, 11);
    INSERT INTO matching_match (id, created_at, is_active, user1_id, user2_id)
        VALUES (3, now() - interval '1 day', true, 11, 12), (5, now(), true, 11, 13),
               (6, now(), false, 12, 13);
    INSERT INTO matching_userinterest (id, name) VALUES (1, 'chess');
    INSERT INTO matching_userinterestrelation (interest_id, user_id) VALUES (1, 11);
    INSERT INTO device_tokens (device_token, device_type, app_version, is_active, created_at,
        updated_at, user_id) VALUES ('token', 'ios', '1.0', true, now(), now(), 11);
    INSERT INTO conversations_conversation (id, created_at, updated_at, is_active) VALUES
        (21, '2024-01-01', '2024-01-03', true), (22, '2024-01-01', '2024-01-02', true),
        (23, '2024-01-01', '2024-01-01', false), (24, '2024-01-01', '2024-01-01', true);
    INSERT INTO conversations_conversation_participants (conversation_id, user_id) VALUES
        (21, 11), (21, 12), (22, 11), (22, 13), (23, 12), (23, 13), (24, 12), (24, 13);
    INSERT INTO conversations_message
        (id, content, created_at, is_read, attachment, conversation_id, sender_id) VALUES
        (101, 'first', '2024-01-01 10:00', true, NULL, 21, 11),
        (102, 'third', '2024-01-01 10:02', true, '', 21, 12),
        (103, 'second', '2024-01-01 10:01', true, 'attachments/a.png', 21, 12),
        (104, 'fourth', '2024-01-01 10:02', false, NULL, 21, 11),
        (105, 'fifth ☺', '2024-01-01 10:02', false, NULL, 21, 12),
        (106, 'sixth', '2024-01-01 10:03', true, NULL, 21, 12),
        (107, 'alone', '2024-01-02 10:00', false, NULL, 22, 13),
        (108, 'before', '2024-01-01 10:00', false, NULL, 23, 12);
    INSERT INTO conversations_messageread (read_at, message_id, user_id) VALUES
        (now(), 101, 12), (now(), 103, 11), (now(), 102, 11), (now(), 106, 11);
    SELECT setval(pg_get_serial_sequence(name, 'id'), 1000) FROM unnest(ARRAY['accounts_user',
        'matching_match', 'matching_userinterest', 'conversations_conversation',
        'conversations_message']) AS name";

/// A database as Django left it, with [`PEOPLE`] in it.
fn djangos() -> (Database, Client) {
    let database = Postgres::shared().database();
    let mut client = database.connect();
    client.batch_execute(django::SCHEMA).unwrap();
    client.batch_execute(PEOPLE).unwrap();
    (database, client)
}

fn user(id: i64, name: &str) -> User {
    User { id, name: name.to_owned(), token: token_of(id) }
}

/// The rows without the columns that were added, and without what was not there before.
fn djangos_own(client: &mut Client) -> Vec<String> {
    let added = ["seq", "client_id", "last_seq", "last_read_seq", "unread", "active_hour"];
    let mut kept = Vec::new();
    for row in rows(client).iter().filter(|row| !row.starts_with("fortifun_migration ")) {
        let (table, row) = row.split_once(' ').unwrap();
        let mut row: BTreeMap<String, Value> = serde_json::from_str(row).unwrap();
        row.retain(|column, _| !added.contains(&column.as_str()));
        kept.push(format!("{table} {row:?}"));
    }
    kept.sort();
    kept
}

#[test]
fn a_database_of_djangos_is_adopted_and_all_of_it_reads_back() {
    let (database, mut client) = djangos();
    let (tables, before) = (catalog(&mut client), rows(&mut client));
    let own = djangos_own(&mut client);

    let plan = done(&fortifun(&database.url(), &["migrate", "--plan"]));
    assert_eq!(plan.lines().count(), MIGRATIONS, "{plan}");
    assert!(
        plan.contains("to apply 1 django") && plan.contains("they are there and fit"),
        "{plan}"
    );
    assert!(plan.contains("8 messages in 4 conversations"), "{plan}");
    assert!(plan.contains("conversations_message_seq"), "{plan}");
    assert_eq!((catalog(&mut client), rows(&mut client)), (tables, before), "a plan is a plan");

    let applied = done(&fortifun(&database.url(), &["migrate"]));
    assert_eq!(applied.lines().count(), MIGRATIONS, "{applied}");
    assert_eq!(djangos_own(&mut client), own, "nothing of Django's was lost or changed");
    assert_eq!(django::wrong(&mut client), [""; 0]);

    let said = django::say(&mut client, 21, 12, "seventh");
    let seq = client.query_one("SELECT seq FROM conversations_message WHERE id = $1", &[&said]);
    assert_eq!(seq.unwrap().get::<_, i64>(0), 7);
    django::read(&mut client, 11, &[105]);
    assert_eq!(django::wrong(&mut client), [""; 0]);

    let now = (catalog(&mut client), rows(&mut client));
    assert_eq!(done(&fortifun(&database.url(), &["migrate"])).trim(), "nothing to do");
    assert_eq!(
        (catalog(&mut client), rows(&mut client)),
        now,
        "a second migration changes nothing"
    );

    let server = Server::on(&database.url(), UNLIMITED);
    let [ann, ben, cat, dan] = [user(11, "ann"), user(12, "ben"), user(13, "cat"), user(14, "dan")];
    let listed = |user: &User| -> Vec<(i64, i64, i64, Value)> {
        let list = server.json("/api/v1/conversations/", &user.token);
        let number = |value: &Value| value.as_i64().unwrap();
        list.as_array()
            .unwrap()
            .iter()
            .map(|one| {
                (
                    number(&one["id"]),
                    number(&one["last_seq"]),
                    number(&one["unread_count"]),
                    one["last_message"]["content"].clone(),
                )
            })
            .collect()
    };
    assert_eq!(
        listed(&ann),
        [(21, 7, 1, json!("seventh")), (22, 1, 1, json!("alone"))],
        "newest activity first, with what is unread"
    );
    assert_eq!(listed(&ben), [(21, 7, 1, json!("seventh")), (24, 0, 0, Value::Null)]);
    assert_eq!(
        listed(&cat),
        [(24, 0, 0, Value::Null), (22, 1, 0, json!("alone"))]
            .iter()
            .rev()
            .cloned()
            .collect::<Vec<_>>()
    );
    assert_eq!(listed(&dan), []);
    let history = server.history(21, &ann);
    let told: Vec<_> = history
        .iter()
        .map(|message| (message["id"].clone(), message["seq"].clone(), message["content"].clone()))
        .collect();
    let expected = [
        (101, "first"),
        (103, "second"),
        (102, "third"),
        (104, "fourth"),
        (105, "fifth ☺"),
        (106, "sixth"),
        (said, "seventh"),
    ];
    let expected: Vec<_> = (1..)
        .zip(expected)
        .map(|(seq, (id, content))| (json!(id), json!(seq), json!(content)))
        .collect();
    assert_eq!(told, expected);
    assert_eq!(history[1]["attachment"], "/media/attachments/a.png");
    assert_eq!(history[2]["attachment"], Value::Null);
    assert_eq!(history[0]["sender"]["profile_picture"], "/media/pictures/ann.jpg");
    let matches = server.json("/api/v1/matching/matches/", &ann.token);
    let ids: Vec<_> = matches["results"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, [5, 3]);
    let recent = server.json("/api/v1/matching/recent-matches/", &ben.token);
    assert_eq!((&recent[0]["username"], &recent[0]["bio"]), (&json!("ann"), &json!("hello")));
    let gone = server.ask("GET", "/api/v1/conversations/23/", &cat.token, None);
    assert_eq!(gone.status, 404, "left before, and still");

    // The server goes on where Django stopped, and marks what Django left unread in the middle.
    let mut ws = Ws::v1(&server, &ann, "/ws/conversations/21/");
    ws.send(&json!({"type": "message", "content": "eighth"}));
    assert_eq!(ws.until("message")["message"]["seq"], 8);
    let mut ws = Ws::v1(&server, &ben, "/ws/conversations/21/");
    ws.say(&json!({"type": "read_receipt", "message_id": 106}));
    assert_eq!(listed(&ben)[0].2, 1, "only what came after");
    assert_eq!(django::wrong(&mut client), [""; 0]);
}

#[test]
fn django_and_servers_write_into_the_same_conversations() {
    const SENDS: usize = 60;
    let (database, mut client) = djangos();
    let servers = [(); 2].map(|()| Server::on(&database.url(), UNLIMITED));
    let (ann, ben) = (user(11, "ann"), user(12, "ben"));
    let is_over = AtomicBool::new(false);
    let (database, is_over) = (&database, &is_over);
    thread::scope(|scope| {
        for sender in [11, 12, 11, 12] {
            scope.spawn(move || {
                let mut django = database.connect();
                while !is_over.load(Ordering::Relaxed) {
                    let said = django::say(&mut django, 21, sender, "Django's");
                    django::read(&mut django, 23 - sender, &[said]);
                }
            });
        }
        let senders: Vec<_> = servers
            .iter()
            .zip([&ann, &ben])
            .map(|(server, user)| {
                scope.spawn(move || {
                    let mut ws = Ws::v1(server, user, "/ws/conversations/21/");
                    for _ in 0..SENDS {
                        ws.send(&json!({"type": "message", "content": "ours"}));
                        let id = loop {
                            let told = ws.until("message");
                            let message = &told["message"];
                            // Django says something in this user's name as well.
                            if message["sender"]["id"] == user.id && message["content"] == "ours" {
                                break message["id"].clone();
                            }
                        };
                        ws.send(&json!({"type": "read_receipt", "message_id": id}));
                    }
                })
            })
            .collect();
        let results: Vec<_> = senders.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok), "a sender waited in vain");
    });
    // What was asked of the servers last is done when they are gone.
    drop(servers);
    assert_eq!(django::wrong(&mut client), [""; 0]);
    let counts = "SELECT count(*) FILTER (WHERE content = 'ours'),
                         count(*) FILTER (WHERE content = 'Django''s') FROM conversations_message";
    let row = client.query_one(counts, &[]).unwrap();
    assert_eq!(row.get::<_, i64>(0), 2 * SENDS as i64);
    assert!(row.get::<_, i64>(1) > 0);
}

#[test]
fn a_server_refuses_a_database_that_was_not_migrated_and_names_the_command() {
    let (database, mut client) = djangos();
    let before = catalog(&mut client);
    let refused = fortifun(&database.url(), &["serve"]);
    assert_eq!(refused.status.code(), Some(3));
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("lacks migration 1 (django)"), "{told}");
    assert!(told.contains("fortifun migrate"), "{told}");
    assert_eq!(catalog(&mut client), before, "it never migrates by itself");
}

#[test]
fn tables_that_do_not_fit_are_refused_by_name() {
    let (database, mut client) = djangos();
    client
        .batch_execute(
            "ALTER TABLE conversations_message DROP COLUMN attachment;
             ALTER TABLE accounts_user DROP COLUMN profile_picture",
        )
        .unwrap();
    for args in [&["migrate", "--plan"][..], &["migrate"]] {
        let refused = fortifun(&database.url(), args);
        assert_eq!(refused.status.code(), Some(3));
        let told = String::from_utf8_lossy(&refused.stderr);
        for difference in [
            "accounts_user.profile_picture: is missing",
            "conversations_message.attachment: is missing",
        ] {
            assert!(told.contains(difference), "{told}");
        }
        assert!(refused.stdout.is_empty());
    }
}

#[test]
fn of_two_processes_that_migrate_at_once_one_applies() {
    let (database, mut client) = djangos();
    let both = [(); 2].map(|()| Migration::start(&database.url()));
    let applied: Vec<usize> = both
        .into_iter()
        .map(|migration| done(&migration.wait()).matches("applied ").count())
        .collect();
    assert_eq!(applied.iter().sum::<usize>(), MIGRATIONS, "{applied:?}");
    assert_eq!(django::wrong(&mut client), [""; 0]);
}

#[test]
fn a_migration_that_is_killed_again_and_again_is_finished_by_the_next() {
    let database = Postgres::shared().database();
    let mut client = database.connect();
    client.batch_execute(django::SCHEMA).unwrap();
    django::history(&mut client, 200, 2_000, 100);
    let numbered = "SELECT count(*) FROM conversations_message WHERE seq IS NOT NULL";
    let mut seen = 0;
    for _ in 0..5 {
        let mut migration = Migration::start(&database.url());
        // Some way into the numbering, wherever that was.
        migration.hear("applying 5 numbering");
        migration.hear(" messages");
        migration.kill();
        let done: i64 = client.query_one(numbered, &[]).unwrap().get(0);
        assert!(done >= seen, "what was done stands");
        seen = done;
    }
    assert!(seen > 0 && seen < 200_000, "it was killed in the middle: {seen}");
    done(&fortifun(&database.url(), &["migrate"]));
    assert_eq!(django::wrong(&mut client), [""; 0]);
    assert_eq!(django::out_of_order(&mut client), [0; 0]);
}

#[test]
fn the_doctor_looks_at_the_database() {
    let (database, _client) = djangos();
    let told = fortifun(&database.url(), &["doctor"]);
    let told = String::from_utf8(told.stdout).unwrap();
    for finding in ["fail  database: lacks django", "ok    database: Postgres ", "fsync is off"] {
        assert!(told.contains(finding), "{told}");
    }
}
