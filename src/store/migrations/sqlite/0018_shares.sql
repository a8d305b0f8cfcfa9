-- What vendors served, by the hour in which calls began and the process that told of them: always the sums of attempts that used
-- anything, kept in the same transactions, so that shares are known at a start and between processes.
CREATE TABLE share_hours (
    hour_unix_ms INTEGER NOT NULL,
    vendor       TEXT    NOT NULL,
    journal      TEXT    NOT NULL,
    tokens       INTEGER NOT NULL,                  -- input and output
    requests     INTEGER NOT NULL,
    cost_micros  INTEGER NOT NULL,                  -- where prices are known
    PRIMARY KEY (hour_unix_ms, vendor, journal)
) WITHOUT ROWID;

INSERT INTO share_hours
SELECT c.started_unix_ms - c.started_unix_ms % 3600000, a.vendor, c.journal,
       sum(a.input_tokens + a.output_tokens), count(*), coalesce(sum(max(a.cost_micros, 0)), 0)
FROM calls c JOIN attempts a ON a.call_id = c.id
WHERE c.ending <> 'open' AND a.usage_source <> 'none'
GROUP BY 1, 2, 3;
