-- Which node has which user, and until when a node that says nothing counts as alive.

CREATE TABLE fortifun_node (
    -- 16 bytes: one life of one process.
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    -- 0: it was given a lease and has not asked for one yet.
    is_held INTEGER NOT NULL CHECK (is_held IN (0, 1)),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX fortifun_node_expires ON fortifun_node (expires_at);

CREATE TABLE fortifun_presence (
    user_id INTEGER NOT NULL,
    node BLOB NOT NULL,
    PRIMARY KEY (user_id, node)
) STRICT, WITHOUT ROWID;

CREATE INDEX fortifun_presence_node ON fortifun_presence (node, user_id);
