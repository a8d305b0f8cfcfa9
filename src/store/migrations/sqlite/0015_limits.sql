-- Limits as JSON (see config/limits.rs), in the place of three columns; and what a client key may.
ALTER TABLE tenants ADD COLUMN policy TEXT NOT NULL DEFAULT '{}';
UPDATE tenants SET policy = json_object('limits', json_patch('{}', json_object(
    'budget_per_month', budget_micros_per_month, 'requests_per_minute', requests_per_minute,
    'tokens_per_minute', tokens_per_minute)));
ALTER TABLE tenants DROP COLUMN budget_micros_per_month;
ALTER TABLE tenants DROP COLUMN requests_per_minute;
ALTER TABLE tenants DROP COLUMN tokens_per_minute;
ALTER TABLE client_keys ADD COLUMN may TEXT NOT NULL DEFAULT '{}';

-- What finished calls used, by the hour in which they began: always the sums of `calls` and `attempts`, kept in the same
-- transactions, so that budgets are known at a start without reading a month of calls.
CREATE TABLE used (
    hour_unix_ms INTEGER NOT NULL,
    tenant       TEXT    NOT NULL,
    key_id       TEXT    NOT NULL,
    feature      TEXT    NOT NULL,                  -- '': none
    route        TEXT    NOT NULL,
    calls        INTEGER NOT NULL,
    tokens       INTEGER NOT NULL,                  -- input and output of all attempts
    cost_micros  INTEGER NOT NULL,                  -- of all attempts with a known price
    PRIMARY KEY (hour_unix_ms, tenant, key_id, feature, route)
) WITHOUT ROWID;

INSERT INTO used
SELECT c.started_unix_ms - c.started_unix_ms % 3600000, c.tenant, c.key_id, coalesce(c.feature, ''), c.route,
       count(DISTINCT c.id), coalesce(sum(a.input_tokens + a.output_tokens), 0), coalesce(sum(a.cost_micros), 0)
FROM calls c LEFT JOIN attempts a ON a.call_id = c.id
WHERE c.ending <> 'open'
GROUP BY 1, 2, 3, 4, 5;
