//! The hour in which a conversation was last active: of what Django wrote before, and whoever writes while and after.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fortifun_fixtures::django::{converse, history, say, users, wrong};

use super::*;

/// What a participant's row says, and what it should.
const HOURS: &str = "
    SELECT p.active_hour, floor(extract(epoch FROM c.updated_at) / 3600)::int
    FROM conversations_conversation_participants p
    JOIN conversations_conversation c ON c.id = p.conversation_id ORDER BY p.id";

/// Each conversation in an hour of its own.
const SPREAD: &str = "
    UPDATE conversations_conversation SET updated_at = timestamptz '2024-01-01' + id * interval '1 hour'";

fn hours(client: &mut Client) -> Vec<(i32, i32)> {
    client.query(HOURS, &[]).unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[track_caller]
fn all_right(client: &mut Client) {
    let hours = hours(client);
    assert!(!hours.is_empty());
    assert!(hours.iter().all(|(told, is)| told == is), "{hours:?}");
}

#[test]
fn every_participant_is_told_by_steps_and_the_index_comes_after() {
    let (_database, mut client) = djangos();
    history(&mut client, 9, 6_000, 1);
    client.batch_execute(SPREAD).unwrap();
    let mut heard = Vec::new();
    let mut hear = |told| {
        if matches!(told, Progress::Filling { .. } | Progress::Indexing(_)) {
            heard.push(told);
        }
    };
    migrate(&mut client, NOW, &mut hear).unwrap();
    let filling = |done| Progress::Filling { done, total: 12_000 };
    let index = Progress::Indexing("conversations_participants_active");
    let expect = [filling(5_000), filling(10_000), filling(12_000), index];
    assert!(heard.windows(4).any(|told| told == expect), "{heard:?}");
    all_right(&mut client);
}

#[test]
fn a_filling_that_was_cut_short_goes_on_where_it_ended() {
    let (database, mut client) = djangos();
    history(&mut client, 9, 6_000, 1);
    client.batch_execute(SPREAD).unwrap();
    for told in [5_000, 10_000, 12_000] {
        let mut doomed = database.connect();
        // Whatever is told, the connection is gone before the next step.
        let pid: i32 = doomed.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
        let mut hear = |told| {
            if matches!(told, Progress::Filling { .. }) {
                client.execute("SELECT pg_terminate_backend($1, 10000)", &[&pid]).unwrap();
            }
        };
        migrate(&mut doomed, NOW, &mut hear).unwrap_err();
        let filled = hours(&mut client).iter().filter(|(hour, _)| *hour != 0).count();
        assert_eq!(filled, told);
    }
    migrate(&mut client, NOW, &mut quiet).unwrap();
    all_right(&mut client);
}

#[test]
fn a_participant_that_others_hold_is_passed_over_and_filled_in_later() {
    let (database, mut client) = djangos();
    history(&mut client, 9, 3_000, 1);
    client.batch_execute(SPREAD).unwrap();
    let mut other = database.connect();
    // Where it is waited for, this ends by itself.
    other.batch_execute("SET idle_in_transaction_session_timeout = '20s'").unwrap();
    let mut heard = Vec::new();
    let mut hear = |told| {
        match told {
            Progress::Filling { done: 5_000, .. } => other
                .batch_execute(
                    "BEGIN; UPDATE conversations_conversation_participants SET unread = 0
                     WHERE id = (SELECT max(id) FROM conversations_conversation_participants)",
                )
                .unwrap(),
            Progress::Filling { .. } => {}
            Progress::Busy if !heard.is_empty() => other.batch_execute("COMMIT").unwrap(),
            _ => return,
        }
        heard.push(told);
    };
    migrate(&mut client, NOW, &mut hear).unwrap();
    let filling = |done| Progress::Filling { done, total: 6_000 };
    assert_eq!(heard, [filling(5_000), filling(5_999), Progress::Busy, filling(6_000)]);
    all_right(&mut client);
}

#[test]
fn an_hour_that_passes_while_it_is_filled_in_is_not_put_back() {
    let (database, mut client) = djangos();
    history(&mut client, 9, 3_000, 1);
    client.batch_execute(SPREAD).unwrap();
    let is_over = AtomicBool::new(false);
    let (database, is_over) = (&database, &is_over);
    thread::scope(|scope| {
        for writer in 0..2_i64 {
            scope.spawn(move || {
                let mut django = database.connect();
                let mut turn = writer;
                while !is_over.load(Ordering::Relaxed) {
                    turn += 2;
                    let conversation = 1 + turn * 7 % 3_000;
                    let save = "UPDATE conversations_conversation
                                SET updated_at = updated_at + ($2::bigint % 5) * interval '20 minutes' WHERE id = $1";
                    django.execute(save, &[&conversation, &turn]).unwrap();
                    if turn % 9 == 0 {
                        let fresh = converse(&mut django, &[1, 2]);
                        say(&mut django, fresh, 1, "hello");
                    }
                }
            });
        }
        let migrated = migrate(&mut client, NOW, &mut quiet);
        is_over.store(true, Ordering::Relaxed);
        migrated.unwrap();
    });
    all_right(&mut client);
    assert_eq!(wrong(&mut client), [""; 0]);
}

#[test]
fn whoever_moves_a_conversation_moves_the_hour_of_its_participants() {
    let (database, client) = djangos();
    let mut client = migrated(client);
    users(&mut client, 4);
    let conversation = converse(&mut client, &[1, 2]);
    let other = converse(&mut client, &[1, 3]);
    all_right(&mut client);
    for writer in ["off", "on"] {
        client.batch_execute(&format!("SET fortifun.writer = '{writer}'")).unwrap();
        for moment in [
            "2024-01-01 00:00:00Z",
            "2024-01-01 00:59:59.999999Z",
            "2024-01-01 01:00:00Z",
            "1969-12-31 23:59:59.999999Z",
            "9999-12-31 23:59:59Z",
        ] {
            let save = format!("UPDATE conversations_conversation SET updated_at = '{moment}'");
            client.batch_execute(&format!("{save} WHERE id = {conversation}")).unwrap();
            all_right(&mut client);
        }
        client.batch_execute(SPREAD).unwrap();
        all_right(&mut client);
        // As a server would that knows nothing of hours.
        let join = "INSERT INTO conversations_conversation_participants
                        (conversation_id, user_id) VALUES ($1, $2)";
        client.execute(join, &[&other, &if writer == "on" { 2_i64 } else { 4 }]).unwrap();
        all_right(&mut client);
    }
    let mut elsewhere = database.connect();
    elsewhere.batch_execute("SET search_path = ''").unwrap();
    elsewhere
        .batch_execute(
            "UPDATE public.conversations_conversation SET updated_at = now();
             INSERT INTO public.conversations_conversation_participants (conversation_id, user_id)
             VALUES (1, 4)",
        )
        .unwrap();
    all_right(&mut client);
}

#[test]
fn a_message_that_django_writes_is_activity_and_an_old_one_is_none() {
    let (_database, client) = djangos();
    let mut client = migrated(client);
    users(&mut client, 2);
    let conversation = converse(&mut client, &[1, 2]);
    client.batch_execute(SPREAD).unwrap();
    let updated = "SELECT (updated_at = (SELECT max(created_at) FROM conversations_message))
                   FROM conversations_conversation";
    say(&mut client, conversation, 1, "now");
    assert!(client.query_one(updated, &[]).unwrap().get::<_, bool>(0));
    all_right(&mut client);
    let import = "INSERT INTO conversations_message
                      (conversation_id, sender_id, content, created_at, is_read)
                  VALUES ($1, 2, 'long ago', '2020-01-01', true)";
    client.execute(import, &[&conversation]).unwrap();
    assert!(client.query_one(updated, &[]).unwrap().get::<_, bool>(0));
    all_right(&mut client);
}

#[test]
fn within_an_hour_no_participant_is_written_for_it() {
    let (_database, client) = djangos();
    let mut client = migrated(client);
    users(&mut client, 2);
    converse(&mut client, &[1, 2]);
    client.batch_execute(SPREAD).unwrap();
    let places =
        "SELECT array_agg(ctid::text ORDER BY id) FROM conversations_conversation_participants";
    let mut written = |sql: &str| {
        let before: Vec<String> = client.query_one(places, &[]).unwrap().get(0);
        client.batch_execute(sql).unwrap();
        let after: Vec<String> = client.query_one(places, &[]).unwrap().get(0);
        before != after
    };
    let save = "UPDATE conversations_conversation SET updated_at = updated_at + interval ";
    assert!(!written(&format!("{save} '59 minutes'")));
    assert!(written(&format!("{save} '1 minute'")));
}
