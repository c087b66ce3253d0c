-- The tables and columns of the Django project, with SQLite's types, and the columns that the realtime tier adds to them.
--
-- Every time is an INTEGER: microseconds since 1970-01-01T00:00:00Z, UTC. Every boolean is 0 or 1.
-- CHECKs keep the widths of Django's columns, so that what is stored here fits there.
-- Tables are linked without ON DELETE, as Django links them: nothing is deleted but likes and blocks.

CREATE TABLE accounts_user (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    password TEXT NOT NULL CHECK (length(password) <= 128),
    last_login INTEGER,
    is_superuser INTEGER NOT NULL CHECK (is_superuser IN (0, 1)),
    username TEXT NOT NULL UNIQUE CHECK (length(username) BETWEEN 1 AND 150),
    first_name TEXT NOT NULL CHECK (length(first_name) <= 150),
    last_name TEXT NOT NULL CHECK (length(last_name) <= 150),
    email TEXT NOT NULL CHECK (length(email) <= 254),
    is_staff INTEGER NOT NULL CHECK (is_staff IN (0, 1)),
    is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    date_joined INTEGER NOT NULL,
    profile_picture TEXT CHECK (length(profile_picture) <= 100),
    bio TEXT,
    date_of_birth TEXT,
    phone_number TEXT CHECK (length(phone_number) <= 15),
    location TEXT CHECK (length(location) <= 100),
    latitude REAL,
    longitude REAL,
    is_online INTEGER CHECK (is_online IN (0, 1)),
    last_activity INTEGER,
    appwrite_user_id TEXT UNIQUE CHECK (length(appwrite_user_id) <= 255),
    gender TEXT CHECK (length(gender) <= 1)
) STRICT;

-- `from_user_id` likes `to_user_id`.
CREATE TABLE accounts_user_liked_users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    from_user_id INTEGER NOT NULL REFERENCES accounts_user (id),
    to_user_id INTEGER NOT NULL REFERENCES accounts_user (id),
    UNIQUE (from_user_id, to_user_id)
) STRICT;

-- `from_user_id` blocks `to_user_id`.
CREATE TABLE accounts_user_blocked_users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    from_user_id INTEGER NOT NULL REFERENCES accounts_user (id),
    to_user_id INTEGER NOT NULL REFERENCES accounts_user (id),
    UNIQUE (from_user_id, to_user_id)
) STRICT;

CREATE TABLE conversations_conversation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    -- Ours: the newest message's `seq`; 0 where there is none.
    last_seq INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE conversations_conversation_participants (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id INTEGER NOT NULL REFERENCES conversations_conversation (id),
    user_id INTEGER NOT NULL REFERENCES accounts_user (id),
    -- Ours: every message of others up to this `seq` has its row in conversations_messageread.
    last_read_seq INTEGER NOT NULL DEFAULT 0,
    -- Ours: messages of others after `last_read_seq`, counted so that a list of conversations need not.
    unread INTEGER NOT NULL DEFAULT 0 CHECK (unread >= 0),
    UNIQUE (conversation_id, user_id)
) STRICT;

CREATE INDEX conversations_participants_user
    ON conversations_conversation_participants (user_id, conversation_id);

CREATE TABLE conversations_message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    content TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    is_read INTEGER NOT NULL CHECK (is_read IN (0, 1)),
    attachment TEXT CHECK (length(attachment) <= 100),
    conversation_id INTEGER NOT NULL REFERENCES conversations_conversation (id),
    sender_id INTEGER NOT NULL REFERENCES accounts_user (id),
    -- Ours: the place within the conversation, 1, 2, 3 without holes.
    seq INTEGER NOT NULL CHECK (seq > 0),
    -- Ours: the sender's own word for it.
    client_id TEXT
) STRICT;

CREATE UNIQUE INDEX conversations_message_seq
    ON conversations_message (conversation_id, seq);
CREATE UNIQUE INDEX conversations_message_client_id
    ON conversations_message (conversation_id, sender_id, client_id) WHERE client_id IS NOT NULL;

CREATE TABLE conversations_messageread (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    read_at INTEGER NOT NULL,
    message_id INTEGER NOT NULL REFERENCES conversations_message (id),
    user_id INTEGER NOT NULL REFERENCES accounts_user (id),
    UNIQUE (message_id, user_id)
) STRICT;

CREATE TABLE matching_match (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at INTEGER NOT NULL,
    is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    user1_id INTEGER NOT NULL REFERENCES accounts_user (id),
    user2_id INTEGER NOT NULL REFERENCES accounts_user (id),
    UNIQUE (user1_id, user2_id),
    CHECK (user1_id < user2_id)
) STRICT;

CREATE INDEX matching_match_user1 ON matching_match (user1_id, created_at) WHERE is_active = 1;
CREATE INDEX matching_match_user2 ON matching_match (user2_id, created_at) WHERE is_active = 1;
