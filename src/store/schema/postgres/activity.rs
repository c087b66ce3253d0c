//! Tells every participant in which hour their conversation was last active, while the server and Django go on.
//!
//! The triggers come first: from then on whoever moves `updated_at` into another hour moves the hour of the participants as well.
//! What was there before is filled in by steps of one statement each. A step waits for nobody: participants whose rows others
//! hold are left for a later pass, and those that a trigger was faster with are left alone. So it takes no part in any deadlock,
//! may be the last of its process's life, and no hour is put back.

use postgres::Client;

use super::{Progress, indexes, session};
use crate::store::{StoreError, StoreErrorKind};

const SCRIPT: &str = include_str!("../../migrations/postgres/0008_activity.sql");

/// Participants of one step.
const PARTICIPANTS: i64 = 5_000;

const UNFILLED: &str = "
    SELECT count(*) FROM conversations_conversation_participants WHERE active_hour = 0";

/// Of the `$2` participants after `$1`: the last one's id, how many were without their hour, and how many of those have it now.
const STEP: &str = "
    WITH step AS MATERIALIZED (
        SELECT p.id, p.active_hour FROM conversations_conversation_participants p
        WHERE p.id > $1 ORDER BY p.id LIMIT $2
    ), due AS MATERIALIZED (
        SELECT p.id, p.conversation_id FROM conversations_conversation_participants p
        WHERE p.id = ANY (ARRAY(SELECT step.id FROM step WHERE step.active_hour = 0))
          AND p.active_hour = 0
        FOR NO KEY UPDATE SKIP LOCKED
    ), filled AS (
        UPDATE conversations_conversation_participants p
        SET active_hour = coalesce(fortifun_hour(c.updated_at), 0)
        FROM due LEFT JOIN conversations_conversation c ON c.id = due.conversation_id
        WHERE p.id = due.id
        RETURNING p.id
    )
    SELECT max(step.id), count(*) FILTER (WHERE step.active_hour = 0),
           (SELECT count(*) FROM filled)
    FROM step";

const ANALYZE: &str = "ANALYZE conversations_conversation_participants";

/// Adds the column and its triggers, fills it in, and makes its index.
///
/// # Errors
///
/// [`StoreErrorKind::Contended`] where others hold a participant for many minutes; the next run goes on from there.
pub(super) fn run(
    client: &mut Client,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    session::patiently(client, progress, |client| client.batch_execute(SCRIPT))?;
    let total = client.query_one(UNFILLED, &[])?.get::<_, i64>(0) as u64;
    client.batch_execute(session::BY_INDEX)?;
    fill(client, total, progress)?;
    client.batch_execute(session::AS_USUAL)?;
    // After the rows: until it is there, filling one in writes no index.
    indexes::for_activity(client, progress)?;
    if total > 0 {
        // Without this the planner knows nothing of the new column until autovacuum comes by.
        session::unhurried(client, |client| Ok(client.batch_execute(ANALYZE)?))?;
    }
    Ok(())
}

/// How much there is to fill in, and the index, for people.
pub(super) fn foresee(client: &mut Client) -> Result<String, StoreError> {
    let mut found = indexes::foresee(client, indexes::ACTIVITY)?;
    let (has_table, has_column): (bool, bool) = {
        let row = client.query_one(
            "SELECT t.oid IS NOT NULL,
                    EXISTS (SELECT FROM pg_attribute WHERE attrelid = t.oid AND attname = 'active_hour')
             FROM to_regclass('conversations_conversation_participants') AS t (oid)",
            &[],
        )?;
        (row.get(0), row.get(1))
    };
    if has_table {
        let counted = if has_column {
            UNFILLED
        } else {
            "SELECT count(*) FROM conversations_conversation_participants"
        };
        let participants: i64 = client.query_one(counted, &[])?.get(0);
        found = format!("{participants} participants; {found}");
    }
    Ok(found)
}

/// Passes over all participants until a pass had to leave nobody out.
fn fill(
    client: &mut Client,
    total: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    let mut done = 0;
    let mut idle_passes = 0;
    loop {
        let before = done;
        let mut left = 0;
        let mut after = i64::MIN;
        loop {
            let row = client.query_one(STEP, &[&after, &PARTICIPANTS])?;
            let Some(last) = row.get::<_, Option<i64>>(0) else { break };
            let (due, filled): (i64, i64) = (row.get(1), row.get(2));
            after = last;
            left += due - filled;
            done += filled as u64;
            if filled > 0 {
                progress(Progress::Filling { done, total: total.max(done) });
            }
        }
        if left == 0 {
            return Ok(());
        }
        if done > before {
            idle_passes = 0;
            continue;
        }
        if idle_passes == 0 {
            progress(Progress::Busy);
        }
        idle_passes += 1;
        if idle_passes > session::IDLE_PASSES_MAX {
            let detail = session::in_the_way(client)?;
            return Err(StoreError { kind: StoreErrorKind::Contended, detail });
        }
        session::pause(client)?;
    }
}
