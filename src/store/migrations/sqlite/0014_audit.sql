-- The audit log: what was done, as the exact bytes that the tree is over. Nothing here is ever changed; only what is known of a
-- person can be erased, from audit_personal, and the log still verifies.
CREATE TABLE audit_entries (
    seq        INTEGER NOT NULL PRIMARY KEY,    -- from 0, without gaps: the leaf's index
    id         TEXT    NOT NULL UNIQUE,         -- a UUIDv7, so that an entry from the local journal is stored once
    at_unix_ms INTEGER NOT NULL,                -- these three are copies out of `bytes`, for looking things up
    action     TEXT    NOT NULL,
    object     TEXT    NOT NULL,                -- kind and name, with a colon between
    bytes      BLOB    NOT NULL
);

CREATE INDEX audit_by_action ON audit_entries (action);
CREATE INDEX audit_by_object ON audit_entries (object);

-- Every complete subtree's hash (RFC 6962), at its "stored hash index": leaf 0, leaf 1, node 0-1, leaf 2, …
CREATE TABLE audit_hashes (
    position INTEGER NOT NULL PRIMARY KEY,
    hash     BLOB    NOT NULL
);

-- What opens the commitments of an entry. Rows can be erased, never changed.
CREATE TABLE audit_personal (
    seq        INTEGER NOT NULL,
    field      TEXT    NOT NULL,                -- actor.name, actor.host, after.name, …
    commitment TEXT    NOT NULL,
    salt       BLOB    NOT NULL,
    value      TEXT    NOT NULL,
    PRIMARY KEY (seq, field)
);

CREATE INDEX audit_personal_by_value ON audit_personal (value);

CREATE TRIGGER audit_entries_no_update BEFORE UPDATE ON audit_entries
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_entries_no_delete BEFORE DELETE ON audit_entries
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- Also what INSERT OR REPLACE would put in the place of an entry.
CREATE TRIGGER audit_entries_in_order BEFORE INSERT ON audit_entries
WHEN NEW.seq <> (SELECT coalesce(max(seq) + 1, 0) FROM audit_entries) OR EXISTS (SELECT 1 FROM audit_entries WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: an entry takes the next number'); END;
CREATE TRIGGER audit_hashes_no_update BEFORE UPDATE ON audit_hashes
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_hashes_no_delete BEFORE DELETE ON audit_hashes
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_hashes_in_order BEFORE INSERT ON audit_hashes
WHEN NEW.position <> (SELECT coalesce(max(position) + 1, 0) FROM audit_hashes)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: a hash takes the next position'); END;
CREATE TRIGGER audit_personal_no_update BEFORE UPDATE ON audit_personal
BEGIN SELECT RAISE(ABORT, 'what the audit log knows of a person can be erased, not changed'); END;
CREATE TRIGGER audit_personal_once BEFORE INSERT ON audit_personal
WHEN EXISTS (SELECT 1 FROM audit_personal WHERE seq = NEW.seq AND field = NEW.field)
BEGIN SELECT RAISE(ABORT, 'what the audit log knows of a person can be erased, not changed'); END;
