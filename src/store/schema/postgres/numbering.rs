//! Gives the messages that Django wrote their places, and counts what is unread, while Django goes on.
//!
//! A step is one transaction: it takes the rows of some conversations whose places are not given yet (those that others hold
//! are left for a later pass), then their next messages by `created_at` and `id`, at most [`MESSAGES`] of them. With its last
//! message a conversation gets its `last_seq`; from then on its new messages get their place from the trigger, and until then
//! they get none and wait here. At every moment `unread` counts exactly the messages of others that have a place and were not
//! read, so that a step can be the last of its process's life.

use std::collections::HashMap;

use postgres::{Client, Error};

use super::{Progress, session};
use crate::store::{StoreError, StoreErrorKind};

/// Messages of one step at most.
const MESSAGES: usize = 5_000;
/// Conversations of one step at most; fewer after a step that others stood in the way of.
const CONVERSATIONS: i64 = 256;

const ANALYZE: &str = "
    ANALYZE conversations_message;
    ANALYZE conversations_conversation;
    ANALYZE conversations_conversation_participants";

const UNNUMBERED: &str = "SELECT count(*) FROM conversations_message WHERE seq IS NULL";

const LEFT: &str = "
    SELECT id FROM conversations_conversation WHERE last_seq IS NULL ORDER BY id LIMIT 1";

const LOCK: &str = "
    SELECT id FROM conversations_conversation
    WHERE last_seq IS NULL AND id > $1
    ORDER BY id LIMIT $2
    FOR NO KEY UPDATE SKIP LOCKED";

/// A range, so that the index gives the order and the end is near; the list is looked through, not looked up.
const PAGE: &str = "
    SELECT id, conversation_id, sender_id FROM conversations_message
    WHERE seq IS NULL AND conversation_id BETWEEN $2 AND $3
      AND array_position($1::bigint[], conversation_id) IS NOT NULL
    ORDER BY conversation_id, created_at, id
    LIMIT $4";

const BEGUN: &str = "
    SELECT asked.id, (SELECT max(m.seq) FROM conversations_message m WHERE m.conversation_id = asked.id)
    FROM unnest($1::bigint[]) AS asked (id)";

const NUMBER: &str = "
    UPDATE conversations_message m SET seq = given.seq
    FROM unnest($1::bigint[], $2::bigint[]) AS given (id, seq)
    WHERE m.id = given.id";

/// `last_read_seq` goes on only from where nothing before is unread.
const COUNT: &str = "
    UPDATE conversations_conversation_participants p
    SET unread = p.unread + own.unread,
        last_read_seq = CASE WHEN p.unread = 0 THEN coalesce(own.first_unread - 1, own.newest)
                             ELSE p.last_read_seq END
    FROM (SELECT p.id, max(given.seq) AS newest,
                 count(*) FILTER (WHERE is_unread) AS unread,
                 min(given.seq) FILTER (WHERE is_unread) AS first_unread
          FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
                   AS given (id, seq, conversation_id, sender_id)
          JOIN conversations_conversation_participants p
              ON p.conversation_id = given.conversation_id
          LEFT JOIN conversations_messageread r
              ON r.message_id = given.id AND r.user_id = p.user_id
          CROSS JOIN LATERAL (SELECT r.id IS NULL AND given.sender_id <> p.user_id) AS it (is_unread)
          GROUP BY p.id) own
    WHERE p.id = own.id";

const FINISH: &str = "
    UPDATE conversations_conversation c SET last_seq = finished.last_seq
    FROM unnest($1::bigint[], $2::bigint[]) AS finished (id, last_seq)
    WHERE c.id = finished.id";

/// Numbers what has no place yet.
///
/// # Errors
///
/// [`StoreErrorKind::Contended`] where others hold a conversation for many minutes; the next run goes on from there.
pub(super) fn run(
    client: &mut Client,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    let total = client.query_one(UNNUMBERED, &[])?.get::<_, i64>(0) as u64;
    client.batch_execute(session::BY_INDEX)?;
    let mut done = 0;
    let mut idle_passes = 0;
    while client.query_opt(LEFT, &[])?.is_some() {
        let mut is_idle = true;
        pass(client, &mut |step| {
            is_idle = false;
            done += step.messages as u64;
            progress(Progress::Numbering { done, total: total.max(done) });
        })?;
        if !is_idle {
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
    client.batch_execute(session::AS_USUAL)?;
    if total > 0 {
        // Without this the planner knows nothing of the new columns until autovacuum comes by.
        session::unhurried(client, |client| Ok(client.batch_execute(ANALYZE)?))?;
    }
    Ok(())
}

/// How much there is to number, for people.
pub(super) fn foresee(client: &mut Client) -> Result<String, StoreError> {
    let has_tables: bool =
        client.query_one("SELECT to_regclass('conversations_message') IS NOT NULL", &[])?.get(0);
    if !has_tables {
        return Ok(String::new());
    }
    let is_begun: bool = client
        .query_one(
            "SELECT count(*) = 2 FROM pg_attribute
             WHERE (attrelid, attname) IN ((to_regclass('conversations_message'), 'seq'),
                                           (to_regclass('conversations_conversation'), 'last_seq'))",
            &[],
        )?
        .get(0);
    let counts = if is_begun {
        "SELECT (SELECT count(*) FROM conversations_message WHERE seq IS NULL),
                (SELECT count(*) FROM conversations_conversation WHERE last_seq IS NULL)"
    } else {
        "SELECT (SELECT count(*) FROM conversations_message),
                (SELECT count(*) FROM conversations_conversation)"
    };
    let row = client.query_one(counts, &[])?;
    let (messages, conversations): (i64, i64) = (row.get(0), row.get(1));
    Ok(format!("{messages} messages in {conversations} conversations"))
}

/// What a step did.
struct Step {
    /// Messages that got their place.
    messages: usize,
    /// Where the next one begins: after this conversation.
    after: i64,
    /// The conversation that was not finished, and its places given so far.
    unfinished: Option<(i64, i64)>,
}

/// Steps through all conversations once, by id; those that others hold are passed over.
fn pass(client: &mut Client, told: &mut dyn FnMut(&Step)) -> Result<(), StoreError> {
    let mut after = 0;
    let mut conversations = CONVERSATIONS;
    let mut unfinished = None;
    loop {
        match step(client, after, conversations, unfinished) {
            Ok(Some(step)) => {
                told(&step);
                after = step.after;
                unfinished = step.unfinished;
                conversations = (conversations * 2).min(CONVERSATIONS);
            }
            Ok(None) => return Ok(()),
            Err(error) if session::is_contended(&error) && conversations > 1 => conversations = 1,
            Err(error) if session::is_contended(&error) => {
                // One that is held in part is for the next pass.
                let next = client.query_opt(
                    "SELECT id FROM conversations_conversation
                     WHERE last_seq IS NULL AND id > $1 ORDER BY id LIMIT 1",
                    &[&after],
                )?;
                let Some(next) = next else { return Ok(()) };
                after = next.get(0);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Numbers the next messages of at most `conversations` conversations after `after`, in one transaction; `None` where there is
/// no conversation left that nobody holds.
fn step(
    client: &mut Client,
    after: i64,
    conversations: i64,
    unfinished: Option<(i64, i64)>,
) -> Result<Option<Step>, Error> {
    let mut transaction = client.transaction()?;
    let locked = transaction.query(LOCK, &[&after, &conversations])?;
    let mut ids: Vec<i64> = locked.iter().map(|row| row.get(0)).collect();
    let (Some(&first), Some(&last)) = (ids.first(), ids.last()) else {
        return Ok(None);
    };
    let limit = MESSAGES as i64 + 1;
    let mut page = Page::default();
    for row in transaction.query(PAGE, &[&ids, &first, &last, &limit])? {
        page.push(row.get(0), row.get(1), row.get(2));
    }
    // One message more than a step takes: its conversation is not finished by this one, and those after it are not begun.
    let cut = page.cut();
    if let Some(cut) = cut {
        ids.retain(|id| *id <= cut);
    }
    let mut newest: HashMap<i64, i64> = unfinished.into_iter().collect();
    let asked: Vec<i64> = ids.iter().copied().filter(|id| !newest.contains_key(id)).collect();
    for row in transaction.query(BEGUN, &[&asked])? {
        newest.insert(row.get(0), row.get::<_, Option<i64>>(1).unwrap_or(0));
    }
    page.number(&mut newest);
    transaction.execute(NUMBER, &[&page.ids, &page.seqs])?;
    transaction.execute(COUNT, &[&page.ids, &page.seqs, &page.conversations, &page.senders])?;
    ids.retain(|id| Some(*id) != cut);
    let last_seqs: Vec<i64> = ids.iter().map(|id| newest[id]).collect();
    transaction.execute(FINISH, &[&ids, &last_seqs])?;
    transaction.commit()?;
    Ok(Some(Step {
        messages: page.ids.len(),
        after: cut.map_or(last, |cut| cut - 1),
        unfinished: cut.map(|cut| (cut, newest[&cut])),
    }))
}

/// Messages of a step, column by column.
#[derive(Default)]
struct Page {
    ids: Vec<i64>,
    conversations: Vec<i64>,
    senders: Vec<i64>,
    seqs: Vec<i64>,
}

impl Page {
    fn push(&mut self, id: i64, conversation: i64, sender: i64) {
        self.ids.push(id);
        self.conversations.push(conversation);
        self.senders.push(sender);
    }

    /// Takes the message away that is one too many, and returns its conversation.
    fn cut(&mut self) -> Option<i64> {
        if self.ids.len() <= MESSAGES {
            return None;
        }
        self.ids.pop();
        self.senders.pop();
        self.conversations.pop()
    }

    /// Gives each message the place after its conversation's newest, which moves on.
    fn number(&mut self, newest: &mut HashMap<i64, i64>) {
        self.seqs.extend(self.conversations.iter().map(|conversation| {
            let seq = newest.entry(*conversation).or_default();
            *seq += 1;
            *seq
        }));
    }
}
