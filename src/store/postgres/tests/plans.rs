//! No statement reads a table from end to end.

use super::*;
use crate::model::{Revoked, Seq};
use crate::store::Page;
use crate::store::postgres::session::seen;

/// A migrated, empty database.
pub(super) fn migrated() -> Database {
    let database = Postgres::shared().database();
    crate::store::schema::postgres::migrate(&mut database.connect(), NOW, &mut |_| ()).unwrap();
    database
}

/// Users 1 to 20,000; user 1 is in conversation 1 with user 2, in 2 with 3 and so on, everybody else in a few.
const PEOPLE: &str = "
    INSERT INTO accounts_user (password, is_superuser, username, first_name, last_name, email,
        is_staff, is_active, date_joined, is_online)
    SELECT '!', false, 'user' || n, '', '', '', false, true, now(), false
    FROM generate_series(1, 20000) n;
    INSERT INTO accounts_user_liked_users (from_user_id, to_user_id)
    SELECT 1 + n % 20000, 1 + n * 31 % 20000 FROM generate_series(10, 100000) n
    WHERE n % 20000 <> n * 31 % 20000 ON CONFLICT DO NOTHING;
    INSERT INTO accounts_user_blocked_users (from_user_id, to_user_id)
    SELECT 1 + n % 20000, 1 + n * 37 % 20000 FROM generate_series(10, 20000) n
    WHERE n % 20000 <> n * 37 % 20000 ON CONFLICT DO NOTHING;
    INSERT INTO matching_match (created_at, is_active, user1_id, user2_id)
    SELECT now() - n * interval '1 minute', n % 20 <> 0, a, b
    FROM (SELECT n, 1 + n * n % 10000 AS a, 10001 + n * 7 % 9999 AS b
          FROM generate_series(1::bigint, 40000) n) two ON CONFLICT DO NOTHING;
    INSERT INTO fortifun_node (id, is_held, expires_at)
    SELECT gen_random_uuid(), true, now() + n * interval '1 hour' FROM generate_series(1, 1000) n;
    INSERT INTO fortifun_presence (user_id, node)
    SELECT n, id FROM generate_series(1, 20000) n, (SELECT id FROM fortifun_node LIMIT 2) node;
    INSERT INTO fortifun_revocation (user_id, at, until)
    SELECT n, now(), now() + n * interval '1 hour' FROM generate_series(1, 5000) n";

/// `$own` conversations of user 1 and others up to 50,000, of 4 messages each. Users 11,001 to 13,000 have twenty each, a
/// sixteenth of them used within the last minute, a sixth within the last hour.
pub(super) fn fill(client: &mut Client, own: i64) {
    let talks = format!(
        "INSERT INTO conversations_conversation (created_at, updated_at, is_active, last_seq)
         SELECT now(),
                now() - CASE WHEN n <= {own} THEN (hashint8(n) & 65535) * interval '1 minute'
                             ELSE (hashint8(n) & 255) ^ 4 * interval '1 millisecond' END,
                n % 50 <> 0, 4
         FROM generate_series(1, 50000::bigint) n;
         INSERT INTO conversations_conversation_participants
             (conversation_id, user_id, last_read_seq, unread, active_hour)
         SELECT c.id, unnest(CASE WHEN c.id <= {own} THEN ARRAY[1, c.id + 1]
                                  ELSE ARRAY[11001 + c.id % 2000, 2 + c.id * 7 % 9998] END), 0, 2,
                fortifun_hour(c.updated_at)
         FROM conversations_conversation c;
         INSERT INTO conversations_message
             (content, created_at, is_read, conversation_id, sender_id, seq)
         SELECT 'hello', c.updated_at - (3 - (2 * turn + p.n % 2)) * interval '10 seconds', false,
                p.conversation_id, p.user_id, 2 * turn + 1 + p.n % 2
         FROM generate_series(0, 1) turn,
              (SELECT *, row_number() OVER (ORDER BY conversation_id, user_id) - 1 AS n
               FROM conversations_conversation_participants) p
         JOIN conversations_conversation c ON c.id = p.conversation_id
         ORDER BY turn, p.n"
    );
    // The rows are right: nothing need be checked or filled in.
    client.batch_execute("SET session_replication_role = replica").unwrap();
    for sql in [PEOPLE, &talks, "RESET session_replication_role", "VACUUM ANALYZE"] {
        client.batch_execute(sql).unwrap();
    }
}

/// Each request at least once, on the paths that write and read most.
fn requests() -> Vec<Request> {
    let (a, b, c) = (UserId(1), UserId(2), UserId(3));
    let conversation = ConversationId(1);
    let like = |liker, liked| Request::Like { liker, liked, welcome: "match".into() };
    let page = |page| Request::History { user: a, conversation, page, limit: 50 };
    let (new, other) = (UserId(20_001), UserId(20_002));
    let user = |username: &str| Request::AddUser {
        username: username.to_owned(),
        first_name: String::new(),
        last_name: String::new(),
    };
    let open = |participant| Request::Open {
        creator: new,
        participant,
        content: "hello".to_owned(),
        client_id: Some("2".to_owned()),
    };
    vec![
        user("a"),
        user("b"),
        like(new, other),
        like(other, new),
        say(1, 1, Some("1")),
        say(1, 1, Some("1")),
        mark(1, 2, 2),
        open(c),
        open(c),
        Request::SetPresence { user: a, is_online: true, node: NodeId(1) },
        Request::SetPresence { user: b, is_online: true, node: NodeId(1) },
        Request::SetPresence { user: b, is_online: false, node: NodeId(1) },
        Request::Lease { node: NodeId(1), lease_s: 0, reap: false },
        Request::Lease { node: NodeId(2), lease_s: 3_600, reap: true },
        Request::Revoke { revoked: Revoked::User(a), until: Timestamp(4_000_000_000_000_000) },
        Request::Revocations { after: 0 },
        Request::Admit { user: a, conversation: Some(conversation) },
        Request::Admit { user: a, conversation: None },
        Request::MaySpeak { user: a, conversation },
        Request::Watch { user: a, users: vec![b, c] },
        page(Page::Latest),
        page(Page::Before(Seq(2))),
        page(Page::After(Seq(1))),
        Request::Conversations { user: a, limit: 500 },
        Request::Conversation { user: a, conversation },
        Request::RecentMatches { user: a, since: Timestamp(0), limit: 100 },
        Request::Matches { user: a, offset: 0, limit: 20 },
        Request::Ping,
        Request::FindUser { username: "user1".to_owned() },
        Request::Standings { conversations: vec![conversation] },
        Request::Since { users: vec![a, b], since: NOW, after: None, limit: 100 },
        Request::Places { messages: vec![MessageId(1)] },
        Request::Unlike { liker: new, liked: other },
        like(new, other),
        Request::Leave { conversation, user: a },
        open(other),
        Request::Block { blocker: new, blocked: other },
        Request::Unblock { blocker: new, blocked: other },
    ]
}

/// Carries every request out and explains every statement that this took, as it is carried out: planned once for any values.
pub(super) fn explain(database: &Database) -> Vec<(&'static str, String)> {
    let mut store = writer(database);
    // Messages, receipts and presence are carried out otherwise beside others than alone.
    for request in requests() {
        let outcome = store.commit(std::slice::from_ref(&request), NOW).unwrap().remove(0);
        assert!(outcome.is_ok(), "{request:?}: {outcome:?}");
    }
    store.commit(&requests(), NOW).unwrap();
    store.ping().unwrap();
    let mut client = database.connect();
    client.batch_execute("SET plan_cache_mode = force_generic_plan").unwrap();
    let mut plans = Vec::new();
    for sql in seen::statements() {
        client.batch_execute(&format!("PREPARE this AS {sql}")).unwrap();
        let arguments: String = client
            .query_one(
                "SELECT coalesce('(' || string_agg('NULL', ', ') || ')', '')
                 FROM pg_prepared_statements, unnest(parameter_types) WHERE name = 'this'",
                &[],
            )
            .unwrap()
            .get(0);
        let plan = client.query(&format!("EXPLAIN EXECUTE this{arguments}"), &[]).unwrap();
        let lines: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
        plans.push((sql, lines.join("\n")));
        client.batch_execute("DEALLOCATE this").unwrap();
    }
    plans
}

/// That each table is entered by an index, and the messages of a conversation by their places.
pub(super) fn judge(plans: &[(&'static str, String)]) {
    assert!(plans.len() > 30, "all statements go through the session: {}", plans.len());
    for (sql, plan) in plans {
        assert!(!plan.contains("Seq Scan"), "{sql}\n{plan}");
        let whole = "conversations_message_conversation_id_f1a2d5e9";
        assert!(!plan.contains(whole), "reads whole conversations: {sql}\n{plan}");
    }
}

#[test]
fn no_statement_scans_a_table() {
    let database = migrated();
    fill(&mut database.connect(), 10);
    judge(&explain(&database));
}
