-- In which hour each participant's conversation was last active, so that a list finds the newest by an index. `updated_at`
-- changes with every message and is in none; its hour changes once an hour at most. Nothing is rewritten or read through.
-- What is here may have been done before: a run that ended half way is run again.

-- Hours since 1970. One expression, so that it is built into whatever calls it.
CREATE OR REPLACE FUNCTION fortifun_hour(moment timestamptz) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
RETURN floor(date_part('epoch', moment) / 3600)::integer;

-- That of `updated_at`, whoever writes; 0 until it is filled in.
BEGIN;
ALTER TABLE conversations_conversation_participants
    ADD COLUMN IF NOT EXISTS active_hour integer NOT NULL DEFAULT 0;
COMMIT;

-- Whoever moves `updated_at`, holding the conversation's row: the server, Django, or somebody by hand.
CREATE OR REPLACE FUNCTION fortifun_conversation_is_active() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE conversations_conversation_participants SET active_hour = fortifun_hour(NEW.updated_at)
    WHERE conversation_id = NEW.id AND active_hour <> fortifun_hour(NEW.updated_at);
    RETURN NULL;
END
$$;

-- Whoever joins, but for the server, which says it itself.
CREATE OR REPLACE FUNCTION fortifun_participant_is_active() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    moment timestamptz;
BEGIN
    SELECT updated_at INTO moment FROM conversations_conversation
    WHERE id = NEW.conversation_id FOR NO KEY UPDATE;
    NEW.active_hour := coalesce(fortifun_hour(moment), 0);
    RETURN NEW;
END
$$;

-- As before, and a message that Django writes is activity.
CREATE OR REPLACE FUNCTION fortifun_message_takes_its_place() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE conversations_conversation
    SET last_seq = last_seq + 1, updated_at = greatest(updated_at, NEW.created_at)
    WHERE id = NEW.conversation_id
    RETURNING last_seq INTO NEW.seq;
    IF NEW.seq IS NOT NULL THEN
        UPDATE conversations_conversation_participants SET unread = unread + 1
        WHERE conversation_id = NEW.conversation_id AND user_id <> NEW.sender_id;
    END IF;
    RETURN NEW;
END
$$;

BEGIN;
DROP TRIGGER IF EXISTS fortifun_activity ON conversations_conversation_participants;
CREATE TRIGGER fortifun_activity BEFORE INSERT ON conversations_conversation_participants
    FOR EACH ROW WHEN (NEW.active_hour = 0)
    EXECUTE FUNCTION fortifun_participant_is_active();
COMMIT;

BEGIN;
DROP TRIGGER IF EXISTS fortifun_activity ON conversations_conversation;
CREATE TRIGGER fortifun_activity AFTER UPDATE ON conversations_conversation
    FOR EACH ROW WHEN (fortifun_hour(OLD.updated_at) <> fortifun_hour(NEW.updated_at))
    EXECUTE FUNCTION fortifun_conversation_is_active();
COMMIT;
