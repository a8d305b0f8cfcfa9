-- Tenants that the CLI made (those of the config file live there) and client keys, of which only a hash is kept.
CREATE TABLE tenants (
    id                      TEXT    NOT NULL PRIMARY KEY,
    created_unix_ms         INTEGER NOT NULL,
    budget_micros_per_month INTEGER,
    requests_per_minute     INTEGER,
    tokens_per_minute       INTEGER
) WITHOUT ROWID;

CREATE TABLE client_keys (
    hash            BLOB    NOT NULL PRIMARY KEY,   -- SHA-256 of the whole key
    key_id          TEXT    NOT NULL UNIQUE,        -- its public first characters
    tenant          TEXT    NOT NULL,
    name            TEXT,
    created_unix_ms INTEGER NOT NULL,
    expires_unix_ms INTEGER,
    revoked_unix_ms INTEGER
) WITHOUT ROWID;

-- Counts the changes to both, so that a running server sees with one cheap read that another process made one.
CREATE TABLE clients_revision (one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL);
INSERT INTO clients_revision VALUES (1, 1);
CREATE TRIGGER tenants_added   AFTER INSERT ON tenants     BEGIN UPDATE clients_revision SET revision = revision + 1; END;
CREATE TRIGGER tenants_changed AFTER UPDATE ON tenants     BEGIN UPDATE clients_revision SET revision = revision + 1; END;
CREATE TRIGGER keys_added      AFTER INSERT ON client_keys BEGIN UPDATE clients_revision SET revision = revision + 1; END;
CREATE TRIGGER keys_changed    AFTER UPDATE ON client_keys BEGIN UPDATE clients_revision SET revision = revision + 1; END;
