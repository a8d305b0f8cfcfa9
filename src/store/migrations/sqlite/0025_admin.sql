-- Operators' tokens, of which only a hash is kept.
CREATE TABLE admin_tokens (
    id              TEXT    NOT NULL PRIMARY KEY,   -- its public first characters
    hash            BLOB    NOT NULL,               -- SHA-256 of the whole token
    role            TEXT    NOT NULL,
    name            TEXT,
    created_unix_ms INTEGER NOT NULL,
    expires_unix_ms INTEGER NOT NULL,
    revoked_unix_ms INTEGER
) WITHOUT ROWID;

-- Writes that came with an Idempotency-Key, and what they were answered. Kept for a day, and so many at most.
CREATE TABLE admin_requests (
    operator    TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,                   -- SHA-256 of method, path and body
    at_unix_ms  INTEGER NOT NULL,
    status      INTEGER,                            -- NULL: it was begun, and its end is not known
    body        TEXT,
    PRIMARY KEY (operator, key)
) WITHOUT ROWID;

CREATE INDEX admin_requests_by_time ON admin_requests (at_unix_ms);
