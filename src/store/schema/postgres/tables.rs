//! What the server needs of Django's tables: columns, their types, and the unique pairs that it relies on.

/// What a column can hold, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// An id or a reference to one.
    Bigint,
    /// Text of any width.
    Text,
    /// True or false.
    Boolean,
    /// A moment.
    Time,
}

/// A table as the server uses it.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Read or written; `id` is in each and gives itself.
    pub(super) columns: &'static [(&'static str, Kind)],
    /// Columns that Django may or may not have here, which no server's statement names.
    pub(super) others: &'static [&'static str],
    /// No two rows are equal in all of these.
    pub(super) unique: &'static [&'static [&'static str]],
    /// Columns that a migration adds; nobody else's may be there.
    pub(super) added: &'static [&'static str],
}

/// All of them.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "accounts_user",
        columns: &[
            ("password", Kind::Text),
            ("is_superuser", Kind::Boolean),
            ("username", Kind::Text),
            ("first_name", Kind::Text),
            ("last_name", Kind::Text),
            ("email", Kind::Text),
            ("is_staff", Kind::Boolean),
            ("is_active", Kind::Boolean),
            ("date_joined", Kind::Time),
            ("profile_picture", Kind::Text),
            ("bio", Kind::Text),
            ("phone_number", Kind::Text),
            ("location", Kind::Text),
            ("is_online", Kind::Boolean),
            ("last_activity", Kind::Time),
            ("gender", Kind::Text),
        ],
        others: &["last_login", "date_of_birth", "latitude", "longitude", "appwrite_user_id"],
        unique: &[&["id"], &["username"]],
        added: &[],
    },
    Table {
        name: "accounts_user_liked_users",
        columns: &[("from_user_id", Kind::Bigint), ("to_user_id", Kind::Bigint)],
        others: &[],
        unique: &[&["id"], &["from_user_id", "to_user_id"]],
        added: &[],
    },
    Table {
        name: "accounts_user_blocked_users",
        columns: &[("from_user_id", Kind::Bigint), ("to_user_id", Kind::Bigint)],
        others: &[],
        unique: &[&["id"], &["from_user_id", "to_user_id"]],
        added: &[],
    },
    Table {
        name: "conversations_conversation",
        columns: &[
            ("created_at", Kind::Time),
            ("updated_at", Kind::Time),
            ("is_active", Kind::Boolean),
        ],
        others: &[],
        unique: &[&["id"]],
        added: &["last_seq"],
    },
    Table {
        name: "conversations_conversation_participants",
        columns: &[("conversation_id", Kind::Bigint), ("user_id", Kind::Bigint)],
        others: &[],
        unique: &[&["id"], &["conversation_id", "user_id"]],
        added: &["last_read_seq", "unread", "active_hour"],
    },
    Table {
        name: "conversations_message",
        columns: &[
            ("content", Kind::Text),
            ("created_at", Kind::Time),
            ("is_read", Kind::Boolean),
            ("attachment", Kind::Text),
            ("conversation_id", Kind::Bigint),
            ("sender_id", Kind::Bigint),
        ],
        others: &[],
        unique: &[&["id"]],
        added: &["seq", "client_id"],
    },
    Table {
        name: "conversations_messageread",
        columns: &[
            ("read_at", Kind::Time),
            ("message_id", Kind::Bigint),
            ("user_id", Kind::Bigint),
        ],
        others: &[],
        unique: &[&["id"], &["message_id", "user_id"]],
        added: &[],
    },
    Table {
        name: "matching_match",
        columns: &[
            ("created_at", Kind::Time),
            ("is_active", Kind::Boolean),
            ("user1_id", Kind::Bigint),
            ("user2_id", Kind::Bigint),
        ],
        others: &[],
        unique: &[&["id"], &["user1_id", "user2_id"]],
        added: &[],
    },
];

impl Kind {
    /// True exactly when a column of Postgres's type `type_name` (as `pg_type` calls it) can be read and written as this.
    pub(super) fn is(self, type_name: &str) -> bool {
        match self {
            Self::Bigint => type_name == "int8",
            Self::Text => matches!(type_name, "varchar" | "text"),
            Self::Boolean => type_name == "bool",
            Self::Time => type_name == "timestamptz",
        }
    }

    /// The type that is asked for, for people.
    pub(super) const fn wanted(self) -> &'static str {
        match self {
            Self::Bigint => "bigint",
            Self::Text => "text or varchar",
            Self::Boolean => "boolean",
            Self::Time => "timestamp with time zone",
        }
    }
}
