//! A long history and many conversations.

#![expect(clippy::disallowed_methods, reason = "it measures")]

use std::time::{Duration, Instant};

use super::plans::{explain, fill, judge, migrated};
use super::*;
use crate::model::Seq;
use crate::store::Page;

/// Messages in the longest conversation.
const MESSAGES: i64 = 1_000_000;
/// Conversations of one user.
const CONVERSATIONS: i64 = 10_000;
/// What a page or a list may take of a processor, ours and the server's together, in a build that is not optimised. Beside other
/// tests a median says how busy the machine is.
const PAGE: Duration = Duration::from_millis(25);
/// The same of a walk over all that a user has, or over what hundreds of users missed.
const WALK: Duration = Duration::from_millis(50);
/// Readings of each kind, after one that fills caches.
const READINGS: u32 = 16;

/// Makes conversation 1 long. Indexes are made after the rows, which is faster.
fn lengthen(client: &mut Client) {
    let rest: Vec<(String, String)> = client
        .query(
            "SELECT indexname, indexdef FROM pg_indexes
             WHERE tablename = 'conversations_message' AND indexname <> 'conversations_message_pkey'",
            &[],
        )
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    for (name, _) in &rest {
        client.batch_execute(&format!("DROP INDEX {name}")).unwrap();
    }
    client
        .batch_execute(&format!(
            "SET session_replication_role = replica;
             INSERT INTO conversations_message
                 (content, created_at, is_read, conversation_id, sender_id, seq)
             SELECT 'hello', now() - ({MESSAGES} - n) * interval '1 second', true, 1, 1 + n % 2, n
             FROM generate_series(5, {MESSAGES}) n;
             UPDATE conversations_conversation SET last_seq = {MESSAGES} WHERE id = 1;
             RESET session_replication_role"
        ))
        .unwrap();
    for (_, definition) in &rest {
        client.batch_execute(definition).unwrap();
    }
    client.batch_execute("VACUUM ANALYZE").unwrap();
}

/// How long a few readings take, the median, and what one of them takes of a processor.
fn readings(store: &mut PostgresStore, request: &Request) -> (Duration, Duration) {
    let read = |store: &mut PostgresStore| {
        let start = Instant::now();
        let outcome = store.read(request, NOW);
        assert!(outcome.is_ok(), "{outcome:?}");
        start.elapsed()
    };
    read(store);
    let pid = store.session.as_ref().unwrap().backend().pid.to_string();
    let worked = || ["thread-self", &pid].map(processor).iter().sum::<Duration>();
    let before = worked();
    let mut times: Vec<Duration> = (0..READINGS).map(|_| read(store)).collect();
    let each = worked().saturating_sub(before) / READINGS;
    times.sort_unstable();
    (times[times.len() / 2], each)
}

/// What a process or thread has taken of a processor so far, as Linux counts it.
fn processor(task: &str) -> Duration {
    let told = std::fs::read_to_string(format!("/proc/{task}/schedstat")).unwrap();
    Duration::from_nanos(told.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn a_long_history_and_many_conversations_are_read_quickly() {
    let database = migrated();
    let mut client = database.connect();
    fill(&mut client, CONVERSATIONS);
    lengthen(&mut client);
    let mut reader = PostgresStore::new(&settings(&database.url()), Lane::Read);
    let (user, conversation) = (UserId(1), ConversationId(1));
    let page = |page, limit| Request::History { user, conversation, page, limit };
    let middle = Seq(MESSAGES / 2);
    let watched = (2..202).map(UserId).collect();
    let since = client
        .query_one(
            "SELECT max(updated_at) - interval '62 seconds' FROM conversations_conversation",
            &[],
        )
        .unwrap()
        .get(0);
    let users: Vec<_> = (11_001..11_501).map(UserId).collect();
    let missed = Request::Since { users, since, after: None, limit: 1_000 };
    let Ok(Reply::Since(said)) = reader.read(&missed, NOW) else { panic!("messages") };
    assert!(said.len() > 500, "{}", said.len());
    let expected = Request::Conversations { user, limit: 500 };
    let Ok(Reply::Conversations(list)) = reader.read(&expected, NOW) else { panic!("a list") };
    assert_eq!(list.len(), 500);
    let mut slow = Vec::new();
    for (name, patience, request) in [
        ("history, latest", PAGE, page(Page::Latest, 200)),
        ("history, before", PAGE, page(Page::Before(middle), 200)),
        ("history, after", PAGE, page(Page::After(middle), 200)),
        ("resume", PAGE, page(Page::After(Seq(MESSAGES - 1_000)), crate::limits::RESUME_PAGE)),
        ("conversations", PAGE, expected),
        ("one conversation", PAGE, Request::Conversation { user, conversation }),
        ("admission", PAGE, Request::Admit { user, conversation: Some(conversation) }),
        ("may speak", PAGE, Request::MaySpeak { user, conversation }),
        ("watch 200", WALK, Request::Watch { user, users: watched }),
        ("recent matches", WALK, Request::RecentMatches { user, since: Timestamp(0), limit: 500 }),
        ("matches", WALK, Request::Matches { user, offset: 0, limit: 100 }),
        ("missed by 500", WALK, missed),
        (
            "500 standings",
            PAGE,
            Request::Standings { conversations: (1..501).map(ConversationId).collect() },
        ),
        ("500 places", PAGE, Request::Places { messages: (1..501).map(MessageId).collect() }),
    ] {
        let (median, worked) = readings(&mut reader, &request);
        let ms = |taken: Duration| taken.as_secs_f64() * 1_000.0;
        println!("{name:18} {:8.2} ms, of a processor {:8.2}", ms(median), ms(worked));
        slow.extend((worked >= patience).then_some((name, worked)));
    }
    assert!(slow.is_empty(), "{slow:?}");
    let plans = explain(&database);
    judge(&plans);
    let (_, list) = plans.iter().find(|(sql, _)| sql.contains("WITH TIES")).unwrap();
    let walk = "Index Scan using conversations_participants_active";
    assert!(list.contains(walk), "the newest are found by their hour: {list}");
}
