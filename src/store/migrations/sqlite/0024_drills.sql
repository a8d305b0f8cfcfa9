-- Game days: for some calls vendors were seen as down, and what that showed. Who began and ended one is in the audit log.
CREATE TABLE drills (
    id              TEXT    NOT NULL PRIMARY KEY,   -- a UUIDv7, and the object of its audit entries
    plan            TEXT    NOT NULL,               -- JSON: which routes and vendors, how
    asked_unix_ms   INTEGER NOT NULL,
    ends_unix_ms    INTEGER NOT NULL,               -- at the latest; moved to the front when somebody stops it
    taken_unix_ms   INTEGER,                        -- when a gateway took it up; NULL: none has yet
    ended_unix_ms   INTEGER,                        -- NULL: it is open
    outcome         TEXT,                           -- finished | stopped | refused | withdrawn
    report          TEXT                            -- JSON
) WITHOUT ROWID;

CREATE UNIQUE INDEX drills_one_open ON drills (ended_unix_ms IS NULL) WHERE ended_unix_ms IS NULL;

-- What the gateway's own questions came to, one row each, so that a drill goes on after a restart.
CREATE TABLE drill_answers (
    drill   TEXT    NOT NULL REFERENCES drills (id),
    route   TEXT    NOT NULL,
    item    TEXT    NOT NULL,
    served  TEXT,                                   -- the target; NULL: nobody
    passed  TEXT    NOT NULL,                       -- JSON: by gate, whether its checks were met
    refused TEXT,                                   -- why it did not become a call
    PRIMARY KEY (drill, route, item)
) WITHOUT ROWID;

ALTER TABLE calls ADD COLUMN drill TEXT;            -- the drill that it was part of

CREATE INDEX calls_by_drill ON calls (drill, route) WHERE drill IS NOT NULL;
