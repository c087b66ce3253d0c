-- Tokens that are refused: all of a user's that were issued by `at`, or the one called `jti`. Forgotten after `until`.

CREATE TABLE fortifun_revocation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER,
    jti TEXT CHECK (length(CAST(jti AS BLOB)) BETWEEN 1 AND 255),
    at INTEGER NOT NULL,
    until INTEGER NOT NULL,
    CHECK ((user_id IS NULL) <> (jti IS NULL))
) STRICT;

CREATE INDEX fortifun_revocation_until ON fortifun_revocation (until);
