//! Every bound of the server that is not a setting, in one place, with the relations between them asserted.

/// Shards a process can have: one bit each in the group registry.
pub const SHARDS_MAX: usize = 64;
/// The receive buffer that a shard's connections share, bytes.
pub const RECV_BUFFER_BYTES: usize = 64 * 1024;
/// Receives of one connection in one turn before it goes to the hungry list.
pub const RECV_BUDGET: u32 = 4;
/// Connections accepted in one turn.
pub const ACCEPT_BATCH_MAX: usize = 64;
/// After descriptors ran out, how long nothing is accepted unless a connection of the shard ends.
pub const ACCEPT_PAUSE_MS: u64 = 100;
/// Readiness events taken in one turn.
pub const EVENTS_PER_TURN_MAX: usize = 1_024;
/// Changes of presence that wait for room in the write queue.
pub const OFFLINE_PENDING_MAX: usize = 1_000_000;
/// How long a change of presence waits for company after others were told; milliseconds.
pub const PRESENCE_GATHER_MS: u64 = 20;
/// How soon what found its queue full is tried again; milliseconds.
pub const STALL_MS: u64 = 2;
/// Changes of presence that one shard asks of the store again in one second.
pub const PRESENCE_RETRIES_MAX: usize = 256;
/// Users of a node that lost its lease whose presence is told again in one second.
pub const PRESENCE_AGAIN_MAX: usize = 1_024;
/// How often a node renews its lease, unless that is too short for it: then three times in it.
pub const LEASE_RENEW_MS: u64 = 10_000;
/// How soon a lease that could not be renewed is asked for again.
pub const LEASE_RETRY_MS: u64 = 1_000;
/// The lease that a node is given which says who is here before it has asked for one, seconds.
pub const LEASE_FIRST_S: u32 = 30;
/// What is left of the lease of a node that stops, seconds: whoever comes back elsewhere by then was never away.
pub const LEASE_LAST_S: u32 = 15;
/// Users that one renewal of a lease takes offline.
pub const LEASE_REAP_MAX: usize = 500;
/// How long a node whose lease ended is remembered, seconds: longer than anything that it was still doing may take.
pub const NODE_KEPT_S: i64 = 86_400;
/// Between two questions for new revocations.
pub const REVOCATIONS_POLL_MS: u64 = 300;
/// Revocations in one answer.
pub const REVOCATIONS_PAGE: usize = 1_000;
/// A token's `jti` that can be revoked, bytes.
pub const JTI_BYTES_MAX: usize = 255;
/// Between two shares of connections that a draining shard closes.
pub const DRAIN_STEP_MS: u64 = 100;
/// Slices in one `writev`; Linux' `IOV_MAX` is 1,024.
pub const IOVEC_MAX: usize = 64;
/// Notes in a shard's inbox.
pub const INBOX_NOTES_MAX: usize = 65_536;
/// Notes taken in one turn before sockets are looked at again.
pub const NOTES_PER_TURN_MAX: usize = 4_096;
/// Messages of one conversation that a session's outbound takes as one piece.
pub const RUN_MAX: usize = 64;
/// The same in bytes.
pub const RUN_BYTES_MAX: usize = 64 * 1024;
/// How long a worker waits for room in an inbox.
pub const INBOX_PATIENCE_MS: u64 = 5_000;
/// Groups, connections and users whose lost notes an inbox remembers by name.
pub const LOST_MAX: usize = 1_024;
/// Requests that wait for one write worker.
pub const WRITE_QUEUE_MAX: usize = 1_024;
/// Requests that wait for the read workers: what a crowd that comes back asks in one or two seconds.
pub const READ_QUEUE_MAX: usize = 4_096;

/// A message on the bus as it travels, and the text that clients get of it, bytes.
pub const BUS_MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// Maps and lists within each other in a message on the bus, the message itself included.
pub const BUS_DEPTH_MAX: usize = 64;
/// Values in a message on the bus, maps and lists included.
pub const BUS_VALUES_MAX: usize = 65_536;

/// Deliveries that wait to be published on the bus.
pub const BUS_OUTBOX_MAX: usize = 16_384;
/// Bytes of deliveries that wait to be published on the bus.
pub const BUS_OUTBOX_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Deliveries published in one pipeline.
pub const BUS_BATCH_MAX: usize = 512;
/// Bytes of a pipeline, where it has more than one delivery.
pub const BUS_BATCH_BYTES_MAX: usize = 1024 * 1024;
/// How long the bus may take to answer.
pub const BUS_ANSWER_MS: u64 = 2_000;
/// How long a receiving connection waits for something before it looks at what else is to be done.
pub const BUS_IDLE_MS: u64 = 1_000;
/// How long a receiving connection that was asked for a sign of life may be silent.
pub const BUS_SILENCE_MS: u64 = 2_500;
/// Channels in one command that subscribes.
pub const BUS_SUBSCRIBE_MAX: usize = 1_000;
/// Channels that one connection has subscribed to and that are not confirmed, when the next command is sent. A confirmation
/// of the longest name has 200 bytes, and Redis cuts off who leaves 8 MiB unread.
pub const BUS_UNCONFIRMED_MAX: usize = 4_000;
/// How often the map of a cluster is read where nobody doubts it.
pub const BUS_MAP_MS: u64 = 5_000;
/// Between two orders to look for what was lost on the bus, from one node.
pub const BUS_GAP_MS: u64 = 5_000;
/// With the core layer: how long a node that gives no sign of life is taken to live, seconds.
pub const BUS_SIGN_S: u64 = 30;
/// Nodes that a node knows something of.
pub const BUS_NODES_MAX: usize = 4_096;
/// Members of dead nodes that are taken out of their groups at once.
pub const BUS_MEMBERS_MET_MAX: usize = 4_096;
/// Groups that a stopping node leaves at once.
pub const BUS_LEAVE_MAX: usize = 4_096;
/// Between two tries to tell a node whose queue is full that it missed something.
pub const BUS_OWED_MS: u64 = 100;
/// Before the first try to connect to the bus again, at most; the bound doubles from there.
pub const BUS_RETRY_MS_MIN: u64 = 50;
/// Between two such tries at most.
pub const BUS_RETRY_MS_MAX: u64 = 2_000;
/// How long a stopping node goes on sending what waits for the bus.
pub const BUS_CLOSE_MS: u64 = 2_000;
/// How long a group is listened to after its last session has left.
pub const BUS_LINGER_MS: u64 = 5_000;
/// How long a message that came before the one before it waits for that one.
pub const BUS_EARLY_MS: u64 = 50;
/// How long a user's first message of a conversation waits for an earlier one from another node.
pub const BUS_COLD_MS: u64 = 10;
/// Messages of one conversation that wait for an earlier one.
pub const BUS_HELD_MAX: usize = 64;
/// Stretches of one conversation that were given up and are remembered.
pub const BUS_SKIPPED_MAX: usize = 8;
/// How long messages wait for the store to say what is missing before them.
pub const BUS_REPAIR_MS: u64 = 5_000;
/// How far back the store is asked for what is missing.
pub const BUS_HOLE_MS: i64 = 60_000;
/// Conversations of which it is remembered how far they went out to a group here.
pub const BUS_PLACES_MAX: usize = 1_000_000;
/// How long that is remembered after the last message, while the bus works.
pub const BUS_PLACE_MS: u64 = 600_000;
/// How often groups without sessions, and conversations without messages, are looked for.
pub const BUS_SWEEP_MS: u64 = 250;
/// Conversations, users or messages that the store is asked about at once.
pub const BUS_CHECK_MAX: usize = 500;
/// How long what is to be asked of the store is gathered.
pub const BUS_GATHER_MS: u64 = 20;
/// How long whoever brings up messages from the store waits for this node's workers to publish what they have committed.
pub const BUS_PUBLISHED_MS: u64 = 1_000;
/// How far back the store is asked, beyond the moment from which something may be missing: clocks of nodes differ, and what was
/// committed was published a little later.
pub const BUS_MARGIN_MS: i64 = 2_000;
/// Notes to the thread that asks the store what was missed.
pub const BUS_NOTES_MAX: usize = 65_536;

/// Tries of one batch that others' transactions stand in the way of.
pub const COMMIT_TRIES_MAX: u32 = 5;
/// How long a worker asks what became of a batch whose end was not told, before it tells the askers that it does not know.
pub const SETTLE_MS: u64 = 3_000;
/// Between the first two of these questions, milliseconds; each further wait is twice as long.
pub const SETTLE_PAUSE_MS: u64 = 10;
/// Until a wait is this long.
pub const SETTLE_PAUSE_MAX_MS: u64 = 500;
/// Between the questions of a worker that has nothing else to do.
pub const SETTLE_AGAIN_MS: u64 = 1_000;
/// Questions that a database may fail to answer though it is there; then the batch is given up.
pub const SETTLE_TRIES_MAX: u32 = 10;

/// How long a start waits for the first answer of a database that is a server before it opens its port without one.
pub const STORE_FIRST_MS: u64 = 1_000;
/// Between the first two tries to reach such a database; the pause doubles from there.
pub const STORE_RETRY_MS_MIN: u64 = 200;
/// Between two such tries at most.
pub const STORE_RETRY_MS_MAX: u64 = 5_000;
/// How long a worker's failure keeps the log from saying that the database works again, where nobody asked that worker since.
pub const STORE_TROUBLE_MS: u64 = 10_000;

/// A client's `ref`, bytes.
pub const REF_BYTES_MAX: usize = 64;
/// A client's `client_id`, bytes.
pub const CLIENT_ID_BYTES_MAX: usize = 64;
/// A `ping`'s `timestamp` as JSON, bytes.
pub const PING_TIMESTAMP_BYTES_MAX: usize = 64;
/// A message's text, characters.
pub const CONTENT_CHARS_MAX: usize = 4_000;
/// An attachment's key or URL, characters: the width of Django's column.
pub const ATTACHMENT_CHARS_MAX: usize = 100;
/// Users in one `user_status` subscription, and watched by one session.
pub const SUBSCRIBE_USERS_MAX: usize = 200;
/// Conversations in one `resume`.
pub const RESUME_CONVERSATIONS_MAX: usize = 100;
/// Conversations in which one chat session is typing at once.
pub const TYPING_CONVERSATIONS_MAX: usize = 16;
/// Messages that one resume replays.
pub const RESUME_MESSAGES_MAX: usize = 1_000;
/// Messages of one page of a resume: the longest that the texts' bound allows stay within a slow consumer's.
pub const RESUME_PAGE: usize = 32;
/// Echoes of a chat session's own messages that wait for the end of its resumes.
pub const ECHOES_HELD_MAX: usize = 32;
/// Bad commands within [`BAD_COMMANDS_WINDOW_MS`] that end a session.
pub const BAD_COMMANDS_MAX: u32 = 20;
/// See [`BAD_COMMANDS_MAX`].
pub const BAD_COMMANDS_WINDOW_MS: u64 = 10_000;
/// Commands over a rate limit, within the same window, that end a session.
pub const LIMITED_COMMANDS_MAX: u32 = 100;
/// How long "is typing" lasts after the last word of it.
pub const TYPING_MS: u64 = 10_000;
/// From a user's last session's end to "offline".
pub const OFFLINE_GRACE_MS: u64 = 15_000;
/// Before a token's `exp`, `fortifun.v1` clients hear `token_expiring`.
pub const TOKEN_EXPIRING_MS: i64 = 60_000;

/// Messages of a history page where the client names no limit.
pub const HISTORY_DEFAULT: usize = 50;
/// Messages of a history page at most.
pub const HISTORY_MAX: usize = 200;
/// Matches of a page where the client names no size.
pub const MATCH_PAGE_DEFAULT: usize = 20;
/// Matches of a page at most.
pub const MATCH_PAGE_MAX: usize = 100;
/// Conversations in one list at most.
pub const CONVERSATIONS_MAX: usize = 500;
/// Matches in one `recent-matches` at most.
pub const RECENT_MATCHES_MAX: usize = 500;
/// Days that `recent-matches` looks back.
pub const RECENT_MATCH_DAYS: i64 = 30;

/// The queue of connections that the kernel has accepted and a shard has not; `net.core.somaxconn` bounds it too.
pub const ACCEPT_BACKLOG: u32 = 4_096;
/// How long the store may take to answer a request or a handshake.
pub const DECIDE_MS: u64 = 30_000;
/// How long a closing connection may take to send its last bytes and hear the peer's; for a long response, from one byte that leaves to the next.
pub const CLOSE_MS: u64 = 5_000;
/// Frames that one text may be cut into.
pub const FRAGMENTS_MAX: u32 = 1_024;
/// A text or binary on `/_echo`, bytes.
pub const ECHO_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Frames that one text or binary on `/_echo` may be cut into.
pub const ECHO_FRAGMENTS_MAX: u32 = 70_000;

/// The head of a request, bytes.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Header lines of a request.
pub const HEADERS_MAX: usize = 64;
/// A request's body, bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

const _: () = {
    assert!(RECV_BUFFER_BYTES > HEAD_BYTES_MAX);
    assert!(IOVEC_MAX <= 1_024);
    assert!(HISTORY_DEFAULT <= HISTORY_MAX && HISTORY_MAX <= RESUME_MESSAGES_MAX);
    assert!(RESUME_PAGE <= HISTORY_MAX);
    // They may leave at once, as a page does.
    assert!(ECHOES_HELD_MAX <= RESUME_PAGE);
    // Counted in a byte each.
    assert!(BAD_COMMANDS_MAX < 256 && LIMITED_COMMANDS_MAX < 256);
    assert!(MATCH_PAGE_DEFAULT <= MATCH_PAGE_MAX);
    // Every request that waits can be answered without filling an inbox by itself.
    assert!(WRITE_QUEUE_MAX + READ_QUEUE_MAX < INBOX_NOTES_MAX / 8);
    assert!(NOTES_PER_TURN_MAX <= INBOX_NOTES_MAX);
    assert!(STORE_RETRY_MS_MIN >= 2 && STORE_RETRY_MS_MIN < STORE_RETRY_MS_MAX);
    // Whoever asked still waits when the worker knows, or gives up.
    assert!(SETTLE_PAUSE_MS <= SETTLE_PAUSE_MAX_MS && SETTLE_PAUSE_MAX_MS < SETTLE_MS);
    assert!(2 * SETTLE_MS < DECIDE_MS);
    assert!(LEASE_LAST_S as u64 * 1_000 == OFFLINE_GRACE_MS);
    assert!(LEASE_RETRY_MS < LEASE_RENEW_MS && LEASE_FIRST_S as u64 * 1_000 >= 3 * LEASE_RENEW_MS);
    assert!(BUS_BATCH_MAX <= BUS_OUTBOX_MAX);
    assert!(BUS_BATCH_MAX <= BUS_OUTBOX_MAX && BUS_BATCH_BYTES_MAX <= BUS_OUTBOX_BYTES_MAX);
    assert!(BUS_MESSAGE_BYTES_MAX <= BUS_BATCH_BYTES_MAX);
    // Asked for a sign of life, it has time to give one; and a dead one is noticed within three seconds.
    assert!(2 * BUS_IDLE_MS <= BUS_SILENCE_MS && BUS_SILENCE_MS < 3_000);
    assert!(BUS_SUBSCRIBE_MAX <= BUS_UNCONFIRMED_MAX);
    // A sign is given every second.
    assert!(10 * BUS_IDLE_MS <= 1_000 * BUS_SIGN_S);
    assert!(BUS_RETRY_MS_MIN < BUS_RETRY_MS_MAX && BUS_RETRY_MS_MAX <= BUS_ANSWER_MS);
    assert!(BUS_COLD_MS < BUS_EARLY_MS && BUS_REPAIR_MS < BUS_PLACE_MS);
    assert!(BUS_EARLY_MS < BUS_MARGIN_MS as u64);
    // "Typing" ends before its typist is said to be offline.
    assert!(TYPING_MS < OFFLINE_GRACE_MS);
};
