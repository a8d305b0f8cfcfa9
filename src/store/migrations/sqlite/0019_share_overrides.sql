-- Times in which the share cap refuses nothing. Who asked for it and who agreed is in the audit log, under `share.override`.
CREATE TABLE share_overrides (
    id             TEXT    NOT NULL PRIMARY KEY,    -- a UUIDv7, and the object of its audit entries
    begins_unix_ms INTEGER NOT NULL,
    ends_unix_ms   INTEGER NOT NULL,                -- moved to the front when it is ended early
    reason         TEXT    NOT NULL
) WITHOUT ROWID;
