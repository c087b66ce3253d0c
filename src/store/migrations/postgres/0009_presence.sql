-- Which node has which user, and until when a node that says nothing counts as alive. Django knows nothing of these tables: they
-- name users and hold none.
-- What is here may have been done before: a run that ended half way is run again.

BEGIN;
CREATE TABLE IF NOT EXISTS fortifun_node (
    -- One life of one process.
    id uuid PRIMARY KEY,
    -- False: it was given a lease and has not asked for one yet.
    is_held boolean NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS fortifun_node_expires ON fortifun_node (expires_at);
CREATE TABLE IF NOT EXISTS fortifun_presence (
    user_id bigint NOT NULL,
    node uuid NOT NULL,
    PRIMARY KEY (user_id, node)
);
CREATE INDEX IF NOT EXISTS fortifun_presence_node ON fortifun_presence (node, user_id);
COMMIT;
