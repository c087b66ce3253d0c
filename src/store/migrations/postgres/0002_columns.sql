-- The columns that the realtime tier adds. No table is rewritten or read through. Each table is locked by itself, for a moment.
-- What is here may have been done before: a run that ended half way is run again.

-- The newest message's `seq`; 0 where there is none; NULL until the conversation's messages have their places.
-- Rows are updated with each message: the room left in each page keeps those updates out of the indexes.
BEGIN;
ALTER TABLE conversations_conversation
    ADD COLUMN IF NOT EXISTS last_seq bigint,
    SET (fillfactor = 80);
COMMIT;

-- Every message of others up to `last_read_seq` has its row in conversations_messageread; `unread` counts those that have a
-- `seq` and no row there.
BEGIN;
ALTER TABLE conversations_conversation_participants
    ADD COLUMN IF NOT EXISTS last_read_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS unread bigint NOT NULL DEFAULT 0,
    SET (fillfactor = 80);
COMMIT;

-- The place within the conversation, 1, 2, 3 without holes; and the sender's own word for the message.
BEGIN;
ALTER TABLE conversations_message
    ADD COLUMN IF NOT EXISTS seq bigint,
    ADD COLUMN IF NOT EXISTS client_id text;
COMMIT;
