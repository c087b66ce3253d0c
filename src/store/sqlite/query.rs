//! How statements are run: prepared once a connection, by their text.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Result, Row};

/// The first row of `sql`; `None` where it has none.
pub(super) fn first<T>(
    connection: &Connection,
    sql: &'static str,
    params: impl Params,
    map: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    prepare(connection, sql)?.query_row(params, map).optional()
}

/// The one row of `sql`.
pub(super) fn one<T>(
    connection: &Connection,
    sql: &'static str,
    params: impl Params,
    map: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<T> {
    prepare(connection, sql)?.query_row(params, map)
}

/// All rows of `sql`, in order.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &'static str,
    params: impl Params,
    map: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    prepare(connection, sql)?.query_map(params, map)?.collect()
}

/// Runs `sql` and counts the rows it changed.
pub(super) fn run(
    connection: &Connection,
    sql: &'static str,
    params: impl Params,
) -> Result<usize> {
    prepare(connection, sql)?.execute(params)
}

fn prepare<'c>(connection: &'c Connection, sql: &'static str) -> Result<CachedStatement<'c>> {
    #[cfg(test)]
    tests::SEEN.with_borrow_mut(|seen| seen.insert(sql));
    connection.prepare_cached(sql)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use rusqlite::StatementStatus;

    use crate::model::{ConversationId, MessageId, NodeId, Revoked, Seq, UserId};
    use crate::store::sqlite::{SqliteStore, connection};
    use crate::store::{Lane, Page, Request, Store, schema};
    use crate::time::Timestamp;

    thread_local! {
        /// Every statement that this thread prepared.
        pub(super) static SEEN: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
    }

    const NOW: Timestamp = Timestamp(1_704_067_200_000_000);

    /// Each request at least once, on the paths that write and read most.
    fn requests() -> Vec<Request> {
        let user = |username: &str| Request::AddUser {
            username: username.to_owned(),
            first_name: String::new(),
            last_name: String::new(),
        };
        let (a, b, c) = (UserId(1), UserId(2), UserId(3));
        let conversation = ConversationId(1);
        let append = Request::Append {
            conversation,
            sender: a,
            content: "hello".to_owned(),
            attachment: None,
            client_id: Some("1".to_owned()),
        };
        let like = |liker, liked| Request::Like { liker, liked, welcome: "match".into() };
        let page = |page| Request::History { user: a, conversation, page, limit: 50 };
        vec![
            user("a"),
            user("b"),
            user("c"),
            like(a, b),
            like(b, a),
            append.clone(),
            append,
            Request::MarkRead { conversation, reader: b, message: MessageId(2) },
            Request::Open {
                creator: a,
                participant: c,
                content: "hello".to_owned(),
                client_id: Some("2".to_owned()),
            },
            Request::SetPresence { user: a, is_online: true, node: NodeId(1) },
            Request::SetPresence { user: b, is_online: true, node: NodeId(1) },
            Request::SetPresence { user: b, is_online: false, node: NodeId(1) },
            Request::Lease { node: NodeId(1), lease_s: 0, reap: false },
            Request::Lease { node: NodeId(2), lease_s: 3_600, reap: true },
            Request::Revoke { revoked: Revoked::User(a), until: Timestamp(4_000_000_000_000_000) },
            Request::Revocations { after: 0 },
            Request::Admit { user: a, conversation: Some(conversation) },
            Request::MaySpeak { user: a, conversation },
            Request::Watch { user: a, users: vec![b, c] },
            page(Page::Latest),
            page(Page::Before(Seq(2))),
            page(Page::After(Seq(1))),
            Request::Conversations { user: a, limit: 500 },
            Request::Conversation { user: a, conversation },
            Request::RecentMatches { user: a, since: Timestamp(0), limit: 100 },
            Request::Matches { user: a, offset: 0, limit: 20 },
            Request::FindUser { username: "a".to_owned() },
            Request::Standings { conversations: vec![conversation] },
            Request::Since { users: vec![a], since: Timestamp(0), after: None, limit: 100 },
            Request::Places { messages: vec![MessageId(1)] },
            Request::Unlike { liker: a, liked: b },
            like(a, b),
            Request::Leave { conversation, user: a },
            Request::Unlike { liker: a, liked: b },
            like(a, b),
            Request::Block { blocker: a, blocked: b },
            Request::Unblock { blocker: a, blocked: b },
        ]
    }

    #[test]
    fn no_statement_is_prepared_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.sqlite3");
        schema::sqlite::migrate(&path, NOW, &mut |_| ()).unwrap();
        let mut store = SqliteStore::open(&path, Lane::Write).unwrap();
        for _ in 0..3 {
            store.commit(&requests(), NOW).unwrap();
            store.settle(&requests(), NOW).unwrap();
        }
        for sql in SEEN.with_borrow(BTreeSet::clone) {
            let statement = store.connection.prepare_cached(sql).unwrap();
            assert!(statement.get_status(StatementStatus::Run) > 0, "{sql}");
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
        }
    }

    #[test]
    fn no_statement_scans_a_table_or_builds_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.sqlite3");
        schema::sqlite::migrate(&path, NOW, &mut |_| ()).unwrap();
        let mut store = SqliteStore::open(&path, Lane::Write).unwrap();
        for request in requests() {
            let outcome = store.commit(std::slice::from_ref(&request), NOW).unwrap().remove(0);
            assert!(outcome.is_ok(), "{request:?}: {outcome:?}");
        }
        let found = store.settle(&requests(), NOW).unwrap();
        assert_eq!(found.iter().flatten().count(), 2);
        let connection = connection::open(&path, Lane::Write).unwrap();
        let statements = SEEN.with_borrow(BTreeSet::clone);
        assert!(statements.len() > 30, "all statements go through `prepare`");
        for sql in statements {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let mut steps = plan.raw_query();
            while let Some(step) = steps.next().unwrap() {
                let detail: String = step.get("detail").unwrap();
                // The ids that were asked for, and a page that an inner query has bounded, are small.
                let is_small = ["SCAN asked", "SCAN page", "SCAN CONSTANT ROW"]
                    .iter()
                    .any(|small| detail.starts_with(small));
                let is_bounded = is_small || !detail.starts_with("SCAN");
                assert!(is_bounded && !detail.contains("AUTOMATIC"), "{sql}\n{detail}");
            }
        }
    }
}
