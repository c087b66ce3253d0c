//! Indexes, made beside the writers. What a run that was killed left is told by Postgres to be invalid, and is made again.
//!
//! None of them holds `last_seq`, `updated_at` or `unread`, which change with every message: a row that changes nothing but those
//! keeps its entries. `active_hour` changes once an hour at most.

use postgres::Client;

use super::{Progress, session};
use crate::store::StoreError;

/// An index: its name, and what follows `CREATE … INDEX CONCURRENTLY name`.
pub(super) struct Index {
    name: &'static str,
    is_unique: bool,
    on: &'static str,
}

/// For the numbering of what Django wrote before.
pub(super) const NUMBERING: &[Index] = &[Index {
    name: "conversations_message_unnumbered",
    is_unique: false,
    on: "conversations_message (conversation_id, created_at, id) WHERE seq IS NULL",
}];

/// For the server.
pub(super) const SERVING: &[Index] = &[
    Index {
        name: "conversations_message_seq",
        is_unique: true,
        on: "conversations_message (conversation_id, seq)",
    },
    Index {
        name: "conversations_message_client_id",
        is_unique: true,
        on: "conversations_message (conversation_id, sender_id, client_id)
             WHERE client_id IS NOT NULL",
    },
    Index {
        name: "conversations_participants_user",
        is_unique: false,
        on: "conversations_conversation_participants (user_id, conversation_id)",
    },
    Index {
        name: "matching_match_user1",
        is_unique: false,
        on: "matching_match (user1_id, created_at) WHERE is_active",
    },
    Index {
        name: "matching_match_user2",
        is_unique: false,
        on: "matching_match (user2_id, created_at) WHERE is_active",
    },
];

/// For lists of conversations.
pub(super) const ACTIVITY: &[Index] = &[Index {
    name: "conversations_participants_active",
    is_unique: false,
    on: "conversations_conversation_participants (user_id, active_hour DESC, conversation_id)",
}];

/// Makes [`NUMBERING`].
pub(super) fn for_numbering(
    client: &mut Client,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    session::unhurried(client, |client| make(client, NUMBERING, progress))
}

/// Makes [`SERVING`]; what the numbering needed goes.
pub(super) fn for_serving(
    client: &mut Client,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    session::unhurried(client, |client| {
        make(client, SERVING, progress)?;
        for Index { name, .. } in NUMBERING {
            client.batch_execute(&format!("DROP INDEX CONCURRENTLY IF EXISTS {name}"))?;
        }
        Ok(())
    })
}

/// Makes [`ACTIVITY`].
pub(super) fn for_activity(
    client: &mut Client,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    session::unhurried(client, |client| make(client, ACTIVITY, progress))
}

/// Which of `indexes` are still to be made.
pub(super) fn foresee(client: &mut Client, indexes: &[Index]) -> Result<String, StoreError> {
    let mut names = Vec::new();
    for index in indexes {
        if state(client, index)? != State::Valid {
            names.push(index.name);
        }
    }
    Ok(names.join(", "))
}

fn make(
    client: &mut Client,
    indexes: &[Index],
    progress: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    for index in indexes {
        let Index { name, is_unique, on } = index;
        match state(client, index)? {
            State::Valid => continue,
            State::Invalid => {
                client.batch_execute(&format!("DROP INDEX CONCURRENTLY IF EXISTS {name}"))?;
            }
            State::Missing => {}
        }
        progress(Progress::Indexing(name));
        let unique = if *is_unique { "UNIQUE " } else { "" };
        client.batch_execute(&format!("CREATE {unique}INDEX CONCURRENTLY {name} ON {on}"))?;
    }
    Ok(())
}

/// What there is of an index.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Missing,
    /// Left by a run that ended half way.
    Invalid,
    Valid,
}

fn state(client: &mut Client, index: &Index) -> Result<State, StoreError> {
    let row = client.query_opt(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1::text)",
        &[&index.name],
    )?;
    Ok(match row.map(|row| row.get(0)) {
        None => State::Missing,
        Some(false) => State::Invalid,
        Some(true) => State::Valid,
    })
}
