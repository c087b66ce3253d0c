-- What keeps the added columns true while Django writes, who knows nothing of them. The server's own statements say everything
-- themselves: they give `seq`, and their sessions have `fortifun.writer` set to `on`.
--
-- Whoever changes a place or a count holds the conversation's row first. Every function looks tables up where they were when
-- it was made, whatever its caller's search_path.

-- A message takes the next place, and is unread by everyone but its sender. In a conversation that has no places yet it gets
-- none (NULL + 1 is NULL), and its sender's transaction is waited for before places are given.
CREATE OR REPLACE FUNCTION fortifun_message_takes_its_place() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE conversations_conversation SET last_seq = last_seq + 1
    WHERE id = NEW.conversation_id
    RETURNING last_seq INTO NEW.seq;
    IF NEW.seq IS NOT NULL THEN
        UPDATE conversations_conversation_participants SET unread = unread + 1
        WHERE conversation_id = NEW.conversation_id AND user_id <> NEW.sender_id;
    END IF;
    RETURN NEW;
END
$$;

-- The conversation is locked before the row is there: its unique index would make others wait who hold that lock.
CREATE OR REPLACE FUNCTION fortifun_message_is_read() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM FROM conversations_conversation
    WHERE id = (SELECT m.conversation_id FROM conversations_message m WHERE m.id = NEW.message_id)
    FOR NO KEY UPDATE;
    RETURN NEW;
END
$$;

-- Messages that were read are unread no more. Those without a place were not counted yet.
CREATE OR REPLACE FUNCTION fortifun_messages_were_read() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE conversations_conversation_participants p
    SET unread = greatest(p.unread - newly.messages, 0)
    FROM (SELECT m.conversation_id, inserted.user_id, count(*) AS messages
          FROM inserted JOIN conversations_message m ON m.id = inserted.message_id
          WHERE m.seq IS NOT NULL AND m.sender_id <> inserted.user_id
          GROUP BY m.conversation_id, inserted.user_id) newly
    WHERE p.conversation_id = newly.conversation_id AND p.user_id = newly.user_id;
    RETURN NULL;
END
$$;

-- Who joins has not read what the others said before.
CREATE OR REPLACE FUNCTION fortifun_participant_joins() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM FROM conversations_conversation WHERE id = NEW.conversation_id FOR NO KEY UPDATE;
    SELECT count(*) INTO NEW.unread
    FROM conversations_message m
    WHERE m.conversation_id = NEW.conversation_id AND m.seq IS NOT NULL
      AND m.sender_id <> NEW.user_id
      AND NOT EXISTS (SELECT FROM conversations_messageread r
                      WHERE r.message_id = m.id AND r.user_id = NEW.user_id);
    RETURN NEW;
END
$$;

BEGIN;
DROP TRIGGER IF EXISTS fortifun_lock ON conversations_messageread;
CREATE TRIGGER fortifun_lock BEFORE INSERT ON conversations_messageread
    FOR EACH ROW WHEN (current_setting('fortifun.writer', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION fortifun_message_is_read();
DROP TRIGGER IF EXISTS fortifun_read ON conversations_messageread;
CREATE TRIGGER fortifun_read AFTER INSERT ON conversations_messageread
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT
    WHEN (current_setting('fortifun.writer', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION fortifun_messages_were_read();
COMMIT;

BEGIN;
DROP TRIGGER IF EXISTS fortifun_join ON conversations_conversation_participants;
CREATE TRIGGER fortifun_join BEFORE INSERT ON conversations_conversation_participants
    FOR EACH ROW WHEN (current_setting('fortifun.writer', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION fortifun_participant_joins();
COMMIT;

BEGIN;
DROP TRIGGER IF EXISTS fortifun_place ON conversations_message;
CREATE TRIGGER fortifun_place BEFORE INSERT ON conversations_message
    FOR EACH ROW WHEN (NEW.seq IS NULL)
    EXECUTE FUNCTION fortifun_message_takes_its_place();
COMMIT;

-- From here on a new conversation gives its places out itself. Not before: without the triggers its messages would get none.
BEGIN;
ALTER TABLE conversations_conversation ALTER COLUMN last_seq SET DEFAULT 0;
COMMIT;
