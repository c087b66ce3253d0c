//! Places and counts: of what Django wrote before, and of what it writes while and after.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fortifun_fixtures::django::{converse, history, out_of_order, read, say, users, wrong};

use super::*;

fn number(client: &mut Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).unwrap().get(0)
}

#[test]
fn what_django_wrote_is_numbered_by_time_and_id_and_what_is_unread_is_counted() {
    let (_database, mut client) = djangos();
    history(&mut client, 20, 300, 9);
    let alone = converse(&mut client, &[1, 2]);
    let mut client = migrated(client);
    assert_eq!(wrong(&mut client), [""; 0]);
    assert_eq!(out_of_order(&mut client), [0; 0]);
    assert_eq!(number(&mut client, "SELECT count(*) FROM conversations_message"), 2_700);
    let greatest = "
        SELECT count(*) FROM conversations_conversation_participants p
        JOIN conversations_conversation c ON c.id = p.conversation_id
        WHERE p.unread = 0 AND p.last_read_seq < c.last_seq";
    assert_eq!(number(&mut client, greatest), 0, "who has read everything has read up to the end");
    let row = client
        .query_one("SELECT last_seq FROM conversations_conversation WHERE id = $1", &[&alone])
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
}

#[test]
fn a_long_conversation_takes_several_steps() {
    let (_database, mut client) = djangos();
    history(&mut client, 2, 2, 12_000);
    let mut heard = Vec::new();
    let mut hear = |told| {
        if let Progress::Numbering { done, total } = told {
            heard.push((done, total));
        }
    };
    migrate(&mut client, NOW, &mut hear).unwrap();
    let steps = [5_000, 10_000, 15_000, 20_000, 24_000];
    assert_eq!(heard, steps.map(|done| (done, 24_000)));
    assert_eq!((wrong(&mut client), out_of_order(&mut client)), (Vec::new(), Vec::new()));
}

#[test]
fn a_numbering_that_was_cut_short_goes_on_where_it_ended() {
    let (database, mut client) = djangos();
    history(&mut client, 2, 2, 12_000);
    for _ in 0..6 {
        let mut doomed = database.connect();
        // Whatever is told, the connection is gone before the next step.
        let pid: i32 = doomed.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
        let mut hear = |told| {
            if matches!(told, Progress::Numbering { .. }) {
                client.execute("SELECT pg_terminate_backend($1, 10000)", &[&pid]).unwrap();
            }
        };
        let _ = migrate(&mut doomed, NOW, &mut hear);
        assert!(
            wrong(&mut client).is_empty()
                || inspect(&mut client).unwrap().iter().any(|next| next.name == "numbering")
        );
    }
    migrate(&mut client, NOW, &mut quiet).unwrap();
    assert_eq!((wrong(&mut client), out_of_order(&mut client)), (Vec::new(), Vec::new()));
}

#[test]
fn django_goes_on_writing_while_its_messages_are_numbered() {
    let (database, mut client) = djangos();
    history(&mut client, 12, 40, 600);
    let is_over = AtomicBool::new(false);
    let (database, is_over) = (&database, &is_over);
    thread::scope(|scope| {
        for writer in 0..2_i64 {
            scope.spawn(move || {
                let mut django = database.connect();
                let mut turn = writer;
                while !is_over.load(Ordering::Relaxed) {
                    turn += 2;
                    let conversation = 1 + turn % 40;
                    let [one, other] = [0, 1].map(|side| 1 + (conversation + side) % 12);
                    let mut transaction = django.transaction().unwrap();
                    let said = say(&mut transaction, conversation, one, "meanwhile");
                    if turn % 3 == 0 {
                        let older: Vec<i64> = transaction
                            .query(
                                "SELECT id FROM conversations_message
                                 WHERE conversation_id = $1 ORDER BY random() LIMIT 5",
                                &[&conversation],
                            )
                            .unwrap()
                            .iter()
                            .map(|row| row.get(0))
                            .collect();
                        read(&mut transaction, other, &older);
                        read(&mut transaction, other, &[said]);
                    }
                    if turn % 7 == 0 {
                        transaction.rollback().unwrap();
                    } else {
                        transaction.commit().unwrap();
                    }
                    if turn % 50 == 0 {
                        let fresh = converse(&mut django, &[one, other]);
                        say(&mut django, fresh, one, "hello");
                        converse(&mut django, &[one, other]);
                    }
                }
            });
        }
        let migrated = migrate(&mut client, NOW, &mut quiet);
        is_over.store(true, Ordering::Relaxed);
        migrated.unwrap();
    });
    assert_eq!(wrong(&mut client), [""; 0]);
    let said = "SELECT count(*) FROM conversations_message WHERE content = 'meanwhile'";
    assert!(number(&mut client, said) > 0, "Django wrote");
}

/// What Django has written and not committed when the numbering comes by is waited for, and counted.
#[track_caller]
fn held(write: impl Fn(&mut Client)) {
    let (database, mut client) = djangos();
    history(&mut client, 12, 40, 10);
    let mut django = database.connect();
    // Where it is not waited for, an index waits for it in the end.
    django.batch_execute("SET idle_in_transaction_session_timeout = '20s'").unwrap();
    let mut is_busy = false;
    let mut hear = |told| match told {
        Progress::Applying(next) if next.name == "numbering" => {
            django.batch_execute("BEGIN").unwrap();
            write(&mut django);
        }
        Progress::Busy => {
            is_busy = true;
            django.batch_execute("COMMIT").unwrap();
        }
        _ => {}
    };
    migrate(&mut client, NOW, &mut hear).unwrap();
    // Where it was not waited for.
    django.batch_execute("COMMIT").unwrap();
    assert_eq!((wrong(&mut client), out_of_order(&mut client)), (Vec::new(), Vec::new()));
    assert!(is_busy, "it was waited for");
}

#[test]
fn a_message_that_django_has_not_committed_is_waited_for() {
    held(|django| {
        say(django, 7, 1, "half way");
    });
}

#[test]
fn a_read_that_django_has_not_committed_is_waited_for() {
    held(|django| {
        let unread =
            number(django, "SELECT max(id) FROM conversations_message WHERE conversation_id = 5");
        let sender = number(
            django,
            &format!("SELECT sender_id FROM conversations_message WHERE id = {unread}"),
        );
        let reader = number(
            django,
            &format!(
                "SELECT user_id FROM conversations_conversation_participants
                 WHERE conversation_id = 5 AND user_id <> {sender}"
            ),
        );
        read(django, reader, &[unread]);
    });
}

#[test]
fn a_participant_that_django_has_not_committed_is_waited_for() {
    held(|django| {
        let join = "INSERT INTO conversations_conversation_participants (conversation_id, user_id)
                    VALUES (7, 12)";
        django.batch_execute(join).unwrap();
    });
}

#[test]
fn what_is_read_between_two_steps_is_counted_once() {
    let (database, mut client) = djangos();
    history(&mut client, 2, 2, 12_000);
    let mut django = database.connect();
    let mut hear = |told| {
        if matches!(told, Progress::Numbering { done: 5_000, .. }) {
            // Of the conversation that is half numbered: some that have their place, some that have not.
            for user in [1, 2] {
                let messages = django
                    .query(
                        "SELECT id FROM conversations_message
                         WHERE conversation_id = 1 AND id % 97 = 0 AND sender_id <> $1",
                        &[&user],
                    )
                    .unwrap();
                let messages: Vec<i64> = messages.iter().map(|row| row.get(0)).collect();
                read(&mut django, user, &messages);
            }
        }
    };
    migrate(&mut client, NOW, &mut hear).unwrap();
    assert_eq!((wrong(&mut client), out_of_order(&mut client)), (Vec::new(), Vec::new()));
}

#[test]
fn a_message_that_django_changes_holds_nothing_up_but_its_conversation() {
    let (database, mut client) = djangos();
    history(&mut client, 12, 40, 10);
    let mut django = database.connect();
    let mut is_held = false;
    let mut hear = |told| match told {
        Progress::Applying(next) if next.name == "numbering" => {
            django
                .batch_execute(
                    "BEGIN;
                     UPDATE conversations_message SET content = 'edited' WHERE conversation_id = 9",
                )
                .unwrap();
            is_held = true;
        }
        Progress::Numbering { done: 390.., .. } if is_held => {
            django.batch_execute("COMMIT").unwrap();
            is_held = false;
        }
        _ => {}
    };
    migrate(&mut client, NOW, &mut hear).unwrap();
    assert!(!is_held, "the other 39 went first");
    assert_eq!((wrong(&mut client), out_of_order(&mut client)), (Vec::new(), Vec::new()));
    let edited = "SELECT count(*) FROM conversations_message WHERE content = 'edited'";
    assert_eq!(number(&mut client, edited), 10);
}

#[test]
fn what_django_writes_later_is_counted_as_if_the_server_had_written_it() {
    let (database, client) = djangos();
    let mut client = migrated(client);
    users(&mut client, 3);
    let conversation = converse(&mut client, &[1, 2]);
    let said: Vec<i64> = (0..5).map(|n| say(&mut client, conversation, 1 + n % 2, "x")).collect();
    assert_eq!((wrong(&mut client), out_of_order(&mut client)), (Vec::new(), Vec::new()));
    // Once, again, one's own, and a hole.
    for messages in [&said[1..3], &said[1..3], &said[0..1], &said[4..]] {
        read(&mut client, 2, messages);
        assert_eq!(wrong(&mut client), [""; 0], "{messages:?}");
    }
    let unread = "SELECT unread FROM conversations_conversation_participants WHERE user_id = 2";
    assert_eq!(number(&mut client, unread), 0);
    client
        .execute(
            "INSERT INTO conversations_conversation_participants (conversation_id, user_id) VALUES ($1, 3)",
            &[&conversation],
        )
        .unwrap();
    let unread = "SELECT unread FROM conversations_conversation_participants WHERE user_id = 3";
    assert_eq!(number(&mut client, unread), 5, "who joins late has read nothing");
    assert_eq!(wrong(&mut client), [""; 0]);
    let mut transaction = client.transaction().unwrap();
    say(&mut transaction, conversation, 1, "never said");
    transaction.rollback().unwrap();
    say(&mut client, conversation, 1, "said");
    assert_eq!(wrong(&mut client), [""; 0], "what was rolled back leaves no hole");
    let mut elsewhere = database.connect();
    elsewhere.batch_execute("SET search_path = ''").unwrap();
    let insert = "INSERT INTO public.conversations_message
                      (conversation_id, sender_id, content, created_at, is_read)
                  VALUES ($1, 1, 'from elsewhere', now(), false)";
    elsewhere.execute(insert, &[&conversation]).unwrap();
    assert_eq!(wrong(&mut client), [""; 0]);
}

#[test]
fn the_servers_own_writes_are_left_alone() {
    let (_database, client) = djangos();
    let mut client = migrated(client);
    users(&mut client, 2);
    client.batch_execute("SET fortifun.writer = 'on'").unwrap();
    let conversation = converse(&mut client, &[1, 2]);
    client
        .execute(
            "INSERT INTO conversations_message
                 (content, created_at, is_read, conversation_id, sender_id, seq)
             VALUES ('x', now(), false, $1, 1, 1)",
            &[&conversation],
        )
        .unwrap();
    let message = number(&mut client, "SELECT id FROM conversations_message");
    client.batch_execute("UPDATE conversations_conversation_participants SET unread = 9").unwrap();
    read(&mut client, 2, &[message]);
    let sums = "SELECT sum(unread)::bigint FROM conversations_conversation_participants";
    assert_eq!(number(&mut client, sums), 18);
    assert_eq!(number(&mut client, "SELECT last_seq FROM conversations_conversation"), 0);
}

#[test]
fn django_takes_messages_people_and_conversations_away() {
    let (_database, mut client) = djangos();
    history(&mut client, 6, 6, 6);
    let mut client = migrated(client);
    client
        .batch_execute(
            "DELETE FROM conversations_messageread
             WHERE message_id IN (SELECT id FROM conversations_message WHERE conversation_id = 2);
             DELETE FROM conversations_message WHERE conversation_id = 2;
             DELETE FROM conversations_conversation_participants WHERE conversation_id = 2;
             DELETE FROM conversations_conversation WHERE id = 2",
        )
        .unwrap();
    say(&mut client, 1, 2, "still here");
    assert_eq!(wrong(&mut client), [""; 0]);
}
