-- What the gateway did to renew certificates of retained releases, by the certificate that ends. One renewal at a time is under way.
CREATE TABLE renewals (
    certificate        TEXT    NOT NULL PRIMARY KEY,   -- the digest of its statement
    target             TEXT    NOT NULL,
    suite              TEXT    NOT NULL,
    tries              INTEGER NOT NULL DEFAULT 0,     -- that came to an end
    at_unix_ms         INTEGER NOT NULL,               -- when the last one began, or ended
    outcome            TEXT,                           -- renewed | unsigned | failed; NULL: none has ended
    why                TEXT,                           -- for people
    next_unix_ms       INTEGER,                        -- none begins before
    holder             TEXT,                           -- the process that one is under way in
    held_until_unix_ms INTEGER                         -- it is alive until then at least
) WITHOUT ROWID;
