-- Why the answer that the caller got ended: stop | length | tool_calls | content_filter. NULL: there was none, or it is from before.
ALTER TABLE calls ADD COLUMN finish TEXT;

-- Answers that were to be JSON, looked at after they had left: valid | not_json | not_schema | unchecked.
CREATE TABLE answer_checks (
    call_id TEXT NOT NULL PRIMARY KEY,
    verdict TEXT NOT NULL
) WITHOUT ROWID;

-- What the sentinel's probes of certified models found, for each route that has the target.
CREATE TABLE probes (
    route      TEXT    NOT NULL,
    target     TEXT    NOT NULL,
    at_unix_ms INTEGER NOT NULL,
    asked      INTEGER NOT NULL,
    passed     INTEGER NOT NULL,
    PRIMARY KEY (route, at_unix_ms, target)
) WITHOUT ROWID;
