-- One row per call and one per attempt. Times are ms (REAL), moments unix ms (INTEGER), money millionths of a dollar (INTEGER).
CREATE TABLE calls (
    id              TEXT    NOT NULL PRIMARY KEY,   -- req_ and a UUIDv7, so rows lie in order of time
    started_unix_ms INTEGER NOT NULL,
    tenant          TEXT    NOT NULL,
    key_id          TEXT    NOT NULL,
    feature         TEXT,
    route           TEXT    NOT NULL,
    dialect         TEXT    NOT NULL,
    streamed        INTEGER NOT NULL,
    served_by       INTEGER,                        -- position of the attempt whose content the caller got
    ending          TEXT    NOT NULL,               -- open | answered | failed | interrupted | cancelled
    status          INTEGER NOT NULL,
    ttft_ms         REAL,
    total_ms        REAL    NOT NULL,
    overhead_ms     REAL    NOT NULL,
    journal         TEXT    NOT NULL                -- the process whose journal told us
) WITHOUT ROWID;

CREATE INDEX calls_by_time ON calls (started_unix_ms);
CREATE INDEX calls_open ON calls (journal) WHERE ending = 'open';

CREATE TABLE attempts (
    call_id            TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    position           INTEGER NOT NULL,            -- order in which they were made, from 0
    counts_call        INTEGER NOT NULL,            -- 1 for the one attempt that the call is counted under
    target_index       INTEGER NOT NULL,
    vendor             TEXT    NOT NULL,
    model              TEXT    NOT NULL,
    started_ms         REAL    NOT NULL,
    ttft_ms            REAL,
    duration_ms        REAL,                        -- NULL with a fault: the target was skipped
    fault              TEXT,
    status             INTEGER,
    detail             TEXT,
    input_tokens       INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    cached_tokens      INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    usage_source       TEXT    NOT NULL,
    cost_micros        INTEGER,                     -- NULL: no price is known
    PRIMARY KEY (call_id, position)
) WITHOUT ROWID;
