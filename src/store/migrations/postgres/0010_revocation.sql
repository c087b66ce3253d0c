-- Tokens that are refused: all of a user's that were issued by `at`, or the one called `jti`. Forgotten after `until`.

BEGIN;
CREATE TABLE IF NOT EXISTS fortifun_revocation (
    -- In the order of commits: whoever adds one locks the table against others.
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint,
    jti text CHECK (octet_length(jti) BETWEEN 1 AND 255),
    at timestamptz NOT NULL,
    until timestamptz NOT NULL,
    CHECK ((user_id IS NULL) <> (jti IS NULL))
);
CREATE INDEX IF NOT EXISTS fortifun_revocation_until ON fortifun_revocation (until);
COMMIT;
