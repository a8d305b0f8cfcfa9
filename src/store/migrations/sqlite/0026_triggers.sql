-- What asks for a rollback: incidents that others reported, and figures of the business (Stage 5 monitoring).
CREATE TABLE incidents (
    source          TEXT    NOT NULL,               -- admin_api | pagerduty | alertmanager
    external_id     TEXT    NOT NULL,               -- the source's own
    route           TEXT    NOT NULL,
    severity        INTEGER NOT NULL,               -- 1 is the worst; the worst that was said
    title           TEXT    NOT NULL,
    opened_unix_ms  INTEGER NOT NULL,
    resolved_unix_ms INTEGER,
    outcome         TEXT,                           -- what became of the rollback that it asked for; NULL: it asked for none
    PRIMARY KEY (source, external_id, route)
) WITHOUT ROWID;

CREATE INDEX incidents_by_time ON incidents (opened_unix_ms);

CREATE TABLE kpis (
    name       TEXT    NOT NULL,
    route      TEXT    NOT NULL,
    at_unix_ms INTEGER NOT NULL,
    value      REAL    NOT NULL,
    PRIMARY KEY (name, route, at_unix_ms)
) WITHOUT ROWID;

CREATE INDEX calls_by_route ON calls (route, started_unix_ms);
