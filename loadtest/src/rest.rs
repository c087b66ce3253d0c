//! The calls of the REST API that are made here.

use anyhow::Context;
use serde::Deserialize;
use serde_json::json;

use crate::http::Connection;
use crate::stored::Row;
use crate::wire::{Message, User, hash};

/// Messages of one page: the server's most.
const PAGE: usize = 200;

/// A conversation as a participant sees it.
#[derive(Debug, Deserialize)]
pub(crate) struct Conversation {
    /// Its id.
    pub(crate) id: i64,
    /// Who talks in it.
    pub(crate) participants: Vec<User>,
    /// False once it was left.
    pub(crate) is_active: bool,
}

impl Conversation {
    /// True exactly when `user` is in it.
    pub(crate) fn has(&self, user: i64) -> bool {
        self.participants.iter().any(|participant| participant.id == user)
    }
}

/// What a like came to.
#[derive(Debug, Deserialize)]
pub(crate) struct Liked {
    /// True exactly when it completed a match.
    pub(crate) is_match: bool,
    /// That match.
    pub(crate) r#match: Option<Made>,
}

/// A match as the one whose like completed it hears of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Made {
    /// Its id.
    pub(crate) id: i64,
    /// Where the two talk.
    pub(crate) conversation_id: i64,
}

/// A match in a user's list.
#[derive(Debug, Deserialize)]
pub(crate) struct RecentMatch {
    /// The other user.
    pub(crate) id: i64,
    /// The match.
    pub(crate) match_id: i64,
    /// Where the two talk; `None`: nowhere.
    pub(crate) conversation_id: Option<i64>,
}

/// The conversations of `user`.
pub(crate) fn conversations(
    connection: &mut Connection<'_>,
    user: i64,
) -> anyhow::Result<Vec<Conversation>> {
    let path = "/api/v1/conversations/";
    connection
        .call("GET", path, user, "")?
        .expect(200)
        .with_context(|| format!("GET {path} as user {user}"))
}

/// Opens the conversation of `user` and `other`, or finds it, and says `message` in it.
pub(crate) fn open_conversation(
    connection: &mut Connection<'_>,
    user: i64,
    other: i64,
    message: &str,
) -> anyhow::Result<Conversation> {
    let path = "/api/v1/conversations/";
    let body = json!({ "participant_id": other, "message": message }).to_string();
    connection
        .call("POST", path, user, &body)?
        .expect(201)
        .with_context(|| format!("POST {path} as user {user} with {other}"))
}

/// What is said in `conversation` after `after_seq`, as `user` is told it, page for page.
pub(crate) fn messages(
    connection: &mut Connection<'_>,
    conversation: i64,
    user: i64,
    after_seq: u64,
) -> anyhow::Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    let mut after = after_seq;
    loop {
        let path = format!(
            "/api/v1/conversations/{conversation}/messages/?limit={PAGE}&after_seq={after}"
        );
        let answer = connection.call("GET", &path, user, "")?;
        let page: Vec<Message<'_>> =
            answer.expect(200).with_context(|| format!("GET {path} as user {user}"))?;
        let Some(last) = page.iter().map(|message| message.seq).max() else { return Ok(rows) };
        rows.extend(page.iter().map(Row::from));
        // A server that tells the same page again would keep a client here for ever.
        anyhow::ensure!(last > after, "GET {path} does not lead on");
        after = last;
    }
}

/// What was said last in `conversation`, the oldest first, as many as the server tells of its own accord.
pub(crate) fn latest(
    connection: &mut Connection<'_>,
    conversation: i64,
    user: i64,
) -> anyhow::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Said {
        content: String,
    }
    let path = format!("/api/v1/conversations/{conversation}/messages/");
    let said: Vec<Said> = connection
        .call("GET", &path, user, "")?
        .expect(200)
        .with_context(|| format!("GET {path} as user {user}"))?;
    Ok(said.into_iter().map(|said| said.content).collect())
}

impl From<&Message<'_>> for Row {
    fn from(message: &Message<'_>) -> Self {
        Self {
            seq: message.seq,
            sender: message.sender.id,
            client_id: message.client_id.clone(),
            content: hash(&message.content),
        }
    }
}

/// Asks for a like, without waiting for what comes of it.
pub(crate) fn send_like(
    connection: &mut Connection<'_>,
    user: i64,
    liked: i64,
) -> anyhow::Result<()> {
    let body = json!({ "user_id": liked }).to_string();
    connection.send("POST", "/api/v1/matching/like/", user, &body)
}

/// What came of a like.
pub(crate) fn receive_like(connection: &mut Connection<'_>) -> anyhow::Result<Liked> {
    connection.receive()?.expect(201).context("POST /api/v1/matching/like/")
}

/// The matches of `user`, those of the last 30 days.
pub(crate) fn recent_matches(
    connection: &mut Connection<'_>,
    user: i64,
) -> anyhow::Result<Vec<RecentMatch>> {
    let path = "/api/v1/matching/recent-matches/";
    connection
        .call("GET", path, user, "")?
        .expect(200)
        .with_context(|| format!("GET {path} as user {user}"))
}
