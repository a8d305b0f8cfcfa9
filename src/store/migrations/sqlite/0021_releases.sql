-- What was done to the releases of routes, in order: never changed, only added to. The state of a route is the fold of its acts
-- (see release/book.rs). `entry` is the id of the audit entry that was written in the same transaction.
CREATE TABLE release_acts (
    seq        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,          -- a UUIDv7: an act is stored once, however often it is brought
    at_unix_ms INTEGER NOT NULL,
    route      TEXT    NOT NULL,
    entry      TEXT    NOT NULL,
    act        TEXT    NOT NULL                  -- JSON
);

CREATE TRIGGER release_acts_no_update BEFORE UPDATE ON release_acts
BEGIN SELECT raise(ABORT, 'acts on releases are never changed'); END;
CREATE TRIGGER release_acts_no_delete BEFORE DELETE ON release_acts
BEGIN SELECT raise(ABORT, 'acts on releases are never removed'); END;
