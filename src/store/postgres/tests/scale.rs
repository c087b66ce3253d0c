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
/// What a median may be here, beside other tests and in a build that is not optimised. On two quiet cores all stay under 20 ms.
const PATIENCE: Duration = Duration::from_millis(500);

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
             SELECT 'hello', now(), true, 1, 1 + n % 2, n FROM generate_series(5, {MESSAGES}) n;
             UPDATE conversations_conversation SET last_seq = {MESSAGES} WHERE id = 1;
             RESET session_replication_role"
        ))
        .unwrap();
    for (_, definition) in &rest {
        client.batch_execute(definition).unwrap();
    }
    client.batch_execute("VACUUM ANALYZE").unwrap();
}

/// The median of a few readings, after one that fills caches.
fn median(store: &mut PostgresStore, request: &Request) -> Duration {
    let mut times: Vec<Duration> = (0..16)
        .map(|_| {
            let start = Instant::now();
            let outcome = store.read(request, NOW);
            let taken = start.elapsed();
            assert!(outcome.is_ok(), "{outcome:?}");
            taken
        })
        .skip(1)
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
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
    let expected = Request::Conversations { user, limit: 500 };
    let Ok(Reply::Conversations(list)) = reader.read(&expected, NOW) else { panic!("a list") };
    assert_eq!(list.len(), 500);
    for (name, request) in [
        ("history, latest", page(Page::Latest, 200)),
        ("history, before", page(Page::Before(middle), 200)),
        ("history, after", page(Page::After(middle), 200)),
        ("resume", page(Page::After(Seq(MESSAGES - 1_000)), crate::limits::RESUME_PAGE)),
        ("conversations", expected),
        ("one conversation", Request::Conversation { user, conversation }),
        ("admission", Request::Admit { user, conversation: Some(conversation) }),
        ("may speak", Request::MaySpeak { user, conversation }),
        ("watch 200", Request::Watch { user, users: watched }),
        ("recent matches", Request::RecentMatches { user, since: Timestamp(0), limit: 500 }),
        ("matches", Request::Matches { user, offset: 0, limit: 100 }),
    ] {
        let taken = median(&mut reader, &request);
        println!("{name:18} {:8.2} ms", taken.as_secs_f64() * 1_000.0);
        assert!(taken < PATIENCE, "{name}: {taken:?}");
    }
    judge(&explain(&database));
}
