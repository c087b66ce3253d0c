-- Every conversation and message has its places: said to Postgres by a constraint that is checked beside the writers (so its
-- lock may be waited for), and SET NOT NULL finds it proved and reads nothing under its own.

BEGIN;
ALTER TABLE conversations_conversation
    DROP CONSTRAINT IF EXISTS conversations_conversation_last_seq_known,
    ADD CONSTRAINT conversations_conversation_last_seq_known CHECK (last_seq IS NOT NULL) NOT VALID;
COMMIT;
BEGIN;
SET LOCAL lock_timeout = 0;
ALTER TABLE conversations_conversation
    VALIDATE CONSTRAINT conversations_conversation_last_seq_known;
COMMIT;
BEGIN;
ALTER TABLE conversations_conversation
    ALTER COLUMN last_seq SET NOT NULL;
ALTER TABLE conversations_conversation
    DROP CONSTRAINT conversations_conversation_last_seq_known;
COMMIT;

BEGIN;
ALTER TABLE conversations_message
    DROP CONSTRAINT IF EXISTS conversations_message_seq_known,
    ADD CONSTRAINT conversations_message_seq_known CHECK (seq IS NOT NULL) NOT VALID;
COMMIT;
BEGIN;
SET LOCAL lock_timeout = 0;
ALTER TABLE conversations_message VALIDATE CONSTRAINT conversations_message_seq_known;
COMMIT;
BEGIN;
ALTER TABLE conversations_message ALTER COLUMN seq SET NOT NULL;
ALTER TABLE conversations_message DROP CONSTRAINT conversations_message_seq_known;
COMMIT;
