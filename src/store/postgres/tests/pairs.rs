//! What two users do to each other at once, on several nodes.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::plans::migrated;
use super::*;
use crate::store::{Made, Opened};

/// Connections that write at once.
const NODES: usize = 4;

fn like(liker: i64, liked: i64) -> Request {
    Request::Like { liker: UserId(liker), liked: UserId(liked), welcome: "hello".into() }
}

fn open(creator: i64, participant: i64) -> Request {
    Request::Open {
        creator: UserId(creator),
        participant: UserId(participant),
        content: "hello".to_owned(),
        client_id: None,
    }
}

/// A database with `count` users and nothing else.
fn users(count: i64) -> Database {
    let database = migrated();
    let sql = format!(
        "INSERT INTO accounts_user (password, is_superuser, username, first_name, last_name, email,
             is_staff, is_active, date_joined)
         SELECT '!', false, 'user' || n, '', '', '', false, true, now()
         FROM generate_series(1, {count}) n"
    );
    database.connect().batch_execute(&sql).unwrap();
    database
}

/// Each node commits its own batches, all at once; how often one was in a ring with others is told beside the outcomes.
fn at_once(database: &Database, batches: &[Vec<Vec<Request>>; NODES]) -> (Vec<Outcome>, u32) {
    let start = Barrier::new(NODES);
    let rings = AtomicU32::new(0);
    let work = |batches: &[Vec<Request>]| {
        let mut store = writer(database);
        let mut outcomes = Vec::new();
        start.wait();
        for batch in batches {
            outcomes.extend(loop {
                match store.commit(batch, NOW) {
                    Ok(outcomes) => break outcomes,
                    Err(error) => {
                        assert_eq!(error.kind, StoreErrorKind::Contended, "{error}");
                        rings.fetch_add(1, Relaxed);
                    }
                }
            });
        }
        outcomes
    };
    let outcomes = std::thread::scope(|scope| {
        let nodes: Vec<_> = batches
            .iter()
            .map(|batches| {
                let work = &work;
                scope.spawn(move || work(batches))
            })
            .collect();
        nodes.into_iter().flat_map(|node| node.join().unwrap()).collect()
    });
    (outcomes, rings.into_inner())
}

fn count(client: &mut Client, table: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().get(0)
}

#[test]
fn likes_that_meet_make_one_match_one_conversation_and_one_welcome() {
    const PAIRS: i64 = 1_000;
    let database = users(2 * PAIRS);
    // Of each pair the two likes are on two nodes, in batches that hold the pairs in different orders.
    let mut batches: [Vec<Vec<Request>>; NODES] = Default::default();
    for first in (1..=PAIRS).step_by(20) {
        for (node, batches) in (0..).zip(&mut batches) {
            let side = node % 2;
            let mut batch: Vec<_> = (first..first + 20)
                .filter(|pair| pair % 2 == node / 2)
                .map(|pair| like(2 * pair - side, 2 * pair - 1 + side))
                .collect();
            if side == 1 {
                batch.reverse();
            }
            batches.push(batch);
        }
    }
    let (outcomes, rings) = at_once(&database, &batches);
    assert_eq!(rings, 0, "deadlocks");
    assert_eq!(outcomes.len(), 2 * PAIRS as usize);
    let mut made: Vec<Made> = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(Reply::Liked { made: this, .. }) => made.extend(this.map(|made| *made)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(made.len(), PAIRS as usize, "one of the two likes completes the match");
    assert!(made.iter().all(|made| made.welcome.is_some()));
    let client = &mut database.connect();
    for (table, rows) in [
        ("matching_match WHERE is_active", PAIRS),
        ("accounts_user_liked_users", 2 * PAIRS),
        ("conversations_conversation WHERE last_seq = 1", PAIRS),
        ("conversations_conversation", PAIRS),
        ("conversations_conversation_participants", 2 * PAIRS),
        ("conversations_message", PAIRS),
    ] {
        assert_eq!(count(client, table), rows, "{table}");
    }
    check(client);
}

#[test]
fn two_who_are_brought_together_in_every_way_at_once_share_one_conversation() {
    const PAIRS: i64 = 100;
    let database = users(2 * PAIRS);
    let batches = |of: &dyn Fn(i64, i64) -> Vec<Request>, is_reversed: bool| {
        let mut pairs: Vec<_> = (1..=PAIRS).map(|pair| of(2 * pair - 1, 2 * pair)).collect();
        if is_reversed {
            pairs.reverse();
        }
        pairs.chunks(10).map(<[_]>::concat).collect::<Vec<_>>()
    };
    // A message may name a conversation that comes to be between the locks and the message: rings are rare, and tried again.
    let (outcomes, _) = at_once(
        &database,
        &[
            batches(&|a, b| vec![like(a, b), open(a, b)], false),
            batches(&|a, b| vec![open(b, a), like(b, a)], true),
            batches(&|a, b| vec![open(a, b), say((a + 1) / 2, b, None), open(b, a)], false),
            batches(&|a, b| vec![open(b, a), say((a + 1) / 2, a, None)], true),
        ],
    );
    let opened = outcomes.iter().filter_map(|outcome| match outcome {
        Ok(Reply::Opened(opened)) => Some(&**opened),
        _ => None,
    });
    let fresh = opened.filter(|Opened { message, .. }| message.seq == crate::model::Seq(1)).count();
    let client = &mut database.connect();
    let welcomes = outcomes
        .iter()
        .filter(|outcome| {
            let Ok(Reply::Liked { made: Some(made), .. }) = outcome else { return false };
            made.welcome.is_some()
        })
        .count();
    assert_eq!(fresh + welcomes, PAIRS as usize, "each conversation began once");
    assert_eq!(count(client, "conversations_conversation"), PAIRS);
    assert_eq!(count(client, "conversations_conversation_participants"), 2 * PAIRS);
    assert_eq!(count(client, "matching_match WHERE is_active"), PAIRS);
    check(client);
}
