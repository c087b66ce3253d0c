-- In which hour each participant's conversation was last active, so that a list finds the newest by an index. `updated_at`
-- changes with every message and is in none; its hour changes once an hour at most.

-- Hours since 1970: that of `updated_at`, whoever writes.
ALTER TABLE conversations_conversation_participants ADD COLUMN active_hour INTEGER NOT NULL DEFAULT 0;

UPDATE conversations_conversation_participants SET active_hour = (
    SELECT c.updated_at / 3600000000 FROM conversations_conversation c WHERE c.id = conversation_id);

CREATE INDEX conversations_participants_active
    ON conversations_conversation_participants (user_id, active_hour DESC, conversation_id);

CREATE TRIGGER fortifun_activity AFTER UPDATE OF updated_at ON conversations_conversation
    WHEN OLD.updated_at / 3600000000 <> NEW.updated_at / 3600000000
BEGIN
    UPDATE conversations_conversation_participants SET active_hour = NEW.updated_at / 3600000000
    WHERE conversation_id = NEW.id;
END;
